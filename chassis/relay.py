"""Outbox to NATS: at least once. `Nats-Msg-Id` and the readers' inboxes drop the copies."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import structlog
from asyncpg import Record
from nats.aio.client import Client as NATS
from nats.js.api import PubAck
from nats.js.errors import NoStreamResponseError
from sqlalchemy import ARRAY, Uuid, any_, func, select, update

from chassis.metrics import EVENTS_PUBLISHED
from chassis.pool import Pool
from chassis.sql import Statement, param
from chassis.tables import Instant, outbox

log = structlog.get_logger()

BATCH_MAX = 100
POLL_S = 0.03
ACKS_S = 5.0
RETRY_S = 1.0

# By what is unpublished, never by "after the last position": positions are given out before their rows commit.
UNPUBLISHED = Statement(
    select(outbox.c.event_id, outbox.c.subject, outbox.c.payload, outbox.c.traceparent)
    .where(outbox.c.published_at.is_(None))
    .order_by(outbox.c.position)
    .limit(BATCH_MAX)
    .with_for_update(skip_locked=True)
)
PUBLISHED = Statement(
    update(outbox)
    .where(outbox.c.event_id == any_(param("event_ids", ARRAY(Uuid))))
    .values(published_at=func.clock_timestamp())
)
PUBLISH_AGAIN = Statement(
    update(outbox)
    .where(outbox.c.created_at >= param("since", Instant), outbox.c.published_at.is_not(None))
    .values(published_at=None)
)


class Relay:
    """Connects with a role that sees the outbox of every chain. One runs at a time: see `chassis.election`.

    Events leave in the order of the outbox. A second relay takes the next rows, at the price of that order.
    """

    def __init__(self, pool: Pool, client: NATS) -> None:
        self._pool, self._client, self._js = pool, client, client.jetstream()

    async def run(self) -> None:
        """Until cancelled, or until the stream is gone or the connection closed, which whoever runs it makes anew.

        While NATS or PostgreSQL is away, events wait in the outbox.
        """
        while True:
            try:
                if await self.drain() < BATCH_MAX:
                    await asyncio.sleep(POLL_S)
            except NoStreamResponseError:
                raise
            except Exception as error:
                log.warning("relay.retry", error=type(error).__name__)
                if self._client.is_closed:
                    return
                await asyncio.sleep(RETRY_S)

    async def drain(self) -> int:
        """Publishes one batch, all acks awaited together. If one fails, or we do, the whole batch goes again."""
        async with asyncio.timeout(ACKS_S), self._pool.acquire() as conn, conn.transaction():
            batch = await conn.fetch(UNPUBLISHED.text, *UNPUBLISHED.args({}))
            if not batch:
                return 0
            await self._publish(batch)
            event_ids = [row["event_id"] for row in batch]
            await conn.execute(PUBLISHED.text, *PUBLISHED.args({"event_ids": event_ids}))
        EVENTS_PUBLISHED.inc(len(batch))
        return len(batch)

    async def _publish(self, batch: Sequence[Record]) -> None:
        if not self._client.is_connected:  # Else the client would keep one copy for each time we try.
            raise ConnectionError
        acks = list[asyncio.Future[PubAck]]()
        try:
            for row in batch:
                headers = {"Nats-Msg-Id": str(row["event_id"]), "traceparent": row["traceparent"]}
                acks.append(await self._js.publish_async(row["subject"], row["payload"], headers=headers))
            await asyncio.gather(*acks)
        finally:
            for ack in acks:  # Else those that never come fill the client's count of what it may wait for.
                ack.cancel()


async def publish_again(pool: Pool, since: datetime) -> int:
    """Puts the events that were recorded since (real time) back in line: how many. Readers drop what they have had."""
    done: str = await pool.execute(PUBLISH_AGAIN.text, *PUBLISH_AGAIN.args({"since": since}))
    return int(done.rpartition(" ")[2])
