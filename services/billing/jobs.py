"""What billing does by itself: one elected process of the service runs it.

A package whose last day is over is drawn from by no visit, whether or not this job runs. It is here to take what is
left, to tell of it, and to tell before.
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
from services.billing.store import BillingStore
from services.billing.tables import NO_CHAIN
from services.billing.use_cases import sales

log = structlog.get_logger()

POLL_S = 60.0
AT_ONCE_MAX = 20


async def end_packages(db: Database, settings: Settings, clock: Clock) -> None:
    """Until cancelled."""
    while True:
        try:
            while await end_due_packages(db, clock):
                pass
        except DomainError as error:
            log.warning("packages.not_ended", error=error.reason)
        await asyncio.sleep(POLL_S)


async def end_due_packages(db: Database, clock: Clock) -> int:
    """Of every chain, at most so many in one transaction; how many it found, those to tell of among them."""
    chains = await db.job(_call(NO_CHAIN, clock), BillingStore, BillingStore.package_chains)
    steps = [partial(step, limit=AT_ONCE_MAX) for step in (sales.end_over, sales.warn_expiring)]
    return sum([await db.job(_call(chain_id, clock), BillingStore, step) for chain_id in chains for step in steps])


def _call(chain_id: UUID, clock: Clock) -> Call:
    return Call(
        chain_id=chain_id,
        sites=None,
        actor="billing",
        method="billing.packages",
        cause="",
        audit=AUDIT_NONE,
        now=clock(),
        traceparent=traceparent_of(""),
    )
