"""What is asked of processors by itself: one elected process of the service runs it."""

import asyncio

from chassis.clock import Clock
from chassis.db import Database
from chassis.jobs import keep_looking
from chassis.settings import Settings, read
from services.billing.processor import Processors, ProcessorSettings
from services.billing.processor.asking import FAILED, Asking

POLL_S = 1.0


async def ask_processors(db: Database, settings: Settings, clock: Clock) -> None:
    """Until cancelled. Without an account there is nothing to do, ever."""
    told = read(ProcessorSettings)
    if not told.processors and not told.processors_file:
        await asyncio.Event().wait()
    processors = Processors.told(told)
    await keep_looking(lambda: Asking(db, processors, clock()).look(), POLL_S, FAILED)
