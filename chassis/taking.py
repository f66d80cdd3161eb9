"""Work that a job takes up as it falls due, of whichever chain, and sees to side by side."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import structlog

from chassis.errors import DomainError

log = structlog.get_logger()

T = TypeVar("T")
Take: TypeAlias = Callable[[int], Awaitable[Sequence[tuple[UUID, T]]]]
"""Up to so many, each with its chain."""
SeeTo: TypeAlias = Callable[[UUID, T], Coroutine[Any, Any, None]]
"""One of them, to whatever end; it raises nothing."""
POLL_S = 0.2
CHAINS_S = 1.0
RETRY_S = 1.0


class Shuffled:
    """The chains that there is anything to do for, in another order each time: none waits for another's backlog."""

    def __init__(self, look: Callable[[], Awaitable[list[UUID]]]) -> None:
        self._look, self._chains, self._until = look, list[UUID](), 0.0

    async def chains(self) -> list[UUID]:
        if monotonic() >= self._until:
            self._chains, self._until = await self._look(), monotonic() + CHAINS_S
        random.shuffle(self._chains)
        return self._chains


async def keep_taking(
    take: Take[T], see_to: SeeTo[T], *, most: int, least: int = 1, drain_s: float, failed: str
) -> None:
    """Until cancelled: `most` at once; more are taken when there is room for `least`. That the database is away, or
    refuses, is logged as `failed`. Those in hand are finished first, or left after `drain_s`."""
    in_hand = set[asyncio.Task[None]]()
    try:
        while True:
            if (room := most - len(in_hand)) >= least:
                for chain_id, taken in await _taken(take, room, failed):
                    in_hand.add(asyncio.create_task(see_to(chain_id, taken)))
            if in_hand:
                _, in_hand = await asyncio.wait(in_hand, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(POLL_S)
    finally:
        await _finish(in_hand, drain_s)


async def _finish(in_hand: set[asyncio.Task[None]], within_s: float) -> None:
    """`chassis.election.cancelled` cancels again every two seconds; that cuts nobody's time short."""
    until = monotonic() + within_s
    while in_hand and (left := until - monotonic()) > 0:
        with suppress(asyncio.CancelledError):
            _, in_hand = await asyncio.wait(in_hand, timeout=left)


async def take_all(take: Take[T], see_to: SeeTo[T], most: int) -> int:
    """Sees to all that is due and not held, and says how many that were."""
    seen = 0
    while found := await take(most):
        await asyncio.gather(*(see_to(chain_id, taken) for chain_id, taken in found))
        seen += len(found)
    return seen


async def _taken(take: Take[T], room: int, failed: str) -> Sequence[tuple[UUID, T]]:
    try:
        return await take(room)
    except DomainError as error:
        log.warning(failed, error=error.reason)
        await asyncio.sleep(RETRY_S)
        return []
