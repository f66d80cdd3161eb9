"""Booking one visit and a course of six through gRPC with everything on, beside what PostgreSQL alone can take.

The limit is pgbench with the same writes in the same shape of transaction, role, policies and number of clients, in the
same run. Server, load, relay and database share the machine; fsync is on. Writes bench/results.json, prints a table.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncpg
import grpc
import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from bench.clinic import TEAMS, Clinic, open_clinic, requests
from bench.load import Load
from bench.load import run as run_load
from chassis.ids import new_id, to_wire
from chassis.migrate import migrate
from chassis.provision import DatabaseUrls, provision
from cli.client import Client
from deploy.local.issuer import AUDIENCE, NAME, Issuer
from deploy.local.postgres import installed
from deploy.local.process import free_port
from tests.support.servers import as_administrator, nats_server, postgres_server

SECONDS = float(os.environ.get("ATOLL_BENCH_SECONDS", "10"))
WARM_S, PROFILE_S = 2.0, 4.0
CONCURRENCY, CONNECTIONS, WORKERS = 16, 16, 2
PATH = "/atoll.scheduling.v1.CourseService/BookCourse"
NAMES = {1: "book one visit", 6: "book a course of six"}
HERE = Path(__file__).parent
READY_S = 120.0
BOOKINGS_PER_S_MAX = 2_000


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
    limit_p99_ms: float  # Of pgbench's own transactions: they wait for the disk and the cores, too.
    ratio: float
    layers_us: dict[str, float]  # cpu_us by layer, from a run of its own under a sampler.


async def main() -> None:
    with postgres_server() as server_url, nats_server() as nats_url, tempfile.TemporaryDirectory() as name:
        urls, issuer = await provision(server_url, "scheduling"), Issuer.open(Path(name))
        await migrate(urls.owner, "scheduling")
        bench = Bench(server_url, nats_url, urls, issuer, Path(name))
        results = [await bench.measure(visits) for visits in NAMES]
    (HERE / "results.json").write_text(json.dumps({"operations": [asdict(result) for result in results]}, indent=2))
    show(results)


class Bench:
    def __init__(self, server_url: str, nats_url: str, urls: DatabaseUrls, issuer: Issuer, folder: Path) -> None:
        self._server_url, self._nats_url, self._urls = server_url, nats_url, urls
        self._issuer, self._folder = issuer, folder
        self._chain, self._booked = to_wire("chain", new_id()), 0
        self._clinic: Clinic | None = None

    async def measure(self, visits: int) -> Result:
        clinic = await self._open_clinic()
        limit = self._limit(clinic, visits)
        await self._analyze()
        with self._server("-m", "services.scheduling", "serve", workers=WORKERS) as (address, process):
            await self._load(address, clinic, visits, WARM_S)
            cpu = _cpu_seconds(process)
            load = await self._load(address, clinic, visits, SECONDS)
            cpu = _cpu_seconds(process) - cpu
        cpu_us = cpu / len(load.latencies) * 1e6
        return Result(
            name=NAMES[visits],
            concurrency=CONCURRENCY,
            per_second=round(load.per_second, 1),
            p50_ms=round(load.percentile(0.50) * 1e3, 2),
            p95_ms=round(load.percentile(0.95) * 1e3, 2),
            p99_ms=round(load.percentile(0.99) * 1e3, 2),
            cpu_us=round(cpu_us),
            limit_per_second=round(limit.per_second, 1),
            limit_p99_ms=round(limit.percentile(0.99) * 1e3, 2),
            ratio=round(load.per_second / limit.per_second, 3),
            layers_us=await self._layers(clinic, visits, cpu_us),
        )

    async def _open_clinic(self) -> Clinic:
        if self._clinic is None:
            admin = await asyncpg.connect(as_administrator(self._server_url, self._urls))
            with self._server("-m", "services.scheduling", "serve", workers=1) as (address, _):
                async with grpc.aio.insecure_channel(address) as channel:
                    client = Client.issued(channel, self._issuer, "bench", self._chain, {"ROLE_CHAIN_ADMIN": ["*"]})
                    self._clinic = await open_clinic(client, admin)
            await admin.close()
        return self._clinic

    def _limit(self, clinic: Clinic, visits: int) -> Load:
        """The same writes by pgbench."""
        named = {
            "last": visits - 1,
            "teams": TEAMS,
            "chain": clinic.chain_id,
            "site": clinic.site_id,
            "protocol_version": clinic.protocol_version_id,
        }
        given = [part for name, value in named.items() for part in ("-D", f"{name}={value}")]
        with tempfile.TemporaryDirectory() as folder:
            options = ["-n", "-M", "prepared", "-c", str(CONCURRENCY), "-j", "2", "-T", str(round(SECONDS)), "--log"]
            command = [
                str(installed() / "pgbench"),
                *options,
                *given,
                "-f",
                str(HERE / "limit.sql"),
                self._urls.service,
            ]
            ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
            assert ended.returncode == 0, ended.stderr[-2000:]
            latencies = [
                int(line.split()[2]) / 1e6 for file in Path(folder).iterdir() for line in file.read_text().splitlines()
            ]
        [line] = [line for line in ended.stdout.splitlines() if line.startswith("tps")]
        return Load(seconds=len(latencies) / float(line.split()[2]), latencies=sorted(latencies))

    async def _load(self, address: str, clinic: Clinic, visits: int, seconds: float) -> Load:
        """Bodies are made before the clock starts; what one run leaves over the next one uses."""
        token = self._issuer.token("bench", self._chain, {"ROLE_FRONT_DESK": [to_wire("site", clinic.site_id)]})
        wanted = range(self._booked, self._booked + round(seconds * BOOKINGS_PER_S_MAX))
        bodies = [request.SerializeToString() for request in requests(clinic, visits, wanted)]
        metadata = [("authorization", f"Bearer {token}")]
        load = await run_load(address, PATH, metadata, iter(bodies), CONCURRENCY, seconds, CONNECTIONS)
        calls = len(load.latencies)
        assert not load.errors, load.errors
        assert calls < len(bodies), "the bodies ran out"
        self._booked += calls
        return load

    async def _layers(self, clinic: Clinic, visits: int, cpu_us: float) -> dict[str, float]:
        file = self._folder / "layers.json"
        with self._server("-m", "bench.profiled", str(file), workers=1) as (address, _):
            await self._load(address, clinic, visits, PROFILE_S)
        samples: dict[str, int] = json.loads(file.read_text())
        total = sum(samples.values())
        return {
            layer: round(count / total * cpu_us) for layer, count in sorted(samples.items(), key=lambda item: -item[1])
        }

    async def _analyze(self) -> None:
        admin = await asyncpg.connect(as_administrator(self._server_url, self._urls))
        await admin.execute("VACUUM ANALYZE")
        await admin.close()

    @contextmanager
    def _server(self, *arguments: str, workers: int) -> Iterator[tuple[str, psutil.Process]]:
        calls, probe = f"127.0.0.1:{free_port()}", free_port()
        environment = {
            "ATOLL_MODE": "development",
            "ATOLL_DATABASE_URL": self._urls.service,
            "ATOLL_RELAY_DATABASE_URL": self._urls.relay,
            "ATOLL_SEALER_DATABASE_URL": self._urls.sealer,
            "ATOLL_NATS_URL": self._nats_url,
            "ATOLL_LISTEN": calls,
            "ATOLL_PROBE_LISTEN": f"127.0.0.1:{probe}",
            "ATOLL_WORKERS": str(workers),
            "ATOLL_ISSUER": NAME,
            "ATOLL_JWKS": str(self._issuer.jwks),
            "ATOLL_AUDIENCE": AUDIENCE,
        }
        with (self._folder / "server.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments], env=os.environ | environment, stdout=log, stderr=log
            )
        try:
            self._await_serving(process, workers)
            yield calls, psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()

    def _await_serving(self, process: "subprocess.Popen[bytes]", workers: int) -> None:
        log, until = self._folder / "server.log", time.monotonic() + READY_S
        while log.read_text().count('"serving"') < workers:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(log.read_text()[-3000:])
            time.sleep(0.1)


def _cpu_seconds(process: psutil.Process) -> float:
    family = [process, *process.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in family)


def show(results: list[Result]) -> None:
    console, table = Console(), Table(title=f"{CONCURRENCY} callers, {WORKERS} workers")
    for column in (
        "operation",
        "per second",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "CPU µs a call",
        "limit",
        "its p99",
        "ratio",
    ):
        table.add_column(column, justify="left" if column == "operation" else "right")
    for each in results:
        ours = (each.per_second, each.p50_ms, each.p95_ms, each.p99_ms, each.cpu_us)
        figures = (*ours, each.limit_per_second, each.limit_p99_ms)
        table.add_row(each.name, *map(str, figures), f"{each.ratio:.2f}")
    console.print(table)
    for each in results:
        layers = ", ".join(f"{layer} {round(us)}" for layer, us in each.layers_us.items())
        console.print(f"CPU µs of '{each.name}': {layers}")


if __name__ == "__main__":
    uvloop.run(main())
