"""What is asked of processors by itself: one elected process of the service runs it."""

import asyncio

import structlog

from chassis.clock import Clock
from chassis.db import Database
from chassis.errors import DomainError
from chassis.settings import Settings
from services.billing.processor import Processors, ProcessorSettings
from services.billing.processor.asking import Asking

log = structlog.get_logger()
POLL_S = 1.0


async def ask_processors(db: Database, settings: Settings, clock: Clock) -> None:
    """Until cancelled. Without an account there is nothing to do, ever."""
    told = ProcessorSettings()
    if not told.processors and not told.processors_file:
        await asyncio.Event().wait()
    processors = Processors.told(told)
    while True:
        try:
            while await Asking(db, processors, clock()).look():
                pass
        except DomainError as error:
            log.warning("processors.not_asked", error=error.reason)
        await asyncio.sleep(POLL_S)
