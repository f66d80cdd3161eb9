"""What comes in from the provider, and who is written to no more."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from chassis.ids import new_id
from chassis.keyring import Sealed
from services.notifications import events
from services.notifications.domain.replies import (
    GOOD_FOR,
    RECEIVED_AGAIN_AFTER,
    TO_THE_OPTED_OUT,
    Answer,
    AnswerKind,
    AnswerState,
    LastTexted,
    Meaning,
    RecipientOptedOut,
    Reply,
    ReplyClosed,
    ReplyPurged,
    ReplyState,
    Understood,
    Verdict,
    judge,
)
from services.notifications.domain.texting import (
    Addressed,
    AlreadySuppressed,
    Asked,
    Giver,
    Method,
    Receipt,
    Suppression,
    SuppressionKind,
    lock_of,
    suppression_after,
)
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import receipts

BY_ITSELF = "by itself"


@dataclass(frozen=True, slots=True)
class ReceiveReply:
    id: UUID
    account: str
    provider_id: str
    sender: str
    senders: Sequence[str]
    """Of ours, that the same sites text from; the sender among them."""
    site_id: UUID
    """Of a number that was never texted."""
    address_key: bytes
    understood: Understood
    phone: Sealed
    said: Sealed


async def receive_receipt(
    store: NotificationsStore, told: Receipt, address_key: bytes | None, senders: Sequence[str]
) -> None:
    """Once for each status. A number that no text reaches is not texted again; one that the provider knows to have
    opted out has opted out. `address_key` is None of a call."""
    if not await store.keep_receipt(told):
        return
    if told.message_id:
        await receipts.apply(store, told.message_id)
    if address_key is None:
        return
    kind = suppression_after(told.error_code)
    if kind is SuppressionKind.UNREACHABLE:
        await store.suppress(Addressed.SMS, address_key, kind, Method.RECEIPT, note=told.error_code)
    elif kind is SuppressionKind.OPT_OUT:
        await store.suppress(Addressed.SMS, address_key, kind, Method.RECEIPT, senders=senders, note=told.error_code)


async def receive_reply(store: NotificationsStore, command: ReceiveReply) -> None:
    """Once, however often it is delivered. What it asks for holds when this is committed; whatever else comes from the
    number waits for that, and sees it."""
    await store.lock([lock_of(command.address_key)])
    texted = await store.texted_at(command.address_key, command.senders)
    verdict = judge(command.understood.meaning, texted)
    reply = _reply(store, command, texted, verdict)
    if not await store.keep_reply(reply, command.provider_id, command.phone, command.said):
        return
    about = texted[0] if texted else None
    asked = Asked(
        patient_id=reply.patient_id,
        site_id=reply.site_id,
        channel=Addressed.SMS,
        giver=Giver.COMPANION if about and about.to_companion else Giver.PATIENT,
        method=Method.REPLY,
    )
    answers = True
    match reply.meaning:
        case Meaning.OPT_OUT | Meaning.OPT_OUT_LIKELY:
            answers = await _opt_out(store, command, asked)
        case Meaning.OPT_IN:
            if await store.lift_opt_outs(Addressed.SMS, command.address_key, command.senders, Method.REPLY):
                store.emit(events.channel_opted_in(asked), about=reply.patient_id or reply.id)
        case Meaning.CONFIRM if reply.visit_id and reply.patient_id:
            told = events.visit_confirmation_received(reply.visit_id, reply.patient_id, reply.site_id)
            store.emit(told, about=reply.visit_id)
        case Meaning.MOVE if reply.visit_id and reply.patient_id:
            wish = events.reschedule_requested(reply.visit_id, reply.patient_id, reply.site_id)
            store.emit(wish, about=reply.visit_id)
    if answers and verdict.answer and await _may_answer(store, command, verdict.answer):
        await store.add_answer(_answer(store, reply, verdict.answer))


def _reply(store: NotificationsStore, command: ReceiveReply, texted: Sequence[LastTexted], verdict: Verdict) -> Reply:
    """About the patient of the last text; of the visit where there is one, whose it is."""
    meaning = command.understood.meaning
    named = (each for each in texted if verdict.visit_id and each.visit_id(meaning) == verdict.visit_id)
    about = next(named, texted[0] if texted else None)
    now, closed = store.call.now, verdict.closed
    return Reply(
        id=command.id,
        site_id=about.site_id if about else command.site_id,
        account=command.account,
        sender=command.sender,
        address_key=command.address_key,
        meaning=meaning,
        patient_id=about.patient_id if about else None,
        visit_id=verdict.visit_id,
        language=command.understood.language or (about.language if about else "en"),
        state=ReplyState.CLOSED if closed else ReplyState.OPEN,
        received_at=now,
        closed_by=store.call.actor if closed else None,
        closed_at=now if closed else None,
        close_reason=BY_ITSELF if closed else "",
    )


async def _opt_out(store: NotificationsStore, command: ReceiveReply, asked: Asked) -> bool:
    """Whether it is news: who opted out before is not told again."""
    new = await store.suppress(
        Addressed.SMS,
        command.address_key,
        SuppressionKind.OPT_OUT,
        Method.REPLY,
        senders=command.senders,
        patient_id=asked.patient_id,
        site_id=asked.site_id,
        giver=asked.giver,
    )
    if new:
        store.emit(events.channel_opted_out(asked), about=asked.patient_id or command.id)
    return bool(new)


async def _may_answer(store: NotificationsStore, command: ReceiveReply, kind: AnswerKind) -> bool:
    if kind in TO_THE_OPTED_OUT:
        return True
    if await store.suppressed(Addressed.SMS, [command.address_key], command.sender):
        return False
    if kind is not AnswerKind.REPLY_RECEIVED:
        return True
    since = store.call.now - RECEIVED_AGAIN_AFTER
    return not await store.answered_since(kind, command.address_key, command.sender, since)


def _answer(store: NotificationsStore, reply: Reply, kind: AnswerKind, written_by: str = "") -> Answer:
    return Answer(
        id=new_id(),
        reply_id=reply.id,
        site_id=reply.site_id,
        kind=kind,
        state=AnswerState.PENDING,
        language=reply.language,
        written_by=written_by,
        created_at=store.call.now,
        expire_at=store.call.now + GOOD_FOR[kind],
    )


async def assign_reply(store: NotificationsStore, id: UUID, version: int, to: str) -> Reply:
    reply = (await store.reply_to_change(id)).assigned(version, to)
    store.change_reply(reply)
    return reply


async def close_reply(store: NotificationsStore, id: UUID, version: int, reason: str) -> Reply:
    reply = (await store.reply_to_change(id)).closed(version, store.call.actor, store.call.now, reason)
    store.change_reply(reply)
    return reply


@dataclass(frozen=True, slots=True)
class AnswerReply:
    """`said` is sealed as the words of `answer_id`."""

    reply_id: UUID
    answer_id: UUID
    said: Sealed


async def answer_reply(store: NotificationsStore, command: AnswerReply) -> Answer:
    """The intent; a job sends it."""
    reply = await store.reply_to_change(command.reply_id)
    if reply.state is ReplyState.CLOSED:
        raise ReplyClosed(closed_by=str(reply.closed_by))
    if reply.purged:
        raise ReplyPurged()
    if await store.suppressed(Addressed.SMS, [reply.address_key], reply.sender):
        raise RecipientOptedOut()
    answer = replace(_answer(store, reply, AnswerKind.STAFF, store.call.actor), id=command.answer_id)
    await store.add_answer(answer, command.said)
    return answer


@dataclass(frozen=True, slots=True)
class AddSuppression:
    channel: Addressed
    address_key: bytes
    patient_id: UUID
    site_id: UUID
    method: Method
    reason: str


async def add_suppression(store: NotificationsStore, command: AddSuppression) -> Suppression:
    """An opt-out that somebody of the staff heard."""
    await store.site_zone(command.site_id)
    patient_id, _ = await store.patient(command.patient_id)
    new = await store.suppress(
        command.channel,
        command.address_key,
        SuppressionKind.OPT_OUT,
        command.method,
        patient_id=patient_id,
        site_id=command.site_id,
        note=command.reason,
    )
    if not new:
        raise AlreadySuppressed()
    asked = Asked(patient_id, command.site_id, command.channel, Giver.PATIENT, command.method)
    store.emit(events.channel_opted_out(asked), about=patient_id)
    return new[0]


async def lift_suppression(
    store: NotificationsStore, id: UUID, version: int, reason: str, asked_by: Method | None
) -> Suppression:
    found = await store.suppression_to_change(id)
    lifted = found.lifted(version, store.call.actor, store.call.now, reason, asked_by)
    await store.lift_suppression(lifted)
    if found.kind is SuppressionKind.OPT_OUT and asked_by and found.site_id:
        asked = Asked(found.patient_id, found.site_id, found.channel, found.giver, asked_by)
        store.emit(events.channel_opted_in(asked), about=found.patient_id or found.id)
    return lifted
