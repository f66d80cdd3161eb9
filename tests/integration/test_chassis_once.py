"""A request is done once, whatever is sent again, at once, or interrupted."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from grpc import StatusCode

from atoll.common.v1.access_pb2 import AUDIT_NONE, AUDIT_PHI_READ
from chassis.call import Sites
from chassis.db import ATTEMPTS_MAX
from chassis.errors import DomainError, TryAgain
from chassis.ids import from_wire, new_id, to_wire
from chassis.sql import Statement
from chassis.store import RequestIdReused
from tests.support.notes import (
    ADD,
    ADD_LAST,
    GET,
    GET_APART,
    GET_NOTED,
    NoteFiled,
    NoteStore,
    TitleTaken,
    add,
    create_request,
    new_note,
    pb,
    pb_grpc,
)
from tests.support.service import Running, refusal

Work = Callable[[NoteStore], Awaitable[Any]]
SITE = new_id()
LEFT_BEHIND = ("note", "outbox", "audit", "idempotency")


def create(notes: Running, request: Any, token: str | None = None) -> Awaitable[Any]:
    stub = notes.stub(pb_grpc.NoteServiceStub)
    return notes.call(stub.CreateNote, request, token or notes.token("ROLE_FRONT_DESK"))


async def once(notes: Running, request: Any, work: Work, **options: Any) -> Any:
    """Round the door, to hold a transaction open where a test needs it."""
    call = notes.inside("CreateNote", request.request_id)
    return await notes.db.once(call, request, pb.CreateNoteResponse, NoteStore, work, **options)


def adding(request: Any, then: Callable[[], Awaitable[object]] | None = None) -> Work:
    """Writes at once, so that the row stands before `then` is awaited."""

    async def work(store: NoteStore) -> Any:
        row = new_note(request)
        await store.rows(ADD, **row)
        if then:
            await then()
        return pb.CreateNoteResponse(note=pb.Note(id=to_wire("note", row["id"])))

    return work


async def left_behind(notes: Running) -> list[int]:
    return [await notes.count(table) for table in LEFT_BEHIND]


async def until_a_lock_is_awaited(notes: Running) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(500):
        if await notes.admin.fetchval(waiting):
            return
        await asyncio.sleep(0.01)
    pytest.fail("nobody waits")


async def test_the_same_request_sent_eight_times_at_once_is_done_once_and_answered_the_same(notes: Running) -> None:
    """Counts the work, since the request's own key might hide that it is done again."""
    request, calls = create_request(SITE), 0

    async def work(store: NoteStore) -> Any:
        nonlocal calls
        calls += 1
        return add(store, new_note(request))

    answers = await asyncio.gather(*(once(notes, request, work) for _ in range(8)))
    assert len({answer.SerializeToString() for answer in answers}) == 1
    assert calls == 1
    assert await left_behind(notes) == [1, 1, 1, 1]


async def test_a_twin_waits_for_the_first_to_commit_and_gets_its_answer(notes: Running) -> None:
    request, written, commit = create_request(SITE), asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        written.set()
        await commit.wait()

    first = asyncio.create_task(once(notes, request, adding(request, wait)))
    await written.wait()
    second = asyncio.create_task(once(notes, request, adding(request)))
    await until_a_lock_is_awaited(notes)
    commit.set()
    assert (await first) == (await second)
    assert await notes.count("note") == 1


async def test_a_twin_of_a_request_that_is_undone_does_the_work_itself(notes: Running) -> None:
    request, written, fail = create_request(SITE), asyncio.Event(), asyncio.Event()

    async def wait_and_refuse() -> None:
        written.set()
        await fail.wait()
        raise TitleTaken()

    first = asyncio.create_task(once(notes, request, adding(request, wait_and_refuse)))
    await written.wait()
    second = asyncio.create_task(once(notes, request, adding(request)))
    await until_a_lock_is_awaited(notes)
    fail.set()
    with pytest.raises(TitleTaken):
        await first
    await second
    assert await notes.count("note") == 1


async def test_a_request_id_of_another_request_is_refused(notes: Running) -> None:
    request = create_request(SITE)
    await create(notes, request)
    refused = await refusal(create(notes, create_request(SITE, request_id=request.request_id)))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert refused.faults == [("request_id", "REQUEST_ID_REUSED")]
    assert await notes.count("note") == 1


async def test_a_request_id_belongs_to_its_caller(notes: Running) -> None:
    one, other = create_request(SITE), create_request(SITE)
    other.request_id = one.request_id
    for subject, request in (("one", one), ("other", other)):
        await create(notes, request, notes.token("ROLE_FRONT_DESK", subject=subject))
    assert await notes.count("note") == 2


async def test_a_request_id_belongs_to_its_method(notes: Running) -> None:
    one, other = create_request(SITE), create_request(SITE)
    other.request_id = one.request_id
    await once(notes, one, adding(one))
    call = notes.inside("AnotherMethod", other.request_id)
    await notes.db.once(call, other, pb.CreateNoteResponse, NoteStore, adding(other))
    with pytest.raises(RequestIdReused):
        await once(notes, other, adding(other))
    assert await notes.count("note") == 2


async def test_a_request_id_belongs_to_its_chain(notes: Running) -> None:
    one, other = create_request(SITE), create_request(SITE)
    other.request_id = one.request_id
    await create(notes, one)
    await create(notes, other, notes.token("ROLE_FRONT_DESK", chain_id=new_id()))
    assert await notes.count("note") == 2


async def test_a_refusal_is_not_remembered(notes: Running) -> None:
    blocking = create_request(SITE)
    request = create_request(SITE, title=blocking.title)
    await create(notes, blocking)
    assert (await refusal(create(notes, request))).reason == "TITLE_TAKEN"
    await notes.admin.execute("DELETE FROM note")
    assert (await create(notes, request)).note.title == blocking.title


async def test_a_refused_change_leaves_nothing_behind(notes: Running) -> None:
    blocking = create_request(SITE)
    await create(notes, blocking)
    refused = await refusal(create(notes, create_request(SITE, title=blocking.title)))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "TITLE_TAKEN")
    assert await left_behind(notes) == [1, 1, 1, 1]


async def test_a_constraint_that_has_no_refusal_is_a_bug_and_leaves_nothing_behind(notes: Running) -> None:
    await notes.admin.execute("ALTER TABLE note ADD CONSTRAINT surprise CHECK (title <> 'x')")
    refused = await refusal(create(notes, create_request(SITE, title="x")))
    assert (refused.code, refused.message, refused.reason) == (StatusCode.INTERNAL, "internal error", "")
    assert await left_behind(notes) == [0, 0, 0, 0]


@pytest.mark.parametrize("error", [asyncpg.DeadlockDetectedError, asyncpg.SerializationError])
@pytest.mark.parametrize("failures", [ATTEMPTS_MAX - 1, ATTEMPTS_MAX])
async def test_what_postgresql_asks_to_try_again_is_tried_three_times_in_all(
    notes: Running, failures: int, error: type[Exception]
) -> None:
    request, calls = create_request(SITE), 0

    async def fail() -> None:
        nonlocal calls
        calls += 1
        if calls <= failures:
            raise error

    if failures < ATTEMPTS_MAX:
        await once(notes, request, adding(request, fail))
    else:
        with pytest.raises(TryAgain):
            await once(notes, request, adding(request, fail))
    assert calls == ATTEMPTS_MAX
    assert await notes.count("note") == (1 if failures < ATTEMPTS_MAX else 0)


async def test_each_attempt_takes_the_locks_anew(notes: Running) -> None:
    """Whatever kind of iterable they came in."""
    request, lock, held = create_request(SITE), new_id(), list[int]()

    async def work(store: NoteStore) -> Any:
        held.append(await notes.admin.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))
        if len(held) == 1:
            raise asyncpg.DeadlockDetectedError
        return await adding(request)(store)

    await once(notes, request, work, locks=(id for id in [lock]))
    assert held == [1, 1]


async def test_two_that_really_deadlock_both_finish(notes: Running) -> None:
    """Each holds its own row and wants the other's: PostgreSQL ends one, which then comes again."""
    one, other = create_request(SITE), create_request(SITE)
    both_hold = asyncio.Barrier(2)
    calls = dict.fromkeys((one.title, other.title), 0)

    def crossing(mine: Any, theirs: Any) -> Work:
        async def work(store: NoteStore) -> Any:
            calls[mine.title] += 1
            response = await adding(mine)(store)
            if sum(calls.values()) <= 2:
                await both_hold.wait()
                await store._conn.execute(
                    "INSERT INTO note SELECT chain_id, gen_random_uuid(), site_id, NULL, $1 FROM note WHERE title = $2",
                    theirs.title,
                    mine.title,
                )
            return response

        return work

    answers = await asyncio.gather(
        once(notes, one, crossing(one, other)), once(notes, other, crossing(other, one)), return_exceptions=True
    )
    assert sum(calls.values()) == 3
    refused = [type(answer) for answer in answers if isinstance(answer, BaseException)]
    assert refused == [TitleTaken]  # The survivor wrote both titles; who came again met them.


async def test_a_cancelled_call_leaves_nothing_and_returns_its_connection(notes: Running) -> None:
    request, written = create_request(SITE), asyncio.Event()

    async def wait() -> None:
        written.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(once(notes, request, adding(request, wait)))
    await written.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await left_behind(notes) == [0, 0, 0, 0]
    assert notes.pool.get_idle_size() == notes.pool.get_size()
    assert await create(notes, request)


@pytest.mark.parametrize("moment", ["BEGIN", "COMMIT"])
async def test_a_call_cancelled_as_it_begins_or_ends_returns_its_connection_clean(
    notes: Running, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled while PostgreSQL is at the first or at the last statement of the transaction."""
    request, execute, reached = create_request(SITE), asyncpg.Connection.execute, asyncio.Event()

    async def slow(conn: Any, query: str, *args: Any, **options: Any) -> Any:
        if query.startswith(moment) and not reached.is_set():
            reached.set()
            query = f"SELECT pg_sleep(60); {query}" if moment == "COMMIT" else f"{query}; SELECT pg_sleep(60)"
        return await execute(conn, query, *args, **options)

    complaints = list[object]()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
    monkeypatch.setattr(asyncpg.Connection, "execute", slow)
    task = asyncio.create_task(once(notes, request, adding(request)))
    await reached.wait()
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait([task])
    loop.set_exception_handler(None)
    open_still = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
    assert complaints == []  # Of a connection that came back with a transaction open.
    assert await notes.admin.fetchval(open_still) == 0
    assert await left_behind(notes) == [0, 0, 0, 0]
    await asyncio.gather(*(create(notes, create_request(SITE)) for _ in range(2 * notes.pool.get_size())))


async def test_a_replay_takes_no_locks(notes: Running) -> None:
    request, lock = create_request(SITE), new_id()
    first = await once(notes, request, adding(request), locks=[lock])
    async with notes.admin.transaction():
        await notes.admin.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", str(lock))
        assert await asyncio.wait_for(once(notes, request, adding(request), locks=[lock]), timeout=1) == first


async def test_a_rival_for_the_same_lock_waits_and_then_sees_what_was_written(notes: Running) -> None:
    mine, theirs, written, commit = create_request(SITE), create_request(SITE), asyncio.Event(), asyncio.Event()
    lock, seen = new_id(), list[int]()

    async def wait() -> None:
        written.set()
        await commit.wait()

    async def look(store: NoteStore) -> Any:
        seen.append(await store._conn.fetchval("SELECT count(*) FROM note"))
        return pb.CreateNoteResponse()

    first = asyncio.create_task(once(notes, mine, adding(mine, wait), locks=[new_id(), lock]))
    await written.wait()
    second = asyncio.create_task(once(notes, theirs, look, locks=[lock, new_id()]))
    await until_a_lock_is_awaited(notes)
    assert seen == []
    commit.set()
    await asyncio.gather(first, second)
    assert seen == [1]


async def test_locks_are_taken_in_one_order_whatever_order_they_are_named_in(notes: Running) -> None:
    """Held from outside, the smaller id keeps a call from the greater one as well."""
    lesser, greater = sorted([new_id(), new_id()])
    request = create_request(SITE)
    free = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))"
    async with notes.admin.transaction():
        await notes.admin.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", str(lesser))
        call = asyncio.create_task(once(notes, request, adding(request), locks=[greater, lesser]))
        await until_a_lock_is_awaited(notes)
        assert await notes.admin.fetchval(free, str(greater))
    await call


async def test_a_store_locks_for_work_that_has_no_claim(notes: Running) -> None:
    lock, held, let_go, order = new_id(), asyncio.Event(), asyncio.Event(), list[str]()

    async def first(store: NoteStore) -> None:
        await store.lock([lock])
        held.set()
        await let_go.wait()
        order.append("first")

    async def second(store: NoteStore) -> None:
        await store.lock([lock])
        order.append("second")

    tasks = [asyncio.create_task(notes.db.job(notes.inside("job"), NoteStore, first))]
    await held.wait()
    tasks.append(asyncio.create_task(notes.db.job(notes.inside("job"), NoteStore, second)))
    await until_a_lock_is_awaited(notes)
    let_go.set()
    await asyncio.gather(*tasks)
    assert order == ["first", "second"]


async def test_a_job_commits_its_changes_with_its_events_or_not_at_all(notes: Running) -> None:
    async def work(store: NoteStore, refusals: list[DomainError]) -> None:
        row = new_note(create_request(SITE))
        await store.rows(ADD, **row)
        store.emit(NoteFiled(note_id=to_wire("note", row["id"])), about=row["id"])
        for error in refusals:
            raise error

    with pytest.raises(TitleTaken):
        await notes.db.job(notes.inside("job"), NoteStore, lambda store: work(store, [TitleTaken()]))
    assert await left_behind(notes) == [0, 0, 0, 0]
    await notes.db.job(notes.inside("job"), NoteStore, lambda store: work(store, []))
    assert await left_behind(notes) == [1, 1, 0, 0]


async def test_the_last_write_goes_with_the_answer_and_there_is_one_of_it(notes: Running) -> None:
    request = create_request(SITE)

    async def twice(store: NoteStore) -> Any:
        store.write_last(ADD_LAST, **new_note(request))
        store.write_last(ADD_LAST, **new_note(request))

    with pytest.raises(AssertionError, match="one last write"):
        await once(notes, request, twice)
    await create(notes, request)
    assert await left_behind(notes) == [1, 1, 1, 1]


async def test_what_is_remembered_is_who_did_what_and_when(notes: Running) -> None:
    request = create_request(SITE)
    answer = await create(notes, request)
    row = await notes.admin.fetchrow("SELECT actor, method, kind, cause, ids::text, at FROM audit")
    assert row is not None
    assert tuple(row)[:4] == ("user", "atoll.notes.v1.NoteService.CreateNote", "AUDIT_CHANGE", request.request_id)
    ids = {"note.id": answer.note.id, "note.site_id": request.site_id, "site_id": request.site_id}
    ids |= {"request_id": request.request_id, "roles": ["FRONT_DESK"]}
    assert (json.loads(row["ids"]), row["at"]) == (ids, notes.now)


async def test_a_read_that_leaves_no_audit_row_cannot_write(notes: Running) -> None:
    request = create_request(SITE)
    unaudited = replace(notes.inside("GetNote"), audit=AUDIT_NONE)
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await notes.db.read(unaudited, request, NoteStore, adding(request))


async def test_a_read_of_patient_data_leaves_an_audit_row_and_another_read_none(notes: Running) -> None:
    note = (await create(notes, create_request(SITE))).note
    stub, token = notes.stub(pb_grpc.NoteServiceStub), notes.token("ROLE_FRONT_DESK")
    await notes.call(stub.ListNotes, pb.ListNotesRequest(), token)
    assert await notes.count("audit") == 1
    await notes.call(stub.GetNote, pb.GetNoteRequest(note_id=note.id), token)
    row = await notes.admin.fetchrow("SELECT kind, ids->>'note_id' FROM audit ORDER BY position DESC LIMIT 1")
    assert row is not None
    assert tuple(row) == ("AUDIT_PHI_READ", note.id)


async def test_a_read_that_finds_nothing_leaves_no_audit_row(notes: Running) -> None:
    stub, missing = notes.stub(pb_grpc.NoteServiceStub), pb.GetNoteRequest(note_id=to_wire("note", new_id()))
    assert (await refusal(notes.call(stub.GetNote, missing, notes.token("ROLE_FRONT_DESK")))).reason == "NOTE_NOT_FOUND"
    assert await notes.count("audit") == 0


CHANGE = 4  # begin, claim and lock, settle, commit
READ = 4  # begin, note, audit, commit
NOTED_ROW = 1
APART = 2  # note, audit
UNAUDITED_READ = 3
REPLAY = 4  # begin, claim, earlier answer, commit


async def round_trips(notes: Running, answer: Awaitable[object]) -> int:
    queries: list[str] = []

    def note_query(query: Any) -> None:
        queries.append(query.query)

    async with notes.pool.acquire() as conn:  # The connection that the next call takes: the pool is a stack.
        conn.add_query_logger(note_query)
    await answer
    async with notes.pool.acquire() as conn:
        conn.remove_query_logger(note_query)
    return len(queries)


async def test_a_change_a_read_and_a_replay_keep_their_budgets_of_round_trips(notes: Running) -> None:
    stub, token = notes.stub(pb_grpc.NoteServiceStub), notes.token("ROLE_FRONT_DESK")
    request = create_request(SITE)
    read = pb.GetNoteRequest(note_id=(await create(notes, create_request(SITE))).note.id)
    await notes.call(stub.GetNote, read, token)  # A connection's first use of a type asks for it: let that be over.
    assert await round_trips(notes, create(notes, request)) == CHANGE
    assert await round_trips(notes, notes.call(stub.GetNote, read, token)) == READ
    assert await round_trips(notes, notes.call(stub.ListNotes, pb.ListNotesRequest(), token)) == UNAUDITED_READ
    assert await round_trips(notes, create(notes, request)) == REPLAY


async def look(notes: Running, note_id: str, *, chain_id: UUID | None = None, sites: Sites = None) -> Any:
    request, call = pb.GetNoteRequest(note_id=note_id), notes.inside("GetNote", audit=AUDIT_PHI_READ, sites=sites)
    call = replace(call, chain_id=chain_id or call.chain_id)
    return await notes.db.read_row(call, request, NoteStore, GET_NOTED, id=from_wire("note", note_id))


async def test_one_row_is_read_and_noted_in_one_round_trip(notes: Running) -> None:
    patient = new_id()
    note = (await create(notes, create_request(SITE, patient_id=to_wire("patient", patient)))).note
    await look(notes, note.id)
    before = await notes.count("audit")
    assert await round_trips(notes, look(notes, note.id)) == NOTED_ROW
    row = await notes.admin.fetchrow("SELECT kind, ids FROM audit OFFSET $1", before)
    assert row is not None
    assert row["kind"] == "AUDIT_PHI_READ"
    assert json.loads(row["ids"]) == {"note_id": note.id, "subjects": [str(patient)]}
    assert await notes.admin.fetchval("SELECT subject_id FROM audit_subject OFFSET $1", before) == patient
    await nothing_is_set(notes)


async def test_a_look_that_finds_nothing_in_one_round_trip_leaves_no_audit_row(notes: Running) -> None:
    note = (await create(notes, create_request(SITE))).note
    assert (await look(notes, note.id, sites=frozenset({SITE})))["title"] == note.title
    before = await notes.count("audit")
    assert await look(notes, to_wire("note", new_id())) is None
    assert await look(notes, note.id, sites=frozenset({new_id()})) is None
    assert await look(notes, note.id, chain_id=new_id()) is None
    assert await notes.count("audit") == before


async def looking_apart(notes: Running, note_id: str, statement: Statement, chain_id: UUID | None = None) -> list[Any]:
    async def work(store: NoteStore) -> list[Any]:
        return await store.rows(statement, id=from_wire("note", note_id))

    call = replace(notes.inside("GetNote", audit=AUDIT_PHI_READ), chain_id=chain_id or notes.chain_id)
    return await notes.db.read_apart(call, pb.GetNoteRequest(note_id=note_id), NoteStore, work)


async def test_statements_apart_are_noted_together_and_take_a_round_trip_each(notes: Running) -> None:
    note = (await create(notes, create_request(SITE))).note
    [row] = await looking_apart(notes, note.id, GET_APART)
    assert row["title"] == note.title
    before = await notes.count("audit")
    assert await round_trips(notes, looking_apart(notes, note.id, GET_APART)) == APART
    assert await notes.count("audit") == before + 1
    assert await looking_apart(notes, note.id, GET_APART, chain_id=new_id()) == []
    await nothing_is_set(notes)


async def test_a_statement_apart_that_is_told_of_no_chain_is_refused(notes: Running) -> None:
    with pytest.raises(TypeError, match="of which chain"):
        await looking_apart(notes, to_wire("note", new_id()), GET)


async def test_what_a_transaction_was_told_is_gone_with_it(notes: Running) -> None:
    await create(notes, create_request(SITE))
    await nothing_is_set(notes)


async def nothing_is_set(notes: Running) -> None:
    """The pool resets nothing: the next user of the connection must find no chain."""
    async with notes.pool.acquire() as conn:
        for setting in ("app.chain", "app.sites", "app.patient", "app.actor", "app.roles"):
            assert not await conn.fetchval("SELECT current_setting($1, true)", setting), setting
        assert await conn.fetchval("SHOW plan_cache_mode") == "force_generic_plan"
        assert await conn.fetchval("SELECT count(*) FROM note") == 0
