"""What texting does by itself, in the elected process: answers to replies go out, and what is old is forgotten.

An answer is SENDING before it is sent, committed; whoever dies then leaves it so, and it is never sent again: one
confirmation of an opt-out, not two.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from asyncpg import Record

from chassis.clock import Clock
from chassis.db import Database
from chassis.errors import DomainError
from chassis.ids import to_wire
from chassis.jobs import in_each, job_call, keep_looking
from chassis.keyring import KeyMissing, Sealed
from chassis.tables import NO_CHAIN
from services.notifications.domain.kinds import Channel, MessageKind
from services.notifications.domain.replies import TO_THE_OPTED_OUT, AnswerKind, AnswerState
from services.notifications.domain.sending import Answer as Outcome
from services.notifications.domain.sending import spread
from services.notifications.domain.texting import (
    EVERY_SENDER,
    Addressed,
    Method,
    SendingNumber,
    Sent,
    SuppressionKind,
    suppression_after,
)
from services.notifications.settings import NotificationsSettings
from services.notifications.store import NotificationsStore
from services.notifications.texting import IN_PROCESS, Texting
from services.notifications.texting.keys import message_keys
from services.notifications.wording import Templates, Words

log = structlog.get_logger()
T = TypeVar("T")

POLL_S, PURGE_POLL_S = 0.5, 3600.0
AT_ONCE_MAX, PURGE_MAX = 20, 500
NOT_ANSWERED, NOT_FORGOTTEN = "replies.not_answered", "replies.not_forgotten"
HOLD, AGAIN = timedelta(seconds=60), timedelta(seconds=5)
"""How long an answer is one sender's, of real time: longer than a turn and a request; and when one that was not taken
is tried again."""
STATES = {Outcome.TAKEN: AnswerState.SENT, Outcome.NEVER: AnswerState.FAILED, Outcome.NONE: AnswerState.UNKNOWN}


async def answer_replies(db: Database, settings: NotificationsSettings, clock: Clock) -> None:
    """Until cancelled. Without an account there is nothing to do, ever."""
    async with IN_PROCESS.held() as texting:
        if texting.idle:
            await asyncio.Event().wait()
        await keep_looking(Answering(db, texting, clock, Templates()).look, POLL_S, NOT_ANSWERED)


async def forget_replies(db: Database, settings: NotificationsSettings, clock: Clock) -> None:
    """Until cancelled."""
    forget = partial(forget_some, db, timedelta(days=settings.reply_retention_days), clock)
    await keep_looking(forget, PURGE_POLL_S, NOT_FORGOTTEN)


async def forget_some(db: Database, kept: timedelta, clock: Clock) -> int:
    """Of every chain, at most so many in one transaction; how many replies lost what they said."""
    chains, before = await _step(db, NO_CHAIN, clock, NotificationsStore.chains), clock() - kept

    async def forget(chain_id: UUID) -> int:
        forgotten = await _step(db, chain_id, clock, lambda store: store.purge_replies(before, PURGE_MAX))
        await _step(db, chain_id, clock, lambda store: store.forget_texted(before))
        return forgotten

    return await in_each(chains, forget, NOT_FORGOTTEN)


class Answering:
    def __init__(self, db: Database, texting: Texting, clock: Clock, templates: Templates) -> None:
        self._db, self._texting, self._clock, self._templates = db, texting, clock, templates

    async def look(self) -> int:
        """At the answers that wait, of all chains that text; how many that were."""
        return await in_each(sorted(self._texting.chains), self._look_at, NOT_ANSWERED)

    async def _look_at(self, chain_id: UUID) -> int:
        take = partial(NotificationsStore.take_answers, limit=AT_ONCE_MAX, hold=HOLD)
        found = await _step(self._db, chain_id, self._clock, take)
        await asyncio.gather(*(self._safely(chain_id, row) for row in found))
        return len(found)

    async def _safely(self, chain_id: UUID, row: Record) -> None:
        """One that fails does not hold up others: it is looked at again when its hold is over."""
        try:
            await self._see_to(chain_id, row)
        except (DomainError, KeyMissing) as error:
            reason = getattr(error, "reason", type(error).__name__)
            log.warning("answer.left", answer_id=to_wire("answer", row["id"]), error=reason)

    async def _see_to(self, chain_id: UUID, row: Record) -> None:
        id, kind = row["id"], AnswerKind(row["kind"])
        if row["state"] == AnswerState.SENDING:
            return await self._end(chain_id, id, AnswerState.UNKNOWN, "NO_ANSWER")
        if row["to_phone"] is None or self._clock() >= row["expire_at"]:
            return await self._end(chain_id, id, AnswerState.FAILED, "TOO_LATE")
        to, text = _number(row), await self._text(chain_id, row, kind)
        key, sender = row["address_key"], row["sender"]

        async def begin(store: NotificationsStore) -> bool:
            if kind not in TO_THE_OPTED_OUT and await store.suppressed(Addressed.SMS, [key], sender):
                await store.end_answer(id, AnswerState.SUPPRESSED, "OPTED_OUT")
                return False
            return await store.begin_answer(id)

        if not await _step(self._db, chain_id, self._clock, begin):
            return None
        number = SendingNumber(row["account"], sender, "")
        sent = await self._texting.send(number, to, text, id)
        return await _step(self._db, chain_id, self._clock, partial(_ended, row=row, sent=sent))

    async def _text(self, chain_id: UUID, row: Record, kind: AnswerKind) -> str:
        """What staff wrote, or what the chain or we say to such a reply."""
        if kind is AnswerKind.STAFF:
            return message_keys().open(Sealed(row["key_id"], row["said"]), "said", row["id"]).decode()
        of, language = MessageKind(kind), row["language"]
        find = partial(NotificationsStore.own_template, kind=of, channel=Channel.SMS)
        own = await _step(self._db, chain_id, self._clock, partial(find, language=language, site_id=row["site_id"]))
        words = Words("", row["discreet_name"], row["site_phone"], "")
        return self._templates.write(of, Channel.SMS, language, words, own).text

    async def _end(self, chain_id: UUID, id: UUID, state: AnswerState, code: str) -> None:
        await _step(self._db, chain_id, self._clock, lambda store: store.end_answer(id, state, code))


async def _ended(store: NotificationsStore, row: Record, sent: Sent) -> None:
    if sent.answer is Outcome.NOT_NOW:
        hold = spread(AGAIN, random.random())  # noqa: S311  # Nothing is secret.
        await store.end_answer(row["id"], AnswerState.PENDING, sent.code, hold=hold)
        return
    await store.end_answer(row["id"], STATES[sent.answer], sent.code, sent.provider_id)
    if kind := suppression_after(sent.code):
        senders = [row["sender"] if kind is SuppressionKind.OPT_OUT else EVERY_SENDER]
        key, method = row["address_key"], Method.RECEIPT
        await store.suppress(Addressed.SMS, key, kind, method, senders=senders, note=sent.code)


def _number(row: Record) -> str:
    """That the reply came from."""
    sealed = Sealed(row["reply_key_id"], row["to_phone"])
    return message_keys().open(sealed, "phone", row["of_reply_id"]).decode()


async def _step(db: Database, chain_id: UUID, clock: Clock, work: Callable[[NotificationsStore], Awaitable[T]]) -> T:
    return await db.job(job_call("notifications", "texting", chain_id, clock()), NotificationsStore, work)
