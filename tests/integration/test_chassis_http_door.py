"""The small door over HTTP: how it closes."""

import asyncio

import pytest

from chassis.election import cancelled
from chassis.http_door import HttpAnswer, HttpDoor, HttpRequest

REQUEST = b"POST /told HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\nhi"


class Answering:
    """Takes its time, until it is let go."""

    def __init__(self) -> None:
        self.asked, self.free, self.answered = asyncio.Event(), asyncio.Event(), 0

    async def __call__(self, request: HttpRequest) -> HttpAnswer:
        self.asked.set()
        await self.free.wait()
        self.answered += 1
        return HttpAnswer(200, b"done")


async def test_a_door_that_closes_answers_what_it_has_in_hand_and_takes_nothing_more() -> None:
    answering = Answering()
    door = HttpDoor("127.0.0.1:0", answering)
    await door.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    late_reader, late = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(REQUEST)
    late.write(REQUEST[:-1])
    await asyncio.wait_for(answering.asked.wait(), 5)
    closing = asyncio.create_task(door.close())
    late.write(REQUEST[-1:])
    assert await asyncio.wait_for(late_reader.read(), 5) == b""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", door.port)
    assert not closing.done()
    answering.free.set()
    await asyncio.wait_for(closing, 5)
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    assert answering.answered == 1
    for each in (writer, late):
        each.close()


async def test_a_door_does_not_wait_for_whoever_has_sent_nothing() -> None:
    door = HttpDoor("127.0.0.1:0", Answering())
    await door.open()
    _, writer = await asyncio.open_connection("127.0.0.1", door.port)
    await asyncio.sleep(0.05)
    closing = asyncio.create_task(door.close())
    done, _ = await asyncio.wait([closing], timeout=2)
    await cancelled(closing)
    writer.close()
    assert done
