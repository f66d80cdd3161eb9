"""How much one caller may ask of the edge, and how small its answers are made."""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_status import rpc_status

from atoll.notifications.v1 import message_service_pb2 as messages
from deploy.envoy.config import COMPRESSED_MIN, Limits, Rate
from tests.support.edge import GET, Door, StandIn, opened

CALLER, ADDRESS = Rate(per_s=1, burst=20), Rate(per_s=1, burst=60)
ONE = messages.GetMessageRequest(message_id="m").SerializeToString()
LONG, SHORT = "m" * COMPRESSED_MIN, "m"
LIMITED = {
    "code": 8,
    "message": "this caller asks more often than one caller may",
    "details": [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "RATE_LIMITED",
            "domain": "atoll.health",
        },
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"},
    ],
}


@pytest_asyncio.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    with opened(tmp_path_factory.mktemp("edge")) as door:
        yield door


@pytest_asyncio.fixture
async def strict(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """An edge that has counted nobody yet."""
    with opened(tmp_path_factory.mktemp("strict"), limits=Limits(CALLER, ADDRESS, connections=4)) as door:
        server = await StandIn().serve(door.service_port)
        yield door
        await server.stop(None)


@pytest_asyncio.fixture
async def stand_in(door: Door) -> AsyncIterator[StandIn]:
    stand_in = StandIn()
    server = await stand_in.serve(door.service_port)
    yield stand_in
    await server.stop(None)


async def asked(door: Door, times: int, subject: str, chain: str = "chain_1") -> list[httpx.Response]:
    """As one caller, over one connection."""
    token = door.issuer.token(subject, chain, {"ROLE_NURSE": ["*"]})
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{door.port}") as client:
        headers = {"authorization": f"Bearer {token}"}
        return [await client.get("/v1/messages/message_1", headers=headers) for _ in range(times)]


async def test_a_caller_who_asks_too_often_is_told_when_to_ask_again(strict: Door) -> None:
    answers = await asked(strict, CALLER.burst + 5, "jo")
    assert [answer.status_code for answer in answers[: CALLER.burst]] == [200] * CALLER.burst
    refused = answers[-1]
    assert (refused.status_code, refused.json()) == (429, LIMITED)
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-request-id"]


async def test_another_caller_is_answered_all_the_while(strict: Door) -> None:
    assert (await asked(strict, CALLER.burst + 5, "jo"))[-1].status_code == 429
    assert (await asked(strict, 1, "sam"))[-1].status_code == 200
    assert (await asked(strict, 1, "jo", chain="chain_2"))[-1].status_code == 200


async def test_a_grpc_caller_is_told_the_same_in_details(strict: Door) -> None:
    await asked(strict, CALLER.burst + 5, "jo")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await strict.grpc(GET, ONE, strict.headers())
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    status = rpc_status.from_call(error)
    info, retry = ErrorInfo(), RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, retry.retry_delay.seconds) == ("RATE_LIMITED", 1)


async def test_an_address_that_asks_too_often_is_refused_before_its_tokens_are_looked_at(strict: Door) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{strict.port}") as client:
        answers = [await client.get("/v1/messages/message_1") for _ in range(ADDRESS.burst + 5)]
    assert [answer.status_code for answer in answers[: ADDRESS.burst]] == [401] * ADDRESS.burst
    assert (answers[-1].status_code, answers[-1].json()) == (429, LIMITED)


async def test_there_are_no_more_connections_than_the_edge_has_room_for(strict: Door) -> None:
    clients = [httpx.AsyncClient(base_url=f"http://127.0.0.1:{strict.port}") for _ in range(5)]
    outcomes = list[int | str]()
    for client in clients:
        try:
            outcomes.append((await client.get("/healthz")).status_code)
        except httpx.TransportError:
            outcomes.append("closed")
    for client in clients:
        await client.aclose()
    assert outcomes == [200, 200, 200, 200, "closed"]


@pytest.mark.parametrize(
    ("accepts", "encoding"), [("gzip", "gzip"), ("br", "br"), ("gzip, br", "br"), ("identity", None), ("zstd", None)]
)
async def test_a_long_answer_is_compressed_as_the_caller_can_read_it(
    door: Door, stand_in: StandIn, accepts: str, encoding: str | None
) -> None:
    raw, headers = await fetched(door, f"/v1/messages/{LONG}", accepts)
    assert headers.get("content-encoding") == encoding
    assert (len(raw) < COMPRESSED_MIN) is (encoding is not None)
    assert "accept-encoding" in headers.get("vary", "").lower()
    if encoding == "gzip":
        assert json.loads(gzip.decompress(raw))["message"]["id"] == LONG


async def test_a_short_answer_is_left_as_it_is(door: Door, stand_in: StandIn) -> None:
    _, headers = await fetched(door, f"/v1/messages/{SHORT}", "gzip, br")
    assert "content-encoding" not in headers


async def test_frames_are_not_compressed_by_the_edge(door: Door, stand_in: StandIn) -> None:
    request = messages.GetMessageRequest(message_id=LONG).SerializeToString()
    frame = b"\0" + len(request).to_bytes(4, "big") + request
    headers = {"content-type": "application/grpc-web+proto", "accept-encoding": "gzip"}
    answer = await door.http("POST", GET, content=frame, headers=headers)
    assert "content-encoding" not in answer.headers
    length = int.from_bytes(answer.content[1:5], "big")
    assert messages.GetMessageResponse.FromString(answer.content[5 : 5 + length]).message.id == LONG


async def test_lines_of_a_stream_are_not_held_back_to_be_compressed(door: Door, stand_in: StandIn) -> None:
    url, headers = f"http://127.0.0.1:{door.port}/v1/sites/site_1:watch", door.headers() | {"accept-encoding": "gzip"}
    async with (
        httpx.AsyncClient(timeout=10) as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        assert json.loads(await anext(answer.aiter_lines())) == {"resumeToken": "1"}
        assert "content-encoding" not in answer.headers
        stand_in.goes_on.set()


async def fetched(door: Door, path: str, accepts: str) -> tuple[bytes, httpx.Headers]:
    """What came over the wire, not decoded."""
    url, headers = f"http://127.0.0.1:{door.port}{path}", door.headers() | {"accept-encoding": accepts}
    async with httpx.AsyncClient() as client, client.stream("GET", url, headers=headers) as answer:
        return b"".join([part async for part in answer.aiter_raw()]), answer.headers
