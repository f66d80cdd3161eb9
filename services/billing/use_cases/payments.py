"""Payments: taken, and applied to what the patient owes the site; and what becomes of them.

Each change holds the lock of the patient whose money it is, and of the survivor if that one was merged: nobody else
applies this patient's money meanwhile. What was written under any of their ids is theirs to pay.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from chassis.aliases import Whole
from chassis.errors import Violation
from chassis.ids import new_id, to_wire
from chassis.money import Money
from services.billing import events
from services.billing.domain import ledger
from services.billing.domain.accounts import (
    Application,
    Charge,
    ChargeKind,
    ItemKind,
    OpenItem,
    Payment,
    PaymentMisdirected,
    Share,
    check_amount,
    deposit_covered,
    kind_of_payment,
    pay,
)
from services.billing.domain.amounts import CurrencyMismatch, of_another_currency
from services.billing.domain.invoices import Invoice, of_credit_use
from services.billing.domain.ledger import Tender
from services.billing.domain.payments import (
    Allocation,
    Change,
    CreditTransfer,
    DepositEmpty,
    DepositFeeCharged,
    Forfeiture,
    NothingApplied,
    NothingUnapplied,
    PaymentRepeated,
    Reversal,
    Taken,
    Unapplication,
    allocated,
    check_credit,
    check_reversible,
    entries_of,
    still_taken,
    taken_from,
    unapplied,
    with_taxes,
)
from services.billing.domain.sites import Site
from services.billing.store import BillingStore
from services.billing.use_cases.cash import cash_day
from services.billing.use_cases.receipts import order_receipt, receipt_of

NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class RecordPayment:
    site_id: UUID
    patient_id: UUID
    course_id: UUID | None
    invoice_id: UUID | None
    amount: Money
    tender: Tender
    terminal_reference: str
    check_number: str = ""
    benefit_account: int = 0
    allocations: tuple[Allocation, ...] = ()
    excess_to_credit: bool = False
    card_charge_id: UUID | None = None


async def record_payment(store: BillingStore, command: RecordPayment) -> Payment:
    """With the patient that the command names locked."""
    site = await store.site(command.site_id)
    check_amount(command.amount, site.currency)
    patient = await store.locked_patient(command.patient_id)
    await check_purpose(store, command, patient)
    payment_id = new_id()
    await _take_reference(store, site, command, patient, payment_id)
    payment = await _taken(store, site, command, patient, payment_id)
    if command.excess_to_credit and payment.unapplied.minor:
        await store.add_payment(payment, site.legal_entity_id, entries_of(payment))
        payment = await _make_credit(store, site, payment, payment.unapplied)
        await order_receipt(store, payment)
        return payment
    store.record_payment(payment, site.legal_entity_id, entries_of(payment), await receipt_of(store, payment))
    return payment


async def take_card_payment(store: BillingStore, command: RecordPayment, patient: Whole) -> Payment:
    """What a processor took is a payment now, whatever became of what it was for meanwhile: it was taken. With the
    patient locked."""
    site = await store.site(command.site_id)
    payment = await _taken(store, site, command, patient, new_id())
    await store.add_payment(payment, site.legal_entity_id, entries_of(payment))
    await order_receipt(store, payment)
    return payment


async def _taken(store: BillingStore, site: Site, command: RecordPayment, patient: Whole, payment_id: UUID) -> Payment:
    """With what it pays, and told; not written."""
    asked, paid_before, lives = await store.deposit(command.course_id) if command.course_id else (None, 0, True)
    kept_for = command.course_id if lives else None
    now, currency = store.call.now, command.amount.currency
    taken = OpenItem(payment_id, kept_for, command.amount, now)
    owed = await store.open_items(ItemKind.INVOICE, patient.end, command.site_id, currency)
    shares = _shares(taken, command.allocations, owed, command.invoice_id)
    payment = Payment(
        id=taken.id,
        site_id=command.site_id,
        patient_id=patient.end,
        course_id=command.course_id,
        kind=kind_of_payment(asked, paid_before, for_course=command.course_id is not None),
        tender=command.tender,
        terminal_reference=command.terminal_reference,
        amount=command.amount,
        business_date=await cash_day(store, site) if command.tender is Tender.CASH else site.day(now),
        received_at=now,
        unapplied=command.amount - Money(sum(share.amount.minor for share in shares), currency),
        applications=tuple(Application(new_id(), share, now) for share in shares),
        check_number=command.check_number,
        benefit_account=command.benefit_account,
        card_charge_id=command.card_charge_id,
        kept_for=kept_for,
    )
    credited = payment.unapplied.minor if command.excess_to_credit else 0
    covered = kept_for is not None and deposit_covered(asked, paid_before + command.amount.minor - credited)
    about = payment.course_id or payment.patient_id
    store.emit(events.payment_received(payment, deposit_covered=covered), about=about)
    _tell_paid(store, payment, owed, shares)
    if not lives and payment.unapplied.minor:
        store.emit(events.deposit_released(payment, payment.unapplied), about=about)
    return payment


async def apply_payment(store: BillingStore, payment_id: UUID, allocations: Sequence[Allocation]) -> Payment:
    payment = await locked_payment(store, payment_id)
    if not payment.unapplied.minor:
        raise NothingUnapplied()
    owed = await store.open_items(ItemKind.INVOICE, payment.patient_id, payment.site_id, payment.amount.currency)
    await _apply(store, payment, _shares(payment.open_item, allocations, owed, None), owed)
    return await store.payment(payment_id)


async def unapply_payment(store: BillingStore, payment_id: UUID, invoice_id: UUID, reason: str) -> Payment:
    payment = await locked_payment(store, payment_id)
    taken_off = unapplied(payment, payment.amount.minor, new_id, invoice_id)
    if not taken_off:
        raise NothingApplied(invoice_id=to_wire("invoice", invoice_id))
    await take_off(store, payment, taken_off, reason)
    return await store.payment(payment_id)


async def reverse_payment(store: BillingStore, payment_id: UUID, reason: str) -> Payment:
    """What of it is credit is so no longer; what it paid is owed again."""
    payment = await locked_payment(store, payment_id)
    check_reversible(payment)
    site, now = await store.site(payment.site_id), store.call.now
    await take_off(store, payment, unapplied(payment, payment.amount.minor, new_id), reason)
    if payment.credit.minor:
        await transfer(store, site, payment, -payment.credit)
    reversal = Reversal(
        payment_id=payment.id,
        site_id=payment.site_id,
        patient_id=payment.patient_id,
        amount=payment.amount,
        tender=payment.tender,
        reason=reason,
        actor=store.call.actor,
        business_date=await cash_day(store, site) if payment.tender is Tender.CASH else site.day(now),
        reversed_at=now,
    )
    await store.add_reversal(reversal)
    whole = payment.amount.minor
    await store.change_items([Change(payment.id, left=-whole, gone=whole)])
    await post(store, site, payment.patient_id, [reversal.entry()])
    uncovered = False
    if payment.course_id:
        asked, paid, _ = await store.deposit(payment.course_id)
        uncovered = asked is not None and not deposit_covered(asked, paid)
    about = payment.course_id or payment.patient_id
    store.emit(events.payment_reversed(payment, deposit_uncovered=uncovered), about=about)
    return await store.payment(payment_id)


async def move_to_credit(store: BillingStore, payment_id: UUID, amount: Money | None) -> Payment:
    """None: all that is left."""
    payment = await locked_payment(store, payment_id)
    if not payment.unapplied.minor:
        raise NothingUnapplied()
    moved = amount or payment.unapplied
    check_amount(moved, payment.amount.currency)
    if payment.unapplied < moved:
        raise NothingUnapplied(left_minor=payment.unapplied.minor)
    return await _make_credit(store, await store.site(payment.site_id), payment, moved)


@dataclass(frozen=True, slots=True)
class UsedCredit:
    """Of a credit note or the end of a package."""

    id: UUID
    used: Money
    left: Money


async def use_credit(store: BillingStore, invoice_id: UUID, amount: Money) -> tuple[list[Payment], list[UsedCredit]]:
    """That of a payment through the payment, so that it can be given back the way in which it came."""
    invoice = await store.invoice(invoice_id)
    patient = await store.lock_patient(invoice.patient_id)
    if foreign := of_another_currency(amount, invoice.total.currency, "amount"):
        raise CurrencyMismatch(*foreign)
    site = await store.site(invoice.site_id)
    credits, of_payments = await store.credits(patient.end, site.id, amount.currency)
    check_credit(amount, credits)
    owed = await store.open_items(ItemKind.INVOICE, patient.end, site.id, amount.currency)
    allocated(OpenItem(invoice_id, None, amount, store.call.now), [Allocation(invoice_id, amount)], owed)
    used = taken_from(amount.minor, credits)
    shares = [Share(id, invoice_id, Money(minor, amount.currency)) for id, minor in used.items()]
    given = [share for share in shares if share.payment_id not in of_payments]
    await _use_given(store, site, invoice, given, owed)
    for share in shares:
        if share.payment_id in of_payments:
            payment = await store.payment(share.payment_id)
            await transfer(store, site, payment, -share.amount)
            still = await store.open_items(ItemKind.INVOICE, patient.end, site.id, amount.currency)
            await _apply(store, payment, [share], still)
    whole = {id: Money(minor, amount.currency) for id, minor in credits.items()}
    return (
        [await store.payment(id) for id in used if id in of_payments],
        [UsedCredit(each.payment_id, each.amount, whole[each.payment_id] - each.amount) for each in given],
    )


async def _use_given(
    store: BillingStore, site: Site, invoice: Invoice, shares: Sequence[Share], owed: Sequence[OpenItem]
) -> None:
    """Credit that no payment holds pays an invoice."""
    if not shares:
        return
    new = [Application(new_id(), share, store.call.now) for share in shares]
    await store.add_credit_uses(site.id, new)
    used = sum(share.amount.minor for share in shares)
    changes = [Change(share.payment_id, left=-share.amount.minor) for share in shares]
    await store.change_items([Change(invoice.id, left=-used), *changes])
    await post(store, site, invoice.patient_id, [of_credit_use(each.id, each.share.amount) for each in new])
    _tell_paid(store, invoice, owed, shares)


async def forfeit_deposit(
    store: BillingStore, course_id: UUID, amount: Money, reason: str
) -> tuple[Money, list[Payment]]:
    """Up to `amount`, of what is left of the course's deposit, that of the oldest payment first, by hand. A fee that a
    rule asked for is earned by its charge, and by what the rule took. Taxed as that of a visit missed today."""
    course = await store.course(course_id)
    await store.lock_patient(course.patient_id)
    if await store.fee_stands(course_id):
        raise DepositFeeCharged(course_id=to_wire("course", course_id))
    kept = await store.left_of_deposit(course_id)
    if not kept:
        raise DepositEmpty(course_id=to_wire("course", course_id))
    check_amount(amount, kept[0].left.currency)
    site = await store.site(course.site_id)
    taken = taken_from(amount.minor, {each.id: each.left.minor for each in kept})
    rules, today = await store.all_tax_rules(site.id), site.day(store.call.now)
    parts = with_taxes(taken, amount.currency, rules, ChargeKind.NO_SHOW_FEE, "", today)
    await forfeit(store, site, course_id, parts, reason)
    payments = [await store.payment(payment_id) for payment_id in taken]
    return Money(sum(taken.values()), amount.currency), payments


async def forfeit(
    store: BillingStore,
    site: Site,
    course_id: UUID,
    parts: Mapping[UUID, Taken],
    reason: str,
    charge_id: UUID | None = None,
) -> None:
    """So much of each payment, for the fee of a charge, if any; below zero, back to it. With the patient locked."""
    for payment_id, part in parts.items():
        payment = await store.payment(payment_id)
        forfeited = Forfeiture(
            id=new_id(),
            site_id=payment.site_id,
            patient_id=payment.patient_id,
            course_id=course_id,
            payment_id=payment_id,
            amount=part.amount,
            reason=reason,
            actor=store.call.actor,
            forfeited_at=store.call.now,
            tax=part.tax,
            charge_id=charge_id,
        )
        await store.add_forfeiture(forfeited)
        minor = part.amount.minor
        await store.change_items([Change(payment_id, left=-minor, gone=minor)])
        await post(store, site, payment.patient_id, [forfeited.entry()])
        tell = events.deposit_forfeited if minor > 0 else events.deposit_returned
        store.emit(tell(forfeited), about=course_id)


async def return_deposits(
    store: BillingStore, site: Site, fees: Sequence[Charge], parts: Sequence[Forfeiture], reason: str
) -> int:
    """What `parts` say was taken of deposits for fees of which nothing is left is as before: so many minor units. With
    the patient locked."""
    returned = 0
    for fee in fees:
        taken = still_taken(each for each in parts if each.charge_id == fee.origin_id)
        if taken and fee.course_id:
            back = {payment_id: -part for payment_id, part in taken.items()}
            await forfeit(store, site, fee.course_id, back, reason, fee.origin_id)
            returned += sum(part.amount.minor for part in taken.values())
    return returned


async def release_deposits(store: BillingStore, course_id: UUID) -> None:
    """What is kept for a course of which nothing is to come is the patient's at the site, for whatever they owe; so is
    what comes back to its payments later. After the fee of what became of its last visit, which may take of it."""
    course = await store.course(course_id)
    await store.lock_patient(course.patient_id)
    _, _, lives = await store.deposit(course_id)
    if lives:
        return
    kept = await store.kept_for_course(course_id)
    await store.release(course_id)
    for each in kept:
        payment = await store.payment(each.id)
        store.emit(events.deposit_released(payment, each.left), about=course_id)
        owed = await store.open_items(ItemKind.INVOICE, payment.patient_id, payment.site_id, each.left.currency)
        await _apply(store, payment, pay(payment.open_item, owed), owed)


async def locked_payment(store: BillingStore, payment_id: UUID) -> Payment:
    """As it is under the lock of its patient."""
    found = await store.payment(payment_id)
    await store.lock_patient(found.patient_id)
    return await store.payment(payment_id)


async def take_off(store: BillingStore, payment: Payment, taken_off: Sequence[Unapplication], reason: str) -> None:
    """What of a payment pays invoices no longer is left of it, and owed again."""
    if not taken_off:
        return
    await store.add_unapplications(payment.site_id, taken_off, reason)
    owed_again = _by_invoice([each.share for each in taken_off])
    changes = [Change(invoice_id, left=minor) for invoice_id, minor in owed_again.items()]
    changed = await store.change_items([Change(payment.id, left=sum(owed_again.values())), *changes])
    site = await store.site(payment.site_id)
    await post(store, site, payment.patient_id, [each.entry() for each in taken_off])
    await _tell_reopened(store, payment, [changed[invoice_id] for invoice_id in owed_again])


async def post(store: BillingStore, site: Site, patient_id: UUID, entries: Sequence[ledger.Entry]) -> None:
    await store.post(entries, legal_entity_id=site.legal_entity_id, site_id=site.id, patient_id=patient_id)


async def check_purpose(store: BillingStore, command: RecordPayment, patient: Whole) -> UUID | None:
    """The course or the invoice that is named must be this patient's, at this site. The course that it is for."""
    course_id: UUID | None
    if command.course_id:
        course = await store.course(command.course_id)
        whose, where, course_id = course.patient_id, course.site_id, course.id
    elif command.invoice_id:
        invoice = await store.invoice(command.invoice_id)
        whose, where, course_id = invoice.patient_id, invoice.site_id, invoice.course_id
    else:
        return None
    if whose not in patient.ids or where != command.site_id:
        field = "course_id" if command.course_id else "invoice_id"
        raise PaymentMisdirected(Violation(field, "PAYMENT_MISDIRECTED", PaymentMisdirected.message))
    return course_id


def _shares(
    taken: OpenItem, allocations: Sequence[Allocation], owed: Sequence[OpenItem], first: UUID | None
) -> list[Share]:
    return allocated(taken, allocations, owed) if allocations else pay(taken, owed, first)


async def _apply(store: BillingStore, payment: Payment, shares: Sequence[Share], owed: Sequence[OpenItem]) -> None:
    if not shares:
        return
    new = [Application(new_id(), share, store.call.now) for share in shares]
    await store.add_applications(payment.site_id, new)
    paid = _by_invoice(shares)
    changes = [Change(invoice_id, left=-minor) for invoice_id, minor in paid.items()]
    await store.change_items([Change(payment.id, left=-sum(paid.values())), *changes])
    site = await store.site(payment.site_id)
    await post(store, site, payment.patient_id, [ledger.of_application(each.id, each.share.amount) for each in new])
    _tell_paid(store, payment, owed, shares)


def _tell_paid(store: BillingStore, by: Payment | Invoice, owed: Sequence[OpenItem], shares: Sequence[Share]) -> None:
    """Of which invoices nothing is left to pay."""
    paid = _by_invoice(shares)
    for invoice in owed:
        if invoice.left.minor == paid.get(invoice.id):
            about = invoice.course_id or invoice.id
            store.emit(events.invoice_paid(invoice.id, by), about=about, version=invoice.version + 1)


async def _tell_reopened(store: BillingStore, by: Payment, owed: Sequence[OpenItem]) -> None:
    numbers = await store.invoice_numbers([invoice.id for invoice in owed])
    for invoice in owed:
        told = events.invoice_reopened(invoice, numbers[invoice.id], by)
        store.emit(told, about=invoice.course_id or invoice.id, version=invoice.version)


def _by_invoice(shares: Sequence[Share]) -> dict[UUID, int]:
    found = dict[UUID, int]()
    for share in shares:
        found[share.invoice_id] = found.get(share.invoice_id, 0) + share.amount.minor
    return found


async def _make_credit(store: BillingStore, site: Site, payment: Payment, amount: Money) -> Payment:
    await transfer(store, site, payment, amount)
    return replace(payment, unapplied=payment.unapplied - amount, credit_minor=payment.credit_minor + amount.minor)


async def transfer(store: BillingStore, site: Site, payment: Payment, amount: Money) -> None:
    """From what is left of a payment into credit; below zero, back."""
    moved = CreditTransfer(new_id(), site.id, payment.patient_id, payment.id, amount, store.call.now)
    await store.add_transfer(moved)
    await store.change_items([Change(payment.id, left=-amount.minor, credit=amount.minor)])
    await post(store, site, payment.patient_id, [moved.entry()])


async def _take_reference(
    store: BillingStore, site: Site, command: RecordPayment, patient: Whole, payment_id: UUID
) -> None:
    """Two payments with one reference are one that was keyed in twice."""
    reference = command.terminal_reference or command.check_number
    if not reference:
        return
    day, payer = site.day(store.call.now), patient.end if command.check_number else NOBODY
    if earlier := await store.taken_reference(site.id, day, command.tender, reference, payer):
        raise PaymentRepeated(payment_id=to_wire("payment", earlier))
    await store.take_reference(site.id, day, command.tender, reference, payer, payment_id)
