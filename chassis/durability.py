"""Refuses to serve in production from servers that may lose what they acknowledged."""

from nats.js import JetStreamContext

from chassis.db import Pool

POSTGRES_MUST = {"fsync": "on", "synchronous_commit": ("on", "remote_apply", "remote_write"), "full_page_writes": "on"}


class NotDurable(RuntimeError):
    """A server is not set up to keep what it acknowledges."""


async def check_durability(pool: Pool, js: JetStreamContext) -> None:
    """JetStream does not report its sync interval: that NATS is reached is all that can be asked of it here.

    deploy/ sets `sync_interval: always` for every NATS server that it starts.
    """
    for name, wanted in POSTGRES_MUST.items():
        value = await pool.fetchval("SELECT current_setting($1)", name)
        if value not in wanted:
            raise NotDurable(f"PostgreSQL has {name} = {value}")
    await js.account_info()
