"""The load generator against real and misbehaving servers: it counts what was answered, and how."""

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import repeat
from typing import Any

import grpc
import pytest
from hpack import Encoder

from bench import load
from bench.load import Load

PATH = "/test.Echo/Say"
Context = grpc.aio.ServicerContext[bytes, bytes]


@asynccontextmanager
async def echo_server(handle: Callable[[bytes, Any], Any], **options: int) -> AsyncIterator[str]:
    server = grpc.aio.server(options=[(f"grpc.{name}", value) for name, value in options.items()])
    handler: Any = grpc.unary_unary_rpc_method_handler(handle)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", {"Say": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def echo(request: bytes, context: Any) -> bytes:
    return request


async def call(address: str, bodies: list[bytes], concurrency: int = 4, connections: int = 1, **metadata: str) -> Load:
    return await load.run(address, PATH, [*metadata.items()], iter(bodies), concurrency, 10.0, connections)


async def test_every_body_is_sent_once_with_the_metadata_and_answered() -> None:
    seen = list[tuple[bytes, str]]()

    async def note(request: bytes, context: Any) -> bytes:
        seen.append((request, dict(context.invocation_metadata())["authorization"]))
        return request

    async with echo_server(note) as address:
        done = await call(address, [b"%d" % n for n in range(100)], authorization="Bearer x", connections=3)
    assert sorted(seen) == sorted((b"%d" % n, "Bearer x") for n in range(100))
    assert len(done.latencies) == 100
    assert done.errors == Counter()
    assert done.latencies == sorted(done.latencies)
    assert 0 < done.percentile(0.5) <= done.percentile(0.99) <= done.seconds


async def test_as_many_calls_are_in_flight_as_asked_for() -> None:
    now = most = 0

    async def count(request: bytes, context: Any) -> bytes:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        return b""

    async with echo_server(count) as address:
        await call(address, [b""] * 50, concurrency=7, connections=2)
    assert most == 7


async def test_it_ends_when_the_time_is_over() -> None:
    async with echo_server(echo) as address:
        done = await load.run(address, PATH, [], repeat(b"x"), 4, 0.3)
    assert 0.3 <= done.seconds < 1.0
    assert done.per_second == pytest.approx(len(done.latencies) / done.seconds)
    assert len(done.latencies) > 10


async def test_a_latency_is_what_the_call_took() -> None:
    async def sleep(request: bytes, context: Any) -> bytes:
        await asyncio.sleep(0.1)
        return b""

    async with echo_server(sleep) as address:
        done = await call(address, [b""] * 4)
    assert 0.1 <= done.percentile(0.0) <= done.percentile(1.0) < 0.3


async def test_a_refusal_is_counted_by_its_status_and_is_no_success() -> None:
    async def refuse(request: bytes, context: Any) -> bytes:
        if request == b"no":
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")
        return request

    async with echo_server(refuse) as address:
        done = await call(address, [b"yes", b"no"] * 10)
    assert len(done.latencies) == 10
    assert done.errors == {"RESOURCE_EXHAUSTED": 10}


async def test_a_method_that_is_not_there_is_counted() -> None:
    async with echo_server(echo) as address:
        done = await load.run(address, "/test.Echo/Other", [], iter([b""] * 3), 1, 10.0)
    assert done.errors == {"UNIMPLEMENTED": 3}


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_380, 70_000, 1_000_000])
async def test_bodies_of_any_size_come_back_whole_through_the_windows(size: int) -> None:
    echoed = list[int]()

    async def note(request: bytes, context: Any) -> bytes:
        echoed.append(len(request))
        return request

    async with echo_server(note) as address:
        done = await call(address, [b"x" * size] * 30)
    assert echoed == [size] * 30
    assert len(done.latencies) == 30


async def test_a_server_that_ends_its_connections_loses_no_call() -> None:
    """GOAWAY every 50 ms: calls in flight are answered, and the next go over a new connection."""
    peers = set[str]()

    async def note(request: bytes, context: Any) -> bytes:
        peers.add(context.peer())
        return request

    async with echo_server(note, max_connection_age_ms=50, max_connection_age_grace_ms=5000) as address:
        done = await load.run(address, PATH, [], repeat(b"x"), 4, 1.5)
    assert len(peers) > 2
    assert len(done.latencies) > 10
    assert done.errors.keys() <= {"GOAWAY"}


@pytest.mark.parametrize("sizes", [(10, 10), (10, 6000), (6000, 10), (2500, 2500), (100, 3900)])
async def test_headers_arrive_in_every_call_whether_the_servers_table_holds_them_or_not(sizes: tuple[int, int]) -> None:
    headers = {"one": "x" * sizes[0], "two": "y" * sizes[1]}
    seen = list[dict[str, str]]()

    async def note(request: bytes, context: Any) -> bytes:
        told = dict(context.invocation_metadata())
        seen.append({name: told[name] for name in headers})
        return b""

    async with echo_server(note) as address:
        done = await load.run(address, PATH, [*headers.items()], iter([b""] * 5), 1, 10.0)
    assert seen == [headers] * 5
    assert len(done.latencies) == 5


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream_id) + payload


@asynccontextmanager
async def frame_server(answer: Callable[[int, int, bytes], bytes], settings: bytes = b"") -> AsyncIterator[str]:
    """Greets, and answers each frame with whatever `answer` makes of its kind, stream and payload; b'' hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(load.SETTINGS, 0, 0, settings))
        await reader.readexactly(len(load.PREFACE))
        try:
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                out = answer(head[3], int.from_bytes(head[5:], "big"), payload)
                if out is HANG_UP:
                    break
                writer.write(out)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


HANG_UP = bytes([0])
OK = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")]


async def test_a_reset_stream_is_counted() -> None:
    def reset(kind: int, stream_id: int, payload: bytes) -> bytes:
        return frame(load.RST_STREAM, 0, stream_id, bytes(4)) if kind == load.HEADERS else b""

    async with frame_server(reset) as address:
        done = await call(address, [b""] * 5, concurrency=2)
    assert (done.latencies, done.errors) == ([], {"RST_STREAM": 5})


async def test_calls_that_a_goaway_leaves_out_are_counted() -> None:
    def refuse(kind: int, stream_id: int, payload: bytes) -> bytes:
        return frame(load.GOAWAY, 0, 0, struct.pack(">II", 0, 0)) if kind == load.HEADERS else b""

    async with frame_server(refuse) as address:
        done = await call(address, [b""] * 3, concurrency=1)
    assert (done.latencies, done.errors) == ([], {"GOAWAY": 3})


async def test_calls_on_a_broken_connection_are_counted_and_a_new_one_is_opened() -> None:
    async with frame_server(lambda kind, *_: HANG_UP if kind == load.HEADERS else b"") as address:
        done = await call(address, [b""] * 3, concurrency=1)
    assert (done.latencies, done.errors) == ([], {"DISCONNECTED": 3})


async def test_calls_that_are_never_answered_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "DRAIN_S", 0.1)
    async with frame_server(lambda *_: b"") as address:
        done = await load.run(address, PATH, [], repeat(b""), 3, 0.1)
    assert (done.latencies, done.errors) == ([], {"UNANSWERED": 3})


async def test_an_http_error_of_a_proxy_is_counted() -> None:
    answer = Encoder().encode([(":status", "503")])

    def refuse(kind: int, stream_id: int, payload: bytes) -> bytes:
        flags = load.END_HEADERS | load.END_STREAM
        return frame(load.HEADERS, flags, stream_id, answer) if kind == load.HEADERS else b""

    async with frame_server(refuse) as address:
        done = await call(address, [b""] * 2)
    assert done.errors == {"HTTP 503": 2}


async def test_an_answer_in_pieces_and_a_ping_are_understood() -> None:
    pongs = list[bytes]()
    block = Encoder().encode(OK)

    def answer(kind: int, stream_id: int, payload: bytes) -> bytes:
        if kind == load.PING:
            pongs.append(payload)
        if kind != load.HEADERS:
            return b""
        return (
            frame(load.PING, 0, 0, b"12345678")
            + frame(load.HEADERS, load.END_STREAM | load.PADDED, stream_id, b"\2" + block[:5] + b"\0\0")
            + frame(load.CONTINUATION, load.END_HEADERS, stream_id, block[5:])
        )

    async with frame_server(answer) as address:
        done = await call(address, [b""] * 3, concurrency=1)
    assert (len(done.latencies), done.errors) == (3, {})
    assert pongs == [b"12345678"] * 3


async def test_no_more_is_sent_than_the_servers_windows_let_through() -> None:
    """Windows of 100 bytes a stream: the rest of the body comes when the server widens them."""
    sent = Counter[int]()
    most = list[int]()

    def answer(kind: int, stream_id: int, payload: bytes) -> bytes:
        if kind != load.DATA:
            return b""
        sent[stream_id] += len(payload)
        most.append(len(payload))
        if sent[stream_id] == 255:
            return frame(load.HEADERS, load.END_HEADERS | load.END_STREAM, stream_id, Encoder().encode(OK))
        return frame(load.WINDOW_UPDATE, 0, stream_id, struct.pack(">I", 100))

    settings = struct.pack(">HI", load.INITIAL_WINDOW_SIZE, 100)
    async with frame_server(answer, settings) as address:
        done = await call(address, [b"x" * 250] * 4, concurrency=2)
    assert len(done.latencies) == 4
    assert set(sent.values()) == {255}
    assert most.count(100) == 8
    assert max(most) == 100


async def test_no_more_calls_are_begun_than_the_server_allows() -> None:
    """The server answers what it has when its ping comes back: by then every call that was begun has arrived."""
    waiting = list[int]()
    most = 0
    ok = Encoder().encode(OK)

    def answer(kind: int, stream_id: int, payload: bytes) -> bytes:
        nonlocal most
        if kind == load.DATA:
            waiting.append(stream_id)
            return frame(load.PING, 0, 0, bytes(8))
        if kind != load.PING:
            return b""
        most = max(most, len(waiting))
        answered, waiting[:] = waiting[:], []
        return b"".join(frame(load.HEADERS, load.END_HEADERS | load.END_STREAM, id, ok) for id in answered)

    async with frame_server(answer, struct.pack(">HI", load.MAX_CONCURRENT_STREAMS, 2)) as address:
        done = await call(address, [b""] * 6, concurrency=3)
    assert (len(done.latencies), most) == (6, 2)


async def test_a_server_that_is_not_there_is_an_error_at_once() -> None:
    async with frame_server(lambda *_: b"") as address:
        pass
    with pytest.raises(OSError, match=r"."):
        await call(address, [b""])
