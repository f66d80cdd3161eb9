"""Invoices: drafted, issued over what is charged, and paid by what was paid before.

Whoever changes what is owed has the patient locked, under whatever id: no charge goes onto two invoices, and no money
is applied twice. A number comes last: whoever issues for the same legal entity waits for it until this is committed.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from uuid import UUID

from chassis.ids import new_id, to_wire
from chassis.money import Money
from services.billing import events
from services.billing.domain import ledger
from services.billing.domain.accounts import Application, InvoiceEmpty, OpenItem, settle
from services.billing.domain.charges import ChargeNotFound
from services.billing.domain.guard import Item
from services.billing.domain.invoices import (
    ChargesOfTwoPatients,
    ChargesOfTwoSites,
    DiscountTooLarge,
    Invoice,
    InvoiceDraft,
    InvoiceIssued,
    ToBill,
    Wording,
    bill,
    check_due_date,
    choose,
    due_on,
    entry_of,
    of_credit_use,
    refuse_others,
    status_of,
    without_waived,
)
from services.billing.domain.printing import Order, PrintedKind
from services.billing.printing import NOBODY
from services.billing.printing.invoice import content_of
from services.billing.store import BillingStore
from services.billing.store.billable import SiteToBill
from services.billing.use_cases.guard import let_bill


@dataclass(frozen=True, slots=True)
class CreateInvoiceDraft:
    course_id: UUID | None
    charge_ids: tuple[UUID, ...]
    wording: Wording


@dataclass(frozen=True, slots=True)
class UpdateInvoiceDraft:
    draft_id: UUID
    version: int
    charge_ids: tuple[UUID, ...]
    wording: Wording


async def issue_invoice(store: BillingStore, course_id: UUID) -> Invoice:
    """Over every charge of the course that is on no invoice yet, and was not waived."""
    course = await store.course(course_id)
    patient_id = (await store.lock_patient(course.patient_id)).end
    charges = without_waived(await store.to_bill_of_course(course_id))
    if not charges:
        raise InvoiceEmpty(course_id=to_wire("course", course_id))
    return await _issue(store, new_id(), patient_id, charges, Wording())


async def invoice_charges(store: BillingStore, charge_ids: Sequence[UUID], wording: Wording | None = None) -> Invoice:
    """Over those charges, of one patient at one site, and what corrects them."""
    patient_id, charges = await _chosen(store, charge_ids)
    return await _issue(store, new_id(), patient_id, charges, wording or Wording())


async def issue_draft(store: BillingStore, draft_id: UUID, version: int) -> Invoice:
    draft = await store.draft(draft_id)
    if draft.invoice_id:
        raise InvoiceIssued()
    patient_id, charges = await _chosen(store, draft.charge_ids)
    invoice_id = new_id()
    await store.end_draft(draft_id, version, invoice_id)
    return await _issue(store, invoice_id, patient_id, charges, draft.wording)


async def create_draft(store: BillingStore, command: CreateInvoiceDraft) -> InvoiceDraft:
    charge_ids = command.charge_ids
    if command.course_id:
        await store.course(command.course_id)
        found = without_waived(await store.to_bill_of_course(command.course_id))
        charge_ids = tuple(each.charge.id for each in found if not each.charge.corrects_id)
        if not charge_ids:
            raise InvoiceEmpty(course_id=to_wire("course", command.course_id))
    made = await _checked(store, new_id(), charge_ids, command.wording)
    draft = InvoiceDraft(
        id=made.id,
        site_id=made.site_id,
        patient_id=made.patient_id,
        course_id=made.course_id,
        charge_ids=charge_ids,
        currency=made.total.currency,
        wording=command.wording,
        created_at=store.call.now,
        updated_at=store.call.now,
    )
    await store.add_draft(draft)
    return draft


async def update_draft(store: BillingStore, command: UpdateInvoiceDraft) -> InvoiceDraft:
    """Its site and patient stay."""
    before = await store.draft(command.draft_id)
    if before.invoice_id:
        raise InvoiceIssued()
    made = await _checked(store, before.id, command.charge_ids, command.wording)
    patient_id, count = (await store.whole(before.patient_id)).end, len(command.charge_ids)
    refuse_others(ChargesOfTwoSites, [made.site_id == before.site_id] * count)
    refuse_others(ChargesOfTwoPatients, [made.patient_id == patient_id] * count)
    says = replace(before, course_id=made.course_id, charge_ids=command.charge_ids, wording=command.wording)
    await store.change_draft(replace(says, version=command.version))
    return replace(says, version=command.version + 1, updated_at=store.call.now)


async def preview(store: BillingStore, draft: InvoiceDraft) -> Invoice | None:
    """What the draft would become now; None once one of its charges is on an invoice, or its discount is above what
    corrections left of them."""
    charges = await store.to_bill(draft.charge_ids)
    if draft.invoice_id or any(each.invoiced for each in charges):
        return None
    place = await store.site_to_bill(draft.site_id)
    try:
        return _made(store, place, draft.id, draft.patient_id, charges, draft.wording)
    except DiscountTooLarge:
        return None


async def overdue(store: BillingStore, site_id: UUID, after: tuple[date, UUID] | None, limit: int) -> list[Invoice]:
    """Of which something was to be paid before today, in the site's zone. `after` is where a page goes on."""
    site = await store.site(site_id)
    return await store.invoices_overdue(site_id, site.day(store.call.now), after, limit)


async def _checked(store: BillingStore, draft_id: UUID, charge_ids: Sequence[UUID], wording: Wording) -> Invoice:
    """What a draft would become, if it may."""
    patient_id, charges = await _chosen(store, charge_ids)
    place = await store.site_to_bill(charges[0].charge.site_id)
    made = _made(store, place, draft_id, patient_id, charges, wording)
    check_due_date(wording.due_date, place.site.day(store.call.now))
    return made


async def _chosen(store: BillingStore, charge_ids: Sequence[UUID]) -> tuple[UUID, list[ToBill]]:
    """With the patient locked, and under which id they are billed."""
    found = await store.to_bill(charge_ids)
    if not found:
        refuse_others(ChargeNotFound, [False] * len(charge_ids))
    whose = found[0].charge.patient_id
    patient = await store.lock_patient(whose)
    return patient.end, choose(await store.to_bill(charge_ids), charge_ids, patient.ids)


def _made(
    store: BillingStore,
    place: SiteToBill,
    invoice_id: UUID,
    patient_id: UUID,
    charges: Sequence[ToBill],
    wording: Wording,
) -> Invoice:
    """Without a number, and nothing paid."""
    first, site, terms = charges[0].charge, place.site, place.terms
    made = bill(charges, wording.discount, place.rules)
    course_ids = {each.charge.course_id for each in charges}
    return Invoice(
        id=invoice_id,
        site_id=site.id,
        legal_entity_id=site.legal_entity_id,
        number=0,
        patient_id=patient_id,
        course_id=first.course_id if len(course_ids) == 1 else None,
        charges=tuple(each.charge for each in charges),
        total=made.total,
        balance=made.total,
        issued_at=store.call.now,
        subtotal=made.subtotal,
        discount=wording.discount,
        tax=made.tax,
        due_date=due_on(site.day(store.call.now), wording, terms),
        note=wording.note,
        prefix=terms.prefix,
        status=None,
        credited=Money(0, made.total.currency),
        lines=made.lines,
        taxes=made.taxes,
    )


async def _issue(
    store: BillingStore, invoice_id: UUID, patient_id: UUID, charges: Sequence[ToBill], wording: Wording
) -> Invoice:
    now = store.call.now
    place = await store.site_to_bill(charges[0].charge.site_id)
    made = _made(store, place, invoice_id, patient_id, charges, wording)
    await _let_courses_bill(store, made)
    owed = OpenItem(invoice_id, made.course_id, made.total, now)
    usable, credit_ids = await store.money_to_use(patient_id, made.site_id, made.total.currency)
    paid = [Application(new_id(), share, now) for share in settle(owed, usable)]
    left = made.total - Money(sum(each.share.amount.minor for each in paid), made.total.currency)
    former = await store.former_invoices(made.charges)
    number = await store.next_invoice_number(made.legal_entity_id)
    invoice = replace(made, number=number, balance=left, status=status_of(made.total, left), replaces=former)
    uses = [each for each in paid if each.share.payment_id in credit_ids]
    applications = [each for each in paid if each not in uses]
    own = entry_of(invoice_id, made.lines)
    entries = [own] if own else []
    entries += [ledger.of_application(each.id, each.share.amount) for each in applications]
    entries += [of_credit_use(each.id, each.share.amount) for each in uses]
    store.issue_invoice(invoice, applications, uses, entries, _order(invoice, place))
    about = invoice.course_id or invoice.id
    store.emit(events.invoice_issued(invoice), about=about, version=invoice.version)
    if not invoice.balance.minor:
        store.emit(events.invoice_paid(invoice.id, invoice), about=about, version=invoice.version)
    return invoice


async def _let_courses_bill(store: BillingStore, made: Invoice) -> None:
    """Each course that is on the invoice, by what is on it of the course."""
    for course_id in dict.fromkeys(line.charge.course_id for line in made.lines):
        if course_id:
            of_it = [
                Item(made.site_id, None, 1, line.total.minor, line.charge.service_date)
                for line in made.lines
                if line.charge.course_id == course_id
            ]
            await let_bill(store, course_id, made.site_id, made.total.currency, of_it)


def _order(invoice: Invoice, place: SiteToBill) -> Order:
    day = place.site.day(invoice.issued_at)
    return Order(
        id=new_id(),
        kind=PrintedKind.INVOICE,
        subject_id=invoice.id,
        version=1,
        site_id=invoice.site_id,
        patient_id=invoice.patient_id,
        course_id=invoice.course_id,
        day=day,
        content=content_of(invoice, day, NOBODY, asdict(place.issuer), place.issuer.text),
        ordered_at=invoice.issued_at,
    )
