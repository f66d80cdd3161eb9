"""What billing does by itself: one elected process of the service runs it.

It ends packages, and tells of those that end soon and of estimates that are overdue. A package whose last day is over
is drawn from by no visit, whether or not this job runs: it is here to take what is left. Documents are written by
`services.billing.printing.writer`.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID

import structlog

from chassis.call import Call
from chassis.clock import Clock
from chassis.db import Database
from chassis.errors import DomainError
from chassis.ids import to_wire
from chassis.jobs import in_each, job_call, keep_looking
from chassis.settings import Settings
from chassis.tables import NO_CHAIN
from services.billing.store import BillingStore
from services.billing.use_cases import sales
from services.billing.use_cases.estimates import tell_overdue

log = structlog.get_logger()

ENDING_POLL_S, TELLING_POLL_S = 60.0, 5.0
END_MAX, TELL_MAX = 20, 50
"""At once."""
NOT_ENDED, NOT_TOLD = "packages.not_ended", "estimates.not_told"
Find = Callable[..., Awaitable[list[UUID]]]
Change = Callable[..., Awaitable[None]]
STEPS: tuple[tuple[Find, Change], ...] = ((sales.over, sales.end_over), (sales.expiring, sales.warn_expiring))


async def end_packages(db: Database, settings: Settings, clock: Clock) -> None:
    """Until cancelled."""
    await keep_looking(partial(end_due_packages, db, clock), ENDING_POLL_S, NOT_ENDED)


async def end_due_packages(db: Database, clock: Clock) -> int:
    """Of every chain, at most so many at once; how many it ended or told of."""
    chains = await db.job(_call(NO_CHAIN, "packages", clock), BillingStore, BillingStore.package_chains)
    return await in_each(chains, lambda chain_id: _end_in(db, _call(chain_id, "packages", clock)), NOT_ENDED)


async def _end_in(db: Database, call: Call) -> int:
    return sum([await _one_by_one(db, call, *step) for step in STEPS])


async def _one_by_one(db: Database, call: Call, find: Find, change: Change) -> int:
    """Each sale in a transaction of its own, since each locks patients: nobody waits for one while others wait for
    those before it, and one that somebody has for long does not hold up the rest. How many it changed."""
    done = 0
    for sale_id in await db.job(call, BillingStore, partial(find, limit=END_MAX)):
        try:
            await db.job(call, BillingStore, partial(change, sale_id=sale_id))
            done += 1
        except DomainError as error:
            log.warning("package.not_ended", package_sale_id=to_wire("packagesale", sale_id), error=error.reason)
    return done


async def tell_overdue_estimates(db: Database, settings: Settings, clock: Clock) -> None:
    """Until cancelled."""
    await keep_looking(partial(tell_some, db, clock), TELLING_POLL_S, NOT_TOLD)


async def tell_some(db: Database, clock: Clock) -> int:
    """Of every chain, at most so many in one transaction; how many it told of."""
    chains = await db.job(_call(NO_CHAIN, "deadlines", clock), BillingStore, BillingStore.served_chains)
    tell = partial(tell_overdue, limit=TELL_MAX)
    return await in_each(
        chains, lambda chain_id: db.job(_call(chain_id, "deadlines", clock), BillingStore, tell), NOT_TOLD
    )


def _call(chain_id: UUID, work: str, clock: Clock) -> Call:
    return job_call("billing", work, chain_id, clock())
