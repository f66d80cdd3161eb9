"""What an operator has a service do once, in every chain."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import pytest

from chassis import maintenance
from chassis.errors import TooLate
from chassis.settings import FromEnvironment


class Row(NamedTuple):
    id: UUID


ROWS = [Row(UUID(int=n)) for n in range(1, 6)]


@pytest.mark.parametrize("count", range(6))
async def test_batch_after_batch_each_is_found_once_until_one_is_not_full(count: int) -> None:
    asked = list[int]()

    async def step(after: UUID) -> Sequence[Row]:
        asked.append(after.int)
        return [row for row in ROWS[:count] if row.id > after][:2]

    assert await maintenance.in_batches(step, 2) == count
    assert asked == list(range(0, count + 1, 2))


@pytest.fixture
def no_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """How they are set up lasts: others are tested in this process."""
    monkeypatch.setattr(maintenance, "configure_process", lambda _: None)


def test_a_command_answers_what_its_work_does(no_logs: None) -> None:
    async def work(_: FromEnvironment) -> int:
        return 3

    assert maintenance.run("notes", FromEnvironment, work) == 3


@pytest.mark.parametrize(
    ("error", "why"),
    [
        pytest.param(TooLate(), "not enough time was left to answer", id="a rule refuses"),
        pytest.param(ConnectionRefusedError(111, "Connect call failed"), "Connect call failed", id="it is away"),
        pytest.param(TimeoutError(), "TimeoutError", id="it is away, and says nothing"),
    ],
)
def test_a_command_that_is_stopped_says_why_and_that_it_may_be_run_again(
    no_logs: None, error: Exception, why: str
) -> None:
    async def work(_: FromEnvironment) -> None:
        raise error

    with pytest.raises(SystemExit, match=f"stopped, and may be run again: .*{why}"):
        maintenance.run("notes", FromEnvironment, work)


def test_a_mistake_of_ours_is_not_taken_for_a_stop(no_logs: None) -> None:
    async def work(_: FromEnvironment) -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        maintenance.run("notes", FromEnvironment, work)
