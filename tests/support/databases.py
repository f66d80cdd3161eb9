"""Databases that one test hands on to the next, empty, with the connections to them: a new one takes 50 ms.

Only one that is as it was made is handed on. Whatever else a test did to it, the next test gets another: changed its
tables, took statistics of them, closed connections, or left something running.
"""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from chassis.pool import Pool, open_pool
from chassis.provision import DatabaseUrls
from tests.support.servers import as_administrator, clone, drop

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
class TestDatabase:
    urls: DatabaseUrls
    admin: "asyncpg.Connection[asyncpg.Record]"  # A superuser, who sees past row-level security.
    pool: Pool
    emptying: str

    __test__ = False  # It is no test.

    async def empty(self) -> bool:
        """Whether the next test may have it."""
        if self.pool.is_closing() or self.admin.is_closed():
            return False
        await self.admin.reset()
        if not await self.admin.fetchval(AS_MADE):
            return False
        try:
            await self.admin.execute(self.emptying, timeout=EMPTYING_S)
        except (TimeoutError, asyncpg.PostgresError):  # Somebody left a lock.
            return False
        return True


_handed_on = dict[str, dict[tuple[str, int], list[TestDatabase]]]()
"""By server, then by service and size of the pool: those that no test has now."""


@asynccontextmanager
async def handing_on(server_url: str) -> AsyncIterator[None]:
    """Within, tests on the server hand databases on; then all of them are dropped."""
    _handed_on[server_url] = defaultdict(list)
    yield
    for databases in _handed_on.pop(server_url).values():
        for database in databases:
            await _discard(server_url, database)


@asynccontextmanager
async def test_database(server_url: str, service: str, pool_size: int) -> AsyncIterator[TestDatabase]:
    free = _handed_on.get(server_url, {}).setdefault((service, pool_size), [])
    database = free.pop() if free else await _make(server_url, service, pool_size)
    yield database
    if server_url in _handed_on and await database.empty():
        free.append(database)
    else:
        await _discard(server_url, database)


async def _make(server_url: str, service: str, pool_size: int) -> TestDatabase:
    urls = await clone(server_url, service)
    admin = await asyncpg.connect(as_administrator(server_url, urls))
    tables = [row[0] for row in await admin.fetch(TABLES)]
    sequences = [row[0] for row in await admin.fetch(SEQUENCES)]
    emptying = "; ".join([
        "SET session_replication_role = replica",  # No foreign keys, no triggers.
        *(f"DELETE FROM {table}" for table in tables),
        *(f"SELECT setval('{sequence}', 1, false)" for sequence in sequences),
        "RESET session_replication_role",
    ])  # fmt: skip
    await admin.execute(WATCH)
    return TestDatabase(urls, admin, await open_pool(urls.service, size=pool_size, planned_once=True), emptying)


async def _discard(server_url: str, database: TestDatabase) -> None:
    await database.pool.close()
    await database.admin.close()
    await drop(server_url, database.urls)
