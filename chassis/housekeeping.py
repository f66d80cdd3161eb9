"""Deletes what has done its service: published events, remembered answers, receipts of events."""

import asyncio
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


def _older(table: Table) -> Statement:
    return Statement(delete(table).where(table.c[HOUSEKEEPING[table.name]] < param("before", Instant)))


DELETES = {table.name: _older(table) for table in (outbox, idempotency, inbox)}


async def keep_house(relay_pool: Pool) -> None:
    while True:
        await sweep(relay_pool)
        await asyncio.sleep(EVERY_S)


async def sweep(relay_pool: Pool) -> None:
    """Unpublished events have no date of publishing, and stay."""
    for name, statement in DELETES.items():
        await relay_pool.execute(statement.text, *statement.args({"before": utc_now() - KEPT[name]}))
