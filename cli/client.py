"""Calls the public API through the edge, as one caller: with tokens of the development issuer, or with one given."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4, uuid5

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from grpc_status import rpc_status

from deploy.local.issuer import Issuer
from deploy.local.process import LocalError

CALL_S = 20.0
PATIENCE_S = 60.0
FIRST_S = 20.0
AGAIN_S = 0.3
RENEW_S = 1800.0
NAMESPACE = UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 4122's, for names that are URLs.
# Sent again with the same request_id, the first two can do no harm; the third says so itself by RetryInfo.
AGAIN = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


class Refused(Exception):
    """What the API answered, in one readable line."""

    def __init__(self, method: str, error: grpc.aio.AioRpcError) -> None:
        self.code, self.reason, faults = error.code(), "", list[str]()
        self.may_ask_again = _may_ask_again(error)
        for detail in _details(error):
            if isinstance(detail, ErrorInfo):
                self.reason = detail.reason
            if isinstance(detail, BadRequest):
                faults += (f"{each.field}: {each.description}" for each in detail.field_violations)
            if isinstance(detail, PreconditionFailure):
                faults += (f"{each.subject}: {each.description}" for each in detail.violations)
        named = f"{self.code.name} {self.reason}".strip()
        super().__init__("; ".join([f"{method}: {named}: {error.details()}", *faults]))


TokenSource = Callable[[], str]
"""Gives a token that is good now."""


class Issued:
    """Tokens of the development issuer, each used for RENEW_S."""

    def __init__(self, issuer: Issuer, subject: str, chain_id: str, grants: Mapping[str, Sequence[str]]) -> None:
        self._issuer, self._subject, self._chain_id, self._grants = issuer, subject, chain_id, grants
        self._token, self._renew_at = "", 0.0

    def __call__(self) -> str:
        if time.monotonic() >= self._renew_at:
            self._token = self._issuer.token(self._subject, self._chain_id, self._grants)
            self._renew_at = time.monotonic() + RENEW_S
        return self._token


class Client:
    """One caller. What cannot be answered now is asked again, with the same request_id, for PATIENCE_S; for FIRST_S
    before anything was answered: the address may be wrong, and somebody waits to be told."""

    def __init__(self, channel: grpc.aio.Channel, tokens: TokenSource, chain_id: str = "") -> None:
        """`chain_id` is told to whoever asks; the token says for which chain a call is."""
        self._channel, self._tokens, self.chain_id = channel, tokens, chain_id
        self._answered = False

    @classmethod
    def issued(
        cls,
        channel: grpc.aio.Channel,
        issuer: Issuer,
        subject: str,
        chain_id: str,
        grants: Mapping[str, Sequence[str]],
    ) -> "Client":
        """With tokens of the development issuer."""
        return cls(channel, Issued(issuer, subject, chain_id, grants), chain_id)

    async def call(self, stub_type: Any, method: str, request: Message) -> Any:
        """`request`'s request_id is filled in if it has the field and leaves it empty."""
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:  # type: ignore[attr-defined]
            request.request_id = str(uuid4())  # type: ignore[attr-defined]
        send = getattr(stub_type(self._channel), method)
        until = time.monotonic() + (PATIENCE_S if self._answered else FIRST_S)
        while True:
            try:
                answer = await send(request, metadata=self._metadata(), timeout=CALL_S)
            except grpc.aio.AioRpcError as error:
                if not _may_ask_again(error) or time.monotonic() > until:
                    raise Refused(method, error) from error
            else:
                self._answered = True
                return answer
            await asyncio.sleep(AGAIN_S)

    async def stream(self, stub_type: Any, method: str, request: Message) -> AsyncIterator[Any]:
        """What the server streams, until it ends the stream. It is opened once: who reads knows where it was."""
        try:
            async for message in getattr(stub_type(self._channel), method)(request, metadata=self._metadata()):
                yield message
        except grpc.aio.AioRpcError as error:
            raise Refused(method, error) from error

    async def pages(self, stub_type: Any, method: str, request: Any) -> AsyncIterator[Any]:
        """Every page of a list, from the one that `request` asks for to the last."""
        while True:
            page = await self.call(stub_type, method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._tokens()}"),)


def open_channel(edge_url: str, ca_file: str | None = None) -> grpc.aio.Channel:
    """To be entered with `async with`. `ca_file` says whom to trust where the URL is https; else whom gRPC trusts."""
    url = urlsplit(edge_url)
    if url.scheme not in ("http", "https") or not url.netloc:
        raise LocalError(f"{edge_url} is no URL of an API: it begins with http:// or https://")
    if url.scheme != "https":
        return grpc.aio.insecure_channel(url.netloc)
    return grpc.aio.secure_channel(
        url.netloc, grpc.ssl_channel_credentials(Path(ca_file).read_bytes() if ca_file else None)
    )


def request_id_for(*names: str) -> str:
    """The same for the same names: a load that was cut off goes on where it was when it is run again."""
    return str(uuid5(NAMESPACE, "/".join(names)))


def _may_ask_again(error: grpc.aio.AioRpcError) -> bool:
    return error.code() in AGAIN or any(isinstance(detail, RetryInfo) for detail in _details(error))


def _details(error: grpc.aio.AioRpcError) -> list[Message]:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # The stubs know the blocking client only.
    found = list[Message]()
    for packed in status.details if status else ():
        for kind in (ErrorInfo, BadRequest, PreconditionFailure, RetryInfo):
            detail = kind()
            if packed.Unpack(detail):
                found.append(detail)
    return found
