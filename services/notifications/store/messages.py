"""Messages: added, moved, withdrawn, listed, counted."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    ColumnElement,
    Integer,
    Text,
    Uuid,
    and_,
    any_,
    exists,
    func,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import new_id, to_wire
from chassis.sql import Statement, param, rows
from chassis.store import Store
from chassis.tables import Instant
from services.notifications.domain.messages import (
    Channel,
    MessageKind,
    MessageNotFound,
    Planned,
    Reason,
    Settled,
    Status,
)
from services.notifications.store.copies import CHAIN, ID, PATIENTS
from services.notifications.tables import UNSENT, message, visit

FIRST = datetime(1, 1, 1, tzinfo=UTC), UUID(int=0)
"""Sorts before every message."""


SETTLED = tuple(message.c[name] for name in ("id", "patient_id", "visit_id", "site_id", "status"))


_of_course = ["chain_id", "site_id", "patient_id", "event_id", "channel"]


_of_message = ["id", "visit_id", "kind", "due_at", "status", "reason"]


_planned = rows("planned", message_id=Uuid, visit_id=Uuid, kind=Text, due_at=Instant, status=Text, reason=Text)


ADD_MESSAGES = Statement(
    pg_insert(message)
    .from_select(
        [*_of_course, *_of_message],
        select(
            CHAIN,
            param("site_id", Uuid),
            param("patient_id", Uuid),
            param("event_id", Uuid),
            param("channel", Text),
            *_planned.c,
        ),
    )
    .on_conflict_do_nothing()
    .returning(*SETTLED)
)


WITHDRAW = Statement(
    update(message)
    .where(message.c.chain_id == CHAIN, message.c.visit_id == ID, message.c.status == Status.SCHEDULED)
    .values(status=Status.WITHDRAWN, reason=param("reason"), lease_id=null(), held_until=null())
    .returning(*SETTLED)
)


SCHEDULED_OF_PATIENT = Statement(
    select(message.c.id, message.c.kind, visit.c.start_at)
    .join(visit, and_(visit.c.chain_id == message.c.chain_id, visit.c.id == message.c.visit_id))
    .where(
        message.c.chain_id == CHAIN,
        message.c.patient_id == any_(PATIENTS.all_ids(ID)),
        message.c.status == Status.SCHEDULED,
    )
    .with_for_update(of=message)
)


_asked = rows("asked", patient_id=Uuid)


_awaiting = exists().where(
    message.c.chain_id == CHAIN,
    message.c.patient_id == any_(PATIENTS.all_ids(_asked.c.patient_id)),
    message.c.status == Status.SCHEDULED,
)


WITH_SCHEDULED = Statement(select(_asked.c.patient_id).where(_awaiting))


_due = rows("new_due", message_id=Uuid, due_at=Instant)


MOVE = Statement(
    update(message)
    .where(message.c.chain_id == CHAIN, message.c.id == _due.c.message_id, message.c.status == Status.SCHEDULED)
    .values(due_at=_due.c.due_at)
)


MESSAGE = Statement(select(message).where(message.c.chain_id == CHAIN, message.c.id == ID))


_status, _site_id = param("status", Text), param("site_id", Uuid)


_about_id = param("about_id", Uuid)


def _listing(about: ColumnElement[bool]) -> Statement:
    later = tuple_(message.c.due_at, message.c.id) > tuple_(param("after_due", Instant), param("after_id", Uuid))
    in_status = or_(_status.is_(None), message.c.status == _status)
    return Statement(
        select(message)
        .where(message.c.chain_id == CHAIN, about, in_status, later)
        .order_by(message.c.due_at, message.c.id)
        .limit(param("limit", Integer))
    )


LISTINGS = {name: _listing(message.c[name] == _about_id) for name in ("visit_id", "site_id")} | {
    "patient_id": _listing(message.c.patient_id == any_(PATIENTS.all_ids(_about_id)))
}


_at_site = or_(_site_id.is_(None), message.c.site_id == _site_id)


COUNT = Statement(
    select(message.c.status, func.count().label("messages"))
    .where(message.c.chain_id == CHAIN, _at_site, message.c.due_at <= param("due_by", Instant))
    .group_by(message.c.status)
    .order_by(message.c.status)
)


NEXT_DUE = Statement(
    select(func.min(message.c.due_at).label("due_at")).where(message.c.chain_id == CHAIN, _at_site, UNSENT)
)


class MessageStore(Store):
    async def add(self, site_id: UUID, patient_id: UUID, event_id: UUID, planned: Sequence[Planned]) -> list[Settled]:
        """Those of the added that are settled from the start."""
        added = await self.rows(
            ADD_MESSAGES,
            site_id=site_id,
            patient_id=patient_id,
            event_id=event_id,
            channel=Channel.EMAIL,
            message_id=[new_id() for _ in planned],
            visit_id=[each.visit_id for each in planned],
            kind=[each.kind for each in planned],
            due_at=[each.due for each in planned],
            status=[each.status for each in planned],
            reason=[each.reason for each in planned],
        )
        return [settled_of(row) for row in added if row["status"] != Status.SCHEDULED]

    async def withdraw(self, visit_id: UUID, reason: Reason) -> list[Settled]:
        """What has not begun to be sent of a visit's messages."""
        return [settled_of(row) for row in await self.rows(WITHDRAW, id=visit_id, reason=reason)]

    async def with_scheduled(self, patient_ids: Sequence[UUID]) -> list[UUID]:
        """Those of the patients to whom, under any of their ids, something is still to go out."""
        return [row["patient_id"] for row in await self.rows(WITH_SCHEDULED, patient_id=patient_ids)]

    async def scheduled_of(self, patient_id: UUID) -> list[tuple[UUID, MessageKind, datetime]]:
        """Message, kind and start of its visit; each stays as it is until the transaction ends."""
        found = await self.rows(SCHEDULED_OF_PATIENT, id=patient_id)
        return [(row["id"], MessageKind(row["kind"]), row["start_at"]) for row in found]

    async def move(self, due: Mapping[UUID, datetime]) -> None:
        await self.rows(MOVE, message_id=list(due), due_at=list(due.values()))

    async def message(self, message_id: UUID) -> Record:
        row = await self.row(MESSAGE, id=message_id)
        if row is None:
            raise MessageNotFound(message_id=to_wire("message", message_id))
        return row

    async def messages(
        self, about: str, about_id: UUID, status: Status | None, after: tuple[datetime, UUID], limit: int
    ) -> list[Record]:
        """`about` is one of LISTINGS. In the order of their due times."""
        after_due, after_id = after
        place = {"after_due": after_due, "after_id": after_id, "limit": limit}
        return await self.rows(LISTINGS[about], about_id=about_id, status=status, **place)

    async def counts(self, site_id: UUID | None, due_by: datetime) -> dict[Status, int]:
        found = await self.rows(COUNT, site_id=site_id, due_by=due_by)
        return {Status(row["status"]): row["messages"] for row in found}

    async def next_due(self, site_id: UUID | None) -> datetime | None:
        row = await self.row(NEXT_DUE, site_id=site_id)
        return row["due_at"] if row else None


def settled_of(row: Record) -> Settled:
    return Settled(row["id"], row["patient_id"], row["visit_id"], row["site_id"], Status(row["status"]))
