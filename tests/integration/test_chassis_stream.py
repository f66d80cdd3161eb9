"""A server stream: how it delivers, and each way it ends."""

import asyncio
import time
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from prometheus_client import REGISTRY

from chassis.ids import new_id, to_wire
from tests.support.notes import NoteServicer, create_request, pb, pb_grpc
from tests.support.service import Refusal, Running, read_refusal, refusal

SITE = new_id()


def watch(notes: Running, count: int, token: str | None = None, *, within_s: float = 10, **fields: Any) -> Any:
    request = pb.WatchNotesRequest(site_id=to_wire("site", SITE), count=count, **fields)
    metadata = [("authorization", f"Bearer {token or notes.token('ROLE_FRONT_DESK')}")]
    return notes.stub(pb_grpc.NoteServiceStub).WatchNotes(request, metadata=metadata, timeout=within_s)


async def read(stream: Any) -> tuple[list[str], Refusal | None]:
    """The titles that came, and how it ended if not well."""
    titles = list[str]()
    try:
        async for answer in stream:
            titles.append(answer.note.title)
    except grpc.aio.AioRpcError as error:
        return titles, read_refusal(error)
    return titles, None


async def until_closed(count: int = 1) -> None:
    for _ in range(200):
        if len(NoteServicer.closed) >= count:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the handler still runs")


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NoteServicer, "closed", [])


def ended(code: str) -> float:
    labels = {"method": "atoll.notes.v1.NoteService.WatchNotes", "code": code}
    return REGISTRY.get_sample_value("atoll_rpc_seconds_count", labels) or 0.0


async def test_a_stream_delivers_what_its_handler_yields_and_ends_well(notes: Running) -> None:
    assert await read(watch(notes, 3)) == (["0", "1", "2"], None)
    assert NoteServicer.closed == [to_wire("site", SITE)]


async def test_a_stream_tells_a_patient_nothing_that_is_for_staff_only(notes: Running) -> None:
    patient = notes.token("ROLE_PATIENT", patient=to_wire("patient", new_id()))
    said = [[(each.note.title, each.note.remark) async for each in watch(notes, 1, token)] for token in (None, patient)]
    assert said == [[("0", "for staff")], [("0", "")]]


async def test_a_stream_delivers_each_message_when_it_is_there(notes: Running) -> None:
    stream = watch(notes, 2, pause_ms=60_000)
    assert (await asyncio.wait_for(stream.read(), timeout=5)).note.title == "0"
    stream.cancel()


async def test_a_stream_ends_when_its_token_does(notes: Running) -> None:
    token = notes.token("ROLE_FRONT_DESK", exp=int(time.time()) + 2)
    titles, end = await read(watch(notes, 100, token, pause_ms=300))
    assert end
    assert (end.code, end.reason) == (StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")
    assert 1 <= len(titles) <= 8
    await until_closed()


async def test_a_stream_of_its_greatest_age_ends_well_so_that_it_is_opened_again(
    notes: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.endpoint.STREAM_AGE_MAX_S", 0.5)
    titles, end = await read(watch(notes, 100, pause_ms=50))
    assert end is None
    assert 1 <= len(titles) < 20
    await until_closed()


async def test_a_reader_that_takes_nothing_is_dropped(notes: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages stay below the bound of the client, and fill what the connection takes unread."""
    monkeypatch.setattr("chassis.endpoint.STREAM_WRITE_S", 0.3)
    monkeypatch.setattr("chassis.endpoint.REFUSAL_S", 0.1)
    exhausted = ended("RESOURCE_EXHAUSTED")
    stream = aiter(watch(notes, 1000, title_size=500_000))
    assert (await anext(stream)).note.title.endswith(".0")
    await until_closed()
    await asyncio.sleep(0.3)
    assert ended("RESOURCE_EXHAUSTED") == exhausted + 1
    assert notes.server._in_hand == set()
    titles, end = await read(stream)
    assert len(titles) < 999
    assert end
    assert end.reason == "OVERLOADED"


async def test_a_reader_that_goes_away_stops_the_handler(notes: Running) -> None:
    cancelled = ended("CANCELLED")
    stream = watch(notes, 100, pause_ms=60_000)
    await stream.read()
    stream.cancel()
    await until_closed()
    for _ in range(100):
        if ended("CANCELLED") == cancelled + 1:
            return
        await asyncio.sleep(0.01)
    pytest.fail("it is not counted as cancelled")


@pytest.mark.parametrize("count", [0, 2])
async def test_a_refusal_before_or_after_the_first_message_reaches_the_reader(notes: Running, count: int) -> None:
    titles, end = await read(watch(notes, count, ending=pb.ENDING_REFUSAL))
    assert len(titles) == count
    assert end
    assert (end.code, end.reason) == (StatusCode.NOT_FOUND, "NOTE_NOT_FOUND")


@pytest.mark.parametrize("count", [0, 2])
async def test_an_unforeseen_error_before_or_after_the_first_message_tells_nothing(notes: Running, count: int) -> None:
    titles, end = await read(watch(notes, count, ending=pb.ENDING_BUG))
    assert len(titles) == count
    assert end
    assert (end.code, end.message, end.reason) == (StatusCode.INTERNAL, "internal error", "")


async def test_a_stream_is_refused_at_the_door_like_any_call(notes: Running) -> None:
    _, end = await read(watch(notes, 1, "nonsense"))
    assert end
    assert end.reason == "TOKEN_REFUSED"
    _, end = await read(watch(notes, 1, notes.token("ROLE_FRONT_DESK", sites=[new_id()])))
    assert end
    assert end.reason == "ACCESS_DENIED"
    assert NoteServicer.closed == []


async def test_a_call_whose_caller_goes_away_is_counted_as_cancelled_and_not_as_done(notes: Running) -> None:
    labels = {"method": "atoll.notes.v1.NoteService.CreateNote"}

    def calls(code: str) -> float:
        return REGISTRY.get_sample_value("atoll_rpc_seconds_count", labels | {"code": code}) or 0.0

    before = calls("OK"), calls("CANCELLED")
    async with notes.admin.transaction():
        await notes.admin.execute("LOCK TABLE note")
        stub = notes.stub(pb_grpc.NoteServiceStub)
        call = stub.CreateNote(
            create_request(SITE), metadata=[("authorization", f"Bearer {notes.token('ROLE_FRONT_DESK')}")], timeout=10
        )
        await asyncio.sleep(0.3)
        call.cancel()
        await asyncio.sleep(0.3)
    assert (calls("OK"), calls("CANCELLED")) == (before[0], before[1] + 1)
    assert await notes.count("note") == 0


async def test_work_that_outlives_its_deadline_is_undone(notes: Running) -> None:
    """On a busy machine the caller's own clock may be first: then it is tried again."""
    stub = notes.stub(pb_grpc.NoteServiceStub)
    async with notes.admin.transaction():
        await notes.admin.execute("LOCK TABLE note")
        for within_s in (0.5, 0.7, 1, 1.5):
            call = notes.call(stub.CreateNote, create_request(SITE), notes.token("ROLE_FRONT_DESK"), within_s=within_s)
            if (refused := await refusal(call)).reason:
                break
    assert (refused.code, refused.reason) == (StatusCode.DEADLINE_EXCEEDED, "TOO_LATE")  # The server's own answer.
    assert [await notes.count(table) for table in ("note", "idempotency", "audit", "outbox")] == [0, 0, 0, 0]
    assert notes.pool.get_idle_size() == notes.pool.get_size()
