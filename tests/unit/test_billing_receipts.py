"""What receipts show."""

from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID

from chassis.money import Money
from services.billing.domain.accounts import Application, Payment, PaymentKind, Share
from services.billing.domain.ledger import Tender
from services.billing.domain.refunds import Refund, RefundPart, RefundState
from services.billing.printing import pdf
from services.billing.printing.receipt import content_of, refund_content_of

NOW, TODAY = datetime(2027, 3, 1, 16, tzinfo=UTC), date(2027, 3, 1)
PAYMENT_ID, INVOICE_ID = UUID(int=1), UUID(int=2)
PATIENT = {"name": "Zoë Ångström-Müller"}
ISSUER = {"name": "Reef Clinics LLC", "address": ["1 Shore Rd", "Albuquerque, NM 87101"], "tax_id": "12-3456789"}
PAYMENT = Payment(
    id=PAYMENT_ID,
    site_id=UUID(int=3),
    patient_id=UUID(int=4),
    course_id=None,
    kind=PaymentKind.PAYMENT,
    tender=Tender.CHECK,
    terminal_reference="",
    amount=Money(123450),
    business_date=TODAY,
    received_at=NOW,
    unapplied=Money(10000),
    applications=(Application(UUID(int=5), Share(PAYMENT_ID, INVOICE_ID, Money(108450)), NOW),),
    check_number="1042",
    benefit_account=1,
    credit_minor=5000,
)


def part(tender: Tender, minor: int, state: RefundState) -> RefundPart:
    return RefundPart(
        id=UUID(int=6),
        refund_id=UUID(int=7),
        site_id=UUID(int=3),
        patient_id=UUID(int=4),
        payment_id=PAYMENT_ID,
        tender=tender,
        reference="",
        amount=Money(minor),
        credit=Money(0),
        state=state,
        changed_at=NOW,
    )


REFUND = Refund(
    id=UUID(int=7),
    site_id=UUID(int=3),
    patient_id=UUID(int=4),
    amount=Money(9000),
    reason="the infusion did not help",
    actor="user",
    business_date=TODAY,
    created_at=NOW,
    parts=(
        part(Tender.CASH, 2000, RefundState.SUCCEEDED),
        part(Tender.CARD, 6000, RefundState.REQUESTED),
        part(Tender.CARD, 1000, RefundState.FAILED),
    ),
)


def test_a_receipt_says_what_was_paid_how_and_for_what() -> None:
    shown = content_of(PAYMENT, TODAY, {INVOICE_ID: "RC-000042"}, PATIENT, ISSUER)
    assert (shown["day"], shown["tender"], shown["amount"]) == ("March 1, 2027", "Check no. 1042", "$1,234.50")
    assert [(line["text"], line["amount"]) for line in shown["lines"]] == [
        ("Invoice RC-000042", "$1,084.50"),
        ("Kept for what is to come", "$100.00"),
        ("Account credit", "$50.00"),
    ]
    assert shown["benefit"] == "health savings account (HSA)"
    assert shown["patient"]["birth_date"] == ""


def test_the_receipt_of_a_reversed_payment_is_void() -> None:
    reversed_ = replace(
        PAYMENT, applications=(), unapplied=Money(0), credit_minor=0, gone_minor=123450, reversed_at=NOW
    )
    shown = content_of(reversed_, TODAY, {}, PATIENT, ISSUER, TODAY)
    assert (shown["reversed"], shown["lines"]) == ("Recorded by mistake, reversed on March 1, 2027.", [])


def test_the_receipt_of_a_refund_says_how_each_part_went_and_not_why() -> None:
    shown = refund_content_of(REFUND, TODAY, PATIENT, ISSUER)
    assert (shown["amount"], shown["tender"]) == ("$80.00", "Cash, Card")
    assert [line["text"] for line in shown["lines"]] == ["Cash", "Card (under way)", "Card (failed)"]
    assert "infusion" not in str(shown)


def test_receipts_are_printed_and_the_same_each_time() -> None:
    for shown in (
        content_of(PAYMENT, TODAY, {INVOICE_ID: "RC-000042"}, PATIENT, ISSUER),
        refund_content_of(REFUND, TODAY, PATIENT, ISSUER),
    ):
        printed = pdf("receipt", shown, NOW)
        assert printed.startswith(b"%PDF")
        assert printed == pdf("receipt", shown, NOW)
