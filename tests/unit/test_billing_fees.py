"""Fees of missed and late cancelled visits: each policy that a clinic publishes, and the edges of notice."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from chassis.money import Money
from services.billing.domain.business_days import BusinessCalendar
from services.billing.domain.fees import FeeKind, FeePrice, fee_for, notice_of
from services.billing.domain.prices import FeeAmount, FeeTerms, FeeTier, ItemKind, NoticeHours, PriceBook, PriceItem
from services.billing.domain.sites import Site

NOW = datetime(2026, 8, 3, 15, tzinfo=UTC)
DENVER = ZoneInfo("America/Denver")
SITE = Site(UUID(int=1), UUID(int=2), DENVER)
START = datetime(2027, 3, 11, 10, tzinfo=DENVER)  # A Thursday, before clocks change.
FULL = FeeAmount(None, 10_000)
HOUR = timedelta(hours=1)


def usd(dollars: int) -> Money:
    return Money(100 * dollars)


def fixed(dollars: int) -> FeeAmount:
    return FeeAmount(usd(dollars))


def book(*terms: FeeTerms) -> PriceBook:
    items = tuple(
        PriceItem(UUID(int=n), "", "", "", usd(0), "Fee", ItemKind.FEE, f"fee_{n}", fee=each)
        for n, each in enumerate(terms)
    )
    return PriceBook(UUID(int=3), SITE.id, date(2026, 1, 1), usd(100), items, NOW, 1, NOW)


def late(*tiers: FeeTier, **more: object) -> FeeTerms:
    return FeeTerms(FeeKind.LATE_CANCELLATION, tiers, **more)  # type: ignore[arg-type]


def missed(amount: FeeAmount, first: FeeAmount | None = None, **more: object) -> FeeTerms:
    return FeeTerms(FeeKind.NO_SHOW, (FeeTier(0, amount, first),), **more)  # type: ignore[arg-type]


# As published: `shared/market.md`.
POLICY_A = book(late(FeeTier(72, fixed(150)), hours=NoticeHours.BUSINESS), missed(fixed(150)))
POLICY_B = book(late(FeeTier(24, FULL, fixed(100)), FeeTier(48, fixed(50))), missed(FULL, fixed(100), late_minutes=10))
POLICY_C = book(late(FeeTier(24, fixed(50))), missed(fixed(50), prepay_after_count=3))
POLICY_D = book(late(FeeTier(24, FULL), grace_count=1), missed(FULL, grace_count=1, late_minutes=15))
POLICY_E = book(missed(FULL, late_minutes=10))


def asked(
    policy: PriceBook, notice_hours: float | None, *, before: int = 0, price: int = 590, start: datetime = START
) -> Money | None:
    """None as notice: missed."""
    found = priced(policy, notice_hours, before=before, price=price, start=start)
    return found.amount if found else None


def priced(
    policy: PriceBook, notice_hours: float | None, *, before: int, price: int, start: datetime
) -> FeePrice | None:
    return fee_for(
        policy,
        FeeKind.NO_SHOW if notice_hours is None else FeeKind.LATE_CANCELLATION,
        cancelled_at=None if notice_hours is None else start - timedelta(hours=notice_hours),
        start_at=start,
        site=SITE,
        offences_before=before,
        visit_price=usd(price),
    )


def test_policy_a_wants_three_business_days() -> None:
    monday = datetime(2027, 3, 15, 10, tzinfo=DENVER)
    for days, amount in ((5, None), (4.99, 150), (3, 150), (0.1, 150)):  # The Wednesday before, at the same hour.
        cancelled = (monday - timedelta(days=days)).astimezone(UTC)
        found = fee_for(
            POLICY_A, FeeKind.LATE_CANCELLATION, cancelled_at=cancelled, start_at=monday.astimezone(UTC), site=SITE,
            offences_before=4, visit_price=usd(590),
        )  # fmt: skip
        assert (found.amount if found else None) == (usd(amount) if amount else None)
    assert asked(POLICY_A, None) == usd(150)


@pytest.mark.parametrize(
    ("notice", "before", "dollars"),
    [
        (48, 0, None),
        (47.99, 0, 50),
        (24, 0, 50),
        (23.99, 0, 100),
        (23.99, 1, 590),
        (0, 2, 590),
        (None, 0, 100),
        (None, 1, 590),
    ],
)
def test_policy_b_asks_more_the_shorter_the_notice_and_less_the_first_time(
    notice: float | None, before: int, dollars: int | None
) -> None:
    assert asked(POLICY_B, notice, before=before) == (usd(dollars) if dollars else None)


@pytest.mark.parametrize(("notice", "dollars"), [(24, None), (23.9, 50), (None, 50)])
def test_policy_c_asks_the_same_always(notice: float | None, dollars: int | None) -> None:
    assert asked(POLICY_C, notice, before=7) == (usd(dollars) if dollars else None)


@pytest.mark.parametrize(("notice", "before", "dollars"), [(1, 0, None), (1, 1, 590), (None, 0, None), (None, 1, 590)])
def test_policy_d_forgives_once(notice: float | None, before: int, dollars: int | None) -> None:
    assert asked(POLICY_D, notice, before=before) == (usd(dollars) if dollars else None)


def test_policy_e_asks_for_a_missed_visit_only() -> None:
    assert asked(POLICY_E, None) == usd(590)
    assert asked(POLICY_E, 0) is None


def test_the_first_that_is_not_forgiven_is_the_first() -> None:
    policy = book(late(FeeTier(24, FULL, fixed(100)), grace_count=2))
    assert [asked(policy, 1, before=before) for before in range(5)] == [None, None, usd(100), usd(590), usd(590)]


def test_a_fee_names_the_item_that_asks_for_it() -> None:
    for notice, item in ((30, POLICY_B.items[0]), (None, POLICY_B.items[1])):
        found = priced(POLICY_B, notice, before=1, price=590, start=START)
        assert found
        assert found.item == item


@pytest.mark.parametrize(
    ("basis_points", "minor", "fee"), [(5000, 59001, 29501), (3333, 59000, 19665), (1, 4999, None), (1, 5000, 1)]
)
def test_a_share_of_the_price_is_rounded_half_up_and_nothing_is_no_fee(
    basis_points: int, minor: int, fee: int | None
) -> None:
    policy = book(missed(FeeAmount(None, basis_points)))
    found = fee_for(
        policy,
        FeeKind.NO_SHOW,
        cancelled_at=None,
        start_at=START,
        site=SITE,
        offences_before=0,
        visit_price=Money(minor),
    )
    assert (found.amount.minor if found else None) == fee


def test_where_a_site_asks_no_fee_there_is_none() -> None:
    assert asked(book(), None) is asked(book(), 1) is None


def test_a_cancellation_after_the_start_gives_no_notice() -> None:
    for hours in NoticeHours:
        assert notice_of(hours, START + HOUR, START, SITE) == timedelta()
    assert asked(POLICY_B, -1, before=1) == usd(590)


@pytest.mark.parametrize(
    ("cancelled", "start", "clock", "business"),
    [
        # Over the night in which clocks go forward: Sunday has 23 hours, and none of business.
        ("2027-03-12T10:00", "2027-03-15T10:00", 71, 24),
        ("2027-11-05T10:00", "2027-11-08T10:00", 73, 24),  # Back: 25.
        ("2027-03-12T10:00", "2027-03-12T12:00", 2, 2),
        ("2027-03-13T09:00", "2027-03-14T09:00", 23, 0),  # A weekend.
        ("2027-07-02T10:00", "2027-07-06T10:00", 96, 24),  # Independence Day is observed on Monday the 5th.
        ("2027-12-30T10:00", "2028-01-03T10:00", 96, 24),  # New Year's on Friday 31 December.
        ("2028-02-28T10:00", "2028-03-01T10:00", 48, 48),  # A leap day.
    ],
)
def test_hours_of_notice_are_counted_in_the_sites_zone(cancelled: str, start: str, clock: int, business: int) -> None:
    first, last = (datetime.fromisoformat(text).replace(tzinfo=DENVER).astimezone(UTC) for text in (cancelled, start))
    assert notice_of(NoticeHours.CLOCK, first, last, SITE) == clock * HOUR
    assert notice_of(NoticeHours.BUSINESS, first, last, SITE) == business * HOUR


def test_a_sites_own_days_count_as_it_says() -> None:
    thursday, monday = (datetime(2027, 10, day, 10, tzinfo=DENVER).astimezone(UTC) for day in (7, 11))  # Columbus Day.
    own = BusinessCalendar(closed=frozenset({date(2027, 10, 8)}), open=frozenset({date(2027, 10, 11)}))
    assert notice_of(NoticeHours.BUSINESS, thursday, monday, SITE) == 38 * HOUR
    at_own = Site(SITE.id, SITE.legal_entity_id, DENVER, calendar=own)
    assert notice_of(NoticeHours.BUSINESS, thursday, monday, at_own) == (14 + 10) * HOUR
