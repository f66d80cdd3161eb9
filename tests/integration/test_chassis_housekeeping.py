"""What has done its service goes; what is still needed stays."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from chassis.housekeeping import BATCH_MAX, KEPT, OF_THE_CHASSIS, sweep
from chassis.ids import new_id
from chassis.pool import Pool, open_pool
from chassis.times import utc_now
from tests.contract.found import SERVICES, service
from tests.support.notes import create_request, pb_grpc
from tests.support.service import Running

COLUMN = {"outbox": "published_at", "idempotency": "created_at", "inbox": "received_at"}

MONTHS_OF_USE = """
    WITH at AS (SELECT n, now() - n * interval '6 minutes' AS at FROM generate_series(1, 17000) AS n),
         answers AS (INSERT INTO idempotency SELECT $1, 'user', 'Create', gen_random_uuid(), '', '', at FROM at),
         receipts AS (INSERT INTO inbox SELECT $1, 'notes', gen_random_uuid(), at FROM at)
    INSERT INTO outbox (chain_id, event_id, aggregate_id, subject, payload, traceparent, created_at, published_at)
    SELECT $1, gen_random_uuid(), $1, '', ''::bytea, '', at, at FROM at WHERE n > 5
    UNION ALL SELECT $1, gen_random_uuid(), $1, '', '', '', at, NULL FROM at WHERE n <= 5
"""


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


async def test_what_gathered_while_nobody_swept_goes_some_at_a_time(notes: Running, relay_pool: Pool) -> None:
    """Also where more than that are of one instant, as what one import wrote."""
    await notes.admin.execute(MONTHS_OF_USE, notes.chain_id)
    old = f"now() - interval '{KEPT['inbox'].days} days'"
    await notes.admin.execute(f"UPDATE inbox SET received_at = {old} - interval '1 hour' WHERE received_at < {old}")
    answers, events, receipts = [
        await notes.admin.fetchval(f"SELECT count(*) FROM {table} WHERE {COLUMN[table]} < now() - $1::interval", kept)
        for table, kept in [(table, KEPT[table]) for table in ("idempotency", "outbox", "inbox")]
    ]
    assert min(answers, events, receipts) > BATCH_MAX
    deleted = await rows_deleted(relay_pool)
    assert deleted["idempotency"] == [BATCH_MAX] * (answers // BATCH_MAX) + [answers % BATCH_MAX]
    assert deleted["outbox"] == [BATCH_MAX] * (events // BATCH_MAX) + [events % BATCH_MAX]
    assert deleted["inbox"] == [receipts]
    assert await rows_deleted(relay_pool) == {}


async def rows_deleted(relay_pool: Pool) -> dict[str, list[int]]:
    """By a sweep, in each of its statements, by table."""
    deleted = dict[str, list[int]]()

    class Noting:
        fetchval = relay_pool.fetchval

        async def execute(self, text: str, *arguments: Any) -> None:
            done = await relay_pool.execute(text, *arguments)
            found = re.match(r"DELETE FROM (\w+)", text)
            assert found
            deleted.setdefault(found[1], []).append(int(done.rpartition(" ")[2]))

    await sweep(Noting())  # type: ignore[arg-type]
    return deleted


async def test_old_rows_are_found_by_index_among_many(notes: Running, relay_pool: Pool) -> None:
    """As the role that sweeps: it would read all of each table every ten minutes."""
    await notes.admin.execute(MONTHS_OF_USE, notes.chain_id)
    await notes.admin.execute("ANALYZE")
    for table, ageing in zip(("outbox", "idempotency", "inbox"), OF_THE_CHASSIS, strict=True):
        oldest = utc_now() - timedelta(minutes=6 * 17_000)
        for statement, values in (
            (ageing.oldest, {"before": utc_now() - ageing.kept}),
            (ageing.delete, {"last": oldest + timedelta(minutes=6 * BATCH_MAX)}),
        ):
            plan = await relay_pool.fetch(f"EXPLAIN {statement.text}", *statement.args(values))
            text = "\n".join(row[0] for row in plan)
            assert f"{table}_age_idx" in text, text
            assert "Seq Scan" not in text, text
            assert "Sort" not in text, text


@pytest.mark.parametrize("name", SERVICES)
def test_old_rows_of_a_services_own_tables_have_an_index_by_age(name: str) -> None:
    for table in service(name).short_lived:
        firsts = {next(iter(index.columns)).name for index in table.indexes}
        assert table.info["aged_by"] in firsts, table.name


def test_receipts_outlive_what_a_stream_keeps_and_what_an_operator_can_replay() -> None:
    from chassis.service import STREAM_AGE_S

    assert KEPT["inbox"].total_seconds() > STREAM_AGE_S
    assert KEPT["inbox"] > KEPT["outbox"]
