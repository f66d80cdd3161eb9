"""Calls to other services: a deadline on each, retries of what is safe to send again, the caller's trace.

Never made inside a transaction.
"""

import json
from uuid import UUID

import grpc

from chassis.ids import to_wire
from chassis.settings import Settings

DEADLINE_S = 5.0
# UNAVAILABLE is the one code that says: nothing was done.
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


def connect(address: str) -> grpc.aio.Channel:
    """To be entered with `async with`."""
    return grpc.aio.insecure_channel(address, options=OPTIONS)


def metadata(settings: Settings, chain_id: UUID, traceparent: str = "") -> tuple[tuple[str, str], ...]:
    """Who calls, for which chain, in which trace. The token is read anew, so that it can be rotated."""
    if settings.service_token_file is None:
        raise RuntimeError("ATOLL_SERVICE_TOKEN_FILE is needed to call other services")
    token = settings.service_token_file.read_text().strip()
    named = (("authorization", f"Bearer {token}"), ("atoll-chain", to_wire("chain", chain_id)))
    return (*named, ("traceparent", traceparent)) if traceparent else named
