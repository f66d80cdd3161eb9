"""Two at once, held at the point where it matters: one waits for the other, or the database refuses it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any
from uuid import uuid4

import pytest

from atoll.patients.v1 import clearance_service_pb2 as clearance_pb
from atoll.patients.v1 import patient_service_pb2 as pb
from chassis.etags import StaleEtag
from chassis.ids import from_wire
from services.patients.domain.clearances import ClearanceRevoked
from services.patients.domain.patients import Holder, Identifier, IdentifierTaken, MrnTaken, Person
from services.patients.rpc.patients import register_command
from services.patients.store import PatientsStore
from services.patients.use_cases import clearances, records
from services.patients.use_cases.records import ChangePatient
from tests.support.patients import Desk, desk

__all__ = ["desk"]

Work = Callable[[PatientsStore], Awaitable[Any]]


async def once(desk: Desk, work: Work, store: type[PatientsStore] = PatientsStore) -> None:
    """Round the door, without locks."""
    request = pb.CreatePatientRequest(request_id=str(uuid4()))
    call = desk.service.inside("Test", request.request_id)

    async def answered(inner: PatientsStore) -> pb.CreatePatientResponse:
        await work(inner)
        return pb.CreatePatientResponse()

    await desk.service.db.once(call, request, pb.CreatePatientResponse, store, answered)


@pytest.mark.parametrize(
    ("same", "error"),
    [({"mrn": "MRN-1"}, MrnTaken), ({"identifiers": [{"system": "urn:clinic", "value": "7"}]}, IdentifierTaken)],
)
async def test_of_two_that_both_saw_a_number_free_the_database_refuses_one(
    desk: Desk, same: dict[str, Any], error: type[Exception]
) -> None:
    both_have_read = asyncio.Barrier(2)

    class Hesitant(PatientsStore):
        async def holders(self, identifiers: Collection[Identifier]) -> dict[Identifier, Holder]:
            found = await super().holders(identifiers)
            await both_have_read.wait()
            return found

    command = register_command(desk.told(**same), "")
    answers = await asyncio.gather(
        *(once(desk, lambda store: records.register_patient(store, command), Hesitant) for _ in range(2)),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers if answer] == [error]
    assert await desk.service.count("patient") == 1


async def test_a_change_waits_for_another_and_then_sees_that_it_is_stale(desk: Desk) -> None:
    created = await desk.create()
    told = Person(("Bea",), "Ruiz", None, None)
    command = ChangePatient(from_wire("patient", created.id), 1, told, frozenset({"given_names"}))
    refused = await second_waits_for_first(desk, lambda store: records.change_patient(store, command), StaleEtag)
    assert refused.__cause__ is None  # It read what the first wrote: no key had to stop it.
    assert [(await desk.get(created.id)).given_names, await desk.service.count("patient_name")] == [["Bea"], 2]


async def test_a_revocation_waits_for_another_and_then_sees_that_it_is_late(desk: Desk) -> None:
    granted = await desk.clear((await desk.create()).id)
    clearance_id = from_wire("clearance", granted.id)
    await second_waits_for_first(
        desk, lambda store: clearances.revoke_clearance(store, clearance_id, "why"), ClearanceRevoked
    )
    request = clearance_pb.GetClearanceRequest(clearance_id=granted.id)
    assert (await desk.service.call(desk.clearances.GetClearance, request)).clearance.revoked_by == "user"


async def second_waits_for_first(desk: Desk, work: Work, error: type[Exception]) -> Exception:
    worked, commit = asyncio.Event(), asyncio.Event()

    async def work_and_wait(store: PatientsStore) -> None:
        await work(store)
        worked.set()
        await commit.wait()

    first = asyncio.create_task(once(desk, work_and_wait))
    await worked.wait()
    second = asyncio.create_task(once(desk, work))
    await until_a_lock_is_awaited(desk)
    commit.set()
    await first
    with pytest.raises(error) as refused:
        await second
    return refused.value


async def until_a_lock_is_awaited(desk: Desk) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(300):
        if await desk.service.admin.fetchval(waiting):
            return
        await asyncio.sleep(0.01)
    pytest.fail("nobody waits")
