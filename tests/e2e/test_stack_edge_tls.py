"""TLS at the edge: what callers are shown, and what the edge shows to services and asks of them."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio

from atoll.notifications.v1 import message_service_pb2 as messages
from chassis.tls import Tls
from deploy.envoy.config import Certificate, Inside
from deploy.local.certificates import LOCALHOST, Authority
from tests.support.edge import GET, Door, StandIn, opened

SERVICE = "stand-in"
MESSAGE = "/v1/messages/message_1"


@dataclass
class Secure:
    door: Door
    authority: Authority

    @property
    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority.ca_file))

    async def get(self, path: str, **options: bool) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.door.url, verify=self.trusting, timeout=30) as client:
            return await client.get(path, headers=self.door.headers() if options.get("token", True) else {})

    def shakes_hands(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.door.port), timeout=5)
        return context.wrap_socket(plain, server_hostname="localhost")

    def credentials(self, name: str) -> grpc.ServerCredentials:
        certificate = self.authority.issue(name)
        tls = Tls(certificate.cert_file, certificate.key_file, self.authority.ca_file, frozenset())
        return tls.server_credentials()


def issued(authority: Authority, name: str, *names: str) -> Certificate:
    certificate = authority.issue(name, names)
    return Certificate(str(certificate.cert_file), str(certificate.key_file))


@pytest_asyncio.fixture(scope="module")
async def secure(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secure]:
    folder = tmp_path_factory.mktemp("edge")
    authority = Authority.open(folder / "authority")
    public, inside = issued(authority, "public", *LOCALHOST), issued(authority, "edge")
    with opened(
        folder, SERVICE, certificate=public, inside=Inside(inside, str(authority.ca_file)), hsts_s=86_400
    ) as door:
        yield Secure(door, authority)


@pytest_asyncio.fixture
async def stand_in(secure: Secure) -> AsyncIterator[StandIn]:
    stand_in = StandIn()
    server = await stand_in.serve(secure.door.service_port, secure.credentials(SERVICE))
    yield stand_in
    await server.stop(None)


async def test_callers_are_answered_over_tls_by_a_service_that_is_shown_who_the_edge_is(
    secure: Secure, stand_in: StandIn
) -> None:
    answer = await secure.get(MESSAGE)
    assert (answer.status_code, answer.json()["message"]["id"]) == (200, "message_1")
    assert stand_in.peers == [b"edge"]


async def test_grpc_is_spoken_over_tls_on_the_same_port(secure: Secure, stand_in: StandIn) -> None:
    roots = secure.authority.ca_file.read_bytes()
    request = messages.GetMessageRequest(message_id="m").SerializeToString()
    address, metadata = f"127.0.0.1:{secure.door.port}", tuple(secure.door.headers().items())
    async with grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(roots)) as channel:
        call: Any = channel.unary_unary(GET)
        answer = await call(request, metadata=metadata, timeout=20)
    assert messages.GetMessageResponse.FromString(answer).message.id == "m"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_of_tls_in_use_are_spoken(secure: Secure, version: ssl.TLSVersion) -> None:
    with secure.shakes_hands(only(secure.trusting, version)) as connection:
        assert connection.version() == version.name.replace("_", ".")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_versions_of_tls_are_refused(secure: Secure, version: ssl.TLSVersion) -> None:
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        secure.shakes_hands(only(secure.trusting, version))


def only(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    context.set_ciphers("ALL:@SECLEVEL=0")  # So that it is not this side that refuses.
    context.minimum_version, context.maximum_version = version, version
    return context


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), (["spdy/1"], None)]
)
def test_a_caller_and_the_edge_agree_on_http_in_the_handshake(
    secure: Secure, offered: list[str], chosen: str | None
) -> None:
    context = secure.trusting
    context.set_alpn_protocols(offered)
    with secure.shakes_hands(context) as connection:
        assert connection.selected_alpn_protocol() == chosen


async def test_nobody_is_answered_in_the_clear(secure: Secure) -> None:
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"http://127.0.0.1:{secure.door.port}/healthz")


@pytest.mark.parametrize(("path", "token", "status"), [("/healthz", False, 200), (MESSAGE, False, 401)])
async def test_browsers_are_told_to_come_over_tls_only_whatever_the_answer(
    secure: Secure, path: str, token: bool, status: int
) -> None:
    answer = await secure.get(path, token=token)
    assert answer.status_code == status
    assert answer.headers["strict-transport-security"] == "max-age=86400"


async def test_a_new_certificate_is_shown_without_a_restart(secure: Secure) -> None:
    def shown() -> bytes | None:
        with secure.shakes_hands(secure.trusting) as connection:
            return connection.getpeercert(binary_form=True)

    before = shown()
    new = secure.authority.issue("public", LOCALHOST).cert_file
    await until(lambda: shown() == ssl.PEM_cert_to_DER_cert(new.read_text()))
    assert shown() != before


@pytest.mark.parametrize("name", ["another", None])
async def test_a_service_that_is_not_who_it_should_be_is_not_asked(secure: Secure, name: str | None) -> None:
    """Without a name it speaks in the clear."""
    stand_in = StandIn()
    server = await stand_in.serve(secure.door.service_port, secure.credentials(name) if name else None)
    answer = await secure.get(MESSAGE)
    await server.stop(None)
    assert (answer.status_code, answer.json()["code"]) == (503, 14)
    assert stand_in.asked == []


async def test_a_service_of_another_authority_is_not_asked(secure: Secure, tmp_path: Path) -> None:
    stand_in, foreign = StandIn(), Secure(secure.door, Authority.open(tmp_path))
    server = await stand_in.serve(secure.door.service_port, foreign.credentials(SERVICE))
    answer = await secure.get(MESSAGE)
    await server.stop(None)
    assert answer.status_code == 503
    assert stand_in.asked == []


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(100):
        if holds():
            return
        await asyncio.sleep(0.1)
    pytest.fail("it never came about")
