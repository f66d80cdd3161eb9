"""Messages: added, moved, withdrawn, listed, counted."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Integer,
    Text,
    Uuid,
    and_,
    any_,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import new_id, to_wire
from chassis.sql import Statement, TypeArgument, param, rows
from chassis.store import Store
from chassis.tables import Instant
from services.notifications.domain.cadence import Planned, Timing
from services.notifications.domain.kinds import BY_PHONE, Anchor, Channel, MessageKind
from services.notifications.domain.messages import (
    WITHDRAWN_BECAUSE,
    MessageNotFound,
    PassedOver,
    Reason,
    Settled,
    Status,
)
from services.notifications.store.copies import CHAIN, ID, PATIENTS
from services.notifications.tables import UNSENT, attempt, matter, message, patient, visit

FIRST = datetime(1, 1, 1, tzinfo=UTC), UUID(int=0)
"""Sorts before every message."""
SETTLED = tuple(message.c[name] for name in ("id", "patient_id", "visit_id", "site_id", "status"))
_of_event: dict[str, TypeArgument] = {"site_id": Uuid, "event_id": Uuid, "cadence_version": Integer}
_of_message: dict[str, TypeArgument] = {
    "id": Uuid,
    "patient_id": Uuid,
    "visit_id": Uuid,
    "for_start": Instant,
    "matter_id": Uuid,
    "kind": Text,
    "rule": Text,
    "anchor": Text,
    "anchor_at": Instant,
    "offset_minutes": Integer,
    "until_at": Instant,
    "unless_confirmed": Boolean,
    "text": Text,
    "due_at": Instant,
    "status": Text,
    "reason": Text,
}
_planned = rows("planned", **_of_message, joined_channels=Text)
_channels = func.string_to_array(_planned.c.joined_channels, literal_column("','"), type_=ARRAY(Text))
ADD_MESSAGES = Statement(
    pg_insert(message)
    .from_select(
        ["chain_id", *_of_event, *_of_message, "channels", "channel"],
        select(
            CHAIN,
            *(param(name, type_) for name, type_ in _of_event.items()),
            *(_planned.c[name] for name in _of_message),
            _channels,
            _channels[1],
        ),
    )
    .on_conflict_do_nothing()
    .returning(*SETTLED)
)
_withdrawn = {"status": Status.WITHDRAWN, "reason": param("reason"), "lease_id": null(), "held_until": null()}
_scheduled = (message.c.chain_id == CHAIN, message.c.status == Status.SCHEDULED)
WITHDRAW = Statement(
    update(message)
    .where(*_scheduled, message.c.visit_id == ID, message.c.anchor == any_(param("anchors", ARRAY(Text))))
    .values(**_withdrawn)
    .returning(*SETTLED)
)
WITHDRAW_MATTERS = Statement(
    update(message)
    .where(
        *_scheduled,
        message.c.matter_id == any_(param("matter_ids", ARRAY(Uuid))),
        message.c.kind == any_(param("kinds", ARRAY(Text))),
    )
    .values(**_withdrawn)
    .returning(*SETTLED)
)
# To whom the matter is about: who was the survivor when it was written may be another by now.
SCHEDULE_AGAIN = Statement(
    update(message)
    .where(
        message.c.chain_id == CHAIN,
        message.c.matter_id == any_(param("matter_ids", ARRAY(Uuid))),
        message.c.kind == any_(param("kinds", ARRAY(Text))),
        message.c.status == Status.WITHDRAWN,
        matter.c.chain_id == CHAIN,
        matter.c.id == message.c.matter_id,
    )
    .values(status=Status.SCHEDULED, reason=null(), patient_id=matter.c.patient_id)
)
SCHEDULED_OF_PATIENT = Statement(
    select(message).where(*_scheduled, message.c.patient_id == any_(PATIENTS.all_ids(ID))).with_for_update(of=message)
)
_asked = rows("asked", patient_id=Uuid)
_awaiting = exists().where(*_scheduled, message.c.patient_id == any_(PATIENTS.all_ids(_asked.c.patient_id)))
WITH_SCHEDULED = Statement(select(_asked.c.patient_id).where(_awaiting))
_due = rows("new_due", message_id=Uuid, due_at=Instant)
MOVE = Statement(update(message).where(*_scheduled, message.c.id == _due.c.message_id).values(due_at=_due.c.due_at))

_about = (
    select(matter.c.about)
    .where(matter.c.chain_id == CHAIN, matter.c.id == message.c.matter_id)
    .scalar_subquery()
    .label("about")
)
_new_id, _rule = param("new_id", Uuid), param("rule", Text)
_new_channels, _new_due = param("channels", ARRAY(Text)), param("due_at", Instant)
_same = (
    "chain_id",
    "site_id",
    "patient_id",
    "visit_id",
    "matter_id",
    "kind",
    "cadence_version",
    "anchor",
    "offset_minutes",
    "text",
    "event_id",
)
_visit_now = (
    select(visit.c.start_at).where(visit.c.chain_id == CHAIN, visit.c.id == message.c.visit_id).scalar_subquery()
)
COPY = Statement(
    pg_insert(message).from_select(
        [*_same, "anchor_at", "until_at", "id", "rule", "for_start", "channels", "channel", "due_at", "status"],
        select(
            *(message.c[name] for name in _same),
            param("anchor_at", Instant),
            param("until_at", Instant),
            _new_id,
            _rule,
            _visit_now,
            _new_channels,
            param("channel", Text),
            _new_due,
            literal_column("'SCHEDULED'"),
        ).where(message.c.chain_id == CHAIN, message.c.id == ID),
    )
)
_ends = PATIENTS.each_end(visit.c.patient_id, "ends")
_known = patient.alias("known")
# Whoever has a visit that is not off, each once, in the zone of the survivor where that is known.
RECIPIENTS = Statement(
    select(_ends.c.id, func.min(func.coalesce(_known.c.time_zone, patient.c.time_zone)).label("time_zone"))
    .select_from(visit)
    .join(_ends, true())
    .join(patient, and_(patient.c.chain_id == CHAIN, patient.c.id == visit.c.patient_id))
    .outerjoin(_known, and_(_known.c.chain_id == CHAIN, _known.c.id == _ends.c.id))
    .where(
        visit.c.chain_id == CHAIN,
        visit.c.site_id == param("site_id", Uuid),
        visit.c.status.in_((literal_column("'BOOKED'"), literal_column("'CONFIRMED'"))),
        visit.c.start_at >= param("start_at", Instant),
        visit.c.start_at < param("end_at", Instant),
    )
    .group_by(_ends.c.id)
    .order_by(_ends.c.id)
    .limit(param("limit", Integer))
)
MESSAGE = Statement(select(message, _about).where(message.c.chain_id == CHAIN, message.c.id == ID))
_status, _site_id, _about_id = param("status", Text), param("site_id", Uuid), param("about_id", Uuid)
_due_by = message.c.due_at <= param("due_by", Instant)


def _listing(about: ColumnElement[bool]) -> Statement:
    later = tuple_(message.c.due_at, message.c.id) > tuple_(param("after_due", Instant), param("after_id", Uuid))
    in_status = or_(_status.is_(None), message.c.status == _status)
    return Statement(
        select(message, _about)
        .where(message.c.chain_id == CHAIN, about, in_status, _due_by, later)
        .order_by(message.c.due_at, message.c.id)
        .limit(param("limit", Integer))
    )


LISTINGS = {name: _listing(message.c[name] == _about_id) for name in ("visit_id", "site_id")} | {
    "patient_id": _listing(message.c.patient_id == any_(PATIENTS.all_ids(_about_id)))
}
_at_site = or_(_site_id.is_(None), message.c.site_id == _site_id)
COUNT = Statement(
    select(message.c.status, func.count().label("messages"))
    .where(message.c.chain_id == CHAIN, _at_site, _due_by)
    .group_by(message.c.status)
    .order_by(message.c.status)
)
NEXT_DUE = Statement(
    select(func.min(message.c.due_at).label("due_at")).where(message.c.chain_id == CHAIN, _at_site, UNSENT)
)


_phone = (message.c.chain_id == CHAIN, message.c.id == ID, message.c.status == literal_column("'SENT'"))
# Whatever its status: who settles it at this moment waits for the receipt, or the receipt for what was settled.
LOCKED = Statement(
    select(message.c.status, message.c.provider_id, message.c.channel, message.c.channels)
    .where(message.c.chain_id == CHAIN, message.c.id == ID)
    .with_for_update()
)
DELIVERED = Statement(
    update(message).where(*_phone).values(delivered_at=func.coalesce(message.c.delivered_at, param("now", Instant)))
)
_undelivered = {
    "passed_over": message.c.passed_over + param("passed_over", JSONB),
    "last_error": param("last_error"),
    "sent_at": null(),
    "delivered_at": null(),
}
UNDELIVERED = Statement(
    update(message)
    .where(*_phone)
    .values(**_undelivered, status=Status.FAILED, reason=Reason.UNDELIVERED)
    .returning(*SETTLED)
)
TRY_NEXT = Statement(
    update(message)
    .where(*_phone)
    .values(
        **_undelivered,
        status=Status.SCHEDULED,
        channel_attempts=literal_column("0"),
        channels=param("channels", ARRAY(Text)),
        channel=param("channel", Text),
        digest_id=null(),
    )
    .returning(*SETTLED)
)
LETTER = Statement(
    select(message.c.id, message.c.status, message.c.channels, message.c.kind, message.c.matter_id)
    .where(
        message.c.chain_id == CHAIN,
        or_(message.c.id == ID, message.c.digest_id == ID),
        message.c.status.in_((literal_column("'SENDING'"), literal_column("'SENT'"))),
        message.c.channel == Channel.EMAIL,
    )
    .order_by(message.c.id)
    .with_for_update()
)
EMAILED_TO = Statement(
    select(attempt.c.address_key)
    .where(attempt.c.chain_id == CHAIN, attempt.c.message_id == ID, attempt.c.channel == Channel.EMAIL)
    .order_by(attempt.c.number.desc())
    .limit(1)
)


class MessageStore(Store):
    async def add(
        self, site_id: UUID, event_id: UUID, cadence_version: int, planned: Sequence[tuple[UUID, Planned]]
    ) -> list[Settled]:
        """Each with the patient that it is written to. Those of the added that are settled from the start."""
        columns = [{"patient_id": patient_id, **_row(each)} for patient_id, each in planned]
        if not columns:
            return []
        added = await self.rows(
            ADD_MESSAGES,
            site_id=site_id,
            event_id=event_id,
            cadence_version=cadence_version,
            **{name: [row[name] for row in columns] for name in columns[0]},
        )
        return [settled_of(row) for row in added if row["status"] != Status.SCHEDULED]

    async def withdraw(self, visit_id: UUID, reason: Reason, anchors: Sequence[Anchor]) -> list[Settled]:
        """What has not begun to be sent of a visit's messages that are reckoned from one of the anchors."""
        found = await self.rows(WITHDRAW, id=visit_id, reason=reason, anchors=list(anchors))
        return [settled_of(row) for row in found]

    async def withdraw_matters(self, matter_ids: Sequence[UUID], kinds: Sequence[MessageKind]) -> list[Settled]:
        of = {"matter_ids": list(matter_ids), "kinds": list(kinds)}
        found = await self.rows(WITHDRAW_MATTERS, reason=Reason.MATTER_CLOSED, **of)
        return [settled_of(row) for row in found]

    async def schedule_again(self, matter_ids: Sequence[UUID], kinds: Sequence[MessageKind]) -> None:
        """What was withdrawn of matters that ask again."""
        await self.rows(SCHEDULE_AGAIN, matter_ids=list(matter_ids), kinds=list(kinds))

    async def with_scheduled(self, patient_ids: Sequence[UUID]) -> list[UUID]:
        """Those of the patients to whom, under any of their ids, something is still to go out."""
        return [row["patient_id"] for row in await self.rows(WITH_SCHEDULED, patient_id=patient_ids)]

    async def scheduled_of(self, patient_id: UUID) -> list[tuple[UUID, Timing]]:
        """Messages and when they were wanted; each stays as it is until the transaction ends."""
        return [(row["id"], timing_of(row)) for row in await self.rows(SCHEDULED_OF_PATIENT, id=patient_id)]

    async def move(self, due: Mapping[UUID, datetime]) -> None:
        await self.rows(MOVE, message_id=list(due), due_at=list(due.values()))

    async def message(self, message_id: UUID) -> Record:
        row = await self.row(MESSAGE, id=message_id)
        if row is None:
            raise MessageNotFound(message_id=to_wire("message", message_id))
        return row

    async def copy_message(
        self, message_id: UUID, rule: str, channels: Sequence[Channel], timing: Timing, due_at: datetime
    ) -> UUID:
        """Another of the same, which names the visit's time as it is now."""
        copied = new_id()
        told = {"new_id": copied, "rule": rule, "channels": list(channels), "channel": channels[0], "due_at": due_at}
        told |= {"anchor_at": timing.anchor_at, "until_at": timing.until}
        await self.rows(COPY, id=message_id, **told)
        return copied

    async def recipients(self, site_id: UUID, start: datetime, end: datetime, limit: int) -> dict[UUID, ZoneInfo]:
        """Patients with a visit then that is not off, each with their zone."""
        found = await self.rows(RECIPIENTS, site_id=site_id, start_at=start, end_at=end, limit=limit)
        return {row["id"]: ZoneInfo(row["time_zone"]) for row in found}

    async def sent_by_phone(self, message_id: UUID) -> Record | None:
        """Of a message that was sent as a text or a call; None of any other. It is locked, whatever it is."""
        row = await self.row(LOCKED, id=message_id)
        return row if row and row["status"] == Status.SENT and row["channel"] in BY_PHONE else None

    async def letter(self, message_id: UUID) -> list[Record]:
        """The messages that stood in an email, locked; those that are being sent, or have been."""
        return await self.rows(LETTER, id=message_id)

    async def emailed_to(self, message_id: UUID) -> bytes | None:
        """The digest of the address that it last went to, if it was known."""
        row = await self.row(EMAILED_TO, id=message_id)
        return row["address_key"] if row else None

    async def note_delivered(self, message_id: UUID) -> None:
        await self.rows(DELIVERED, id=message_id, now=self.call.now)

    async def undelivered(self, message_id: UUID, passed_over: PassedOver, left: Sequence[str]) -> Settled:
        """It goes by the channels that are left; without any it has failed."""
        told = {"passed_over": passed_over_to_json([passed_over]), "last_error": passed_over.code}
        if left:
            row = await self.row(TRY_NEXT, id=message_id, **told, channels=list(left), channel=left[0])
        else:
            row = await self.row(UNDELIVERED, id=message_id, **told)
        assert row  # It is locked.
        return settled_of(row)

    async def messages(
        self,
        about: str,
        about_id: UUID,
        status: Status | None,
        due_by: datetime,
        after: tuple[datetime, UUID],
        limit: int,
    ) -> list[Record]:
        """`about` is one of LISTINGS. In the order of their due times."""
        after_due, after_id = after
        place = {"after_due": after_due, "after_id": after_id, "limit": limit, "due_by": due_by}
        return await self.rows(LISTINGS[about], about_id=about_id, status=status, **place)

    async def counts(self, site_id: UUID | None, due_by: datetime) -> dict[Status, int]:
        found = await self.rows(COUNT, site_id=site_id, due_by=due_by)
        return {Status(row["status"]): row["messages"] for row in found}

    async def next_due(self, site_id: UUID | None) -> datetime | None:
        row = await self.row(NEXT_DUE, site_id=site_id)
        return row["due_at"] if row else None


def _row(planned: Planned) -> dict[str, object]:
    timing, rule = planned.timing, planned.rule
    status, reason = Status.SCHEDULED, None
    if planned.withdrawn:
        status, reason = Status.WITHDRAWN, WITHDRAWN_BECAUSE[planned.withdrawn]
    elif planned.too_late:
        status, reason = Status.SUPPRESSED, Reason.TOO_LATE
    return {
        "id": new_id(),
        "visit_id": planned.visit_id,
        "for_start": planned.for_start,
        "matter_id": planned.matter_id,
        "kind": rule.kind,
        "rule": rule.code,
        "anchor": timing.anchor,
        "anchor_at": timing.anchor_at,
        "offset_minutes": timing.offset // timedelta(minutes=1),
        "until_at": timing.until,
        "unless_confirmed": rule.unless_confirmed,
        "text": planned.text,
        "due_at": planned.due,
        "status": status,
        "reason": reason,
        "joined_channels": ",".join(rule.channels),
    }


def timing_of(row: Record) -> Timing:
    offset = timedelta(minutes=row["offset_minutes"])
    return Timing(Anchor(row["anchor"]), row["anchor_at"], offset, row["until_at"])


def settled_of(row: Record) -> Settled:
    return Settled(row["id"], row["patient_id"], row["visit_id"], row["site_id"], Status(row["status"]))


def passed_over_of(row: Record) -> tuple[PassedOver, ...]:
    return tuple(
        PassedOver(Channel(each["channel"]), Reason(each["reason"]), each["code"])
        for each in json.loads(row["passed_over"])
    )


def passed_over_to_json(passed_over: Sequence[PassedOver]) -> str:
    return json.dumps([{"channel": each.channel, "reason": each.reason, "code": each.code} for each in passed_over])
