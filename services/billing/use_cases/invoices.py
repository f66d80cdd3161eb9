"""Invoices: issued over what is charged, and paid by what was paid before."""

from uuid import UUID

from chassis.ids import new_id, to_wire
from chassis.money import Money
from services.billing import events
from services.billing.domain import ledger
from services.billing.domain.accounts import Application, Invoice, InvoiceEmpty, ItemKind, OpenItem, settle
from services.billing.store import BillingStore
from services.billing.use_cases.guard import let_bill


async def issue_invoice(store: BillingStore, course_id: UUID) -> Invoice:
    """With the patient locked, under whatever id: no charge goes onto two invoices, no money is applied twice.

    The number comes last: whoever issues for the same legal entity waits for it until this is committed.
    """
    course = await store.course(course_id)
    await store.lock([course.patient_id])
    patient_id = (await store.lock_whole(course.patient_id, locked=course.patient_id)).end
    charges = await store.charges_to_invoice(course_id)
    if not charges:
        raise InvoiceEmpty(course_id=to_wire("course", course_id))
    site, now = await store.site(course.site_id), store.call.now
    total = sum((charge.amount for charge in charges[1:]), charges[0].amount)
    await let_bill(store, course_id, course.site_id, total)
    bill = OpenItem(new_id(), course_id, total, now)
    usable = await store.open_items(ItemKind.PAYMENT, patient_id, course.site_id, total.currency)
    shares = settle(bill, usable)
    applications = [Application(new_id(), share, now) for share in shares]
    invoice = Invoice(
        id=bill.id,
        site_id=course.site_id,
        legal_entity_id=site.legal_entity_id,
        number=await store.next_invoice_number(site.legal_entity_id),
        patient_id=patient_id,
        course_id=course_id,
        charges=tuple(charges),
        total=total,
        balance=total - Money(sum(share.amount.minor for share in shares), total.currency),
        issued_at=now,
    )
    entries = [ledger.of_application(each.id, each.share.amount) for each in applications]
    store.issue_invoice(invoice, applications, entries)
    store.emit(events.invoice_issued(invoice), about=course_id)
    if not invoice.balance.minor:
        store.emit(events.invoice_paid(invoice.id, invoice), about=course_id)
    return invoice
