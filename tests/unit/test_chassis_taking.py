"""Work that is taken up as it falls due, and seen to side by side."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from chassis import taking
from chassis.errors import TryAgain
from chassis.taking import Shuffled, keep_taking, take_all

CHAIN = UUID(int=1)


class Work:
    """So many pieces; each is seen to once it may go on."""

    def __init__(self, pieces: int) -> None:
        self.left, self.begun, self.done = list(range(pieces)), asyncio.Semaphore(0), list[int]()
        self.go_on, self.asked = asyncio.Event(), list[int]()
        self.away = False

    async def take(self, limit: int) -> Sequence[tuple[UUID, int]]:
        self.asked.append(limit)
        if self.away:
            self.away = False
            raise TryAgain()
        taken, self.left = self.left[:limit], self.left[limit:]
        return [(CHAIN, each) for each in taken]

    async def see_to(self, chain_id: UUID, piece: int) -> None:
        self.begun.release()
        await self.go_on.wait()
        self.done.append(piece)


def kept(work: Work, most: int = 4, least: int = 1, drain_s: float = 5.0) -> "asyncio.Task[None]":
    coroutine = keep_taking(work.take, work.see_to, most=most, least=least, drain_s=drain_s, failed="work.not_taken")
    return asyncio.create_task(coroutine)


async def begun(work: Work, pieces: int) -> None:
    async with asyncio.timeout(5):
        for _ in range(pieces):
            await work.begun.acquire()


async def stopped(job: "asyncio.Task[None]", work: Work) -> None:
    work.go_on.set()
    job.cancel()
    await asyncio.wait([job])


async def test_so_many_are_in_hand_and_no_more_and_those_are_finished_when_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(taking, "POLL_S", 0.001)
    work = Work(6)
    job = kept(work)
    await begun(work, 4)
    await asyncio.sleep(0.02)
    assert (work.asked, work.done) == ([4], [])
    job.cancel()
    await asyncio.sleep(0.02)
    work.go_on.set()
    await asyncio.wait([job])
    assert (sorted(work.done), work.left) == ([0, 1, 2, 3], [4, 5])


async def test_what_is_in_hand_is_finished_however_often_the_job_is_cancelled() -> None:
    work = Work(2)
    job = kept(work)
    await begun(work, 2)
    for _ in range(3):
        job.cancel()
        await asyncio.sleep(0.01)
    assert not job.done()
    work.go_on.set()
    await asyncio.wait([job], timeout=5)
    assert sorted(work.done) == [0, 1]
    assert job.cancelled()


async def test_what_is_not_finished_in_time_is_left_however_often_the_job_is_cancelled() -> None:
    work = Work(1)
    job = kept(work, drain_s=0.05)
    await begun(work, 1)
    for _ in range(3):
        job.cancel()
        await asyncio.sleep(0.02)
    _, waiting = await asyncio.wait([job], timeout=5)
    assert not waiting
    assert work.done == []


async def test_a_job_with_nothing_in_hand_ends_at_once() -> None:
    work = Work(0)
    job = kept(work, drain_s=60.0)
    await asyncio.sleep(0.01)
    job.cancel()
    await asyncio.wait([job], timeout=5)
    assert job.cancelled()


async def test_more_is_taken_when_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "POLL_S", 0.001)
    work = Work(3)
    job = kept(work, least=2)
    await begun(work, 3)
    await asyncio.sleep(0.02)
    assert work.asked == [4]
    await stopped(job, work)


async def test_that_nothing_can_be_taken_now_is_logged_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POLL_S", "RETRY_S"):
        monkeypatch.setattr(taking, name, 0.001)
    work = Work(1)
    work.away = True
    with capture_logs() as logged:
        job = kept(work)
        await begun(work, 1)
        await stopped(job, work)
    assert [(each["event"], each["error"]) for each in logged] == [("work.not_taken", "TRY_AGAIN")]
    assert work.done == [0]


async def test_all_that_is_due_is_seen_to() -> None:
    work = Work(5)
    work.go_on.set()
    assert await take_all(work.take, work.see_to, 2) == 5
    assert sorted(work.done) == [0, 1, 2, 3, 4]


async def test_chains_are_looked_up_once_in_a_while_and_come_in_another_order_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks, known = 0, [UUID(int=n) for n in range(8)]

    async def look() -> list[UUID]:
        nonlocal looks
        looks += 1
        return list(known)

    shuffled = Shuffled(look)
    orders = {tuple(await shuffled.chains()) for _ in range(20)}
    assert (looks, {frozenset(order) for order in orders}) == (1, {frozenset(known)})
    assert len(orders) > 10
    monkeypatch.setattr(taking, "CHAINS_S", 0.0)
    shuffled = Shuffled(look)
    for _ in range(2):
        await shuffled.chains()
    assert looks == 3
