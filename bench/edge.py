"""What the edge costs: a patient read as JSON through it, beside the same read by gRPC from the service itself.

In the clear, and with TLS: then callers have it to the edge, and the edge, or whoever calls directly, mutually to the
service. One and eight callers, each over a connection of its own, as browsers have. The two ways take turns, so that
what else the machine does is met by both. The limit of issue 7 is on p50: JSON may take 1.6 times as long.
"""

import asyncio
import itertools
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import cast

import psutil

from atoll.patients.v1 import patient_service_pb2 as pb
from bench.harness import SECONDS, WARM_S, Result, Stage, cpu_seconds, result_of
from bench.load import Load
from bench.load import run as run_load
from bench.people import load_people, patient_id
from chassis.ids import from_wire, to_wire
from deploy.envoy.config import Edge, Limits, Rate, Service
from deploy.local.certificates import Authority
from deploy.local.envoy import envoy, shown_by
from deploy.local.issuer import NAME
from deploy.local.process import free_ports, start
from deploy.local.stack import IMAGE

SERVICE = "patients"
METHOD = "/atoll.patients.v1.PatientService/GetPatient"
PEOPLE, ASKED_FOR = 10_000, 500
CALLERS, TURNS, WORKERS = (1, 8), 20, 2
MOST = Rate(per_s=1_000_000, burst=1_000_000)
"""The bounds are there and counted, but never met: all callers are one."""


async def run(stage: Stage) -> list[Result]:
    await load_people(stage.admin_url, from_wire("chain", stage.chain), count=PEOPLE)
    await stage.analyze()
    token = stage.issuer.token("bench", stage.chain, {"ROLE_CHAIN_ADMIN": ["*"]})
    results = list[Result]()
    for authority in (None, Authority.open(stage.folder / "authority")):
        serving = stage.server("-m", f"services.{SERVICE}", "serve", workers=WORKERS, **_tls(authority))
        with serving as (address, server), edge_before(stage, address, authority) as (edge_address, edge):
            ways = Ways(address, edge_address, authority, token)
            results += [await ways.compared(callers, (server, edge)) for callers in CALLERS]
    return results


def _tls(authority: Authority | None) -> dict[str, str]:
    if authority is None:
        return {}
    certificate = authority.issue(SERVICE)
    return {
        "ATOLL_TLS_CERT_FILE": str(certificate.cert_file),
        "ATOLL_TLS_KEY_FILE": str(certificate.key_file),
        "ATOLL_TLS_CA_FILE": str(authority.ca_file),
        "ATOLL_TLS_PEERS": "edge",
    }


@contextmanager
def edge_before(stage: Stage, address: str, authority: Authority | None) -> Iterator[tuple[str, psutil.Process]]:
    """As the local stack has it, but for its limits."""
    port, admin = free_ports(2)
    folder, (certificate, inside) = stage.folder / "envoy", shown_by(authority)
    edge = Edge(
        services=[Service(SERVICE, address, tls_name=SERVICE)],
        listen=f"127.0.0.1:{port}",
        admin=f"127.0.0.1:{admin}",
        issuer=NAME,
        jwks=str(stage.issuer.jwks),
        descriptors=str(IMAGE),
        access_log=str(stage.folder / "access.log"),
        limits=Limits(caller=MOST, address=MOST),
        certificate=certificate,
        inside=inside,
        secrets=str(folder),
    )
    running = start(envoy(folder, edge), stage.folder / "envoy.log")
    try:
        yield edge.listen, psutil.Process(running.pid)
    finally:
        running.stop()


@dataclass(frozen=True)
class Ways:
    """To the same patients, for the same caller."""

    address: str
    edge_address: str
    authority: Authority | None
    token: str
    """One, as a caller has it: each that is new would be verified, at 0.6 ms by edge and service together."""

    async def compared(self, callers: int, processes: Sequence[psutil.Process]) -> Result:
        """CPU is that of service and edge, for a call of JSON."""
        json_load, grpc_load, cpu = Load(), Load(), 0.0
        await self._json(callers, WARM_S)
        await self._grpc(callers, WARM_S)
        for _ in range(TURNS):
            before = sum(map(cpu_seconds, processes))
            _add(json_load, await self._json(callers, SECONDS / TURNS))
            cpu += sum(map(cpu_seconds, processes)) - before
            _add(grpc_load, await self._grpc(callers, SECONDS / TURNS))
        name = f"get as JSON by the edge, {'TLS' if self.authority else 'in the clear'}, beside gRPC"
        return result_of(name, callers, json_load, grpc_load, cpu / len(json_load.latencies) * 1e6, {})

    async def _json(self, callers: int, seconds: float) -> Load:
        context = _trusting(self.authority) if self.authority else None
        requests = [_get(each, self.token) for each in self._ids]
        return await ask_json(self.edge_address, requests, callers, seconds, context)

    async def _grpc(self, callers: int, seconds: float) -> Load:
        bodies = itertools.cycle([pb.GetPatientRequest(patient_id=each).SerializeToString() for each in self._ids])
        metadata = [("authorization", f"Bearer {self.token}")]
        context = _as_edge(self.authority) if self.authority else None
        return await run_load(self.address, METHOD, metadata, bodies, callers, seconds, callers, context)

    @property
    def _ids(self) -> list[str]:
        return [to_wire("patient", patient_id(number)) for number in range(ASKED_FOR)]


def _add(load: Load, turn: Load) -> None:
    assert not turn.errors, turn.errors
    load.seconds += turn.seconds
    load.latencies = sorted(load.latencies + turn.latencies)


def _trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.ca_file))


def _as_edge(authority: Authority) -> ssl.SSLContext:
    """Whose certificate the edge's own is, and so is on the list. The service has no address in its own."""
    context, shown = _trusting(authority), authority.issue("bench", ["edge"])
    context.check_hostname = False
    context.load_cert_chain(shown.cert_file, shown.key_file)
    context.set_alpn_protocols(["h2"])
    return context


def _get(id: str, token: str) -> bytes:
    return f"GET /v1/patients/{id} HTTP/1.1\r\nhost: edge\r\nauthorization: Bearer {token}\r\n\r\n".encode()


async def ask_json(
    address: str, requests: Sequence[bytes], callers: int, seconds: float, tls: ssl.SSLContext | None
) -> Load:
    """A closed loop, as of `bench.load`: each caller asks again in the callback that saw the answer before."""
    host, _, port = address.rpartition(":")
    load, loop = Load(), asyncio.get_running_loop()
    until = perf_counter() + seconds
    connections = [_Caller(itertools.cycle(requests), load, until) for _ in range(callers)]
    began = perf_counter()
    for each in connections:
        await loop.create_connection(partial(_same, each), host, int(port), ssl=tls)
    await asyncio.gather(*(each.done for each in connections))
    load.seconds = perf_counter() - began
    load.latencies.sort()
    return load


def _same(caller: "_Caller") -> "_Caller":
    return caller


class _Caller(asyncio.Protocol):
    """One connection of HTTP/1.1, with one call in flight."""

    def __init__(self, requests: Iterator[bytes], load: Load, until: float) -> None:
        self._requests, self._load, self._until = requests, load, until
        self._in, self._began = bytearray(), 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        self._began = perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._in += data
        head = self._in.find(b"\r\n\r\n")
        if head < 0 or len(self._in) < head + 4 + _length(self._in[:head]):
            return
        now = perf_counter()
        if self._in.startswith(b"HTTP/1.1 200 "):
            self._load.latencies.append(now - self._began)
        else:
            self._load.errors[bytes(self._in[:12]).decode()] += 1
        self._in.clear()
        if now < self._until:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _length(head: bytearray) -> int:
    """Of the body. Envoy writes it for whatever the transcoder answers."""
    name = b"content-length: "
    at = head.index(name) + len(name)
    return int(head[at : head.find(b"\r", at) if b"\r" in head[at:] else None])
