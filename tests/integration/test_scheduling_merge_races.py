"""Bookings against merges: their interleaving is forced. A merge waits for who books, and who books for a merge."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from atoll.common.v1.access_pb2 import AUDIT_NONE
from atoll.scheduling.v1 import course_service_pb2 as pb
from atoll.scheduling.v1 import task_service_pb2 as tasks
from atoll.scheduling.v1.task_service_pb2_grpc import TaskServiceStub
from chassis.ids import from_wire, to_wire
from services.scheduling import use_cases
from services.scheduling.store import SchedulingStore
from tests.integration.test_scheduling_races import booking, once, until_a_lock_is_awaited
from tests.integration.test_scheduling_tasks import a_task, completion
from tests.support.scheduling import Clinic, local, open_clinic, open_scheduling
from tests.support.scheduling_merges import merge, tasks_of, treatment, unmerge
from tests.support.service import Running, refusal

FIRST = local(3, 2, 9)


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


class Held:
    """A booking, or a merge, that has done its work and holds its transaction open."""

    def __init__(self) -> None:
        self._done, self._commit = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[object] | None = None

    async def book(self, clinic: Clinic, patient: str, lane: int = 0) -> None:
        visits = clinic.treatments([FIRST], clinic.nurses[lane], clinic.rooms[lane])
        request = clinic.request(patient, visits)

        async def work(store: SchedulingStore) -> pb.BookCourseResponse:
            response = await booking(request)(store)
            await self._hold()
            return response

        self._task = asyncio.create_task(once(clinic, request, work))
        await self._done.wait()

    async def merge(self, clinic: Clinic, alias: str, survivor: str) -> None:
        command = use_cases.KeepMerge(
            from_wire("patient", survivor), from_wire("patient", alias), True, 1, clinic.svc.now
        )

        async def work(store: SchedulingStore) -> None:
            await use_cases.keep_merge(store, command)
            await self._hold()

        call = clinic.svc.inside("scheduling", audit=AUDIT_NONE)
        self._task = asyncio.create_task(clinic.svc.db.job(call, SchedulingStore, work))
        await self._done.wait()

    async def commit(self) -> None:
        assert self._task
        self._commit.set()
        await self._task

    async def _hold(self) -> None:
        self._done.set()
        await self._commit.wait()


@pytest.mark.parametrize("booked", ["alias", "survivor", "survivor's survivor"])
async def test_a_merge_waits_for_a_booking_and_then_sees_what_it_makes_overlap(clinic: Clinic, booked: str) -> None:
    alias, survivor, last = [await clinic.add_patient() for _ in range(3)]
    if booked == "survivor's survivor":
        await merge(clinic, survivor, last)
    other = survivor if booked == "alias" else alias
    there = await treatment(clinic, other, FIRST, lane=1)
    held = Held()
    await held.book(clinic, {"alias": alias, "survivor": survivor}.get(booked, last))
    merging = asyncio.create_task(merge(clinic, alias, survivor))
    await until_a_lock_is_awaited(clinic)
    await held.commit()
    await merging
    [task] = await tasks_of(clinic)
    assert task.kind == tasks.TASK_KIND_OVERLAPPING_VISITS
    assert there.visits[0].id in task.visit_ids


@pytest.mark.parametrize("asked", ["alias", "survivor"])
async def test_a_booking_waits_for_a_merge_and_then_sees_the_visits_of_both(clinic: Clinic, asked: str) -> None:
    alias, survivor = await clinic.add_patient(), await clinic.add_patient()
    await treatment(clinic, survivor if asked == "alias" else alias, FIRST)
    held = Held()
    await held.merge(clinic, alias, survivor)
    booking = asyncio.create_task(refusal(treatment(clinic, alias if asked == "alias" else survivor, FIRST, lane=1)))
    await until_a_lock_is_awaited(clinic)
    await held.commit()
    refused = await booking
    assert (refused.reason, refused.faults) == ("VISITS_CONFLICT", [("visits[0]", "PATIENT_TAKEN")])
    assert await clinic.counts("course", "presence", "task") == [1, 1, 0]


async def test_a_booking_for_an_alias_waits_for_one_for_its_survivor_and_names_the_visit(clinic: Clinic) -> None:
    """The exclusion constraint would refuse it, too, and say less."""
    alias, survivor = await clinic.add_patient(), await clinic.add_patient()
    await merge(clinic, alias, survivor)
    held = Held()
    await held.book(clinic, survivor)
    booking = asyncio.create_task(refusal(treatment(clinic, alias, FIRST, lane=1)))
    await until_a_lock_is_awaited(clinic)
    await held.commit()
    refused = await booking
    assert (refused.reason, refused.faults) == ("VISITS_CONFLICT", [("visits[0]", "PATIENT_TAKEN")])


async def test_a_hold_of_an_alias_whose_time_is_being_booked_for_the_survivor_when_it_has_ended_is_not_booked(
    clinic: Clinic,
) -> None:
    """In another room, and by another nurse: what both want is the patient."""
    alias, survivor = await clinic.add_patient(), await clinic.add_patient()
    hold = await clinic.hold(alias, [FIRST])
    await merge(clinic, alias, survivor)
    before = clinic.svc.clock.now
    clinic.svc.clock.now += timedelta(minutes=15)
    held = Held()
    await held.book(clinic, survivor, lane=1)
    clinic.svc.clock.now = before  # Its call came in time.
    booking = asyncio.create_task(refusal(clinic.book_hold(hold.id)))
    await until_a_lock_is_awaited(clinic)
    await held.commit()
    assert (await booking).reason == "HOLD_OVER"
    assert await clinic.counts("presence", "allocation") == [1, 3]


async def test_an_unmerge_waits_for_a_booking_of_the_alias_and_lists_it(clinic: Clinic) -> None:
    alias, survivor = await clinic.add_patient(), await clinic.add_patient()
    await merge(clinic, alias, survivor)
    held = Held()
    await held.book(clinic, alias)
    undoing = asyncio.create_task(unmerge(clinic, alias, survivor))
    await until_a_lock_is_awaited(clinic)
    await held.commit()
    await undoing
    [task] = await tasks_of(clinic)
    assert task.kind == tasks.TASK_KIND_VISITS_TO_ASSIGN


async def test_a_booking_that_waits_while_the_survivor_is_merged_itself_is_the_last_ones(clinic: Clinic) -> None:
    alias, survivor, last = [await clinic.add_patient() for _ in range(3)]
    await merge(clinic, alias, survivor)
    held = Held()
    await held.merge(clinic, survivor, last)
    booking = asyncio.create_task(treatment(clinic, alias, FIRST))
    await until_a_lock_is_awaited(clinic)
    await held.commit()
    assert (await booking).patient_id == last


@pytest.mark.parametrize("joins", ["the alias", "the survivor"])
async def test_two_merges_at_once_that_meet_in_one_patient_join_all_three(clinic: Clinic, joins: str) -> None:
    one, two, three = [await clinic.add_patient() for _ in range(3)]
    held = Held()
    if joins == "the survivor":
        await held.merge(clinic, one, two)
        second = asyncio.create_task(merge(clinic, two, three))
    else:
        await held.merge(clinic, two, three)
        second = asyncio.create_task(merge(clinic, one, two))
    await until_a_lock_is_awaited(clinic)
    await held.commit()
    await second
    ends = "SELECT alias_id, end_id FROM patient_alias WHERE chain_id = $1"
    rows = await clinic.svc.admin.fetch(ends, clinic.svc.chain_id)
    found = {to_wire("patient", row["alias_id"]): to_wire("patient", row["end_id"]) for row in rows}
    assert found == {one: three, two: three}


async def test_of_two_who_complete_a_task_at_once_one_does(clinic: Clinic) -> None:
    task, complete = await a_task(clinic), clinic.svc.stub(TaskServiceStub).CompleteTask
    answers = await asyncio.gather(
        *(clinic.svc.call(complete, completion(task), clinic.token()) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(answer, tasks.CompleteTaskResponse) for answer in answers) == 1
