"""The processes that reckon plans: they answer, refuse, die, hang and end."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial
from time import sleep

import psutil
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from bench import busy
from chassis.errors import Overloaded, TryAgain
from services.scheduling.domain.planning import PlanNotFound, PlanUndecided, answer, plan
from services.scheduling.rpc.planners import TURNS_MAX, Failed, Planners


@pytest_asyncio.fixture
async def planners() -> AsyncIterator[Planners]:
    planners = Planners()
    await planners.open()
    yield planners
    await planners.close()


def children() -> set[int]:
    found = psutil.Process().children(recursive=True)
    return {each.pid for each in found if "services.scheduling.planner" in each.cmdline()}


async def test_a_plan_made_elsewhere_is_the_same_plan(planners: Planners) -> None:
    place = busy.place(2, 3)
    there = await planners.run(partial(answer, [place], busy.wish(), busy.NOW, explain=False))
    assert there == answer([place], busy.wish(), busy.NOW, explain=False)
    assert await planners.run(os.getpid) in children()


async def test_a_refusal_made_elsewhere_keeps_its_reason_and_what_it_names(planners: Planners) -> None:
    place = busy.place(0, 3)
    with pytest.raises(PlanNotFound) as refused:
        await planners.run(partial(plan, [place], busy.wish(), busy.NOW))
    with pytest.raises(PlanNotFound) as here:
        plan([place], busy.wish(), busy.NOW)
    assert refused.value.violations == here.value.violations != ()
    assert refused.value.metadata == here.value.metadata


async def test_a_bug_is_no_call_to_send_again_and_what_it_says_is_not_logged(planners: Planners) -> None:
    process = await planners.run(os.getpid)
    with capture_logs() as lines, pytest.raises(Failed):
        await planners.run(partial(int, "Jane Roe"))
    assert [(line["event"], line["type"]) for line in lines] == [("planner.failed", "ValueError")]
    assert lines[0]["at"][-1].endswith("main")
    assert "Jane" not in str(lines)
    assert await planners.run(os.getpid) == process


async def test_a_process_that_dies_is_replaced_and_the_call_may_be_sent_again(planners: Planners) -> None:
    one = await planners.run(os.getpid)
    with pytest.raises(TryAgain):
        await planners.run(partial(os._exit, 1))
    other = await planners.run(os.getpid)
    assert other != one
    os.kill(other, signal.SIGKILL)
    with pytest.raises(TryAgain):
        await planners.run(os.getpid)
    assert await planners.run(os.getpid) not in (one, other)


async def test_what_is_not_done_in_its_time_is_ended_and_so_is_what_nobody_awaits() -> None:
    planners = Planners()
    one = await planners.run(os.getpid)
    planners.work_s = 0.2
    with pytest.raises(PlanUndecided):
        await planners.run(partial(sleep, 60))
    assert one not in children()
    await planners.close()
    patient = Planners()
    other = await patient.run(os.getpid)
    call = asyncio.create_task(patient.run(partial(sleep, 60)))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert other not in children()
    await patient.close()


async def test_more_than_so_many_at_once_are_refused(planners: Planners) -> None:
    turns = [planners.turn() for _ in range(TURNS_MAX)]
    for turn in turns:
        turn.__enter__()
    with pytest.raises(Overloaded), planners.turn():
        pass
    turns[0].__exit__(None, None, None)
    with planners.turn():
        pass


async def test_processes_end_with_who_started_them_even_if_that_is_killed() -> None:
    program = (
        "import asyncio, os\n"
        "from services.scheduling.rpc.planners import Planners\n"
        "async def main():\n"
        "    planners = Planners()\n"
        "    await planners.open()\n"
        "    print(await planners.run(os.getpid), flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    started = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert started.stdout
    pid = int(await started.stdout.readline())
    assert psutil.pid_exists(pid)
    started.kill()
    await started.wait()
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("still there")
