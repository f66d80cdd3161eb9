"""Processes that reckon plans and openings, so that the event loop and its bookings do not wait for them.

Spawned, never forked; niced; bounded: a few processes, a few turns, some seconds for each. One that dies, or is not
done in its time, is killed and replaced by another. They end with the service: see `services.scheduling.planner`.
"""

import asyncio
import os
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID

import structlog

from chassis.errors import DomainError, Overloaded, TryAgain
from services.scheduling.domain.planning import PlanUndecided
from services.scheduling.planner import LENGTH

log = structlog.get_logger()

TURNS_MAX = 16
"""Plans being made or waiting for it, in one worker."""
PROCESSES = 1
"""In one worker: there is a worker for each core."""
WORK_S = 10.0
"""The most that one may take."""

T = TypeVar("T")


class Failed(Exception):
    """A bug, told by its process; and logged, since the trace of this one ends where it was told."""

    def __init__(self, type: str, at: Sequence[str]) -> None:
        super().__init__()
        log.error("planner.failed", type=type, at=at)


class Planners:
    """Processes are there from `open` on or, without it, from the first use."""

    def __init__(self, processes: int = PROCESSES, work_s: float = WORK_S) -> None:
        self._turns, self.work_s, self._patients = 0, work_s, set[UUID]()
        self._idle: asyncio.LifoQueue[Process | None] = asyncio.LifoQueue()
        for _ in range(processes):
            self._idle.put_nowait(None)

    async def open(self) -> None:
        waiting = [self._idle.get_nowait() for _ in range(self._idle.qsize())]
        for process in waiting:
            self._idle.put_nowait(process or await _spawned())

    async def close(self) -> None:
        """To be called when no call is in hand any more."""
        for _ in range(self._idle.qsize()):
            if process := self._idle.get_nowait():
                await _killed(process)
            self._idle.put_nowait(None)

    @contextmanager
    def turn(self, patient_id: UUID | None = None) -> Iterator[None]:
        """Refused while too many others have one, or while the patient who calls for themselves has."""
        if self._turns >= TURNS_MAX or patient_id in self._patients:
            raise Overloaded()
        self._turns += 1
        own = {patient_id} if patient_id else set[UUID]()
        self._patients |= own
        try:
            yield
        finally:
            self._turns -= 1
            self._patients -= own

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, elsewhere."""
        process, done = await self._idle.get(), False
        try:
            process = process or await _spawned()
            async with asyncio.timeout(self.work_s) as bound:
                well, answer = await _asked(process, pickle.dumps(work, pickle.HIGHEST_PROTOCOL))
            done = True
        except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError):
            log.warning("planner.died")
            raise TryAgain() from None
        except TimeoutError:
            if bound.expired():
                raise PlanUndecided() from None
            raise
        finally:
            if process and not done:  # It may be in the middle of an answer that nobody awaits.
                await _killed(process)
            self._idle.put_nowait(process if done else None)
        if not well:
            raise answer if isinstance(answer, DomainError) else Failed(*answer)
        result: T = answer
        return result


async def _spawned() -> Process:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = (sys.executable, "-m", "services.scheduling.planner")
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=environment)


async def _asked(process: Process, body: bytes) -> tuple[bool, Any]:
    assert process.stdin
    assert process.stdout
    process.stdin.write(LENGTH.pack(len(body)) + body)
    await process.stdin.drain()
    (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
    answer: tuple[bool, Any] = pickle.loads(await process.stdout.readexactly(length))  # noqa: S301  # Our own child.
    return answer


async def _killed(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
