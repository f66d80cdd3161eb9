"""The token that each call carries: one given, or a source that is asked again before the last one ends."""

import asyncio
import base64
import binascii
import inspect
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeAlias
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen

import grpc

from atoll_client.errors import ServerFault, TryAgain, Unauthenticated

TokenSource: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A token, or a function that gives one that is good now. It may be asynchronous."""

RENEW_S = 60.0
RENEW_SHARE = 0.2
"""A token is replaced so long before its end, or in this last share of its life if that is shorter."""

HERE = frozenset({"localhost", "127.0.0.1", "::1"})
EXCHANGE_S = 10.0


class ClientCredentials:
    """A source of tokens for a system that nobody signs in for.

    It shows a key of a service account to a token endpoint, `https://api.example.com/oauth/token`, by HTTP Basic: OAuth
    2.0, RFC 6749 section 4.4.

        Atoll(url, ClientCredentials(f"{url}/oauth/token", client_id, client_secret))

    A key that is refused is Unauthenticated; an endpoint that is away is TryAgain, and is asked again with the call.
    """

    def __init__(
        self, token_url: str, client_id: str, client_secret: str, *, context: ssl.SSLContext | None = None
    ) -> None:
        """`context`: where the public roots do not do."""
        parts = urlsplit(token_url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in HERE):
            raise ValueError(f"{token_url!r} would show the secret to whoever listens: use https://")
        key = base64.b64encode(f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}".encode()).decode()
        self._url, self._context = token_url, context
        self._headers = {"Authorization": f"Basic {key}", "Accept": "application/json"}

    async def __call__(self) -> str:
        return await asyncio.to_thread(self._exchange)

    def _exchange(self) -> str:
        form = urlencode({"grant_type": "client_credentials"}).encode()
        request = Request(self._url, data=form, headers=self._headers)  # noqa: S310  # Its scheme was looked at.
        try:
            with urlopen(request, timeout=EXCHANGE_S, context=self._context) as answer:  # noqa: S310
                return str(json.load(answer)["access_token"])
        except HTTPError as error:
            if error.code in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                refused = f"the key is refused with HTTP {error.code}"
                raise Unauthenticated(grpc.StatusCode.UNAUTHENTICATED, self._url, refused) from None
            raise TryAgain(grpc.StatusCode.UNAVAILABLE, self._url, f"answered with HTTP {error.code}") from None
        except OSError as error:
            raise TryAgain(grpc.StatusCode.UNAVAILABLE, self._url, type(error).__name__) from error
        except (KeyError, TypeError, ValueError):
            raise ServerFault(grpc.StatusCode.UNKNOWN, self._url, "answered without an access_token") from None


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
