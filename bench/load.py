"""Load for gRPC unary calls that leaves the cores to the server: HTTP/2 frames over sockets, nothing encoded twice.

Closed loop: `concurrency` calls are in flight, and the next begins in the callback that saw the one before it end.
Headers are encoded once per connection. The server is asked to keep no HPACK table for us, so that equal answers are
equal bytes and each is decoded once. Enough of RFC 9113 for that and no more: no push, no priorities.
"""

import asyncio
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ssl import SSLContext
from time import perf_counter
from typing import cast

import grpc
from hpack import Decoder, Encoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 2, 3, 4, 5
FRAME_HEAD = 9
DEFAULT_WINDOW = 65_535
WINDOW = 1 << 24
"""What we let the server send before we say that we read it, on each stream and in all."""
DEFAULT_TABLE = 4096
REMEMBERED_MAX = 1000
DRAIN_S = 10.0
REOPEN_S = 0.1
STATUS = {code.value[0]: code.name for code in grpc.StatusCode}


@dataclass
class Load:
    """What came of a run. Latencies are of the calls that were answered OK, in seconds, from the shortest up."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    """By name of the gRPC status; RST_STREAM, GOAWAY, DISCONNECTED, UNANSWERED and HTTP codes where there is none."""

    def __add__(self, other: "Load") -> "Load":
        """Of two runs, one after another."""
        both = sorted(self.latencies + other.latencies)
        return Load(self.seconds + other.seconds, both, self.errors + other.errors)

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """NaN if nothing was answered OK."""
        if not self.latencies:
            return float("nan")
        return self.latencies[min(int(len(self.latencies) * share), len(self.latencies) - 1)]


async def run(
    address: str,
    path: str,
    metadata: Sequence[tuple[str, str]],
    bodies: Iterator[bytes],
    concurrency: int,
    seconds: float,
    connections: int = 1,
    tls: SSLContext | None = None,
) -> Load:
    """Calls `path` ("/package.Service/Method") at host:port with one body after another, until the time is over or the
    bodies are. They are best made before: what the iterator costs is taken from the server."""
    host, _, port = address.rpartition(":")
    scheme = "https" if tls else "http"
    caller = _Caller(host, int(port), [*_pseudo_headers(address, path, scheme), *metadata], bodies, tls)
    return await caller.run(_shares(concurrency, connections), seconds)


def _pseudo_headers(address: str, path: str, scheme: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", scheme),
        (":path", path),
        (":authority", address),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]


def _shares(concurrency: int, connections: int) -> list[int]:
    connections = min(connections, concurrency)
    return [concurrency // connections + (n < concurrency % connections) for n in range(connections)]


class _Caller:
    """All connections of one run, and what they counted."""

    def __init__(
        self,
        host: str,
        port: int,
        headers: list[tuple[str, str]],
        bodies: Iterator[bytes],
        tls: SSLContext | None = None,
    ) -> None:
        self._host, self._port, self.headers, self._bodies, self._tls = host, port, headers, bodies, tls
        self.load, self.over, self.open = Load(), False, set[_Connection]()
        self._idle, self._reopening = asyncio.Event(), set[asyncio.Task[None]]()

    async def run(self, shares: list[int], seconds: float) -> Load:
        ready = [await self._connect(share) for share in shares]
        began = perf_counter()
        for connection in ready:
            connection.begin()
        try:
            await asyncio.wait_for(self._idle.wait(), timeout=seconds)
        except TimeoutError:
            self.over = True
            await self._drain()
        self.over = True
        for task in self._reopening:
            task.cancel()
        for connection in [*self.open]:
            connection.abandon("UNANSWERED")
        self.load.seconds = perf_counter() - began
        self.load.latencies.sort()
        return self.load

    def next_body(self) -> bytes | None:
        return None if self.over else next(self._bodies, None)

    def settled(self) -> None:
        """A connection has nothing in flight any more, and nothing to begin."""
        if not self._reopening and not any(connection.streams for connection in self.open):
            self._idle.set()

    def lost(self, connection: "_Connection", share: int) -> None:
        self.open.discard(connection)
        if not self.over:
            task = asyncio.create_task(self._reopen(share))
            self._reopening.add(task)
            task.add_done_callback(self._reopened)
        else:
            self.settled()

    def _reopened(self, task: asyncio.Task[None]) -> None:
        self._reopening.discard(task)
        self.settled()

    async def _connect(self, share: int) -> "_Connection":
        connection = _Connection(self, share)
        await asyncio.get_running_loop().create_connection(lambda: connection, self._host, self._port, ssl=self._tls)
        await connection.ready
        return connection

    async def _reopen(self, share: int) -> None:
        while not self.over:
            await asyncio.sleep(REOPEN_S)
            try:
                (await self._connect(share)).begin()
                return
            except OSError:
                self.load.errors["UNREACHABLE"] += 1

    async def _drain(self) -> None:
        if any(connection.streams for connection in self.open):
            self._idle.clear()
            try:
                await asyncio.wait_for(self._idle.wait(), timeout=DRAIN_S)
            except TimeoutError:
                return


class _Stream:
    """One call."""

    __slots__ = ("began", "left", "outcome", "unread", "window")

    def __init__(self, left: memoryview, window: int) -> None:
        self.left, self.window = left, window  # Of the body, what is not yet sent; what the server will take of it.
        self.unread = 0  # Bytes of the answer that we have not yet said we read.
        self.outcome = "NO_STATUS"
        self.began = perf_counter()


class _Connection(asyncio.Protocol):
    """One HTTP/2 connection with up to `share` calls in flight."""

    def __init__(self, caller: _Caller, share: int) -> None:
        self._caller, self._share = caller, share
        self.streams: dict[int, _Stream] = {}
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport
        self._in, self._out = bytearray(), bytearray()
        self._next_id, self._going = 1, False
        self._window, self._stream_window = DEFAULT_WINDOW, DEFAULT_WINDOW
        self._frame_max, self._streams_max, self._table = 16_384, 2**31, DEFAULT_TABLE
        self._unread = 0
        self._block = self._next_block = b""
        self._decoder = Decoder()
        self._decoder.max_allowed_table_size = self._decoder.header_table_size = 0
        self._remembered: dict[bytes, str | None] = {}
        self._partial: tuple[int, int, bytearray] | None = None  # Stream, flags and block of a HEADERS to be continued.

    # What we send.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        wanted = ((HEADER_TABLE_SIZE, 0), (ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, WINDOW))
        settings = b"".join(struct.pack(">HI", *pair) for pair in wanted)
        self._out += PREFACE + _frame(SETTINGS, 0, 0, settings)
        self._out += _frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW - DEFAULT_WINDOW))
        self._flush()

    def begin(self) -> None:
        """The first calls: the server has told its settings."""
        self._block, self._next_block = _header_blocks(self._caller.headers, self._table)
        self._caller.open.add(self)
        self._fill()
        self._flush()

    def _fill(self) -> None:
        """Begins calls until our share of them is in flight."""
        most = 0 if self._going else min(self._share, self._streams_max)
        while len(self.streams) < most:
            body = self._caller.next_body()
            if body is None:
                break
            stream_id, self._next_id = self._next_id, self._next_id + 2
            self._out += _frame(HEADERS, END_HEADERS, stream_id, self._block)
            self._block = self._next_block
            stream = _Stream(memoryview(struct.pack(">BI", 0, len(body)) + body), self._stream_window)
            self.streams[stream_id] = stream
            self._send_body(stream_id, stream)
        if not self.streams:
            if self._going:
                self._transport.close()
            else:
                self._caller.settled()

    def _send_body(self, stream_id: int, stream: _Stream) -> None:
        """As much as the windows let through; the rest goes when they widen."""
        while stream.left and (room := min(self._window, stream.window, self._frame_max)) > 0:
            part, stream.left = stream.left[:room], stream.left[room:]
            self._window -= len(part)
            stream.window -= len(part)
            self._out += _frame(DATA, 0 if stream.left else END_STREAM, stream_id, part)

    def _flush(self) -> None:
        if self._out:
            self._transport.write(bytes(self._out))
            self._out.clear()

    # What we read.

    def data_received(self, data: bytes) -> None:
        self._in += data
        read, have = 0, len(self._in)
        while have - read >= FRAME_HEAD:
            size = int.from_bytes(self._in[read : read + 3], "big")
            if have - read < FRAME_HEAD + size:
                break
            kind, flags, stream_id = struct.unpack_from(">BBI", self._in, read + 3)
            start = read + FRAME_HEAD
            self._frame(kind, flags, stream_id & 0x7FFFFFFF, bytes(self._in[start : start + size]))
            read = start + size
        del self._in[:read]
        if self.ready.done() and self._block:
            self._fill()
        self._flush()

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == HEADERS:
            self._headers(stream_id, flags, _unpadded(payload, flags))
        elif kind == DATA:
            self._data(stream_id, flags, len(payload))
        elif kind == CONTINUATION:
            self._continued(flags, payload)
        elif kind == SETTINGS and not flags & ACK:
            self._settings(payload)
        elif kind == PING and not flags & ACK:
            self._out += _frame(PING, ACK, 0, payload)
        elif kind == WINDOW_UPDATE:
            self._widen(stream_id, int.from_bytes(payload, "big") & 0x7FFFFFFF)
        elif kind == RST_STREAM:
            self._end(stream_id, "RST_STREAM")
        elif kind == GOAWAY:
            self._go_away(int.from_bytes(payload[:4], "big") & 0x7FFFFFFF)

    def _settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == HEADER_TABLE_SIZE:
                self._table = min(value, DEFAULT_TABLE)
            elif name == MAX_CONCURRENT_STREAMS:
                self._streams_max = value
            elif name == MAX_FRAME_SIZE:
                self._frame_max = value
            elif name == INITIAL_WINDOW_SIZE:
                change, self._stream_window = value - self._stream_window, value
                for stream in self.streams.values():
                    stream.window += change
        self._out += _frame(SETTINGS, ACK, 0, b"")
        if not self.ready.done():
            self.ready.set_result(None)
        self._send_waiting()

    def _widen(self, stream_id: int, by: int) -> None:
        if stream_id == 0:
            self._window += by
        elif stream := self.streams.get(stream_id):
            stream.window += by
        self._send_waiting()

    def _send_waiting(self) -> None:
        for stream_id, stream in self.streams.items():
            if stream.left:
                self._send_body(stream_id, stream)

    def _headers(self, stream_id: int, flags: int, block: bytes) -> None:
        if not flags & END_HEADERS:
            self._partial = stream_id, flags, bytearray(block)
            return
        outcome = self._outcome_of(block)
        if outcome and (stream := self.streams.get(stream_id)):
            stream.outcome = outcome
        if flags & END_STREAM:
            self._end(stream_id)

    def _continued(self, flags: int, payload: bytes) -> None:
        assert self._partial, "CONTINUATION without HEADERS"
        stream_id, first_flags, block = self._partial
        block += payload
        if flags & END_HEADERS:
            self._partial = None
            self._headers(stream_id, first_flags | END_HEADERS, bytes(block))

    def _outcome_of(self, block: bytes) -> str | None:
        """What a block of headers says of the call; None if nothing yet."""
        if block not in self._remembered:
            if len(self._remembered) >= REMEMBERED_MAX:
                self._remembered.clear()
            told = {str(name): str(value) for name, value in self._decoder.decode(block)}
            self._remembered[block] = _outcome(told)
        return self._remembered[block]

    def _data(self, stream_id: int, flags: int, size: int) -> None:
        self._unread += size
        if self._unread > WINDOW // 2:
            self._out += _frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._unread))
            self._unread = 0
        if stream := self.streams.get(stream_id):
            stream.unread += size
            if stream.unread > WINDOW // 2:
                self._out += _frame(WINDOW_UPDATE, 0, stream_id, struct.pack(">I", stream.unread))
                stream.unread = 0
        if flags & END_STREAM:
            self._end(stream_id)

    def _end(self, stream_id: int, outcome: str = "") -> None:
        stream = self.streams.pop(stream_id, None)
        if stream is None:
            return
        outcome = outcome or stream.outcome
        if outcome == "OK":
            self._caller.load.latencies.append(perf_counter() - stream.began)
        else:
            self._caller.load.errors[outcome] += 1

    def _go_away(self, last_id: int) -> None:
        """The server takes no call after `last_id`; those before it are still answered, then the connection ends."""
        self._going = True
        for stream_id in [each for each in self.streams if each > last_id]:
            self._end(stream_id, "GOAWAY")

    def abandon(self, outcome: str) -> None:
        for stream_id in [*self.streams]:
            self._end(stream_id, outcome)
        self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the server hung up before it told its settings"))
            return
        self.abandon("DISCONNECTED")
        self._caller.lost(self, self._share)


def _frame(kind: int, flags: int, stream_id: int, payload: bytes | memoryview) -> bytes:
    return struct.pack(">HBBBI", len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream_id) + payload


def _unpadded(payload: bytes, flags: int) -> bytes:
    padding, start = (payload[0], 1) if flags & PADDED else (0, 0)
    return payload[start + (5 if flags & PRIORITY else 0) : len(payload) - padding]


def _header_blocks(headers: list[tuple[str, str]], table: int) -> tuple[bytes, bytes]:
    """The block of the first call, which fills the server's table, and that of all others.

    The second leaves the table as it found it: it points into it, or, where not all of them fit, turns it over once.
    """
    encoder = Encoder()
    encoder.header_table_size = table
    first, second, third = (encoder.encode(headers) for _ in range(3))
    assert second == third, "the blocks never settle"
    return first, second


def _outcome(told: dict[str, str]) -> str | None:
    if told.get(":status", "200") != "200":
        return f"HTTP {told[':status']}"
    if "grpc-status" in told:
        return STATUS.get(int(told["grpc-status"]), told["grpc-status"])
    return None
