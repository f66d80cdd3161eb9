"""Rules of sites and resources."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from chassis.errors import DomainError
from services.scheduling.domain.hours import DateHours, HoursInvalid, Rotation, Shift, Slot
from services.scheduling.domain.resources import (
    CredentialNotOfStaff,
    NpiInvalid,
    Resource,
    ResourceKind,
    WorkingShift,
    is_npi,
)
from services.scheduling.domain.sites import (
    DiscreetNameRefused,
    ExceptionsOverlap,
    PhoneInvalid,
    Site,
    StateUnknown,
    TimeZoneUnknown,
    betrays_health,
)
from tests.support.scheduling import local

SITE = Site(
    id=UUID(int=1),
    legal_entity_id=UUID(int=2),
    code="den",
    display_name="Front Range Ketamine",
    discreet_name="Suite 200",
    address={"address_lines": ["1600 Broadway", "Suite 200"], "locality": "Denver", "postal_code": "80202"},
    state="CO",
    time_zone="America/Denver",
    phone="+13035550123",
    opening_hours=(Shift(0, 540, 1020),),
    closed_dates=(),
)
OTHER = UUID(int=4)
NURSE = Resource(UUID(int=3), SITE.id, ResourceKind.STAFF, "Nurse", frozenset({"infusion"}), 2)


def test_a_site_that_keeps_every_rule_passes_and_has_an_address_of_one_line() -> None:
    SITE.check()
    assert SITE.address_line == "1600 Broadway, Suite 200, Denver, CO 80202"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"time_zone": "America/Albuquerque"}, TimeZoneUnknown),
        ({"time_zone": "localtime"}, TimeZoneUnknown),
        ({"state": "XX"}, StateUnknown),
        ({"address": {"administrative_area": "NM"}}, StateUnknown),
        ({"phone": "(303) 555-0123"}, PhoneInvalid),
        ({"phone": "+1303"}, PhoneInvalid),
        ({"discreet_name": "Denver Infusions"}, DiscreetNameRefused),
    ],
)
def test_a_site_that_breaks_a_rule_is_refused_by_name(changes: dict[str, Any], error: type[DomainError]) -> None:
    with pytest.raises(error) as refused:
        replace(SITE, **changes).check()
    assert len(refused.value.violations) == 1


@pytest.mark.parametrize("name", ["KetaminaPlus", "Mile High Therapy", "PTSD Center", "Pain & Mood", "HealthSpa"])
def test_a_health_word_betrays_a_clinic(name: str) -> None:
    assert betrays_health(name)


@pytest.mark.parametrize("name", ["Suite 200", "Painted Hills", "Monumental", "Tuesday at Broadway"])
def test_other_words_do_not(name: str) -> None:
    assert not betrays_health(name)


@pytest.mark.parametrize(
    ("npi", "valid"),
    [("1234567893", True), ("1234567890", False), ("1234567839", False), ("123456789", False), ("123456789X", False)],
)
def test_an_npi_has_a_check_digit(npi: str, valid: bool) -> None:
    assert is_npi(npi) is valid


def test_only_staff_have_a_credential_and_an_npi() -> None:
    replace(NURSE, credential="RN", npi="1234567893").check()
    for changes in ({"credential": "RN"}, {"npi": "1234567893"}):
        with pytest.raises(CredentialNotOfStaff):
            replace(NURSE, kind=ResourceKind.ROOM, **changes).check()  # type: ignore[arg-type]
    with pytest.raises(NpiInvalid):
        replace(NURSE, npi="1234567890").check()


def test_a_resource_without_hours_has_the_sites_and_one_with_hours_its_own() -> None:
    assert NURSE.hours(SITE.hours) is SITE.hours or NURSE.hours(SITE.hours) == SITE.hours
    early = replace(NURSE, working_hours=(Shift(0, 360, 540),))
    assert early.hours(SITE.hours).shifts == (Shift(0, 360, 540),)


def working(
    weekday: int, start: int, end: int, weeks: int = 1, anchor: date = date(2027, 3, 1), **changes: Any
) -> WorkingShift:
    return WorkingShift(OTHER, Rotation(Shift(weekday, start * 60, end * 60), weeks, anchor, **changes))


@pytest.mark.parametrize(
    ("shifts", "overlap"),
    [
        ((working(1, 8, 12), working(1, 12, 18)), False),
        ((working(1, 8, 12), working(1, 11, 18)), True),
        ((working(1, 8, 12, 2), working(1, 8, 12, 2, date(2027, 3, 8))), False),
        ((working(1, 8, 12, 2), working(1, 8, 12, 2, date(2027, 3, 15))), True),
        ((working(1, 8, 12, 2), working(1, 8, 12, 3, date(2027, 3, 8))), True),  # Some week is both's.
        ((working(1, 8, 12, 4), working(1, 8, 12, 2, date(2027, 3, 8))), False),
        ((working(6, 22, 30), working(0, 5, 9)), True),  # Sunday's night runs into Monday.
        ((working(6, 22, 30, 2), working(0, 5, 9, 2)), False),  # But not into that of its own week.
        ((working(6, 22, 30, 2), working(0, 5, 9, 2, date(2027, 3, 8))), True),
        ((working(1, 8, 12, last=date(2027, 3, 9)), working(1, 8, 12, first=date(2027, 3, 10))), False),
    ],
)
def test_nobody_has_two_shifts_at_once_in_weeks_that_can_meet(shifts: tuple[WorkingShift, ...], overlap: bool) -> None:
    for order in (shifts, shifts[::-1]):
        resource = replace(NURSE, shifts=order)
        if overlap:
            with pytest.raises(HoursInvalid) as refused:
                resource.check()
            assert [fault.field for fault in refused.value.violations] == ["shifts[1]"]
        else:
            resource.check()


def test_a_resource_with_shifts_elsewhere_only_is_not_at_its_home_site() -> None:
    away = replace(NURSE, shifts=(working(0, 9, 17),))
    assert not away.hours(SITE.hours).spans(Slot(local(3, 1, 0), local(3, 9, 0)))
    there = replace(SITE, id=OTHER, time_zone="America/New_York").hours
    eastern = datetime(2027, 3, 1, 9, tzinfo=ZoneInfo("America/New_York"))
    day = Slot(local(3, 1, 0), local(3, 2, 0))
    assert away.hours(there).spans(day) == [Slot(eastern, eastern + timedelta(hours=8))]
    assert not NURSE.hours(there).spans(Slot(local(3, 1, 0), local(3, 9, 0)))  # Nobody said that she works there.


def test_an_exception_may_run_over_midnight_up_to_the_next_days_first_stretch() -> None:
    late, early = DateHours(date(2027, 7, 2), ((1200, 1500),)), DateHours(date(2027, 7, 3), ((60, 120),))
    replace(SITE, exceptions=(early, late)).check()
    with pytest.raises(ExceptionsOverlap) as refused:
        replace(SITE, exceptions=(early, replace(late, stretches=((1200, 1501),)))).check()
    assert [fault.field for fault in refused.value.violations] == ["exceptions[1].stretches"]


def test_an_exception_without_hours_closes_the_whole_day_also_for_who_came_the_evening_before() -> None:
    nights = replace(SITE, opening_hours=tuple(Shift(day, 22 * 60, 30 * 60) for day in range(7)))
    closed = replace(nights, exceptions=(DateHours(date(2027, 7, 2)),)).hours
    assert closed.spans(Slot(local(7, 2, 1), local(7, 2, 23)))[0].end == local(7, 2, 0)


def test_hours_of_the_home_site_are_not_worked_elsewhere() -> None:
    both = replace(NURSE, working_hours=(Shift(0, 480, 720),), shifts=(working(2, 9, 17),))
    there, week = replace(SITE, id=OTHER).hours, Slot(local(3, 1, 6), local(3, 7, 0))
    assert both.hours(SITE.hours).spans(week) == [Slot(local(3, 1, 8), local(3, 1, 12))]
    assert both.hours(there).spans(week) == [Slot(local(3, 3, 9), local(3, 3, 17))]
