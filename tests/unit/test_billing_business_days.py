"""Business days, and by when an estimate must reach the patient."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from services.billing.domain.business_days import BusinessCalendar, end_of, federal_days_off
from services.billing.domain.estimates import Trigger, due, trigger_of_booking

CALENDAR = BusinessCalendar()
DENVER, PHOENIX, HAVANA = ZoneInfo("America/Denver"), ZoneInfo("America/Phoenix"), ZoneInfo("America/Havana")


def test_the_federal_holidays_of_2026_are_those_that_the_government_lists() -> None:
    listed = ["01-01", "01-19", "02-16", "05-25", "06-19", "07-03", "09-07", "10-12", "11-11", "11-26", "12-25"]
    assert sorted(federal_days_off(2026)) == [date.fromisoformat(f"2026-{day}") for day in listed]


@pytest.mark.parametrize(
    ("holiday", "observed"),
    [
        ("2027-07-04", "2027-07-05"),  # Sunday: the Monday after.
        ("2026-07-04", "2026-07-03"),  # Saturday: the Friday before.
        ("2027-06-19", "2027-06-18"),
        ("2023-01-01", "2023-01-02"),
        ("2028-01-01", "2027-12-31"),  # Saturday: in the year before.
    ],
)
def test_a_holiday_on_a_weekend_is_observed_on_the_business_day_beside_it(holiday: str, observed: str) -> None:
    day = date.fromisoformat(observed)
    assert day in federal_days_off(day.year)
    assert date.fromisoformat(holiday) not in federal_days_off(int(holiday[:4]))
    assert not CALENDAR.is_business_day(day)


@pytest.mark.parametrize(("year", "days"), [(2020, 10), (2021, 12), (2027, 12), (2028, 10), (2026, 11)])
def test_a_year_has_eleven_holidays_less_or_more_new_years_of_its_neighbours(year: int, days: int) -> None:
    """Juneteenth is one since 2021; New Year's of 2022, 2028 and 2033 is observed in the year before."""
    assert len(federal_days_off(year)) == days


def test_a_site_is_closed_on_days_of_its_own_and_may_work_on_a_holiday() -> None:
    columbus, own = date(2026, 10, 12), date(2026, 10, 13)
    calendar = BusinessCalendar(closed=frozenset({own}), open=frozenset({columbus}))
    assert [CALENDAR.is_business_day(day) for day in (columbus, own)] == [False, True]
    assert [calendar.is_business_day(day) for day in (columbus, own)] == [True, False]
    assert calendar.after(date(2026, 10, 9), 2) == date(2026, 10, 14)


def test_weekends_are_not_business_days() -> None:
    assert [CALENDAR.is_business_day(date(2026, 8, day)) for day in range(3, 10)] == [True] * 5 + [False] * 2


@pytest.mark.parametrize(
    ("day", "count", "after"),
    [
        ("2026-08-03", 1, "2026-08-04"),
        ("2026-08-07", 1, "2026-08-10"),  # Friday.
        ("2026-08-08", 1, "2026-08-10"),  # Saturday.
        ("2026-09-04", 1, "2026-09-08"),  # Before Labor Day.
        ("2026-11-25", 3, "2026-12-01"),  # Over Thanksgiving, which is not a long weekend by law.
        ("2026-12-31", 1, "2027-01-04"),  # Over the year's end.
        ("2027-12-30", 1, "2028-01-03"),  # New Year's 2028 is observed on 31 December 2027.
    ],
)
def test_business_days_are_counted_forwards(day: str, count: int, after: str) -> None:
    assert CALENDAR.after(date.fromisoformat(day), count) == date.fromisoformat(after)


@pytest.mark.parametrize(
    ("day", "count", "before"),
    [
        ("2026-08-06", 3, "2026-08-03"),
        ("2026-08-08", 3, "2026-08-05"),  # From a Saturday.
        ("2026-09-08", 1, "2026-09-04"),  # After Labor Day.
        ("2027-01-04", 3, "2026-12-29"),
    ],
)
def test_business_days_are_counted_backwards(day: str, count: int, before: str) -> None:
    assert CALENDAR.before(date.fromisoformat(day), count) == date.fromisoformat(before)


@pytest.mark.parametrize(
    ("booked", "service", "trigger"),
    [
        ("2026-08-03", "2026-08-17", Trigger.BOOKED_10_DAYS_AHEAD),  # Exactly 10.
        ("2026-08-04", "2026-08-17", Trigger.BOOKED_3_DAYS_AHEAD),  # 9.
        ("2026-08-12", "2026-08-17", Trigger.BOOKED_3_DAYS_AHEAD),  # Exactly 3, over a weekend.
        ("2026-08-13", "2026-08-17", Trigger.SHORT_NOTICE),  # 2.
        ("2026-08-17", "2026-08-17", Trigger.SHORT_NOTICE),
        ("2026-08-31", "2026-09-15", Trigger.BOOKED_10_DAYS_AHEAD),  # Labor Day in between does not count,
        ("2026-09-01", "2026-09-15", Trigger.BOOKED_3_DAYS_AHEAD),  # so that two weeks are 9 days.
        ("2026-12-21", "2026-12-28", Trigger.BOOKED_3_DAYS_AHEAD),  # Over Christmas: 4.
        ("2026-12-29", "2027-01-04", Trigger.BOOKED_3_DAYS_AHEAD),  # Over New Year's: exactly 3.
        ("2026-12-30", "2027-01-04", Trigger.SHORT_NOTICE),
    ],
)
def test_how_far_ahead_a_booking_is_decides_how_soon_its_estimate_is_due(
    booked: str, service: str, trigger: Trigger
) -> None:
    assert trigger_of_booking(date.fromisoformat(booked), date.fromisoformat(service), CALENDAR) is trigger


@pytest.mark.parametrize(
    ("trigger", "instant"),
    [
        (Trigger.BOOKED_10_DAYS_AHEAD, datetime(2026, 11, 4, 7, tzinfo=UTC)),  # Tuesday is over; winter time by then.
        (Trigger.BOOKED_3_DAYS_AHEAD, datetime(2026, 10, 31, 6, tzinfo=UTC)),  # Friday is over, in summer time.
        (Trigger.REQUEST, datetime(2026, 11, 4, 7, tzinfo=UTC)),
        (Trigger.SHORT_NOTICE, None),
    ],
)
def test_an_estimate_is_due_at_the_end_of_a_business_day_of_the_site_also_when_clocks_change(
    trigger: Trigger, instant: datetime | None
) -> None:
    assert due(trigger, date(2026, 10, 29), DENVER, CALENDAR) == instant


def test_the_end_of_a_day_is_the_sites_and_not_utcs() -> None:
    assert end_of(date(2026, 7, 1), PHOENIX) == datetime(2026, 7, 2, 7, tzinfo=UTC)


def test_where_clocks_skip_midnight_a_day_ends_when_they_do() -> None:
    """In Havana 13 March 2027 is followed by 1 o'clock of the 14th."""
    assert end_of(date(2027, 3, 13), HAVANA) == datetime(2027, 3, 14, 5, tzinfo=UTC)
