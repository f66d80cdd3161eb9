"""One process of a service runs its relay, consumers, sealer and jobs: the one that holds an advisory lock.

The lock lives on a connection of its own, straight to PostgreSQL (a pooler would share the session). When it
breaks the lock is gone, and so is the leadership: the work is cancelled and the election begins anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import asyncpg
import structlog

from chassis.metrics import JOB_FAILURES

log = structlog.get_logger()

RETRY_S = 1.0
HEARTBEAT_S = 2.0
HEARTBEAT_ANSWER_S = 5.0  # A connection that is silent for so long is as good as broken.
CANCEL_AGAIN_S = 2.0
LOCK = 0x61746F6C6C  # One per database: each service has its own.

Work: TypeAlias = Mapping[str, Callable[[], Awaitable[None]]]


async def lead(dsn: str, work: Work) -> None:
    """Until cancelled: runs `work` while elected."""
    while True:
        try:
            await _lead_once(dsn, work)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("election.retry", error=type(error).__name__)
        await asyncio.sleep(RETRY_S)


async def _lead_once(dsn: str, work: Work) -> None:
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        if not await conn.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            return
        log.info("election.won")
        running = [asyncio.create_task(kept_running(name, start), name=name) for name, start in work.items()]
        try:
            while True:
                await asyncio.sleep(HEARTBEAT_S)
                await conn.execute("SELECT", timeout=HEARTBEAT_ANSWER_S)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            log.warning("election.lost")
        finally:
            await cancelled(*running)
    finally:
        conn.terminate()


async def cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancels until all are over: asyncpg may turn a cancellation into an error, as any other trouble to a loop.

    Whoever is cancelled here, be it again and again, waits all the same: what the tasks use is not closed before.
    """
    interrupted = False
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        try:
            await asyncio.wait(waiting, timeout=CANCEL_AGAIN_S)
        except asyncio.CancelledError:
            interrupted = True
    if interrupted:
        raise asyncio.CancelledError


async def kept_running(name: str, start: Callable[[], Awaitable[None]]) -> None:
    """Started again when it fails: each part copes with its own troubles, this is for the rest."""
    while True:
        try:
            await start()
        except Exception:
            log.exception("job.failed", job=name)
            JOB_FAILURES.labels(name).inc()
        await asyncio.sleep(RETRY_S)
