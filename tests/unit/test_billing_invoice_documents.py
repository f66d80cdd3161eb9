"""Invoices and credit notes as they are printed."""

from dataclasses import replace
from datetime import UTC, date, datetime
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from pypdf import PdfReader

from chassis.money import Money
from services.billing.domain.accounts import Charge, ChargeKind
from services.billing.domain.codes import ServiceCode
from services.billing.domain.credit_notes import Asked, CreditNote, CreditPurpose, CreditReason, credit_lines
from services.billing.domain.invoices import Discount, DiscountReason, Invoice, InvoiceStatus, ToBill, bill
from services.billing.domain.profiles import lines_of_address
from services.billing.domain.tax import TaxRule
from services.billing.printing import credit_note, invoice, pdf
from services.billing.printing.texts import day, money, percent

DAY, NOW, SITE = date(2027, 3, 1), datetime(2027, 3, 1, 16, tzinfo=UTC), UUID(int=1)
PATIENT = {
    "name": "Zoë Müller-Nakamura",
    "birth_date": "May 4, 1979",
    "address": ["12 Cedar Street", "Albuquerque, NM 87102"],
}
ISSUER = {
    "name": "Reef Clinics LLC",
    "address": ["1 Lomas Boulevard NW", "Albuquerque, NM 87102"],
    "tax_id": "12-3456789",
    "npi": "1234567893",
    "site": "Reef Albuquerque",
}
HOW_TO_PAY = "Pay at the front desk, or by check to Reef Clinics LLC."


def charge(number: int, description: str, cents: int, quantity: int = 1) -> ToBill:
    made = Charge(
        id=UUID(int=100 + number),
        kind=ChargeKind.VISIT,
        site_id=SITE,
        patient_id=SITE,
        course_id=None,
        visit_id=None,
        service_date=DAY,
        service=None,
        item_code="infusion",
        description=description,
        quantity=quantity,
        amount=Money(cents),
        posted_at=NOW,
    )
    return ToBill(made, (ServiceCode("96365", 1), ServiceCode("J3490", 1, ("JZ",))), invoiced=False)


def issued(count: int = 3, *, included: bool = False, discount: int = 5_000) -> Invoice:
    charges = [charge(n, f"IV infusion {n + 1}", 59_000 + n) for n in range(count - 1)]
    charges.append(charge(count, "Lozenges with a rather long name that takes two lines of a column", 9_000, 3))
    rules = [
        TaxRule(UUID(int=5), SITE, "Gross receipts tax", 76_250, frozenset(ChargeKind), frozenset(), included, DAY)
    ]
    off = Discount(Money(discount), DiscountReason.HARDSHIP) if discount else None
    made = bill(charges, off, rules)
    return Invoice(
        id=UUID(int=7),
        site_id=SITE,
        legal_entity_id=SITE,
        number=1042,
        patient_id=SITE,
        course_id=None,
        charges=tuple(each.charge for each in charges),
        total=made.total,
        balance=made.total - Money(20_000),
        issued_at=NOW,
        subtotal=made.subtotal,
        discount=off,
        tax=made.tax,
        due_date=date(2027, 3, 31),
        note="Thank you for coming.",
        prefix="ABQ-",
        status=InvoiceStatus.PART_PAID,
        credited=Money(0),
        lines=made.lines,
        taxes=made.taxes,
    )


def credited(purpose: CreditPurpose = CreditPurpose.CREDIT) -> CreditNote:
    lines = credit_lines(issued().lines, {}, [Asked(UUID(int=100), Money(10_000)), Asked(UUID(int=103), quantity=1)])
    total = sum((line.total for line in lines), Money(0))
    return CreditNote(
        id=UUID(int=8),
        site_id=SITE,
        legal_entity_id=SITE,
        number=3,
        prefix="ABQ-",
        invoice_id=UUID(int=7),
        patient_id=SITE,
        lines=tuple(lines),
        total=total,
        offset=Money(4_000),
        reason=CreditReason.OTHER,
        note="Ms Unmistakable called",
        purpose=purpose,
        made_by="user",
        issued_at=NOW,
    )


def printed(template: str, content: dict[str, Any]) -> tuple[int, str]:
    """Number of pages, and their text."""
    reader = PdfReader(BytesIO(pdf(template, content, NOW)))
    assert [round(float(side)) for side in reader.pages[0].mediabox[2:]] == [612, 792]  # US Letter.
    return len(reader.pages), " ".join(" ".join(page.extract_text() for page in reader.pages).split())


@pytest.mark.parametrize(
    ("minor", "shown"), [(0, "$0.00"), (5, "$0.05"), (123_456_789, "$1,234,567.89"), (-1_050, "-$10.50")]
)
def test_an_amount_is_shown_with_its_cents(minor: int, shown: str) -> None:
    assert money(Money(minor)) == shown


def test_days_and_rates_are_shown_as_people_write_them() -> None:
    assert day(date(2028, 2, 29)) == "February 29, 2028"
    assert [percent(ppm) for ppm in (76_250, 50_000, 1, 105_000)] == ["7.625%", "5%", "0.0001%", "10.5%"]


def test_an_invoice_says_who_bills_whom_for_what_and_how_much_is_due() -> None:
    pages, text = printed("invoice", invoice.content_of(issued(), DAY, PATIENT, ISSUER, HOW_TO_PAY))
    assert pages == 1
    for shown in (
        "Reef Clinics LLC", "EIN 12-3456789", "NPI 1234567893", "Reef Albuquerque", "Zoë Müller-Nakamura",
        "12 Cedar Street", "No. ABQ-1042", "March 1, 2027", "March 31, 2027", "96365, J3490-JZ", "$590.00", "$30.00",
        "Gross receipts tax (7.625%)", "Thank you for coming.", HOW_TO_PAY, "Page 1 of 1",
    ):  # fmt: skip
        assert shown in text, shown
    content = invoice.content_of(issued(), DAY, PATIENT, ISSUER)
    amounts = [content[name] for name in ("subtotal", "discount", "total", "paid", "balance")]
    assert amounts == ["$1,270.01", "-$50.00", "$1,313.04", "-$200.00", "$1,113.04"]
    assert (content["taxes"], content["credited"]) == (
        [{"name": "Gross receipts tax (7.625%)", "amount": "$93.03"}],
        "",
    )


def test_many_lines_run_over_pages_that_each_have_a_head() -> None:
    pages, text = printed("invoice", invoice.content_of(issued(90), DAY, PATIENT, ISSUER, HOW_TO_PAY))
    assert pages > 2
    assert text.count("Date of service") == pages
    assert f"Page {pages} of {pages}" in text
    assert "IV infusion 89" in text


def test_tax_that_prices_include_is_named_and_not_added() -> None:
    content = invoice.content_of(issued(included=True, discount=0), DAY, PATIENT, ISSUER)
    assert (content["taxes"], content["total"]) == ([], "$1,270.01")
    assert content["included"] == ["Gross receipts tax of $89.98"]
    assert "Prices include Gross receipts tax of $89.98." in printed("invoice", content)[1]


def test_an_invoice_shows_what_was_credited() -> None:
    part = replace(issued(), credited=Money(1_000), balance=issued().balance - Money(1_000))
    content = invoice.content_of(part, DAY, PATIENT, ISSUER)
    assert (content["credited"], content["paid"], content["balance"]) == ("-$10.00", "-$200.00", "$1,103.04")


def test_little_known_of_patient_and_clinic_leaves_no_empty_labels() -> None:
    _, text = printed("invoice", invoice.content_of(issued(), DAY, {"name": "A"}, {"name": "B"}))
    assert "EIN" not in text
    assert "Born" not in text
    assert "How to pay" not in text


@pytest.mark.parametrize(
    ("purpose", "said"),
    [
        (CreditPurpose.CREDIT, "kept as your credit, and pays your next invoices."),
        (CreditPurpose.REFUND, "that was paid will be refunded."),
    ],
)
def test_a_credit_note_says_what_it_corrects_and_what_becomes_of_the_money(purpose: CreditPurpose, said: str) -> None:
    pages, text = printed(
        "credit_note", credit_note.content_of(credited(purpose), Money(0), issued(), DAY, PATIENT, ISSUER)
    )
    assert pages == 1
    for shown in (
        "No. ABQ-CN3",
        "ABQ-1042",
        "Date of service",
        "Number",
        "Tax",
        "Correction",
        "$100.00",
        "$40.00 of the invoice is no longer",
        said,
    ):
        assert shown in text, shown
    assert "Unmistakable" not in text


def test_a_credit_note_has_no_columns_for_what_none_of_its_lines_has() -> None:
    whole = credited()
    plain = replace(whole, lines=tuple(replace(line, quantity=0, tax=Money(0)) for line in whole.lines))
    _, text = printed("credit_note", credit_note.content_of(plain, Money(0), issued(), DAY, PATIENT, ISSUER))
    assert "Date of service Service Credited" in text


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (("8",), "In place of invoice 8, which was cancelled."),
        (("8", "9"), "In place of invoices 8, 9, which were cancelled."),
    ],
)
def test_an_invoice_names_those_that_it_replaces(numbers: tuple[str, ...], said: str) -> None:
    before = replace(issued(), replaces={UUID(int=n): number for n, number in enumerate(numbers)})
    assert said in printed("invoice", invoice.content_of(before, DAY, PATIENT, ISSUER))[1]


def test_an_address_is_shown_as_on_an_envelope() -> None:
    place = {"administrative_area": "NM", "locality": "Albuquerque", "address_lines": ["200 Central Ave SW"]}
    assert lines_of_address(place) == ("200 Central Ave SW", "Albuquerque, NM")
    assert lines_of_address(place | {"postal_code": "87102"})[-1] == "Albuquerque, NM 87102"
    assert lines_of_address({"address_lines": ["PO Box 7"]}) == ("PO Box 7",)
    assert lines_of_address({}) == ()
