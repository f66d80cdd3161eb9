"""What may be held, and until when, without anything outside the process."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from chassis.ids import to_wire
from services.scheduling.domain.courses import Course, Taken, laid_out
from services.scheduling.domain.holds import HOLDS_OF_CALLER_MAX, Held, HoldLimit, HoldOver, check_hold, check_share
from services.scheduling.domain.visits import Status
from tests.support.scheduling import local
from tests.unit.test_scheduling_courses import PATIENT, ROOM, SITE, TERMS, treatment

END = datetime(2027, 3, 1, 12, tzinfo=UTC)
COURSE = Course(
    id=UUID(int=50),
    site_id=SITE,
    patient_id=PATIENT,
    protocol_version_id=UUID(int=51),
    route_code="iv",
    booked_at=None,
    visits=(),
    hold_until=END,
)
LAYOUTS = TERMS.layouts([treatment(local(3, 2, 9)), treatment(local(3, 5, 9))])
HELD = laid_out(COURSE, LAYOUTS, [UUID(int=60), UUID(int=61)], Status.HELD)


def holding(until: datetime | None = END) -> Course:
    return Course(COURSE.id, SITE, PATIENT, COURSE.protocol_version_id, "iv", None, HELD, hold_until=until)


def test_a_hold_is_there_until_its_instant() -> None:
    check_hold(holding(), END - timedelta(microseconds=1), 2)
    for course, now, present in ((holding(), END, 2), (holding(None), END - timedelta(hours=1), 2), (COURSE, END, 0)):
        with pytest.raises(HoldOver):
            check_hold(course, now, present)


def test_a_hold_of_which_a_visit_was_cleared_away_is_over() -> None:
    with pytest.raises(HoldOver):
        check_hold(holding(), END - timedelta(minutes=1), 1)


def test_visits_that_are_held_stand_until_the_hold_ends() -> None:
    assert holding().standing(END - timedelta(microseconds=1)) == HELD
    assert holding().standing(END) == ()


def test_a_patient_holds_one_course_and_a_caller_so_many() -> None:
    Held(None, HOLDS_OF_CALLER_MAX - 1).check_one_more()
    for held in (Held(COURSE.id, 0), Held(None, HOLDS_OF_CALLER_MAX)):
        with pytest.raises(HoldLimit):
            held.check_one_more()


def placed(*hours: int) -> list[list[Taken]]:
    """Visits of an hour and a half on one day, in a room that is open for ten."""
    choices = [treatment(local(3, 2, hour)) for hour in hours]
    return TERMS.place(PATIENT, choices, TERMS.layouts(choices), [])


def test_visits_of_one_hold_count_together_as_those_of_many_do() -> None:
    check_share(TERMS, placed(8, 10, 12), [])
    with pytest.raises(HoldLimit) as alone:
        check_share(TERMS, placed(8, 10, 12, 14, 16), [])
    with pytest.raises(HoldLimit) as beside:
        check_share(TERMS, placed(12, 14), [each for lanes in placed(8, 10) for each in lanes])
    assert [[each.field for each in refused.value.violations] for refused in (alone, beside)] == [
        ["visits[3]", "visits[4]"],
        ["visits[1]"],
    ]
    assert [each.description for each in beside.value.violations] == [
        f"of {to_wire('resource', ROOM)}, 360 of 600 minutes would be held on 2027-03-02"
    ]
