"""All SQL of notifications: statements, compiled at import, and the store that turns rows into domain objects."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Integer,
    Interval,
    Text,
    Uuid,
    and_,
    any_,
    exists,
    func,
    null,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.aliases import Aliases, AliasStore
from chassis.errors import NotYetKnown
from chassis.ids import new_id, to_wire
from chassis.sql import Statement, param, params, rows
from chassis.tables import Instant
from services.notifications.domain import (
    Channel,
    MessageKind,
    MessageNotFound,
    Patient,
    Planned,
    Reason,
    Settle,
    Settled,
    Site,
    Status,
    Taken,
    TemplateRef,
    Visit,
    VisitStatus,
)
from services.notifications.tables import NO_CHAIN, UNSENT, chain, message, patient, patient_alias, site, visit

CHAIN, ID = param("chain_id", Uuid), param("id", Uuid)
FIRST = datetime(1, 1, 1, tzinfo=UTC), UUID(int=0)
"""Sorts before every message."""

_site = pg_insert(site).values(params(*site.c.keys()))
KEEP_SITE = Statement(
    _site.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={name: _site.excluded[name] for name in ("discreet_name", "time_zone", "address", "phone")},
    )
)
KEEP_CHAIN = Statement(pg_insert(chain).values(chain_id=CHAIN).on_conflict_do_nothing())
CHAINS = Statement(select(chain.c.chain_id).where(CHAIN == NO_CHAIN).order_by(chain.c.chain_id))
_told = rows("told", patient_id=Uuid, time_zone=Text, version=Integer)
_patient = pg_insert(patient).from_select(
    ["chain_id", "id", "time_zone", "version"],
    select(CHAIN, _told.c.patient_id, _told.c.time_zone, _told.c.version),
)
KEEP_PATIENTS = Statement(
    _patient.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={name: _patient.excluded[name] for name in ("time_zone", "version")},
        where=patient.c.version < _patient.excluded.version,
    )
)
PATIENTS = Aliases(patient_alias)
_end = PATIENTS.end(ID)
_zone = select(patient.c.time_zone).where(patient.c.chain_id == CHAIN, patient.c.id == _end)
PATIENT = Statement(select(_end.label("end_id"), _zone.scalar_subquery().label("time_zone")))
HAS_SITE = Statement(select(site.c.id).where(site.c.chain_id == CHAIN, site.c.id == ID))

_settled = tuple(message.c[name] for name in ("id", "patient_id", "visit_id", "site_id", "status"))
_booked = rows("booked", visit_id=Uuid, start_at=Instant, telehealth=Boolean)
_new_visits = pg_insert(visit).from_select(
    ["chain_id", "id", "site_id", "patient_id", "status", "start_at", "telehealth"],
    select(
        CHAIN,
        _booked.c.visit_id,
        param("site_id", Uuid),
        param("patient_id", Uuid),
        param("booked", Text),
        _booked.c.start_at,
        _booked.c.telehealth,
    ),
)
KEEP_VISITS = Statement(
    _new_visits.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={name: _new_visits.excluded[name] for name in ("start_at", "telehealth")},
    ).returning(visit.c.id, visit.c.status)
)
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
    .returning(*_settled)
)
_off = pg_insert(visit).values(params("chain_id", "id", "site_id", "patient_id", "status"))
CALL_OFF = Statement(
    _off.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={"status": _off.excluded.status},
        where=visit.c.status == VisitStatus.BOOKED,
    )
)
WITHDRAW = Statement(
    update(message)
    .where(message.c.chain_id == CHAIN, message.c.visit_id == ID, message.c.status == Status.SCHEDULED)
    .values(status=Status.WITHDRAWN, reason=param("reason"), lease_id=null(), held_until=null())
    .returning(*_settled)
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

_real_now = func.clock_timestamp()
_ripe = (
    select(message.c.id)
    .where(
        message.c.chain_id == CHAIN,
        UNSENT,
        message.c.due_at <= param("now", Instant),
        or_(message.c.held_until.is_(None), message.c.held_until < _real_now),
    )
    .order_by(message.c.due_at, message.c.id)
    .limit(param("limit", Integer))
    .with_for_update(skip_locked=True)
    .cte("ripe")
)
_leased = (
    update(message)
    .where(message.c.chain_id == CHAIN, message.c.id == _ripe.c.id)
    .values(lease_id=param("lease_id"), held_until=_real_now + param("hold", Interval))
    .returning(*message.c)
    .cte("leased")
)
# It goes to the survivor; in the patient's own zone until the survivor's is known.
_goes_to = PATIENTS.each_end(_leased.c.patient_id, "goes_to")
_recipient = patient.alias("recipient")
TAKE = Statement(
    select(
        _leased,
        _goes_to.c.id.label("recipient_id"),
        func.coalesce(_recipient.c.time_zone, patient.c.time_zone).label("time_zone"),
        visit.c.status.label("visit_status"),
        visit.c.start_at,
        visit.c.telehealth,
        site.c.discreet_name,
        site.c.time_zone.label("site_zone"),
        site.c.address,
        site.c.phone,
    )
    .join(patient, and_(patient.c.chain_id == CHAIN, patient.c.id == _leased.c.patient_id))
    .join(_goes_to, true())
    .outerjoin(_recipient, and_(_recipient.c.chain_id == CHAIN, _recipient.c.id == _goes_to.c.id))
    .join(visit, and_(visit.c.chain_id == CHAIN, visit.c.id == _leased.c.visit_id))
    .join(site, and_(site.c.chain_id == CHAIN, site.c.id == _leased.c.site_id))
    .order_by(_leased.c.due_at, _leased.c.id)
)
_held = (
    message.c.chain_id == CHAIN,
    message.c.id == ID,
    message.c.lease_id == param("lease_id", Uuid),
)
"""Whoever lost the lease, be it to another sender or to a withdrawal, changes nothing."""
BEGIN = Statement(
    update(message)
    .where(*_held)
    .values(
        status=Status.SENDING,
        attempts=message.c.attempts + 1,
        held_until=_real_now + param("hold", Interval),
        **params("template", "template_version", "template_language"),
    )
    .returning(message.c.attempts)
)
_last_error = func.coalesce(param("last_error", Text), message.c.last_error)
RENEW = Statement(update(message).where(*_held).values(held_until=_real_now + param("hold", Interval)))
SETTLE = Statement(
    update(message)
    .where(*_held)
    .values(last_error=_last_error, lease_id=null(), held_until=null(), **params("status", "reason", "sent_at"))
    .returning(*_settled)
)
RELEASE = Statement(
    update(message)
    .where(*_held)
    .values(
        status=param("status"),
        due_at=func.coalesce(param("due_at", Instant), message.c.due_at),
        last_error=_last_error,
        lease_id=null(),
        held_until=_real_now + param("hold", Interval),
    )
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


class NotificationsStore(AliasStore):
    aliases = PATIENTS

    async def chains(self) -> list[UUID]:
        """All that are known, for a call of NO_CHAIN; none for any other."""
        return [row["chain_id"] for row in await self.rows(CHAINS)]

    async def keep_site(self, known: Site) -> None:
        await self.rows(KEEP_CHAIN)
        values = {"discreet_name": known.discreet_name, "address": known.address, "phone": known.phone}
        await self.rows(KEEP_SITE, id=known.id, time_zone=known.zone.key, **values)

    async def keep_patients(self, told: Sequence[Patient]) -> None:
        """Each once; unless what is known is newer."""
        await self.rows(
            KEEP_PATIENTS,
            patient_id=[each.id for each in told],
            time_zone=[each.zone.key for each in told],
            version=[each.version for each in told],
        )

    async def patient(self, patient_id: UUID) -> tuple[UUID, ZoneInfo]:
        """To whom messages are written, and their zone; of a merged patient the survivor, who must be known."""
        row = await self.row(PATIENT, id=patient_id)
        assert row
        if row["time_zone"] is None:
            raise NotYetKnown("patient", row["end_id"])
        return row["end_id"], ZoneInfo(row["time_zone"])

    async def zone_of_patient(self, patient_id: UUID) -> ZoneInfo | None:
        """Of a merged patient the survivor's; None while that one is not known."""
        row = await self.row(PATIENT, id=patient_id)
        return ZoneInfo(row["time_zone"]) if row and row["time_zone"] else None

    async def require_site(self, site_id: UUID) -> None:
        if await self.row(HAS_SITE, id=site_id) is None:
            raise NotYetKnown("site", site_id)

    async def keep_visits(self, site_id: UUID, patient_id: UUID, visits: Sequence[Visit]) -> dict[UUID, VisitStatus]:
        """What each visit's status is now: one may have been called off before it was known to be booked."""
        kept = await self.rows(
            KEEP_VISITS,
            site_id=site_id,
            patient_id=patient_id,
            booked=VisitStatus.BOOKED,
            visit_id=[visit.id for visit in visits],
            start_at=[visit.start for visit in visits],
            telehealth=[visit.telehealth for visit in visits],
        )
        return {row["id"]: VisitStatus(row["status"]) for row in kept}

    async def call_off(self, visit_id: UUID, site_id: UUID, patient_id: UUID, status: VisitStatus) -> None:
        await self.rows(CALL_OFF, id=visit_id, site_id=site_id, patient_id=patient_id, status=status)

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
        return [_settled_message(row) for row in added if row["status"] != Status.SCHEDULED]

    async def withdraw(self, visit_id: UUID, reason: Reason) -> list[Settled]:
        """What has not begun to be sent of a visit's messages."""
        return [_settled_message(row) for row in await self.rows(WITHDRAW, id=visit_id, reason=reason)]

    async def with_scheduled(self, patient_ids: Sequence[UUID]) -> list[UUID]:
        """Those of the patients to whom, under any of their ids, something is still to go out."""
        return [row["patient_id"] for row in await self.rows(WITH_SCHEDULED, patient_id=patient_ids)]

    async def scheduled_of(self, patient_id: UUID) -> list[tuple[UUID, MessageKind, datetime]]:
        """Message, kind and start of its visit; each stays as it is until the transaction ends."""
        found = await self.rows(SCHEDULED_OF_PATIENT, id=patient_id)
        return [(row["id"], MessageKind(row["kind"]), row["start_at"]) for row in found]

    async def move(self, due: Mapping[UUID, datetime]) -> None:
        await self.rows(MOVE, message_id=list(due), due_at=list(due.values()))

    async def take(self, limit: int, hold: timedelta) -> list[Taken]:
        """Leases what is due and nobody else holds: no other sender takes it before `hold` of real time has passed."""
        lease_id = new_id()
        found = await self.rows(TAKE, now=self.call.now, limit=limit, lease_id=lease_id, hold=hold)
        return [_taken(row) for row in found]

    async def begin(self, taken: Taken, template: TemplateRef, hold: timedelta) -> int | None:
        """Writes down that the message is about to be sent, and with what; its attempts, or None: it is not ours."""
        row = await self.row(
            BEGIN,
            id=taken.id,
            lease_id=taken.lease_id,
            hold=hold,
            template=template.code,
            template_version=template.version,
            template_language=template.language,
        )
        return row["attempts"] if row else None

    async def renew(self, taken: Taken, hold: timedelta) -> None:
        await self.rows(RENEW, id=taken.id, lease_id=taken.lease_id, hold=hold)

    async def settle_message(self, taken: Taken, end: Settle) -> Settled | None:
        """None: it was no longer ours to settle."""
        row = await self.row(
            SETTLE,
            id=taken.id,
            lease_id=taken.lease_id,
            status=end.status,
            reason=end.reason,
            last_error=end.error,
            sent_at=self.call.now if end.status is Status.SENT else None,
        )
        return _settled_message(row) if row else None

    async def release(
        self, taken: Taken, status: Status, hold: timedelta, *, error: str | None = None, due: datetime | None = None
    ) -> None:
        """Another try, by whoever takes it after `hold`."""
        ours = {"id": taken.id, "lease_id": taken.lease_id}
        await self.rows(RELEASE, **ours, status=status, hold=hold, last_error=error, due_at=due)

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


def _settled_message(row: Record) -> Settled:
    return Settled(row["id"], row["patient_id"], row["visit_id"], row["site_id"], Status(row["status"]))


def _taken(row: Record) -> Taken:
    return Taken(
        id=row["id"],
        lease_id=row["lease_id"],
        kind=MessageKind(row["kind"]),
        status=Status(row["status"]),
        attempts=row["attempts"],
        event_id=row["event_id"],
        recipient_id=row["recipient_id"],
        zone=ZoneInfo(row["time_zone"]),
        visit=Visit(row["visit_id"], VisitStatus(row["visit_status"]), row["start_at"], row["telehealth"]),
        site=Site(row["site_id"], row["discreet_name"], ZoneInfo(row["site_zone"]), row["address"], row["phone"]),
    )
