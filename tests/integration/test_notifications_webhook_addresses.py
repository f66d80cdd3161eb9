"""Webhooks never reach into a private network, whatever a name answers, and go to the very address that was checked."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.notifications.webhooks import posting
from services.notifications.webhooks.posting import Answer, Poster
from tests.support.webhooks import HOST, Hooks, Receiver, open_hooks, receiving


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


class Names:
    """Finds a name at one answer after another, and the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers, self.asked = answers, list[str]()

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self._answers[min(len(self.asked), len(self._answers)) - 1]


async def posted(url: str, names: Names, *, loopback: bool = False) -> Answer:
    async with Poster(resolve=names, loopback=loopback) as poster:
        return await poster.post(url, {}, "{}")


FORBIDDEN = [
    "10.0.0.5",
    "127.0.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "fd00::1",
    "fe80::1",
]


@pytest.mark.parametrize("address", FORBIDDEN)
async def test_a_public_name_that_is_found_inside_is_refused(address: str) -> None:
    for found in ([address], ["8.8.8.8", address]):
        names = Names(found)
        assert await posted("https://hooks.example.org/", names) == Answer("ADDRESS_REFUSED")
        assert names.asked == ["hooks.example.org"]


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1"])
async def test_an_address_written_as_no_other_reader_reads_it_is_refused_too(host: str) -> None:
    """The system's own look-up makes 127.0.0.1 of each."""
    async with Poster() as poster:
        assert await poster.post(f"https://{host}/", {}, "{}") == Answer("ADDRESS_REFUSED")


async def test_even_in_development_only_the_names_of_this_machine_may_be_found_on_it(receiver: Receiver) -> None:
    names = Names([HOST])
    assert await posted("https://hooks.example.org/", names, loopback=True) == Answer("ADDRESS_REFUSED")
    assert (await posted(receiver.url.replace(HOST, "localhost"), names, loopback=True)).status == 204


async def test_this_machine_is_not_reached_where_it_is_not_allowed(receiver: Receiver) -> None:
    assert await posted(receiver.url, Names([HOST])) == Answer("URL_REFUSED")
    assert await posted("https://localhost/", Names([HOST])) == Answer("URL_REFUSED")
    assert receiver.got == []


async def test_a_name_is_asked_for_once_in_an_attempt_and_the_address_that_was_checked_is_called(
    receiver: Receiver,
) -> None:
    """Whoever asked again, to connect, would go to the second answer."""
    names = Names([HOST], ["127.0.0.2"], ["10.0.0.5"])
    answer = await posted(receiver.url.replace(HOST, "localhost"), names, loopback=True)
    assert (answer.status, len(receiver.got), len(names.asked)) == (204, 1, 1)
    assert receiver.got[0].headers["host"] == f"localhost:{receiver.port}"


async def test_the_next_address_is_tried_where_the_first_takes_no_connection() -> None:
    async with receiving(host="127.0.0.2") as receiver:
        names = Names([HOST, "127.0.0.2"])
        url = f"http://localhost:{receiver.port}/"
        assert (await posted(url, names, loopback=True)).status == 204
        assert len(receiver.got) == 1


async def test_a_name_that_is_not_found_is_no_more_than_a_failure() -> None:
    assert await posted("https://hooks.example.org/", Names([])) == Answer("NAME_NOT_FOUND")
    async with Poster() as poster:
        for host in ("no-such-name.invalid", f"{'a' * 70}.example.org"):
            assert await poster.post(f"https://{host}/", {}, "{}") == Answer("NAME_NOT_FOUND")


async def test_a_look_up_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "TIMEOUT_S", 0.2)

    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with Poster(resolve=never) as poster:
        answer = await asyncio.wait_for(poster.post("https://hooks.example.org/", {}, "{}"), 5)
    assert answer == Answer("TIMEOUT")


@pytest_asyncio.fixture
async def hooks(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Hooks]:
    async with open_hooks(postgres_url, issuer_folder) as hooks:
        yield hooks


async def test_a_name_that_moves_inside_between_two_attempts_is_refused_at_the_second(
    hooks: Hooks, receiver: Receiver
) -> None:
    poster, asked = hooks.resolving([HOST], ["10.0.0.5"], [HOST])
    async with poster:
        await hooks.endpoint(receiver.url.replace(HOST, "localhost"))
        await hooks.confirm()
        receiver.status = 500
        await hooks.sender(poster).drain()
        assert await hooks.states() == [("PENDING", 1, "HTTP_500")]
        await hooks.hasten()
        await hooks.sender(poster).drain()
        assert await hooks.states() == [("PENDING", 2, "ADDRESS_REFUSED")]
        assert len(receiver.got) == 1
        receiver.status = 200
        await hooks.hasten()
        await hooks.sender(poster).drain()
    assert await hooks.states() == [("DELIVERED", 3, "HTTP_200")]
    assert asked == ["localhost"] * 3


async def test_an_endpoint_on_this_machine_is_not_sent_to_once_the_setting_is_gone(
    hooks: Hooks, receiver: Receiver
) -> None:
    await hooks.endpoint(receiver.url)
    await hooks.confirm()
    async with Poster() as poster:
        await hooks.sender(poster).drain()
    assert receiver.got == []
    assert await hooks.states() == [("PENDING", 1, "URL_REFUSED")]


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server of that name, and for a client that trusts it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path, plain = folder / f"{name}.pem", serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


async def test_over_tls_the_name_is_asked_for_and_proven_though_the_address_is_called(tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "localhost")
    async with receiving(server) as receiver:
        async with Poster(loopback=True, resolve=Names([HOST]), trusted=client) as poster:
            answer = await poster.post(f"https://localhost:{receiver.port}/", {}, "{}")
        assert answer == Answer("HTTP_204", 204)
        assert receiver.names == ["localhost"]


async def test_a_certificate_of_another_name_or_of_nobody_known_is_refused(tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "elsewhere.example.org")
    async with receiving(server) as receiver:
        for trusted in (client, None):
            async with Poster(loopback=True, resolve=Names([HOST]), trusted=trusted) as poster:
                answer = await poster.post(f"https://localhost:{receiver.port}/", {}, "{}")
            assert answer == Answer("TLS_FAILED")
        assert receiver.got == []
