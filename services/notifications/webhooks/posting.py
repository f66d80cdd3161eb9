"""One attempt: the URL's addresses looked up and checked, and the request made to the very address that was checked.

A name may answer otherwise each time it is asked, so it is asked once for each attempt, and the connection is made by
address, with the name as Host and as the name that the certificate must have. A bare
transport: no proxy of the environment, no redirect, no cookie, and no connection kept, for one that was opened for
another name might carry it.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Self
from urllib.parse import SplitResult

import httpx

from services.notifications.domain.webhooks import LOOPBACK_NAMES, WebhookUrlRefused, check_url, may_be_reached

TIMEOUT_S = 15.0
"""Until the head of the answer is there, the name's look-up included."""
CONNECT_S = 5.0
"""To one address; the next is tried then."""
ADDRESSES_MAX = 3
BODY_MAX, BODY_S = 16 << 10, 2.0
"""Of an answer's body that is taken off the line, and looked at by nobody: its status is the answer."""
LOOK_UPS_MAX = 32
"""At once. Threads of their own: names that take long to be found hold up nobody else's."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Answer:
    code: str
    status: int | None = None
    """HTTP's; None: there was no answer."""


class Poster:
    """`loopback` is for development: see `domain.webhooks.check_url`."""

    def __init__(
        self, *, loopback: bool = False, resolve: Resolve | None = None, trusted: ssl.SSLContext | None = None
    ) -> None:
        self._loopback = loopback
        self._threads = ThreadPoolExecutor(LOOK_UPS_MAX, "webhook-names")
        self._resolve = resolve or self._look_up
        self._transport = httpx.AsyncHTTPTransport(
            verify=trusted or True,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0, max_connections=None),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def post(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        """Never raises: whatever goes wrong is the answer's code."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                parts = check_url(url, "url", loopback=self._loopback)
                answer = await self._post(parts, headers, body)
        except WebhookUrlRefused:
            return Answer("URL_REFUSED")
        except TimeoutError:
            return Answer("TIMEOUT")
        except (OSError, ValueError):  # A name that is not found is the first, one that cannot be is the second.
            return Answer("NAME_NOT_FOUND")
        if isinstance(answer, Answer):
            return answer
        with suppress(httpx.HTTPError, TimeoutError):
            await _take_off(answer)
        return Answer(f"HTTP_{answer.status_code}", answer.status_code)

    async def _post(self, parts: SplitResult, headers: Mapping[str, str], body: str) -> Answer | httpx.Response:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        assert parts.hostname
        found = await self._resolve(parts.hostname, port)
        if not found:
            return Answer("NAME_NOT_FOUND")
        here = self._loopback and parts.hostname in LOOPBACK_NAMES
        if not all(may_be_reached(each, loopback=here) for each in found):
            return Answer("ADDRESS_REFUSED")
        failed = Answer("CONNECT_FAILED")
        for address in found[:ADDRESSES_MAX]:
            try:
                return await self._post_to(address, port, parts, headers, body)
            except httpx.ConnectTimeout:
                failed = Answer("TIMEOUT")
            except httpx.ConnectError as error:
                failed = Answer("TLS_FAILED" if _is_of_tls(error) else "CONNECT_FAILED")
            except httpx.TimeoutException:
                return Answer("TIMEOUT")
            except (httpx.HTTPError, httpx.InvalidURL, ValueError):
                return Answer("NO_ANSWER")
        return failed

    async def _post_to(
        self, address: str, port: int, parts: SplitResult, headers: Mapping[str, str], body: str
    ) -> httpx.Response:
        host = f"[{address}]" if isinstance(ip_address(address), IPv6Address) else address
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        request = httpx.Request(
            "POST",
            f"{parts.scheme}://{host}:{port}{target}",
            headers={
                "host": parts.netloc,
                "content-type": "application/json",
                "user-agent": "Atoll-Webhooks/1",
                "accept-encoding": "identity",
                **headers,
            },
            content=body.encode(),
            extensions={
                "sni_hostname": parts.hostname,
                "timeout": httpx.Timeout(TIMEOUT_S, connect=CONNECT_S).as_dict(),
            },
        )
        return await self._transport.handle_async_request(request)

    async def _look_up(self, host: str, port: int) -> list[str]:
        def ask() -> list[str]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return list(dict.fromkeys(str(address[0]) for *_, address in found))

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)


async def _take_off(response: httpx.Response) -> None:
    """So that whoever writes a short answer can end it; whoever writes a long one is cut off."""
    taken = 0
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in response.aiter_raw():
                taken += len(chunk)
                if taken > BODY_MAX:
                    return
    finally:
        await response.aclose()


def _is_of_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
