"""What the document of a credit note shows. Why it was made, in words, is for staff only."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from chassis.money import Money
from services.billing.domain.credit_notes import CreditLine, CreditNote, CreditPurpose, CreditReason
from services.billing.domain.invoices import Invoice
from services.billing.printing.invoice import who
from services.billing.printing.texts import day, money

REASONS = {
    CreditReason.PRICING_ERROR: "Price corrected",
    CreditReason.SERVICE_NOT_RENDERED: "Service not rendered",
    CreditReason.DUPLICATE: "Billed twice",
    CreditReason.GOODWILL: "Goodwill",
    CreditReason.DISPUTE: "Dispute settled",
    CreditReason.VOID: "Invoice cancelled",
    CreditReason.OTHER: "Correction",
}
RETURNED = {
    CreditPurpose.REFUND: "{} that was paid will be refunded.",
    CreditPurpose.CREDIT: "{} that was paid is kept as your credit, and pays your next invoices.",
}
DEPOSIT_RETURNED = "{} of your deposit that had become a fee is yours again."
AGAIN = "What invoice {} billed will be billed by another invoice in its place."


def content_of(
    note: CreditNote,
    of_deposit: Money,
    invoice: Invoice,
    issued: date,
    patient: Mapping[str, Any],
    issuer: Mapping[str, Any],
    *,
    again: bool = False,
) -> dict[str, Any]:
    """`of_deposit` is what comes back beside the note's total, `again` whether what the invoice charged is to be billed
    again; the rest as of an invoice."""
    dates = {line.charge.id: line.charge.service_date for line in invoice.lines}
    tax = sum((line.tax for line in note.lines), Money(0, note.total.currency))
    return who(patient, issuer) | {
        "number": note.display_number,
        "invoice_number": invoice.display_number,
        "issued": day(issued),
        "reason": REASONS[note.reason],
        "lines": [_line(line, dates[line.charge_id]) for line in note.lines],
        "amount": money(note.total - tax),
        "tax": money(tax) if tax.minor else "",
        "total": money(note.total),
        "settled": [*_settled(note, of_deposit), *([AGAIN.format(invoice.display_number)] if again else [])],
    }


def _settled(note: CreditNote, of_deposit: Money) -> list[str]:
    said = [f"{money(note.offset)} of the invoice is no longer to be paid."] if note.offset.minor else []
    if note.returned.minor:
        said.append(RETURNED[note.purpose].format(money(note.returned)))
    if of_deposit.minor:
        said.append(DEPOSIT_RETURNED.format(money(of_deposit)))
    return said


def _line(line: CreditLine, service_date: date) -> dict[str, Any]:
    return {
        "date": day(service_date),
        "description": line.description,
        "quantity": str(line.quantity) if line.quantity else "",
        "amount": money(line.amount),
        "tax": money(line.tax) if line.tax.minor else "",
        "total": money(line.total),
    }
