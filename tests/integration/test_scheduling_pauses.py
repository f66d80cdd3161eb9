"""What went wrong with a patient pauses their courses until a clinician allows treatment, as patients tells it."""

from collections.abc import AsyncIterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.patients.v1.events_pb2 import (
    AdverseEventRegraded,
    AdverseEventReported,
    AdverseEventResolved,
    TreatmentAllowed,
)
from atoll.scheduling.v1 import course_service_pb2 as pb
from atoll.scheduling.v1.visit_pb2 import VisitStatus
from chassis.ids import new_id, to_wire
from tests.integration.test_scheduling_visits import PATIENT, change
from tests.support.scheduling import DAY, Clinic, local, open_clinic, open_scheduling, visit_choice
from tests.support.service import Running, refusal

FIRST = local(3, 2, 9)


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


def told(event_type: Any, patient_id: str, course_id: str = "", *, id: str = "", **fields: Any) -> Any:
    id = id or to_wire("adverseevent", new_id())
    return event_type(adverse_event_id=id, patient_id=patient_id, course_id=course_id, **fields)


async def get(clinic: Clinic, course_id: str) -> pb.Course:
    request = pb.GetCourseRequest(course_id=course_id)
    course: pb.Course = (await clinic.svc.call(clinic.courses.GetCourse, request)).course
    return course


async def treatments(clinic: Clinic, patient_id: str, day: int = 0) -> pb.Course:
    return await clinic.book(clinic.request(patient_id, clinic.treatments([FIRST + day * DAY])))


@pytest.mark.parametrize("named", [True, False])
async def test_no_treatment_of_a_paused_course_begins_and_the_rest_goes_on(clinic: Clinic, named: bool) -> None:
    patient = await clinic.add_patient()
    course = await treatments(clinic, patient)
    [visit], reported = course.visits, told(AdverseEventReported, patient, course.id if named else "")
    await clinic.svc.deliver(reported, version=1)
    assert (await get(clinic, course.id)).paused
    refused = await refusal(change(clinic, "CheckInVisit", visit.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "COURSE_PAUSED")
    assert refused.metadata == {"course_id": course.id}
    await change(clinic, "ConfirmVisit", visit.id)
    allowed = told(TreatmentAllowed, patient, reported.course_id, id=reported.adverse_event_id)
    await clinic.svc.deliver(allowed, version=2)
    assert not (await get(clinic, course.id)).paused
    await change(clinic, "CheckInVisit", visit.id)
    await clinic.svc.deliver(told(AdverseEventReported, patient, course.id), version=1)
    assert (await refusal(change(clinic, "StartTreatment", visit.id))).reason == "COURSE_PAUSED"
    assert (await change(clinic, "CancelVisit", visit.id, reason=PATIENT)).id == visit.id


async def test_another_course_goes_on_but_no_new_treatment_is_booked(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    one, other = await treatments(clinic, patient), await treatments(clinic, patient, day=1)
    await clinic.svc.deliver(told(AdverseEventReported, patient, one.id), version=1)
    assert [(await get(clinic, each.id)).paused for each in (one, other)] == [True, False]
    await change(clinic, "CheckInVisit", other.visits[0].id)
    talk = visit_choice("assessment", FIRST + 2 * DAY, prescriber=clinic.prescriber)
    visits = [talk, *clinic.treatments([FIRST + 6 * DAY])]
    before = await clinic.count("course")
    refused = await refusal(clinic.book(clinic.request(patient, visits)))
    assert (refused.reason, refused.faults) == ("COURSE_PAUSED", [("visits[1].phase_code", "COURSE_PAUSED")])
    assert await clinic.count("course") == before
    spoken = await clinic.book(clinic.request(patient, [talk]))
    await change(clinic, "CheckInVisit", spoken.visits[0].id)


async def test_a_visit_at_which_nothing_is_given_goes_on_in_the_paused_course_itself(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    talk = visit_choice("assessment", FIRST, prescriber=clinic.prescriber)
    course = await clinic.book(clinic.request(patient, [talk, *clinic.treatments([FIRST + 2 * DAY])]))
    await clinic.svc.deliver(told(AdverseEventReported, patient, course.id), version=1)
    assert (await get(clinic, course.id)).paused
    spoken, given = course.visits
    assert (await change(clinic, "CheckInVisit", spoken.id)).status == VisitStatus.VISIT_STATUS_CHECKED_IN
    assert (await refusal(change(clinic, "CheckInVisit", given.id))).reason == "COURSE_PAUSED"


async def test_every_one_of_several_adverse_events_must_allow_treatment(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    course, ids = await treatments(clinic, patient), [to_wire("adverseevent", new_id()) for _ in range(2)]
    for id in ids:
        await clinic.svc.deliver(told(AdverseEventReported, patient, course.id, id=id), version=1)
    await clinic.svc.deliver(told(TreatmentAllowed, patient, course.id, id=ids[0]), version=2)
    assert (await get(clinic, course.id)).paused
    resolved = told(AdverseEventResolved, patient, course.id, id=ids[1], treatment_allowed=False)
    await clinic.svc.deliver(resolved, version=2)
    assert (await get(clinic, course.id)).paused
    await clinic.svc.deliver(told(TreatmentAllowed, patient, course.id, id=ids[1]), version=3)
    assert not (await get(clinic, course.id)).paused


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_what_it_came_to_last_counts_in_whatever_order_it_comes(clinic: Clinic, order: tuple[int, ...]) -> None:
    patient = await clinic.add_patient()
    course, id = await treatments(clinic, patient), to_wire("adverseevent", new_id())
    story = [
        told(AdverseEventReported, patient, course.id, id=id),
        told(TreatmentAllowed, patient, course.id, id=id),
        told(AdverseEventResolved, patient, course.id, id=id, treatment_allowed=True),
    ]
    for n in (*order, order[0]):
        event = type(story[n])()
        event.CopyFrom(story[n])
        await clinic.svc.deliver(event, version=n + 1)
    assert not (await get(clinic, course.id)).paused


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_what_turned_out_worse_pauses_again_in_whatever_order_it_comes(
    clinic: Clinic, order: tuple[int, ...]
) -> None:
    patient = await clinic.add_patient()
    course, id = await treatments(clinic, patient), to_wire("adverseevent", new_id())
    story = [
        told(AdverseEventReported, patient, course.id, id=id, grade=1),
        told(TreatmentAllowed, patient, course.id, id=id),
        told(AdverseEventRegraded, patient, course.id, id=id, grade=4, pausing=True),
    ]
    for n in order:
        await clinic.svc.deliver(story[n], version=n + 1)
    assert (await get(clinic, course.id)).paused
    assert (await refusal(change(clinic, "CheckInVisit", course.visits[0].id))).reason == "COURSE_PAUSED"
    await clinic.svc.deliver(told(TreatmentAllowed, patient, course.id, id=id), version=4)
    assert not (await get(clinic, course.id)).paused


async def test_another_grade_that_pauses_nothing_changes_nothing(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    course, id = await treatments(clinic, patient), to_wire("adverseevent", new_id())
    await clinic.svc.deliver(told(AdverseEventReported, patient, course.id, id=id), version=1)
    await clinic.svc.deliver(told(AdverseEventRegraded, patient, course.id, id=id, grade=1), version=2)
    assert (await get(clinic, course.id)).paused
    await clinic.svc.deliver(told(TreatmentAllowed, patient, course.id, id=id), version=3)
    await clinic.svc.deliver(told(AdverseEventRegraded, patient, course.id, id=id, grade=1), version=4)
    assert not (await get(clinic, course.id)).paused
