"""The command that tells anew what chains have published and had signed: `python -m services.patients recount`.

A service that begins to read of consents hears of those to come; outboxes and streams hold the last weeks only of those
before. Run once when every process of that service reads of them. It works beside calls, and may be stopped and run
again: whoever had heard of something hears of it once more, and takes it for what it is.
"""

import asyncio
import sys
from functools import partial
from uuid import UUID

import structlog

from chassis.call import Call
from chassis.clock import Clock
from chassis.db import Database
from chassis.errors import DomainError
from chassis.ids import to_wire
from chassis.jobs import job_call
from chassis.logs import configure_process
from chassis.pool import open_pool
from chassis.settings import read
from chassis.times import utc_now
from services.patients import events
from services.patients.domain.consents import Signature
from services.patients.resealing import chains_of
from services.patients.settings import RecountSettings
from services.patients.store.recounting import RecountStore

log = structlog.get_logger()

SIGNATURES_AT_ONCE = 100
DOCUMENTS_AT_ONCE = 20
FIRST = UUID(int=0)


def recount() -> None:
    configure_process("patients")
    try:
        asyncio.run(recount_all(read(RecountSettings)))
    except DomainError as error:
        sys.exit(f"stopped, and may be run again: {error}")


async def recount_all(settings: RecountSettings, clock: Clock = utc_now) -> None:
    """Each part is a transaction of its own. The last one says that it is: also of a chain without any consents."""
    chains = await chains_of(settings.sealer_database_url)
    async with open_pool(settings.database_url, size=1) as pool:
        db = Database(pool)
        for chain_id in chains:
            count = await _recount_chain(db, chain_id, clock)
            log.info("consents.recounted", chain_id=to_wire("chain", chain_id), signatures=count)


async def _recount_chain(db: Database, chain_id: UUID, clock: Clock) -> int:
    """How many signatures it has."""
    await db.job(_call(chain_id, clock), RecountStore, _tell_documents)
    count, after = 0, FIRST
    while True:
        told = await db.job(_call(chain_id, clock), RecountStore, partial(_tell_signatures, after=after))
        count += len(told)
        if len(told) < SIGNATURES_AT_ONCE:
            return count
        after = told[-1].id


async def _tell_documents(store: RecountStore) -> None:
    published = await store.every_document()
    for start in range(0, len(published), DOCUMENTS_AT_ONCE):
        part = published[start : start + DOCUMENTS_AT_ONCE]
        store.emit(events.documents_recounted(part), about=store.call.chain_id)


async def _tell_signatures(store: RecountStore, after: UUID) -> list[Signature]:
    signatures = await store.signatures(after, SIGNATURES_AT_ONCE)
    event = events.signatures_recounted(signatures, complete=len(signatures) < SIGNATURES_AT_ONCE)
    store.emit(event, about=store.call.chain_id)
    return signatures


def _call(chain_id: UUID, clock: Clock) -> Call:
    return job_call("patients", "recount", chain_id, clock())
