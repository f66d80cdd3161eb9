"""Whether every event that was recorded has been read: outboxes empty, nothing pending at any reader."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import nats
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from deploy.local.home import StackInfo

DRAINED_S = 90.0  # A service that was killed is back well within it.
POLL_S = 0.03
UNPUBLISHED = "SELECT EXISTS (SELECT FROM outbox WHERE published_at IS NULL)"


class Queues:
    def __init__(self, js: JetStreamContext, outboxes: Mapping[str, "asyncpg.Connection[asyncpg.Record]"]) -> None:
        self._js, self._outboxes = js, outboxes

    async def drained(self) -> None:
        """An event that is handled may cause another: empty is what is found empty twice."""
        until, empty = time.monotonic() + DRAINED_S, 0
        while empty < 2:
            empty = empty + 1 if await self._empty() else 0
            if time.monotonic() > until:
                raise TimeoutError(f"events were not read within {DRAINED_S:.0f} s")
            if empty < 2:
                await asyncio.sleep(POLL_S)

    async def _empty(self) -> bool:
        try:
            for connection in self._outboxes.values():
                if await connection.fetchval(UNPUBLISHED):
                    return False
            for name in self._outboxes:
                for consumer in await self._js.consumers_info(name.upper()):
                    if consumer.num_pending or consumer.num_ack_pending:
                        return False
        except NatsError:
            return False
        return True


@asynccontextmanager
async def open_queues(info: StackInfo) -> AsyncIterator[Queues]:
    async with AsyncExitStack() as stack:
        client = await nats.connect(info.nats_url)
        stack.push_async_callback(client.close)
        outboxes = {}
        for name, service in info.services.items():
            outboxes[name] = await asyncpg.connect(service.databases.relay)
            stack.push_async_callback(outboxes[name].close)
        yield Queues(client.jetstream(), outboxes)
