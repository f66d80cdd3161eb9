"""Whose data a call showed or changed stands in its audit row, and is found by the index beside it."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from atoll.common.v1.access_pb2 import AUDIT_PHI_READ
from chassis.ids import from_wire, ids_of_kind, new_id, to_wire
from chassis.pool import Pool, open_pool
from chassis.sealer import Sealer, verify
from tests.support.notes import GET_NOTED, NoteStore, create_request, pb, pb_grpc
from tests.support.service import Running

SITE = new_id()


@pytest_asyncio.fixture
async def pool(notes: Running) -> AsyncIterator[Pool]:
    async with open_pool(notes.urls.sealer, size=2) as pool:
        yield pool


async def take(notes: Running, patient_id: UUID | None, token: str | None = None) -> Any:
    request = create_request(SITE, patient_id=to_wire("patient", patient_id) if patient_id else "")
    stub = notes.stub(pb_grpc.NoteServiceStub)
    return (await notes.call(stub.CreateNote, request, token or notes.token("ROLE_FRONT_DESK"))).note


async def get(notes: Running, note_id: str, token: str | None = None) -> None:
    stub, request = notes.stub(pb_grpc.NoteServiceStub), pb.GetNoteRequest(note_id=note_id)
    await notes.call(stub.GetNote, request, token or notes.token("ROLE_FRONT_DESK"))


async def rows(notes: Running) -> list[dict[str, Any]]:
    """`ids` of the audit rows, in their order."""
    return [json.loads(row["ids"]) for row in await notes.admin.fetch("SELECT ids FROM audit ORDER BY position")]


async def indexed(notes: Running) -> list[tuple[UUID, int]]:
    found = await notes.admin.fetch("SELECT subject_id, position FROM audit_subject ORDER BY position, subject_id")
    return [(row["subject_id"], row["position"]) for row in found]


async def see(notes: Running, *subjects: UUID) -> None:
    async def work(store: NoteStore) -> None:
        store.saw(*subjects)

    call = notes.inside("Look", audit=AUDIT_PHI_READ)
    await notes.db.read(call, pb.GetNoteRequest(), NoteStore, work)


async def test_a_change_and_a_read_name_whose_note_it_is_though_the_request_of_the_read_does_not(
    notes: Running,
) -> None:
    patient = new_id()
    note = await take(notes, patient)
    await get(notes, note.id)
    assert [row["subjects"] for row in await rows(notes)] == [[str(patient)], [str(patient)]]
    assert await indexed(notes) == [(patient, 1), (patient, 2)]
    assert await notes.admin.fetchval("SELECT count(DISTINCT at) FROM audit_subject NATURAL JOIN audit") == 1


async def test_a_row_about_nobody_names_nobody(notes: Running) -> None:
    await get(notes, (await take(notes, None)).id)
    assert [row.keys() & {"subjects"} for row in await rows(notes)] == [set(), set()]
    assert await indexed(notes) == []


async def test_a_list_names_each_of_those_on_its_page_once(notes: Running) -> None:
    mine, others = new_id(), new_id()
    page = [pb.Note(patient_id=to_wire("patient", patient)) for patient in (mine, mine, others)]

    async def work(store: NoteStore) -> Any:
        return pb.ListNotesResponse(notes=page)

    await notes.db.read(notes.inside("List", audit=AUDIT_PHI_READ), pb.ListNotesRequest(), NoteStore, work)
    assert [row["subjects"] for row in await rows(notes)] == [[str(mine), str(others)]]


async def test_who_is_shown_besides_the_row_that_was_noted_with_its_read_is_noted_too(notes: Running) -> None:
    patient, other = new_id(), new_id()
    note = await take(notes, patient)

    async def work(store: NoteStore) -> None:
        await store.noted_row(GET_NOTED, id=from_wire("note", note.id))
        store.saw(other)

    request = pb.GetNoteRequest(note_id=note.id)
    await notes.db.read(notes.inside("Look", audit=AUDIT_PHI_READ), request, NoteStore, work)
    assert [row["subjects"] for row in await rows(notes)][1:] == [[str(patient)], [str(other)]]


async def test_more_subjects_than_a_row_names_leave_several_rows(notes: Running) -> None:
    subjects = [new_id() for _ in range(401)]
    await see(notes, *subjects, *subjects[:3])
    assert [len(row["subjects"]) for row in await rows(notes)] == [200, 200, 1]
    assert [id for id, _ in await indexed(notes)] == [
        *sorted(subjects[:200]), *sorted(subjects[200:400]), subjects[400],
    ]  # fmt: skip


async def test_a_row_names_the_callers_sites_unless_they_are_all_or_many(notes: Running) -> None:
    sites = [new_id() for _ in range(11)]
    for at in (None, [SITE], [SITE, *sites]):
        await take(notes, None, notes.token("ROLE_FRONT_DESK", sites=at))
    assert [row.get("sites") for row in await rows(notes)] == [None, [to_wire("site", SITE)], None]


async def test_an_index_is_seen_by_its_own_chain_and_a_patient_sees_their_own_entries(notes: Running) -> None:
    me, other = new_id(), new_id()
    await see(notes, me, other)
    settings = "SELECT set_config('app.chain', $1, true), set_config('app.patient', $2, true)"
    async with notes.pool.acquire() as conn, conn.transaction():
        for chain, patient, seen in ((notes.chain_id, "", 2), (notes.chain_id, me, 1), (new_id(), "", 0)):
            await conn.execute(settings, str(chain), str(patient))
            assert await conn.fetchval("SELECT count(*) FROM audit_subject") == seen


async def test_the_service_can_neither_change_nor_delete_what_the_index_holds(notes: Running) -> None:
    await see(notes, new_id())
    for change in ("UPDATE audit_subject SET position = 9", "DELETE FROM audit_subject"):
        async with notes.pool.acquire() as conn:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(change)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("DELETE FROM audit_subject WHERE position = 2", "the index of subjects is not what row 2 says"),
        (
            "INSERT INTO audit_subject SELECT chain_id, gen_random_uuid(), 1, at FROM audit WHERE position = 1",
            "the index of subjects is not what row 1 says",
        ),
        (
            "UPDATE audit_subject SET at = at + interval '1 s' WHERE position = 2",
            "the index of subjects is not what row 2 says",
        ),
        ("UPDATE audit SET ids = ids - 'subjects' WHERE position = 2", "row 2 was changed or moved"),
    ],
)
async def test_a_subject_that_is_taken_out_of_a_row_or_of_the_index_is_found(
    notes: Running, pool: Pool, change: str, fault: str
) -> None:
    for _ in range(3):
        await see(notes, new_id())
    await Sealer(pool).seal()
    async with pool.acquire() as conn:
        assert (await verify(conn, notes.chain_id)).fault == ""
        await notes.admin.execute(change)
        assert (await verify(conn, notes.chain_id)).fault == fault


def test_ids_of_a_kind_are_found_in_lists_and_parts_and_own_ids_only_if_asked() -> None:
    patient, other = new_id(), new_id()
    note = pb.Note(
        id=to_wire("patient", other), patient_id=to_wire("patient", patient), title=to_wire("patient", other)
    )
    listed = pb.ListNotesResponse(notes=[note])
    assert list(ids_of_kind(listed, "patient")) == [other, patient]
    assert list(ids_of_kind(listed, "patient", own=False)) == [patient]
    assert list(ids_of_kind(listed, "note")) == []
