"""Where a visit stands, and what comes next."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from chassis.ids import new_id
from services.scheduling.domain.board import (
    BoardResource,
    BoardVisit,
    Next,
    Standing,
    minutes_until,
    next_visits,
    resources_of,
    segments_of,
    standing_of,
)
from services.scheduling.domain.hours import MINUTE, Slot
from services.scheduling.domain.resources import ResourceKind
from services.scheduling.domain.visits import Status, Visit
from tests.support.scheduling import domain_template, local

START = local(3, 2, 9)
TREATMENT = domain_template().visit_type("treatment")  # 10 of preparation, 40, 30, 10 of turnover.
TALK = domain_template().visit_type("talk")
NURSE, ROOM = new_id(), new_id()
COURSE, PATIENT, SITE = new_id(), new_id(), new_id()


def visit(status: Status = Status.BOOKED, start: datetime = START, patient: UUID = PATIENT) -> Visit:
    return Visit(
        id=new_id(),
        course_id=COURSE,
        site_id=SITE,
        patient_id=patient,
        phase_code="induction",
        visit_type_code="treatment",
        route_code="iv",
        band_code="short",
        telehealth=False,
        slot=Slot(start, start + 80 * MINUTE),
        resources=(("nurse", NURSE), ("room", ROOM)),
        status=status,
    )


def board_visit(status: Status = Status.BOOKED, next: Next | None = None, **reached: int) -> BoardVisit:
    """With the statuses that it reached so many minutes after its start."""
    at = {Status[name]: START + minutes * MINUTE for name, minutes in reached.items()}
    return BoardVisit(visit(status), TREATMENT, at, next)


def recorded(each: BoardVisit) -> list[tuple[int | None, int | None]]:
    def after(instant: datetime | None) -> int | None:
        return None if instant is None else (instant - START) // MINUTE

    return [(after(segment.began), after(segment.ended)) for segment in segments_of(each)]


def standing(each: BoardVisit, minute: int) -> tuple[int | None, int | None]:
    found = standing_of(each, START + minute * MINUTE)
    return found.current, None if found.due is None else (found.due - START) // MINUTE


def test_nothing_is_recorded_of_a_visit_that_nobody_checked_in() -> None:
    assert recorded(board_visit(BOOKED=-9000)) == [(None, None)] * 4


def test_each_change_of_status_ends_one_segment_and_begins_the_next() -> None:
    assert recorded(board_visit(CHECKED_IN=2)) == [(2, None), (None, None), (None, None), (None, None)]
    assert recorded(board_visit(CHECKED_IN=2, IN_TREATMENT=15)) == [(2, 15), (15, None), (None, None), (None, None)]
    through = {"CHECKED_IN": 2, "IN_TREATMENT": 15, "IN_OBSERVATION": 60, "COMPLETED": 99}
    assert recorded(board_visit(**through)) == [(2, 15), (15, 60), (60, 99), (99, None)]


def test_what_no_change_of_status_parts_is_not_recorded() -> None:
    assert recorded(board_visit(CHECKED_IN=2, COMPLETED=80)) == [(2, None), (None, None), (None, 80), (80, None)]


def test_a_visit_without_turnover_is_over_when_it_is_completed() -> None:
    talk = replace(board_visit(Status.COMPLETED, CHECKED_IN=0, COMPLETED=25), type=TALK)
    assert recorded(talk) == [(0, 25)]
    assert standing(talk, 25) == (None, None)


@pytest.mark.parametrize(("minute", "left"), [(-10, 10), (0, 0), (1, -1), (7, -7)])
def test_a_patient_who_is_expected_is_due_at_the_start_and_late_after_it(minute: int, left: int) -> None:
    expected = board_visit(Status.CONFIRMED)
    assert standing(expected, minute) == (None, 0)
    assert minutes_until(START, START + minute * MINUTE) == left


def test_minutes_are_rounded_up() -> None:
    due = START + 90 * timedelta(seconds=1)
    assert [minutes_until(due, START + timedelta(seconds=s)) for s in (0, 30, 31, 90, 91, 150)] == [2, 1, 1, 0, 0, -1]


def test_a_segment_is_due_after_its_planned_minutes_counted_from_when_it_began() -> None:
    treated = board_visit(Status.IN_TREATMENT, CHECKED_IN=0, IN_TREATMENT=25)
    assert [standing(treated, minute) for minute in (25, 64, 65, 200)] == [(1, 65)] * 4


def test_what_somebody_has_to_begin_is_waited_for() -> None:
    arrived = board_visit(Status.CHECKED_IN, CHECKED_IN=0)
    assert [standing(arrived, minute) for minute in (0, 10, 60)] == [(0, 10)] * 3


def test_the_turnover_lasts_as_long_as_planned_and_then_the_visit_is_nowhere() -> None:
    done = board_visit(Status.COMPLETED, CHECKED_IN=0, COMPLETED=80)
    assert [standing(done, minute) for minute in (80, 89, 90)] == [(3, 90), (3, 90), (None, None)]


@pytest.mark.parametrize("status", [Status.CANCELLED, Status.NO_SHOW])
def test_a_visit_that_does_not_take_place_is_nowhere(status: Status) -> None:
    assert standing(board_visit(status), 5) == (None, None)


def test_the_next_visit_is_that_of_the_day_or_of_the_course_whichever_is_earlier() -> None:
    later = Next(new_id(), START + timedelta(days=3))
    first = board_visit(next=later)
    assert next_visits([first]) == {first.visit.id: later}
    cancelled = replace(first, visit=visit(Status.CANCELLED, START + 120 * MINUTE), next_of_course=None)
    second = replace(first, visit=visit(start=START + 180 * MINUTE), next_of_course=None)
    of_another = replace(first, visit=visit(start=START + 150 * MINUTE, patient=new_id()), next_of_course=None)
    assert next_visits([first, cancelled, of_another, second]) == {
        first.visit.id: Next(second.visit.id, second.visit.slot.start),
        cancelled.visit.id: Next(second.visit.id, second.visit.slot.start),
    }


def test_a_resource_of_another_site_that_a_visit_takes_is_shown_without_a_name() -> None:
    each = board_visit()
    known = [BoardResource(ROOM, ResourceKind.ROOM, "Room 1")]
    assert resources_of(known, [each], [Standing(None, START)]) == [
        BoardResource(ROOM, ResourceKind.ROOM, "Room 1", (), Next(each.visit.id, START)),
        BoardResource(NURSE, ResourceKind.STAFF, "", (), Next(each.visit.id, START)),
    ]
