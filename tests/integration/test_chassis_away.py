"""What callers hear while PostgreSQL is slow, full or gone, and that it passes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from grpc import StatusCode

from chassis.db import AWAY
from chassis.errors import TryAgain
from chassis.ids import new_id
from chassis.pool import open_pool
from chassis.provision import (
    DEADLOCK_TIMEOUT,
    IDLE_IN_TRANSACTION_TIMEOUT,
    LOCK_TIMEOUT,
    STATEMENT_TIMEOUT,
    provision,
)
from deploy.local.postgres import postgres, postgres_url
from deploy.local.process import Program, start
from tests.support.notes import SERVICE, NoteStore, create_notes_template, create_request, pb, pb_grpc
from tests.support.servers import password_of
from tests.support.service import Refusal, Running, refusal, running

SITE = new_id()


def create(notes: Running, **options: Any) -> Awaitable[Any]:
    stub = notes.stub(pb_grpc.NoteServiceStub)
    return notes.call(stub.CreateNote, create_request(SITE), notes.token("ROLE_FRONT_DESK"), **options)


def asks_to_come_again(refused: Refusal) -> bool:
    return (refused.code, refused.reason, refused.retry) == (StatusCode.UNAVAILABLE, "TRY_AGAIN", True)


async def test_a_call_that_waits_too_long_for_a_lock_is_asked_to_come_again(notes: Running) -> None:
    async with notes.admin.transaction():
        await notes.admin.execute("LOCK TABLE note")
        refused = await refusal(create(notes))
    assert asks_to_come_again(refused)
    assert await notes.count("note") == 0
    assert (await create(notes)).note.id


async def test_a_statement_that_takes_too_long_is_cut_off_and_asked_for_again(notes: Running) -> None:
    async def slow(store: NoteStore) -> Any:
        await store._conn.execute("SET LOCAL statement_timeout = 100; SELECT pg_sleep(60)")

    request = pb.GetNoteRequest()
    with pytest.raises(TryAgain):
        await asyncio.wait_for(notes.db.read(notes.inside("GetNote"), request, NoteStore, slow), timeout=5)


async def test_an_exhausted_pool_asks_to_come_again_and_recovers(
    notes: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.db.ACQUIRE_S", 0.1)
    held = [await notes.pool.acquire() for _ in range(notes.pool.get_size())]
    refused = await refusal(create(notes, within_s=2))
    for conn in held:
        await notes.pool.release(conn)
    assert asks_to_come_again(refused)
    assert (await create(notes)).note.id


async def test_a_connection_that_is_cut_in_the_midst_of_a_call_asks_to_come_again(notes: Running) -> None:
    async with notes.admin.transaction():
        await notes.admin.execute("LOCK TABLE note")
        call = asyncio.ensure_future(refusal(create(notes)))
        waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        for _ in range(100):
            if pid := await notes.admin.fetchval(waiting):
                break
            await asyncio.sleep(0.01)
        await notes.admin.execute("SELECT pg_terminate_backend($1)", pid)
        assert asks_to_come_again(await call)
    assert (await create(notes)).note.id
    assert await notes.count("note") == 1


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.CrashShutdownError,
        asyncpg.AdminShutdownError,
        asyncpg.CannotConnectNowError,
        asyncpg.TooManyConnectionsError,
        asyncpg.DiskFullError,
        asyncpg.QueryCanceledError,
        asyncpg.ConnectionDoesNotExistError,
        ConnectionResetError,
        FileNotFoundError,  # The socket of a server that is stopped.
    ],
)
def test_what_says_that_a_server_is_away_is_taken_so(error: type[Exception]) -> None:
    assert issubclass(error, AWAY)


@pytest.mark.parametrize("error", [asyncpg.UniqueViolationError, asyncpg.UndefinedTableError, asyncpg.DataError])
def test_a_mistake_of_ours_is_not_taken_for_a_server_that_is_away(error: type[Exception]) -> None:
    assert not issubclass(error, AWAY)


async def test_the_services_role_is_bounded_in_what_it_waits_for(notes: Running, notes_server: str) -> None:
    await notes.admin.execute("ALTER ROLE notes RESET ALL")  # Roles outlive a run on a server that is not ours.
    await provision(notes_server, "notes", database="notes_template", password=password_of(notes_server))
    wanted = {
        "lock_timeout": LOCK_TIMEOUT,
        "statement_timeout": STATEMENT_TIMEOUT,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_TIMEOUT.replace("60s", "1min"),
        "deadlock_timeout": DEADLOCK_TIMEOUT,
    }
    async with open_pool(notes.urls.service, size=1) as pool, pool.acquire() as conn:
        assert {name: await conn.fetchval(f"SHOW {name}") for name in wanted} == wanted


@pytest_asyncio.fixture
async def program(tmp_path: Path) -> AsyncIterator[Program]:
    yield await asyncio.to_thread(postgres, tmp_path / "postgres", tmp_path / "logs")


async def test_a_server_that_is_gone_makes_calls_come_again_until_it_is_back(program: Program, tmp_path: Path) -> None:
    url = postgres_url(tmp_path / "postgres")
    process = await asyncio.to_thread(start, program, tmp_path / "logs")
    try:
        await create_notes_template(url)
        async with running(SERVICE, url, tmp_path / "issuer") as notes:
            assert (await create(notes)).note.id
            await notes.admin.close()
            await asyncio.to_thread(process.stop)
            for _ in range(3):
                assert asks_to_come_again(await refusal(create(notes)))
            process = await asyncio.to_thread(start, program, tmp_path / "logs")
            assert (await create(notes)).note.id
    finally:
        await asyncio.to_thread(process.stop)
