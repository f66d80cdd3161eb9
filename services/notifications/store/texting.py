"""Receipts, who was texted where, suppressions, replies and the answers to them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Integer,
    Interval,
    LargeBinary,
    Text,
    Uuid,
    and_,
    any_,
    delete,
    func,
    null,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import new_id, to_wire
from chassis.keyring import Sealed
from chassis.sql import Statement, param, params, rows
from chassis.store import Settling, Store
from chassis.tables import Instant
from services.notifications.domain.replies import (
    Answer,
    AnswerKind,
    AnswerState,
    LastTexted,
    Meaning,
    Reply,
    ReplyNotFound,
    ReplyState,
)
from services.notifications.domain.texting import (
    EVERY_SENDER,
    Addressed,
    Giver,
    Method,
    Receipt,
    Suppression,
    SuppressionKind,
    SuppressionNotFound,
)
from services.notifications.domain.visits import VisitStatus
from services.notifications.store.copies import CHAIN, ID, PATIENTS
from services.notifications.tables import STANDING, WAITING, answer, receipt, reply, site, suppression, texted, visit

_now = func.clock_timestamp()
KEEP_RECEIPT = Statement(
    pg_insert(receipt).values(params(*receipt.c.keys())).on_conflict_do_nothing().returning(receipt.c.provider_id)
)
RECEIPTS_OF_MESSAGES = Statement(
    select(receipt)
    .where(receipt.c.chain_id == CHAIN, receipt.c.message_id == any_(param("message_ids", ARRAY(Uuid))))
    .order_by(receipt.c.message_id, receipt.c.at)
)

_texted = pg_insert(texted).values(params(*texted.c.keys()))
NOTE_TEXTED = Statement(
    _texted.on_conflict_do_update(
        index_elements=["chain_id", "address_key", "sender", "patient_id"],
        set_={name: _texted.excluded[name] for name in ("site_id", "visit_id", "to_companion", "language", "last_at")},
        where=texted.c.last_at <= _texted.excluded.last_at,
    )
)


def _live(of: FromClause) -> ColumnElement[bool]:
    return or_(of.c.status == VisitStatus.BOOKED, of.c.status == VisitStatus.CONFIRMED)


def _next_of(patient_id: ColumnElement[UUID], is_meant: ColumnElement[bool]) -> ColumnElement[UUID]:
    """The next visit of a patient, under any of their ids, of those that are meant."""
    return (
        select(visit.c.id)
        .where(
            visit.c.chain_id == CHAIN,
            visit.c.patient_id == any_(PATIENTS.all_ids(patient_id)),
            is_meant,
            visit.c.start_at > param("after", Instant),
        )
        .order_by(visit.c.start_at, visit.c.id)
        .limit(1)
        .scalar_subquery()
    )


_told_of = visit.alias("told_of")
_still_to_come = and_(_live(_told_of), _told_of.c.start_at > param("after", Instant))
_goes_to = PATIENTS.each_end(texted.c.patient_id, "goes_to")
TEXTED_AT = Statement(
    select(
        _goes_to.c.id.label("patient_id"),
        texted.c.site_id,
        texted.c.to_companion,
        texted.c.language,
        texted.c.visit_id.is_not(None).label("named_visit"),
        _told_of.c.id.label("told_visit_id"),
        (_told_of.c.status == VisitStatus.BOOKED).label("told_is_booked"),
        _next_of(texted.c.patient_id, visit.c.status == VisitStatus.BOOKED).label("next_booked_id"),
        _next_of(texted.c.patient_id, _live(visit)).label("next_visit_id"),
    )
    .select_from(texted)
    .join(_goes_to, true())
    .outerjoin(_told_of, and_(_told_of.c.chain_id == CHAIN, _told_of.c.id == texted.c.visit_id, _still_to_come))
    .where(
        texted.c.chain_id == CHAIN,
        texted.c.address_key == param("address_key", LargeBinary),
        texted.c.sender == any_(param("senders", ARRAY(Text))),
    )
    .order_by(texted.c.last_at.desc(), texted.c.patient_id)
    .limit(param("limit", Integer))
)
FORGET_TEXTED = Statement(delete(texted).where(texted.c.chain_id == CHAIN, texted.c.last_at < param("before", Instant)))

_texted_stop = and_(
    suppression.c.kind == SuppressionKind.OPT_OUT,
    or_(suppression.c.method == Method.REPLY, suppression.c.method == Method.RECEIPT),
)
SUPPRESSED = Statement(
    select(suppression.c.address_key)
    .where(
        suppression.c.chain_id == CHAIN,
        suppression.c.channel == any_(param("channels", ARRAY(Text))),
        or_(suppression.c.channel == param("channel", Text), _texted_stop),
        suppression.c.address_key == any_(param("address_keys", ARRAY(LargeBinary))),
        or_(suppression.c.sender == param("sender", Text), suppression.c.sender == EVERY_SENDER),
        STANDING,
    )
    .distinct()
)
_senders = rows("senders", id=Uuid, sender=Text)
_said = ("channel", "address_key", "kind", "method", "patient_id", "site_id", "giver", "note", "created_by")
SUPPRESS = Statement(
    pg_insert(suppression)
    .from_select(
        ["chain_id", "id", "sender", *_said, "created_at", "version", "lift_note"],
        select(
            CHAIN,
            _senders.c.id,
            _senders.c.sender,
            *(param(name, suppression.c[name].type) for name in _said),
            param("created_at", Instant),
            param("first_version", Integer),
            param("no_note", Text),
        ),
    )
    .on_conflict_do_nothing()
    .returning(suppression)
)
_this_suppression = (suppression.c.chain_id == CHAIN, suppression.c.id == ID)
SUPPRESSION_TO_CHANGE = Statement(select(suppression).where(*_this_suppression).with_for_update())
_lift = ("version", "lifted_at", "lifted_by", "lift_note", "lift_method")
LIFT = Statement(update(suppression).where(*_this_suppression).values(params(*_lift)))
LIFT_OPT_OUT = Statement(
    update(suppression)
    .where(
        suppression.c.chain_id == CHAIN,
        suppression.c.channel == param("channel", Text),
        suppression.c.address_key == param("address_key", LargeBinary),
        or_(suppression.c.sender == any_(param("senders", ARRAY(Text))), suppression.c.sender == EVERY_SENDER),
        suppression.c.kind == SuppressionKind.OPT_OUT,
        STANDING,
    )
    .values(version=suppression.c.version + 1, **params("lifted_at", "lifted_by", "lift_method"))
    .returning(suppression.c.id)
)


def _suppressions(about: ColumnElement[bool]) -> Statement:
    return Statement(
        select(suppression)
        .where(suppression.c.chain_id == CHAIN, about, suppression.c.id < param("before", Uuid))
        .order_by(suppression.c.id.desc())
        .limit(param("limit", Integer))
    )


_about_id = param("about_id", Uuid)
SUPPRESSIONS = {
    "patient_id": _suppressions(suppression.c.patient_id == any_(PATIENTS.all_ids(_about_id))),
    "site_id": _suppressions(suppression.c.site_id == _about_id),
}

_of_reply = (
    "id", "site_id", "account", "sender", "address_key", "meaning", "patient_id", "visit_id", "language", "state",
    "received_at", "version", "assigned_to", "closed_by", "closed_at", "close_reason",
)  # fmt: skip
KEEP_REPLY = Statement(pg_insert(reply).values(params(*reply.c.keys())).on_conflict_do_nothing().returning(reply.c.id))
_this_reply = (reply.c.chain_id == CHAIN, reply.c.id == ID)
REPLY = Statement(select(reply).where(*_this_reply))
REPLY_TO_CHANGE = Statement(select(reply).where(*_this_reply).with_for_update())
_reply_change = ("state", "version", "assigned_to", "closed_by", "closed_at", "close_reason")
CHANGE_REPLY = Settling(
    update(reply)
    .where(reply.c.chain_id == CHAIN, reply.c.id == param("reply_id", Uuid))
    .values(params(*_reply_change))
    .cte("changed_reply")
)


def _replies(*filters: ColumnElement[bool]) -> Statement:
    later = tuple_(reply.c.received_at, reply.c.id) > tuple_(param("after_at", Instant), param("after_id", Uuid))
    return Statement(
        select(reply)
        .where(reply.c.chain_id == CHAIN, reply.c.site_id == param("site_id", Uuid), later, *filters)
        .order_by(reply.c.received_at, reply.c.id)
        .limit(param("limit", Integer))
    )


REPLIES, REPLIES_IN_STATE = _replies(), _replies(reply.c.state == param("state", Text))
# Locked before anything of them goes: what somebody answers meanwhile would stay.
OLD = Statement(
    select(reply.c.id)
    .where(reply.c.chain_id == CHAIN, reply.c.received_at < param("before", Instant), reply.c.key_id.is_not(None))
    .order_by(reply.c.received_at)
    .limit(param("limit", Integer))
    .with_for_update(skip_locked=True)
)
_old_ids = any_(param("reply_ids", ARRAY(Uuid)))
_purged_answers = (
    update(answer)
    .where(answer.c.chain_id == CHAIN, answer.c.reply_id == _old_ids)
    .values(key_id=null(), said=null())
    .cte("purged_answers")
)
PURGE = Statement(
    update(reply)
    .where(reply.c.chain_id == CHAIN, reply.c.id == _old_ids)
    .values(key_id=null(), phone=null(), said=null())
    .add_cte(_purged_answers)
)

ADD_ANSWER = Statement(pg_insert(answer).values(params(*answer.c.keys())))
ANSWERS = Statement(select(answer).where(answer.c.chain_id == CHAIN, answer.c.reply_id == ID).order_by(answer.c.id))
ANSWERED_SINCE = Statement(
    select(answer.c.id)
    .join(reply, and_(reply.c.chain_id == answer.c.chain_id, reply.c.id == answer.c.reply_id))
    .where(
        answer.c.chain_id == CHAIN,
        answer.c.kind == param("kind", Text),
        answer.c.created_at > param("since", Instant),
        reply.c.address_key == param("address_key", LargeBinary),
        reply.c.sender == param("sender", Text),
    )
    .limit(1)
)
_ripe = (
    select(answer.c.id)
    .where(
        answer.c.chain_id == CHAIN,
        WAITING,
        or_(answer.c.held_until.is_(None), answer.c.held_until < _now),
    )
    .order_by(answer.c.id)
    .limit(param("limit", Integer))
    .with_for_update(skip_locked=True)
    .cte("ripe")
)
_held = (
    update(answer)
    .where(answer.c.chain_id == CHAIN, answer.c.id == _ripe.c.id)
    .values(held_until=_now + param("hold", Interval))
    .returning(*answer.c)
    .cte("held")
)
TAKE_ANSWERS = Statement(
    select(
        _held,
        reply.c.account,
        reply.c.sender,
        reply.c.address_key,
        reply.c.key_id.label("reply_key_id"),
        reply.c.phone.label("to_phone"),
        reply.c.id.label("of_reply_id"),
        site.c.discreet_name,
        site.c.phone.label("site_phone"),
    )
    .join(reply, and_(reply.c.chain_id == CHAIN, reply.c.id == _held.c.reply_id))
    .join(site, and_(site.c.chain_id == CHAIN, site.c.id == _held.c.site_id))
    .order_by(_held.c.id)
)
_this_answer = (answer.c.chain_id == CHAIN, answer.c.id == ID)
BEGIN_ANSWER = Statement(
    update(answer)
    .where(*_this_answer, answer.c.state == AnswerState.PENDING)
    .values(state=AnswerState.SENDING)
    .returning(answer.c.id)
)
END_ANSWER = Statement(
    update(answer)
    .where(*_this_answer)
    .values(held_until=_now + param("hold", Interval), **params("state", "provider_id", "code", "sent_at"))
)

TEXTED_MAX = 20
"""Of so many who were texted at one number the last are looked at."""
LAST_ID = UUID(int=2**128 - 1)


class TextingStore(Store):
    # Receipts.

    async def keep_receipt(self, told: Receipt) -> bool:
        """Whether it is new."""
        row = await self.row(
            KEEP_RECEIPT,
            account=told.account,
            provider_id=told.provider_id,
            status=told.status,
            message_id=told.message_id,
            error_code=told.error_code,
            at=told.at,
        )
        return row is not None

    async def receipts_of_messages(self, message_ids: Sequence[UUID]) -> list[Receipt]:
        """Of each the first first, also where the provider's own id never became known.

        Statuses may have come in any order: `domain.texting.furthest`.
        """
        return [_receipt(row) for row in await self.rows(RECEIPTS_OF_MESSAGES, message_ids=list(message_ids))]

    # Who was texted.

    async def note_texted(
        self,
        address_key: bytes,
        sender: str,
        patient_id: UUID,
        site_id: UUID,
        visit_id: UUID | None,
        language: str,
        *,
        to_companion: bool = False,
    ) -> None:
        """With each text that goes out: what comes back from the number is about this patient."""
        await self.rows(
            NOTE_TEXTED,
            address_key=address_key,
            sender=sender,
            patient_id=patient_id,
            site_id=site_id,
            visit_id=visit_id,
            to_companion=to_companion,
            language=language,
            last_at=self.call.now,
        )

    async def texted_at(self, address_key: bytes, senders: Sequence[str]) -> list[LastTexted]:
        """Those who were texted at a number from any of ours, the last first."""
        found = await self.rows(
            TEXTED_AT, address_key=address_key, senders=list(senders), after=self.call.now, limit=TEXTED_MAX
        )
        return [_last_texted(row) for row in found]

    async def forget_texted(self, before: datetime) -> None:
        await self.rows(FORGET_TEXTED, before=before)

    # Suppressions.

    async def suppressed(self, channel: str, address_keys: Sequence[bytes], sender: str) -> set[bytes]:
        """Those of the addresses that are not written to by a channel from one of ours. Whoever texted that they want
        no more is not called instead; one that no text reaches may be."""
        told_by = [channel, Addressed.SMS] if channel == Addressed.VOICE else [channel]
        asked = {"channel": channel, "channels": told_by, "address_keys": list(address_keys), "sender": sender}
        found = await self.rows(SUPPRESSED, **asked)
        return {row["address_key"] for row in found}

    async def suppress(
        self,
        channel: str,
        address_key: bytes,
        kind: SuppressionKind,
        method: Method,
        *,
        senders: Sequence[str] = (EVERY_SENDER,),
        patient_id: UUID | None = None,
        site_id: UUID | None = None,
        giver: Giver = Giver.PATIENT,
        note: str = "",
    ) -> list[Suppression]:
        """Those that are new: what stands, stands."""
        found = await self.rows(
            SUPPRESS,
            id=[new_id() for _ in senders],
            sender=list(senders),
            channel=channel,
            address_key=address_key,
            kind=kind,
            method=method,
            patient_id=patient_id,
            site_id=site_id,
            giver=giver,
            note=note,
            created_by=self.call.actor,
            created_at=self.call.now,
            first_version=1,
            no_note="",
        )
        return [_suppression(row) for row in found]

    async def lift_opt_outs(self, channel: str, address_key: bytes, senders: Sequence[str], method: Method) -> bool:
        """Whether there was one."""
        found = await self.rows(
            LIFT_OPT_OUT,
            channel=channel,
            address_key=address_key,
            senders=list(senders),
            lifted_at=self.call.now,
            lifted_by=self.call.actor,
            lift_method=method,
        )
        return bool(found)

    async def suppression_to_change(self, id: UUID) -> Suppression:
        row = await self.row(SUPPRESSION_TO_CHANGE, id=id)
        if row is None:
            raise SuppressionNotFound(suppression_id=to_wire("suppression", id))
        return _suppression(row)

    async def lift_suppression(self, lifted: Suppression) -> None:
        await self.rows(LIFT, id=lifted.id, **{name: getattr(lifted, name) for name in _lift})

    async def suppressions(self, about: str, about_id: UUID, before: UUID | None, limit: int) -> list[Suppression]:
        """`about` is one of SUPPRESSIONS. The latest first."""
        found = await self.rows(SUPPRESSIONS[about], about_id=about_id, before=before or LAST_ID, limit=limit)
        return [_suppression(row) for row in found]

    # Replies.

    async def keep_reply(self, new: Reply, provider_id: str, phone: Sealed, said: Sealed) -> bool:
        """Whether it is new. Both are sealed with one key."""
        values = {name: getattr(new, name) for name in _of_reply}
        sealed = {"key_id": said.key_id, "phone": phone.text, "said": said.text}
        return await self.row(KEEP_REPLY, provider_id=provider_id, **values, **sealed) is not None

    async def reply(self, id: UUID) -> tuple[Reply, Sealed | None, Sealed | None]:
        """With its number and its text, while they are kept."""
        row = await self.row(REPLY, id=id)
        if row is None:
            raise ReplyNotFound(reply_id=to_wire("reply", id))
        if row["key_id"] is None:
            return _reply(row), None, None
        return _reply(row), Sealed(row["key_id"], row["phone"]), Sealed(row["key_id"], row["said"])

    async def reply_to_change(self, id: UUID) -> Reply:
        row = await self.row(REPLY_TO_CHANGE, id=id)
        if row is None:
            raise ReplyNotFound(reply_id=to_wire("reply", id))
        return _reply(row)

    def change_reply(self, changed: Reply) -> None:
        """Written with what the chassis writes last."""
        values = {name: getattr(changed, name) for name in _reply_change}
        self.write_last(CHANGE_REPLY, reply_id=changed.id, **values)

    async def replies(
        self, site_id: UUID, state: ReplyState | None, after: tuple[datetime, UUID], limit: int
    ) -> list[Reply]:
        """The oldest first."""
        after_at, after_id = after
        place = {"site_id": site_id, "after_at": after_at, "after_id": after_id, "limit": limit}
        asked = self.rows(REPLIES_IN_STATE, state=state, **place) if state else self.rows(REPLIES, **place)
        return [_reply(row) for row in await asked]

    async def purge_replies(self, before: datetime, limit: int) -> int:
        """What they say and from which number goes, with what staff answered; how many that were."""
        old = [row["id"] for row in await self.rows(OLD, before=before, limit=limit)]
        await self.rows(PURGE, reply_ids=old)
        return len(old)

    # Answers.

    async def add_answer(self, new: Answer, said: Sealed | None = None) -> None:
        await self.rows(
            ADD_ANSWER,
            id=new.id,
            reply_id=new.reply_id,
            site_id=new.site_id,
            kind=new.kind,
            state=new.state,
            language=new.language,
            key_id=said.key_id if said else None,
            said=said.text if said else None,
            written_by=new.written_by,
            created_at=new.created_at,
            expire_at=new.expire_at,
            held_until=None,
            provider_id=None,
            code=new.code,
            sent_at=new.sent_at,
        )

    async def answers(self, reply_id: UUID) -> list[tuple[Answer, Sealed | None]]:
        """In the order in which they were asked for, with staff's own words while they are kept."""
        return [(_answer(row), _words(row)) for row in await self.rows(ANSWERS, id=reply_id)]

    async def answered_since(self, kind: AnswerKind, address_key: bytes, sender: str, since: datetime) -> bool:
        asked = {"kind": kind, "address_key": address_key, "sender": sender, "since": since}
        return await self.row(ANSWERED_SINCE, **asked) is not None

    async def take_answers(self, limit: int, hold: timedelta) -> list[Record]:
        """Those that wait, and those that were begun and left: nobody else takes them before `hold` has passed."""
        return await self.rows(TAKE_ANSWERS, limit=limit, hold=hold)

    async def begin_answer(self, id: UUID) -> bool:
        """Writes down that it is about to be sent; whether it still waits."""
        return await self.row(BEGIN_ANSWER, id=id) is not None

    async def end_answer(
        self, id: UUID, state: AnswerState, code: str, provider_id: str | None = None, hold: timedelta = timedelta()
    ) -> None:
        sent_at = self.call.now if state is AnswerState.SENT else None
        ended = {"state": state, "code": code, "provider_id": provider_id, "sent_at": sent_at}
        await self.rows(END_ANSWER, id=id, hold=hold, **ended)


def _receipt(row: Record) -> Receipt:
    return Receipt(row["account"], row["provider_id"], row["status"], row["message_id"], row["error_code"], row["at"])


def _suppression(row: Record) -> Suppression:
    return Suppression(
        id=row["id"],
        channel=Addressed(row["channel"]),
        address_key=row["address_key"],
        sender=row["sender"],
        kind=SuppressionKind(row["kind"]),
        method=Method(row["method"]),
        patient_id=row["patient_id"],
        site_id=row["site_id"],
        giver=Giver(row["giver"]),
        note=row["note"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        version=row["version"],
        lifted_at=row["lifted_at"],
        lifted_by=row["lifted_by"],
        lift_note=row["lift_note"],
        lift_method=Method(row["lift_method"]) if row["lift_method"] else None,
    )


def _reply(row: Record) -> Reply:
    values = {name: row[name] for name in _of_reply}
    values |= {"meaning": Meaning(row["meaning"]), "state": ReplyState(row["state"])}
    return Reply(**values, purged=row["key_id"] is None)


def _answer(row: Record) -> Answer:
    return Answer(
        id=row["id"],
        reply_id=row["reply_id"],
        site_id=row["site_id"],
        kind=AnswerKind(row["kind"]),
        state=AnswerState(row["state"]),
        language=row["language"],
        written_by=row["written_by"],
        created_at=row["created_at"],
        expire_at=row["expire_at"],
        code=row["code"],
        sent_at=row["sent_at"],
    )


def _words(row: Record) -> Sealed | None:
    return Sealed(row["key_id"], row["said"]) if row["said"] else None


def _last_texted(row: Record) -> LastTexted:
    told_booked_id = row["told_visit_id"] if row["told_is_booked"] else None
    return LastTexted(
        patient_id=row["patient_id"],
        site_id=row["site_id"],
        language=row["language"],
        to_companion=row["to_companion"],
        open_visit_id=told_booked_id if row["named_visit"] else row["next_booked_id"],
        movable_visit_id=row["told_visit_id"] if row["named_visit"] else row["next_visit_id"],
    )
