"""Connections to one database: asyncpg's pool, with the settings that our statements want."""

from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

SETTINGS = {
    "jit": "off",  # No query of ours is worth a compilation,
    "max_parallel_workers_per_gather": "0",  # or more than one core.
}


def open_pool(dsn: str, *, size: int) -> Pool:
    """To be entered with `async with`."""
    return asyncpg.create_pool(dsn, min_size=size, max_size=size, reset=_keep, timeout=10, server_settings=SETTINGS)


async def _keep(conn: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Spares asyncpg's RESET ALL, a round trip in each call: nothing is set for longer than a transaction."""
