"""What the receipt of a payment, and that of a refund, shows. No health word is on it: it may lie at a desk."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from chassis.ids import to_wire
from chassis.money import Money
from services.billing.domain.accounts import Payment
from services.billing.domain.ledger import Tender
from services.billing.domain.payments import BenefitAccount
from services.billing.domain.refunds import Refund, RefundPart, RefundState
from services.billing.printing.texts import day, money

TENDERS = {
    Tender.CASH: "Cash",
    Tender.EXTERNAL_CARD: "Card, at the terminal",
    Tender.CHECK: "Check",
    Tender.CARD: "Card",
}
STATES = {RefundState.REQUESTED: "under way", RefundState.SUCCEEDED: "", RefundState.FAILED: "failed"}
BENEFITS = {
    BenefitAccount.HSA: "health savings account (HSA)",
    BenefitAccount.FSA: "flexible spending account (FSA)",
}
NUMBER_LENGTH = 10


def content_of(
    payment: Payment,
    received: date,
    invoices: Mapping[UUID, str],
    patient: Mapping[str, Any],
    issuer: Mapping[str, Any],
    reversed_on: date | None = None,
) -> dict[str, Any]:
    """`received` is the day in the site's zone, whatever day's close it belongs to. `invoices` are the numbers of those
    that it paid, as they are shown. `patient` has a name, `issuer` a name, and lines of `address`, `tax_id`, `npi` and
    the `site`'s name if known."""
    reference = payment.check_number or payment.terminal_reference
    paid = [(f"Invoice {invoices[each.share.invoice_id]}", each.share.amount) for each in payment.applications]
    rest = [("Kept for what is to come", payment.unapplied), ("Account credit", payment.credit)]
    rest += [] if payment.reversed_at else [("Given back, or a fee", payment.gone)]
    lines = paid + [(text, amount) for text, amount in rest if amount.minor]
    return _who(patient, issuer) | {
        "title": "Receipt",
        "number": _number("payment", payment.id),
        "dated": "Received",
        "day": day(received),
        "how": "Paid by",
        "tender": " ".join(filter(None, (TENDERS[payment.tender], reference and f"no. {reference}"))),
        "what": "Amount received",
        "amount": money(payment.amount),
        "heading": "What it is for",
        "lines": [{"text": text, "amount": money(amount)} for text, amount in lines],
        "benefit": BENEFITS.get(BenefitAccount(payment.benefit_account), ""),
        "reversed": f"Recorded by mistake, reversed on {day(reversed_on)}." if reversed_on else "",
        "note": "Thank you. Please keep this receipt for your records.",
    }


def refund_content_of(
    refund: Refund, given_on: date, patient: Mapping[str, Any], issuer: Mapping[str, Any]
) -> dict[str, Any]:
    """Without its reason, which is for staff. What failed was not given back. `given_on` is the day in the site's
    zone."""
    given = [part for part in refund.parts if part.state is not RefundState.FAILED]
    amount = Money(sum(part.amount.minor for part in given), refund.amount.currency)
    return _who(patient, issuer) | {
        "title": "Refund receipt",
        "number": _number("refund", refund.id),
        "dated": "Given back",
        "day": day(given_on),
        "how": "By",
        "tender": ", ".join(_tenders(given)),
        "what": "Amount given back",
        "amount": money(amount),
        "heading": "How it was given back",
        "lines": [{"text": _line(part), "amount": money(part.amount)} for part in refund.parts],
        "benefit": "",
        "reversed": "",
        "note": "A card shows it within five to ten business days.",
    }


def _tenders(parts: Sequence[RefundPart]) -> list[str]:
    return list(dict.fromkeys(TENDERS[part.tender] for part in parts))


def _line(part: RefundPart) -> str:
    state, reference = STATES[part.state], part.reference
    told = (TENDERS[part.tender], reference and f"no. {reference}", state and f"({state})")
    return " ".join(filter(None, told))


def _number(kind: str, id: UUID) -> str:
    """The last letters of its id: enough to find it by."""
    return to_wire(kind, id)[-NUMBER_LENGTH:].upper()


def _who(patient: Mapping[str, Any], issuer: Mapping[str, Any]) -> dict[str, Any]:
    ids = [("EIN", issuer.get("tax_id", "")), ("NPI", issuer.get("npi", ""))]
    return {
        "patient": {"name": patient["name"], "birth_date": "", "address": []},
        "issuer": {
            "name": issuer["name"],
            "address": list(issuer.get("address", ())),
            "site": issuer.get("site", ""),
            "ids": [f"{label} {value}" for label, value in ids if value],
        },
    }
