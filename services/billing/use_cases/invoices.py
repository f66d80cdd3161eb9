"""Invoices: issued over what is charged, and paid by what was paid before."""

from collections.abc import Sequence
from uuid import UUID

from chassis.ids import new_id, to_wire
from chassis.money import Money
from services.billing import events
from services.billing.domain import ledger
from services.billing.domain.accounts import Application, Charge, Invoice, InvoiceEmpty, ItemKind, OpenItem, settle
from services.billing.store import BillingStore
from services.billing.use_cases.drawing import lock_patients


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
    return await _issue(store, patient_id, course_id, charges)


async def invoice_charges(store: BillingStore, charge_ids: Sequence[UUID]) -> Invoice:
    """Of one patient, under whatever ids, at one site; none of them of a course. With the patient locked, as above."""
    patient_ids = {charge.patient_id for charge in await store.charges_by_id(charge_ids)}
    ends = await lock_patients(store, *patient_ids)
    charges = await store.charges_by_id(charge_ids)
    alike = {(charge.site_id, charge.course_id, charge.amount.currency) for charge in charges}
    if len(charges) != len(charge_ids) or len(ends) != 1 or len(alike) != 1 or charges[0].course_id:
        raise InvoiceEmpty()
    return await _issue(store, ends.pop(), None, charges)


async def _issue(store: BillingStore, patient_id: UUID, course_id: UUID | None, charges: Sequence[Charge]) -> Invoice:
    site, now = await store.site(charges[0].site_id), store.call.now
    total = sum((charge.amount for charge in charges[1:]), charges[0].amount)
    bill = OpenItem(new_id(), course_id, total, now)
    usable = await store.open_items(ItemKind.PAYMENT, patient_id, site.id, total.currency)
    shares = settle(bill, usable)
    applications = [Application(new_id(), share, now) for share in shares]
    invoice = Invoice(
        id=bill.id,
        site_id=site.id,
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
    about = course_id or invoice.id
    store.emit(events.invoice_issued(invoice), about=about)
    if not invoice.balance.minor:
        store.emit(events.invoice_paid(invoice.id, invoice), about=about)
    return invoice
