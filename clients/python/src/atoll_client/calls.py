"""One caller's calls, which generated code hands over: token, deadline, request_id, and what is sent again."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import uuid4

import grpc
from google.protobuf.message import Message

from atoll_client.errors import AtollError, ServerFault, TryAgain, Unauthenticated, error_of
from atoll_client.pages import Pages
from atoll_client.retries import Retry
from atoll_client.tokens import Tokens
from atoll_client.values import to_wire

log = logging.getLogger("atoll_client")

REQUEST_ID, RESUME_TOKEN, COMPLETE = "request_id", "resume_token", "complete"

ResponseT = TypeVar("ResponseT", bound=Message)
ItemT = TypeVar("ItemT")

Arguments = Mapping[str, Any]
"""Fields of a request; None: not given."""


@dataclass(frozen=True, slots=True)
class Method(Generic[ResponseT]):
    path: str
    request_type: type[Message]
    response_type: type[ResponseT]


class Caller:
    def __init__(self, connect: Callable[[], grpc.aio.Channel], tokens: Tokens, timeout_s: float, retry: Retry) -> None:
        """`connect` is called at the first call, inside of the loop that the channel belongs to."""
        self._connect, self._tokens, self._timeout_s, self._retry = connect, tokens, timeout_s, retry
        self._channel: grpc.aio.Channel | None = None

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def call(self, method: Method[ResponseT], arguments: Arguments, timeout_s: float | None) -> ResponseT:
        """`timeout_s` is for all attempts and the pauses between them."""
        request, until = _request(method, arguments), time.monotonic() + (timeout_s or self._timeout_s)
        request_id = _with_request_id(request)
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._send(method, request, request_id, until)
            except AtollError as error:
                pause_s = self._retry.pause_s(attempt, error)
                if pause_s is None or time.monotonic() + pause_s >= until:
                    raise
            await asyncio.sleep(pause_s)

    def pages(
        self,
        method: Method[ResponseT],
        arguments: Arguments,
        timeout_s: float | None,
        items: Callable[[ResponseT], Iterable[ItemT]],
    ) -> Pages[ResponseT, ItemT]:
        """`timeout_s` is for each page."""

        async def ask(page_token: str) -> ResponseT:
            return await self.call(method, {**arguments, "page_token": page_token}, timeout_s)

        return Pages(ask, items, arguments["page_token"] or "")

    async def stream(self, method: Method[ResponseT], arguments: Arguments) -> AsyncGenerator[ResponseT, None]:
        """Ends as the server's stream does, or goes on with it after the last token that came, if it gives any.

        Such a stream is opened again when it breaks off, when its token has expired, and when it ends at its greatest
        age; `complete` ends it, and `Retry.reopen_s` of openings in vain. One that has no `complete` is a watch, which
        has heartbeats: it is opened again when it is silent for `Retry.silence_s`, too, until its reader leaves it.
        What cannot be opened at all is tried as often as any call.
        """
        request, retry = _request(method, arguments), self._retry
        resumes = RESUME_TOKEN in request.DESCRIPTOR.fields_by_name
        watches = resumes and COMPLETE not in method.response_type.DESCRIPTOR.fields_by_name
        silence_s = retry.silence_s if watches else None
        failures, heard, broke, renewed = 0, None, None, False
        while True:
            opened = time.monotonic()
            try:
                async with aclosing(self._open(method, request, silence_s)) as responses:
                    async for response in responses:
                        heard, broke, renewed = time.monotonic(), None, False
                        # What breaks at once each time is opened less and less often.
                        failures = 0 if heard - opened > retry.longest_s else failures
                        yield response
                        if resumes and _goes_on_from(request, response):
                            return
                if not resumes:
                    return
                raise TryAgain(grpc.StatusCode.UNAVAILABLE, method.path, "ended, though it goes on")
            except AtollError as error:
                was_open = heard is not None and heard >= opened
                broke_off = isinstance(error, TryAgain) or (was_open and isinstance(error, ServerFault))
                expired = isinstance(error, Unauthenticated) and not renewed
                if not resumes or not (broke_off or expired):
                    raise
                if expired:
                    log.info("%s needs a new token: opened again", method.path)
                    renewed = True
                    continue
                failures, broke = failures + 1, broke or time.monotonic()
                if heard is None:
                    vain = failures >= retry.attempts
                else:
                    vain = not watches and time.monotonic() - broke > retry.reopen_s
                if vain:
                    raise
                pause_s = retry.pause_between_openings_s(failures, error)
                log.info("%s broke off (%s): opened again in %.1f s", method.path, error.reason, pause_s)
            await asyncio.sleep(pause_s)

    async def _send(self, method: Method[ResponseT], request: Message, request_id: str, until: float) -> ResponseT:
        token = await self._tokens.current()
        send: Any = self._open_channel().unary_unary(
            method.path, type(request).SerializeToString, method.response_type.FromString
        )
        try:
            response: ResponseT = await send(request, timeout=until - time.monotonic(), metadata=_metadata(token))
        except grpc.aio.AioRpcError as rpc_error:
            raise self._refused(rpc_error, method, token, request_id) from rpc_error
        return response

    async def _open(
        self, method: Method[ResponseT], request: Message, silence_s: float | None
    ) -> AsyncGenerator[ResponseT, None]:
        token = await self._tokens.current()
        watch: Any = self._open_channel().unary_stream(
            method.path, type(request).SerializeToString, method.response_type.FromString
        )
        call = watch(request, metadata=_metadata(token))
        try:
            while True:
                async with asyncio.timeout(silence_s):
                    response = await call.read()
                if response is grpc.aio.EOF:
                    return
                yield response
        except TimeoutError:
            raise TryAgain(grpc.StatusCode.UNAVAILABLE, method.path, "silent, even without heartbeats") from None
        except grpc.aio.AioRpcError as rpc_error:
            raise self._refused(rpc_error, method, token) from rpc_error
        finally:
            call.cancel()  # Of no effect once it is over.

    def _refused(
        self, rpc_error: grpc.aio.AioRpcError, method: Method[Any], token: str, request_id: str = ""
    ) -> AtollError:
        error = error_of(rpc_error, method.path, request_id)
        if isinstance(error, Unauthenticated):
            self._tokens.drop(token)
        return error

    def _open_channel(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = self._connect()
        return self._channel


def _request(method: Method[Any], arguments: Arguments) -> Message:
    """Protobuf refuses names and types that the message does not have: TypeError, ValueError."""
    return method.request_type(**{name: to_wire(value) for name, value in arguments.items() if value is not None})


def _with_request_id(request: Message) -> str:
    """Made here unless it was given; empty for a request that changes nothing."""
    if REQUEST_ID not in request.DESCRIPTOR.fields_by_name:
        return ""
    request_id = getattr(request, REQUEST_ID) or str(uuid4())
    setattr(request, REQUEST_ID, request_id)
    return request_id


def _goes_on_from(request: Message, response: Message) -> bool:
    """Whether `response` was the last; else `request` goes on after it."""
    if token := getattr(response, RESUME_TOKEN):
        setattr(request, RESUME_TOKEN, token)
    return bool(getattr(response, COMPLETE, False))


def _metadata(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)
