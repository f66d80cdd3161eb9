"""Calls to other services: a deadline on each, retries of what is safe to send again, the caller's trace.

Never made inside a transaction.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Self
from uuid import UUID

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from chassis.ids import to_wire
from chassis.settings import Settings
from chassis.tls import Tls, Watched

DEADLINE_S = 5.0
# UNAVAILABLE is the one code that says: nothing was done, or the same request_id is answered as if it was sent once.
_RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_SERVICE_CONFIG = {"methodConfig": [{"name": [{}], "retryPolicy": _RETRY, "waitForReady": False}]}
OPTIONS = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


def connect(address: str, tls: Tls | None = None, name: str = "") -> grpc.aio.Channel:
    """To be entered with `async with`. With `tls`, the other's certificate must have the name, or that of the host."""
    if tls is None:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    return _Renewed(address, tls, [*OPTIONS, ("grpc.ssl_target_name_override", name)] if name else OPTIONS)


class _Renewed(grpc.aio.Channel):
    """A channel that is opened anew when this service's certificate was replaced; calls in hand finish on the old."""

    def __init__(self, address: str, tls: Tls, options: Sequence[tuple[str, Any]]) -> None:
        self._address, self._tls, self._options = address, tls, options
        self._watched, self._channel = Watched(tls), self._open()
        self._closing = set[asyncio.Task[None]]()

    def _open(self) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(self._address, self._tls.channel_credentials(), options=self._options)

    @property
    def _current(self) -> grpc.aio.Channel:
        if self._watched.changed():
            with suppress(OSError):  # A file that is gone again changes once more when it is back.
                self._renew(self._open())
        return self._channel

    def _renew(self, channel: grpc.aio.Channel) -> None:
        closing = asyncio.create_task(self._channel.close(DEADLINE_S))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self._channel = channel

    def _late(self, kind: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """A method whose channel is looked up when it is called."""
        return lambda *given, **named: getattr(self._current, kind)(*arguments, **options)(*given, **named)

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        return self._late("unary_unary", arguments, options)

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        return self._late("unary_stream", arguments, options)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        return self._late("stream_unary", arguments, options)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        return self._late("stream_stream", arguments, options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await asyncio.gather(self._channel.close(grace), *self._closing)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._current.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._current.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._current.channel_ready()


def metadata(settings: Settings, chain_id: UUID, traceparent: str = "") -> tuple[tuple[str, str], ...]:
    """Who calls, for which chain, in which trace. The token is read anew, so that it can be rotated."""
    if settings.service_token_file is None:
        raise RuntimeError("ATOLL_SERVICE_TOKEN_FILE is needed to call other services")
    token = settings.service_token_file.read_text().strip()
    named = (("authorization", f"Bearer {token}"), ("atoll-chain", to_wire("chain", chain_id)))
    return (*named, ("traceparent", traceparent)) if traceparent else named


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Why another service refused, as it names it; empty where it could not be asked, or broke."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # The stubs know the blocking client only.
    info = ErrorInfo()
    return next((info.reason for each in (status.details if status else ()) if each.Unpack(info)), "")
