"""A feed of a log: what comes reaches whoever waits for it."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from chassis.errors import TryAgain
from chassis.feed import Feed, Position, Reading

NOW = datetime(2027, 3, 1, tzinfo=UTC)
START, FIRST = Position(1, 0), Position(2, 1)
WAIT_S = 0.02


class Log:
    """Answers its first reading when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer = asyncio.get_running_loop().create_future()

    async def read(self, after: Position) -> Reading[str]:
        self.asked.set()
        return await self.answer if after == START else Reading((), after, NOW)

    def end_late(self, ending: "Reading[str] | Exception") -> None:
        """Just before the time of whoever waits is over; it is over once the feed takes what was read."""
        if isinstance(ending, Exception):
            self.answer.set_exception(ending)
        else:
            self.answer.set_result(ending)
        time.sleep(2 * WAIT_S)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.feed.EVERY_S", 0.0)
    monkeypatch.setattr("chassis.feed.PATIENCE_S", 0.0)


async def waited(ending: "Reading[str] | Exception") -> Reading[str]:
    log = Log()
    start: Reading[str] = Reading((), START, NOW)
    feed = Feed(log.read, start)
    running = asyncio.create_task(feed.run())
    await log.asked.wait()
    waiting = asyncio.create_task(feed.after(START, WAIT_S))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(log.end_late, ending)
    try:
        return await waiting
    finally:
        running.cancel()


async def test_a_change_that_comes_as_the_time_of_who_waits_runs_out_is_told() -> None:
    assert await waited(Reading([(FIRST, "change")], FIRST, NOW)) == Reading([(FIRST, "change")], FIRST, NOW)


async def test_an_end_that_comes_as_the_time_of_who_waits_runs_out_is_told() -> None:
    with pytest.raises(TryAgain):
        await waited(TryAgain())


async def test_who_waits_in_vain_is_told_up_to_where_was_read() -> None:
    assert await waited(Reading((), FIRST, NOW)) == Reading((), FIRST, NOW)
