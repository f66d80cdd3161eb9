"""Whatever is sent to whichever RPC, by gRPC or as JSON: an answer or a clear refusal, and the services go on."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import psutil
import pytest
import pytest_asyncio
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from rich.progress import Progress

from atoll.common.v1.access_pb2 import Role
from chassis.times import utc_now
from cli.client import open_channel
from cli.sample.load import Sample, westernmost_day
from deploy.local.services import SERVICES
from deploy.local.stack import Options, Stack
from tests.contract.found import rpcs
from tests.support.canaries import Canaries
from tests.support.fuzz import Fuzz
from tests.support.http import HttpRequest, http_request

PATIENTS = 5
SEED = 7
REQUESTS = 16
"""To each RPC, by each way."""
AT_A_TIME = 8
WITHIN_S = 25
STREAM_S = 0.3
GROWTH_MAX = 30_000_000
"""Bytes that a service may have more after the second round than after the first, which filled its caches."""
BUGS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.DATA_LOSS}
TRACES = ("Traceback", 'File "', ".py", "asyncpg", "psycopg", "sqlalchemy", "SELECT ", "INSERT ")
REFUSALS = {400, 401, 403, 404, 409, 412, 413, 429, 503, 504}

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


@dataclass
class Attack:
    stack: Stack
    sample: Sample
    canaries: Canaries
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def headers(self) -> dict[str, str]:
        roles = [each.name for each in Role.DESCRIPTOR.values if each.number]
        roles = [each for each in roles if each not in ("ROLE_PATIENT", "ROLE_SERVICE")]
        token = self.stack.home.issuer.token("fuzz", self.sample.chain_id, {role: ["*"] for role in roles})
        return {"authorization": f"Bearer {token}"}

    def sizes(self) -> dict[str, int]:
        return {name: psutil.Process(self.stack.info.pids[name]).memory_info().rss for name in (*SERVICES, "envoy")}

    def judge(self, what: str, said: object, wrong: bool) -> None:
        text = repr(said)
        if wrong or any(trace in text for trace in TRACES):
            self.faults.append(f"{what}: {text[:300]}")

    async def grpc(self, channel: grpc.aio.Channel, rpc: MethodDescriptor, request: bytes) -> None:
        path = f"/{rpc.containing_service.full_name}/{rpc.name}"
        opened: Any = channel
        options: Any = {"metadata": tuple(self.headers().items()), "timeout": WITHIN_S}
        try:
            if rpc.server_streaming:
                await _begin(opened.unary_stream(path)(request, **options))
            else:
                await opened.unary_unary(path)(request, **options)
            self.answers["OK"] += 1
        except grpc.aio.AioRpcError as error:
            self.answers[error.code().name] += 1
            self.judge(f"{rpc.full_name} {request[:60]!r}", (error.code().name, error.details()), error.code() in BUGS)

    async def json(self, client: httpx.AsyncClient, rpc: MethodDescriptor, asked: HttpRequest) -> None:
        options: Any = {"headers": {**self.headers(), "content-type": "application/json"}, "params": asked.query}
        if rpc.server_streaming:
            async with client.stream(asked.verb, asked.path, **options) as opened:
                status, said = opened.status_code, ""
        else:
            answer = await client.request(asked.verb, asked.path, content=asked.body, **options)
            status, said = answer.status_code, "" if answer.status_code == 200 else answer.text
        self.answers[str(status)] += 1
        wrong = status != 200 and (status not in REFUSALS or (bool(said) and "message" not in json.loads(said)))
        self.judge(f"{rpc.full_name} {asked}", (status, said), wrong)


async def _begin(stream: Any) -> None:
    try:
        async with asyncio.timeout(STREAM_S):
            async for _ in stream:
                break
    except TimeoutError:
        stream.cancel()


@pytest_asyncio.fixture(scope="module")
async def attack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Attack]:
    home = tmp_path_factory.mktemp("fuzz")
    async with Stack(Options.anywhere(home)) as stack, open_channel(stack.info.edge_url) as channel:
        sample = Sample(stack.home, stack.info, channel, westernmost_day(utc_now()), PATIENTS)
        await sample.load(None, Progress(disable=True))
        canaries = Canaries()
        for each in sample.booked:
            canaries.learn(each.course)
        yield Attack(stack, sample, canaries)


async def each_of(work: Iterable[Callable[[], Awaitable[None]]]) -> None:
    places = asyncio.Semaphore(AT_A_TIME)

    async def one(job: Callable[[], Awaitable[None]]) -> None:
        async with places:
            await job()

    await asyncio.gather(*(one(job) for job in work))


async def twice_as_small(attack: Attack, round_of: Callable[[int], Awaitable[None]]) -> None:
    """The first round fills caches; the second leaves nothing behind."""
    restarts = {name: process.restarts for name, process in attack.stack.info.processes.items()}
    await round_of(SEED)
    before = attack.sizes()
    await round_of(SEED + 1)
    after = attack.sizes()
    assert not attack.faults, f"{len(attack.faults)} of {attack.answers}:\n" + "\n".join(attack.faults[:40])
    assert {name: process.restarts for name, process in attack.stack.info.processes.items()} == restarts
    assert all(after[name] - before[name] < GROWTH_MAX for name in before), (before, after)


async def test_no_message_breaks_a_service(attack: Attack) -> None:
    async def ask_all(seed: int) -> None:
        fuzz, work = Fuzz(seed, attack.canaries), list[Callable[[], Awaitable[None]]]()
        for rpc in rpcs():
            raw = [request.SerializeToString() for request in fuzz.requests(rpc, REQUESTS)]
            for request in (*raw, *fuzz.no_requests(rpc)):
                channel = channels[rpc.full_name.split(".")[1]]
                work.append(lambda c=channel, r=rpc, q=request: attack.grpc(c, r, q))  # type: ignore[misc]
        await each_of(work)

    channels = {name: grpc.aio.insecure_channel(each.address) for name, each in attack.stack.info.services.items()}
    await twice_as_small(attack, ask_all)
    for channel in channels.values():
        await channel.close()
    assert attack.answers["OK"] > REQUESTS
    assert attack.answers["INVALID_ARGUMENT"] > len(rpcs())


async def test_no_json_breaks_the_edge_or_a_service(attack: Attack) -> None:
    rand = random.Random(SEED)  # noqa: S311  # Nothing depends on it but examples.

    async def ask_all(seed: int) -> None:
        fuzz, work = Fuzz(seed, attack.canaries), list[Callable[[], Awaitable[None]]]()
        for rpc in rpcs():
            for request in fuzz.requests(rpc, REQUESTS):
                try:
                    asked = http_request(rpc, request)
                except (ValueError, json_format.Error):  # JSON has no form for it.
                    continue
                for each in (asked, asked.spoilt(rand)):
                    work.append(lambda r=rpc, q=each: attack.json(client, r, q))  # type: ignore[misc]
        await each_of(work)

    limits = httpx.Limits(max_connections=AT_A_TIME)
    async with httpx.AsyncClient(base_url=attack.stack.info.edge_url, timeout=WITHIN_S + 10, limits=limits) as client:
        await twice_as_small(attack, ask_all)
    assert attack.answers["200"] > REQUESTS
    assert attack.answers["400"] > len(rpcs())
