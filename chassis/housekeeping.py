"""Deletes what has done its service: published events, remembered answers, receipts of events; and rows of a service's
own short-lived tables."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Table, delete

from chassis.pool import Pool
from chassis.sql import Statement, param
from chassis.tables import HOUSEKEEPING, Instant, idempotency, inbox, outbox
from chassis.times import utc_now

EVERY_S = 600.0
KEPT = {
    outbox.name: timedelta(days=14),
    idempotency.name: timedelta(days=7),
    inbox.name: timedelta(days=60),  # Above what a stream keeps and an operator replays.
}


def _older(table: Table, aged_by: str) -> Statement:
    return Statement(delete(table).where(table.c[aged_by] < param("before", Instant)))


DELETES = [(_older(table, HOUSEKEEPING[table.name]), KEPT[table.name]) for table in (outbox, idempotency, inbox)]


async def keep_house(relay_pool: Pool, short_lived: Sequence[Table] = ()) -> None:
    while True:
        await sweep(relay_pool, short_lived)
        await asyncio.sleep(EVERY_S)


async def sweep(relay_pool: Pool, short_lived: Sequence[Table] = ()) -> None:
    """Unpublished events have no date of publishing, and stay."""
    of_the_service = [(_older(each, each.info["aged_by"]), each.info["kept"]) for each in short_lived]
    for statement, kept in [*DELETES, *of_the_service]:
        await relay_pool.execute(statement.text, *statement.args({"before": utc_now() - kept}))
