"""What billing does by itself: one elected process of the service runs it.

It tells of estimates that are overdue. Documents are written by `services.billing.printing.writer`.
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
from services.billing.tables.copies import NO_CHAIN
from services.billing.use_cases.estimates import tell_overdue

log = structlog.get_logger()

POLL_S = 5.0
AT_ONCE_MAX = 50


async def tell_overdue_estimates(db: Database, settings: Settings, clock: Clock) -> None:
    """Until cancelled."""
    while True:
        try:
            while await tell_some(db, clock):
                pass
        except DomainError as error:
            log.warning("estimates.not_told", error=error.reason)
        await asyncio.sleep(POLL_S)


async def tell_some(db: Database, clock: Clock) -> int:
    """Of every chain, at most so many in one transaction; how many it told of."""
    chains = await db.job(_call(NO_CHAIN, clock), BillingStore, BillingStore.served_chains)
    tell = partial(tell_overdue, limit=AT_ONCE_MAX)
    return sum([await db.job(_call(chain_id, clock), BillingStore, tell) for chain_id in chains])


def _call(chain_id: UUID, clock: Clock) -> Call:
    return Call(
        chain_id=chain_id,
        sites=None,
        actor="billing",
        method="billing.deadlines",
        cause="",
        audit=AUDIT_NONE,
        now=clock(),
        traceparent=traceparent_of(""),
    )
