"""The demo's outcome does not change when a service is killed in its midst."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

SERVICES = ("patients", "scheduling", "billing", "notifications")
PATIENTS = 10
STORY_S = 400.0


@pytest.mark.timeout(STORY_S + 60)
@pytest.mark.parametrize(
    "killed",
    [
        pytest.param(SERVICES, id="each service, one after another"),
        *(pytest.param((name,) * 3, id=f"{name}, three times", marks=pytest.mark.long) for name in SERVICES),
    ],
)
def test_the_demo_ends_well_though_services_are_killed(tmp_path: Path, killed: tuple[str, ...]) -> None:
    tmp_path.chmod(0o755)
    command = [sys.executable, "-m", "cli", "demo", "--count", str(PATIENTS), "--keep", str(tmp_path / "demo")]
    with (tmp_path / "story.txt").open("w") as story:
        demo = subprocess.Popen(command, stdout=story, stderr=subprocess.STDOUT)
    try:
        kills = sum(1 for name in killed if _kill(demo, tmp_path / "demo", name))
        exit_code = demo.wait(STORY_S)
    finally:
        _end(demo)
    told = (tmp_path / "story.txt").read_text()
    assert exit_code == 0, told
    assert kills == len(killed), f"the story was over after {kills} kills"
    assert "FAILS" not in told
    assert told.count("holds") >= 8


def _kill(demo: "subprocess.Popen[bytes]", folder: Path, name: str) -> bool:
    """Whether the demo was still going on. A killed service is given time to come back before the next one goes."""
    pid = next(_pids(demo, folder, name), None)
    if pid is None:
        return False
    os.kill(pid, signal.SIGKILL)
    time.sleep(4)
    return demo.poll() is None


def _pids(demo: "subprocess.Popen[bytes]", folder: Path, name: str) -> Iterator[int]:
    """Of the service, once the sample is loaded so far that it has work, and it is there again if it was killed."""
    stack, sites = folder / "stack.json", folder / "sites.json"
    while demo.poll() is None:
        if sites.exists() and json.loads(sites.read_text())["sites"]:
            process = json.loads(stack.read_text())["processes"].get(name)
            if process and psutil.pid_exists(process["pid"]):
                yield process["pid"]
        time.sleep(0.2)


def _end(demo: "subprocess.Popen[bytes]") -> None:
    if demo.poll() is None:
        demo.send_signal(signal.SIGINT)
        demo.wait(60)
