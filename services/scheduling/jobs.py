"""What scheduling does by itself: one elected process of the service runs it.

Holds that have run out are in nobody's way from that instant, whether or not their job runs: see `Taken.ended_hold_of`.
It is here to tell of them, and to set their visits to expired. Waitlists are looked at where there is a reason to.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import structlog

from chassis.call import Call
from chassis.clock import Clock
from chassis.db import Database
from chassis.errors import DomainError, TryAgain
from chassis.ids import to_wire
from chassis.jobs import in_each, job_call, keep_looking
from chassis.metrics import CHAIN_FAILURES
from chassis.settings import Settings
from chassis.tables import NO_CHAIN
from services.scheduling.domain.courses import VisitsConflict
from services.scheduling.domain.planning import Opening
from services.scheduling.domain.waitlist import Entry, Look, offers_are_made
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases import holds, waitlist

POLL_S = 5.0
AT_ONCE_MAX = 20
FAILED = "holds.not_ended"
NOT_OFFERED = "waitlist.not_offered"
REASONS_MAX = 1_000
"""To look at a list, that are taken up at once."""
LOOKS_MAX = 3
"""For one who waits, where what was found is taken meanwhile."""

T = TypeVar("T")
Step: TypeAlias = Callable[[Callable[[SchedulingStore], Awaitable[Any]]], Awaitable[Any]]
"""A transaction of one chain."""
log = structlog.get_logger()


async def end_holds(db: Database, settings: Settings, clock: Clock) -> None:
    """Until cancelled."""
    await keep_looking(partial(end_due_holds, db, clock), POLL_S, FAILED)


async def end_due_holds(db: Database, clock: Clock) -> int:
    """Of every chain, at most so many in one transaction; how many it found."""
    chains = await db.job(_call(NO_CHAIN, clock), SchedulingStore, SchedulingStore.holding_chains)
    end = partial(holds.end_holds, limit=AT_ONCE_MAX)
    return await in_each(chains, lambda chain_id: db.job(_call(chain_id, clock), SchedulingStore, end), FAILED)


async def offer_times(db: Database, settings: Settings, clock: Clock) -> None:
    """Until cancelled."""
    await keep_looking(partial(offer_due_times, db, clock), POLL_S, NOT_OFFERED)


async def offer_due_times(db: Database, clock: Clock) -> int:
    """Of every chain: ends what nobody waits for any longer, and looks where there is a reason; how many it found."""
    chains = await _step(db, NO_CHAIN, clock, SchedulingStore.waiting_chains)
    return await in_each(chains, lambda chain_id: _offer_in(partial(_step, db, chain_id, clock), clock), NOT_OFFERED)


async def _offer_in(step: Step, clock: Clock) -> int:
    found: int = await step(partial(SchedulingStore.end_entries_over, limit=AT_ONCE_MAX))
    for site_id, zone in await step(SchedulingStore.sites_to_look_at):
        if offers_are_made(clock(), zone):
            found += await _offer_at(step, site_id)
    return found


async def _offer_at(step: Step, site_id: UUID) -> int:
    """The reasons go once all who wait were looked at: whoever stops in between looks again, and so, after a while,
    does whoever could not look at one of them."""
    reasons: list[int] = await step(partial(SchedulingStore.reasons_to_look, site_id=site_id, limit=REASONS_MAX))
    last: Entry | None = None
    well = True
    while entries := await step(partial(SchedulingStore.waiting, site_id=site_id, after=last, limit=AT_ONCE_MAX)):
        for last in entries:
            well = await _offer_to(step, last) and well
    if not well:
        return 0
    await step(partial(SchedulingStore.looked, places=reasons))
    return len(reasons)


async def _offer_to(step: Step, entry: Entry) -> bool:
    """The first time that fits, reckoned beside the event loop, with no transaction open. Whether the matter is
    settled: what is not, even if by a mistake of ours, holds up nobody behind."""
    try:
        for _ in range(LOOKS_MAX):
            look: Look | None = await step(partial(waitlist.look, entry_id=entry.id))
            openings = await asyncio.to_thread(look.openings) if look else []
            if await _first_kept(step, entry, openings):
                return True
    except TryAgain:
        raise
    except Exception:
        log.exception(NOT_OFFERED, waitlist_entry_id=to_wire("waitlistentry", entry.id))
        CHAIN_FAILURES.labels(NOT_OFFERED).inc()
    return False


async def _first_kept(step: Step, entry: Entry, openings: Sequence[Opening]) -> bool:
    """Whether the matter is settled; not so where somebody took what was found, so that it is to be looked for anew."""
    for opening in openings:
        try:
            await step(partial(waitlist.offer, entry=entry, opening=opening))
        except VisitsConflict:
            return False
        except TryAgain:
            raise
        except DomainError as refused:
            id = to_wire("waitlistentry", entry.id)
            log.info("waitlist.passed_over", waitlist_entry_id=id, reason=refused.reason)
        else:
            return True
    return True


async def _step(db: Database, chain_id: UUID, clock: Clock, work: Callable[[SchedulingStore], Awaitable[T]]) -> T:
    return await db.job(job_call("scheduling", "waitlist", chain_id, clock()), SchedulingStore, work)


def _call(chain_id: UUID, clock: Clock) -> Call:
    return job_call("scheduling", "holds", chain_id, clock())
