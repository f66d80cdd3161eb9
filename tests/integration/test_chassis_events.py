"""From the outbox over NATS to a handler: at least once on the wire, once in effect."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from nats import connect as connect_to_nats
from nats.aio.client import Client as NATS
from nats.errors import OutboundBufferLimitError
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, RawStreamMsg, StreamConfig
from nats.js.errors import NotFoundError
from prometheus_client import REGISTRY

from atoll.common.v1.access_pb2 import AUDIT_NONE
from chassis.call import Call
from chassis.consumer import ACK_WAIT_S, ATTEMPTS_MAX, FETCH_S, Consumer, Letter, Together, letter_in, letter_of
from chassis.durability import _says_it_is_durable as says_it_is_durable
from chassis.durability import check_durability
from chassis.election import cancelled
from chassis.errors import DomainError, Kind, Overloaded, TryAgain
from chassis.ids import new_id, to_wire
from chassis.provision import DatabaseUrls
from chassis.relay import Relay, publish_again
from chassis.service import Events, _background, _elected, ensure_stream
from chassis.settings import Settings
from deploy.local.nats import nats
from deploy.local.nats import nats_url as address_of_nats
from deploy.local.process import free_port, start
from tests.integration.conftest import DUPLICATES_S
from tests.support.notes import (
    SERVICE,
    NoteFiled,
    NoteNotFound,
    NoteStore,
    NoteTaken,
    ShelvesOpened,
    create_request,
    file_note,
    open_shelves,
    pb,
    pb_grpc,
)
from tests.support.service import Running

SITE = new_id()
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
Handle = Callable[[NoteStore, Any], Awaitable[None]]


async def take_note(notes: Running, title: str = "", **metadata: Any) -> Any:
    stub = notes.stub(pb_grpc.NoteServiceStub)
    request = create_request(SITE, **({"title": title} if title else {}))
    answer = await notes.call(stub.CreateNote, request, notes.token("ROLE_FRONT_DESK"), **metadata)
    return request, answer.note


async def emit(notes: Running, event: Any, about: UUID | None = None, chain_id: UUID | None = None) -> None:
    async def work(store: NoteStore) -> None:
        store.emit(event, about=about or new_id(), version=1)

    call = Call(chain_id or notes.chain_id, None, "user", "job", str(uuid4()), AUDIT_NONE, notes.now)
    await notes.db.job(call, NoteStore, work)


def note_taken(shelf_id: UUID | None = None) -> Any:
    shelf = to_wire("shelf", shelf_id) if shelf_id else ""
    return NoteTaken(note_id=to_wire("note", new_id()), site_id=to_wire("site", SITE), shelf_id=shelf)


def shelves(*ids: UUID) -> Any:
    return ShelvesOpened(shelves=[{"id": to_wire("shelf", id)} for id in ids])


@dataclass
class Reader:
    notes: Running
    js: JetStreamContext
    pulls: dict[str, Any]
    handled: list[str] = field(default_factory=list)

    def consumer(self, handle: Handle = file_note) -> Consumer:
        async def counted(store: NoteStore, event: Any) -> None:
            self.handled.append(event.meta.event_id)
            await handle(store, event)

        reads = {NoteTaken: counted, ShelvesOpened: open_shelves}
        return Consumer(self.notes.db, "notes", NoteStore, reads, self.notes.clock)

    async def receive(self, handle: Handle = file_note, stream: str = "NOTES") -> int:
        """Takes one message to `handle`; the number of its deliveries."""
        [msg] = await self.pulls[stream].fetch(1, timeout=3)
        await self.consumer(handle).receive(msg)
        return int(msg.metadata.num_delivered)

    async def nothing_left(self, stream: str = "NOTES") -> bool:
        """Whether every message is done with, within two seconds."""
        for _ in range(40):
            info = await self.pulls[stream].consumer_info()
            if (info.num_pending, info.num_ack_pending) == (0, 0):
                return True
            await asyncio.sleep(0.05)
        return False

    async def letters(self) -> list[tuple[Any, ...]]:
        rows = await self.notes.admin.fetch("SELECT reason, waits_for, attempts, replay_at FROM dead_letter")
        return [tuple(row) for row in rows]

    async def replay_all(self, handle: Handle = file_note) -> list[bool]:
        rows = await self.notes.admin.fetch("SELECT * FROM dead_letter ORDER BY buried_at")
        return [await self.consumer(handle).replay(letter_of(row)) for row in rows]


@pytest_asyncio.fixture
async def reader(notes: Running, js: JetStreamContext) -> Reader:
    pulls = {}
    for stream, fact in (("NOTES", "notes.v1.note.taken.*"), ("SHELVES", "shelves.v1.shelf.opened.*")):
        await js.add_consumer(stream, ConsumerConfig(ack_wait=ACK_WAIT_S, filter_subjects=[fact]), durable_name="notes")
        pulls[stream] = await js.pull_subscribe_bind(consumer="notes", stream=stream)
    return Reader(notes, js, pulls)


@pytest_asyncio.fixture
async def elsewhere(js: JetStreamContext) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """Publishes an event of another service, as its relay would."""

    async def publish(event: Any, chain_id: UUID) -> None:
        chain, event_id = to_wire("chain", chain_id), str(uuid4())
        event.meta.event_id, event.meta.chain_id = event_id, chain
        headers = {"Nats-Msg-Id": event_id}
        await js.publish(f"shelves.v1.shelf.opened.{chain}", event.SerializeToString(), headers=headers)

    yield publish


@dataclass
class Crowd:
    """Takes what comes together, and counts how much came at once."""

    reader: Reader
    sizes: list[int] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    consumer: Consumer = field(init=False)

    def __post_init__(self) -> None:
        notes = self.reader.notes
        self.consumer = Consumer(notes.db, "notes", NoteStore, {NoteTaken: Together(self.take)}, notes.clock)

    async def take(self, store: NoteStore, events: Sequence[Any]) -> None:
        self.sizes.append(len(events))
        for event in events:
            await file_note(store, event)
            if event.note_id in self.refused:
                raise NoteNotFound()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        consuming = asyncio.create_task(self.consumer.run(self.reader.js, "NOTES"))
        try:
            yield
        finally:
            await cancelled(consuming)


async def stored(js: JetStreamContext, stream: str = "NOTES") -> list[RawStreamMsg]:
    count = (await js.stream_info(stream)).state.messages
    return [await js.get_msg(stream, seq=n) for n in range(1, count + 1)]


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 30) -> None:
    for _ in range(int(within_s / 0.02)):
        if await holds():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it never came about")


# The way out


async def test_what_a_change_emits_is_published_once(notes: Running, relay: Relay, js: JetStreamContext) -> None:
    _, note = await take_note(notes)
    assert [await relay.drain(), await relay.drain()] == [1, 0]
    [msg] = await stored(js)
    event = NoteTaken.FromString(msg.data)
    assert (msg.subject, event.note_id) == (f"notes.v1.note.taken.{to_wire('chain', notes.chain_id)}", note.id)
    assert msg.headers is not None
    assert msg.headers["Nats-Msg-Id"] == event.meta.event_id


async def test_an_event_says_who_caused_it_when_where_and_how_often_its_thing_changed(
    notes: Running, relay: Relay, js: JetStreamContext
) -> None:
    request, _ = await take_note(notes, traceparent=TRACE)
    await relay.drain()
    [msg] = await stored(js)
    meta = NoteTaken.FromString(msg.data).meta
    assert UUID(meta.event_id)
    assert meta.occur_time.ToDatetime(tzinfo=UTC) == notes.now
    assert (meta.chain_id, meta.site_id) == (to_wire("chain", notes.chain_id), request.site_id)
    assert (meta.actor, meta.cause, meta.aggregate_version) == ("user", request.request_id, 1)
    assert meta.traceparent.split("-")[1] == TRACE.split("-")[1]
    assert msg.headers is not None
    assert msg.headers["traceparent"] == meta.traceparent


async def test_events_leave_in_the_order_in_which_they_were_recorded(
    notes: Running, relay: Relay, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.relay.BATCH_MAX", 3)
    about, events = new_id(), [note_taken() for _ in range(10)]

    async def work(store: NoteStore) -> None:
        for event in events:
            store.emit(event, about=about)

    await notes.db.job(notes.inside("job"), NoteStore, work)
    while await relay.drain():
        continue
    assert [NoteTaken.FromString(msg.data).note_id for msg in await stored(js)] == [each.note_id for each in events]


async def test_an_event_that_commits_after_a_later_one_is_published_all_the_same(
    notes: Running, relay: Relay, js: JetStreamContext
) -> None:
    """Its position is the lower one: a relay that goes by "after the last position" would never see it."""
    recorded, commit = asyncio.Event(), asyncio.Event()

    async def slowly(store: NoteStore) -> None:
        store.emit(note_taken(), about=new_id())
        await store.settle_job()
        store._events.clear()
        recorded.set()
        await commit.wait()

    slow = asyncio.create_task(notes.db.job(notes.inside("job"), NoteStore, slowly))
    await recorded.wait()
    await emit(notes, note_taken())
    assert await relay.drain() == 1
    commit.set()
    await slow
    assert await relay.drain() == 1
    assert len(await stored(js)) == 2


async def test_two_relays_never_publish_the_same_row(notes: Running, relay: Relay) -> None:
    await emit(notes, note_taken())
    async with relay._pool.acquire() as conn, conn.transaction():
        assert await conn.fetch("SELECT FROM outbox FOR UPDATE")  # A relay in the midst of its batch.
        assert await asyncio.wait_for(relay.drain(), timeout=2) == 0
    assert await relay.drain() == 1


async def test_events_that_nats_does_not_acknowledge_stay_in_the_outbox_and_are_not_waited_for_for_ever(
    notes: Running, relay: Relay, nats_client: NATS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.relay.ACKS_S", 0.2)
    await emit(notes, note_taken())

    async def ignored(*_: Any, **__: Any) -> None:
        await asyncio.sleep(0)

    with monkeypatch.context() as deaf:
        deaf.setattr(nats_client, "publish", ignored)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await relay.drain()
    assert relay._js.publish_async_pending() == 0
    assert await relay.drain() == 1


async def test_a_batch_that_breaks_off_leaves_nothing_to_wait_for(
    notes: Running, relay: Relay, nats_client: NATS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client takes no more once it waits for too many, and one more for each batch would add up."""
    for _ in range(3):
        await emit(notes, note_taken())
    published = 0

    async def full(*_: Any, **__: Any) -> None:
        nonlocal published
        published += 1
        if published == 3:
            raise OutboundBufferLimitError

    with monkeypatch.context() as filled:
        filled.setattr(nats_client, "publish", full)
        with pytest.raises(OutboundBufferLimitError):
            await relay.drain()
    await asyncio.sleep(0)
    assert relay._js.publish_async_pending() == 1  # The one that it refused, which it does not take back itself.
    assert await relay.drain() == 3


async def test_events_wait_in_the_outbox_while_nats_is_away(
    notes: Running, relay: Relay, nats_client: NATS, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.relay.RETRY_S", 0.05)
    await emit(notes, note_taken())
    with monkeypatch.context() as away:
        away.setattr(type(nats_client), "is_connected", property(lambda _: False))
        running = asyncio.create_task(relay.run())
        await asyncio.sleep(0.3)
        assert await notes.admin.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NULL") == 1
        assert nats_client.pending_data_size == 0
    await until(lambda: all_published(notes))
    running.cancel()
    assert len(await stored(js)) == 1


async def all_published(notes: Running) -> bool:
    return not await notes.admin.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NULL")


async def test_events_recorded_since_an_instant_are_published_again_on_demand(
    notes: Running, relay: Relay, js: JetStreamContext
) -> None:
    await emit(notes, note_taken())
    await relay.drain()
    await notes.admin.execute("UPDATE outbox SET created_at = now() - interval '2 hours'")
    for _ in range(2):
        await emit(notes, note_taken())
    await relay.drain()
    await emit(notes, note_taken())  # Not published yet: nothing to put back.
    await asyncio.sleep(2 * DUPLICATES_S)
    assert await publish_again(relay._pool, datetime.now(UTC) - timedelta(hours=1)) == 2
    assert await relay.drain() == 3
    assert len(await stored(js)) == 6


# The way in


async def test_a_published_event_reaches_its_handler_and_is_done_with(
    notes: Running, relay: Relay, reader: Reader, js: JetStreamContext
) -> None:
    await take_note(notes)
    await relay.drain()
    consuming = asyncio.create_task(reader.consumer().run(js, "NOTES"))
    assert await reader.nothing_left()
    consuming.cancel()
    assert len(reader.handled) == 1
    assert await notes.count("filing") == 1


async def test_an_event_delivered_twice_is_handled_once(notes: Running, relay: Relay, reader: Reader) -> None:
    await emit(notes, note_taken())
    await relay.drain()
    await asyncio.sleep(2 * DUPLICATES_S)  # Past the stream's duplicate window, as after a long outage of the relay.
    await notes.admin.execute("UPDATE outbox SET published_at = NULL")
    assert await relay.drain() == 1
    for _ in range(2):
        await reader.receive()
    assert len(reader.handled) == 1
    assert await notes.count("filing") == 1
    assert await reader.nothing_left()


async def test_copies_handled_at_once_have_their_effect_once(notes: Running, relay: Relay, reader: Reader) -> None:
    """The second waits for the receipt of the first, which has not committed yet."""
    await emit(notes, note_taken())
    await relay.drain()
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(store: NoteStore, event: Any) -> None:
        entered.set()
        await leave.wait()
        await file_note(store, event)

    [msg] = await reader.pulls["NOTES"].fetch(1, timeout=3)
    letter = Letter("x", msg.subject, msg.data)
    first = asyncio.create_task(reader.consumer(slow).handle(letter))
    await entered.wait()
    second = asyncio.create_task(reader.consumer().handle(letter))
    await asyncio.sleep(0.2)
    assert not second.done()
    leave.set()
    await asyncio.gather(first, second)
    assert len(reader.handled) == 1


async def test_an_effect_and_its_receipt_and_its_events_commit_together_or_not_at_all(
    notes: Running, relay: Relay, reader: Reader
) -> None:
    async def fail(store: NoteStore, event: Any) -> None:
        await file_note(store, event)
        raise OSError

    await emit(notes, note_taken())
    await relay.drain()
    await reader.receive(fail)
    assert [await notes.count(table) for table in ("filing", "inbox", "outbox")] == [0, 0, 1]


async def test_a_trace_runs_from_the_rpc_through_the_event_to_what_its_handler_emits(
    notes: Running, relay: Relay, reader: Reader
) -> None:
    calls = list[Call]()

    async def handle(store: NoteStore, event: Any) -> None:
        calls.append(store.call)
        await file_note(store, event)

    await take_note(notes, traceparent=TRACE)
    await relay.drain()
    await reader.receive(handle)
    (_, taken), (_, filed) = await notes.published()
    assert isinstance(filed, NoteFiled)
    spans = [TRACE, taken.meta.traceparent, calls[0].traceparent]
    assert {span.split("-")[1] for span in spans} == {TRACE.split("-")[1]}
    assert len({span.split("-")[2] for span in spans}) == 3
    assert filed.meta.traceparent == calls[0].traceparent
    assert (filed.meta.cause, filed.meta.actor) == (taken.meta.event_id, "notes")


async def test_a_handler_sees_every_site_of_the_events_chain_and_business_time(
    notes: Running, relay: Relay, reader: Reader
) -> None:
    calls, theirs = list[Call](), new_id()

    async def handle(store: NoteStore, event: Any) -> None:
        calls.append(store.call)

    await emit(notes, note_taken(), chain_id=theirs)
    await relay.drain()
    await reader.receive(handle)
    [call] = calls
    assert (call.chain_id, call.sites, call.actor, call.method) == (theirs, None, "notes", "notes")
    assert call.now == notes.now


async def test_an_event_that_a_rule_refuses_is_buried_and_not_tried_again(
    notes: Running, relay: Relay, reader: Reader
) -> None:
    async def refuse(store: NoteStore, event: Any) -> None:
        await file_note(store, event)
        raise NoteNotFound()

    await emit(notes, note_taken())
    await relay.drain()
    await reader.receive(refuse)
    assert await reader.letters() == [("NOTE_NOT_FOUND", None, 1, None)]
    assert await notes.count("filing") == 0
    assert await reader.nothing_left()


async def test_what_cannot_be_decoded_is_buried(notes: Running, reader: Reader, js: JetStreamContext) -> None:
    await js.publish(f"notes.v1.note.taken.{to_wire('chain', notes.chain_id)}", b"\xff\xff")
    await reader.receive()
    assert await reader.letters() == [("DecodeError", None, 1, None)]
    assert await reader.nothing_left()


async def test_an_event_that_does_not_say_of_which_chain_it_is_is_buried(
    notes: Running, reader: Reader, js: JetStreamContext
) -> None:
    await js.publish(f"notes.v1.note.taken.{to_wire('chain', notes.chain_id)}", b"")
    await reader.receive()
    assert await reader.letters() == [("BAD_ID", None, 1, None)]
    assert await reader.nothing_left()


async def test_a_message_of_a_chain_that_is_none_is_given_up(reader: Reader, js: JetStreamContext) -> None:
    """There is no chain whose dead letter it could be."""
    await js.publish("notes.v1.note.taken.nonsense", b"\xff\xff")
    await reader.receive()
    assert await reader.nothing_left()


class Stale(DomainError):
    kind, reason, message = Kind.STALE, "STALE", "for the test"


@pytest.mark.parametrize("failure", [OSError(), TryAgain(), Overloaded(), Stale(), ZeroDivisionError()], ids=repr)
async def test_what_fails_for_now_comes_again_and_is_buried_in_the_end(
    notes: Running, relay: Relay, reader: Reader, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.consumer.RETRY_DELAYS_S", (0.01,) * (ATTEMPTS_MAX - 1))

    async def fail(store: NoteStore, event: Any) -> None:
        raise failure

    await emit(notes, note_taken())
    await relay.drain()
    assert [await reader.receive(fail) for _ in range(ATTEMPTS_MAX)] == list(range(1, ATTEMPTS_MAX + 1))
    assert await notes.count("dead_letter") == 1
    assert await reader.nothing_left()


async def test_what_names_something_not_yet_known_comes_again_after_a_growing_while(
    notes: Running, relay: Relay, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.consumer.WAIT_DELAYS_S", (0.2, 0.6))
    await emit(notes, note_taken(shelf_id=new_id()))
    await relay.drain()
    loop, times = asyncio.get_running_loop(), list[float]()
    for _ in range(4):
        await reader.receive()
        times.append(loop.time())
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits[0] > 0.15
    assert min(waits[1:]) > 0.55  # The last one repeats.
    assert await reader.letters() == []


async def wait_too_long(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.consumer.WAIT_MAX_S", 0.0)
    await reader.receive()


async def test_what_waits_too_long_is_buried_under_what_it_waits_for(
    notes: Running, relay: Relay, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = new_id()
    await emit(notes, note_taken(shelf))
    await relay.drain()
    await wait_too_long(reader, monkeypatch)
    [letter] = await reader.letters()
    assert letter[:3] == ("NOT_YET_KNOWN", to_wire("shelf", shelf), 1)
    assert await reader.nothing_left()


async def test_who_was_away_for_longer_than_it_waits_waits_all_the_same_for_what_an_old_event_names(
    notes: Running, relay: Relay, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its company may be in another stream, which the reader has not come to yet."""
    monkeypatch.setattr("chassis.consumer.WAIT_MAX_S", 0.5)
    monkeypatch.setattr("chassis.consumer.WAIT_DELAYS_S", (0.3,))
    await emit(notes, note_taken(new_id()))
    await relay.drain()
    await asyncio.sleep(0.6)
    for letters in (0, 0, 1):  # Before it had waited at all, after 0.3 s, and after 0.6 s.
        await reader.receive()
        assert await notes.count("dead_letter") == letters


async def opened_elsewhere(reader: Reader, shelf: UUID) -> None:
    """The event that makes the shelf known, handled while another is: the streams are read side by side."""
    chain, opened = to_wire("chain", reader.notes.chain_id), shelves(shelf)
    opened.meta.event_id, opened.meta.chain_id = str(uuid4()), chain
    letter = Letter(opened.meta.event_id, f"shelves.v1.shelf.opened.{chain}", opened.SerializeToString())
    await reader.consumer().handle(letter)


def burying_after(reader: Reader, shelf: UUID) -> Consumer:
    """Finds the shelf unknown; before it has written that down, the shelf is known, and no letter waits for it."""
    consumer = reader.consumer()
    bury = consumer.bury

    async def late(letter: Letter, error: Exception) -> None:
        await opened_elsewhere(reader, shelf)
        await bury(letter, error)

    consumer.bury = late  # type: ignore[method-assign]
    return consumer


async def test_a_letter_is_tried_again_by_itself_if_what_it_waits_for_came_while_it_was_being_buried(
    notes: Running, relay: Relay, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.consumer.WAIT_MAX_S", 0.0)
    shelf = new_id()
    await emit(notes, note_taken(shelf))
    await relay.drain()
    [msg] = await reader.pulls["NOTES"].fetch(1, timeout=3)
    await burying_after(reader, shelf).receive(msg)
    assert await notes.count("dead_letter") == 1
    replaying = asyncio.create_task(reader.consumer().run_replays(relay._pool))
    await until(partial(no_letters, reader))
    await cancelled(replaying)
    assert await notes.count("filing") == 1


async def test_a_letter_is_tried_once_more_if_what_it_waits_for_came_while_it_was_being_tried(
    notes: Running, relay: Relay, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.consumer.REPLAY_DELAYS_S", (3600.0,))
    shelf = new_id()
    await emit(notes, note_taken(shelf))
    await relay.drain()
    await wait_too_long(reader, monkeypatch)
    [row] = await notes.admin.fetch("SELECT * FROM dead_letter")
    assert not await burying_after(reader, shelf).replay(letter_of(row))
    replaying = asyncio.create_task(reader.consumer().run_replays(relay._pool))
    await until(partial(no_letters, reader))
    await cancelled(replaying)
    assert await notes.count("filing") == 1


async def test_a_letter_that_waits_is_tried_again_after_a_growing_while_and_not_before(
    notes: Running, relay: Relay, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.consumer.REPLAY_DELAYS_S", (100.0, 1000.0))
    await emit(notes, note_taken(new_id()))
    await relay.drain()
    await wait_too_long(reader, monkeypatch)
    for pause_s in (100, 1000, 1000):  # The last one repeats.
        [(*_, replay_at)] = await reader.letters()
        assert pause_s - 60 < (replay_at - datetime.now(UTC)).total_seconds() <= pause_s
        await reader.replay_all()
    replaying = asyncio.create_task(reader.consumer().run_replays(relay._pool))
    await asyncio.sleep(0.3)
    await cancelled(replaying)
    [(_, _, attempts, _)] = await reader.letters()
    assert attempts == 4


def settings_of(urls: DatabaseUrls, nats_url: str, **production: Any) -> Settings:
    development = {"mode": "development", "issuer": "x", "jwks": "x"}
    return Settings(
        database_url=urls.service,
        relay_database_url=urls.relay,
        sealer_database_url=urls.sealer,
        nats_url=nats_url,
        **(production or development),
    )


async def at_once(client: NATS) -> NATS:
    return client


async def test_a_letter_is_replayed_by_itself_when_an_event_that_names_what_it_waits_for_is_handled(
    notes: Running,
    relay: Relay,
    reader: Reader,
    nats_client: NATS,
    nats_url: str,
    elsewhere: Callable[..., Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the work of the elected process, in which two streams are read; the shelf is one of several."""
    monkeypatch.setattr("chassis.consumer.REPLAY_DELAYS_S", (3600.0,))
    shelf = new_id()
    await emit(notes, note_taken(shelf))
    await relay.drain()
    await wait_too_long(reader, monkeypatch)
    settings, pool = settings_of(notes.urls, nats_url), relay._pool
    work = _elected(SERVICE, settings, notes.db, partial(at_once, nats_client), notes.clock, pool, pool)
    parts = [name for name in work if name.startswith(("consumer", "replays"))]
    assert len(parts) == 3
    running = [asyncio.ensure_future(work[name]()) for name in parts]
    await elsewhere(shelves(new_id()), notes.chain_id)  # Not the one.
    await elsewhere(shelves(shelf), new_id())  # Not the chain.
    await until(lambda: nothing_at(reader, "SHELVES"))
    assert len(await reader.letters()) == 1
    await elsewhere(shelves(new_id(), shelf), notes.chain_id)
    await until(partial(no_letters, reader))
    for task in running:
        assert not task.done()
        task.cancel()
    assert await notes.count("filing") == 1


async def nothing_at(reader: Reader, stream: str) -> bool:
    return await reader.nothing_left(stream)


async def no_letters(reader: Reader) -> bool:
    return await reader.letters() == []


async def test_a_replayed_letter_that_is_handled_is_no_letter_any_more(
    notes: Running, relay: Relay, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = new_id()
    await emit(notes, note_taken(shelf))
    await relay.drain()
    await wait_too_long(reader, monkeypatch)
    await notes.deliver(shelves(shelf))
    assert await notes.count("dead_letter") == 1
    assert await reader.replay_all() == [True]
    assert await reader.letters() == []
    assert await notes.count("filing") == 1


async def test_a_replayed_letter_that_fails_again_stays_with_one_more_attempt(
    notes: Running, relay: Relay, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(store: NoteStore, event: Any) -> None:
        raise NoteNotFound()

    shelf = new_id()
    await emit(notes, note_taken(shelf))
    await relay.drain()
    await wait_too_long(reader, monkeypatch)
    await notes.admin.execute("UPDATE dead_letter SET replay_at = now()")
    assert await reader.replay_all() == [False]
    [letter] = await reader.letters()
    assert letter[:3] == ("NOT_YET_KNOWN", to_wire("shelf", shelf), 2)
    assert await reader.replay_all(refuse) == [False]
    assert await reader.letters() == [("NOTE_NOT_FOUND", None, 3, None)]


async def test_letters_are_replayed_when_asked_for_and_not_before(notes: Running, relay: Relay, reader: Reader) -> None:
    async def refuse(store: NoteStore, event: Any) -> None:
        raise NoteNotFound()

    for _ in range(2):
        await emit(notes, note_taken())
    await relay.drain()
    for _ in range(2):
        await reader.receive(refuse)
    replaying = asyncio.create_task(reader.consumer().run_replays(relay._pool))
    await asyncio.sleep(0.2)
    assert len(await reader.letters()) == 2
    asked = "UPDATE dead_letter SET replay_at = now() WHERE message_id = (SELECT min(message_id) FROM dead_letter)"
    await relay._pool.execute(asked)
    await until(partial(letters_left, reader, 1))
    replaying.cancel()
    assert await notes.count("filing") == 1


async def letters_left(reader: Reader, count: int) -> bool:
    return len(await reader.letters()) == count


async def test_a_poisoned_message_does_not_hold_up_others(
    notes: Running, relay: Relay, reader: Reader, js: JetStreamContext
) -> None:
    events = [note_taken(shelf_id=new_id()), note_taken(), note_taken()]
    for event in events:
        await emit(notes, event)
    await relay.drain()
    consuming = asyncio.create_task(reader.consumer().run(js, "NOTES"))
    await until(partial(filings_are, notes, 2), within_s=3)
    consuming.cancel()
    assert await reader.letters() == []


async def test_what_a_reader_had_asked_for_when_it_ended_comes_to_the_next_at_once(
    notes: Running, relay: Relay, reader: Reader, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the election is lost and won again: the connection, and what was asked for on it, outlive the reader."""
    monkeypatch.setattr("chassis.consumer.FETCH_S", 20.0)

    async def asks() -> bool:
        return bool((await reader.pulls["NOTES"].consumer_info()).num_waiting)

    first = asyncio.create_task(reader.consumer().run(js, "NOTES"))
    await until(asks)
    await cancelled(first)
    second = asyncio.create_task(reader.consumer().run(js, "NOTES"))
    await until(asks)
    await take_note(notes)
    await relay.drain()
    await until(partial(filings_are, notes, 1), within_s=5)
    await cancelled(second)


async def filings_are(notes: Running, count: int) -> bool:
    return await notes.count("filing") == count


async def test_what_can_be_neither_handled_nor_buried_is_left_and_others_go_on(
    notes: Running, relay: Relay, reader: Reader, js: JetStreamContext
) -> None:
    """As with a database that refuses the letter: the message comes again after ACK_WAIT_S."""
    await notes.admin.execute("ALTER TABLE dead_letter ADD CHECK (reason <> 'NOTE_NOT_FOUND')")
    poisoned, well = note_taken(), note_taken()

    async def handle(store: NoteStore, event: Any) -> None:
        if event.note_id == poisoned.note_id:
            raise NoteNotFound()
        await file_note(store, event)

    await emit(notes, poisoned)
    await emit(notes, well)
    await relay.drain()
    consuming = asyncio.create_task(reader.consumer(handle).run(js, "NOTES"))
    await until(partial(filings_are, notes, 1), within_s=3)
    assert not consuming.done()
    consuming.cancel()
    assert (await reader.pulls["NOTES"].consumer_info()).num_ack_pending == 1


async def test_what_can_be_neither_handled_nor_buried_comes_again_until_it_can(
    notes: Running, relay: Relay, reader: Reader, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a reader, too, whose durable consumer an earlier version made, with a bound of NATS's own."""
    monkeypatch.setattr("chassis.consumer.RETRY_DELAYS_S", (0.01,) * (ATTEMPTS_MAX - 1))
    monkeypatch.setattr("chassis.consumer.ACK_WAIT_S", 0.3)
    earlier = ConsumerConfig(filter_subjects=["notes.v1.note.taken.*"], max_deliver=ATTEMPTS_MAX + 1)
    await js.add_consumer("NOTES", earlier, durable_name="notes")
    await notes.admin.execute("ALTER TABLE dead_letter ADD CONSTRAINT disk_full CHECK (reason <> 'NOTE_NOT_FOUND')")

    async def refuse(store: NoteStore, event: Any) -> None:
        raise NoteNotFound()

    async def delivered(count: int) -> bool:
        return len(reader.handled) >= count

    await emit(notes, note_taken())
    await relay.drain()
    consuming = asyncio.create_task(reader.consumer(refuse).run(js, "NOTES"))
    await until(partial(delivered, ATTEMPTS_MAX + 3))
    assert await reader.letters() == []
    await notes.admin.execute("ALTER TABLE dead_letter DROP CONSTRAINT disk_full")
    await until(partial(letters_left, reader, 1))
    assert await reader.nothing_left()
    await cancelled(consuming)


async def test_the_loss_of_the_whole_jetstream_store_is_made_good_from_the_outbox_and_changes_nothing_twice(
    notes: Running, relay: Relay, js: JetStreamContext, nats_client: NATS, nats_url: str
) -> None:
    """With the elected process running all the while: the store goes under its hands."""
    for _ in range(3):
        await emit(notes, note_taken())
    settings = settings_of(notes.urls, nats_url)
    work = _elected(SERVICE, settings, notes.db, partial(at_once, nats_client), notes.clock, relay._pool, relay._pool)
    parts = [work["relay"], work["consumer of NOTES"]]

    async def kept(start: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await start()
            except Exception:
                await asyncio.sleep(0.05)

    running = [asyncio.create_task(kept(part)) for part in parts]
    await until(partial(filings_are, notes, 3))
    await js.delete_stream("NOTES")
    await emit(notes, note_taken())  # Finds no stream.
    await until(partial(filings_are, notes, 4), within_s=15)
    assert await publish_again(relay._pool, datetime.now(UTC) - timedelta(hours=1)) >= 4
    await until(lambda: all_published(notes))
    info = partial(js.consumer_info, "NOTES", "notes")

    async def all_read() -> bool:
        state = await info()
        return (state.num_pending, state.num_ack_pending) == (0, 0)

    await until(all_read)
    for task in running:
        task.cancel()
    assert await notes.count("filing") == 4
    assert await notes.count("dead_letter") == 0


async def test_a_service_that_starts_while_nats_is_away_does_all_else_and_publishes_once_it_is_there(
    notes: Running, tmp_path: Path
) -> None:
    done = asyncio.Event()

    async def job(*_: Any) -> None:
        done.set()
        await asyncio.sleep(3600)

    async def sealed() -> bool:
        return await notes.count("audit_seal") == 1

    await take_note(notes)
    port = free_port()
    settings = settings_of(notes.urls, address_of_nats(port))
    background = asyncio.create_task(_background(replace(SERVICE, jobs=[job]), settings, notes.db, notes.clock))
    try:
        await until(sealed, within_s=10)
        await asyncio.wait_for(done.wait(), 5)
        assert not await all_published(notes)
        program = nats(tmp_path / "nats", port, free_port())
        process = await asyncio.to_thread(start, program, tmp_path / "logs")
        try:
            await until(partial(filings_are, notes, 1))
        finally:
            await cancelled(background)
            await asyncio.to_thread(process.stop)
    finally:
        await cancelled(background)


async def test_production_starts_while_nats_is_away_and_publishes_nothing_before_it_says_how_it_syncs(
    notes: Running, js: JetStreamContext, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.durability.AGAIN_S", 0.05)
    monitor = free_port()
    production: dict[str, Any] = {"mode": "production", "issuer": "https://login.example", "tls_elsewhere": True}
    settings = settings_of(notes.urls, nats_url, nats_monitor_url=f"http://127.0.0.1:{monitor}", **production)
    await check_durability(notes.pool, settings.nats_monitor_url)
    asked = list[str]()

    async def noted(url: str) -> bool:
        asked.append(url)
        return await says_it_is_durable(url)

    async def asked_again() -> bool:
        return len(asked) > 2

    monkeypatch.setattr("chassis.durability._says_it_is_durable", noted)
    await take_note(notes)
    background = asyncio.create_task(_background(SERVICE, settings, notes.db, notes.clock))
    try:
        await until(asked_again, within_s=15)
        assert not await all_published(notes)
        program = nats(tmp_path / "nats", free_port(), monitor)
        process = await asyncio.to_thread(start, program, tmp_path / "logs")
        try:
            await until(partial(filings_are, notes, 1))
        finally:
            await asyncio.to_thread(process.stop)
    finally:
        await cancelled(background)


async def test_a_connection_that_the_client_closed_for_good_is_begun_anew_by_whoever_used_it(
    notes: Running, js: JetStreamContext, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does when NATS tells it of an error that it takes for one of the protocol."""
    clients, connect = list[Any](), connect_to_nats

    async def noted(*args: Any, **options: Any) -> Any:
        clients.append(await connect(*args, **options))
        return clients[-1]

    monkeypatch.setattr("chassis.service.nats.connect", noted)
    await take_note(notes)
    background = asyncio.create_task(_background(SERVICE, settings_of(notes.urls, nats_url), notes.db, notes.clock))
    try:
        await until(partial(filings_are, notes, 1))
        await clients[0]._process_err("'Unknown Protocol Operation'")
        await take_note(notes)
        await until(partial(filings_are, notes, 2), within_s=15)
        assert [client.is_closed for client in clients] == [True, False]
    finally:
        await cancelled(background)


async def test_who_gives_up_waiting_for_nats_leaves_the_connection_to_the_others(nats_url: str) -> None:
    """As one part that ends while the others still wait."""
    events = Events(nats_url)
    first, second = asyncio.create_task(events.connected()), asyncio.create_task(events.connected())
    await asyncio.sleep(0)
    await cancelled(first)
    assert (await second).is_connected
    await events.close()


async def test_a_connection_to_nats_that_failed_is_begun_anew(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events = Events(nats_url)

    async def broken(*_: Any, **__: Any) -> None:
        raise ValueError

    with monkeypatch.context() as once:
        once.setattr("chassis.service.nats.connect", broken)
        with pytest.raises(ValueError, match=r"^$"):
            await events.connected()
    assert (await events.connected()).is_connected
    await events.close()


async def test_a_stream_that_is_there_with_other_settings_is_brought_to_ours(js: JetStreamContext) -> None:
    await ensure_stream(js, "NOTES")
    await ensure_stream(js, "NOTES")
    config = (await js.stream_info("NOTES")).config
    assert (config.duplicate_window, config.max_age) == (120.0, 30 * 24 * 3600.0)
    await js.update_stream(StreamConfig("NOTES", subjects=["notes.>"], duplicate_window=DUPLICATES_S))


async def test_a_reader_that_begins_to_read_another_fact_goes_on_where_it_was(
    notes: Running, relay: Relay, js: JetStreamContext
) -> None:
    """Its durable consumer is there already, for fewer subjects; of the other fact it hears from then on."""
    taken, filed = list[str](), list[str]()

    async def on_taken(store: NoteStore, event: Any) -> None:
        taken.append(event.note_id)

    async def on_filed(store: NoteStore, event: Any) -> None:
        filed.append(event.note_id)

    async def all_read(count: int) -> bool:
        state = await js.consumer_info("NOTES", "notes")
        return len(taken) + len(filed) == count and (state.num_pending, state.num_ack_pending) == (0, 0)

    async def asks_for(subjects: int) -> bool:
        with suppress(NotFoundError):
            return len((await js.consumer_info("NOTES", "notes")).config.filter_subjects or ()) == subjects
        return False

    first, second = {NoteTaken: on_taken}, {NoteTaken: on_taken, NoteFiled: on_filed}
    for count, reads in ((1, first), (3, second)):
        consumer = Consumer(notes.db, "notes", NoteStore, reads, notes.clock)
        consuming = asyncio.create_task(consumer.run(js, "NOTES"))
        await until(partial(asks_for, len(reads)))
        await emit(notes, note_taken())
        if reads is second:
            await emit(notes, NoteFiled(note_id=to_wire("note", new_id())))
        await relay.drain()
        await until(partial(all_read, count))
        await cancelled(consuming)
        await asyncio.sleep(FETCH_S)  # What it had asked for last would still be sent to it.
    assert (len(taken), len(filed)) == (2, 1)


async def test_messages_without_an_id_are_told_apart_by_their_place(
    notes: Running, reader: Reader, js: JetStreamContext
) -> None:
    chain = to_wire("chain", notes.chain_id)
    await js.publish(f"notes.v1.note.taken.{chain}", b"\xff")
    await js.publish(f"shelves.v1.shelf.opened.{chain}", b"\xff")
    await reader.receive()
    await reader.receive(stream="SHELVES")
    rows = await notes.admin.fetch("SELECT message_id FROM dead_letter ORDER BY 1")
    assert [row["message_id"] for row in rows] == ["NOTES 1", "SHELVES 1"]


async def test_what_was_handled_and_buried_is_counted(notes: Running, relay: Relay, reader: Reader) -> None:
    def handled(outcome: str) -> float:
        labels = {"consumer": "notes", "outcome": outcome}
        return REGISTRY.get_sample_value("atoll_events_handled_total", labels) or 0.0

    async def refuse(store: NoteStore, event: Any) -> None:
        raise NoteNotFound()

    before = {outcome: handled(outcome) for outcome in ("done", "buried", "retry")}
    for handle in (file_note, refuse):
        await emit(notes, note_taken())
        await relay.drain()
        await reader.receive(handle)
    assert {outcome: handled(outcome) - count for outcome, count in before.items()} == {
        "done": 1,
        "buried": 1,
        "retry": 0,
    }


async def test_an_event_without_a_subject_is_refused_when_it_is_emitted(notes: Running) -> None:
    with pytest.raises(AssertionError, match=r"atoll\.notes\.v1\.Note lacks"):
        await emit(notes, pb.Note())


async def test_a_letter_is_seen_by_its_chain_only(notes: Running, relay: Relay, reader: Reader) -> None:
    async def refuse(store: NoteStore, event: Any) -> None:
        raise NoteNotFound()

    await emit(notes, note_taken())
    await relay.drain()
    await reader.receive(refuse)
    conn = await asyncpg.connect(notes.urls.service)
    assert await conn.fetchval("SELECT count(*) FROM dead_letter") == 0
    await conn.execute("SELECT set_config('app.chain', $1, false)", str(notes.chain_id))
    assert await conn.fetchval("SELECT count(*) FROM dead_letter") == 1
    await conn.close()


# Many at once


async def test_a_run_of_events_is_handled_in_one_transaction_and_each_of_them_acked(
    notes: Running, relay: Relay, reader: Reader
) -> None:
    taken = [(await take_note(notes))[1].id for _ in range(5)]
    while await relay.drain():
        continue
    crowd = Crowd(reader)
    async with crowd.running():
        assert await reader.nothing_left()
    assert crowd.sizes == [5]
    assert await notes.count("filing") == len(taken)


async def test_one_event_that_is_refused_takes_none_of_its_run_along(
    notes: Running, relay: Relay, reader: Reader
) -> None:
    taken = [(await take_note(notes))[1].id for _ in range(4)]
    while await relay.drain():
        continue
    crowd = Crowd(reader, refused={taken[2]})
    async with crowd.running():
        assert await reader.nothing_left()
    assert crowd.sizes == [4, 1, 1, 1, 1]
    assert await notes.count("filing") == 3
    assert [letter[0] for letter in await reader.letters()] == ["NOTE_NOT_FOUND"]


async def test_what_was_handled_before_is_left_out_of_a_run(notes: Running, relay: Relay, reader: Reader) -> None:
    for _ in range(3):
        await take_note(notes)
    while await relay.drain():
        continue
    crowd = Crowd(reader)
    letters = [letter_in(msg) for msg in await reader.pulls["NOTES"].fetch(3, timeout=3)]
    await crowd.consumer.handle(letters[1])
    await crowd.consumer.handle(*letters)
    await crowd.consumer.handle(*letters)
    assert crowd.sizes == [1, 2]
    assert await notes.count("filing") == 3


async def test_events_of_two_chains_are_not_handled_together(notes: Running, relay: Relay, reader: Reader) -> None:
    for chain_id in (notes.chain_id, new_id(), notes.chain_id):
        await emit(notes, note_taken(), chain_id=chain_id)
    while await relay.drain():
        continue
    crowd = Crowd(reader)
    async with crowd.running():
        assert await reader.nothing_left()
    assert sum(crowd.sizes) == 3
    assert max(crowd.sizes) < 3
