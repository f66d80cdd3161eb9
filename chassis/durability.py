"""Refuses to serve in production from servers that may lose what they acknowledged."""

import httpx

from chassis.pool import Pool

POSTGRES_MUST = {
    "fsync": {"on"},
    "full_page_writes": {"on"},
    "synchronous_commit": {"on", "remote_write", "remote_apply"},
}
ASK_S = 5.0


class NotDurable(RuntimeError):
    """A server is not set up to keep what it acknowledges."""


async def check_durability(pool: Pool, nats_monitor_url: str | None) -> None:
    for name, wanted in POSTGRES_MUST.items():
        value = await pool.fetchval("SELECT current_setting($1)", name)
        if value not in wanted:
            raise NotDurable(f"PostgreSQL has {name} = {value}")
    if nats_monitor_url is None:
        raise NotDurable("ATOLL_NATS_MONITOR_URL is needed in production, to ask NATS how it syncs")
    async with httpx.AsyncClient(timeout=ASK_S) as client:
        config = (await client.get(f"{nats_monitor_url}/jsz", params={"config": "true"})).raise_for_status().json()
    if not config.get("config", {}).get("sync_always"):
        raise NotDurable("JetStream does not have sync_interval: always")
