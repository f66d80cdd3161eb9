"""Notice, code sets and rounding, held to slower ways of saying the same."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.money import Money
from services.billing.domain.business_days import BusinessCalendar
from services.billing.domain.codes import CodesOverlap, DiagnosisCode, refuse_overlaps
from services.billing.domain.fees import notice_of
from services.billing.domain.prices import NoticeHours, PriceChange, RoundingStep
from services.billing.domain.prices.changes import STEP_MINOR
from services.billing.domain.sites import Site

QUARTER = timedelta(minutes=15)
FIRST = date(2027, 1, 1)
zones = st.sampled_from(["America/Denver", "America/New_York", "America/Phoenix", "Pacific/Honolulu"])
quarters = st.integers(0, 4 * 24 * 365)


@settings(deadline=None, max_examples=60)
@given(zones, quarters, st.integers(0, 4 * 24 * 6), st.sets(st.integers(0, 364), max_size=20))
def test_business_hours_are_those_quarters_of_an_hour_that_lie_on_business_days(
    zone: str, start: int, length: int, closed: set[int]
) -> None:
    calendar = BusinessCalendar(closed=frozenset(FIRST + timedelta(days=n) for n in closed))
    site = Site(UUID(int=1), UUID(int=2), ZoneInfo(zone), calendar=calendar)
    cancelled = datetime(2027, 1, 1, tzinfo=UTC) + start * QUARTER
    counted = sum(calendar.is_business_day(site.day(cancelled + n * QUARTER)) for n in range(length))
    assert notice_of(NoticeHours.BUSINESS, cancelled, cancelled + length * QUARTER, site) == counted * QUARTER
    assert notice_of(NoticeHours.CLOCK, cancelled, cancelled + length * QUARTER, site) == length * QUARTER


spans = st.tuples(st.sampled_from("ab"), st.integers(0, 12), st.one_of(st.none(), st.integers(0, 5)))


def row(span: tuple[str, int, int | None]) -> DiagnosisCode:
    code, first, length = span
    start = FIRST + timedelta(days=first)
    return DiagnosisCode(code, start, None if length is None else start + timedelta(days=length))


def days(each: DiagnosisCode) -> set[tuple[str, int]]:
    last = each.end_date or FIRST + timedelta(days=30)
    return {(each.code, n) for n in range((each.effective_date - FIRST).days, (last - FIRST).days + 1)}


@given(st.lists(spans, max_size=6))
def test_rows_are_refused_if_and_only_if_two_share_a_day(told: list[tuple[str, int, int | None]]) -> None:
    rows = [row(each) for each in told]
    shared = [n for n, each in enumerate(rows) if any(days(each) & days(o) for m, o in enumerate(rows) if m != n)]
    try:
        refuse_overlaps(rows, [], "{}")
        named = list[int]()
    except CodesOverlap as refused:
        named = [int(each.field) for each in refused.violations]
    assert set(named) <= set(shared)
    left = [each for n, each in enumerate(rows) if n not in named]
    assert sum(len(days(each)) for each in left) == len(set[tuple[str, int]]().union(*map(days, left)))


@given(st.integers(0, 10**8), st.integers(-9_999, 10**6).filter(bool), st.sampled_from(RoundingStep))
def test_a_changed_price_is_the_nearest_multiple_of_its_step_and_the_upper_of_two(
    minor: int, basis_points: int, step: RoundingStep
) -> None:
    changed, unit = PriceChange(basis_points, step).of(Money(minor)).minor, STEP_MINOR[step]
    exact = Fraction(minor * (10_000 + basis_points), 10_000)
    assert changed % unit == 0
    assert -Fraction(unit, 2) < changed - exact <= 0 or 0 <= changed - exact <= Fraction(unit, 2)
