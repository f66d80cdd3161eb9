"""What every benchmark does: a limit, a server, a load, and how one becomes a result.

An operation is loaded for SECONDS by `bench.load` with a fixed number of callers. The server, the load, the relay and
the database share the machine; fsync is on. The limit is taken before and after, half of the time each, so that both
meet what else the machine does. Afterwards a sampler tells where one process spends its time.
"""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil
from rich.console import Console
from rich.table import Table

from bench.load import Load
from bench.load import run as run_load
from chassis.ids import new_id, to_wire
from chassis.migrate import migrate
from chassis.provision import DatabaseUrls, provision
from deploy.local.issuer import AUDIENCE, NAME, Issuer
from deploy.local.process import free_port
from tests.support.servers import as_administrator

SECONDS = float(os.environ.get("ATOLL_BENCH_SECONDS", "10"))
LIMIT_S = SECONDS / 2
WARM_S, PROFILE_S = min(2.0, SECONDS), min(4.0, SECONDS)
LAYERED_S = 1.0
"""What is shorter has no samples to speak of."""
WORKERS, CONNECTIONS = 2, 16
READY_S = 120.0
KEYS = ("ATOLL_DOCUMENT_KEYS_FILE", "ATOLL_MESSAGE_KEYS_FILE", "ATOLL_RECORD_KEYS_FILE")


@dataclass(frozen=True)
class Result:
    name: str
    concurrency: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_us: float  # Of the server's processes, relay and logs included, per call.
    limit_per_second: float
    limit_p99_ms: float  # Of the limit's own calls: they wait for the disk and the cores, too.
    ratio: float
    p50_ratio: float  # Of our p50 to the limit's,
    p99_ratio: float  # and of our p99.
    layers_us: dict[str, float]  # cpu_us by layer, from a run of its own under a sampler.


Limit = Callable[[], Awaitable[Load]]
"""Loads whatever an operation is held against for LIMIT_S, each time anew."""


@dataclass(frozen=True)
class Beside:
    """Another RPC that is called all the while, by callers with the operation's token."""

    path: str
    bodies: Callable[[float], Iterable[bytes]]
    concurrency: int


@dataclass(frozen=True)
class Operation:
    """One RPC under load."""

    name: str
    path: str
    token: str
    bodies: Callable[[float], Iterable[bytes]]
    """For a run of so many seconds. Made before the clock starts."""
    limit: Callable[["Stage"], Awaitable[Limit]]
    """What else, with as many callers and on the same machine, the operation is held against."""
    concurrency: int
    workers: int = WORKERS
    rows: int = 1
    """Of a call: a batch counts as many times."""
    ended: Callable[[int], None] = field(default=lambda calls: None)
    """Told of how many bodies were used."""
    beside: Beside | None = None
    seconds: float = SECONDS


def result_of(
    name: str, concurrency: int, load: Load, limit: Load, cpu_us: float, layers_us: dict[str, float], rows: int = 1
) -> Result:
    return Result(
        name=name,
        concurrency=concurrency,
        per_second=round(load.per_second * rows, 1),
        p50_ms=round(load.percentile(0.50) * 1e3, 2),
        p95_ms=round(load.percentile(0.95) * 1e3, 2),
        p99_ms=round(load.percentile(0.99) * 1e3, 2),
        cpu_us=round(cpu_us),
        limit_per_second=round(limit.per_second * rows, 1),
        limit_p99_ms=round(limit.percentile(0.99) * 1e3, 2),
        ratio=round(load.per_second / limit.per_second, 3),
        p50_ratio=round(load.percentile(0.50) / limit.percentile(0.50), 2),
        p99_ratio=round(load.percentile(0.99) / limit.percentile(0.99), 2),
        layers_us=layers_us,
    )


class Stage:
    """One service's database, and its server when one is asked for."""

    def __init__(self, service: str, server_url: str, nats_url: str, urls: DatabaseUrls, folder: Path) -> None:
        self.service, self.urls, self.folder = service, urls, folder
        self.admin_url = as_administrator(server_url, urls)
        self.nats_url = nats_url
        self.issuer = Issuer.open(folder)
        self.chain = to_wire("chain", new_id())
        self.keys = folder / "keys.json"
        key = base64.b64encode(bytes(32)).decode()
        self.keys.write_text(json.dumps({"current": "1", "keys": {"1": key}, "digest": key}))
        os.environ |= dict.fromkeys(KEYS, str(self.keys))  # What a limit is recorded from runs in this process, too.

    @classmethod
    async def open(cls, service: str, server_url: str, nats_url: str, folder: Path) -> "Stage":
        urls = await provision(server_url, service)
        await migrate(urls.owner, service)
        return cls(service, server_url, nats_url, urls, folder)

    async def measure(self, operation: Operation) -> Result:
        take_limit = await operation.limit(self)
        before = await take_limit()
        await self.analyze()
        load, cpu_us = await self.loaded(operation)
        limit = before + await take_limit()
        layers_us = await self._layers(operation, cpu_us) if SECONDS >= LAYERED_S else {}
        return result_of(operation.name, operation.concurrency, load, limit, cpu_us, layers_us, operation.rows)

    async def loaded(self, operation: Operation) -> tuple[Load, float]:
        """A server of its own under the operation's load, and its CPU time for a call, in µs."""
        with self.server("-m", f"services.{self.service}", "serve", workers=operation.workers) as (address, process):
            await self._load(address, operation, min(WARM_S, operation.seconds))
            cpu = cpu_seconds(process)
            load = await self._load(address, operation, operation.seconds)
            cpu = cpu_seconds(process) - cpu
        return load, cpu / len(load.latencies) * 1e6

    async def analyze(self) -> None:
        admin = await asyncpg.connect(self.admin_url)
        await admin.execute("VACUUM ANALYZE")
        await admin.close()

    async def _load(self, address: str, operation: Operation, seconds: float) -> Load:
        metadata = [("authorization", f"Bearer {operation.token}")]
        bodies, beside = iter(operation.bodies(seconds)), operation.beside
        others = beside and asyncio.create_task(
            run_load(address, beside.path, metadata, iter(beside.bodies(seconds)), beside.concurrency, seconds)
        )
        load = await run_load(
            address,
            operation.path,
            metadata,
            bodies,
            operation.concurrency,
            seconds,
            min(CONNECTIONS, operation.concurrency),
        )
        assert not load.errors, load.errors
        if others:
            aside = await others
            assert not aside.errors, aside.errors
            assert aside.latencies
        assert next(bodies, None) is not None, "the bodies ran out"
        operation.ended(len(load.latencies))
        return load

    async def _layers(self, operation: Operation, cpu_us: float) -> dict[str, float]:
        file = self.folder / "layers.json"
        with self.server("-m", "bench.profiled", self.service, str(file), workers=1) as (address, _):
            await self._load(address, operation, min(PROFILE_S, operation.seconds))
        samples: dict[str, int] = json.loads(file.read_text())
        total = sum(samples.values())
        return {
            layer: round(count / total * cpu_us) for layer, count in sorted(samples.items(), key=lambda item: -item[1])
        }

    @contextmanager
    def server(self, *arguments: str, workers: int, **more: str) -> Iterator[tuple[str, psutil.Process]]:
        """`more` goes into its environment."""
        calls, probe = f"127.0.0.1:{free_port()}", free_port()
        environment = {
            "ATOLL_MODE": "development",
            "ATOLL_DATABASE_URL": self.urls.service,
            "ATOLL_RELAY_DATABASE_URL": self.urls.relay,
            "ATOLL_SEALER_DATABASE_URL": self.urls.sealer,
            "ATOLL_NATS_URL": self.nats_url,
            "ATOLL_LISTEN": calls,
            "ATOLL_PROBE_LISTEN": f"127.0.0.1:{probe}",
            "ATOLL_WORKERS": str(workers),
            "ATOLL_ISSUER": NAME,
            "ATOLL_JWKS": str(self.issuer.jwks),
            "ATOLL_AUDIENCE": AUDIENCE,
            "ATOLL_PATIENTS_ADDRESS": "127.0.0.1:1",  # Nobody: what is measured asks no other service.
        }
        with running(self.folder, workers, *arguments, **environment | more) as process:
            yield calls, process


@contextmanager
def running(folder: Path, workers: int, *arguments: str, **environment: str) -> Iterator[psutil.Process]:
    """A program of ours until the end of the block, from when each of its workers has logged that it serves."""
    file = folder / "server.log"
    with file.open("w") as log:
        process = subprocess.Popen([sys.executable, *arguments], env=os.environ | environment, stdout=log, stderr=log)
    try:
        until = time.monotonic() + READY_S
        while file.read_text().count('"serving"') < workers:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(file.read_text()[-3000:])
            time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def cpu_seconds(process: psutil.Process) -> float:
    family = [process, *process.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in family)


def show(results: Sequence[Result]) -> None:
    console, table = Console(width=170), Table()
    for column in (
        "operation",
        "callers",
        "per second",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "CPU µs a call",
        "limit",
        "its p99",
        "ratio",
        "of p50",
        "of p99",
    ):
        table.add_column(column, justify="left" if column == "operation" else "right")
    for each in results:
        ours = (each.concurrency, each.per_second, each.p50_ms, each.p95_ms, each.p99_ms, each.cpu_us)
        figures = (*ours, each.limit_per_second, each.limit_p99_ms)
        table.add_row(
            each.name, *map(str, figures), *(f"{ratio:.2f}" for ratio in (each.ratio, each.p50_ratio, each.p99_ratio))
        )
    console.print(table)
    for each in (result for result in results if result.layers_us):
        layers = ", ".join(f"{layer} {round(us)}" for layer, us in each.layers_us.items())
        console.print(f"CPU µs of '{each.name}': {layers}")
