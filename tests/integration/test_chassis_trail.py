"""The audit trail is searched by patient, actor, method and time, by auditors of the whole chain."""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode

from atoll.common.v1.access_pb2 import AUDIT_PHI_READ
from chassis.ids import new_id, to_wire
from chassis.sql import Statement
from chassis.times import to_timestamp
from chassis.trail import (
    EARLIEST,
    LAST_POSITION,
    LATEST,
    OF_ACTOR,
    OF_METHOD,
    OF_SUBJECT,
    OF_TIME,
)
from tests.support.notes import audit_pb, audit_pb_grpc, create_request, pb, pb_grpc
from tests.support.service import Running, refusal

GET, CREATE, SEARCH = (
    f"atoll.notes.v1.{name}" for name in ("NoteService.GetNote", "NoteService.CreateNote", "AuditService.SearchAudit")
)
MANY = """
    WITH noted AS (INSERT INTO audit (chain_id, actor, method, kind, cause, ids, at)
                   SELECT $1, 'actor ' || n % 1000, 'Method ' || n % 97, 'AUDIT_PHI_READ', '', '{}',
                          $3::timestamptz - n * interval '1 minute'
                   FROM generate_series(1, $4::integer) AS n RETURNING chain_id, position, at)
    INSERT INTO audit_subject SELECT chain_id, CASE WHEN position % 1000 = 0 THEN $2 ELSE gen_random_uuid() END,
                                     position, at FROM noted
"""


async def search(notes: Running, token: str = "", **asked: Any) -> Any:
    request = audit_pb.SearchAuditRequest(**asked)
    token = token or notes.token("ROLE_AUDITOR", subject="auditor")
    return await notes.call(notes.stub(audit_pb_grpc.AuditServiceStub).SearchAudit, request, token)


async def create(notes: Running, subject: str, patient_id: UUID | None = None) -> Any:
    """A minute later than what was done before."""
    notes.clock.now += timedelta(minutes=1)
    patient = to_wire("patient", patient_id) if patient_id else ""
    token = notes.token("ROLE_FRONT_DESK", subject=subject)
    stub = notes.stub(pb_grpc.NoteServiceStub)
    return (await notes.call(stub.CreateNote, create_request(new_id(), patient_id=patient), token)).note


async def get(notes: Running, subject: str, note: Any) -> None:
    notes.clock.now += timedelta(minutes=1)
    token = notes.token("ROLE_FRONT_DESK", subject=subject)
    await notes.call(notes.stub(pb_grpc.NoteServiceStub).GetNote, pb.GetNoteRequest(note_id=note.id), token)


def done(answer: Any) -> list[tuple[str, str]]:
    """But for the searches themselves."""
    return [(each.actor, each.method) for each in answer.entries if each.method != SEARCH]


async def test_entries_say_who_did_what_to_whom_with_which_right(notes: Running) -> None:
    patient_id, site_id = new_id(), new_id()
    request = create_request(site_id, patient_id=to_wire("patient", patient_id))
    token = notes.token("ROLE_FRONT_DESK", subject="desk", sites=[site_id])
    note = (await notes.call(notes.stub(pb_grpc.NoteServiceStub).CreateNote, request, token)).note
    [entry] = (await search(notes)).entries
    assert (entry.actor, entry.method, entry.cause) == ("desk", CREATE, request.request_id)
    assert (entry.entry_time, list(entry.roles)) == (to_timestamp(notes.now), ["FRONT_DESK"])
    assert list(entry.site_ids) == [to_wire("site", site_id)]
    assert (list(entry.patient_ids), entry.patient_count) == ([to_wire("patient", patient_id)], 1)
    assert entry.ids["note.id"] == note.id


async def test_a_search_finds_by_each_and_by_all_that_it_names_the_latest_first(notes: Running) -> None:
    ana, bea = new_id(), new_id()
    first = await create(notes, "desk", ana)
    await get(notes, "desk", first)
    await create(notes, "other", bea)
    await get(notes, "other", first)
    of_ana = {"patient_id": to_wire("patient", ana)}
    assert done(await search(notes)) == [("other", GET), ("other", CREATE), ("desk", GET), ("desk", CREATE)]
    assert done(await search(notes, **of_ana)) == [("other", GET), ("desk", GET), ("desk", CREATE)]
    assert done(await search(notes, actor="other")) == [("other", GET), ("other", CREATE)]
    assert done(await search(notes, method=GET)) == [("other", GET), ("desk", GET)]
    assert done(await search(notes, **of_ana, actor="desk")) == [("desk", GET), ("desk", CREATE)]
    assert done(await search(notes, **of_ana, method=CREATE)) == [("desk", CREATE)]
    assert done(await search(notes, actor="other", method=GET)) == [("other", GET)]
    assert done(await search(notes, **of_ana, actor="other", method=CREATE)) == []
    assert done(await search(notes, actor="des")) == []


async def test_a_time_has_its_first_instant_and_not_its_last(notes: Running) -> None:
    instants = list[datetime]()
    for actor in ("a", "b", "c"):
        await create(notes, actor)
        instants.append(notes.now)
    since, until = to_timestamp(instants[1]), to_timestamp(instants[2])
    assert [actor for actor, _ in done(await search(notes, start_time=since))] == ["c", "b"]
    assert [actor for actor, _ in done(await search(notes, end_time=until))] == ["b", "a"]
    assert [actor for actor, _ in done(await search(notes, start_time=since, end_time=until))] == ["b"]


@pytest.mark.parametrize("seconds", [10**15, -(10**15), to_timestamp(datetime(9999, 1, 1, tzinfo=UTC)).seconds])
async def test_an_instant_that_no_calendar_has_is_named(notes: Running, seconds: int) -> None:
    """The field has no rule: it is found when it is read."""
    refused = await refusal(search(notes, end_time=Timestamp(seconds=seconds)))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    assert refused.faults == [("end_time", "timestamp.range")]


async def test_pages_leave_out_none_and_repeat_none_though_instants_are_the_same(notes: Running) -> None:
    for _ in range(5):
        await create(notes, "desk")
        notes.clock.now -= timedelta(minutes=1)
    found, token = list[str](), ""
    while True:
        page = await search(notes, actor="desk", page_size=2, page_token=token)
        found += [entry.cause for entry in page.entries]
        token = page.next_page_token
        if not token:
            break
    kept = await notes.admin.fetch("SELECT cause FROM audit WHERE actor = 'desk' ORDER BY position DESC")
    assert found == [row["cause"] for row in kept]
    refused = await refusal(search(notes, actor="other", page_token=(await search(notes, page_size=1)).next_page_token))
    assert refused.reason == "BAD_PAGE_TOKEN"


async def test_a_search_is_itself_an_entry_and_names_whom_it_showed(notes: Running) -> None:
    patient_id = new_id()
    await create(notes, "desk", patient_id)
    await search(notes, actor="desk")
    row = await notes.admin.fetchrow("SELECT * FROM audit WHERE method = $1", SEARCH)
    assert row
    assert (row["actor"], row["kind"]) == ("auditor", "AUDIT_PHI_READ")
    assert json.loads(row["ids"])["subjects"] == [str(patient_id)]
    entry, _ = (await search(notes, patient_id=to_wire("patient", patient_id))).entries
    assert (entry.method, entry.kind) == (SEARCH, AUDIT_PHI_READ)


async def test_an_entry_about_many_shows_the_one_who_was_asked_for(notes: Running) -> None:
    patients = [str(new_id()) for _ in range(30)]
    await create(notes, "desk", UUID(patients[0]))
    await notes.admin.execute("UPDATE audit SET ids = $1", json.dumps({"subjects": patients}))
    await notes.admin.execute("UPDATE audit_subject SET subject_id = $1", patients[29])
    asked = to_wire("patient", UUID(patients[29]))
    [entry] = (await search(notes, patient_id=asked)).entries
    assert (entry.patient_ids[0], len(entry.patient_ids), entry.patient_count) == (asked, 20, 30)


@pytest.mark.parametrize("role", ["ROLE_CHAIN_ADMIN", "ROLE_SITE_MANAGER", "ROLE_PATIENT", "ROLE_SERVICE"])
async def test_nobody_but_an_auditor_searches(notes: Running, role: str) -> None:
    changes: dict[str, Any] = {"chain": "*"} if role == "ROLE_SERVICE" else {}
    refused = await refusal(search(notes, notes.token(role, patient=to_wire("patient", new_id()), **changes)))
    assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")


async def test_an_auditor_of_some_sites_does_not_search_what_is_of_all(notes: Running) -> None:
    refused = await refusal(search(notes, notes.token("ROLE_AUDITOR", sites=[new_id()])))
    assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    assert await notes.count("audit") == 0


async def test_the_trail_of_another_chain_is_not_there(notes: Running) -> None:
    await create(notes, "desk")
    assert done(await search(notes, notes.token("ROLE_AUDITOR", chain_id=new_id()))) == []


def searches(patient_id: UUID, now: datetime) -> Iterator[tuple[Statement, str, Mapping[str, Any]]]:
    """Each with the index that it walks, and values that few entries have."""
    both = {"actor": None, "method": None}
    yield OF_SUBJECT, "audit_subject_pkey", both | {"subjects": [patient_id]}
    yield OF_ACTOR, "audit_actor_idx", {"actor": "actor 7", "method": None}
    yield OF_ACTOR, "audit_actor_idx", {"actor": "actor 7", "method": "Method 7"}
    yield OF_METHOD, "audit_method_idx", {"method": "Method 8"}
    yield OF_TIME, "audit_at_idx", {}
    yield OF_TIME, "audit_at_idx", {"start": now - timedelta(days=31), "end": now - timedelta(days=30)}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("entries", [50_000, pytest.param(1_000_000, marks=pytest.mark.long)])
async def test_a_search_walks_an_index_however_many_entries_there_are(notes: Running, entries: int) -> None:
    patient_id = new_id()
    await notes.admin.execute(MANY, notes.chain_id, patient_id, notes.now, entries)
    await notes.admin.execute(MANY, new_id(), new_id(), notes.now, entries // 10)
    await notes.admin.execute("ANALYZE")
    within = {"start": EARLIEST, "end": LATEST, "before": LAST_POSITION, "limit": 51, "chain_id": notes.chain_id}
    for statement, index, values in searches(patient_id, notes.now):
        async with notes.db.transaction(notes.inside("SearchAudit")) as conn:
            args = statement.args({**within, **values})
            [plan] = json.loads(await conn.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}", *args))
            started = time.perf_counter()
            found = await conn.fetch(statement.text, *args)
            took = time.perf_counter() - started
        text = json.dumps(plan)
        assert index in text, text
        assert "Seq Scan" not in text, text
        assert len(found) > 0
        assert took < 0.5, (statement.text, took)
