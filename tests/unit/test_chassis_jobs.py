"""A look that is taken again and again."""

import asyncio

from chassis.errors import TryAgain
from chassis.jobs import keep_looking

LONG_S = 1_000.0


class Looks:
    """Finds so much at each look; None is a database that is away."""

    def __init__(self, *found: int | None) -> None:
        self._found, self.taken, self.over = list(found), 0, asyncio.Event()

    async def look(self) -> int:
        self.taken += 1
        if self.taken == len(self._found):
            self.over.set()
        found = self._found[self.taken - 1] if self.taken <= len(self._found) else 0
        if found is None:
            raise TryAgain()
        return found


async def taken_within(looks: Looks, poll_s: float) -> int:
    job = asyncio.create_task(keep_looking(looks.look, poll_s, "looks.failed"))
    await asyncio.wait_for(looks.over.wait(), 5)
    for _ in range(5):
        await asyncio.sleep(0)
    job.cancel()
    return looks.taken


async def test_what_is_found_is_followed_up_at_once_and_then_there_is_a_pause() -> None:
    assert await taken_within(Looks(3, 1, 0), LONG_S) == 3


async def test_a_failure_is_followed_by_a_pause_too_and_ends_nothing() -> None:
    assert await taken_within(Looks(1, None), LONG_S) == 2
    assert await taken_within(Looks(None, None, 1), 0.001) >= 3
