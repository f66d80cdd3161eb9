"""Inboxes: what came, what was read, and the log that those who watch follow."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Integer,
    Text,
    Uuid,
    any_,
    cast,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.feed import Position, Reading
from chassis.sql import Statement, param, params
from chassis.store import Store
from chassis.tables import Instant
from services.notifications.domain.inbox import Arrival, Item, Mark
from services.notifications.store.copies import CHAIN, PATIENTS
from services.notifications.tables import inbox_arrival, inbox_item

LATEST = datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1)
"""Sorts after every item."""
READ_MAX = 500
"""Arrivals that are read at once."""
PLACE_MAX = 2**63 - 1

_patient_id, _limit = param("patient_id", Uuid), param("limit", Integer)
_new_item = (
    pg_insert(inbox_item)
    .values(params("chain_id", "message_id", "patient_id", "site_id", "kind", "subject", "text", "at"))
    .on_conflict_do_nothing()
    .returning(inbox_item.c.chain_id, inbox_item.c.message_id, inbox_item.c.patient_id)
    .cte("new_item")
)
ADD_ITEM = Statement(
    insert(inbox_arrival)
    .from_select(["chain_id", "message_id", "patient_id"], select(_new_item))
    .returning(inbox_arrival.c.message_id)
)
_of_patient = (inbox_item.c.chain_id == CHAIN, inbox_item.c.patient_id == any_(PATIENTS.all_ids(_patient_id)))
_unread = inbox_item.c.read_at.is_(None)
ITEMS = Statement(
    select(inbox_item)
    .where(
        *_of_patient,
        or_(~param("unread_only", Boolean), _unread),
        tuple_(inbox_item.c.at, inbox_item.c.message_id)
        < tuple_(param("before", Instant), param("before_id", Uuid)),
    )
    .order_by(inbox_item.c.at.desc(), inbox_item.c.message_id.desc())
    .limit(_limit)
)  # fmt: skip
COUNT_UNREAD = Statement(select(func.count().label("unread")).select_from(inbox_item).where(*_of_patient, _unread))
_message_ids = param("message_ids", ARRAY(Uuid))
MARK_READ = Statement(
    update(inbox_item)
    .where(*_of_patient, inbox_item.c.message_id == any_(_message_ids), _unread)
    .values(read_at=param("read_at"))
)
NAMED = Statement(
    select(inbox_item).where(inbox_item.c.chain_id == CHAIN, inbox_item.c.message_id == any_(_message_ids))
)

# The oldest transaction under way: what those below it wrote is all there is, and all there will be.
_oldest = cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Text), BigInteger)
# Of which database, and of which of its histories: a restored or promoted one counts transactions anew.
_database = func.concat(
    select(literal_column("system_identifier")).select_from(func.pg_control_system()).scalar_subquery(),
    "-",
    func.left(func.pg_walfile_name(func.pg_current_wal_insert_lsn()), 8),
)
_mark = (_database.label("database"), _oldest.label("oldest"), func.clock_timestamp().label("read_at"))
MARK = Statement(select(*_mark, PATIENTS.end(_patient_id).label("end_id")))
_now = select(*_mark).subquery("now")


def _arrivals(*of: ColumnElement[bool]) -> Statement:
    after = tuple_(inbox_arrival.c.transaction, inbox_arrival.c.place) > tuple_(
        param("transaction", BigInteger), param("place", BigInteger)
    )
    found = (
        select(inbox_arrival)
        .where(inbox_arrival.c.chain_id == CHAIN, after, *of, inbox_arrival.c.transaction < _now.c.oldest)
        .order_by(inbox_arrival.c.transaction, inbox_arrival.c.place)
        .limit(_limit)
        .lateral("arrival")
    )
    end = PATIENTS.end(found.c.patient_id).label("end_id")
    taken = (found.c[name] for name in ("message_id", "patient_id", "transaction", "place", "recorded_at"))
    return Statement(
        select(*_now.c, *taken, end)
        .select_from(_now.outerjoin(found, true()))
        .order_by(found.c.transaction, found.c.place)
    )


ARRIVALS = _arrivals()
ARRIVALS_OF_PATIENT = _arrivals(inbox_arrival.c.patient_id == any_(PATIENTS.all_ids(_patient_id)))


class InboxStore(Store):
    async def add_to_inbox(
        self, message_id: UUID, patient_id: UUID, site_id: UUID, kind: str, subject: str, text: str, at: datetime
    ) -> bool:
        """Whether it was not there yet: a message comes once."""
        row = await self.row(
            ADD_ITEM,
            message_id=message_id,
            patient_id=patient_id,
            site_id=site_id,
            kind=kind,
            subject=subject,
            text=text,
            at=at,
        )
        return row is not None

    async def inbox(
        self, patient_id: UUID, before: tuple[datetime, UUID], limit: int, *, unread_only: bool
    ) -> list[Item]:
        """Under all ids of the patient, the latest first."""
        instant, id = before
        found = await self.rows(
            ITEMS, patient_id=patient_id, before=instant, before_id=id, limit=limit, unread_only=unread_only
        )
        return [_item(row) for row in found]

    async def inbox_items(self, message_ids: Sequence[UUID]) -> dict[UUID, Item]:
        """Those that the caller may see."""
        return {row["message_id"]: _item(row) for row in await self.rows(NAMED, message_ids=message_ids)}

    async def count_unread(self, patient_id: UUID) -> int:
        row = await self.row(COUNT_UNREAD, patient_id=patient_id)
        assert row
        unread: int = row["unread"]
        return unread

    async def mark_read(self, patient_id: UUID, message_ids: Sequence[UUID]) -> None:
        await self.rows(MARK_READ, patient_id=patient_id, message_ids=message_ids, read_at=self.call.now)

    async def inbox_mark(self, patient_id: UUID) -> tuple[Mark, UUID]:
        """Where the log ends now, and the last survivor of the patient."""
        row = await self.row(MARK, patient_id=patient_id)
        assert row
        return _mark_of(row), row["end_id"]

    async def arrivals(self, after: Mark, patient_id: UUID | None = None) -> Reading[Arrival]:
        """What came after a mark, as far as nothing more can come before it: into one inbox, or all of the chain."""
        place = {"transaction": after.position.transaction, "place": after.position.place, "limit": READ_MAX}
        if patient_id is None:
            found = await self.rows(ARRIVALS, **place)
        else:
            found = await self.rows(ARRIVALS_OF_PATIENT, **place, patient_id=patient_id)
        now = _mark_of(found[0])
        after.check_history(now)
        entries = [(Position(row["transaction"], row["place"]), _arrival(row)) for row in found if row["message_id"]]
        upto = entries[-1][0] if len(entries) == READ_MAX else now.position
        return Reading(entries, upto, now.read_at)


def _mark_of(row: Record) -> Mark:
    return Mark(row["database"], Position(row["oldest"] - 1, PLACE_MAX), row["read_at"])


def _arrival(row: Record) -> Arrival:
    return Arrival(row["message_id"], row["patient_id"], row["end_id"], row["recorded_at"])


def _item(row: Record) -> Item:
    return Item(
        message_id=row["message_id"],
        patient_id=row["patient_id"],
        site_id=row["site_id"],
        kind=row["kind"],
        subject=row["subject"],
        text=row["text"],
        at=row["at"],
        read_at=row["read_at"],
    )
