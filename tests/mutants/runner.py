"""Runs tests, one row after another, each in a process forked from this one, which has imported what all of them need
and no row changes: that takes longer than most rows' tests.

Reads pytest's arguments as a line of JSON, and answers with what it exited with; what it printed is in the file that
is named. `python -m tests.mutants.runner FILE`
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

LIBRARIES = (
    "_pytest.assertion.rewrite", "aiohttp", "alembic.command", "asyncpg", "cryptography.x509", "google.protobuf.any_pb2",
    "grpc.aio", "grpc_health.v1.health", "grpc_reflection.v1alpha.reflection", "grpc_status.rpc_status",
    "httpx", "hypothesis.strategies", "icalendar", "joserfc.jwt", "nats.js", "phonenumbers", "prometheus_client",
    "protovalidate", "pydantic_settings", "pytest_asyncio", "rich.console", "sqlalchemy.ext.asyncio", "structlog",
    "typeid", "uvloop",
)  # fmt: skip
GEN = Path(__file__).parents[2] / "gen"
ROW_S = 120
"""A mutant may hang; that is red as well."""


def main() -> None:
    for name in (*LIBRARIES, *_generated()):
        import_module(name)
    for line in sys.stdin:
        print(_exit_of(json.loads(line), sys.argv[1]), flush=True)


def _generated() -> Iterator[str]:
    """Modules of messages."""
    for file in GEN.rglob("*_pb2.py"):
        yield ".".join(file.relative_to(GEN).with_suffix("").parts)


def _exit_of(arguments: list[str], printed: str) -> int:
    """As subprocess tells it: negative is a signal."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(1, 2)
        os._exit(pytest.main(arguments))
    until = time.monotonic() + ROW_S
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return int(pytest.ExitCode.TESTS_FAILED)


if __name__ == "__main__":
    main()
