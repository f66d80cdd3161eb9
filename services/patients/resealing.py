"""The commands for keys of records: `python -m services.patients keys | reseal`.

To replace a key: add another to the file and name it `current`; when every process has that file, run `reseal`; take
the old one out of it once `keys` counts nothing under it. `reseal` may be stopped and run again at any time, and beside
calls: what is left of what it has to do stands in the texts themselves.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from chassis.call import Call
from chassis.clock import Clock
from chassis.db import Database
from chassis.errors import DomainError
from chassis.ids import to_wire
from chassis.jobs import job_call
from chassis.keyring import KeyRing
from chassis.logs import configure_process
from chassis.pool import open_pool
from chassis.sealer import CHAINS
from chassis.settings import read
from chassis.times import utc_now
from services.patients.settings import ResealSettings
from services.patients.store.resealing import COLUMNS, ResealStore

log = structlog.get_logger()

AT_ONCE = 500


def count_keys() -> None:
    _run(_count)


def reseal() -> None:
    """Ends with 1 if a text did not open: its key may not be taken away before somebody has seen to it."""
    refused = _run(reseal_all)
    if refused:
        sys.exit(f"{refused} texts do not open; the log names them")


def _run(work: Callable[[ResealSettings], Coroutine[Any, Any, int]]) -> int:
    configure_process("patients")
    try:
        return asyncio.run(work(read(ResealSettings)))
    except DomainError as error:  # There is no file of keys any more, or the database is away.
        sys.exit(f"stopped, and may be run again: {error}")


async def _count(settings: ResealSettings) -> int:
    async with open_pool(settings.owner_database_url, size=1) as pool:
        await _tell(Database(pool), await chains_of(settings.sealer_database_url))
    return 0


async def reseal_all(settings: ResealSettings) -> int:
    """How many texts it could not open. Each batch is a transaction of its own."""
    refused, current = 0, KeyRing(settings.record_keys_file).current()
    chains = await chains_of(settings.sealer_database_url)
    async with open_pool(settings.owner_database_url, size=1) as pool:
        db = Database(pool)
        for chain_id in chains:
            resealed, refused_here = await _reseal_chain(db, chain_id, current)
            refused += refused_here
            log.info("texts.resealed", chain_id=to_wire("chain", chain_id), count=resealed, refused=refused_here)
        await _tell(db, chains)
    return refused


async def chains_of(sealer_url: str) -> list[UUID]:
    """Whatever was written left an audit row."""
    conn = await asyncpg.connect(sealer_url)
    try:
        return [row["chain_id"] for row in await conn.fetch(CHAINS.text, *CHAINS.args({}))]
    finally:
        await conn.close()


async def count_by_key(db: Database, chains: list[UUID]) -> Mapping[str, int]:
    counted = Counter[str]()
    for chain_id in chains:
        counted.update(await db.job(_call(chain_id), ResealStore, ResealStore.count_by_key))
    return counted


async def _tell(db: Database, chains: list[UUID]) -> None:
    for key_id, count in sorted((await count_by_key(db, chains)).items()):
        log.info("texts.under_key", key=key_id, count=count)


async def _reseal_chain(db: Database, chain_id: UUID, current: str) -> tuple[int, int]:
    resealed = refused = 0
    for column in COLUMNS:
        after: Any = None
        while True:
            step = partial(ResealStore.reseal_some, of=column, current=current, after=after, limit=AT_ONCE)
            batch = await db.job(_call(chain_id), ResealStore, step)
            resealed, refused, after = resealed + batch.resealed, refused + batch.refused, batch.last
            if after is None:
                break
    return resealed, refused


def _call(chain_id: UUID, clock: Clock = utc_now) -> Call:
    """Nothing that is written bears its instant."""
    return job_call("patients", "reseal", chain_id, clock())
