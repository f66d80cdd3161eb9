"""Following a log that grows in the database: one reader for all who watch the same part of it in this process.

A log's rows carry the transaction that wrote them and the place that they took. A reader takes only rows of
transactions below the oldest one that is still under way, in the order of transaction and place: whoever commits late
has a place beyond what was read, however early its row was written, so that nothing is skipped. A transaction that
takes long holds up what began after it, and loses nothing. See docs/adr.

Nobody is told by the writers: the reader asks every quarter of a second, and only while somebody watches.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

import structlog

from chassis.election import cancelled
from chassis.errors import TryAgain

log = structlog.get_logger()

EVERY_S = 0.25
PATIENCE_S = 10.0
"""Without an answer of the database for so long, watchers are told."""
RECENT_MAX = 1_000
"""Entries kept in memory; a watcher who is further behind reads from the database."""

T = TypeVar("T")


class Position(NamedTuple):
    """Up to where somebody has read."""

    transaction: int
    place: int


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    entries: Sequence[tuple[Position, T]]
    """In order."""
    upto: Position
    """All entries up to here are among them, or were read before."""
    read_at: datetime
    """By the database's clock."""


Read = Callable[[Position], Awaitable[Reading[T]]]


class Feed(Generic[T]):
    """What came after `start`, which was where the log ended. `run` reads it for all who wait in `after`."""

    def __init__(self, read: Read[T], start: Reading[T]) -> None:
        self._read, self._last, self._since = read, start, start.upto
        self._recent: deque[tuple[Position, T]] = deque()
        self._news = asyncio.Event()
        self.error: Exception | None = None
        """Why it ended."""

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        answered = loop.time()
        while self.error is None:
            await asyncio.sleep(EVERY_S)
            try:
                self._take(await self._read(self._last.upto))
                answered = loop.time()
            except TryAgain as error:
                if loop.time() - answered > PATIENCE_S:
                    self._end(error)
            except Exception as error:
                self._end(error)

    async def after(self, position: Position, within_s: float) -> Reading[T]:
        """What comes after `position`, as soon as there is something; nothing if that takes longer than `within_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not self._is_news(position):
                    await self._news.wait()
        if position < self._since:
            return await self._read(position)
        if found := self._after(position):  # Also where it came as the time ran out: what is returned lies beyond it.
            return Reading(found, found[-1][0], self._last.read_at)
        if self.error:
            raise self.error
        return Reading((), max(position, self._last.upto), self._last.read_at)

    def _is_news(self, position: Position) -> bool:
        return position < self._since or bool(self._after(position)) or self.error is not None

    def _after(self, position: Position) -> list[tuple[Position, T]]:
        found = list[tuple[Position, T]]()
        for entry in reversed(self._recent):
            if entry[0] <= position:
                break
            found.append(entry)
        return found[::-1]

    def _take(self, reading: Reading[T]) -> None:
        self._last = reading
        for entry in reading.entries:
            self._recent.append(entry)
            if len(self._recent) > RECENT_MAX:
                self._since, _ = self._recent.popleft()
        if reading.entries:
            self._wake()

    def _end(self, error: Exception) -> None:
        log.warning("feed.ended", error=type(error).__name__)
        self.error = error
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


@dataclass
class Feeds:
    """Those that somebody watches now."""

    _open: dict[Hashable, "_Watched"] = field(default_factory=dict)

    @asynccontextmanager
    async def watch(self, key: Hashable, read: Read[T], start: Reading[T]) -> AsyncIterator[Feed[T]]:
        """The feed of `key`: it begins with the first who watches it, at `start`, and ends with the last."""
        watched = self._open.get(key)
        if watched is None or watched.feed.error:
            feed = Feed(read, start)
            watched = self._open[key] = _Watched(feed, asyncio.create_task(feed.run()))
        watched.watchers += 1
        try:
            yield watched.feed
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                if self._open.get(key) is watched:
                    del self._open[key]
                await cancelled(watched.task)


@dataclass
class _Watched:
    feed: Feed[Any]
    task: "asyncio.Task[None]"
    watchers: int = 0
