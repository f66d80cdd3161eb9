"""What scheduling does by itself: one elected process of the service runs it.

Holds that have run out are in nobody's way from that instant, whether or not this job runs: see `Taken.ended_hold_of`.
It is here to tell of them, and to set their visits to expired.
"""

from functools import partial
from uuid import UUID

from chassis.call import Call
from chassis.clock import Clock
from chassis.db import Database
from chassis.jobs import in_each, job_call, keep_looking
from chassis.settings import Settings
from chassis.tables import NO_CHAIN
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases import holds

POLL_S = 5.0
AT_ONCE_MAX = 20
FAILED = "holds.not_ended"


async def end_holds(db: Database, settings: Settings, clock: Clock) -> None:
    """Until cancelled."""
    await keep_looking(partial(end_due_holds, db, clock), POLL_S, FAILED)


async def end_due_holds(db: Database, clock: Clock) -> int:
    """Of every chain, at most so many in one transaction; how many it found."""
    chains = await db.job(_call(NO_CHAIN, clock), SchedulingStore, SchedulingStore.holding_chains)
    end = partial(holds.end_holds, limit=AT_ONCE_MAX)
    return await in_each(chains, lambda chain_id: db.job(_call(chain_id, clock), SchedulingStore, end), FAILED)


def _call(chain_id: UUID, clock: Clock) -> Call:
    return job_call("scheduling", "holds", chain_id, clock())
