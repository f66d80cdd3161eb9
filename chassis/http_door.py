"""A small door over HTTP for those who have no token: they prove by a signature who they are.

It takes one request of a connection, whole and bounded, hands it in and answers. What it says of a request in logs is
what broke off; never a path, a header or a body.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import h11
import structlog

log = structlog.get_logger()

BODY_MAX = 256 << 10
REQUEST_S = 10.0
"""To be sent and answered."""
CHUNK = 64 << 10


@dataclass(frozen=True, slots=True)
class HttpRequest:
    method: str
    target: str
    """Path and query, as they were sent."""
    headers: Mapping[str, str]
    """By their names in small letters."""
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpDoor:
    def __init__(self, listen: str, answer: Callable[[HttpRequest], Awaitable[HttpAnswer]]) -> None:
        """`listen` is host:port; empty: nothing is listened for."""
        self._listen, self._answer = listen, answer
        self._server: asyncio.Server | None = None
        self._in_hand = set[asyncio.Task[Any]]()
        self.port = 0

    async def open(self) -> None:
        """Several workers share the port."""
        if self._listen:
            host, _, port = self._listen.rpartition(":")
            self._server = await asyncio.start_server(self._serve, host, int(port), reuse_port=True)
            self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Requests that came whole before are answered first, within REQUEST_S; no other is handed in any more."""
        if self._server:
            self._server.close()
            self._server = None
        if self._in_hand:
            await asyncio.wait(self._in_hand)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection, task = h11.Connection(h11.SERVER, max_incomplete_event_size=CHUNK), asyncio.current_task()
        assert task
        try:
            async with asyncio.timeout(REQUEST_S):
                request = await _read(connection, reader)
                if self._server is None:
                    raise ConnectionResetError
                self._in_hand.add(task)
                answer = await self._answer(request) if request else HttpAnswer(413)
                with suppress(h11.LocalProtocolError):
                    _write(connection, writer, answer)
                await writer.drain()
        except (TimeoutError, OSError, h11.RemoteProtocolError) as error:
            log.info("request.broken_off", error=type(error).__name__)
        finally:
            self._in_hand.discard(task)
            writer.close()


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> HttpRequest | None:
    """None: it is longer than is taken."""
    head, body = None, bytearray()
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(CHUNK))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > BODY_MAX:
                return None
        else:
            raise ConnectionResetError
    assert head
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    return HttpRequest(head.method.decode("latin-1"), head.target.decode("latin-1"), headers, bytes(body))


def _write(connection: h11.Connection, writer: asyncio.StreamWriter, answer: HttpAnswer) -> None:
    headers = [("content-length", str(len(answer.body))), ("connection", "close"), *answer.headers.items()]
    if answer.content_type:
        headers.append(("content-type", answer.content_type))
    writer.write(connection.send(h11.Response(status_code=answer.status, headers=headers)) or b"")
    writer.write(connection.send(h11.Data(answer.body)) or b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
