"""Credit notes: what is taken back of an invoice, and what becomes of what was paid for it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.billing.v1 import account_service_pb2 as account_pb
from atoll.billing.v1 import credit_note_service_pb2 as pb
from atoll.billing.v1 import invoice_service_pb2 as invoice_pb
from atoll.billing.v1 import payment_service_pb2 as payment_pb
from atoll.patients.v1.events_pb2 import PatientMerged
from chassis.ids import from_wire, new_id, to_wire
from chassis.money import Money
from services.billing.domain.credit_notes import Asked, CreditPurpose, CreditReason
from services.billing.store import BillingStore
from services.billing.use_cases import credit_notes
from tests.support.billing import Billing, BookedCourse, dollars, open_billing, open_chain, usd
from tests.support.invoicing import Invoicing, cents
from tests.support.service import Running, refusal

REFUND, CREDIT, OFFSET = pb.CREDIT_PURPOSE_REFUND, pb.CREDIT_PURPOSE_CREDIT, pb.CREDIT_PURPOSE_OFFSET
DISCOUNT = {"reason": invoice_pb.DISCOUNT_REASON_GOODWILL}


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    """With prices: 300 for an assessment, 590 for an infusion."""
    billing = await open_chain(service)
    await billing.price()
    return billing


@pytest_asyncio.fixture
async def desk(billing: Billing) -> Invoicing:
    return Invoicing(billing)


async def treated(billing: Billing, *numbers: int, **changes: Any) -> BookedCourse:
    course = await billing.book(**changes)
    await billing.complete(course, *numbers)
    return course


async def billed(billing: Billing, *numbers: int) -> tuple[invoice_pb.Invoice, list[str]]:
    """An invoice and the ids of its charges."""
    invoice = await billing.issue(await treated(billing, *numbers))
    return invoice, [line.charge_id for line in invoice.lines]


async def payment(billing: Billing, payment_id: str) -> payment_pb.Payment:
    request = payment_pb.GetPaymentRequest(payment_id=payment_id)
    return (await billing.svc.call(billing.payments.GetPayment, request)).payment  # type: ignore[no-any-return]


def applied(payment: payment_pb.Payment) -> list[float | None]:
    return [dollars(each.amount) for each in payment.applications]


async def test_an_offset_reduces_what_is_still_to_pay(billing: Billing, desk: Invoicing) -> None:
    invoice, [first, second, third] = await billed(billing)
    note = await desk.credit(invoice.id, (first, 50), (third, 590), note="Misread")
    assert (note.number, note.display_number, note.invoice_id) == (1, "CN1", invoice.id)
    assert (note.patient_id, note.site_id, note.legal_entity_id) == (
        billing.patient_id, billing.site_id, billing.legal_entity_id,
    )  # fmt: skip
    assert (dollars(note.total), dollars(note.offset), dollars(note.returned)) == (640, 640, 0)
    assert [(line.charge_id, line.description, dollars(line.total)) for line in note.lines] == [
        (first, "Evaluation", 50),
        (third, "IV infusion", 590),
    ]
    now = await desk.invoice(invoice.id)
    assert (dollars(now.balance), dollars(now.credited), now.status) == (840, 640, invoice_pb.INVOICE_STATUS_ISSUED)
    assert [dollars(line.credited) for line in now.lines] == [50, 0, 590]
    assert await billing.trial_balance() == {"ACCOUNTS_RECEIVABLE": (1480, 640), "REVENUE": (640, 1480)}
    told = await billing.last_fact("credit_note.issued")
    assert (told.credit_note_id, told.number, told.invoice_id) == (note.id, 1, invoice.id)
    assert (dollars(told.total), dollars(told.returned), told.voids) == (640, 0, False)
    got = await billing.svc.call(desk.credit_notes.GetCreditNote, pb.GetCreditNoteRequest(credit_note_id=note.id))
    assert got.credit_note == note
    assert (note.note, note.made_by) == ("Misread", "user")
    assert second not in str(note)
    await billing.books_agree()


async def test_credit_of_what_was_paid_settles_the_next_invoice(billing: Billing, desk: Invoicing) -> None:
    invoice, [charge] = await billed(billing, 1)
    paid = await billing.pay(590)
    note = await desk.credit(invoice.id, (charge, 100), purpose=CREDIT)
    assert (dollars(note.offset), dollars(note.returned)) == (0, 100)
    assert (await desk.invoice(invoice.id)).status == invoice_pb.INVOICE_STATUS_PAID
    assert dollars((await payment(billing, paid.id)).unapplied) == 0
    await billing.books_agree()
    assert (await billing.trial_balance())["PATIENT_CREDIT"] == (0, 100)

    second, _ = await billed(billing, 1)
    assert (dollars(second.balance), second.status) == (490, invoice_pb.INVOICE_STATUS_PART_PAID)
    assert (await billing.trial_balance())["PATIENT_CREDIT"] == (100, 100)
    await billing.books_agree()


@pytest.mark.parametrize("purpose", [REFUND, CREDIT])
async def test_credit_that_was_used_and_comes_back_is_credit_again(
    billing: Billing, desk: Invoicing, purpose: int
) -> None:
    """Whatever the purpose: money of the patient's that was credit is never refundable by itself."""
    invoice, [charge] = await billed(billing, 1)
    await billing.pay(590)
    await desk.credit(invoice.id, (charge, 590), purpose=CREDIT)
    second, [other] = await billed(billing, 1)
    assert dollars(second.balance) == 0
    note = await desk.credit(second.id, (other, 90), purpose=purpose)
    assert dollars(note.returned) == 90
    third, _ = await billed(billing, 1)
    assert dollars(third.balance) == 500
    await billing.books_agree()


async def test_a_refund_leaves_the_money_with_the_payments_that_it_came_from(billing: Billing, desk: Invoicing) -> None:
    """The last that was applied comes back first."""
    invoice, [charge] = await billed(billing, 1)
    old = await billing.pay(500)
    billing.svc.clock.now = billing.svc.now.replace(year=billing.svc.now.year + 1)
    new = await billing.pay(90)
    note = await desk.credit(invoice.id, (charge, 100), purpose=REFUND)
    assert dollars(note.returned) == 100
    assert [dollars((await payment(billing, each.id)).unapplied) for each in (old, new)] == [10, 90]
    assert [applied(await payment(billing, each.id)) for each in (old, new)] == [[490], []]
    [balance] = (await billing.account()).balances
    assert (dollars(balance.due), dollars(balance.unapplied), dollars(balance.balance)) == (0, 100, -100)
    assert await billing.trial_balance() == {
        "CASH": (590, 0),
        "ACCOUNTS_RECEIVABLE": (690, 690),
        "CUSTOMER_DEPOSITS": (590, 690),
        "REVENUE": (100, 590),
    }
    await desk.credit(invoice.id, (charge, 50), purpose=REFUND)
    assert [dollars((await payment(billing, each.id)).unapplied) for each in (old, new)] == [60, 90]
    await billing.books_agree()


async def test_the_database_refuses_to_credit_more_than_an_invoice_has(billing: Billing) -> None:
    invoice, _ = await billed(billing, 1)
    for change in ("credited_minor = 1", "left_minor = left_minor + 1", "credited_minor = -1"):
        with pytest.raises(asyncpg.CheckViolationError, match="open_item_whole_check"):
            await billing.fetch(
                f"UPDATE open_item SET {change} WHERE id = $1 RETURNING id", from_wire("invoice", invoice.id)
            )


async def test_what_is_still_to_pay_is_reduced_before_anything_is_given_back(billing: Billing, desk: Invoicing) -> None:
    invoice, [charge] = await billed(billing, 1)
    paid = await billing.pay(500)
    note = await desk.credit(invoice.id, (charge, 100), purpose=REFUND)
    assert (dollars(note.offset), dollars(note.returned)) == (90, 10)
    assert dollars((await payment(billing, paid.id)).unapplied) == 10
    now = await desk.invoice(invoice.id)
    assert (dollars(now.balance), now.status) == (0, invoice_pb.INVOICE_STATUS_PAID)
    assert (await billing.fact_names())[-2:] == ["credit_note.issued", "invoice.paid"]
    await billing.books_agree()


async def test_an_offset_takes_no_money_back(billing: Billing, desk: Invoicing) -> None:
    invoice, [charge] = await billed(billing, 1)
    await billing.pay(500)
    refused = await refusal(desk.credit(invoice.id, (charge, 90.01)))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CREDIT_ABOVE_OPEN")
    assert refused.metadata == {"left_minor": "9000"}
    assert (await refusal(desk.void(invoice.id))).reason == "CREDIT_ABOVE_OPEN"
    assert await billing.count("credit_note") == 0
    assert dollars((await desk.credit(invoice.id, (charge, 90))).offset) == 90


async def test_no_line_is_credited_beyond_what_is_left_of_it(billing: Billing, desk: Invoicing) -> None:
    invoice, [first, second, _] = await billed(billing)
    await desk.credit(invoice.id, (first, 200))
    refused = await refusal(desk.credit(invoice.id, (second, 10), (first, 100.01)))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CREDIT_ABOVE_LEFT")
    assert refused.faults == [("lines[1]", "CREDIT_ABOVE_LEFT")]
    await desk.credit(invoice.id, (first, 100))
    assert (await refusal(desk.credit(invoice.id, (first, 0.01)))).reason == "CREDIT_ABOVE_LEFT"
    assert await billing.count("credit_note") == 2
    await billing.books_agree()


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"lines": [{"charge_id": "", "amount": usd(0)}]}, "AMOUNT_OUT_OF_RANGE", "lines[0].amount"),
        ({"lines": [{"charge_id": "", "amount": usd(-5)}]}, "AMOUNT_OUT_OF_RANGE", "lines[0].amount"),
        ({"lines": [{"charge_id": "", "quantity": 2}]}, "CREDIT_ABOVE_LEFT", "lines[0]"),
        ({"lines": [{"charge_id": "", "quantity": 0}]}, "BAD_REQUEST", "lines[0].quantity"),
        ({"lines": [{"charge_id": ""}]}, "BAD_REQUEST", "lines[0].what"),
        ({"lines": []}, "BAD_REQUEST", "lines"),
        ({"reason": pb.CREDIT_REASON_VOID}, "BAD_REQUEST", ""),
        ({"reason": pb.CREDIT_REASON_OTHER}, "BAD_REQUEST", ""),
        ({"purpose": pb.CREDIT_PURPOSE_UNSPECIFIED}, "BAD_REQUEST", "purpose"),
    ],
)
async def test_a_credit_note_that_makes_no_sense_is_refused(
    billing: Billing, desk: Invoicing, changes: dict[str, Any], reason: str, field: str
) -> None:
    invoice, [charge] = await billed(billing, 1)
    named = {"lines": [line | {"charge_id": charge} for line in changes["lines"]]} if "lines" in changes else {}
    request = desk.credit_request(invoice.id, (charge, 1), **changes | named)
    refused = await refusal(billing.svc.call(desk.credit_notes.CreateCreditNote, request))
    assert (refused.reason, [name for name, _ in refused.faults]) == (reason, [field])
    assert await billing.count("credit_note") == 0


async def test_a_credit_note_names_lines_of_its_invoice_once_each(billing: Billing, desk: Invoicing) -> None:
    invoice, [charge] = await billed(billing, 1)
    _, [other] = await billed(billing, 1)
    for lines in (((other, 1.0),), ((charge, 1.0), (charge, 1.0))):
        refused = await refusal(desk.credit(invoice.id, *lines))
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "LINE_NOT_ON_INVOICE")
    assert (await refusal(desk.credit(to_wire("invoice", new_id()), (charge, 1)))).reason == "INVOICE_NOT_FOUND"
    assert await billing.count("credit_note") == 0


async def test_the_tax_of_a_line_goes_with_it_to_the_last_cent(billing: Billing, desk: Invoicing) -> None:
    """590 at 7.625 % and a discount of 0.01: in three parts, none of which divides evenly."""
    await desk.tax()
    draft = await desk.draft(course_id=(await treated(billing, 1)).id, discount=DISCOUNT | {"amount": usd(0.01)})
    invoice = await desk.issue_draft(draft)
    [charge] = [line.charge_id for line in invoice.lines]
    assert (cents(invoice.tax), cents(invoice.total)) == (4_499, 63_498)
    notes = [await desk.credit(invoice.id, (charge, part)) for part in (196.66, 196.66, 196.67)]
    assert [cents(note.lines[0].tax) for note in notes] == [1_500, 1_499, 1_500]
    now = await desk.invoice(invoice.id)
    assert (now.status, cents(now.balance)) == (invoice_pb.INVOICE_STATUS_VOID, 0)
    assert all(debit == credit for debit, credit in (await billing.trial_balance()).values())
    course = await billing.svc.call(
        billing.accounts.GetCourseAccount, account_pb.GetCourseAccountRequest(course_id=now.course_id)
    )
    assert (cents(course.course_account.invoiced), cents(course.course_account.paid)) == (63_498, 0)
    await billing.books_agree()


async def test_a_tax_that_a_price_includes_is_taken_back_with_it(billing: Billing, desk: Invoicing) -> None:
    await desk.tax(included=True)
    invoice, [charge] = await billed(billing, 1)
    note = await desk.credit(invoice.id, (charge, 295))
    assert (cents(note.total), cents(note.lines[0].included_tax), cents(note.lines[0].tax)) == (29_500, 2_090, 0)
    await desk.void(invoice.id)
    assert all(debit == credit for debit, credit in (await billing.trial_balance()).values())
    await billing.books_agree()


async def test_a_void_takes_all_that_is_left(billing: Billing, desk: Invoicing) -> None:
    invoice, [first, *_] = await billed(billing)
    await desk.credit(invoice.id, (first, 300))
    note = await desk.void(invoice.id)
    assert (dollars(note.total), note.reason, len(note.lines)) == (1180, pb.CREDIT_REASON_VOID, 2)
    assert (await desk.invoice(invoice.id)).status == invoice_pb.INVOICE_STATUS_VOID
    told = await billing.last_fact("credit_note.issued")
    assert (told.voids, "invoice.paid" in await billing.fact_names()) == (True, False)
    for change in (desk.void(invoice.id), desk.credit(invoice.id, (first, 1))):
        refused = await refusal(change)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "INVOICE_VOID")
    assert await billing.count("credit_note") == 2
    await billing.books_agree()


async def test_a_void_of_a_paid_invoice_gives_the_money_back(billing: Billing, desk: Invoicing) -> None:
    invoice, _ = await billed(billing)
    paid = await billing.pay(1480)
    note = await desk.void(invoice.id, REFUND)
    assert dollars(note.returned) == 1480
    assert dollars((await payment(billing, paid.id)).unapplied) == 1480
    await billing.books_agree()


async def test_credit_notes_are_numbered_apart_from_invoices_per_legal_entity(
    billing: Billing, desk: Invoicing
) -> None:
    other = await billing.register_site(legal_entity_id=to_wire("legalentity", new_id()))
    await billing.price(site_id=other)
    elsewhere = await billing.issue(await treated(billing, 1, site_id=other))
    here = [await billed(billing, 1) for _ in range(3)]
    notes = [await desk.credit(invoice.id, (charge, 1)) for invoice, [charge] in here]
    there = await desk.credit(elsewhere.id, (elsewhere.lines[0].charge_id, 1))
    assert ([note.number for note in notes], there.number) == ([1, 2, 3], 1)


async def test_numbers_of_credit_notes_have_no_gap_when_one_is_rolled_back(billing: Billing, desk: Invoicing) -> None:
    invoice, [charge] = await billed(billing, 1)
    somebody = await billing.register_patient()
    other = await billing.issue(await treated(billing, 1, patient_id=somebody))
    request = desk.credit_request(invoice.id, (charge, 1))
    async with billing.held_open(request, crediting(invoice.id, charge, 1), rolled_back=True):
        waiting = asyncio.create_task(desk.credit(other.id, (other.lines[0].charge_id, 1)))
        await billing.someone_waits()
    assert (await waiting).number == 1
    assert (await desk.credit(invoice.id, (charge, 1))).number == 2


def crediting(invoice_id: str, charge_id: str, amount: int) -> Any:
    command = credit_notes.CreateCreditNote(
        invoice_id=from_wire("invoice", invoice_id),
        lines=(Asked(from_wire("charge", charge_id), Money(100 * amount)),),
        reason=CreditReason.DUPLICATE,
        note="",
        purpose=CreditPurpose.OFFSET,
    )

    async def work(store: BillingStore) -> None:
        await credit_notes.create_credit_note(store, command)

    return work


async def test_two_credits_of_one_line_at_once_take_no_more_than_it_has(billing: Billing, desk: Invoicing) -> None:
    """The second waits for the first, and then finds nothing left."""
    invoice, [first, *_] = await billed(billing)
    request = desk.credit_request(invoice.id, (first, 300))
    async with billing.held_open(request, crediting(invoice.id, first, 300)):
        second = asyncio.create_task(refusal(desk.credit(invoice.id, (first, 300))))
        await billing.someone_waits()
    assert (await second).reason == "CREDIT_ABOVE_LEFT"
    assert await billing.count("credit_note") == 1
    await billing.books_agree()


async def test_a_payment_waits_while_its_invoice_is_credited(billing: Billing, desk: Invoicing) -> None:
    invoice, [charge] = await billed(billing, 1)
    request = desk.credit_request(invoice.id, (charge, 90))
    async with billing.held_open(request, crediting(invoice.id, charge, 90)):
        paying = asyncio.create_task(billing.pay(590))
        await billing.someone_waits()
    assert dollars((await paying).unapplied) == 90
    await billing.books_agree()


async def test_a_credit_note_that_is_sent_again_is_made_once(billing: Billing, desk: Invoicing) -> None:
    invoice, [charge] = await billed(billing, 1)
    request = desk.credit_request(invoice.id, (charge, 10))
    answers = [await billing.svc.call(desk.credit_notes.CreateCreditNote, request) for _ in range(2)]
    assert answers[0] == answers[1]
    void = invoice_pb.VoidInvoiceRequest(request_id=str(uuid4()), invoice_id=invoice.id, purpose=OFFSET)
    voided = [await billing.svc.call(desk.invoices.VoidInvoice, void) for _ in range(2)]
    assert voided[0] == voided[1]
    assert await billing.count("credit_note") == 2


async def test_the_front_desk_reads_credit_notes_and_makes_none(billing: Billing, desk: Invoicing) -> None:
    invoice, [charge] = await billed(billing, 1)
    note = await desk.credit(invoice.id, (charge, 1), token=billing.at(billing.site_id))
    token = billing.at(billing.site_id, "ROLE_FRONT_DESK")
    for change in (desk.credit(invoice.id, (charge, 1), token=token), desk.void(invoice.id, token=token)):
        assert (await refusal(change)).code == StatusCode.PERMISSION_DENIED
    get, listing = pb.GetCreditNoteRequest(credit_note_id=note.id), pb.ListCreditNotesRequest(invoice_id=invoice.id)
    assert (await billing.svc.call(desk.credit_notes.GetCreditNote, get, token)).credit_note == note
    elsewhere = billing.at(await billing.register_site())
    for stranger in (elsewhere, billing.svc.token(chain_id=new_id())):
        for change in (desk.credit(invoice.id, (charge, 1), token=stranger), desk.void(invoice.id, token=stranger)):
            assert (await refusal(change)).reason == "INVOICE_NOT_FOUND"
        refused = await refusal(billing.svc.call(desk.credit_notes.GetCreditNote, get, stranger))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "CREDIT_NOTE_NOT_FOUND")
        found = await billing.svc.call(desk.credit_notes.ListCreditNotes, listing, stranger)
        assert list(found.credit_notes) == []
    assert await billing.count("credit_note") == 1


async def test_credit_notes_are_listed_by_invoice_patient_and_site_in_pages(billing: Billing, desk: Invoicing) -> None:
    invoice, charges = await billed(billing)
    made = [await desk.credit(invoice.id, *((charge, 1) for charge in charges)) for _ in range(3)]
    other, [charge] = await billed(billing, 1)
    last = await desk.credit(other.id, (charge, 1))
    for about, expected in (
        ({"invoice_id": invoice.id}, made[::-1]),
        ({"patient_id": billing.patient_id}, [last, *made[::-1]]),
        ({"site_id": billing.site_id}, [last, *made[::-1]]),
    ):
        request = pb.ListCreditNotesRequest(**about, page_size=2)
        page = await billing.svc.call(desk.credit_notes.ListCreditNotes, request)
        request.page_token = page.next_page_token
        rest = await billing.svc.call(desk.credit_notes.ListCreditNotes, request)
        assert [*page.credit_notes, *rest.credit_notes] == expected


async def test_a_credit_notes_text_is_in_no_event(billing: Billing, desk: Invoicing) -> None:
    invoice, [charge] = await billed(billing, 1)
    await desk.credit(invoice.id, (charge, 1), note="Ms Unmistakable")
    assert not any("Unmistakable" in str(event) for _, event in await billing.facts())
    assert await billing.fetch("SELECT FROM audit WHERE ids::text LIKE '%Unmistakable%'") == []


async def test_credit_of_a_merged_patient_is_the_survivors(billing: Billing, desk: Invoicing) -> None:
    alias = await billing.register_patient()
    invoice = await billing.issue(await treated(billing, 1, patient_id=alias))
    await billing.pay(590, patient_id=alias)
    merged = PatientMerged(patient_id=billing.patient_id, merged_patient_id=alias)
    await billing.svc.deliver(merged, version=1)
    note = await desk.credit(invoice.id, (invoice.lines[0].charge_id, 500), purpose=CREDIT)
    assert (note.patient_id, dollars(note.returned)) == (billing.patient_id, 500)
    settled, _ = await billed(billing, 1)
    assert (settled.patient_id, dollars(settled.balance)) == (billing.patient_id, 90)
    await billing.books_agree()
