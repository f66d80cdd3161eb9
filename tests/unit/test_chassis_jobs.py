"""A look that is taken again and again."""

import asyncio
from uuid import UUID

from structlog.testing import capture_logs

from chassis.errors import TryAgain
from chassis.ids import new_id, to_wire
from chassis.jobs import in_each, keep_looking

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


async def test_a_chain_that_fails_holds_up_no_other_and_is_named_in_the_log() -> None:
    refused, mistaken, well = (new_id() for _ in range(3))

    done = list[UUID]()

    async def step(chain_id: UUID) -> int:
        if chain_id == refused:
            raise TryAgain()
        found = {well: 3}[chain_id]
        done.append(chain_id)
        return found

    with capture_logs() as logged:
        assert await in_each([refused, mistaken, well], step, "looks.failed") == 0
    assert done == [well]
    assert await in_each([well], step, "looks.failed") == 3
    assert [(each["event"], each["chain_id"], each.get("error")) for each in logged] == [
        ("looks.failed", to_wire("chain", refused), "TRY_AGAIN"),
        ("looks.failed", to_wire("chain", mistaken), None),
    ]
