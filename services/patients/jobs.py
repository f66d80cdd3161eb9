"""What patients does by itself: one elected process of the service runs it.

A version of a consent document that asks for new signatures outdates earlier ones from its first day, whether or not
this job runs. It is here to tell whom that concerns.
"""

import asyncio
from functools import partial
from uuid import UUID

import structlog

from atoll.common.v1.access_pb2 import AUDIT_NONE
from chassis.call import Call
from chassis.clock import Clock
from chassis.db import Database
from chassis.errors import DomainError
from chassis.settings import Settings
from chassis.tracing import traceparent_of
from services.patients.store import PatientsStore
from services.patients.tables.recalls import NO_CHAIN
from services.patients.use_cases.recalls import tell_outdated

log = structlog.get_logger()

POLL_S = 5.0
AT_ONCE_MAX = 100


async def recall_consents(db: Database, settings: Settings, clock: Clock) -> None:
    """Until cancelled."""
    while True:
        try:
            while await recall_some(db, clock):
                pass
        except DomainError as error:
            log.warning("consents.not_recalled", error=error.reason)
        await asyncio.sleep(POLL_S)


async def recall_some(db: Database, clock: Clock) -> int:
    """Of every chain, at most so many in one transaction; 0 when all are told."""
    chains = await db.job(_call(NO_CHAIN, clock), PatientsStore, PatientsStore.recalling_chains)
    tell = partial(tell_outdated, limit=AT_ONCE_MAX)
    return sum([await db.job(_call(chain_id, clock), PatientsStore, tell) for chain_id in chains])


def _call(chain_id: UUID, clock: Clock) -> Call:
    return Call(
        chain_id=chain_id,
        sites=None,
        actor="patients",
        method="patients.recalls",
        cause="",
        audit=AUDIT_NONE,
        now=clock(),
        traceparent=traceparent_of(""),
    )
