"""What waits in a service's outbox, and what could not be handled: of every chain, as the relay's role sees it."""

import asyncio
from dataclasses import dataclass

from sqlalchemy import Float, cast, extract, func, select

from chassis.metrics import DEAD_LETTERS, OUTBOX_BACKLOG, OUTBOX_OLDEST
from chassis.pool import Connection, Pool
from chassis.sql import Statement
from chassis.tables import dead_letter, outbox

EVERY_S = 10.0

_oldest = extract("epoch", func.now() - func.min(outbox.c.created_at))
_letters = select(func.count()).select_from(dead_letter).scalar_subquery()
BACKLOG = Statement(
    select(func.count(), func.coalesce(cast(_oldest, Float), 0.0), _letters).where(outbox.c.published_at.is_(None))
)


@dataclass(frozen=True, slots=True)
class Backlog:
    unpublished: int
    oldest_s: float
    """Of the events that are not published. 0: there are none."""
    dead_letters: int


async def backlog(conn: Connection) -> Backlog:
    [row] = await conn.fetch(BACKLOG.text, *BACKLOG.args({}))
    return Backlog(*row)


async def show_backlog(pool: Pool) -> None:
    """Until cancelled, in metrics. A process that is no longer elected shows nothing waiting: another tells."""
    try:
        while True:
            async with pool.acquire() as conn:
                _show(await backlog(conn))
            await asyncio.sleep(EVERY_S)
    finally:
        _show(Backlog(0, 0.0, 0))


def _show(found: Backlog) -> None:
    OUTBOX_BACKLOG.set(found.unpublished)
    OUTBOX_OLDEST.set(found.oldest_s)
    DEAD_LETTERS.set(found.dead_letters)
