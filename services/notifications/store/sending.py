"""What a sender does with a message under its lease."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import (
    ARRAY,
    CTE,
    Boolean,
    Integer,
    Interval,
    LargeBinary,
    Text,
    Uuid,
    and_,
    any_,
    case,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import new_id
from chassis.money import Money
from chassis.sql import Statement, param, params
from chassis.store import Store
from chassis.tables import Instant
from services.notifications.domain.caps import Cap, Since
from services.notifications.domain.digests import COMBINED
from services.notifications.domain.hours import SendingHours
from services.notifications.domain.kinds import Channel, MessageKind, come_before
from services.notifications.domain.matters import Matter, MatterKind, Offered
from services.notifications.domain.messages import PassedOver, Reason, Settled, Status, TemplateRef
from services.notifications.domain.sending import Policy, Settle, Taken
from services.notifications.domain.visits import Site, Visit, instructions_of
from services.notifications.store.copies import CHAIN, ID, PATIENTS, visit_of
from services.notifications.store.messages import SETTLED, passed_over_of, passed_over_to_json, settled_of, timing_of
from services.notifications.tables import (
    UNSENT,
    attempt,
    matter,
    message,
    not_taken,
    patient,
    pause,
    policy,
    protocol_version,
    site,
    visit,
)

_real_now = func.clock_timestamp()
_paused = exists().where(
    pause.c.chain_id == CHAIN,
    pause.c.end_at.is_(None),
    or_(pause.c.site_id.is_(None), pause.c.site_id == message.c.site_id),
    or_(pause.c.channel.is_(None), pause.c.channel == message.c.channel),
    or_(pause.c.kind.is_(None), pause.c.kind == message.c.kind),
)
_ripe = (
    select(message.c.id)
    .where(
        message.c.chain_id == CHAIN,
        UNSENT,
        message.c.due_at <= param("now", Instant),
        or_(message.c.held_until.is_(None), message.c.held_until < _real_now),
        or_(message.c.digest_id.is_(None), message.c.digest_id == message.c.id),
        ~_paused,
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
_of_visit = ("start_at", "end_at", "telehealth", "visit_type_code", "protocol_id", "protocol_version_id")
_of_offer = ("offer_start_at", "offer_end_at", "offer_telehealth", "offer_until_at")
_of_matter = ("amount_minor", "currency", "due_date", "number", "about", "closed_at", *_of_offer)
_of_policy = ("begin_at", "end_at", "texts_a_day", "texts_a_week", "link_base_url", "digest_at")
_of_version = and_(protocol_version.c.chain_id == CHAIN, protocol_version.c.id == visit.c.protocol_version_id)


def _with_all(found: CTE) -> Statement:
    """Messages with all that decides what becomes of them. Each goes to the survivor; in the patient's own zone until
    the survivor's is known."""
    goes_to = PATIENTS.each_end(found.c.patient_id, "goes_to")
    recipient = patient.alias("recipient")
    return Statement(
        select(
            found,
            goes_to.c.id.label("recipient_id"),
            func.coalesce(recipient.c.time_zone, patient.c.time_zone).label("time_zone"),
            visit.c.status.label("visit_status"),
            *(visit.c[name] for name in _of_visit),
            matter.c.kind.label("matter_kind"),
            *(matter.c[name] for name in _of_matter),
            *(policy.c[name].label(f"policy_{name}") for name in _of_policy),
            protocol_version.c.instructions,
            site.c.discreet_name,
            site.c.time_zone.label("site_zone"),
            site.c.address,
            site.c.phone,
        )
        .join(patient, and_(patient.c.chain_id == CHAIN, patient.c.id == found.c.patient_id))
        .join(goes_to, true())
        .outerjoin(recipient, and_(recipient.c.chain_id == CHAIN, recipient.c.id == goes_to.c.id))
        .outerjoin(visit, and_(visit.c.chain_id == CHAIN, visit.c.id == found.c.visit_id))
        .outerjoin(protocol_version, _of_version)
        .outerjoin(matter, and_(matter.c.chain_id == CHAIN, matter.c.id == found.c.matter_id))
        .outerjoin(policy, policy.c.chain_id == CHAIN)
        .join(site, and_(site.c.chain_id == CHAIN, site.c.id == found.c.site_id))
        .order_by(found.c.due_at, found.c.id)
    )


TAKE = _with_all(_leased)
# What else is due to the same patient by the same channel: whoever began to send one of them is found out when the
# letter is begun. What waits for another attempt waits on; what was put off before its first does not.
TO_COMBINE = _with_all(
    select(message)
    .where(
        message.c.chain_id == CHAIN,
        message.c.status == Status.SCHEDULED,
        message.c.patient_id == any_(PATIENTS.all_ids(ID)),
        message.c.id != param("but_id", Uuid),
        message.c.site_id == param("site_id", Uuid),
        message.c.channel == param("channel", Text),
        message.c.kind == any_(param("kinds", ARRAY(Text))),
        message.c.due_at <= param("now", Instant),
        or_(
            message.c.held_until.is_(None),
            message.c.held_until < _real_now,
            message.c.lease_id.is_not(None),
            message.c.channel_attempts == literal_column("0"),
        ),
        ~_paused,
    )
    .order_by(message.c.due_at, message.c.id)
    .limit(param("limit", Integer))
    .cte("others")
)
_in_letter = (message.c.chain_id == CHAIN, message.c.digest_id == ID, message.c.id != ID)
# Of a letter whose sender died: its messages come under the lease of whoever took it up.
RETAKE_OTHERS = _with_all(
    update(message)
    .where(*_in_letter, message.c.status == Status.SENDING)
    .values(lease_id=param("lease_id", Uuid))
    .returning(*message.c)
    .cte("others")
)
_held = (
    message.c.chain_id == CHAIN,
    message.c.id == ID,
    message.c.lease_id == param("lease_id", Uuid),
)
"""Whoever lost the lease, be it to another sender or to a withdrawal, changes nothing."""
_channel = param("channel", Text)
_begun = (
    update(message)
    .where(*_held)
    .values(
        status=Status.SENDING,
        attempts=message.c.attempts + 1,
        channel_attempts=case((message.c.channel == _channel, message.c.channel_attempts), else_=literal_column("0"))
        + 1,
        channel=_channel,
        channels=param("channels", ARRAY(Text)),
        passed_over=message.c.passed_over + param("passed_over", JSONB),
        held_until=_real_now + param("hold", Interval),
        digest_id=param("digest_id", Uuid),
        **params("template", "template_version", "template_language"),
    )
    .returning(message.c.chain_id, message.c.id, message.c.channel_attempts)
    .cte("begun")
)
NOTE_NOT_TAKEN = Statement(
    pg_insert(not_taken).from_select(
        ["chain_id", "message_id", "number"],
        select(attempt.c.chain_id, attempt.c.message_id, func.max(attempt.c.number))
        .join(message, and_(message.c.chain_id == attempt.c.chain_id, message.c.id == attempt.c.message_id))
        .where(attempt.c.chain_id == CHAIN, *_held)
        .group_by(attempt.c.chain_id, attempt.c.message_id),
    )
)
_earlier = (
    select(func.coalesce(func.max(attempt.c.number), 0))
    .where(attempt.c.chain_id == CHAIN, attempt.c.message_id == _begun.c.id)
    .scalar_subquery()
)
_attempt = (
    pg_insert(attempt)
    .from_select(
        ["chain_id", "message_id", "number", "channel", "begun_at", "address_key", "counts"],
        select(
            _begun.c.chain_id,
            _begun.c.id,
            _earlier + 1,
            _channel,
            param("now", Instant),
            param("address_key", LargeBinary),
            param("counts", Boolean),
        ),
    )
    .cte("noted")
)
BEGIN = Statement(select(_begun.c.channel_attempts).add_cte(_attempt))
BEGIN_OTHERS = Statement(
    update(message)
    .where(
        message.c.chain_id == CHAIN,
        message.c.id == any_(param("ids", ARRAY(Uuid))),
        or_(message.c.status == Status.SCHEDULED, message.c.digest_id == ID),
    )
    .values(
        status=Status.SENDING,
        attempts=message.c.attempts + 1,
        channel_attempts=message.c.channel_attempts + 1,
        digest_id=ID,
        lease_id=param("lease_id", Uuid),
        **params("template", "template_version", "template_language"),
    )
    .returning(message.c.id)
)
SETTLE_OTHERS = Statement(
    update(message)
    .where(*_in_letter, message.c.status == Status.SENDING)
    .values(status=Status.UNKNOWN, reason=Reason.NO_ANSWER, lease_id=null(), held_until=null())
    .returning(*SETTLED)
)
_last_error = func.coalesce(param("last_error", Text), message.c.last_error)
_more_passed_over = message.c.passed_over + param("passed_over", JSONB)
RENEW = Statement(update(message).where(*_held).values(held_until=_real_now + param("hold", Interval)))
SETTLE = Statement(
    update(message)
    .where(*_held)
    .values(
        last_error=_last_error,
        passed_over=_more_passed_over,
        provider_id=func.coalesce(param("provider_id", Text), message.c.provider_id),
        lease_id=null(),
        held_until=null(),
        **params("status", "reason", "sent_at"),
    )
    .returning(*SETTLED)
)
RELEASE = Statement(
    update(message)
    .where(*_held)
    .values(
        status=param("status"),
        digest_id=case((param("status", Text) == Status.SENDING, message.c.digest_id), else_=null()),
        due_at=func.coalesce(param("due_at", Instant), message.c.due_at),
        last_error=_last_error,
        lease_id=null(),
        held_until=_real_now + param("hold", Interval),
    )
)
_to_next = {
    "status": Status.SCHEDULED,
    "channel_attempts": literal_column("0"),
    "channels": param("channels", ARRAY(Text)),
    "channel": param("channel", Text),
    "passed_over": _more_passed_over,
    "last_error": _last_error,
    "lease_id": null(),
    "held_until": null(),
    "digest_id": null(),
}
NEXT_CHANNEL = Statement(update(message).where(*_held).values(**_to_next))
_key = param("address_key", LargeBinary)
_went_out = ~exists().where(
    not_taken.c.chain_id == attempt.c.chain_id,
    not_taken.c.message_id == attempt.c.message_id,
    not_taken.c.number == attempt.c.number,
)
_text = (attempt.c.chain_id == CHAIN, attempt.c.address_key == _key, attempt.c.counts, _went_out)
_day_at, _week_at = param("day_at", Instant), param("week_at", Instant)
TEXTS = Statement(
    select(
        func.count().filter(attempt.c.begun_at >= _day_at).label("today"),
        func.count().label("in_week"),
    ).where(*_text, attempt.c.begun_at >= _week_at)
)
PAUSED = Statement(
    select(pause.c.id)
    .where(
        pause.c.chain_id == CHAIN,
        pause.c.end_at.is_(None),
        or_(pause.c.site_id.is_(None), pause.c.site_id == param("site_id", Uuid)),
        pause.c.channel == _channel,
    )
    .limit(1)
)
# Texts of a patient that are to go out until the day is over, and come before one of this rank.
BEFORE = Statement(
    select(func.count().label("texts")).where(
        message.c.chain_id == CHAIN,
        message.c.patient_id == any_(PATIENTS.all_ids(ID)),
        message.c.status == Status.SCHEDULED,
        message.c.channel == Channel.SMS,
        message.c.kind == any_(param("kinds", ARRAY(Text))),
        message.c.due_at < param("day_end_at", Instant),
    )
)


class SendingStore(Store):
    async def take(self, limit: int, hold: timedelta) -> list[Taken]:
        """Leases what is due and nobody else holds: no other sender takes it before `hold` of real time has passed."""
        lease_id = new_id()
        found = await self.rows(TAKE, now=self.call.now, limit=limit, lease_id=lease_id, hold=hold)
        return [_taken(row) for row in found]

    async def begin(
        self,
        taken: Taken,
        channel: Channel,
        passed_over: Sequence[PassedOver],
        template: TemplateRef,
        hold: timedelta,
        address_key: bytes | None = None,
        *,
        counts: bool = False,
        digest_id: UUID | None = None,
    ) -> int | None:
        """Writes down that the message is about to be sent, by what and with what; its attempts by this channel, or
        None: it is not ours."""
        channels = list(taken.channels[taken.channels.index(channel) :])
        row = await self.row(
            BEGIN,
            id=taken.id,
            lease_id=taken.lease_id,
            hold=hold,
            now=self.call.now,
            channel=channel,
            channels=channels,
            passed_over=passed_over_to_json(passed_over),
            template=template.code,
            template_version=template.version,
            template_language=template.language,
            address_key=address_key,
            counts=counts,
            digest_id=digest_id,
        )
        return row["channel_attempts"] if row else None

    async def to_combine(self, taken: Taken, limit: int) -> list[Taken]:
        """What may stand in one letter with a message that is held, as far as the database can tell."""
        found = await self.rows(
            TO_COMBINE,
            id=taken.recipient_id,
            but_id=taken.id,
            site_id=taken.site.id,
            channel=taken.channels[0],
            kinds=sorted(COMBINED),
            now=self.call.now,
            limit=limit,
        )
        return [_taken(row) for row in found]

    async def retake_others(self, taken: Taken) -> list[Taken]:
        """The others in a letter that may be out."""
        return [_taken(row) for row in await self.rows(RETAKE_OTHERS, id=taken.id, lease_id=taken.lease_id)]

    async def begin_others(self, taken: Taken, others: Sequence[Taken], template: TemplateRef) -> bool:
        """Whether all of them can be sent with it: none was withdrawn meanwhile, or is being sent by somebody else."""
        begun = await self.rows(
            BEGIN_OTHERS,
            id=taken.id,
            ids=[each.id for each in others],
            lease_id=others[0].lease_id,
            template=template.code,
            template_version=template.version,
            template_language=template.language,
        )
        return len(begun) == len(others)

    async def leave_others_in_doubt(self, taken: Taken) -> list[Settled]:
        """Of a letter that may be out and is not sent again."""
        return [settled_of(row) for row in await self.rows(SETTLE_OTHERS, id=taken.id)]

    async def texts_to(self, address_key: bytes, since: Since) -> tuple[int, int]:
        """How many texts and calls that count may have gone out to an address, today and in the week."""
        row = await self.row(TEXTS, address_key=address_key, day_at=since.day, week_at=since.week)
        assert row
        return row["today"], row["in_week"]

    async def note_not_taken(self, taken: Taken) -> None:
        """Of the last attempt of a message that is still held. That of another sender is not ours to judge."""
        await self.rows(NOTE_NOT_TAKEN, id=taken.id, lease_id=taken.lease_id)

    async def is_paused(self, channel: Channel, site_id: UUID) -> bool:
        """Whether messages of a site that are to go by this channel wait."""
        return await self.row(PAUSED, channel=channel, site_id=site_id) is not None

    async def texts_before(self, taken: Taken, day_end: datetime) -> int:
        """Texts to the same person that are still to go out until `day_end` and come first by their rank."""
        kinds = sorted(come_before(taken.kind))
        row = await self.row(BEFORE, id=taken.recipient_id, kinds=kinds, day_end_at=day_end)
        assert row
        return int(row["texts"])

    async def renew(self, taken: Taken, hold: timedelta) -> None:
        await self.rows(RENEW, id=taken.id, lease_id=taken.lease_id, hold=hold)

    async def settle_message(self, taken: Taken, end: Settle, provider_id: str | None) -> Settled | None:
        """None: it was no longer ours to settle."""
        row = await self.row(
            SETTLE,
            id=taken.id,
            lease_id=taken.lease_id,
            status=end.status,
            reason=end.reason,
            last_error=end.error,
            passed_over=passed_over_to_json(end.passed_over),
            provider_id=provider_id,
            sent_at=self.call.now if end.status is Status.SENT else None,
        )
        return settled_of(row) if row else None

    async def release(
        self, taken: Taken, status: Status, hold: timedelta, *, error: str | None = None, due: datetime | None = None
    ) -> None:
        """Another try, by whoever takes it after `hold`."""
        ours = {"id": taken.id, "lease_id": taken.lease_id}
        await self.rows(RELEASE, **ours, status=status, hold=hold, last_error=error, due_at=due)

    async def next_channel(self, taken: Taken, passed_over: Sequence[PassedOver]) -> None:
        """Another try by the channel after these."""
        ours = {"id": taken.id, "lease_id": taken.lease_id}
        left = taken.channels[taken.channels.index(passed_over[-1].channel) + 1 :]
        told = {"passed_over": passed_over_to_json(passed_over), "last_error": passed_over[-1].code or None}
        await self.rows(NEXT_CHANNEL, **ours, **told, channels=list(left), channel=left[0])


def _taken(row: Record) -> Taken:
    known: dict[str, Any] = {}
    if row["policy_begin_at"] is not None:
        known["policy"] = _policy(row)
    return Taken(
        id=row["id"],
        lease_id=row["lease_id"],
        kind=MessageKind(row["kind"]),
        status=Status(row["status"]),
        attempts=row["channel_attempts"],
        event_id=row["event_id"],
        recipient_id=row["recipient_id"],
        zone=ZoneInfo(row["time_zone"]),
        timing=timing_of(row),
        channels=tuple(Channel(each) for each in row["channels"]),
        passed_over=passed_over_of(row),
        site=Site(row["site_id"], row["discreet_name"], ZoneInfo(row["site_zone"]), row["address"], row["phone"]),
        visit=_visit(row) if row["visit_id"] else None,
        for_start=row["for_start"],
        matter=_matter(row) if row["matter_id"] else None,
        matter_closed=row["closed_at"] is not None,
        unless_confirmed=row["unless_confirmed"],
        announcement=row["text"] or "",
        due=row["due_at"],
        digest_id=row["digest_id"],
        **known,
    )


def _visit(row: Record) -> Visit:
    known = visit_of(row, "visit_id", "visit_status")
    told = json.loads(row["instructions"]) if row["instructions"] else []
    return replace(known, instructions=instructions_of(told, known))


def _policy(row: Record) -> Policy:
    hours = SendingHours(row["policy_begin_at"], row["policy_end_at"])
    courtesy = Cap(row["policy_texts_a_day"], row["policy_texts_a_week"])
    return Policy(hours, courtesy, row["policy_link_base_url"], row["policy_digest_at"])


def _matter(row: Record) -> Matter:
    amount = None if row["amount_minor"] is None else Money(row["amount_minor"], row["currency"])
    kind = MatterKind(row["matter_kind"])
    of = row["site_id"], row["patient_id"]
    offered = Offered(*(row[name] for name in _of_offer)) if kind is MatterKind.OFFER else None
    return Matter(row["matter_id"], kind, *of, amount, row["due_date"], row["number"], row["about"], offered=offered)
