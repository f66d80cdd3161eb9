"""What every service's store can do: run statements of its chain, emit events, be done once."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Protocol
from uuid import UUID

from asyncpg import Record
from google.protobuf.message import Message
from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Insert,
    LargeBinary,
    Select,
    Text,
    Uuid,
    any_,
    cast,
    exists,
    func,
    insert,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert

from atoll.common.v1.access_pb2 import Audit
from atoll.common.v1.event_meta_pb2 import EventMeta, subject
from chassis.call import Call
from chassis.errors import DomainError, Kind, Violation
from chassis.ids import all_ids, ids_of, ids_of_kind, new_id, read_id, to_wire
from chassis.pool import Connection
from chassis.sql import Statement, param, params, rows
from chassis.subjects import subjects_in
from chassis.tables import audit, audit_subject, dead_letter, idempotency, inbox, outbox
from chassis.times import to_timestamp

KEY = ("chain_id", "actor", "method", "request_id")
AUDITS = {number: name for name, number in Audit.items()}
SUBJECTS_MAX = 200
"""Of one audit row. What shows more leaves several rows."""
SITES_MAX = 10
"""A caller's sites are kept with an audit row if they are no more than this."""


class Event(Protocol):
    @property
    def meta(self) -> EventMeta: ...


class RequestIdReused(DomainError):
    kind, reason, message = Kind.INVALID, "REQUEST_ID_REUSED", "request_id was used before, for another request"


_lock = rows("locks", lock_id=Uuid)


def locking(ids: FromClause) -> Select[Any]:
    """Takes the locks in the order of `ids`."""
    return select(func.count(func.pg_advisory_xact_lock(func.hashtextextended(cast(ids.c.lock_id, Text), 0))))


_locks = locking(_lock)
_new_claim = pg_insert(idempotency).values(params(*KEY, "request_hash")).on_conflict_do_nothing()
_claim = _new_claim.returning(idempotency.c.request_id).cte("claim")
_ours = exists(select(_claim.c.request_id))
# A replay finds no claim, and so takes no locks and cannot deadlock against its twin.


def claiming(ids: FromClause, *more: ColumnElement[Any]) -> Statement:
    """The first statement of a change: claims the request, takes locks on `ids`, and answers `more`."""
    return Statement(select(_ours.label("ours"), locking(ids).where(_ours).scalar_subquery(), *more))


CLAIM_AND_LOCK = claiming(_lock)
LOCK_IDS = _lock
LOCK = Statement(_locks.where(param("chain_id", Uuid).is_not(None)))
_same_key = [idempotency.c[name] == param(name) for name in KEY]
EARLIER = Statement(select(idempotency.c.request_hash, idempotency.c.response).where(*_same_key))

_event = rows("event", event_id=Uuid, aggregate_id=Uuid, subject=Text, payload=LargeBinary)
_event_columns = ["event_id", "aggregate_id", "subject", "payload"]
_new_events = insert(outbox).from_select(
    ["chain_id", "traceparent", *_event_columns],
    select(param("chain_id", Uuid), param("traceparent", Text), *(_event.c[name] for name in _event_columns)),
)
AUDIT_COLUMNS = ("chain_id", "actor", "method", "kind", "cause", "ids", "at")


def _audit_row(new: Insert) -> CTE:
    return new.returning(audit.c.chain_id, audit.c.position, audit.c.ids, audit.c.at).cte("new_audit")


def _subjects_of(noted: CTE) -> Insert:
    """Read from the audit row itself: the index says what the row says."""
    one = func.jsonb_array_elements_text(noted.c.ids["subjects"]).table_valued("id").render_derived(name="subject")
    entry = select(noted.c.chain_id, cast(one.c.id, Uuid), noted.c.position, noted.c.at).select_from(noted, one)
    return insert(audit_subject).from_select(["chain_id", "subject_id", "position", "at"], entry)


# Last the chain, without which nothing is seen.
_settings = ("sites", "patient", "actor", "roles", "chain")
_entered = select(
    func.num_nonnulls(
        *(func.set_config(literal_column(f"'app.{name}'"), param(f"app_{name}", Text), true()) for name in _settings)
    ).label("settings")
).subquery("entered")

_new_audit = _audit_row(insert(audit).values(params(*AUDIT_COLUMNS)))
_new_subjects = _subjects_of(_new_audit)
_answer = update(idempotency).where(*_same_key).values(response=param("response"))
EMIT = Statement(_new_events)
_note = select(*(param(name) for name in AUDIT_COLUMNS)).select_from(_entered).where(_entered.c.settings > 0)
NOTE = Statement(_subjects_of(_audit_row(insert(audit).from_select(AUDIT_COLUMNS, _note))))
"""May be a transaction by itself, too."""
_received = rows("received", event_id=Uuid)
FIRST_TIMES = Statement(
    pg_insert(inbox)
    .from_select(
        ["chain_id", "consumer", "event_id"],
        select(param("chain_id", Uuid), param("consumer", Text), _received.c.event_id),
    )
    .on_conflict_do_nothing()
    .returning(inbox.c.event_id)
)
REPLAY_WAITING = Statement(
    update(dead_letter)
    .where(
        dead_letter.c.chain_id == param("chain_id"),
        dead_letter.c.consumer == param("consumer"),
        dead_letter.c.waits_for == any_(param("ids", ARRAY(Text))),
    )
    .values(replay_at=func.clock_timestamp())
)


class Settling(Statement):
    """The last statement of a change, in one round trip: `writes`, events, audit row and remembered answer.

    See `Store.write_last`. The events go first, so that the writes' own columns do not hide their parameters. An event
    and a job, which are neither audited nor answered, have the writes `alone`.
    """

    def __init__(self, *writes: CTE) -> None:
        noted = _new_events.cte("new_events"), _new_audit, _new_subjects.cte("new_subjects")
        super().__init__(_answer.add_cte(*noted, *writes))
        self._writes = writes

    @cached_property
    def alone(self) -> Statement:
        """Compiled when first asked for, as few are."""
        return Statement(select(literal_column("1")).add_cte(*self._writes))


SETTLE = Settling()


class Apart(Statement):
    """A read that may be a transaction by itself, in one round trip; see `Database.read_apart`.

    Who may see what is set first: a lateral look-up waits for what it refers to, and the OFFSET keeps the planner from
    taking the two apart. Were it otherwise it would find nothing: before that, it is of no chain.
    """

    def __init__(self, read: Select[Any]) -> None:
        super().__init__(read)
        self.alone = Statement(_seen_alone(read))


class NotedRead:
    """The read of one row that takes its audit row along, as one statement, which may be a transaction by itself.

    `shown` (an array of ids) are those whose data the row is: the audit row names them. A row that is not found leaves
    none. See `Store.noted_row` and `Database.read_row`.
    """

    def __init__(self, read: Select[Any], shown: Callable[[FromClause], ColumnElement[Any]]) -> None:
        self.unnoted = Statement(read)
        found = _seen_alone(read).cte("found")
        subjects = func.jsonb_build_object("subjects", func.to_jsonb(shown(found)))
        note = {name: param(name) for name in AUDIT_COLUMNS} | {"ids": param("ids", JSONB).concat(subjects)}
        noted = _audit_row(insert(audit).from_select([*note], select(*note.values()).select_from(found)))
        self.noted = Statement(
            select(found, shown(found).label("shown_ids")).add_cte(noted, _subjects_of(noted).cte("new_subjects"))
        )


def _seen_alone(read: Select[Any]) -> Select[Any]:
    seen = read.where(_entered.c.settings > 0).offset(literal_column("0")).lateral("seen")
    return select(seen).select_from(_entered)


class Store:
    """The connection of one transaction, which it never outlives, and the events that leave with it.

    Every statement names :chain_id: one that does not is refused when first run.
    """

    refusals: ClassVar[Mapping[str, type[DomainError]]] = {}
    """Constraint or policy → what its violation means: the last line, behind the check that gives a good answer."""
    subject_kind: ClassVar[str] = ""
    """Kind of the ids of those whose data the service keeps: an audit row names them. Empty: the service has none."""

    claiming: ClassVar[Statement] = CLAIM_AND_LOCK
    """A service's own may answer more in the same round trip: see `claim_values` and `claimed`."""

    def __init__(self, conn: Connection, call: Call, *, apart: bool = False) -> None:
        self._conn, self.call, self._apart = conn, call, apart
        self._events: list[tuple[UUID, UUID, str, bytes]] = []
        self._subjects: dict[UUID, None] = {}  # In the order in which they were named.
        self._last: tuple[Settling, dict[str, Any]] = SETTLE, {}
        self._to_note: Message | None = None
        self._noted: frozenset[UUID] | None = None  # The subjects of the audit row that is written by now.

    async def rows(self, statement: Statement, **values: Any) -> list[Record]:
        if self._apart and isinstance(statement, Apart):
            statement = statement.alone
        if "app_chain" in statement.wanted:
            values |= {f"app_{name}": value for name, value in self.call.settings.items()}
        elif self._apart:
            raise TypeError(f"no transaction has told of which chain it is: {statement.text}")
        return await self._conn.fetch(statement.text, *statement.args({"chain_id": self.call.chain_id, **values}))

    async def row(self, statement: Statement, **values: Any) -> Record | None:
        return next(iter(await self.rows(statement, **values)), None)

    async def lock(self, ids: Iterable[UUID]) -> None:
        """Until the transaction ends, in one fixed order; for consumers and jobs, which have no claim to take them."""
        await self.rows(LOCK, lock_id=sorted(set(ids)))

    async def forget_plans(self) -> None:
        """Before many rows are written at once: PostgreSQL keeps the plan of each statement, and of each check of a
        foreign key, from when a table was small, until its statistics are made anew. A scan that was right for five
        rows is then run for each of thousands."""
        await self._conn.execute("DISCARD PLANS")

    def write_last(self, statement: Settling, **values: Any) -> None:
        """`statement` runs when the work is done: nothing may be read after it."""
        assert self._last[0] is SETTLE, "one last write"
        self._last = statement, values

    def emit(self, event: Event, *, about: UUID, version: int = 0) -> None:
        """`event` is published if and only if this transaction commits, in the order of what it is `about`."""
        assert isinstance(event, Message)
        fact = event.DESCRIPTOR.GetOptions().Extensions[subject]
        assert fact, f"{event.DESCRIPTOR.full_name} lacks (atoll.common.v1.subject)"
        event_id, chain = new_id(), to_wire("chain", self.call.chain_id)
        event.meta.CopyFrom(
            EventMeta(
                event_id=str(event_id),
                occur_time=to_timestamp(self.call.now),
                chain_id=chain,
                site_id=getattr(event, "site_id", ""),
                actor=self.call.actor,
                cause=self.call.cause,
                traceparent=self.call.traceparent,
                aggregate_version=version,
            )
        )
        self._events.append((event_id, about, f"{fact}.{chain}", event.SerializeToString()))

    async def claim(self, request: Message, locks: Sequence[UUID]) -> bytes | None:
        """The answer this request already had, or None: it is ours, and so are the locks, taken in the order given.

        The insert waits for a rival with the same request_id. If the rival commits we read its answer; if it rolls back
        the claim is ours, so that a refusal is never remembered.
        """
        digest = _digest(request)
        more = self.claim_values(request)
        claimed = await self.row(self.claiming, **self._request_key(), request_hash=digest, lock_id=locks, **more)
        if claimed and claimed["ours"]:
            self.claimed(claimed)
            return None
        earlier = await self.row(EARLIER, **self._request_key())
        if earlier is None or earlier["request_hash"] != digest:
            raise RequestIdReused(Violation("request_id", "REQUEST_ID_REUSED", RequestIdReused.message))
        return self.recalled(earlier["response"])

    def kept(self, answer: bytes) -> bytes:
        """How an answer is remembered: a service whose answers tell of patients may seal them."""
        return answer

    def recalled(self, kept: bytes) -> bytes:
        """The answer that was `kept` so. Of one that was emptied, b''."""
        return kept

    def claim_values(self, request: Message) -> dict[str, Any]:
        """What the service's own `claiming` asks for besides."""
        return {}

    def claimed(self, row: Record) -> None:
        """What the service's own `claiming` answered besides."""

    async def settle(self, request: Message, response: Message) -> None:
        """Writes what a change leaves behind, in one round trip: its events, its audit row and its answer."""
        statement, values = self._last
        self._saw_in(response)
        *before, note = self._notes(request, response)
        for each in before:
            await self.rows(NOTE, **each)
        note |= self._request_key()
        kept = self.kept(response.SerializeToString())
        await self.rows(statement, **note, **self._emitted(), **values, response=kept)

    def saw(self, *ids: UUID) -> None:
        """Whoever calls is shown data of these: what `note_read` cannot find by itself."""
        self._subjects |= dict.fromkeys(ids)

    def noting(self, request: Message) -> None:
        """What is read from now on is patients' data, asked for by `request`: an audit row has to tell of it."""
        self._to_note = request

    async def noted_row(self, read: NotedRead, **values: Any) -> Record | None:
        """The first read of a call that is noted takes the audit row along."""
        if self._to_note is None or self._noted is not None:
            return await self.row(read.unnoted, **values)
        [note] = self._notes(self._to_note)
        row = await self.row(read.noted, **note, **values)
        self._noted = frozenset(row["shown_ids"]) if row else frozenset()
        return row

    async def note_read(self, found: object = None) -> None:
        """Unless a read took the audit row along, and nobody else is shown.

        `found` is what is shown: see `chassis.subjects`.
        """
        if self._to_note is None:
            return
        self._saw_in(found)
        if self._noted is None or self._subjects.keys() - self._noted:
            for note in self._notes(self._to_note):
                await self.rows(NOTE, **note)

    async def ids_of_subject(self, id: UUID) -> list[UUID]:
        """All ids under which audit rows may name one whose data the service keeps."""
        return [id]

    async def first_times(self, consumer: str, event_ids: Sequence[UUID]) -> set[UUID]:
        """Those of the events that the consumer has not handled before."""
        return {row["event_id"] for row in await self.rows(FIRST_TIMES, consumer=consumer, event_id=event_ids)}

    async def settle_events(self, events: Iterable[Message]) -> None:
        """Events that a handler emitted leave; letters that waited for something these name are tried again."""
        await self.settle_job()
        named = {id for event in events for id in all_ids(event)}
        await self.rows(REPLAY_WAITING, consumer=self.call.method, ids=sorted(named))

    async def settle_job(self) -> None:
        statement, values = self._last
        if statement is not SETTLE:
            noted = {"at": self.call.now, "actor": self.call.actor}
            wanted = {name: value for name, value in noted.items() if name in statement.alone.wanted}
            await self.rows(statement.alone, **wanted, **values)
        if self._events:
            await self.rows(EMIT, **self._emitted())

    def _request_key(self) -> dict[str, Any]:
        return {"actor": self.call.actor, "method": self.call.method, "request_id": read_id(self.call.cause)}

    def _emitted(self) -> dict[str, Any]:
        columns = zip(*self._events, strict=True) if self._events else ((), (), (), ())
        arrays = {name: list(column) for name, column in zip(_event_columns, columns, strict=True)}
        return {"traceparent": self.call.traceparent, **arrays}

    def _saw_in(self, found: object) -> None:
        if self.subject_kind:
            self.saw(*subjects_in(found, self.subject_kind))

    def _notes(self, request: Message, *others: Message) -> list[dict[str, Any]]:
        """The audit rows of a call: one, unless it shows more subjects than one row names."""
        call = self.call
        if self.subject_kind:
            self.saw(*ids_of_kind(request, self.subject_kind, own=False))
        ids: dict[str, Any] = dict(named for message in (request, *others) for named in ids_of(message))
        if call.sites is not None and len(call.sites) <= SITES_MAX:
            ids["sites"] = sorted(to_wire("site", site) for site in call.sites)
        if call.roles:
            ids["roles"] = sorted(call.roles)
        note = {
            "actor": call.actor, "method": call.method, "kind": AUDITS[call.audit], "cause": call.cause,
            "at": call.now,
        }  # fmt: skip
        subjects = [str(id) for id in self._subjects]
        parts = [subjects[n : n + SUBJECTS_MAX] for n in range(0, len(subjects), SUBJECTS_MAX)] or [[]]
        return [note | {"ids": json.dumps(ids | {"subjects": part} if part else ids)} for part in parts]


def _digest(request: Message) -> bytes:
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
