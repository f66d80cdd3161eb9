"""What a sender does with a message under its lease."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import (
    Integer,
    Interval,
    Text,
    Uuid,
    and_,
    func,
    null,
    or_,
    select,
    true,
    update,
)

from chassis.ids import new_id
from chassis.sql import Statement, param, params
from chassis.store import Store
from chassis.tables import Instant
from services.notifications.domain.messages import MessageKind, Settle, Settled, Status, Taken, TemplateRef
from services.notifications.domain.visits import Site, Visit, VisitStatus
from services.notifications.store.copies import CHAIN, ID, PATIENTS
from services.notifications.store.messages import SETTLED, settled_of
from services.notifications.tables import UNSENT, message, patient, site, visit

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
    .returning(*SETTLED)
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


class SendingStore(Store):
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
        return settled_of(row) if row else None

    async def release(
        self, taken: Taken, status: Status, hold: timedelta, *, error: str | None = None, due: datetime | None = None
    ) -> None:
        """Another try, by whoever takes it after `hold`."""
        ours = {"id": taken.id, "lease_id": taken.lease_id}
        await self.rows(RELEASE, **ours, status=status, hold=hold, last_error=error, due_at=due)


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
