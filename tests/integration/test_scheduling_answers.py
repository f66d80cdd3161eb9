"""What patients answer to a text, as notifications tells it: a visit is confirmed, or a front desk is to move it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from atoll.billing.v1.events_pb2 import DepositReleased
from atoll.notifications.v1.events_pb2 import RescheduleRequested, VisitConfirmationReceived
from atoll.scheduling.v1 import task_service_pb2 as tasks
from atoll.scheduling.v1 import visit_pb2, visit_service_pb2
from atoll.scheduling.v1.task_service_pb2_grpc import TaskServiceStub
from atoll.scheduling.v1.visit_service_pb2_grpc import VisitServiceStub
from chassis.ids import new_id, to_wire
from services.scheduling.domain.visits import VisitNotFound
from tests.support.scheduling import Clinic, local, open_clinic, open_scheduling
from tests.support.scheduling_merges import tasks_of, treatment

START = local(3, 2, 9)


@pytest_asyncio.fixture
async def clinic(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Clinic]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield await open_clinic(svc)


async def a_visit(clinic: Clinic) -> Any:
    course = await treatment(clinic, await clinic.add_patient(), START)
    return course.visits[0]


def answered(event_type: Any, visit: Any) -> Any:
    return event_type(visit_id=visit.id, patient_id=to_wire("patient", new_id()), site_id=visit.site_id)


async def status_of(clinic: Clinic, visit: Any) -> tuple[str, list[str]]:
    stub: Any = clinic.svc.stub(VisitServiceStub)
    found = await clinic.svc.call(stub.GetVisit, visit_service_pb2.GetVisitRequest(visit_id=visit.id))
    changes = [visit_pb2.VisitStatus.Name(each.status) for each in found.status_changes]
    return visit_pb2.VisitStatus.Name(found.visit.status), changes


async def confirmed(clinic: Clinic) -> list[Any]:
    return [event for subject, event in await clinic.svc.published() if subject == "scheduling.v1.visit.confirmed"]


async def test_a_visit_is_confirmed_once_by_whoever_answers_and_the_board_is_told(clinic: Clinic) -> None:
    visit = await a_visit(clinic)
    changes = await clinic.svc.count("site_change")
    for _ in range(2):  # Two answers, two events.
        await clinic.svc.deliver(answered(VisitConfirmationReceived, visit))
    status, seen = await status_of(clinic, visit)
    assert (status, seen[-1]) == ("VISIT_STATUS_CONFIRMED", "VISIT_STATUS_CONFIRMED")
    [event] = await confirmed(clinic)
    assert event.visit_id == visit.id
    assert await clinic.svc.count("site_change") == changes + 1
    actor = "SELECT actor FROM visit_status_change WHERE status = 'VISIT_STATUS_CONFIRMED'"
    assert await clinic.svc.admin.fetchval(actor) == "scheduling"


async def test_one_that_has_begun_or_is_off_stays_as_it_is(clinic: Clinic) -> None:
    visit = await a_visit(clinic)
    clinic.svc.clock.now = START
    for event_type in (VisitConfirmationReceived, RescheduleRequested):
        await clinic.svc.deliver(answered(event_type, visit))
    clinic.svc.clock.now = START - timedelta(days=1)
    fields: dict[str, Any] = {"visit_id": visit.id, "reason": "CANCELLATION_REASON_PATIENT"}
    request = visit_service_pb2.CancelVisitRequest(request_id=str(uuid4()), **fields)
    stub: Any = clinic.svc.stub(VisitServiceStub)
    await clinic.svc.call(stub.CancelVisit, request, clinic.token())
    for event_type in (VisitConfirmationReceived, RescheduleRequested):
        await clinic.svc.deliver(answered(event_type, visit))
    assert (await status_of(clinic, visit))[0] == "VISIT_STATUS_CANCELLED"
    assert await confirmed(clinic) == []
    assert await tasks_of(clinic) == []


async def test_who_asks_for_another_time_is_a_task_of_the_front_desk_and_the_visit_stands(clinic: Clinic) -> None:
    visit = await a_visit(clinic)
    for _ in range(2):
        await clinic.svc.deliver(answered(RescheduleRequested, visit))
    [task] = await tasks_of(clinic, kind=tasks.TASK_KIND_VISIT_TO_MOVE)
    assert (list(task.visit_ids), task.patient_id) == ([visit.id], visit.patient_id)
    assert (task.merged_patient_id, task.closure_id, task.state) == ("", "", tasks.TASK_STATE_OPEN)
    assert (await status_of(clinic, visit))[0] == "VISIT_STATUS_BOOKED"
    stub: Any = clinic.svc.stub(TaskServiceStub)
    done = tasks.CompleteTaskRequest(request_id=str(uuid4()), task_id=task.id, etag=task.etag, note="Moved.")
    await clinic.svc.call(stub.CompleteTask, done, clinic.token())
    await clinic.svc.deliver(answered(RescheduleRequested, visit))  # And again, after it was seen to.
    assert [each.state for each in await tasks_of(clinic)] == [tasks.TASK_STATE_DONE, tasks.TASK_STATE_OPEN]


async def test_money_for_a_course_that_will_not_take_place_is_a_task_of_the_front_desk_once(clinic: Clinic) -> None:
    course_id, patient_id = (to_wire(kind, new_id()) for kind in ("course", "patient"))
    for _ in range(2):  # Two payments of one course.
        released = DepositReleased(course_id=course_id, patient_id=patient_id, site_id=clinic.site_id)
        await clinic.svc.deliver(released)
    [task] = await tasks_of(clinic, kind=tasks.TASK_KIND_DEPOSIT_TO_SETTLE)
    assert (task.course_id, task.patient_id, list(task.visit_ids)) == (course_id, patient_id, [])


async def test_of_a_visit_that_is_not_known_nothing_is_made(clinic: Clinic) -> None:
    visit = await a_visit(clinic)
    visit.id = to_wire("visit", new_id())
    for event_type in (VisitConfirmationReceived, RescheduleRequested):
        with pytest.raises(VisitNotFound):
            await clinic.svc.deliver(answered(event_type, visit))
