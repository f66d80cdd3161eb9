"""The command that tells anew what chains have published and had signed: `python -m services.patients recount`.

A service that begins to read of consents hears of those to come; outboxes and streams hold the last weeks only of those
before. Run once when every process of that service reads of them. It works beside calls, and may be stopped and run
again: whoever had heard of something hears of it once more, and takes it for what it is.
"""

from collections.abc import Mapping
from functools import partial
from uuid import UUID

from chassis import maintenance
from chassis.call import Call
from chassis.clock import Clock
from chassis.db import Database
from chassis.jobs import job_call
from chassis.times import utc_now
from services.patients import events
from services.patients.domain.consents import Signature
from services.patients.settings import RecountSettings
from services.patients.store.recounting import RecountStore

SIGNATURES_AT_ONCE = 100
DOCUMENTS_AT_ONCE = 20


def recount() -> None:
    maintenance.run("patients", RecountSettings, recount_all)


async def recount_all(settings: RecountSettings, clock: Clock = utc_now) -> None:
    """The last part of a chain says that it is: also of a chain without any consents."""
    step = partial(_recount_chain, clock=clock)
    await maintenance.in_every_chain(settings.database_url, settings.sealer_database_url, step, "consents.recounted")


async def _recount_chain(db: Database, chain_id: UUID, clock: Clock) -> Mapping[str, int]:
    async def tell_some(after: UUID) -> list[Signature]:
        return await db.job(_call(chain_id, clock), RecountStore, partial(_tell_signatures, after=after))

    await db.job(_call(chain_id, clock), RecountStore, _tell_documents)
    return {"signatures": await maintenance.in_batches(tell_some, SIGNATURES_AT_ONCE)}


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
