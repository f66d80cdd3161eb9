"""The command that tells again who has died: `python -m services.patients tell-deaths`.

Once, after an upgrade from a version whose events did not say so: no replay brings what they lacked. It may be stopped
and run again at any time, and beside calls: readers go by the version of the record.
"""

import asyncio
import sys
from functools import partial
from uuid import UUID

import structlog

from chassis.clock import Clock
from chassis.db import Database
from chassis.errors import DomainError
from chassis.ids import to_wire
from chassis.jobs import job_call
from chassis.logs import configure_process
from chassis.pool import open_pool
from chassis.settings import read
from chassis.times import utc_now
from services.patients.resealing import chains_of
from services.patients.settings import RecountSettings
from services.patients.store import PatientsStore
from services.patients.use_cases.records import tell_deceased

log = structlog.get_logger()

AT_ONCE = 200


def tell_deaths() -> None:
    configure_process("patients")
    try:
        asyncio.run(tell_all(read(RecountSettings)))
    except DomainError as error:  # The database is away.
        sys.exit(f"stopped, and may be run again: {error}")


async def tell_all(settings: RecountSettings) -> None:
    """Each batch is a transaction of its own."""
    chains = await chains_of(settings.sealer_database_url)
    async with open_pool(settings.database_url, size=1) as pool:
        db = Database(pool)
        for chain_id in chains:
            told = await _tell_chain(db, chain_id)
            log.info("deaths.told", chain_id=to_wire("chain", chain_id), count=told)


async def _tell_chain(db: Database, chain_id: UUID, clock: Clock = utc_now) -> int:
    told, after = 0, UUID(int=0)
    while True:
        call = job_call("patients", "tell_deaths", chain_id, clock())
        batch = await db.job(call, PatientsStore, partial(tell_deceased, after=after, limit=AT_ONCE))
        if not batch:
            return told
        told, after = told + len(batch), batch[-1].id
