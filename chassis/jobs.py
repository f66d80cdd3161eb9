"""What a service does by itself: a look that is taken again and again, and the calls that its steps are."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from uuid import UUID

import structlog

from atoll.common.v1.access_pb2 import AUDIT_NONE
from chassis.call import Call
from chassis.errors import DomainError
from chassis.ids import to_wire
from chassis.metrics import CHAIN_FAILURES
from chassis.tracing import traceparent_of

log = structlog.get_logger()


async def keep_looking(look: Callable[[], Awaitable[int]], poll_s: float, failed: str) -> None:
    """Until cancelled: at once again while `look` finds something, else after a while. That the database is away, or
    refuses, is logged as `failed`."""
    while True:
        try:
            while await look():
                pass
        except DomainError as error:
            log.warning(failed, error=error.reason)
        await asyncio.sleep(poll_s)


async def in_each(chains: Iterable[UUID], step: Callable[[UUID], Awaitable[int]], failed: str) -> int:
    """What `step` found in all of the chains; nothing where it failed in one, so that the next look waits. That chain,
    even if by a mistake of ours, is logged as `failed`, and holds up no other."""
    found, well = 0, True
    for chain_id in chains:
        try:
            found += await step(chain_id)
        except DomainError as error:
            log.warning(failed, chain_id=to_wire("chain", chain_id), error=error.reason)
        except Exception:
            log.exception(failed, chain_id=to_wire("chain", chain_id))
        else:
            continue
        well = False
        CHAIN_FAILURES.labels(failed).inc()
    return found if well else 0


def job_call(service: str, work: str, chain_id: UUID, now: datetime, cause: str = "") -> Call:
    """A step's, under a trace of its own. It sees every site of the chain, and leaves no audit row."""
    return Call(chain_id, None, service, f"{service}.{work}", cause, AUDIT_NONE, now, traceparent_of(""))
