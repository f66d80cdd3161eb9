"""How a visit comes from booked to completed, and how long it took."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from services.scheduling.domain.hours import Slot
from services.scheduling.domain.protocols import SegmentKind
from services.scheduling.domain.visits import (
    BEFORE,
    CancellationReason,
    SegmentsMismatch,
    Status,
    StatusChange,
    Visit,
    VisitNotDue,
    VisitStatusConflict,
    given_minutes,
    recorded_minutes,
)
from tests.support.scheduling import domain_template, local

START = local(3, 2, 9)
NURSE, ROOM = UUID(int=5), UUID(int=6)
VISIT = Visit(
    id=UUID(int=1),
    course_id=UUID(int=2),
    site_id=UUID(int=3),
    patient_id=UUID(int=4),
    phase_code="induction",
    visit_type_code="treatment",
    route_code="iv",
    band_code="short",
    telehealth=False,
    slot=Slot(START, START + timedelta(minutes=80)),
    resources=(("nurse", NURSE), ("room", ROOM)),
)
TREATMENT, TALK = (domain_template().visit_type(code) for code in ("treatment", "talk"))
ALLOWED = {
    Status.BOOKED: {Status.CONFIRMED, Status.CHECKED_IN, Status.CANCELLED, Status.NO_SHOW},
    Status.CONFIRMED: {Status.CHECKED_IN, Status.CANCELLED, Status.NO_SHOW},
    Status.CHECKED_IN: {Status.IN_TREATMENT, Status.COMPLETED, Status.CANCELLED},
    Status.IN_TREATMENT: {Status.IN_OBSERVATION, Status.COMPLETED},
    Status.IN_OBSERVATION: {Status.COMPLETED},
    Status.COMPLETED: set(),
    Status.CANCELLED: set(),
    Status.NO_SHOW: set(),
    Status.HELD: {Status.BOOKED, Status.EXPIRED},
    Status.EXPIRED: set(),
}


def changes(*steps: tuple[Status, int]) -> list[StatusChange]:
    """Each so many minutes after nine."""
    return [StatusChange(status, at(minutes), "user") for status, minutes in steps]


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


@pytest.mark.parametrize("status", Status)
def test_a_visit_goes_only_where_its_status_allows(status: Status) -> None:
    reached = {to for to, sources in BEFORE.items() if status in sources}
    assert reached == ALLOWED[status]


def test_a_wrong_change_names_where_from_and_where_to() -> None:
    with pytest.raises(VisitStatusConflict) as refused:
        VISIT.moved_to(Status.IN_TREATMENT)
    assert refused.value.metadata == {"from": "BOOKED", "to": "IN_TREATMENT"}


def test_a_visit_is_missed_from_its_start_on_and_not_before() -> None:
    assert VISIT.missed(START).status is Status.NO_SHOW
    with pytest.raises(VisitNotDue):
        VISIT.missed(START - timedelta(seconds=1))


def test_a_cancelled_visit_keeps_its_reason() -> None:
    assert VISIT.cancelled(CancellationReason.CLINIC).cancellation_reason is CancellationReason.CLINIC


FULL = ((Status.CHECKED_IN, 0), (Status.IN_TREATMENT, 12), (Status.IN_OBSERVATION, 57))


@pytest.mark.parametrize(
    ("steps", "done", "minutes"),
    [
        (FULL, 90, [12, 45, 33]),
        (FULL[:2], 62, [12, 28, 22]),  # Never put into observation: 50 minutes shared 40 to 30, rounded down in turn.
        (FULL[:1], 80, [10, 40, 30]),
        (FULL, 57, [12, 45, 0]),
    ],
)
def test_minutes_are_those_between_the_recorded_instants(
    steps: Sequence[tuple[Status, int]], done: int, minutes: list[int]
) -> None:
    recorded = recorded_minutes(TREATMENT, changes(*steps), at(done))
    kinds = [SegmentKind.PREPARATION, SegmentKind.ADMINISTRATION, SegmentKind.OBSERVATION]
    assert recorded == tuple(zip(kinds, minutes, strict=True))


def test_seconds_are_rounded_to_the_nearest_minute() -> None:
    recorded = recorded_minutes(TALK, changes((Status.CHECKED_IN, 0)), at(29.6))
    assert recorded == ((SegmentKind.CONSULTATION, 30),)


def test_a_completed_visit_is_priced_by_its_actual_minutes() -> None:
    there = replace(VISIT, status=Status.IN_OBSERVATION)
    long = [(Status.CHECKED_IN, 0), (Status.IN_TREATMENT, 10), (Status.IN_OBSERVATION, 71)]
    assert there.completed(TREATMENT, changes(*FULL), (), at(90)).band_code == "short"
    assert there.completed(TREATMENT, changes(*long), (), at(90)).band_code == "long"


def test_given_minutes_are_those_of_the_visit_type_in_its_order() -> None:
    given = tuple((segment.kind, 20) for segment in TREATMENT.attended)
    assert given_minutes(TREATMENT, given) == given
    negative = ((SegmentKind.PREPARATION, -1), *given[1:])
    for wrong in (given[:2], given[::-1], (*given, (SegmentKind.TURNOVER, 10)), negative):
        with pytest.raises(SegmentsMismatch):
            given_minutes(TREATMENT, wrong)


def test_a_visit_is_billed_to_whom_meets_its_first_requirement_of_staff() -> None:
    assert VISIT.rendering_id(TREATMENT) == NURSE
    assert VISIT.place_of_service == "11"
    assert replace(VISIT, telehealth=True).place_of_service == "10"
