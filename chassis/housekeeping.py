"""Deletes what has done its service: published events, remembered answers, receipts of events; and rows of a service's
own short-lived tables.

The oldest first, some at a time: a transaction that deletes a month of rows would hold back the vacuum of all tables,
and keep a replica waiting.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Table, delete, func, select

from chassis.pool import Pool
from chassis.sql import Statement, param
from chassis.tables import HOUSEKEEPING, Instant, idempotency, inbox, outbox
from chassis.times import utc_now

EVERY_S = 600.0
BATCH_MAX = 2_000
"""Rows; more where they are of one instant, as what one transaction wrote."""
BREATHE_S = 0.02
"""Between batches, for those who share the disk."""
KEPT = {
    outbox.name: timedelta(days=14),
    idempotency.name: timedelta(days=7),
    inbox.name: timedelta(days=60),  # Above what a stream keeps and an operator replays.
}


@dataclass(frozen=True, slots=True)
class Ageing:
    """A table whose old rows go. Two statements, since PostgreSQL takes the index for an age that it is told, and not
    for one that it has yet to find."""

    kept: timedelta
    oldest: Statement
    """The age of the last row of the next batch; NULL when nothing is left to delete."""
    delete: Statement


def ageing(table: Table, aged_by: str, kept: timedelta) -> Ageing:
    age = table.c[aged_by]
    old = select(age).where(age < param("before", Instant)).order_by(age).limit(BATCH_MAX).subquery("old")
    last = select(func.max(old.c[aged_by]))
    return Ageing(kept, Statement(last), Statement(delete(table).where(age <= param("last", Instant))))


OF_THE_CHASSIS = [ageing(table, HOUSEKEEPING[table.name], KEPT[table.name]) for table in (outbox, idempotency, inbox)]


async def keep_house(relay_pool: Pool, short_lived: Sequence[Table] = ()) -> None:
    while True:
        await sweep(relay_pool, short_lived)
        await asyncio.sleep(EVERY_S)


async def sweep(relay_pool: Pool, short_lived: Sequence[Table] = ()) -> None:
    """Unpublished events have no date of publishing, and stay."""
    of_the_service = [ageing(each, each.info["aged_by"], each.info["kept"]) for each in short_lived]
    for each in [*OF_THE_CHASSIS, *of_the_service]:
        before = {"before": utc_now() - each.kept}
        while last := await relay_pool.fetchval(each.oldest.text, *each.oldest.args(before)):
            await relay_pool.execute(each.delete.text, *each.delete.args({"last": last}))
            await asyncio.sleep(BREATHE_S)
