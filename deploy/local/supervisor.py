"""Keeps processes running: starts each and waits for it, starts again what dies, stops all in reverse order.

Must be used from the main thread: a process ends with the thread that started it.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from deploy.local.process import LocalError, Program, Running

WATCH_S = 0.1
BACK_OFF_S, BACK_OFF_MAX_S = 0.1, 10.0
STEADY_AFTER_S = 30.0
"""What ran for so long is started again without delay."""

T = TypeVar("T")


class State(Enum):
    WAITING = "waiting"
    MIGRATING = "migrating"
    STARTING = "starting"
    READY = "ready"
    DIED = "died"
    STOPPED = "stopped"


Report = Callable[[str, State, str], None]
"""Called with a process, its new state, and what a person should know about it."""


@dataclass
class Supervised:
    program: Program
    running: Running
    rank: int
    """Those of the same rank are stopped together; the highest first."""
    port: int | None
    restarts: int = 0
    failures: int = 0
    restart: asyncio.Task[None] | None = None


class Supervisor:
    def __init__(self, logs: Path, report: Report, changed: Callable[[], None]) -> None:
        """`changed` is called when a process has been started again, with another pid."""
        self._logs, self._report, self._changed = logs, report, changed
        self.processes: dict[str, Supervised] = {}
        self._once: list[Running] = []
        self._watcher: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """From now on, what dies is started again."""
        self._watcher = asyncio.create_task(self._watch())

    async def launch(self, program: Program, *, rank: int, port: int | None = None) -> None:
        self._report(program.name, State.STARTING, "")
        running = self._run(program)
        self.processes[program.name] = Supervised(program, running, rank, port)
        await asyncio.to_thread(running.wait_until_ready)
        self._report(program.name, State.READY, "")

    async def run_once(self, program: Program) -> None:
        """To its end; LocalError unless that is a good one."""
        running = self._run(program)
        self._once.append(running)
        if await asyncio.to_thread(running.wait):
            raise LocalError(running.fault())

    async def stop(self) -> None:
        """All of it, also what is just being started."""
        tasks = [self._watcher, *(process.restart for process in self.processes.values())]
        for task in (task for task in tasks if task):
            task.cancel()
            await asyncio.wait([task])
        await asyncio.gather(*(asyncio.to_thread(running.stop) for running in self._once))
        for rank in sorted({process.rank for process in self.processes.values()}, reverse=True):
            await asyncio.gather(*(self._stop(each) for each in self.processes.values() if each.rank == rank))

    async def _stop(self, process: Supervised) -> None:
        await asyncio.to_thread(process.running.stop)
        self._report(process.program.name, State.STOPPED, "")

    def _run(self, program: Program) -> Running:
        return Running(program, self._logs / f"{program.name}.log")

    async def _watch(self) -> None:
        while True:
            for process in self.processes.values():
                idle = process.restart is None or process.restart.done()
                if idle and process.running.exit_code is not None:
                    process.restart = asyncio.create_task(self._restart(process))
            await asyncio.sleep(WATCH_S)

    async def _restart(self, process: Supervised) -> None:
        while True:
            name, died = process.program.name, process.running
            steady = time.monotonic() - died.started > STEADY_AFTER_S
            process.failures = 0 if steady else process.failures + 1
            delay = min(BACK_OFF_MAX_S, BACK_OFF_S * 2**process.failures)
            self._report(name, State.DIED, f"{died.ending()}; starting it again in {delay:.1f} s")
            died.clear()
            await asyncio.sleep(delay)
            try:
                process.running = self._run(process.program)
                await asyncio.to_thread(process.running.wait_until_ready)
            except LocalError:
                await asyncio.to_thread(process.running.stop)
                continue
            process.restarts += 1
            self._changed()
            self._report(name, State.READY, "")
            return


async def together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """All at once. When one fails the others are given up, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
    return [task.result() for task in tasks]
