"""The job that sends what is due: lease, look up, write, commit the intent, send, settle.

A sender that dies before the intent is committed leaves the message as it was; one that dies after it leaves it
SENDING, and the kind of message decides whether it is sent again (`domain.RESENT_IN_DOUBT`). What is due is told by
business time; leases and back-off run on real time.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog

from chassis.call import Call
from chassis.client import connect
from chassis.clock import Clock
from chassis.db import Database
from chassis.errors import DomainError
from chassis.ids import new_id, to_wire
from chassis.jobs import job_call
from chassis.tables import NO_CHAIN
from chassis.taking import Shuffled, keep_taking, take_all
from services.notifications.carriers import Carrier, Enclosed, carriers_of
from services.notifications.channels.email import Mailer
from services.notifications.clients import PENDING, Billing, BillingAway, Patients, PatientsAway
from services.notifications.domain import digests, sending
from services.notifications.domain.contacts import Contact
from services.notifications.domain.documents import Document, fitting, hold, is_attached
from services.notifications.domain.kinds import Channel
from services.notifications.domain.messages import PassedOver, Reason, Status
from services.notifications.domain.sending import NO_HOLD, NextChannel, Postpone, Retry, Send, Settle, Step, Taken, Way
from services.notifications.settings import NotificationsSettings
from services.notifications.store import NotificationsStore
from services.notifications.texting import IN_PROCESS
from services.notifications.use_cases import sending as use_case
from services.notifications.use_cases.sending import LetterChanged, Tried
from services.notifications.wording import Templates

log = structlog.get_logger()

NAME = "notifications"
IN_HAND_MAX, TAKEN_MIN = 32, 8
"""So many at once; more are taken when there is room for so many, not for each."""
ASKED_MAX = 8
"""Documents of digests, but for the first of each, that are asked for at once: some 30 KB each, of a service that opens
them one by one."""
DRAIN_S = 10.0
"""How long those in hand may take when the job is stopped."""
LEASE = timedelta(seconds=15)
"""How long after its sender died a message is taken up by another. A sender that lives renews it."""
RENEW_S = 5.0


async def send_messages(db: Database, settings: NotificationsSettings, clock: Clock) -> None:
    async with AsyncExitStack() as stack:
        texting = await stack.enter_async_context(IN_PROCESS.held())
        patients = connect(settings.patients_address, settings.tls, settings.patients_tls_name)
        asked = Patients(settings, await stack.enter_async_context(patients))
        billing = None
        if settings.billing_address:
            channel = connect(settings.billing_address, settings.tls, settings.billing_tls_name)
            billing = Billing(settings, await stack.enter_async_context(channel))
        mailer = Mailer(settings.smtp_host, settings.smtp_port)
        carriers = carriers_of(db, mailer, settings, Templates(), texting)
        await Sender(db, asked, billing, carriers, clock).run()


class Sender:
    def __init__(
        self,
        db: Database,
        patients: Patients,
        billing: Billing | None,
        carriers: Mapping[Channel, Carrier],
        clock: Clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._db, self._patients, self._billing, self._carriers = db, patients, billing, carriers
        self._clock, self._chance = clock, chance
        self._shuffled = Shuffled(self._chains)
        self._asking = asyncio.Semaphore(ASKED_MAX)

    async def run(self) -> None:
        """Until cancelled; those in hand are finished first."""
        await keep_taking(
            self.take,
            self._see_to,
            most=IN_HAND_MAX,
            least=TAKEN_MIN,
            drain_s=DRAIN_S,
            failed="messages.not_taken",
        )

    async def drain(self) -> int:
        """Sees to everything that is due and not held, and says how many that were."""
        return await take_all(self.take, self._see_to, IN_HAND_MAX)

    async def take(self, limit: int) -> list[tuple[UUID, Taken]]:
        """Up to `limit` due messages of all chains, in no order of chains."""
        found = list[tuple[UUID, Taken]]()
        for chain_id in await self._shuffled.chains():
            if len(found) < limit:
                lease = partial(NotificationsStore.take, limit=limit - len(found), hold=LEASE)
                leased = await self._db.job(self._call(chain_id), NotificationsStore, lease)
                found += [(chain_id, taken) for taken in leased]
        return found

    async def _chains(self) -> list[UUID]:
        return await self._db.job(self._call(NO_CHAIN), NotificationsStore, lambda store: store.chains())

    async def _see_to(self, chain_id: UUID, taken: Taken) -> None:
        """One message, to whatever end. A failure of ours leaves it leased until the lease runs out."""
        message_id = to_wire("message", taken.id)
        try:
            work = asyncio.create_task(self.see_to(chain_id, taken))
            while not (await asyncio.wait([work], timeout=RENEW_S))[0]:
                await self._renew(chain_id, taken)
            end = work.result()
        except Exception as error:
            log.exception("message.left", message_id=message_id, error=type(error).__name__)
        else:
            log.info("message.seen_to", message_id=message_id, end=_told(end))

    async def _renew(self, chain_id: UUID, taken: Taken) -> None:
        call = self._call(chain_id, str(taken.event_id))
        try:
            await self._db.job(call, NotificationsStore, lambda store: store.renew(taken, LEASE))
        except DomainError as error:
            log.warning("message.not_renewed", message_id=to_wire("message", taken.id), error=error.reason)

    async def see_to(self, chain_id: UUID, taken: Taken) -> Step | None:
        """What became of a message that is held; None: it was withdrawn, or is another's by now."""
        call = self._call(chain_id, str(taken.event_id))
        step = sending.next_step(taken, call.now)
        end, tried = await self._send(call, taken) if isinstance(step, Send) else (step, None)
        if end:
            await self._db.job(call, NotificationsStore, lambda store: use_case.finish(store, taken, end, tried))
        return end

    async def _send(self, call: Call, taken: Taken) -> tuple[Step | None, Tried | None]:
        """By the first channel that carries it."""
        try:
            contact = await self._patients.contact(call.chain_id, taken.recipient_id, call.traceparent)
        except PatientsAway as error:
            return sending.put_off(taken, error.code, self._chance()), None
        if end := sending.unreachable(taken, contact):
            return end, None
        passed_over = list[PassedOver]()
        for way in sending.ways(taken, contact, call.now):
            found = await self._by(call, taken, contact, way, passed_over) if isinstance(way, Way) else way
            if not isinstance(found, PassedOver):
                return found
            passed_over.append(found)
        return sending.no_way(taken, passed_over, call.now), None

    async def _by(
        self, call: Call, taken: Taken, contact: Contact, way: Way, passed_over: Sequence[PassedOver]
    ) -> tuple[Step | None, Tried | None] | PassedOver:
        """Writes the message, commits that it is about to go, and hands it over."""
        others = await self._others(call, taken, contact, way)
        found = await self._documents(call, [taken, *others], contact, way)
        if isinstance(found, Retry):
            return found, None
        if _is_void(taken, found):
            return sending.settle(taken, Status.WITHDRAWN, Reason.MATTER_CLOSED), None
        others = [each for each in others if not _is_void(each, found)]
        documents = fitting([found[each.id] for each in (taken, *others) if each.id in found])
        parcel = await self._carriers[way.channel].pack(call, taken, contact, way, Enclosed(others, documents))
        if isinstance(parcel, PassedOver):
            return parcel
        begin = partial(
            use_case.begin, taken=taken, way=way, parcel=parcel, passed_over=passed_over, hold=LEASE, others=others
        )
        try:
            begun = await self._db.job(call, NotificationsStore, begin)
        except LetterChanged:
            return Retry(taken.status, NO_HOLD, "LETTER_CHANGED"), None
        if isinstance(begun, PassedOver):
            return begun
        if begun is None or isinstance(begun, NextChannel):
            return begun, None
        sent, chance = await parcel.hand_over(), self._chance()
        digest_id = taken.id if others else None
        tried = replace(
            taken,
            attempts=begun,
            channels=taken.channels[taken.channels.index(way.channel) :],
            digest_id=digest_id,
        )
        alike = [replace(each, attempts=each.attempts + 1, digest_id=digest_id) for each in others]
        ends = tuple((each, sending.after_attempt(each, sent.answer, sent.code, chance)) for each in alike)
        return sending.after_attempt(tried, sent.answer, sent.code, chance), Tried(
            way, parcel, sent, ends, with_document=bool(documents)
        )

    async def _others(self, call: Call, taken: Taken, contact: Contact, way: Way) -> list[Taken]:
        """What stands in the same letter: as it did, where that may be out."""
        if taken.digest_id:
            return await self._db.job(call, NotificationsStore, lambda store: store.retake_others(taken))
        if not taken.may_be_combined or way.channel is not taken.channels[0]:
            return []
        found = await self._db.job(
            call, NotificationsStore, lambda store: store.to_combine(taken, digests.LETTER_MAX - 1)
        )
        lease_id = new_id()  # Whoever took one of them up as its own finds that it is not any more.
        return [replace(each, lease_id=lease_id) for each in found if sending.goes_with(each, way, contact, call.now)]

    async def _documents(
        self, call: Call, letter: Sequence[Taken], contact: Contact, way: Way
    ) -> Mapping[UUID, Document] | Retry:
        """What comes with a letter, by message. Billing that is away is waited for, for a while, and so is what it has
        not written yet; but this by no letter of several, unless it may be out already: then it goes as it was.

        The first is asked for by itself: no letter waits for a place behind others that billing keeps waiting, and
        where it is away it is not asked for the rest."""
        wanted = [each for each in letter if is_attached(each, contact, way)]
        alone = len(letter) == 1 or letter[0].in_doubt
        found = dict[UUID, Document]()
        for some, place in ((wanted[:1], nullcontext()), (wanted[1:], self._asking)):
            answers = await asyncio.gather(*(self._document(call, each, place) for each in some))
            for each, answer in zip(some, answers, strict=True):
                if isinstance(answer, Document):
                    found[each.id] = answer
                elif answer and (alone or answer.code != PENDING) and (wait := hold(letter[0], call.now)):
                    return sending.put_off(letter[0], answer.code, self._chance(), wait)
                elif answer:
                    log.warning("message.without_document", message_id=to_wire("message", each.id), error=answer.code)
        return found

    async def _document(
        self, call: Call, taken: Taken, place: AbstractAsyncContextManager[None]
    ) -> Document | BillingAway | None:
        if self._billing is None or taken.matter is None:
            return None
        try:
            async with place:
                return await self._billing.document(call.chain_id, taken.matter, call.traceparent)
        except BillingAway as error:
            return error

    def _call(self, chain_id: UUID, cause: str = "") -> Call:
        return job_call(NAME, "sender", chain_id, self._clock(), cause)


def _is_void(taken: Taken, documents: Mapping[UUID, Document]) -> bool:
    """What it tells of no longer holds. What may be out in a letter goes out again as it was."""
    return not taken.digest_id and taken.id in documents and documents[taken.id].voided


def _told(end: Step | None) -> str:
    match end:
        case None:
            return "LOST"
        case Postpone():
            return "POSTPONED"
        case Settle(status, reason) if reason:
            return f"{status} {reason}"
        case Settle(status):
            return status
        case Retry(_, _, error):
            return f"RETRY {error}"
        case NextChannel(passed_over):
            return f"NEXT_CHANNEL {passed_over[-1].reason}"
