"""Refunds: asked for, and how a card's processor says that they went."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from chassis.aliases import Whole
from chassis.errors import Violation
from chassis.ids import new_id, to_wire
from chassis.money import Money
from services.billing import events
from services.billing.domain.accounts import Payment, PaymentNotFound, check_amount
from services.billing.domain.ledger import Tender
from services.billing.domain.payments import Change
from services.billing.domain.refunds import (
    AskedPart,
    Credit,
    CreditNotFound,
    Refund,
    RefundMisdirected,
    RefundPart,
    RefundState,
    Sources,
    made,
    parts_of,
)
from services.billing.store import BillingStore
from services.billing.use_cases.cash import cash_day
from services.billing.use_cases.payments import post
from services.billing.use_cases.receipts import order_refund_receipt


@dataclass(frozen=True, slots=True)
class CreateRefund:
    site_id: UUID
    patient_id: UUID
    amount: Money
    parts: tuple[AskedPart, ...]
    reason: str


async def create_refund(store: BillingStore, command: CreateRefund) -> Refund:
    """With the patient that the command names locked. What a card is to get is taken from the payment or the
    credit now, so that it is not given back twice, and given back to it if the processor fails."""
    site, now = await store.site(command.site_id), store.call.now
    check_amount(command.amount, site.currency)
    patient = await store.locked_patient(command.patient_id)
    sources = await _sources(store, command, patient)
    parts = parts_of(command.amount, command.parts, sources)
    refund_id = new_id()
    made_of = made(parts, sources, refund_id, site.id, patient.end, now, new_id)
    in_cash = any(part.tender is Tender.CASH for part in made_of)
    refund = Refund(
        id=refund_id,
        site_id=site.id,
        patient_id=patient.end,
        amount=command.amount,
        reason=command.reason,
        actor=store.call.actor,
        business_date=await cash_day(store, site) if in_cash else site.day(now),
        created_at=now,
        parts=made_of,
    )
    await store.add_refund(refund)
    await order_refund_receipt(store, refund)
    await store.change_items(_change(part, 1) for part in refund.parts)
    await post(store, site, patient.end, [part.entry() for part in refund.parts])
    for part in refund.parts:
        if part.state is RefundState.SUCCEEDED:
            store.emit(events.refund_succeeded(part), about=refund.id)
    return refund


async def end_part(store: BillingStore, part_id: UUID, state: RefundState, processor_id: str, failure: str) -> None:
    """As the processor says. A refund that succeeded may fail later, when the card's bank sends it back; one that
    failed stays so."""
    known = await store.refund_part(part_id)
    assert known
    await store.lock_patient(known.patient_id)
    part = await store.refund_part(part_id)
    assert part
    if state is RefundState.REQUESTED or part.state in (state, RefundState.FAILED):
        return
    ended = replace(part, state=state, processor_id=processor_id, failure=failure, changed_at=store.call.now)
    await store.end_part(ended)
    if state is RefundState.FAILED:
        await store.change_items([_change(part, -1)])
        await post(store, await store.site(part.site_id), part.patient_id, [part.failed_entry()])
        store.emit(events.refund_failed(ended), about=part.refund_id)
    else:
        store.emit(events.refund_succeeded(ended), about=part.refund_id)


async def _sources(store: BillingStore, command: CreateRefund, patient: Whole) -> Sources:
    """Those that the parts name, or all of which anything can be given back."""
    if not command.parts:
        payments = {each.id: each for each in await store.refundable(patient.end, command.site_id)}
        credits = {each.id: each for each in await store.credit_left(patient.end, command.site_id)}
    else:
        payments = {each.id: each for each in await store.payments_named(_named(command.parts, "payment_id"))}
        credits = {each.id: each for each in await store.credit_named(_named(command.parts, "credit_id"))}
        for i, part in enumerate(command.parts):
            if part.payment_id and part.payment_id not in payments:
                raise PaymentNotFound(payment_id=to_wire("payment", part.payment_id))
            if part.credit_id and part.credit_id not in credits:
                raise CreditNotFound(credit_id=to_wire("credit", part.credit_id))
            named: list[Payment | Credit] = [payments[part.payment_id]] if part.payment_id else []
            named += [credits[part.credit_id]] if part.credit_id else []
            astray = any(each.patient_id not in patient.ids or each.site_id != command.site_id for each in named)
            if astray or _source(part) in map(_source, command.parts[:i]):
                field = f"parts[{i}].{'credit_id' if part.credit_id else 'payment_id'}"
                raise RefundMisdirected(Violation(field, RefundMisdirected.reason, RefundMisdirected.message))
    cards = [each.id for each in payments.values() if each.tender is Tender.CARD]
    return Sources(payments, credits, await store.refundable_on_card(cards) if cards else {})


def _source(part: AskedPart) -> UUID | None:
    return part.credit_id or part.payment_id


def _named(parts: Sequence[AskedPart], field: str) -> list[UUID]:
    return [id for part in parts if (id := getattr(part, field))]


def _change(part: RefundPart, sign: int) -> Change:
    """What giving it back does to its payment or its credit; below zero, that it was not."""
    whole, credit = part.amount.minor * sign, part.credit.minor * sign
    if part.credit_id:
        return Change(part.credit_id, left=-whole, gone=whole)
    assert part.payment_id
    return Change(part.payment_id, left=credit - whole, credit=-credit, gone=whole)
