"""Refuses to serve in production from servers that may lose what they acknowledged.

Calls need PostgreSQL alone. While NATS does not say how it syncs they are answered, and what they tell waits in the
outbox: nothing is published, or read, before it has said so.
"""

import asyncio

import httpx
import structlog

from chassis.pool import Pool

log = structlog.get_logger()

POSTGRES_MUST = {
    "fsync": {"on"},
    "full_page_writes": {"on"},
    "synchronous_commit": {"on", "remote_write", "remote_apply"},
}
ASK_S = 5.0
AGAIN_S = 2.0


class NotDurable(RuntimeError):
    """A server is not set up to keep what it acknowledges."""


async def check_durability(pool: Pool, nats_monitor_url: str | None) -> None:
    """Before anything is served. A NATS that is away may be asked later: see `until_durable`."""
    for name, wanted in POSTGRES_MUST.items():
        value = await pool.fetchval("SELECT current_setting($1)", name)
        if value not in wanted:
            raise NotDurable(f"PostgreSQL has {name} = {value}")
    if nats_monitor_url is None:
        raise NotDurable("ATOLL_NATS_MONITOR_URL is needed in production, to ask NATS how it syncs")
    await _says_it_is_durable(nats_monitor_url)


async def until_durable(nats_monitor_url: str) -> None:
    """Waits for as long as NATS does not say how it syncs."""
    while True:
        if await _says_it_is_durable(nats_monitor_url):
            return
        await asyncio.sleep(AGAIN_S)


async def _says_it_is_durable(nats_monitor_url: str) -> bool:
    """False: it says nothing."""
    try:
        async with httpx.AsyncClient(timeout=ASK_S) as client:
            config = (await client.get(f"{nats_monitor_url}/jsz", params={"config": "true"})).raise_for_status().json()
    except httpx.HTTPError as error:
        log.warning("nats.not_asked", error=type(error).__name__)
        return False
    if not config.get("config", {}).get("sync_always"):
        raise NotDurable("JetStream does not have sync_interval: always")
    return True
