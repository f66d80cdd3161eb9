"""One process of the local stack: how it is started, told to be ready, and stopped."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).parents[2]
PYTHON = {"PYTHONPATH": f"{ROOT / 'gen'}{os.pathsep}{ROOT}"}
"""What our own programs need in their environment."""
SPARING = {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_ARENA_MAX": "2"}
"""For programs of a stack, where the C library is glibc: what they free goes back to the system. These are the bounds
that it begins with. By itself it raises the first to twice the largest piece that was freed, and keeps as much for
ever: 65 MB in the processes of PostgreSQL."""
LEASH = Path(__file__).with_name("leash.py")
POLL_S = 0.03
HOST = "127.0.0.1"


class LocalError(Exception):
    """What the person at the terminal is told, in one line that says what to do."""


def reason(error: Exception) -> str:
    """What a server answered; of one that is silent, an error says nothing."""
    return str(error) or "it does not answer"


@dataclass(frozen=True, slots=True)
class Account:
    """The system user that a program runs as, where it refuses to be root; see leash.py."""

    uid: int
    gid: int
    capabilities: int = 0


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    command: tuple[str, ...]
    ready: Callable[[int], bool] = lambda pid: True
    """Asked with its pid, again and again, from a thread, until it says yes. Answers at once; never raises."""
    environment: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    """What it gets when whoever started it was killed. Nothing may be left, so it has no choice by default."""
    ready_within_s: float = 90
    stop_within_s: float = 15
    fault: Callable[[str], str | None] = lambda log: None
    """Finds in the log why it ended, in words for a person."""


class Running:
    """A started program. Ends with the thread that started it, so start it from one that stays."""

    def __init__(self, program: Program, log: Path) -> None:
        self.program, self.log = program, log
        self.started = time.monotonic()
        self._log_start = log.stat().st_size if log.exists() else 0
        account = program.account or Account(-1, -1)
        numbers = os.getpid(), int(program.orphan_signal), account.uid, account.gid, account.capabilities
        command = [sys.executable, "-I", "-S", str(LEASH), *map(str, numbers), *program.command]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **program.environment},
                cwd=ROOT,
                start_new_session=True,  # Ctrl-C is for the stack, which stops each in its turn.
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def wait_until_ready(self) -> None:
        """Blocks. LocalError when the program ends or takes too long."""
        until = time.monotonic() + self.program.ready_within_s
        while not self.program.ready(self.pid):
            if self.exit_code is not None:
                raise LocalError(self.fault())
            if time.monotonic() > until:
                raise LocalError(f"{self.program.name} did not become ready in {self.program.ready_within_s:.0f} s; "
                                 f"its log: {self.log}")  # fmt: skip
            time.sleep(POLL_S)

    def wait(self) -> int:
        """Blocks until it ends by itself."""
        return self._process.wait()

    def fault(self) -> str:
        """Why it ended, in one line."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            text = log.read().decode(errors="replace")
        return self.program.fault(text) or f"{self.program.name} ended with code {self.exit_code}; its log: {self.log}"

    def ending(self) -> str:
        code = self._process.returncode
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    def stop(self) -> None:
        """Blocks until it is gone; one that does not heed its signal in time is killed with all that it started."""
        if self.exit_code is None:
            self._process.send_signal(self.program.stop_signal)
        try:
            self._process.wait(self.program.stop_within_s)
        except subprocess.TimeoutExpired:
            self.clear()
            self._process.wait()

    def clear(self) -> None:
        """Kills it and all that it started and that has not left its group."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def start(program: Program, logs: Path) -> Running:
    """Started and ready, or LocalError and nothing left running."""
    logs.mkdir(parents=True, exist_ok=True)
    running = Running(program, logs / f"{program.name}.log")
    try:
        running.wait_until_ready()
    except BaseException:
        running.stop()
        raise
    return running


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ones: all are held until the last is found."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in sockets]


def require_free(port: int, what: str, setting: str) -> None:
    """Refuses a port that another program has, before anything is started."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # One that has just been left is free.
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise LocalError(f"port {port} ({what}) is in use; stop what uses it, or set {setting}") from error


def is_open(address: str) -> bool:
    """Whether something takes connections at a host and port of this machine."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def answers_http(url: str, ca_file: str | None = None) -> bool:
    trusting = ssl.create_default_context(cafile=ca_file) if ca_file else None
    try:
        with urlopen(url, timeout=1, context=trusting) as response:  # noqa: S310  # Always http on this machine.
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
