"""The keys that an issuer publishes (JWKS): from a file, from a URL, or from where its discovery document says."""

import asyncio
import json
import math
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from chassis.errors import TryAgain
from chassis.issuers import TrustedIssuer

log = structlog.get_logger()

KEYS_FRESH_S = 300.0  # A key set is read anew at this age,
KEYS_LATE_S = 30.0  # waited for where nobody asked for so long after,
KEYS_AGAIN_S = 10.0  # and for a token of an unknown key, but no more often than this.
FETCH_S = 5.0
DOCUMENT_MAX = 1 << 20
UNREADABLE = (OSError, ValueError, TypeError, KeyError, JoseError, httpx.HTTPError)
SYMMETRIC = "oct"


class Keys:
    """Read anew as they age. While the issuer cannot be reached, or takes long, the keys read last stay good.

    Calls wait for the issuer where nobody asked for long: what it took back meanwhile is not accepted once more.
    """

    def __init__(self, issuer: TrustedIssuer, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._issuer, self._transport = issuer, transport
        self._read_at, self._set = -math.inf, KeySet([])
        self._reading: asyncio.Task[None] | None = None
        self._late = False

    async def current(self, *, unknown_key: bool = False) -> KeySet:
        """Waits for the issuer only where there is nothing better to do; TryAgain while it has never answered."""
        waits = unknown_key or not self._set.keys
        age = time.monotonic() - self._read_at
        if age >= (KEYS_AGAIN_S if waits else KEYS_FRESH_S):
            self._late = age >= KEYS_FRESH_S + KEYS_LATE_S
            self._read_at, self._reading = time.monotonic(), asyncio.create_task(self._read())
        if (waits or self._late) and self._reading:
            await asyncio.shield(self._reading)  # It is not this call's alone.
        if not self._set.keys:
            raise TryAgain()
        return self._set

    async def _read(self) -> None:
        try:
            found = KeySet.import_key_set(await self._fetch())  # Which refuses a set without keys.
            if any(key.key_type == SYMMETRIC for key in found):
                raise ValueError("a key that is shared with others signs nothing")
            self._set = found
        except UNREADABLE as error:
            log.warning("keys.unreadable", issuer=self._issuer.issuer, error=type(error).__name__)

    async def _fetch(self) -> Any:
        source = self._issuer.jwks
        if source and not source.startswith("https://"):
            return json.loads(Path(source).read_text())  # noqa: ASYNC240  # A small local file.
        async with httpx.AsyncClient(timeout=FETCH_S, transport=self._transport) as client:
            return await _document(client, source or await _jwks_uri(client, self._issuer.issuer))


async def jwks_uri(issuer: str) -> str:
    """Where an issuer's discovery document says that its keys are, for what cannot read one itself. ValueError, or
    httpx.HTTPError."""
    async with httpx.AsyncClient(timeout=FETCH_S) as client:
        return await _jwks_uri(client, issuer)


async def _jwks_uri(client: httpx.AsyncClient, issuer: str) -> str:
    """Asked each time, so that an issuer may move its keys: OpenID Connect Discovery 1.0 §4, else RFC 8414 §3."""
    try:
        found = await _document(client, f"{issuer.removesuffix('/')}/.well-known/openid-configuration")
    except httpx.HTTPStatusError:
        parts = urlsplit(issuer)
        path = parts.path.removesuffix("/")
        found = await _document(client, f"https://{parts.netloc}/.well-known/oauth-authorization-server{path}")
    if found["issuer"] != issuer:
        raise ValueError("a document of another issuer")
    uri = str(found["jwks_uri"])
    if not uri.startswith("https://"):
        raise ValueError("keys are not read over a line that anybody may change")
    return uri


async def _document(client: httpx.AsyncClient, url: str) -> Any:
    """Redirections are not followed: they are no answer of the issuer's."""
    async with client.stream("GET", url) as answer:
        answer.raise_for_status()
        content = b""
        async for part in answer.aiter_bytes():
            content += part
            if len(content) > DOCUMENT_MAX:
                raise ValueError("a document without end")
    return json.loads(content)
