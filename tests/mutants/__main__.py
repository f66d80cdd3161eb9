"""Takes each guard away, one at a time, in a copy: a test must turn red. `make mutants`

A guard that can go without a red test is either not needed or not tested. Each row names the one test file that must
notice, and words of the names of its tests (as `pytest -k` takes them), so that few run.

    python -m tests.mutants [FILE…]     only rows whose file, or whose tests, have one of these in their path
"""

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from tests.mutants.bench import BENCH
from tests.mutants.billing import BILLING
from tests.mutants.chassis import CHASSIS
from tests.mutants.clients import CLIENTS
from tests.mutants.edge import EDGE
from tests.mutants.identity import IDENTITY
from tests.mutants.mutant import Mutant
from tests.mutants.notifications import NOTIFICATIONS
from tests.mutants.patients import PATIENTS
from tests.mutants.scheduling import SCHEDULING
from tests.support.servers import nats_server, postgres_server

ROOT = Path(__file__).parents[2]
LANES = 2
TEST_S = 40
"""A mutant may hang; that is red as well."""
OUTCOMES = {0: "SURVIVES", 1: "red", 2: "red"}
"""By what pytest exits with; 2 is a module that cannot be imported any more. Anything else is a row that names no test."""

MUTANTS = [*CHASSIS, *IDENTITY, *PATIENTS, *SCHEDULING, *BILLING, *NOTIFICATIONS, *EDGE, *BENCH, *CLIENTS]


class Lane(threading.Thread):
    """A copy of the project and servers of its own, on which one mutant runs after another."""

    def __init__(self, folder: Path, waiting: "queue.SimpleQueue[Mutant]", outcomes: Counter[str]) -> None:
        super().__init__()
        self._copy, self._printed, self._left = folder / "copy", folder / "printed", folder / "left"
        self._waiting, self._outcomes = waiting, outcomes
        self._left.mkdir(parents=True)
        shutil.copytree(ROOT, self._copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))

    def run(self) -> None:
        command = [sys.executable, "-m", "tests.mutants.runner", str(self._printed)]
        pipe = subprocess.PIPE
        with postgres_server() as postgres_url, nats_server() as nats_url:
            servers = {"ATOLL_POSTGRES_URL": postgres_url, "ATOLL_NATS_URL": nats_url}
            environment = {**os.environ, **servers, "PYTHONDONTWRITEBYTECODE": ""}  # What one row compiled, others use.
            environment["TMPDIR"] = str(self._left)  # A row that is forked clears nothing away.
            with subprocess.Popen(
                command, cwd=self._copy, env=environment, stdin=pipe, stdout=pipe, text=True
            ) as runner:
                self._take_all(runner)

    def _take_all(self, runner: "subprocess.Popen[str]") -> None:
        while True:
            try:
                mutant = self._waiting.get_nowait()
            except queue.Empty:
                return
            outcome = self._outcome_of(mutant, runner)
            self._outcomes[outcome] += 1
            print(f"{outcome:8}", mutant.file, mutant.guard.strip().splitlines()[0], flush=True)

    def _outcome_of(self, mutant: Mutant, runner: "subprocess.Popen[str]") -> str:
        source = (ROOT / mutant.file).read_text()
        if source.count(mutant.guard) != 1:
            return "ABSENT" if mutant.guard not in source else "TWICE"
        (self._copy / mutant.file).write_text(source.replace(mutant.guard, mutant.instead))
        for _ in range(2):  # Python 3.11 now and then fails to parse a file that is well: then once more.
            code = self._exit_of(mutant, runner)
            if code in OUTCOMES and b"AST constructor" not in self._printed.read_bytes():
                break
        (self._copy / mutant.file).write_text(source)
        return OUTCOMES.get(code, f"EXIT {code}")

    def _exit_of(self, mutant: Mutant, runner: "subprocess.Popen[str]") -> int:
        bounds = ["-x", "--timeout", str(TEST_S), "--hypothesis-profile", "mutants"]
        assert runner.stdin
        assert runner.stdout
        runner.stdin.write(json.dumps([*bounds, mutant.tests, "-k", mutant.words]) + "\n")
        runner.stdin.flush()
        return int(runner.stdout.readline())


def main(*paths: str) -> None:
    waiting, outcomes = queue.SimpleQueue[Mutant](), Counter[str]()
    chosen = [each for each in MUTANTS if not paths or any(path in each.file + each.tests for path in paths)]
    for mutant in chosen:
        waiting.put(mutant)
    with tempfile.TemporaryDirectory(prefix="atoll-mutants-") as folder:
        Path(folder).chmod(0o755)
        lanes = [Lane(Path(folder) / str(number), waiting, outcomes) for number in range(LANES)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
    print(f"{len(chosen)} mutants:", ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common()))
    sys.exit(outcomes["red"] != len(chosen))


if __name__ == "__main__":
    main(*sys.argv[1:])
