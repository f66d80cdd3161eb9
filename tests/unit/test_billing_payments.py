"""What becomes of payments, and refunds: the rules alone."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.money import Money
from services.billing.domain.accounts import Application, Payment, PaymentKind, Share
from services.billing.domain.disputes import DisputeState, after
from services.billing.domain.ledger import Account, Source, Tender
from services.billing.domain.payments import taken_from, unapplied
from services.billing.domain.payouts import PayoutLine, by_site
from services.billing.domain.payouts import Share as PayoutShare
from services.billing.domain.refunds import (
    AskedPart,
    Credit,
    RefundExceedsBalance,
    RefundState,
    Sources,
    made,
    parts_of,
)

NOW = datetime(2027, 3, 1, 16, tzinfo=UTC)
SITE, PATIENT = UUID(int=1), UUID(int=2)


def fresh() -> Callable[[], UUID]:
    numbers = count(1000)
    return lambda: UUID(int=next(numbers))


def payment(number: int, left: int, *, applied: tuple[int, ...] = (), credit: int = 0, **changes: object) -> Payment:
    id = UUID(int=number)
    applications = tuple(
        Application(UUID(int=number * 100 + n), Share(id, UUID(int=n), Money(minor)), NOW)
        for n, minor in enumerate(applied)
    )
    made_up = Payment(
        id=id,
        site_id=SITE,
        patient_id=PATIENT,
        course_id=None,
        kind=PaymentKind.PAYMENT,
        tender=Tender.CASH,
        terminal_reference="",
        amount=Money(left + credit + sum(applied)),
        business_date=NOW.date(),
        received_at=NOW + timedelta(minutes=number),
        unapplied=Money(left),
        applications=applications,
        credit_minor=credit,
    )
    return replace(made_up, **changes)  # type: ignore[arg-type]


def sources_of(payments: Sequence[Payment], *credits: Credit) -> Sources:
    """Whatever a card paid, its processor has."""
    on_card = {each.id: each.amount.minor for each in payments if each.tender is Tender.CARD}
    return Sources({each.id: each for each in payments}, {each.id: each for each in credits}, on_card)


def test_what_is_taken_off_is_the_newest_first_and_no_more_than_asked() -> None:
    taken = unapplied(payment(1, 0, applied=(50, 30, 20)), 40, fresh())
    assert [(each.share.invoice_id.int, each.share.amount.minor) for each in taken] == [(2, 20), (1, 20)]


def test_what_is_taken_off_one_invoice_leaves_the_others() -> None:
    taken = unapplied(payment(1, 0, applied=(50, 30)), 80, fresh(), UUID(int=0))
    assert [(each.share.invoice_id.int, each.share.amount.minor) for each in taken] == [(0, 50)]


@given(st.integers(1, 500), st.lists(st.integers(1, 200), max_size=5))
def test_what_is_taken_off_is_what_was_asked_or_all_there_is(asked: int, applied: list[int]) -> None:
    taken = unapplied(payment(1, 0, applied=tuple(applied)), asked, fresh())
    assert sum(each.share.amount.minor for each in taken) == min(asked, sum(applied))
    assert all(each.share.amount.minor > 0 for each in taken)


@given(st.integers(1, 500), st.lists(st.integers(0, 200), max_size=5))
def test_what_is_taken_from_several_is_what_was_asked_or_all_there_is(asked: int, there: list[int]) -> None:
    taken = taken_from(asked, {UUID(int=n): minor for n, minor in enumerate(there)})
    assert sum(taken.values()) == min(asked, sum(there))
    assert all(0 < taken[UUID(int=n)] <= minor for n, minor in enumerate(there) if UUID(int=n) in taken)


@given(st.integers(1, 400), st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=4))
def test_the_parts_of_a_refund_are_its_sum_and_within_their_payments(asked: int, there: list[tuple[int, int]]) -> None:
    payments = [payment(n + 1, left, credit=credit) for n, (left, credit) in enumerate(there)]
    if asked > sum(left + credit for left, credit in there):
        with pytest.raises(RefundExceedsBalance):
            parts_of(Money(asked), (), sources_of(payments))
        return
    by_id = {each.id: each for each in payments}
    sources = sources_of(payments)
    parts = made(parts_of(Money(asked), (), sources), sources, UUID(int=9), SITE, PATIENT, NOW, fresh())
    assert sum(part.amount.minor for part in parts) == asked
    for part in parts:
        assert part.payment_id
        its = by_id[part.payment_id]
        assert part.amount.minor - part.credit.minor <= its.unapplied.minor
        assert part.credit.minor <= its.credit_minor
        assert sum(posting.amount.minor for posting in part.entry().postings) == 0
        assert (part.entry().source, part.failed_entry().source) == (Source.REFUND, Source.REFUND_FAILURE)


def test_a_refund_by_rule_passes_over_what_is_disputed() -> None:
    payments = [payment(1, 50), payment(2, 50, disputed=True)]
    assert [part.payment_id for part in parts_of(Money(50), (), sources_of(payments))] == [UUID(int=1)]
    with pytest.raises(RefundExceedsBalance):
        parts_of(Money(51), (), sources_of(payments))


def test_a_refund_by_rule_takes_credit_last_and_the_oldest_of_it_first() -> None:
    older, newer = (Credit(UUID(int=id), SITE, PATIENT, Money(50), NOW + timedelta(days=id)) for id in (7, 8))
    foreign = Credit(UUID(int=6), SITE, PATIENT, Money(50, "EUR"), NOW)
    sources = sources_of([payment(1, 30)], newer, older, foreign)
    parts = parts_of(Money(100), (), sources)
    assert [(part.payment_id or part.credit_id, part.amount.minor, part.tender) for part in parts] == [
        (UUID(int=1), 30, Tender.CASH),
        (older.id, 50, Tender.CHECK),
        (newer.id, 20, Tender.CHECK),
    ]
    with pytest.raises(RefundExceedsBalance) as refused:
        parts_of(Money(131), (), sources)
    assert refused.value.metadata == {"refundable_minor": "130"}


def test_a_refund_by_rule_gives_no_more_to_a_card_than_its_processor_has() -> None:
    card = payment(1, 50, tender=Tender.CARD)
    sources = Sources({card.id: card}, {}, {card.id: 20})
    assert [part.amount.minor for part in parts_of(Money(20), (), sources)] == [20]
    with pytest.raises(RefundExceedsBalance):
        parts_of(Money(21), (), sources)


def test_credit_is_paid_out_of_credit() -> None:
    credit = Credit(UUID(int=7), SITE, PATIENT, Money(50), NOW)
    sources = sources_of([], credit)
    [part] = made(parts_of(Money(50), (), sources), sources, UUID(int=9), SITE, PATIENT, NOW, fresh())
    assert [(line.account, line.amount.minor) for line in part.entry().postings] == [
        (Account.PATIENT_CREDIT, 50),
        (Account.BANK, -50),
    ]


def test_a_cards_part_waits_for_its_processor_and_the_others_do_not() -> None:
    card = payment(1, 50, tender=Tender.CARD)
    asked = [AskedPart(card.id, Money(20), Tender.CARD), AskedPart(card.id, Money(20), Tender.CHECK)]
    parts = made(asked, sources_of([card]), UUID(int=9), SITE, PATIENT, NOW, fresh())
    assert [part.state for part in parts] == [RefundState.REQUESTED, RefundState.SUCCEEDED]


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ("needs_response", DisputeState.OPEN),
        ("under_review", DisputeState.OPEN),
        ("won", DisputeState.WON),
        ("lost", DisputeState.LOST),
        ("something_new", DisputeState.OPEN),
    ],
)
def test_a_dispute_is_open_until_the_processor_says_how_it_ended(told: str, state: DisputeState) -> None:
    assert after(told) is state


def test_a_payout_is_shared_out_by_site_without_what_matches_nothing() -> None:
    def line(number: int, site: UUID | None, minor: int, fee: int) -> PayoutLine:
        return PayoutLine(UUID(int=number), site, f"txn_{number}", "charge", "", Money(minor), Money(fee), site)

    other = UUID(int=7)
    lines = [line(1, SITE, 100, 3), line(2, other, 50, 2), line(3, SITE, -100, 0), line(4, None, -9, 0)]
    assert by_site(lines) == {SITE: (0, 3), other: (50, 2)}
    [booked] = PayoutShare(UUID(int=8), SITE, UUID(int=9), Money(0), Money(3)).booked()
    assert (booked.legal_entity_id, booked.site_id) == (UUID(int=9), SITE)
    assert {each.account: each.amount.minor for each in booked.entry.postings} == {
        Account.BANK: -3,
        Account.PROCESSOR_FEES: 3,
    }
    assert PayoutShare(UUID(int=8), SITE, UUID(int=9), Money(0), Money(0)).booked() == []
