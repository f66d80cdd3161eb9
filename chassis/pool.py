"""Connections to one database, opened when the pool is and lent one at a time.

asyncpg's own pool gives a connection back in a task of its own, behind a proxy and with a timer: more than a read
costs. Here nothing has to be undone when one comes back, since nothing is set for longer than a transaction. One that
was lost is opened anew for whoever is lent it next.
"""

from __future__ import annotations  # asyncpg's connection is generic in its stubs only

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CONNECT_S = 10.0
SETTINGS = {
    "jit": "off",  # No query of ours is worth a compilation,
    "max_parallel_workers_per_gather": "0",  # or more than one core.
    "tcp_keepalives_idle": "60",  # Idle ones are kept: none that a firewall has forgotten must pass for one that lives.
}


class Pool:
    """A stack: who comes next is lent what came back last. To be entered with `async with`."""

    def __init__(self, dsn: str, *, size: int) -> None:
        self._dsn, self._size, self._closed = dsn, size, False
        self._idle: list[Connection | None] = []  # None: to be opened.
        self._free = asyncio.Semaphore(size)

    async def __aenter__(self) -> Self:
        opened = await asyncio.gather(*(self._open() for _ in range(self._size)), return_exceptions=True)
        self._idle = [conn for conn in opened if not isinstance(conn, BaseException)]
        if failed := [error for error in opened if isinstance(error, BaseException)]:
            await self.__aexit__()
            raise failed[0]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Those that are still lent are cut when they come back."""
        self._closed = True
        for conn in self._idle:
            if conn is not None:
                await conn.close()

    async def _open(self) -> Connection:
        return await asyncpg.connect(self._dsn, timeout=CONNECT_S, server_settings=SETTINGS)

    async def take(self, within_s: float | None = None) -> Connection:
        """To be given back with `give`. TimeoutError if none comes free, or can be opened, in time."""
        if self._closed:
            raise asyncpg.InterfaceError("the pool is closed")
        if not self._free.locked() and (last := self._idle[-1]) is not None and not last.is_closed():
            await self._free.acquire()  # Which does not wait.
            self._idle.pop()
            return last
        async with asyncio.timeout(within_s):
            await self._free.acquire()
            conn = self._idle.pop()
            try:
                return await self._open() if conn is None or conn.is_closed() else conn
            except BaseException:
                self.give(None)
                raise

    def give(self, conn: Connection | None) -> None:
        if self._closed and conn is not None:
            conn.terminate()
        self._idle.append(conn)
        self._free.release()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        conn = await self.take()
        try:
            yield conn
        finally:
            self.give(conn)

    async def execute(self, text: str, *values: Any) -> str:
        async with self.acquire() as conn:
            return await conn.execute(text, *values)

    async def fetch(self, text: str, *values: Any) -> list[asyncpg.Record]:
        async with self.acquire() as conn:
            return await conn.fetch(text, *values)

    async def fetchval(self, text: str, *values: Any) -> Any:
        async with self.acquire() as conn:
            return await conn.fetchval(text, *values)

    def get_size(self) -> int:
        return self._size

    def get_idle_size(self) -> int:
        """How many are not lent."""
        return len(self._idle)
