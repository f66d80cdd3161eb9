"""Runs the benchmarks: all, or those whose names are given. Writes bench/results.json, prints a table.

    python -m bench [NAME…]

ATOLL_BENCH_SECONDS says how long each is loaded (10), ATOLL_BENCH_PATIENTS among how many patients (1,000,000), and
ATOLL_BENCH_RESULTS which other file is written.
"""

import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import uvloop

from bench import board, booking, books, contention, edge, estimates, invoices, messages, patients, planning
from bench.harness import Result, Stage, show
from tests.support.servers import nats_server, postgres_server

RESULTS = Path(os.environ.get("ATOLL_BENCH_RESULTS", Path(__file__).parent / "results.json"))
BENCHMARKS: dict[str, tuple[str, Callable[[Stage], Awaitable[list[Result]]]]] = {
    "booking": (booking.SERVICE, booking.run),
    "patients": (patients.SERVICE, patients.run),
    "planning": (planning.SERVICE, planning.run),
    "contention": (contention.SERVICE, contention.run),
    "board": (board.SERVICE, board.run),
    "books": (books.SERVICE, books.run),
    "invoices": (invoices.SERVICE, invoices.run),
    "estimates": (estimates.SERVICE, estimates.run),
    "messages": (messages.SERVICE, messages.run),
    "edge": (edge.SERVICE, edge.run),
}


async def main(names: Sequence[str]) -> None:
    results = list[Result]()
    with postgres_server(durable=True) as server_url, nats_server(durable=True) as nats_url:
        for name in names:
            service, run = BENCHMARKS[name]
            with tempfile.TemporaryDirectory() as folder:
                results += await run(await Stage.open(service, server_url, nats_url, Path(folder)))
    _write(results)


def _write(results: Sequence[Result]) -> None:
    RESULTS.write_text(json.dumps({"operations": [asdict(result) for result in results]}, indent=2))
    show(results)


if __name__ == "__main__":
    asked = sys.argv[1:] or [*BENCHMARKS]
    if unknown := set(asked) - BENCHMARKS.keys():
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    uvloop.run(main(asked))
