"""Tasks of a front desk, through the gRPC door: found, listed, completed once."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.scheduling.v1 import task_service_pb2 as pb
from atoll.scheduling.v1.task_service_pb2_grpc import TaskServiceStub
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_timestamp
from services.scheduling.domain.tasks import Task, TaskKind
from services.scheduling.store import SchedulingStore
from tests.support.scheduling import DAY, Clinic, local, open_clinic, open_scheduling
from tests.support.scheduling_merges import merge, tasks_of, treatment, unmerge
from tests.support.service import Running, refusal

FIRST = local(3, 2, 9)
OPEN, DONE = pb.TASK_STATE_OPEN, pb.TASK_STATE_DONE


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


async def a_task(clinic: Clinic, day: int = 0, alias: str = "") -> pb.Task:
    """Of two patients who are at two nurses' at once."""
    alias, survivor = alias or await clinic.add_patient(), await clinic.add_patient()
    for lane, patient in enumerate((alias, survivor)):
        await treatment(clinic, patient, FIRST + day * DAY, lane)
    clinic.svc.clock.now += timedelta(minutes=1)
    await merge(clinic, alias, survivor)
    return (await tasks_of(clinic))[-1]


async def get(clinic: Clinic, task_id: str, token: str | None = None) -> pb.Task:
    stub: Any = clinic.svc.stub(TaskServiceStub)
    task: pb.Task = (await clinic.svc.call(stub.GetTask, pb.GetTaskRequest(task_id=task_id), token)).task
    return task


def completion(task: pb.Task, **changes: Any) -> pb.CompleteTaskRequest:
    fields = {"request_id": str(uuid4()), "task_id": task.id, "etag": task.etag, "note": "Called; keeps the first."}
    return pb.CompleteTaskRequest(**fields | changes)


async def complete(clinic: Clinic, request: pb.CompleteTaskRequest, token: str = "") -> pb.Task:
    stub: Any = clinic.svc.stub(TaskServiceStub)
    task: pb.Task = (await clinic.svc.call(stub.CompleteTask, request, token or clinic.token(subject="ann"))).task
    return task


async def test_a_task_is_completed_with_a_note_of_who_and_when_and_the_visits_stay(clinic: Clinic) -> None:
    task = await a_task(clinic)
    assert await get(clinic, task.id) == task
    clinic.svc.clock.now += DAY
    request = completion(task, note="Rief an: behält 9 Uhr.\n\t♥")
    done = await complete(clinic, request)
    assert (done.state, done.note, done.completed_by) == (DONE, "Rief an: behält 9 Uhr.\n\t♥", "ann")
    assert (done.complete_time, done.etag) == (to_timestamp(clinic.svc.now), '"2"')
    assert await get(clinic, task.id) == done
    assert await complete(clinic, request) == done
    assert await clinic.counts("presence", "task") == [2, 1]
    refused = await refusal(complete(clinic, completion(done)))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "TASK_DONE")
    assert (refused.metadata, await get(clinic, task.id)) == ({"completed_by": "ann"}, done)


async def test_a_stale_etag_completes_nothing(clinic: Clinic) -> None:
    task = await a_task(clinic)
    for etag in ('"2"', "x"):
        refused = await refusal(complete(clinic, completion(task, etag=etag)))
        assert (refused.code, refused.reason) == (StatusCode.ABORTED, "STALE_ETAG")
    assert await get(clinic, task.id) == task


@pytest.mark.parametrize("note", ["", "x" * 1001, "a\0b", "a\x07b", "a\x7fb"])
async def test_a_task_is_not_completed_without_a_readable_note(clinic: Clinic, note: str) -> None:
    task = await a_task(clinic)
    refused = await refusal(complete(clinic, completion(task, note=note)))
    assert (refused.reason, [field for field, _ in refused.faults]) == ("BAD_REQUEST", ["note"])
    assert await get(clinic, task.id) == task


async def test_tasks_are_listed_by_kind_and_state_in_pages_the_oldest_first(clinic: Clinic) -> None:
    first, second = await a_task(clinic), await a_task(clinic, 1)
    await unmerge(clinic, second.merged_patient_id, second.patient_id)
    await merge(clinic, second.merged_patient_id, second.patient_id, 3)
    again = (await tasks_of(clinic))[-1]
    booked = await treatment(clinic, second.patient_id, FIRST + 2 * DAY)
    await unmerge(clinic, second.merged_patient_id, second.patient_id, 4)
    overlapping, to_assign = pb.TASK_KIND_OVERLAPPING_VISITS, pb.TASK_KIND_VISITS_TO_ASSIGN
    assigned = (await tasks_of(clinic, kind=to_assign))[-1]
    assert booked.visits[0].id in assigned.visit_ids
    done = await complete(clinic, completion(first))
    everything = await tasks_of(clinic)
    assert everything[:3] == [done, second, again]
    assert [task for task in everything if task.kind == overlapping] == await tasks_of(clinic, kind=overlapping)
    assert await tasks_of(clinic, state=DONE) == [done]
    assert await tasks_of(clinic, state=OPEN) == everything[1:]
    assert await tasks_of(clinic, state=OPEN, kind=overlapping) == [second, again]
    request = pb.ListTasksRequest(site_id=clinic.site_id, state=OPEN, kind=overlapping, page_size=1)
    stub: Any = clinic.svc.stub(TaskServiceStub)
    page = await clinic.svc.call(stub.ListTasks, request)
    request.page_token = page.next_page_token
    rest = await clinic.svc.call(stub.ListTasks, request)
    assert ([*page.tasks], [*rest.tasks], rest.next_page_token) == ([second], [again], "")
    request.state = DONE
    assert (await refusal(clinic.svc.call(stub.ListTasks, request))).reason == "BAD_PAGE_TOKEN"


@pytest.mark.parametrize(
    ("role", "reads", "completes"),
    [
        ("CHAIN_ADMIN", True, False),
        ("SITE_MANAGER", True, True),
        ("FRONT_DESK", True, True),
        ("AUDITOR", True, False),
        ("CLINICIAN", False, False),
        ("NURSE", False, False),
        ("BILLING", False, False),
        ("INTEGRATION", False, False),
        ("SERVICE", False, False),
    ],
)
async def test_only_who_sees_to_tasks_completes_them(clinic: Clinic, role: str, reads: bool, completes: bool) -> None:
    task, token = await a_task(clinic), clinic.token(f"ROLE_{role}")
    for asked, allowed in (
        (lambda: get(clinic, task.id, token), reads),
        (lambda: tasks_of(clinic, token), reads),
        (lambda: complete(clinic, completion(task), token), completes),
    ):
        if allowed:
            assert await asked()
        else:
            assert (await refusal(asked())).code is StatusCode.PERMISSION_DENIED
    assert (await get(clinic, task.id)).state == (DONE if completes else OPEN)


async def test_another_site_and_another_chain_have_no_such_task(clinic: Clinic) -> None:
    task, away = await a_task(clinic), await clinic.add_site("bou")
    strangers = (clinic.token(site_id=away), clinic.svc.token("ROLE_FRONT_DESK", chain_id=new_id()))
    for token in strangers:
        for asked in (get(clinic, task.id, token), complete(clinic, completion(task), token)):
            refused = await refusal(asked)
            assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
    assert await tasks_of(clinic, strangers[0], away) == []
    assert await tasks_of(clinic, strangers[1]) == []
    absent = await refusal(get(clinic, to_wire("task", new_id())))
    assert (absent.code, absent.reason) == (StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
    assert await get(clinic, task.id) == task


async def test_the_same_task_is_not_added_twice(clinic: Clinic) -> None:
    """However often a merge is told of, by whatever event."""
    task = await a_task(clinic)
    site_id, visits = from_wire("site", task.site_id), tuple(from_wire("visit", id) for id in task.visit_ids)
    patients = from_wire("patient", task.patient_id), from_wire("patient", task.merged_patient_id)
    kind = TaskKind.OVERLAPPING_VISITS

    async def add(store: SchedulingStore) -> None:
        for version in (1, 1, 3):
            await store.add_task(Task(new_id(), site_id, kind, *patients, version, visits, clinic.svc.now))

    await clinic.svc.db.job(clinic.svc.inside("scheduling"), SchedulingStore, add)
    assert await clinic.count("task") == 2


async def test_who_looked_at_a_task_is_kept(clinic: Clinic) -> None:
    task = await a_task(clinic)
    await get(clinic, task.id)
    noted = "SELECT kind, ids FROM audit WHERE chain_id = $1 ORDER BY position DESC LIMIT 1"
    row = await clinic.svc.admin.fetchrow(noted, clinic.svc.chain_id)
    assert row
    assert (row["kind"], task.id in row["ids"]) == ("AUDIT_PHI_READ", True)
