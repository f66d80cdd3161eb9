"""The edge by itself: a real Envoy before a stand-in that answers for the services as they would."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio

from atoll.notifications.v1 import message_service_pb2 as messages
from atoll.scheduling.v1 import board_service_pb2 as boards
from deploy.envoy.config import Issuer as TrustedByEdge
from deploy.local.issuer import AUDIENCE, Issuer
from tests.support.edge import GET, MISSING, Door, StandIn, opened


@pytest_asyncio.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    with opened(tmp_path_factory.mktemp("edge")) as door:
        yield door


@pytest_asyncio.fixture
async def stand_in(door: Door) -> AsyncIterator[StandIn]:
    stand_in = StandIn()
    server = await stand_in.serve(door.service_port)
    yield stand_in
    await server.stop(None)


async def test_a_call_can_be_made_in_json(door: Door, stand_in: StandIn) -> None:
    answer = await door.http("GET", "/v1/messages/message_1")
    assert (answer.status_code, answer.json()["message"]["id"]) == (200, "message_1")
    assert answer.headers["x-request-id"]


async def test_what_is_not_set_is_there_as_its_zero(door: Door, stand_in: StandIn) -> None:
    answer = await door.http("GET", "/v1/messages", params={"siteId": "site_1"})
    assert answer.json() == {"messages": [], "nextPageToken": ""}
    assert stand_in.asked == [messages.ListMessagesRequest(site_id="site_1")]


async def test_a_refusal_has_its_details_in_json(door: Door, stand_in: StandIn) -> None:
    answer = await door.http("GET", f"/v1/messages/{MISSING}")
    assert (answer.status_code, answer.json()) == (
        404,
        {
            "code": 5,
            "message": "there is no such message",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "MESSAGE_NOT_FOUND",
                    "domain": "atoll",
                    "metadata": {},
                }
            ],
        },
    )


async def test_without_a_token_nothing_is_asked_of_a_service(door: Door, stand_in: StandIn) -> None:
    answer = await door.http("GET", "/v1/messages/message_1", token=False)
    assert (answer.status_code, answer.json()) == (401, {"code": 16, "message": "Jwt is missing", "details": []})
    assert answer.headers["content-type"] == "application/json"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.grpc(GET, b"", {})
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert stand_in.asked == []


async def test_an_expired_token_is_none(door: Door, stand_in: StandIn) -> None:
    expired = door.headers(expires_in_s=-120)
    answer = await door.http("GET", "/v1/messages/message_1", token=False, headers=expired)
    assert (answer.status_code, answer.json()["code"]) == (401, 16)
    assert stand_in.asked == []


async def test_another_issuers_token_is_none(door: Door, stand_in: StandIn, tmp_path: Path) -> None:
    forged = Issuer.open(tmp_path).token("jo", "chain_1", {"ROLE_NURSE": ["*"]})
    headers = {"authorization": f"Bearer {forged}"}
    answer = await door.http("GET", "/v1/messages/message_1", token=False, headers=headers)
    assert answer.status_code == 401
    assert stand_in.asked == []


async def test_further_issuers_are_let_through_each_for_its_own_audience(tmp_path: Path) -> None:
    others = [Issuer.open(tmp_path / name) for name in ("good", "bad")]
    for other in others:
        other.serve_at(f"https://{other.jwks.parent.name}.example")
    audiences = (AUDIENCE, "another")
    trusted = [
        TrustedByEdge(each.name, str(each.jwks), audience) for each, audience in zip(others, audiences, strict=True)
    ]
    with opened(tmp_path, others=trusted) as door:
        server = await StandIn().serve(door.service_port)
        statuses = []
        for issuer in (door.issuer, *others):
            bearer = {"authorization": f"Bearer {issuer.token('jo', 'chain_1', {'ROLE_NURSE': ['*']})}"}
            answer = await door.http("GET", "/v1/messages/message_1", token=False, headers=bearer)
            statuses.append(answer.status_code)
        await server.stop(None)
    assert statuses == [200, 200, 403]


async def test_a_query_that_the_call_does_not_know_is_refused(door: Door, stand_in: StandIn) -> None:
    answer = await door.http("GET", "/v1/messages", params={"siteId": "site_1", "nope": "1"})
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert stand_in.asked == []


async def test_a_call_that_nobody_offers_is_not_found(door: Door, stand_in: StandIn) -> None:
    answer = await door.http("GET", "/v1/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, 5)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.grpc("/atoll.nowhere.v1.No/Nothing", b"", door.headers())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_body_over_a_mebibyte_is_refused(door: Door, stand_in: StandIn) -> None:
    answer = await door.http("POST", "/v1/patients:search", json={"name": "x" * (1 << 20)})
    assert (answer.status_code, answer.json()["code"]) == (413, 8)
    assert stand_in.asked == []


async def test_a_call_from_json_has_a_deadline(door: Door, stand_in: StandIn) -> None:
    await door.http("GET", "/v1/messages/message_1")
    (left,) = stand_in.seconds_left
    assert left is not None
    assert 25 < left < 31


async def test_a_stream_comes_as_lines_of_json_each_as_soon_as_it_is_there_and_has_no_deadline(
    door: Door, stand_in: StandIn
) -> None:
    url = f"http://127.0.0.1:{door.port}/v1/sites/site_1:watch"
    async with httpx.AsyncClient(timeout=10) as client:
        options: Any = {"params": {"resumeToken": "0"}, "headers": door.headers()}
        async with client.stream("GET", url, **options) as answer:
            lines = answer.aiter_lines()
            assert json.loads(await anext(lines)) == {"resumeToken": "1"}
            stand_in.goes_on.set()
            assert json.loads(await anext(lines))["visitChange"]["visitId"] == "visit_1"
    assert stand_in.asked == [boards.WatchSiteRequest(site_id="site_1", resume_token="0")]
    assert stand_in.seconds_left == [None]


async def test_a_callers_own_deadline_is_kept(door: Door, stand_in: StandIn) -> None:
    await door.grpc(GET, messages.GetMessageRequest(message_id="m").SerializeToString(), door.headers())
    (left,) = stand_in.seconds_left
    assert left is not None
    assert 15 < left < 21  # The wire rounds it up.


async def test_a_page_of_this_machine_may_call_and_no_other(door: Door, stand_in: StandIn) -> None:
    ask = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}
    for origin, allowed in (("http://localhost:3000", "http://localhost:3000"), ("https://evil.example", None)):
        preflight = await door.http("OPTIONS", "/v1/messages/m", token=False, headers={"origin": origin, **ask})
        answer = await door.http("GET", "/v1/messages/m", headers={"origin": origin})
        assert preflight.headers.get("access-control-allow-origin") == allowed
        assert answer.headers.get("access-control-allow-origin") == allowed


async def test_grpc_web_is_spoken_on_the_same_port(door: Door, stand_in: StandIn) -> None:
    request = messages.GetMessageRequest(message_id="m").SerializeToString()
    frame = b"\0" + len(request).to_bytes(4, "big") + request
    answer = await door.http("POST", GET, content=frame, headers={"content-type": "application/grpc-web+proto"})
    length = int.from_bytes(answer.content[1:5], "big")
    assert messages.GetMessageResponse.FromString(answer.content[5 : 5 + length]).message.id == "m"
    assert answer.content[5 + length] == 0x80  # The trailers' frame.
    assert b"grpc-status:0" in answer.content[5 + length :]


async def test_health_is_open_to_all(door: Door) -> None:
    answer = await door.http("GET", "/healthz", token=False)
    assert (answer.status_code, answer.text) == (200, "ok\n")


async def test_a_service_that_is_away_for_a_moment_is_waited_for(door: Door) -> None:
    call = asyncio.create_task(door.http("GET", "/v1/messages/message_1"))
    await asyncio.sleep(0.3)
    server = await StandIn().serve(door.service_port)
    answer = await call
    await server.stop(None)
    assert answer.status_code == 200


async def test_a_service_that_stays_away_is_unavailable(door: Door) -> None:
    answer = await door.http("GET", "/v1/messages/message_1")
    assert (answer.status_code, answer.json()["code"]) == (503, 14)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.grpc(GET, b"", door.headers())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_access_log_names_calls_and_never_what_a_caller_typed(door: Door, stand_in: StandIn) -> None:
    await door.http("GET", "/v1/messages/message_1")
    await door.http("GET", "/v1/patients-called/Jane-Roe", params={"born": "1970-01-01"})
    await door.http("GET", "/v1/messages", params={"siteId": "Jane-Roe", "born": "1970-01-01"})
    await door.http("GET", "/v1/messages/Jane-Roe", token=False)
    for _ in range(100):
        text = door.access_log.read_text()
        lines = [json.loads(line) for line in text.splitlines()][-4:]
        if len(lines) == 4 and lines[-1]["status"] == 401:
            break
        await asyncio.sleep(0.05)
    assert [(line["call"], line["status"]) for line in lines] == [
        ("atoll.notifications.v1.MessageService/GetMessage", 200),
        ("unknown", 404),
        ("unknown", 400),
        ("unknown", 401),
    ]
    assert "Jane-Roe" not in text
    assert "1970" not in text
