"""The token that each call carries: one given, or a source that is asked again before the last one ends."""

import asyncio
import base64
import binascii
import inspect
import json
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

TokenSource: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A token, or a function that gives one that is good now. It may be asynchronous."""

RENEW_S = 60.0
RENEW_SHARE = 0.2
"""A token is replaced so long before its end, or in this last share of its life if that is shorter."""


class Tokens:
    """Keeps what its source gave for as long as that is good. Calls that wait for a new one ask for it once."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source
        self._token, self._renew_at = "", 0.0
        self._one_at_a_time = asyncio.Lock()

    async def current(self) -> str:
        if isinstance(self._source, str):
            return self._source
        async with self._one_at_a_time:
            if time.time() >= self._renew_at:
                given = self._source()
                self._token = await given if inspect.isawaitable(given) else given
                self._renew_at = renew_at(self._token, time.time())
            return self._token

    def drop(self, token: str) -> None:
        """`token` was refused: the next call asks for a new one."""
        if token == self._token:
            self._renew_at = 0.0


def renew_at(token: str, now: float) -> float:
    """In seconds since 1970. A token that does not say when it ends is asked for anew at each call."""
    expires_at = _expires_at(token)
    return expires_at - min(RENEW_S, RENEW_SHARE * (expires_at - now)) if expires_at else 0.0


def _expires_at(token: str) -> float:
    """`exp` of a JWT, which is not verified here: that is for whoever is shown it."""
    try:
        claims = token.split(".")[1]
        expires_at = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
        return float(expires_at)
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return 0.0
