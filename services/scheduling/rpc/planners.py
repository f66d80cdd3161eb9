"""Reckoning beside the event loop: how much of it may be asked for at once, and where it runs."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from chassis.errors import Overloaded

TURNS_MAX = 16
"""Plans being made or waiting for it, in one worker."""

T = TypeVar("T")


class Planners:
    def __init__(self) -> None:
        self._pool, self._turns = ThreadPoolExecutor(1, "planner"), 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Refused while too many others have one."""
        if self._turns >= TURNS_MAX:
            raise Overloaded()
        self._turns += 1
        try:
            yield
        finally:
            self._turns -= 1

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
