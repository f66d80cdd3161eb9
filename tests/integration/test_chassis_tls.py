"""Mutual TLS between services: who can connect, who may call, and what happens when certificates are replaced."""

import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from chassis.client import connect
from chassis.ids import new_id
from chassis.server import Server
from chassis.tls import Tls
from deploy.local.certificates import Authority, Certificate
from deploy.local.process import free_port
from tests.support.notes import DESCRIPTOR, NoteServicer, create_request, pb_grpc
from tests.support.service import Running, refusal, tokens_of

PEERS = frozenset({"edge", "spiffe://atoll.test/billing"})
NOTES = "notes"


@dataclass
class Guarded:
    """A service of notes that takes calls over mutual TLS only."""

    notes: Running
    authority: Authority
    tls: Tls
    address: str

    def as_peer(self, name: str, *names: str, authority: Authority | None = None) -> Tls:
        signed_by = authority or self.authority
        return shown(signed_by.issue(name, names), self.authority)

    async def create(self, channel: grpc.aio.Channel) -> Any:
        metadata = (("authorization", f"Bearer {self.notes.token('ROLE_FRONT_DESK')}"),)
        stub: Any = pb_grpc.NoteServiceStub(channel)
        return await stub.CreateNote(create_request(new_id()), metadata=metadata, timeout=5)

    async def created_by(self, tls: Tls, name: str = NOTES) -> Any:
        async with connect(self.address, tls, name) as channel:
            return await self.create(channel)

    async def cannot_connect(self, tls: Tls, name: str = NOTES) -> bool:
        """Without the retries of `connect`, which would only take longer."""
        options = [("grpc.ssl_target_name_override", name)]
        async with grpc.aio.secure_channel(self.address, tls.channel_credentials(), options=options) as channel:
            return await code_of(self.create(channel)) is grpc.StatusCode.UNAVAILABLE


def shown(certificate: Certificate, trusts: Authority) -> Tls:
    return Tls(certificate.cert_file, certificate.key_file, trusts.ca_file, frozenset())


@pytest_asyncio.fixture
async def guarded(notes: Running, tmp_path: Path) -> AsyncIterator[Guarded]:
    authority = Authority.open(tmp_path / "authority")
    tls = replace(shown(authority.issue(NOTES), authority), peers=PEERS)
    server = Server(tokens_of(notes.issuer), notes.clock, tls)
    server.add(DESCRIPTOR, NoteServicer(notes.db))
    port, _ = await server.start(f"127.0.0.1:{free_port()}", "127.0.0.1:0")
    yield Guarded(notes, authority, tls, f"127.0.0.1:{port}")
    await server.stop()


async def code_of(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    code: grpc.StatusCode = refused.value.code()
    return code


@pytest.mark.parametrize("names", [("edge",), ("spiffe://atoll.test/billing",), ("other", "edge")])
async def test_a_peer_with_a_name_on_the_list_is_answered(guarded: Guarded, names: tuple[str, ...]) -> None:
    await guarded.created_by(guarded.as_peer("peer", *names))
    assert await guarded.notes.count("note") == 1


@pytest.mark.parametrize("names", [("scheduling",), ("edge.example",), ("spiffe://atoll.test/billing/other",)])
async def test_a_peer_with_no_name_on_the_list_is_refused_with_a_good_token_too(
    guarded: Guarded, names: tuple[str, ...]
) -> None:
    """Whatever its common name is."""
    refused = await refusal(guarded.created_by(guarded.as_peer("edge", *names)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PEER_REFUSED")
    assert await guarded.notes.count("note") == 0


async def test_a_peer_without_a_certificate_cannot_connect(guarded: Guarded) -> None:
    credentials = grpc.ssl_channel_credentials(guarded.authority.ca_file.read_bytes())
    options = [("grpc.ssl_target_name_override", NOTES)]
    async with grpc.aio.secure_channel(guarded.address, credentials, options=options) as channel:
        assert await code_of(guarded.create(channel)) is grpc.StatusCode.UNAVAILABLE
    assert await guarded.notes.count("note") == 0


async def test_a_peer_with_a_certificate_of_another_authority_cannot_connect(guarded: Guarded, tmp_path: Path) -> None:
    foreign = guarded.as_peer("edge", authority=Authority.open(tmp_path / "foreign"))
    assert await guarded.cannot_connect(foreign)
    assert await guarded.notes.count("note") == 0


async def test_a_peer_with_a_certificate_that_is_over_cannot_connect(guarded: Guarded) -> None:
    expired = shown(guarded.authority.issue("edge", lasts=-timedelta(minutes=1)), guarded.authority)
    assert await guarded.cannot_connect(expired)


async def test_nobody_is_answered_in_the_clear(guarded: Guarded) -> None:
    async with grpc.aio.insecure_channel(guarded.address) as channel:
        assert await code_of(guarded.create(channel)) is grpc.StatusCode.UNAVAILABLE


async def test_a_service_that_is_not_who_it_should_be_is_not_called(guarded: Guarded, tmp_path: Path) -> None:
    edge = guarded.as_peer("edge")
    assert await code_of(guarded.created_by(edge, name="billing")) is grpc.StatusCode.UNAVAILABLE
    foreign = replace(edge, ca_file=Authority.open(tmp_path / "foreign").ca_file)
    assert await guarded.cannot_connect(foreign)
    assert await guarded.notes.count("note") == 0


async def test_a_service_shows_its_new_certificate_as_soon_as_it_is_there(guarded: Guarded) -> None:
    edge = guarded.as_peer("edge")
    before = served_certificate(guarded, edge)
    guarded.authority.issue(NOTES)
    after = served_certificate(guarded, edge)
    assert after != before
    assert ssl.PEM_cert_to_DER_cert(guarded.tls.cert_file.read_text()) == after
    await guarded.created_by(edge)


async def test_a_service_goes_on_with_its_old_certificate_while_the_new_one_is_not_whole(guarded: Guarded) -> None:
    edge = guarded.as_peer("edge")
    before = served_certificate(guarded, edge)
    shutil.copy(edge.key_file, guarded.tls.key_file)  # Of another certificate.
    assert served_certificate(guarded, edge) == before
    guarded.tls.cert_file.unlink()
    assert served_certificate(guarded, edge) == before


async def test_a_service_trusts_whom_its_new_authority_names(guarded: Guarded, tmp_path: Path) -> None:
    old, new = guarded.as_peer("edge"), Authority.open(tmp_path / "new")
    shutil.copy(new.ca_file, guarded.authority.ca_file)
    assert await guarded.cannot_connect(old)


async def test_a_caller_shows_its_new_certificate_with_its_next_call(guarded: Guarded) -> None:
    peer = guarded.as_peer("peer", "not-on-the-list")
    async with connect(guarded.address, peer, NOTES) as channel:
        refused = await refusal(guarded.create(channel))
        assert refused.reason == "PEER_REFUSED"
        guarded.as_peer("peer", "edge")
        await guarded.create(channel)
    assert await guarded.notes.count("note") == 1


def served_certificate(guarded: Guarded, peer: Tls) -> bytes:
    """In DER."""
    context = ssl.create_default_context(cafile=str(peer.ca_file))
    context.load_cert_chain(peer.cert_file, peer.key_file)
    context.set_alpn_protocols(["h2"])
    host, _, port = guarded.address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=NOTES) as wrapped,
    ):
        certificate = wrapped.getpeercert(binary_form=True)
    assert certificate
    return certificate


async def test_a_caller_goes_on_as_before_when_its_new_certificate_is_gone_again(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the files and the reading of them."""
    peer = guarded.as_peer("edge")

    def gone(_: Tls) -> None:
        raise FileNotFoundError

    async with connect(guarded.address, peer, NOTES) as channel:
        await guarded.create(channel)
        guarded.as_peer("edge")
        with monkeypatch.context() as between:
            between.setattr(Tls, "channel_credentials", gone)
            await guarded.create(channel)
        await guarded.create(channel)
        guarded.as_peer("edge")
        await guarded.create(channel)
