"""The document and its page at the edge, and each example of the document sent through a real Envoy.

A stand-in takes whatever comes and answers with an empty message: what counts is what arrives at a service.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from google.protobuf.descriptor import MethodDescriptor

from deploy.envoy.config import PAGES, Edge, Limits, Rate, Service
from deploy.local.envoy import envoy
from deploy.local.issuer import NAME, Issuer
from deploy.local.process import free_ports, start
from deploy.local.stack import IMAGE
from tests.contract.found import PACKAGES, message_type
from tests.support.openapi import methods, request_of

DOCUMENT = json.loads((IMAGE.parent / "openapi.json").read_text())
METHODS = methods()
MANY = Rate(100_000, 100_000)
SERVICES = [name for name in PACKAGES if name != "common"]


@dataclass
class StandIn(grpc.GenericRpcHandler):
    arrived: list[tuple[str, bytes]] = field(default_factory=list)

    def service(self, details: Any) -> Any:
        async def answer(request: bytes, context: Any) -> bytes:
            self.arrived.append((details.method, request))
            return b""

        async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
            yield await answer(request, context)

        name = details.method.strip("/").replace("/", ".")
        streams = any(each.full_name == name and each.server_streaming for each in METHODS.values())
        return grpc.unary_stream_rpc_method_handler(stream) if streams else grpc.unary_unary_rpc_method_handler(answer)


@dataclass
class Door:
    client: httpx.AsyncClient
    token: str
    stand_in: StandIn

    async def send(self, verb: str, path: str, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return await self.client.request(verb, path, headers=headers, **options)

    async def open(self, path: str, **headers: str) -> httpx.Response:
        """Without a token."""
        return await self.client.get(path, headers=headers)


@pytest_asyncio.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    folder = tmp_path_factory.mktemp("openapi")
    issuer, (port, admin, service_port) = Issuer.open(folder / "issuer"), free_ports(3)
    edge = Edge(
        services=[Service(name, f"127.0.0.1:{service_port}") for name in SERVICES],
        listen=f"127.0.0.1:{port}",
        admin=f"127.0.0.1:{admin}",
        issuer=NAME,
        jwks=str(issuer.jwks),
        descriptors=str(IMAGE),
        access_log=str(folder / "access.log"),
        pages=str(IMAGE.parent),
        limits=Limits(caller=MANY, address=MANY),
    )
    stand_in, server = StandIn(), grpc.aio.server()
    server.add_generic_rpc_handlers([stand_in])
    server.add_insecure_port(f"127.0.0.1:{service_port}")
    await server.start()
    running = start(envoy(folder, edge), folder / "logs")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield Door(client, issuer.token("jo", "chain_1", {"ROLE_NURSE": ["*"]}), stand_in)
    running.stop()
    await server.stop(None)


def example(operation: dict[str, Any], path: str) -> tuple[str, dict[str, Any]]:
    """The path of the example, and what else is sent."""
    told = {
        (each["in"], each["name"]): each["example"] for each in operation.get("parameters", []) if "example" in each
    }
    path = re.sub(r"\{([^}]+)\}", lambda name: str(told["path", name[1]]), path)
    query = [
        (name, str(value).lower() if isinstance(value, bool) else value)
        for (place, name), values in told.items()
        if place == "query"
        for value in (values if isinstance(values, list) else [values])
    ]
    if "requestBody" not in operation:
        return path, {"params": query}
    return path, {"json": operation["requestBody"]["content"]["application/json"]["example"]}


async def test_each_example_of_the_document_arrives_as_the_request_that_it_says(door: Door) -> None:
    for template, verbs in DOCUMENT["paths"].items():
        for verb, operation in verbs.items():
            method: MethodDescriptor = METHODS[operation["operationId"]]
            path, options = example(operation, template)
            answer = await door.send(verb, path, **options)
            assert answer.status_code == 200, (operation["operationId"], answer.text)
            name, raw = door.stand_in.arrived.pop()
            assert name == f"/{method.containing_service.full_name}/{method.name}"
            assert message_type(method.input_type).FromString(raw) == request_of(operation, method), name


@pytest.mark.parametrize("name", ["~a", "a!b", "a#", "*", "x-ok"])
async def test_a_header_whose_name_grpc_does_not_know_is_left_out(door: Door, name: str) -> None:
    answer = await door.send("GET", "/v1/messages", params={"siteId": "site_1"}, headers={name: "1"})
    assert (answer.status_code, answer.text) == (200, '{"messages":[],"nextPageToken":""}')


@pytest.mark.parametrize("value", [b"\xe9", b"\xc3\xa9", b"a\tb", b""])
async def test_a_header_may_have_any_value_that_http_allows(door: Door, value: bytes) -> None:
    answer = await door.send("GET", "/v1/messages", headers={"x-odd": value})
    assert answer.status_code == 200


async def test_the_document_and_its_page_are_open_to_all(door: Door) -> None:
    document = await door.open("/openapi.json", origin="https://elsewhere.example")
    assert document.json() == DOCUMENT
    assert document.headers["content-type"] == "application/json"
    assert document.headers["access-control-allow-origin"] == "*"
    for path, (file, kind) in PAGES.items():
        page = await door.open(path)
        assert (page.status_code, page.headers["content-type"]) == (200, kind)
        assert page.content == (IMAGE.parent / file).read_bytes()


async def test_the_page_loads_nothing_from_elsewhere(door: Door) -> None:
    page = await door.open("/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe-eval" not in policy
    asked_for = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert asked_for
    assert set(asked_for) <= PAGES.keys()


async def test_the_document_is_compressed_for_who_takes_that(door: Door) -> None:
    answer = await door.open("/openapi.json", **{"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.num_bytes_downloaded) < len(answer.content) / 3


async def test_an_edge_without_pages_shows_none(tmp_path: Path) -> None:
    issuer, (port, admin, service_port) = Issuer.open(tmp_path / "issuer"), free_ports(3)
    edge = Edge(
        services=[Service(name, f"127.0.0.1:{service_port}") for name in SERVICES],
        listen=f"127.0.0.1:{port}",
        admin=f"127.0.0.1:{admin}",
        issuer=NAME,
        jwks=str(issuer.jwks),
        descriptors=str(IMAGE),
        access_log=str(tmp_path / "access.log"),
    )
    running = await asyncio.to_thread(start, envoy(tmp_path, edge), tmp_path / "logs")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        answers = [(await client.get(path)).status_code for path in PAGES]
    running.stop()
    assert set(answers) == {401}
