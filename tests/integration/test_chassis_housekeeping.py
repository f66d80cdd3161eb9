"""What has done its service goes; what is still needed stays."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chassis.housekeeping import KEPT, sweep
from chassis.ids import new_id
from chassis.pool import Pool, open_pool
from tests.support.notes import create_request, pb_grpc
from tests.support.service import Running

COLUMN = {"outbox": "published_at", "idempotency": "created_at", "inbox": "received_at"}


@pytest_asyncio.fixture
async def relay_pool(notes: Running) -> AsyncIterator[Pool]:
    async with open_pool(notes.urls.relay, size=1) as pool:
        yield pool


async def fill(notes: Running) -> None:
    """Two rows in each table that is swept."""
    for _ in range(2):
        stub, token = notes.stub(pb_grpc.NoteServiceStub), notes.token("ROLE_FRONT_DESK")
        await notes.call(stub.CreateNote, create_request(new_id()), token)
        await notes.admin.execute("INSERT INTO inbox VALUES ($1, 'notes', $2)", notes.chain_id, new_id())


@pytest.mark.parametrize("table", COLUMN)
async def test_a_row_is_deleted_once_it_is_older_than_it_is_kept(notes: Running, relay_pool: Pool, table: str) -> None:
    await fill(notes)
    days, column = KEPT[table].days, COLUMN[table]
    await notes.admin.execute(f"UPDATE {table} SET {column} = now() - interval '{days} days' + interval '1 minute'")
    await sweep(relay_pool)
    assert await notes.count(table) == 2
    row = f"(SELECT ctid FROM {table} LIMIT 1)"
    await notes.admin.execute(f"UPDATE {table} SET {column} = now() - interval '{days} days 1 s' WHERE ctid = {row}")
    await sweep(relay_pool)
    assert await notes.count(table) == 1


async def test_an_event_that_was_never_published_stays_however_old(notes: Running, relay_pool: Pool) -> None:
    await fill(notes)
    await notes.admin.execute("UPDATE outbox SET created_at = now() - interval '1 year'")
    await sweep(relay_pool)
    assert await notes.count("outbox") == 2


async def test_changes_audit_rows_and_dead_letters_stay_however_old(notes: Running, relay_pool: Pool) -> None:
    await fill(notes)
    await notes.admin.execute(
        "INSERT INTO dead_letter VALUES ($1, 'notes', 'x', 's', '', 'r', NULL, 1, now() - interval '9 years')",
        notes.chain_id,
    )
    await notes.admin.execute("UPDATE audit SET at = now() - interval '9 years'")
    await sweep(relay_pool)
    assert [await notes.count(table) for table in ("note", "audit", "dead_letter")] == [2, 2, 1]


def test_receipts_outlive_what_a_stream_keeps_and_what_an_operator_can_replay() -> None:
    from chassis.service import STREAM_AGE_S

    assert KEPT["inbox"].total_seconds() > STREAM_AGE_S
    assert KEPT["inbox"] > KEPT["outbox"]
