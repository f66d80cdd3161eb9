"""Credit notes: what was invoiced is taken back, and what was paid for it is the patient's again.

With the patient locked, as whoever invoices or takes payments has; the number comes last, as an invoice's does.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from uuid import UUID

from chassis.ids import new_id
from chassis.money import Money
from services.billing import events
from services.billing.domain.accounts import Charge
from services.billing.domain.credit_notes import (
    Asked,
    CreditAboveOpen,
    CreditLine,
    CreditNote,
    CreditPurpose,
    CreditReason,
    Unapplication,
    all_left,
    credit_lines,
    entries_of,
    fees_ended,
    to_charge_again,
    unapplied,
)
from services.billing.domain.invoices import Invoice, InvoiceStatus, InvoiceVoid, total_of
from services.billing.domain.printing import Order, PrintedKind
from services.billing.printing import NOBODY
from services.billing.printing.credit_note import content_of
from services.billing.store import BillingStore
from services.billing.store.billable import SiteToBill
from services.billing.use_cases.charges import add_charge
from services.billing.use_cases.payments import return_deposits


@dataclass(frozen=True, slots=True)
class CreateCreditNote:
    invoice_id: UUID
    lines: tuple[Asked, ...]
    reason: CreditReason
    note: str
    purpose: CreditPurpose


@dataclass(frozen=True, slots=True)
class VoidInvoice:
    invoice_id: UUID
    purpose: CreditPurpose
    note: str
    bill_again: bool = False


async def create_credit_note(store: BillingStore, command: CreateCreditNote) -> CreditNote:
    def lines_of(invoice: Invoice) -> list[CreditLine]:
        return credit_lines(invoice.lines, invoice.credited_of, command.lines)

    note, _ = await _credit(store, command.invoice_id, lines_of, command.reason, command.note, command.purpose)
    return note


async def void_invoice(store: BillingStore, command: VoidInvoice) -> tuple[CreditNote, list[Charge]]:
    """By a credit note over all that is left of it; and the charges that wait to be billed in place of its own."""
    again = command.bill_again

    def lines_of(invoice: Invoice) -> list[CreditLine]:
        return all_left(invoice.lines, invoice.credited_of, discounts=again)

    about = command.invoice_id, lines_of, CreditReason.VOID, command.note, command.purpose
    return await _credit(store, *about, again=again)


async def _credit(
    store: BillingStore,
    invoice_id: UUID,
    lines_of: Callable[[Invoice], Sequence[CreditLine]],
    reason: CreditReason,
    note: str,
    purpose: CreditPurpose,
    *,
    again: bool = False,
) -> tuple[CreditNote, list[Charge]]:
    whose = (await store.invoice(invoice_id)).patient_id
    patient_id = (await store.lock_patient(whose)).end
    invoice = await store.invoice(invoice_id)
    if invoice.status is InvoiceStatus.VOID:
        raise InvoiceVoid()
    lines = tuple(lines_of(invoice))
    total = total_of(line.total for line in lines)
    offset = min(total, invoice.balance)
    if purpose is CreditPurpose.OFFSET and offset < total:
        raise CreditAboveOpen(left_minor=invoice.balance.minor)
    taken = await _taken(store, invoice_id, total - offset)
    voids, place = invoice.credited + total == invoice.total, await store.site_to_bill(invoice.site_id)
    fees = [] if again else fees_ended(invoice.lines, invoice.credited_of, lines, voids=voids)
    parts = await store.forfeitures_of([fee.origin_id for fee in fees]) if fees else ()
    of_deposit = await return_deposits(store, place.site, fees, parts, note or reason.name)
    charges = to_charge_again(invoice.lines, invoice.credited_of, lines) if again else []
    charges = [await _charge_again(store, place, each, patient_id) for each in charges]
    made = CreditNote(
        id=new_id(),
        site_id=invoice.site_id,
        legal_entity_id=invoice.legal_entity_id,
        number=await store.next_credit_note_number(invoice.legal_entity_id),
        prefix=invoice.prefix,
        invoice_id=invoice_id,
        patient_id=patient_id,
        lines=lines,
        total=total,
        offset=offset,
        reason=reason,
        note=note,
        purpose=purpose,
        made_by=store.call.actor,
        issued_at=store.call.now,
    )
    order = _order(made, Money(of_deposit, total.currency), invoice, place, again=bool(charges))
    store.issue_credit_note(made, taken, entries_of(made, invoice.lines, taken), order, voids=voids)
    about = invoice.course_id or invoice.id
    store.emit(events.credit_note_issued(made, voids=voids), about=about)
    if not voids and offset.minor and offset == invoice.balance:
        store.emit(events.invoice_paid(invoice.id, invoice), about=about, version=invoice.version + 1)
    return made, charges


async def _charge_again(store: BillingStore, place: SiteToBill, charge: Charge, patient_id: UUID) -> Charge:
    """In place of the one that has its id: a charge is on one invoice for good, and a fee keeps what it took of the
    deposit."""
    made = replace(
        charge,
        id=new_id(),
        patient_id=patient_id,
        posted_at=store.call.now,
        event_id=None,
        made_by=store.call.actor,
        replaces_id=charge.id,
        first_id=charge.origin_id,
    )
    await add_charge(store, place.site, made)
    return made


def _order(note: CreditNote, of_deposit: Money, invoice: Invoice, place: SiteToBill, *, again: bool) -> Order:
    day = place.site.day(note.issued_at)
    return Order(
        id=new_id(),
        kind=PrintedKind.CREDIT_NOTE,
        subject_id=note.id,
        version=1,
        site_id=note.site_id,
        patient_id=note.patient_id,
        course_id=invoice.course_id,
        day=day,
        content=content_of(note, of_deposit, invoice, day, NOBODY, asdict(place.issuer), again=again),
        ordered_at=note.issued_at,
    )


async def _taken(store: BillingStore, invoice_id: UUID, amount: Money) -> list[Unapplication]:
    if not amount.minor:
        return []
    applied = await store.applied_to(invoice_id)
    return [Unapplication(new_id(), each, part) for each, part in unapplied(applied, amount)]
