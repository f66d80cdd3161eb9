"""What scheduling does by itself: one elected process of the service runs it.

Holds that have run out are in nobody's way from that instant, whether or not this job runs: see `Taken.ended_hold_of`.
It is here to tell of them, and to set their visits to expired.
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
from services.scheduling.store import SchedulingStore
from services.scheduling.tables import NO_CHAIN
from services.scheduling.use_cases import holds

log = structlog.get_logger()

POLL_S = 5.0
AT_ONCE_MAX = 20


async def end_holds(db: Database, settings: Settings, clock: Clock) -> None:
    """Until cancelled."""
    while True:
        try:
            while await end_due_holds(db, clock):
                pass
        except DomainError as error:
            log.warning("holds.not_ended", error=error.reason)
        await asyncio.sleep(POLL_S)


async def end_due_holds(db: Database, clock: Clock) -> int:
    """Of every chain, at most so many in one transaction; how many it found."""
    chains = await db.job(_call(NO_CHAIN, clock), SchedulingStore, SchedulingStore.holding_chains)
    end = partial(holds.end_holds, limit=AT_ONCE_MAX)
    return sum([await db.job(_call(chain_id, clock), SchedulingStore, end) for chain_id in chains])


def _call(chain_id: UUID, clock: Clock) -> Call:
    return Call(
        chain_id=chain_id,
        sites=None,
        actor="scheduling",
        method="scheduling.holds",
        cause="",
        audit=AUDIT_NONE,
        now=clock(),
        traceparent=traceparent_of(""),
    )
