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


PLANNED_ONCE = {"plan_cache_mode": "force_generic_plan"}
"""Of statements that are transactions by themselves: they have one good plan whatever their values. In `auto`, which
`chassis.db` sets for all others, PostgreSQL plans some of them anew at each call, which costs more than the call."""


def open_pool(dsn: str, *, size: int, planned_once: bool = False) -> Pool:
    """To be entered with `async with`. `planned_once` is for the pool of a `chassis.db.Database`.

    A connection keeps the statements that it prepared: there are as many as the stores have, and no more.
    """
    settings = SETTINGS | (PLANNED_ONCE if planned_once else {})
    return asyncpg.create_pool(
        dsn,
        min_size=size,
        max_size=size,
        reset=_keep,
        timeout=10,
        max_cached_statement_lifetime=0,
        server_settings=settings,
    )


async def _keep(conn: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Spares asyncpg's RESET ALL, a round trip in each call: nothing is set for longer than a transaction."""
