"""Cards: asked for money, and what their processor says that became of it.

The processor itself is asked between these, by `services.billing.processor.asking`. What it says is taken in whatever
order it comes: each step looks at what is known, under the lock of the patient whose money it is.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from chassis.aliases import Whole
from chassis.ids import new_id, to_wire
from chassis.money import Money
from services.billing import events
from services.billing.domain.accounts import check_amount
from services.billing.domain.cards import Card, CardCharge, CardChargeState, CardNotFound, wait
from services.billing.domain.disputes import Decision, Dispute, DisputeNotLost, DisputeState, after
from services.billing.domain.guard import DisputeOpen
from services.billing.domain.ledger import Tender
from services.billing.domain.payments import Change, unapplied
from services.billing.domain.payouts import Matched, Payout, PayoutLine, PayoutLineSettled, Share, by_site
from services.billing.processor import DisputeTold, Intent, PayoutLineTold, PayoutTold
from services.billing.store import BillingStore
from services.billing.use_cases.payments import (
    RecordPayment,
    check_purpose,
    locked_payment,
    post,
    take_card_payment,
    take_off,
    transfer,
)

AT_ONCE_MAX = 200
"""So many lines of payouts are matched in one transaction."""
ASKED_WITHIN = timedelta(seconds=30)
"""In which whoever asked for it should have told what the processor answered: then the job asks."""


@dataclass(frozen=True, slots=True)
class AskCard:
    site_id: UUID
    patient_id: UUID
    course_id: UUID | None
    invoice_id: UUID | None
    amount: Money
    account: str
    card_id: UUID | None = None
    """None: the patient enters one."""
    saves_card: bool = False


async def ask_card(store: BillingStore, command: AskCard) -> CardCharge:
    """With the patient that the command names locked. Committed before the processor is asked."""
    site = await store.site(command.site_id)
    check_amount(command.amount, site.currency)
    patient = await store.locked_patient(command.patient_id)
    course_id = await check_purpose(store, _payment(command, None), patient)
    if command.card_id and course_id and await store.disputed(course_id):
        raise DisputeOpen()
    card = await _card(store, command, patient) if command.card_id else None
    if command.saves_card:
        await store.need_customer(patient.end, command.account)
    charge = CardCharge(
        id=new_id(),
        site_id=site.id,
        patient_id=patient.end,
        course_id=command.course_id,
        invoice_id=command.invoice_id,
        card_id=command.card_id,
        account=command.account,
        customer=card.customer if card else "",
        payment_method=card.payment_method if card else "",
        amount=command.amount,
        saves_card=command.saves_card,
        state=CardChargeState.REQUESTED,
        created_at=store.call.now,
        changed_at=store.call.now,
    )
    await store.add_card_charge(charge, ASKED_WITHIN)
    return charge


async def settle_card_charge(store: BillingStore, charge_id: UUID, intent: Intent) -> CardCharge:
    """As the processor has it. What it took is a payment, once, whatever was known of it before."""
    known = await store.card_charge(charge_id)
    patient = await store.lock_patient(known.patient_id)
    charge = await store.card_charge(charge_id)
    if charge.state is CardChargeState.SUCCEEDED:
        return charge
    if intent.status == "succeeded":
        await _take(store, charge, intent, patient)
    elif charge.state is CardChargeState.REQUESTED:
        if state := _ended(charge, intent):
            await store.end_card_charge(charge.id, state, intent.id or None, intent.failure)
            store.emit(events.card_charge_failed(charge), about=charge.id)
        else:
            await store.wait_for_card_charge(charge.id, intent.id, wait(charge.tries))
    return await store.card_charge(charge_id)


async def settle_dispute(store: BillingStore, account: str, told: DisputeTold) -> bool:
    """As the processor has it; whether it is of a payment of ours. An opening that is heard of last changes nothing."""
    charge = await store.card_charge_of(account, told.intent_id)
    if charge is None or charge.payment_id is None:
        return False
    payment = await locked_payment(store, charge.payment_id)
    site = await store.site(payment.site_id)
    dispute = await store.dispute_of(account, told.id)
    if dispute is None:
        dispute = Dispute(
            id=new_id(),
            site_id=payment.site_id,
            patient_id=payment.patient_id,
            payment_id=payment.id,
            account=account,
            processor_id=told.id,
            amount=told.amount,
            lost=Money(0, told.amount.currency),
            state=DisputeState.OPEN,
            reason=told.reason,
            note="",
            opened_at=store.call.now,
            changed_at=store.call.now,
        )
        await store.add_dispute(dispute)
        await post(store, site, payment.patient_id, [dispute.opened_entry()])
        store.emit(events.dispute_opened(dispute), about=dispute.id)
    state = after(told.status)
    if dispute.state is DisputeState.OPEN and state is not DisputeState.OPEN:
        await store.change_dispute(replace(dispute, state=state, changed_at=store.call.now))
        if state is DisputeState.WON:
            await post(store, site, payment.patient_id, [dispute.won_entry()])
        store.emit(events.dispute_closed(dispute, won=state is DisputeState.WON), about=dispute.id)
    return True


async def decide_dispute(store: BillingStore, dispute_id: UUID, decision: Decision, reason: str) -> Dispute:
    """Owed again: what is left of the payment goes first, then its credit, then what it paid, the newest first."""
    found = await store.dispute(dispute_id)
    payment = await locked_payment(store, found.payment_id)
    dispute = await store.dispute(dispute_id)
    if dispute.state is not DisputeState.LOST:
        raise DisputeNotLost()
    site = await store.site(dispute.site_id)
    if decision is Decision.WRITTEN_OFF:
        entry, lost, state = dispute.written_off_entry(), 0, DisputeState.WRITTEN_OFF
    else:
        missing = dispute.amount.minor - payment.unapplied.minor
        if (credit := min(max(missing, 0), payment.credit.minor)) > 0:
            await transfer(store, site, payment, -Money(credit, dispute.amount.currency))
        await take_off(store, payment, unapplied(payment, max(missing - credit, 0), new_id), reason)
        lost = min(dispute.amount.minor, payment.standing.minor)
        await store.change_items([Change(payment.id, left=-lost, gone=lost)])
        entry, state = dispute.owed_again_entry(lost), DisputeState.OWED_AGAIN
    await post(store, site, payment.patient_id, [entry])
    decided = replace(
        dispute, state=state, lost=Money(lost, dispute.amount.currency), note=reason, changed_at=store.call.now
    )
    await store.change_dispute(decided)
    return decided


async def record_payout(store: BillingStore, account: str, told: PayoutTold) -> None:
    """Once. What matches no document of ours is kept, and in nobody's books until somebody says whose it is."""
    found = await store.matched(account, {line.about for line in told.lines})
    lines = tuple(_line(line, found.get((line.kind, line.about))) for line in told.lines)
    currency, now = told.amount.currency, store.call.now
    payout = Payout(new_id(), account, told.id, told.amount, told.arrival_date, now, lines)
    entities = {each.site_id: each.legal_entity_id for each in found.values()}
    shares = [
        Share(new_id(), site_id, entities[site_id], Money(amount, currency), Money(fee, currency))
        for site_id, (amount, fee) in by_site(lines).items()
    ]
    if await store.add_payout(payout, shares):
        await store.post_booked([booked for share in shares for booked in share.booked()], patient_id=None)


async def match_lines(store: BillingStore, account: str) -> None:
    """Lines that waited for their documents are in the books of those, once. Not what somebody settled by hand."""
    waiting = [line.id for line, _ in await store.lines_to_match(account, AT_ONCE_MAX)]
    if not waiting:
        return
    await store.lock(waiting)
    for line, found in await store.lines_to_match(account, AT_ONCE_MAX):
        if line.id in waiting:
            await store.match_line(line.id, found)
            share = Share(line.id, found.site_id, found.legal_entity_id, line.amount, line.fee)
            await store.post_booked(share.booked(), patient_id=None)


async def settle_payout_line(store: BillingStore, line_id: UUID, entry_id: UUID, note: str) -> PayoutLine:
    """Of one that matches no document. With the line locked."""
    line = await store.payout_line(line_id)
    if line.matched_id or line.entry_id:
        raise PayoutLineSettled()
    await store.need_adjustment(entry_id)
    await store.settle_line(line_id, entry_id, note)
    return replace(line, entry_id=entry_id, note=note)


def _line(told: PayoutLineTold, matched: Matched | None) -> PayoutLine:
    return PayoutLine(
        id=new_id(),
        site_id=matched.site_id if matched else None,
        transaction=told.transaction,
        type=told.type,
        source=told.about or told.transaction,
        amount=told.amount,
        fee=told.fee,
        matched_id=matched.id if matched else None,
    )


async def _card(store: BillingStore, command: AskCard, patient: Whole) -> Card:
    """On file, this patient's, and known to the account that the site has."""
    assert command.card_id
    card = await store.card(command.card_id)
    if card.patient_id not in patient.ids or card.detached_at or card.account != command.account:
        raise CardNotFound(card_id=to_wire("card", command.card_id))
    return card


async def _take(store: BillingStore, charge: CardCharge, intent: Intent, patient: Whole) -> None:
    command = AskCard(
        charge.site_id, charge.patient_id, charge.course_id, charge.invoice_id, intent.received, charge.account
    )
    await take_card_payment(store, _payment(command, charge.id), patient)
    await store.end_card_charge(charge.id, CardChargeState.SUCCEEDED, intent.id)
    if charge.saves_card and (token := intent.token):
        card = Card(
            id=new_id(),
            patient_id=patient.end,
            account=charge.account,
            customer=token.customer,
            payment_method=token.payment_method,
            brand=token.brand,
            last4=token.last4,
            expiry_month=token.expiry_month,
            expiry_year=token.expiry_year,
            saved_at=store.call.now,
        )
        await store.keep_card(card)


def _ended(charge: CardCharge, intent: Intent) -> CardChargeState | None:
    """A patient who enters a card may try another; a card on file is asked once."""
    if intent.status == "canceled":
        return CardChargeState.FAILED if charge.card_id else CardChargeState.CANCELLED
    waits = intent.status in ("requires_payment_method", "requires_action", "requires_confirmation")
    return CardChargeState.FAILED if charge.card_id and waits else None


def _payment(command: AskCard, charge_id: UUID | None) -> RecordPayment:
    return RecordPayment(
        site_id=command.site_id,
        patient_id=command.patient_id,
        course_id=command.course_id,
        invoice_id=command.invoice_id,
        amount=command.amount,
        tender=Tender.CARD,
        terminal_reference="",
        card_charge_id=charge_id,
    )
