"""Databases that one test hands on to the next, empty, with the connections to them: a new one takes 50 ms.

Only one that is as it was made is handed on. Whatever else a test did to it, the next test gets another: changed its
tables, took statistics of them, closed connections, or left something running.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import asyncpg

from chassis.pool import Pool, open_pool
from chassis.provision import DatabaseUrls
from tests.support.servers import as_administrator, clone, drop

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

EMPTYING_S = 2
WATCH = """
CREATE SCHEMA watch;
CREATE TABLE watch.alteration (at timestamptz);
CREATE FUNCTION watch.note() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
    AS 'BEGIN INSERT INTO watch.alteration VALUES (now()); END';
CREATE EVENT TRIGGER watch_altered ON ddl_command_end EXECUTE FUNCTION watch.note();
CREATE EVENT TRIGGER watch_dropped ON sql_drop EXECUTE FUNCTION watch.note();
"""
AS_MADE = """
SELECT NOT EXISTS (SELECT FROM watch.alteration)
    AND NOT EXISTS (
        SELECT FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND reltuples >= 0
    )
    AND NOT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
    )
"""
TABLES = """
SELECT oid::regclass::text FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'schema_version'
"""
SEQUENCES = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace"


@dataclass(frozen=True, slots=True)
class Kept:
    """Administrators come and go: a connection plans its checks of foreign keys once, by how much there is then."""

    urls: DatabaseUrls
    pool: Pool
    emptying: str


@dataclass(frozen=True, slots=True)
class TestDatabase:
    urls: DatabaseUrls
    pool: Pool
    admin: Connection  # A superuser, who sees past row-level security.

    __test__ = False  # It is no test.


@dataclass(frozen=True, slots=True)
class Shelf:
    """Connections are of the loop that opened them."""

    loop: asyncio.AbstractEventLoop
    kept: dict[tuple[str, int], list[Kept]]


_shelves = dict[str, Shelf]()
"""By server: the databases that no test has now, by service and size of the pool."""


@asynccontextmanager
async def handing_on(server_url: str) -> AsyncIterator[None]:
    """Within, tests on the server hand databases on; then all of them are dropped."""
    shelf = _shelves[server_url] = Shelf(asyncio.get_running_loop(), defaultdict(list))
    yield
    del _shelves[server_url]
    for database in chain.from_iterable(shelf.kept.values()):
        await _discard(server_url, database)


@asynccontextmanager
async def test_database(server_url: str, service: str, pool_size: int, *, new: bool) -> AsyncIterator[TestDatabase]:
    shelf = _shelves.get(server_url)
    if new or (shelf and shelf.loop is not asyncio.get_running_loop()):
        shelf = None
    waiting = shelf.kept[service, pool_size] if shelf else []
    database = waiting.pop() if waiting else await _make(server_url, service, pool_size)
    admin = await asyncpg.connect(as_administrator(server_url, database.urls))
    emptied = False
    try:
        yield TestDatabase(database.urls, database.pool, admin)
        emptied = shelf is not None and await _is_emptied(database, admin)
    finally:
        await admin.close()
        if emptied:
            waiting.append(database)
        else:
            await _discard(server_url, database)


async def _make(server_url: str, service: str, pool_size: int) -> Kept:
    urls = await clone(server_url, service)
    admin = await asyncpg.connect(as_administrator(server_url, urls))
    tables = [row[0] for row in await admin.fetch(TABLES)]
    sequences = [row[0] for row in await admin.fetch(SEQUENCES)]
    emptying = "; ".join([
        "SET session_replication_role = replica",  # No foreign keys, no triggers.
        *(f"DELETE FROM {table}" for table in tables),
        *(f"SELECT setval('{sequence}', 1, false)" for sequence in sequences),
    ])  # fmt: skip
    for table in tables:  # Vacuumed while it is empty, it would be planned for as such, however much comes.
        await admin.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    await admin.execute(WATCH)
    await admin.close()
    return Kept(urls, await open_pool(urls.service, size=pool_size, planned_once=True), emptying)


async def _is_emptied(database: Kept, admin: Connection) -> bool:
    if database.pool.is_closing() or admin.is_closed() or not await admin.fetchval(AS_MADE):
        return False
    try:
        await admin.execute(database.emptying, timeout=EMPTYING_S)
    except (TimeoutError, asyncpg.PostgresError):  # Somebody left a lock.
        return False
    return True


async def _discard(server_url: str, database: Kept) -> None:
    database.pool.terminate()
    await drop(server_url, database.urls)
