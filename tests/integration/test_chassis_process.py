"""A service as it really runs: processes, their environment, how they share a port and how they end."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import httpx
import psutil
import pytest
import pytest_asyncio

from chassis.provision import DatabaseUrls, provision
from deploy.local.issuer import NAME, Issuer
from deploy.local.process import PYTHON, ROOT, free_port
from deploy.local.services import serves
from tests.support.servers import clone, drop, password_of

METRICS = "atoll_rpc_seconds_count"
LIST_SITES = "/atoll.scheduling.v1.SiteService/ListSites"
NO_NATS = "nats://127.0.0.1:1"
PATIENCE_S = 120.0
"""To start, or to end: three processes import a service each, which takes a busy machine half a minute."""


@dataclass
class Served:
    process: "subprocess.Popen[bytes]"
    port: int
    probe: int
    metrics: int
    known: set[psutil.Process] = field(default_factory=set)
    """Workers that were seen, to be ended with the test whatever became of who started them."""

    @property
    def workers(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children()
        found = [child for child in children if any("spawn_main" in part for part in child.cmdline())]
        self.known |= set(found)
        return found

    async def wait(self) -> int:
        return await asyncio.to_thread(self.process.wait, PATIENCE_S)


Serve = Callable[..., Served]


@pytest_asyncio.fixture
async def urls(postgres_url: str) -> AsyncIterator[DatabaseUrls]:
    urls = await clone(postgres_url, "scheduling")
    yield urls
    await drop(postgres_url, urls)


@pytest.fixture
def environment(urls: DatabaseUrls, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        **PYTHON,
        "ATOLL_MODE": "development",
        "ATOLL_DATABASE_URL": urls.service,
        "ATOLL_RELAY_DATABASE_URL": urls.relay,
        "ATOLL_SEALER_DATABASE_URL": urls.sealer,
        "ATOLL_POOL_SIZE": "2",
        "ATOLL_NATS_URL": NO_NATS,
        "ATOLL_ISSUER": NAME,
        "ATOLL_JWKS": str(Issuer.open(tmp_path).jwks),
    }


@pytest_asyncio.fixture
async def serve(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Serve]:
    started = list[Served]()

    def serve(**changes: str) -> Served:
        ports = free_port(), free_port(), free_port()
        names = ("ATOLL_LISTEN", "ATOLL_PROBE_LISTEN", "ATOLL_METRICS_LISTEN")
        given = {name: f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}
        command = [sys.executable, "-m", "services.scheduling", "serve"]
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(command, env={**environment, **given, **changes}, stderr=log, cwd=ROOT)
        started.append(Served(process, *ports))
        return started[-1]

    yield serve
    for each in started:
        each.process.kill()
        for worker in each.known:
            if worker.is_running():
                worker.kill()
        each.process.wait()


async def until(holds: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    for _ in range(int(within_s / 0.1)):
        if await asyncio.to_thread(holds):
            return
        await asyncio.sleep(0.1)
    pytest.fail("it never came about")


async def knock(port: int) -> None:
    """A call on a connection of its own, which is refused and counted."""
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        call: Any = channel.unary_unary(LIST_SITES)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"", timeout=5)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def counted(port: int) -> float:
    async with httpx.AsyncClient() as client:
        page = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(METRICS))


async def test_two_workers_share_a_port_serve_without_nats_and_end_together(serve: Serve) -> None:
    served = serve(ATOLL_WORKERS="2")
    await until(lambda: serves(f"127.0.0.1:{served.probe}") and len(served.workers) == 2)

    await until(lambda: listens(served.metrics) and listens(served.metrics + 1))
    for _ in range(60):  # By chance all might go to one worker: once in 2^59 runs.
        await knock(served.port)
    counts = [await counted(served.metrics), await counted(served.metrics + 1)]
    assert sum(counts) == 60
    assert min(counts) > 0
    workers = served.workers
    served.process.send_signal(signal.SIGTERM)
    assert await served.wait() == 0
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.long
async def test_a_worker_that_is_killed_takes_the_service_with_it(serve: Serve) -> None:
    served = serve(ATOLL_WORKERS="2")
    await until(lambda: serves(f"127.0.0.1:{served.probe}") and len(served.workers) == 2)
    workers = served.workers
    workers[0].kill()
    assert await served.wait() != 0
    await until(lambda: not any(worker.is_running() for worker in workers))


@pytest.mark.long
async def test_workers_end_with_the_process_that_started_them(serve: Serve) -> None:
    served = serve(ATOLL_WORKERS="2")
    await until(lambda: serves(f"127.0.0.1:{served.probe}") and len(served.workers) == 2)
    workers = served.workers
    served.process.kill()
    await served.wait()
    await until(lambda: not any(worker.is_running() for worker in workers))


async def test_production_is_refused_while_nothing_says_how_nats_syncs(serve: Serve, tmp_path: Path) -> None:
    served = serve(ATOLL_MODE="production", ATOLL_TLS_ELSEWHERE="true", ATOLL_ISSUER="https://login.example")
    assert await served.wait() != 0
    assert "ATOLL_NATS_MONITOR_URL is needed in production" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_wrong_setting_of_one_service_is_named_in_one_line(serve: Serve, tmp_path: Path, workers: str) -> None:
    served = serve(ATOLL_TOKEN_LISTEN="127.0.0.1:1", ATOLL_TOKEN_LISTEN_FILE="listen", ATOLL_WORKERS=workers)
    assert await served.wait() != 0
    said = (tmp_path / "log").read_text()
    assert "scheduling does not start: ATOLL_TOKEN_LISTEN and ATOLL_TOKEN_LISTEN_FILE are both set" in said
    assert "Traceback" not in said


async def test_a_database_is_brought_to_the_newest_schema_and_again_without_harm(
    postgres_url: str, environment: dict[str, str]
) -> None:
    fresh = await provision(postgres_url, "scheduling", database="scheduling_fresh", password=password_of(postgres_url))
    try:
        for _ in range(2):
            command = [sys.executable, "-m", "services.scheduling", "migrate"]
            done = await asyncio.to_thread(
                subprocess.run, command, env={**environment, "ATOLL_OWNER_DATABASE_URL": fresh.owner}, cwd=ROOT
            )
            assert done.returncode == 0
        conn = await asyncpg.connect(fresh.owner)
        assert await conn.fetchval("SELECT count(*) FROM schema_version") == 1
        await conn.close()
    finally:
        await drop(postgres_url, fresh)


def test_a_service_says_how_it_is_called() -> None:
    command = [sys.executable, "-m", "services.scheduling", "start"]
    done = subprocess.run(command, env={**os.environ, **PYTHON}, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip() == "usage: python -m services.scheduling serve | migrate"
