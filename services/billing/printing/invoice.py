"""What the document of an invoice shows."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from chassis.money import Money
from services.billing.domain.invoices import Invoice, Line
from services.billing.printing.texts import day, money, percent


def content_of(
    invoice: Invoice, issued: date, patient: Mapping[str, Any], issuer: Mapping[str, Any], how_to_pay: str = ""
) -> dict[str, Any]:
    """As it stands now. `issued` is the day in the site's zone; `patient` and `issuer` are as `who` takes them."""
    zero = Money(0, invoice.total.currency)
    paid = invoice.total - invoice.credited - invoice.balance
    return who(patient, issuer) | {
        "number": invoice.display_number,
        "issued": day(issued),
        "due": day(invoice.due_date) if invoice.due_date else day(issued),
        "lines": [_line(line) for line in invoice.lines],
        "subtotal": money(invoice.subtotal),
        "discount": money(-invoice.discount.amount) if invoice.discount else "",
        "taxes": [
            {"name": f"{tax.name} ({percent(tax.rate_ppm)})", "amount": money(tax.amount)}
            for tax in invoice.taxes
            if not tax.included
        ],
        "included": [f"{tax.name} of {money(tax.amount)}" for tax in invoice.taxes if tax.included],
        "total": money(invoice.total),
        "credited": money(-invoice.credited) if invoice.credited > zero else "",
        "paid": money(-paid) if paid > zero else "",
        "balance": money(invoice.balance),
        "replaces": ", ".join(invoice.replaces.values()),
        "note": invoice.note,
        "how_to_pay": how_to_pay,
    }


def who(patient: Mapping[str, Any], issuer: Mapping[str, Any]) -> dict[str, Any]:
    """Of the patient `name`, and `birth_date` and lines of `address` if known; of the legal entity `name`, and lines of
    `address`, `tax_id`, `npi` and the `site`'s name if known."""
    ids = [("EIN", issuer.get("tax_id", "")), ("NPI", issuer.get("npi", ""))]
    return {
        "patient": {
            "name": patient["name"],
            "birth_date": patient.get("birth_date", ""),
            "address": list(patient.get("address", ())),
        },
        "issuer": {
            "name": issuer["name"],
            "address": list(issuer.get("address", ())),
            "site": issuer.get("site", ""),
            "ids": [f"{label} {value}" for label, value in ids if value],
        },
    }


def _line(line: Line) -> dict[str, Any]:
    each, rest = divmod(line.amount.minor, line.charge.quantity)
    return {
        "date": day(line.charge.service_date),
        "description": line.charge.description,
        "codes": ["-".join((code.code, *code.modifiers)) for code in line.codes],
        "quantity": line.charge.quantity,
        "unit_price": "" if rest else money(Money(each, line.amount.currency)),
        "amount": money(line.amount),
    }
