"""Before a message is handed over, and after: what may not go is passed over under lock, so that two make no third."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.notifications import events
from services.notifications.carriers import Parcel
from services.notifications.domain import caps
from services.notifications.domain.hours import at
from services.notifications.domain.kinds import BY_PHONE, Channel, MessageKind, Purpose, Recipient
from services.notifications.domain.messages import PassedOver, Reason, Status
from services.notifications.domain.sending import NOT_TAKEN, Answer, NextChannel, Settle, Step, Taken, Way
from services.notifications.domain.texting import (
    EVERY_SENDER,
    Method,
    Sent,
    SuppressionKind,
    lock_of,
    suppression_after,
)
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import messages, receipts

NO_SUCH_MAILBOX = re.compile(r"_5\.1\.")
"""Of an enhanced status code (RFC 3463): the address itself is at fault. Other refusals may pass."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A message that was handed over, and what came of it."""

    way: Way
    parcel: Parcel
    sent: Sent
    others: tuple[tuple[Taken, Step], ...] = ()
    """That stood in the same letter, and what becomes of each."""
    with_document: bool = False


class LetterChanged(Exception):
    """A message that stands in the letter is not to be sent with it any more."""


async def begin(
    store: NotificationsStore,
    taken: Taken,
    way: Way,
    parcel: Parcel,
    passed_over: Sequence[PassedOver],
    hold: timedelta,
    others: Sequence[Taken] = (),
) -> int | PassedOver | NextChannel | None:
    """Its attempts by this channel; NextChannel: it waits for this one, which is paused; None: it is not ours any more.
    With `others` it is one letter: all of them are begun, or none (LetterChanged)."""
    key, sender = parcel.address_key, parcel.sender
    if others:
        await store.lock([taken.recipient_id])  # Two letters of the same messages would wait for each other.
    if key and await store.suppressed(way.channel, [key], sender):
        return PassedOver(way.channel, Reason.ADDRESS_SUPPRESSED)
    if passed_over and await store.is_paused(way.channel, taken.site.id):
        return NextChannel(tuple(passed_over))  # For that of its first channel it was not taken up.
    counts = way.channel in BY_PHONE and taken.purpose is not Purpose.REPLY
    if counts and key and not taken.in_doubt:
        await store.lock([lock_of(key)])
        if not await _has_room(store, taken, way, key):
            return PassedOver(way.channel, Reason.CAP_REACHED)
    digest_id = taken.id if others else None
    begun = await store.begin(
        taken, way.channel, passed_over, parcel.template, hold, key, counts=counts, digest_id=digest_id
    )
    if begun and others and not await store.begin_others(taken, others, parcel.template):
        raise LetterChanged
    if begun and key and way.channel is Channel.SMS:
        await store.note_texted(
            key,
            sender,
            taken.recipient_id,
            taken.site.id,
            taken.visit.id if taken.visit else None,
            parcel.template.language,
            to_companion=taken.recipient is Recipient.COMPANION,
        )
    return begun


async def finish(store: NotificationsStore, taken: Taken, step: Step, tried: Tried | None) -> None:
    """What a sender found out about a message that it holds. An address that does not exist is not written to again; a
    receipt may have been faster than this."""
    if tried and tried.way.channel in BY_PHONE and tried.sent.answer in NOT_TAKEN:
        await store.note_not_taken(taken)  # While it is held.
    settled = await messages.end_step(store, taken, step, tried.sent.provider_id if tried else None)
    if tried is None:
        if settled and taken.digest_id:
            for left in await store.leave_others_in_doubt(taken):
                messages.emit_settled(store, left)
        return
    if settled and _is_estimate_sent(taken, step, tried):
        assert taken.matter
        store.emit(events.estimate_emailed(taken.matter, taken.id), about=taken.matter.id)
    for other, end in tried.others:
        await messages.end_step(store, other, end)
    if settled and (line := tried.parcel.line):
        of = taken.id, taken.recipient_id, taken.site.id, taken.kind
        await store.add_to_inbox(*of, line.subject, line.text, store.call.now)
    if tried.parcel.address_key and (kind := _suppression(tried)):
        note = tried.sent.code
        senders = (tried.parcel.sender,) if kind is SuppressionKind.OPT_OUT else (EVERY_SENDER,)
        channel, key = tried.way.channel, tried.parcel.address_key
        await store.suppress(channel, key, kind, Method.RECEIPT, senders=senders, note=note)
    if tried.way.channel in BY_PHONE:
        await receipts.apply(store, taken.id)


def _is_estimate_sent(taken: Taken, end: Step, tried: Tried) -> bool:
    """With its document; an estimate stands in no letter with others."""
    is_sent = isinstance(end, Settle) and end.status is Status.SENT
    return is_sent and tried.with_document and taken.kind is MessageKind.ESTIMATE_READY


def _suppression(tried: Tried) -> SuppressionKind | None:
    if tried.sent.answer is not Answer.NEVER:
        return None
    if tried.way.channel is Channel.EMAIL:
        return SuppressionKind.HARD_BOUNCE if NO_SUCH_MAILBOX.search(tried.sent.code) else None
    return suppression_after(tried.sent.code)


async def _has_room(store: NotificationsStore, taken: Taken, way: Way, address_key: bytes) -> bool:
    today, in_week = await store.texts_to(address_key, caps.since(store.call.now, taken.zone))
    before = await store.texts_before(taken, _midnight_after(store.call.now, taken.zone))
    return caps.room(way.cap(taken.policy), today, in_week, before)


def _midnight_after(now: datetime, zone: ZoneInfo) -> datetime:
    return at(now.astimezone(zone).date() + timedelta(days=1), time.min, zone)
