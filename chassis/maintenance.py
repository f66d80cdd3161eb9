"""What an operator has a service do once, in every chain that it has: a command that ends.

It works beside calls, and may be stopped and run again at any time: each step is a transaction of its own.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

import asyncpg
import structlog

from chassis.db import AWAY, Database
from chassis.errors import DomainError
from chassis.ids import to_wire
from chassis.logs import configure_process, masked
from chassis.pool import open_pool
from chassis.sealer import read_chains
from chassis.settings import FromEnvironment, read

log = structlog.get_logger()

FIRST_ID = UUID(int=0)

S = TypeVar("S", bound=FromEnvironment)
T = TypeVar("T")


class WithId(Protocol):
    @property
    def id(self) -> UUID: ...


def run(service: str, settings_type: type[S], work: Callable[[S], Coroutine[Any, Any, T]]) -> T:
    """The whole of a process, which ends with why if a database is away, or a rule refuses."""
    configure_process(service)
    try:
        return asyncio.run(work(read(settings_type)))
    except (DomainError, *AWAY) as error:
        sys.exit(f"stopped, and may be run again: {masked(str(error)) or type(error).__name__}")


async def in_every_chain(
    database_url: str,
    sealer_database_url: str,
    step: Callable[[Database, UUID], Awaitable[Mapping[str, int]]],
    done: str,
) -> Counter[str]:
    """What `step` counted in all of them. Of each chain a line of log, `done`, says what it counted there."""
    counted = Counter[str]()
    chains = await chains_of(sealer_database_url)
    async with open_pool(database_url, size=1) as pool:
        db = Database(pool)
        for chain_id in chains:
            counts = await step(db, chain_id)
            log.info(done, chain_id=to_wire("chain", chain_id), **counts)
            counted.update(counts)
    return counted


async def chains_of(sealer_database_url: str) -> list[UUID]:
    """Whatever was written left an audit row."""
    conn = await asyncpg.connect(sealer_database_url)
    try:
        return await read_chains(conn)
    finally:
        await conn.close()


async def in_batches(step: Callable[[UUID], Awaitable[Sequence[WithId]]], at_once: int) -> int:
    """How many `step` found: `at_once` of those that come after an id, or fewer where no more are left."""
    count, after = 0, FIRST_ID
    while True:
        found = await step(after)
        count += len(found)
        if len(found) < at_once:
            return count
        after = found[-1].id
