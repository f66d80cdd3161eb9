"""Asks a processor, between transactions, and has what it says taken in.

What is asked is committed before, under a key that is stored; what it says is committed after. Whoever dies in between
leaves a row to look at, and a job asks again, under the same key, or for what has become of it: nothing is done twice,
nothing is lost.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import structlog

from chassis.db import Database
from chassis.ids import to_wire
from chassis.jobs import in_each, job_call
from chassis.metrics import CHAIN_FAILURES
from chassis.money import Money
from services.billing.domain.cards import Card, CardCharge, CardChargeState, EventOutcome, ProcessorAway, wait
from services.billing.domain.ledger import Tender
from services.billing.domain.refunds import RefundPart, RefundState
from services.billing.processor import Away, Declined, Intent, Processor, Processors, RefundTold
from services.billing.store import BillingStore
from services.billing.use_cases import cards, refunds

log = structlog.get_logger()
T = TypeVar("T")
Later = Callable[[BillingStore], Awaitable[None]]
"""Puts off what could not be looked at."""

AT_ONCE_MAX = 20
NEVER_ASKED = "never_asked"
FAILED = "processors.not_asked"
HEARD_BY = {"intent": "payment_intent.succeeded", "refund": "refund.updated", "dispute": "charge.dispute.updated"}
"""The event that tells of what a line of a payout is about."""
GIVEN_UP = ("requires_payment_method", "requires_action", "requires_confirmation")


class Asking:
    """At an instant of business time."""

    def __init__(self, db: Database, processors: Processors, now: datetime) -> None:
        self._db, self._processors, self._now = db, processors, now

    async def ask(self, chain_id: UUID, charge_id: UUID) -> tuple[CardCharge, str]:
        """What became of a charge, and the secret by which a patient enters a card, while there is one to enter."""
        try:
            return await self._ask(chain_id, charge_id)
        except (Away, Declined) as failed:
            _tell(failed, card_charge_id=to_wire("cardcharge", charge_id))
            await self._step(chain_id, partial(_charge_later, charge_id=charge_id))
            raise ProcessorAway() from None

    async def _ask(self, chain_id: UUID, charge_id: UUID) -> tuple[CardCharge, str]:
        """Declined: the processor does not say what became of it. That a card is not charged is an answer."""
        charge = await self._step(chain_id, lambda store: store.card_charge(charge_id))
        if charge.state is not CardChargeState.REQUESTED:
            return charge, ""
        intent = await self._intent(chain_id, charge)
        settle = partial(cards.settle_card_charge, charge_id=charge.id, intent=intent)
        settled = await self._step(chain_id, settle)
        waits = settled.state is CardChargeState.REQUESTED and not charge.card_id
        return settled, intent.client_secret if waits else ""

    async def look(self) -> int:
        """At everything that is due to be looked at; how much that was."""
        return await in_each(sorted(self._processors.chains), self._look_at, FAILED)

    async def _look_at(self, chain_id: UUID) -> int:
        charges = await self._step(chain_id, lambda store: store.card_charges_to_look_at(AT_ONCE_MAX))
        for charge in charges:
            later = partial(_charge_later, charge_id=charge.id)
            ids = {"card_charge_id": to_wire("cardcharge", charge.id)}
            await self._safely(chain_id, self._ask(chain_id, charge.id), later, ids)
        parts = await self._step(chain_id, lambda store: store.parts_to_look_at(AT_ONCE_MAX))
        for part in parts:
            ids = {"refund_id": to_wire("refund", part.refund_id)}
            await self._safely(chain_id, self._ask_refund(chain_id, part), partial(_part_later, part=part), ids)
        found = await self._step(chain_id, lambda store: store.events_to_look_at(AT_ONCE_MAX))
        for event in map(dict, found):
            ids = {"event_id": event["event_id"]}
            await self._safely(chain_id, self._apply(chain_id, event), partial(_event_later, event=event), ids)
        detached = await self._step(chain_id, lambda store: store.cards_to_look_at(AT_ONCE_MAX))
        for card in detached:
            ids = {"card_id": to_wire("card", card.id)}
            await self._safely(chain_id, self._detach(chain_id, card), partial(_card_later, card=card), ids)
        return len(charges) + len(parts) + len(found) + len(detached)

    async def _safely(self, chain_id: UUID, asking: Awaitable[Any], later: Later, ids: dict[str, str]) -> None:
        """One that fails, even by a mistake of ours, is put off and does not hold up others."""
        try:
            await asking
        except Exception as failed:
            _tell(failed, **ids)
            await self._step(chain_id, later)

    async def _intent(self, chain_id: UUID, charge: CardCharge) -> Intent:
        """As the processor has it; made, if it was not and may be."""
        processor = self._processors[charge.account]
        if charge.processor_id or charge.aged:
            intent = await self._known(processor, charge)
            if intent is None:
                return Intent("", charge.id, "canceled", Money(0, charge.amount.currency), failure=NEVER_ASKED)
            return await processor.cancel_intent(intent.id) if charge.aged and intent.status in GIVEN_UP else intent
        customer = await self._customer(chain_id, processor, charge)
        try:
            return await processor.create_intent(charge, customer)
        except Declined as declined:
            id, nothing = declined.intent_id or "", Money(0, charge.amount.currency)
            if id:  # Nobody is to pay it later.
                await processor.cancel_intent(id)
            return Intent(id, charge.id, "canceled", nothing, failure=declined.code)

    async def _known(self, processor: Processor, charge: CardCharge) -> Intent | None:
        if charge.processor_id:
            return await processor.intent(charge.processor_id)
        return await processor.find_intent(charge.id)

    async def _customer(self, chain_id: UUID, processor: Processor, charge: CardCharge) -> str:
        if not charge.saves_card:
            return charge.customer
        id, customer = await self._step(chain_id, lambda store: store.customer(charge.patient_id, charge.account))
        if customer is None:
            made = await processor.create_customer(id)
            await self._step(chain_id, lambda store: store.keep_customer(id, made))
            return made
        return customer

    async def _ask_refund(self, chain_id: UUID, part: RefundPart) -> None:
        paid = await self._step(chain_id, lambda store: _charge_of(store, part))
        assert paid.processor_id
        told = await self._refund(self._processors[paid.account], part, paid.processor_id)
        await self._step(chain_id, partial(_end_part, part=part, told=told))

    async def _refund(self, processor: Processor, part: RefundPart, intent_id: str) -> RefundTold:
        """Looked for first: whoever asked may have died before it kept the answer, and the key lapses in a day. What is
        not shown has not failed."""
        if part.processor_id:
            return await processor.refund(part.processor_id)
        if found := await processor.find_refund(part.id, intent_id):
            return found
        try:
            return await processor.create_refund(part, intent_id)
        except Declined as declined:
            return RefundTold("", part.id, RefundState.FAILED, declined.code)

    async def _detach(self, chain_id: UUID, card: Card) -> None:
        await self._processors[card.account].detach(card.payment_method)
        await self._step(chain_id, lambda store: store.look_at_card(card.id, None))

    async def _apply(self, chain_id: UUID, event: dict[str, Any]) -> None:
        """By what the object is now: the order in which the processor tells does not matter."""
        account, event_id = event["account"], event["event_id"]
        try:
            outcome = await self._outcome(chain_id, account, event["type"], event["object_id"])
        except Declined:  # There is no such object any more.
            outcome = EventOutcome.UNMATCHED
        await self._step(chain_id, partial(_end_event, account=account, event_id=event_id, outcome=outcome))

    async def _outcome(self, chain_id: UUID, account: str, type: str, object_id: str) -> EventOutcome:
        processor, noun = self._processors[account], type.rpartition(".")[0]
        match noun:
            case "payment_intent":
                matched = await self._apply_intent(chain_id, account, object_id)
            case "refund" | "charge.refund":
                told = await processor.refund(object_id)
                matched = await self._step(chain_id, partial(_apply_refund, account=account, told=told))
            case "charge.dispute":
                dispute = await processor.dispute(object_id)
                if dispute.status.startswith("warning_"):  # An inquiry: no money moved.
                    return EventOutcome.IGNORED
                await self._apply_intent(chain_id, account, dispute.intent_id)
                settle = partial(cards.settle_dispute, account=account, told=dispute)
                matched = await self._step(chain_id, settle)
            case "payout" if type == "payout.paid":
                matched = await self._apply_payout(chain_id, account, object_id)
            case "payout" if type == "payout.failed":
                matched = False
            case _:
                return EventOutcome.IGNORED
        return EventOutcome.APPLIED if matched else EventOutcome.UNMATCHED

    async def _apply_intent(self, chain_id: UUID, account: str, intent_id: str) -> bool:
        if not intent_id:
            return False
        intent = await self._processors[account].intent(intent_id)
        if intent.our_id is None:
            return False
        return await self._step(chain_id, partial(_apply_intent, account=account, intent=intent))

    async def _apply_payout(self, chain_id: UUID, account: str, payout_id: str) -> bool:
        """What it is made of is known first: the processor is asked for those of which nobody heard yet, payments,
        refunds and disputes alike. What it does not know waits for its document."""
        told = await self._processors[account].payout(payout_id)
        if told.status != "paid":
            return False
        named = {(line.kind, line.about): None for line in told.lines if line.kind}  # In order, each once.
        known = await self._step(chain_id, lambda store: store.matched(account, {about for _, about in named}))
        for kind, about in named:
            if (kind, about) not in known:
                with suppress(Declined):
                    await self._outcome(chain_id, account, HEARD_BY[kind], about)
        await self._step(chain_id, partial(cards.record_payout, account=account, told=told))
        return True

    async def _step(self, chain_id: UUID, work: Callable[[BillingStore], Awaitable[T]]) -> T:
        return await self._db.job(job_call("billing", "processor", chain_id, self._now), BillingStore, work)


def _tell(failed: Exception, **ids: str) -> None:
    """That nobody answers is no failure."""
    if isinstance(failed, Away):
        log.warning("processor.away", **ids)
        return
    if isinstance(failed, Declined):
        log.error("processor.refused", code=failed.code, **ids)
    else:
        log.exception(FAILED, **ids)
    CHAIN_FAILURES.labels(FAILED).inc()


async def _charge_later(store: BillingStore, charge_id: UUID) -> None:
    charge = await store.card_charge(charge_id)
    await store.wait_for_card_charge(charge_id, None, wait(charge.tries))


async def _part_later(store: BillingStore, part: RefundPart) -> None:
    await store.wait_for_part(part.id, None, wait(part.tries))


async def _event_later(store: BillingStore, event: dict[str, Any]) -> None:
    await store.wait_for_event(event["account"], event["event_id"], wait(event["tries"]))


async def _card_later(store: BillingStore, card: Card) -> None:
    await store.look_at_card(card.id, wait(0))


async def _charge_of(store: BillingStore, part: RefundPart) -> CardCharge:
    assert part.payment_id
    payment = await store.payment(part.payment_id)
    assert payment.card_charge_id
    return await store.card_charge(payment.card_charge_id)


async def _end_part(store: BillingStore, part: RefundPart, told: RefundTold) -> None:
    if told.state is RefundState.REQUESTED:
        await store.wait_for_part(part.id, told.id, wait(part.tries))
    else:
        await refunds.end_part(store, part.id, told.state, told.id, told.failure)


async def _end_event(store: BillingStore, account: str, event_id: str, outcome: EventOutcome) -> None:
    """With what it made known: a line of a payout may have waited for that."""
    await cards.match_lines(store, account)
    await store.end_event(account, event_id, outcome)


async def _apply_refund(store: BillingStore, account: str, told: RefundTold) -> bool:
    """One that names an id of ours and is of another account than the card that gets it is not ours."""
    part = await store.refund_part(told.our_id) if told.our_id else None
    if part is None or part.tender is not Tender.CARD or (await _charge_of(store, part)).account != account:
        return False
    await _end_part(store, part, told)
    return True


async def _apply_intent(store: BillingStore, account: str, intent: Intent) -> bool:
    """One that names an id of ours and is of another chain's account is not ours."""
    assert intent.our_id
    charge = await store.known_card_charge(intent.our_id)
    if charge is None or charge.account != account:
        return False
    await cards.settle_card_charge(store, charge.id, intent)
    return True
