"""Payments: taken, and applied to what the patient owes the site."""

from dataclasses import dataclass
from uuid import UUID

from chassis.aliases import Whole
from chassis.ids import new_id
from chassis.money import Money
from services.billing import events
from services.billing.domain import ledger
from services.billing.domain.accounts import (
    Application,
    ItemKind,
    OpenItem,
    Payment,
    PaymentMisdirected,
    check_amount,
    deposit_covered,
    kind_of_payment,
    pay,
)
from services.billing.domain.ledger import Tender
from services.billing.store import BillingStore


@dataclass(frozen=True, slots=True)
class RecordPayment:
    site_id: UUID
    patient_id: UUID
    course_id: UUID | None
    invoice_id: UUID | None
    amount: Money
    tender: Tender
    terminal_reference: str


async def record_payment(store: BillingStore, command: RecordPayment) -> Payment:
    """With the patient that the command names locked, and the survivor if that one was merged: nobody else applies this
    patient's money meanwhile. What was written under any of their ids is theirs to pay."""
    site = await store.site(command.site_id)
    check_amount(command.amount, site.currency)
    patient = await store.locked_patient(command.patient_id)
    await _check_purpose(store, command, patient)
    asked, paid_before = await store.deposit(command.course_id) if command.course_id else (None, 0)
    taken = OpenItem(new_id(), command.course_id, command.amount, store.call.now)
    currency = command.amount.currency
    owed = await store.open_items(ItemKind.INVOICE, patient.end, command.site_id, currency)
    shares = pay(taken, owed, command.invoice_id)
    payment = Payment(
        id=taken.id,
        site_id=command.site_id,
        patient_id=patient.end,
        course_id=command.course_id,
        kind=kind_of_payment(asked, paid_before, for_course=command.course_id is not None),
        tender=command.tender,
        terminal_reference=command.terminal_reference,
        amount=command.amount,
        business_date=site.day(store.call.now),
        received_at=store.call.now,
        unapplied=command.amount - Money(sum(share.amount.minor for share in shares), currency),
        applications=tuple(Application(new_id(), share, store.call.now) for share in shares),
    )
    entries = [ledger.of_payment(payment.id, payment.tender, payment.amount)]
    entries += [ledger.of_application(each.id, each.share.amount) for each in payment.applications]
    store.record_payment(payment, site.legal_entity_id, entries)

    covered = command.course_id is not None and deposit_covered(asked, paid_before + command.amount.minor)
    about = payment.course_id or payment.patient_id
    store.emit(events.payment_received(payment, deposit_covered=covered), about=about)
    paid = {share.invoice_id: share.amount for share in shares}
    for invoice in owed:
        if invoice.left == paid.get(invoice.id):
            store.emit(events.invoice_paid(invoice.id, payment), about=invoice.course_id or invoice.id)
    return payment


async def _check_purpose(store: BillingStore, command: RecordPayment, patient: Whole) -> None:
    """The course or the invoice that is named must be this patient's, at this site."""
    if command.course_id:
        course = await store.course(command.course_id)
        whose, where = course.patient_id, course.site_id
    elif command.invoice_id:
        invoice = await store.invoice(command.invoice_id)
        whose, where = invoice.patient_id, invoice.site_id
    else:
        return
    if whose not in patient.ids or where != command.site_id:
        raise PaymentMisdirected()
