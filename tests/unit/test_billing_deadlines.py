"""By when which version of an estimate is due, and which version bills are measured by."""

from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from services.billing.domain.business_days import BusinessCalendar
from services.billing.domain.deadlines import (
    HOLD,
    LAST,
    Clock,
    Duty,
    Standing,
    Wanted,
    clock_of_booking,
    clock_of_change,
    clock_of_more,
    clock_of_request,
    is_too_late,
    sooner,
)
from services.billing.domain.estimates import SeriesTooLong, Trigger, last_covered, refuse_too_long
from services.billing.domain.sites import Site

DENVER, HONOLULU, NEW_YORK = map(ZoneInfo, ("America/Denver", "Pacific/Honolulu", "America/New_York"))
SITE = Site(UUID(int=1), UUID(int=2), DENVER)
TEN, THREE, SHORT, CHANGE = (
    Trigger.BOOKED_10_DAYS_AHEAD,
    Trigger.BOOKED_3_DAYS_AHEAD,
    Trigger.SHORT_NOTICE,
    Trigger.CHANGE,
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}:00+00:00")


@pytest.mark.parametrize(
    ("booked", "service", "zone", "trigger", "due"),
    [
        # Ten business days ahead and more: three business days.
        ("2026-08-03", "2026-08-17", DENVER, TEN, "2026-08-07T06:00"),
        ("2026-08-06", "2026-08-28", DENVER, TEN, "2026-08-12T06:00"),  # Thursday: over the weekend.
        ("2026-08-08", "2026-08-28", DENVER, TEN, "2026-08-13T06:00"),  # Booked on a Saturday.
        ("2026-09-04", "2026-09-30", DENVER, TEN, "2026-09-11T06:00"),  # Over Labor Day.
        ("2026-11-24", "2026-12-15", DENVER, TEN, "2026-12-01T07:00"),  # Over Thanksgiving and a weekend.
        ("2027-12-29", "2028-01-31", DENVER, TEN, "2028-01-05T07:00"),  # New Year's is observed on 31 December.
        ("2026-10-30", "2026-11-30", DENVER, TEN, "2026-11-05T07:00"),  # Clocks change on 1 November.
        ("2027-03-12", "2027-03-29", DENVER, TEN, "2027-03-18T06:00"),  # And on 14 March.
        # Zones: the same days end at other instants.
        ("2026-08-03", "2026-08-17", HONOLULU, TEN, "2026-08-07T10:00"),
        ("2026-08-03", "2026-08-17", NEW_YORK, TEN, "2026-08-07T04:00"),
        # Three to nine: one business day.
        ("2026-08-04", "2026-08-17", DENVER, THREE, "2026-08-06T06:00"),
        ("2026-08-07", "2026-08-12", DENVER, THREE, "2026-08-11T06:00"),  # Friday: Monday, exactly three ahead.
        ("2026-12-24", "2026-12-30", DENVER, THREE, "2026-12-29T07:00"),  # Over Christmas and a weekend.
        ("2026-08-08", "2026-08-13", DENVER, THREE, "2026-08-11T06:00"),  # From a Saturday.
        # Less: none.
        ("2026-08-10", "2026-08-12", DENVER, SHORT, None),
        ("2026-09-03", "2026-09-08", DENVER, SHORT, None),  # Five days, of which two are business days.
        ("2026-08-12", "2026-08-12", DENVER, SHORT, None),
    ],
)
def test_a_booking_has_the_clock_of_its_business_days(
    booked: str, service: str, zone: ZoneInfo, trigger: Trigger, due: str | None
) -> None:
    clock = clock_of_booking(date.fromisoformat(booked), date.fromisoformat(service), replace(SITE, zone=zone))
    assert clock == Clock(trigger, at(due) if due else None)


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        ("2026-08-03", "2026-08-07T06:00"),
        ("2026-08-07", "2026-08-13T06:00"),
        ("2026-12-23", "2026-12-30T07:00"),
    ],
)
def test_a_request_is_due_within_three_business_days(asked: str, due: str) -> None:
    assert clock_of_request(date.fromisoformat(asked), SITE) == Clock(Trigger.REQUEST, at(due))


@pytest.mark.parametrize(
    ("today", "service", "due"),
    [
        ("2026-08-03", "2026-08-17", "2026-08-15T06:00"),  # A Monday: by the end of Friday.
        ("2026-08-14", "2026-08-17", "2026-08-15T06:00"),  # On that Friday still.
        ("2026-08-15", "2026-08-17", None),  # Saturday: too late.
        ("2026-08-17", "2026-08-17", None),
        ("2026-11-25", "2026-11-27", "2026-11-26T07:00"),  # Thanksgiving is no business day.
        ("2026-11-26", "2026-11-27", None),
    ],
)
def test_a_change_is_due_one_business_day_before_the_service_and_too_late_after(
    today: str, service: str, due: str | None
) -> None:
    days = date.fromisoformat(today), date.fromisoformat(service)
    assert clock_of_change(*days, SITE) == Clock(CHANGE, at(due) if due else None)
    assert is_too_late(*days, SITE) == (due is None)


def test_a_sites_own_calendar_moves_every_deadline() -> None:
    closed = replace(SITE, calendar=BusinessCalendar(closed=frozenset({date(2026, 8, 14)})))
    assert clock_of_change(date(2026, 8, 3), date(2026, 8, 17), closed).due_at == at("2026-08-14T06:00")
    assert is_too_late(date(2026, 8, 14), date(2026, 8, 17), closed)
    assert clock_of_booking(date(2026, 8, 3), date(2026, 8, 17), closed).trigger is THREE


def test_further_visits_at_short_notice_are_a_change_of_the_estimate_that_is_there() -> None:
    assert clock_of_more(date(2026, 8, 10), date(2026, 8, 12), SITE) == Clock(CHANGE, at("2026-08-12T06:00"))
    assert clock_of_more(date(2026, 8, 3), date(2026, 8, 17), SITE).trigger is TEN


def duty(clock: Clock, closed_at: datetime | None = None) -> Duty:
    ids = (UUID(int=1), SITE.id, UUID(int=3), UUID(int=1), UUID(int=4))
    return Duty(*ids, clock, Standing.UNDELIVERED, at("2026-08-03T06:00"), closed_at)


EARLY, LATE = Clock(THREE, at("2026-08-06T06:00")), Clock(CHANGE, at("2026-08-15T06:00"))


@pytest.mark.parametrize(
    ("new", "before", "counts"),
    [
        (LATE, None, LATE),
        (LATE, duty(EARLY), EARLY),
        (EARLY, duty(LATE), EARLY),
        (HOLD, duty(EARLY), EARLY),
        (EARLY, duty(HOLD), EARLY),
        (LATE, duty(EARLY, closed_at=at("2026-08-04T06:00")), LATE),  # That one is with the patient.
        (Clock(CHANGE, None), duty(EARLY), EARLY),
    ],
)
def test_a_new_version_puts_nothing_off(new: Clock, before: Duty | None, counts: Clock) -> None:
    assert sooner(new, before) == counts


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2027-03-01", "2028-03-01"),
        ("2027-02-28", "2028-02-28"),
        ("2028-02-29", "2029-02-28"),  # There is no 29th.
        ("2027-12-31", "2028-12-31"),
    ],
)
def test_an_estimate_covers_twelve_months(first: str, last: str) -> None:
    assert last_covered(date.fromisoformat(first)) == date.fromisoformat(last)


def test_visits_beyond_twelve_months_are_named() -> None:
    refuse_too_long([date(2027, 3, 1), date(2028, 3, 1)])
    with pytest.raises(SeriesTooLong) as refused:
        refuse_too_long([date(2028, 3, 2), date(2027, 9, 1), date(2027, 3, 1), date(2029, 1, 1)])
    assert [each.field for each in refused.value.violations] == ["visits[0].start_time", "visits[3].start_time"]


NOON = datetime(2026, 8, 3, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wanted", "standings", "until", "legal_only"),
    [
        (Wanted.ALL, frozenset(Standing), LAST, True),
        (Wanted.DUE_TODAY, frozenset(Standing), at("2026-08-04T06:00"), True),
        (Wanted.LATE, frozenset(Standing), NOON, True),
        (Wanted.UNPRICED, frozenset({Standing.UNPRICED}), LAST, False),
        (Wanted.ORAL_ONLY, frozenset({Standing.ORAL_ONLY}), LAST, False),
    ],
)
def test_a_worklist_shows_what_is_wanted(
    wanted: Wanted, standings: frozenset[Standing], until: datetime, legal_only: bool
) -> None:
    assert (wanted.standings, wanted.until(SITE, NOON), wanted.legal_only) == (standings, until, legal_only)
