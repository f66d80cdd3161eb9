"""NATS to handlers: at least once on the wire, once in effect. Ack, retry and burial are here; handlers only act.

What becomes of an event:

- handled → ack.
- it cannot be decoded, or a rule refuses it for good → dead letter, and term.
- it names something not yet known here → nak with growing delay, dead letter after an hour of that; tried again by
  itself when an event that names the missing thing is handled, and after a growing pause in case that came in between.
- anything else → nak with growing delay, in the end a dead letter.
- it cannot be buried either, as on a full disk → neither ack nor nak: it comes again until it can.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, TypeAlias
from uuid import UUID

import structlog
from asyncpg import Record
from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig
from sqlalchemy import Interval, case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from atoll.common.v1.access_pb2 import AUDIT_NONE
from atoll.common.v1.event_meta_pb2 import EventMeta, subject
from chassis.call import Call
from chassis.clock import Clock
from chassis.db import Database
from chassis.errors import DomainError, Kind, NotYetKnown
from chassis.ids import BadId, from_wire
from chassis.metrics import EVENTS_HANDLED
from chassis.pool import Pool
from chassis.sql import Statement, param, params
from chassis.store import Store
from chassis.tables import Instant, dead_letter
from chassis.times import utc_now
from chassis.tracing import traceparent_of

log = structlog.get_logger()

BATCH_MAX = 50
FETCH_S = 1.0
ACK_WAIT_S = 30.0  # Above the slowest handler.
RETRY_DELAYS_S = (1.0, 5.0, 30.0, 120.0)
ATTEMPTS_MAX = len(RETRY_DELAYS_S) + 1
WAIT_DELAYS_S = (1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 600.0)  # For what is not yet known; the last one repeats.
WAIT_MAX_S = 3600.0  # From the first delivery: whoever was away finds old events whose company is still to come.
REPLAY_DELAYS_S = (1.0, 10.0, 120.0, 3600.0, 86_400.0)  # Of letters that wait for something; the last one repeats.
DELIVERIES_MAX = -1  # NATS's own bound: none. Ours ends in a dead letter, and until there is one it comes again.
REPLAY_POLL_S = 1.0
REPLAY_BATCH_MAX = 50

FOR_GOOD = frozenset({Kind.INVALID, Kind.DENIED, Kind.NOT_FOUND, Kind.CONFLICT})
"""Refusals that the same event would meet again."""

Handler: TypeAlias = Callable[[Any, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Together:
    """Handles all events of one type and chain that come one after another in one transaction, as an import sends them.

    For what only keeps copies: whoever takes locks would hold them for all, and what one event is refused for, all are
    rolled back for, to be handled one by one.
    """

    handle: Callable[[Any, Sequence[Any]], Awaitable[None]]


Reads: TypeAlias = Mapping[type[Message], Handler | Together]

_letter = params("chain_id", "consumer", "message_id", "subject", "payload", "reason", "waits_for", "attempts")
_one = [dead_letter.c[name] == param(name) for name in ("chain_id", "consumer", "message_id")]
_buried = insert(dead_letter).values(
    _letter | {"replay_at": func.clock_timestamp() + param("replay_in", Interval)}  # NULL if it waits for nothing.
)
# What asked for it while it was being tried may have come too late for that: it is tried once more.
_asked_meanwhile = dead_letter.c.replay_at.is_distinct_from(param("due_at", Instant))
BURY = Statement(
    _buried.on_conflict_do_update(
        index_elements=["chain_id", "consumer", "message_id"],
        set_={
            "reason": _buried.excluded.reason,
            "waits_for": _buried.excluded.waits_for,
            "attempts": dead_letter.c.attempts + 1,
            "replay_at": case((_asked_meanwhile, dead_letter.c.replay_at), else_=_buried.excluded.replay_at),
        },
    )
)
UNBURY = Statement(delete(dead_letter).where(*_one))
TO_REPLAY = Statement(
    select(dead_letter)
    .where(dead_letter.c.replay_at <= func.now(), dead_letter.c.consumer == param("consumer"))
    .order_by(dead_letter.c.replay_at, dead_letter.c.buried_at)
    .limit(REPLAY_BATCH_MAX)
)
ASK_REPLAY = Statement(update(dead_letter).where(*_one).values(replay_at=param("replay_at")))


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as it came, from the stream or from the dead letters."""

    message_id: str
    subject: str
    payload: bytes
    attempts: int = 0
    """As a dead letter."""
    due_at: datetime | None = None
    """When it was to be tried again, as it was read."""

    @property
    def chain(self) -> str:
        """As the subject names it, since the payload may be unreadable."""
        return self.subject.rpartition(".")[2]


class Consumer:
    """What one service reads of one stream, in the order of the stream."""

    def __init__(self, db: Database, name: str, store_type: type[Store], reads: Reads, clock: Clock = utc_now) -> None:
        self._db, self._name, self._store_type, self._clock = db, name, store_type, clock
        self._reads = {fact_of(event_type): (event_type, handle) for event_type, handle in reads.items()}

    async def run(self, js: JetStreamContext, stream: str) -> None:
        """Until cancelled."""
        config = ConsumerConfig(
            ack_wait=ACK_WAIT_S,
            max_deliver=DELIVERIES_MAX,
            filter_subjects=sorted(f"{fact}.*" for fact in self._reads),
            max_ack_pending=1000,
        )
        await js.add_consumer(stream, config, durable_name=self._name)
        pull = await js.pull_subscribe_bind(consumer=self._name, stream=stream)
        try:
            await self._receive_all(pull)
        finally:  # Else what it asked for last is delivered to nobody, and comes to others after ACK_WAIT_S only.
            with suppress(NatsError):
                await pull.unsubscribe()

    async def _receive_all(self, pull: JetStreamContext.PullSubscription) -> None:
        """Short fetches: one that stalls is given up, and the next one asks anew."""
        while True:
            try:
                messages = await asyncio.wait_for(pull.fetch(BATCH_MAX, timeout=FETCH_S), timeout=5 * FETCH_S)
            except TimeoutError:  # Nothing yet; nats-py raises its own and asyncio's, which is the base of it.
                continue
            for _, run in groupby(messages, key=lambda msg: msg.subject):
                await self._receive_run(list(run))

    async def _receive_run(self, run: Sequence[Msg]) -> None:
        """Of one type and chain."""
        _, handle = self._reads[run[0].subject.rpartition(".")[0]]
        if not (isinstance(handle, Together) and len(run) > 1 and await self._handled_together(run)):
            for msg in run:
                await self._receive_or_leave(msg)

    async def _handled_together(self, run: Sequence[Msg]) -> bool:
        """Whether they are, and acked. If not, nothing is done: each has to be tried by itself."""
        try:
            await self.handle(*map(letter_in, run))
        except Exception as error:
            log.warning("events.one_by_one", consumer=self._name, events=len(run), error=_name(error))
            return False
        EVENTS_HANDLED.labels(self._name, "done").inc(len(run))
        for msg in run:
            await msg.ack()
        return True

    async def _receive_or_leave(self, msg: Msg) -> None:
        try:
            await self.receive(msg)
        except Exception:  # Neither acked nor buried: it comes again after ACK_WAIT_S.
            log.exception("event.left", consumer=self._name)

    async def receive(self, msg: Msg) -> None:
        """Acked after the commit."""
        letter = letter_in(msg)
        try:
            await self.handle(letter)
        except Exception as error:
            delay = _delay_s(error, msg.metadata.num_delivered)
            if delay is None:
                await self.bury(letter, error)
                await msg.term()
            else:
                EVENTS_HANDLED.labels(self._name, "retry").inc()
                log.warning(
                    "event.retry", consumer=self._name, message_id=letter.message_id, error=_name(error), delay=delay
                )
                await msg.nak(delay=delay)
        else:
            EVENTS_HANDLED.labels(self._name, "done").inc()
            await msg.ack()

    async def handle(self, *letters: Letter) -> None:
        """In one transaction; several only of one type and chain whose handler takes them together."""
        event_type, handle = self._reads[letters[0].subject.rpartition(".")[0]]
        events: list[Any] = [event_type.FromString(letter.payload) for letter in letters]
        meta: EventMeta = events[0].meta
        call = self._call(meta.chain_id, meta.event_id, meta.traceparent)

        async def work(store: Store, new: Sequence[Any]) -> None:
            if isinstance(handle, Together):
                await handle.handle(store, new)
            else:
                await handle(store, *new)

        by_id = {UUID(event.meta.event_id): event for event in events}
        await self._db.effect(call, by_id, self._store_type, work)

    async def bury(self, letter: Letter, error: Exception) -> None:
        EVENTS_HANDLED.labels(self._name, "buried").inc()
        log.error("event.buried", consumer=self._name, message_id=letter.message_id, reason=_name(error))
        waits_for = getattr(error, "waits_for", None)
        values = {
            "consumer": self._name,
            "message_id": letter.message_id,
            "subject": letter.subject,
            "payload": letter.payload,
            "reason": _name(error),
            "waits_for": waits_for,
            "attempts": 1,
            "replay_in": _replay_in(letter.attempts) if waits_for else None,
            "due_at": letter.due_at,
        }
        try:
            await self._in_letters_chain(letter, BURY, values)
        except BadId:  # Its subject names no chain whose letter it could be.
            log.error("event.of_no_chain", consumer=self._name, message_id=letter.message_id)

    async def replay(self, letter: Letter) -> bool:
        """Tries a dead letter again; whether it is handled now."""
        try:
            await self.handle(letter)
        except Exception as error:
            await self.bury(letter, error)
            return False
        await self._in_letters_chain(letter, UNBURY, {"consumer": self._name, "message_id": letter.message_id})
        return True

    async def run_replays(self, relay_pool: Pool) -> None:
        """Until cancelled: tries letters again whose time has come."""
        while True:
            for row in await relay_pool.fetch(TO_REPLAY.text, *TO_REPLAY.args({"consumer": self._name})):
                await self.replay(letter_of(row))
            await asyncio.sleep(REPLAY_POLL_S)

    async def _in_letters_chain(self, letter: Letter, statement: Statement, values: dict[str, Any]) -> None:
        call = self._call(letter.chain, letter.message_id, "")
        async with self._db.transaction(call) as conn:
            await Store(conn, call).rows(statement, **values)

    def _call(self, chain: str, cause: str, traceparent: str) -> Call:
        traceparent = traceparent_of(traceparent)
        chain_id = from_wire("chain", chain)
        return Call(chain_id, None, self._name, self._name, cause, AUDIT_NONE, self._clock(), traceparent)


def letter_in(msg: Msg) -> Letter:
    place = f"{msg.metadata.stream} {msg.metadata.sequence.stream}"
    return Letter((msg.headers or {}).get("Nats-Msg-Id", place), msg.subject, msg.data)


def fact_of(event_type: type[Message]) -> str:
    """`scheduling.v1.course.booked`"""
    fact: str = event_type.DESCRIPTOR.GetOptions().Extensions[subject]
    assert fact, f"{event_type.DESCRIPTOR.full_name} lacks (atoll.common.v1.subject)"
    return fact


def letter_of(row: Record) -> Letter:
    return Letter(row["message_id"], row["subject"], row["payload"], row["attempts"], row["replay_at"])


def _delay_s(error: Exception, deliveries: int) -> float | None:
    """How long to wait before the next delivery; None: it is given up."""
    if isinstance(error, NotYetKnown):
        waited_s = sum(_wait_s(earlier) for earlier in range(1, deliveries))
        return None if waited_s >= WAIT_MAX_S else _wait_s(deliveries)
    if _is_final(error) or deliveries >= ATTEMPTS_MAX:
        return None
    return RETRY_DELAYS_S[deliveries - 1]


def _wait_s(deliveries: int) -> float:
    return WAIT_DELAYS_S[min(deliveries, len(WAIT_DELAYS_S)) - 1]


def _replay_in(attempts: int) -> timedelta:
    return timedelta(seconds=REPLAY_DELAYS_S[min(attempts, len(REPLAY_DELAYS_S) - 1)])


def _is_final(error: Exception) -> bool:
    if isinstance(error, DomainError):
        return error.kind in FOR_GOOD
    return isinstance(error, DecodeError)


def _name(error: Exception) -> str:
    return getattr(error, "reason", type(error).__name__)
