"""Fees that are taken of the deposit by themselves: up to the fee, once, as the pinned price book says; and waived."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.billing.v1 import charge_pb2
from atoll.billing.v1 import charge_service_pb2 as pb
from atoll.billing.v1 import payment_service_pb2 as payment_pb
from atoll.billing.v1 import refund_service_pb2 as refund_pb
from atoll.billing.v1.account_service_pb2 import DOCUMENT_KIND_FORFEITURE
from atoll.billing.v1.invoice_service_pb2 import (
    DISCOUNT_REASON_GOODWILL,
    INVOICE_STATUS_PAID,
    INVOICE_STATUS_VOID,
    Discount,
    GetInvoiceRequest,
    Invoice,
)
from atoll.billing.v1.refund_service_pb2_grpc import RefundServiceStub
from atoll.scheduling.v1.events_pb2 import CANCELLATION_REASON_CLINIC, CANCELLATION_REASON_PATIENT
from chassis.ids import from_wire, new_id
from services.billing.domain.fees import FeeKind
from services.billing.store import BillingStore
from services.billing.use_cases import charging, payments
from tests.support.billing import FIRST_VISIT, TODAY, Billing, BookedCourse, dollars, open_billing, open_chain, usd
from tests.support.billing_estimates import close_dispute, open_dispute
from tests.support.invoicing import Invoicing, ask_fees, cents
from tests.support.service import Running, refusal

DAY = timedelta(days=1)


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> AsyncIterator[Billing]:
    """With the fees of `ask_fees`, taken of deposits; whatever a test does, the books agree with the documents after
    it."""
    billing = await open_chain(service)
    await billing.price(effective=TODAY - DAY)
    await ask_fees(billing, of_deposit=True)
    yield billing
    await billing.books_agree()


@pytest_asyncio.fixture
async def desk(billing: Billing) -> Invoicing:
    return Invoicing(billing)


async def deposited(billing: Billing, *amounts: float) -> tuple[BookedCourse, list[payment_pb.Payment]]:
    course = await billing.book()
    return course, [await billing.pay(amount, course_id=course.id) for amount in amounts]


async def forfeit(billing: Billing, course: BookedCourse) -> Any:
    fields: dict[str, Any] = {"course_id": course.id, "amount": usd(75), "reason": "no show"}
    request = payment_pb.ForfeitDepositRequest(request_id=str(uuid4()), **fields)
    return await billing.svc.call(billing.payments.ForfeitDeposit, request)


async def left(billing: Billing, *paid: payment_pb.Payment) -> list[tuple[float | None, float | None]]:
    """Of each payment what is left, and what is gone."""
    found = []
    for each in paid:
        request = payment_pb.GetPaymentRequest(payment_id=each.id)
        payment = (await billing.svc.call(billing.payments.GetPayment, request)).payment
        found.append((dollars(payment.unapplied), dollars(payment.gone)))
    return found


async def fees(billing: Billing, course: BookedCourse) -> list[int]:
    """Cents that are charged of each fee, beside what was taken of the deposit."""
    return [cents(each.amount) for each in (await billing.course_account(course)).charges]


async def taken(billing: Billing) -> list[int]:
    """Cents of each part of a deposit that became a fee."""
    return [row["amount_minor"] for row in await billing.fetch("SELECT amount_minor FROM forfeiture ORDER BY id")]


async def miss_as_the_consumer_does(store: BillingStore, course: BookedCourse, n: int) -> None:
    site = await store.site(from_wire("site", course.site_id))
    visit_id = from_wire("visit", course.visits[n].visit_id)
    await charging.charge_fee(store, site, visit_id, FeeKind.NO_SHOW, None, new_id())


async def test_a_fee_is_taken_of_the_deposit_and_the_rest_of_it_stays(billing: Billing, desk: Invoicing) -> None:
    course, paid = await deposited(billing, 60, 90)
    await billing.miss(course, 1)
    assert (await left(billing, *paid), await fees(billing, course)) == ([(0, 60), (75, 15)], [0])
    assert await billing.trial_balance() == {"CASH": (150, 0), "CUSTOMER_DEPOSITS": (75, 150), "FEE_REVENUE": (0, 75)}
    [charge] = (await billing.course_account(course)).charges
    why = await desk.explain(charge.id)
    assert (why.rule, cents(why.net), why.charge.price_book_version) == (pb.PRICING_RULE_FEE_RULE, 0, 2)
    assert [(part.payment_id, dollars(part.amount)) for part in why.deposit_parts] == [
        (paid[0].id, 60),
        (paid[1].id, 15),
    ]
    facts = [event for name, event in await billing.facts() if name == "deposit.forfeited"]
    assert [(each.charge_id, dollars(each.amount)) for each in facts] == [(charge.id, 60), (charge.id, 15)]
    account = await billing.account()
    documents = [each for each in account.documents if each.kind == DOCUMENT_KIND_FORFEITURE]
    assert {(each.description, dollars(each.amount)) for each in documents} == {
        ("Missed visit", 60),
        ("Missed visit", 15),
    }
    [balance] = account.balances
    sums = [dollars(each) for each in (balance.charged, balance.paid, balance.unapplied, balance.balance)]
    assert sums == [0, 75, 75, -75]


async def test_what_the_deposit_does_not_reach_is_charged(billing: Billing, desk: Invoicing) -> None:
    course, paid = await deposited(billing, 50)
    await billing.miss(course, 1)
    assert (await left(billing, *paid), await fees(billing, course)) == ([(0, 50)], [2_500])
    assert (await billing.trial_balance())["FEE_REVENUE"] == (0, 75)
    invoice = await billing.issue(course)
    assert (dollars(invoice.total), dollars(invoice.balance)) == (25, 25)  # Nothing is left that would pay it.
    [line] = invoice.lines
    assert [dollars(part.amount) for part in (await desk.explain(line.charge_id)).deposit_parts] == [50]


async def test_without_a_deposit_the_whole_fee_is_charged(billing: Billing) -> None:
    course, (elsewhere,) = await billing.book(), [await billing.pay(500)]
    await billing.miss(course, 1)
    assert (await fees(billing, course), await taken(billing)) == ([7_500], [])
    assert await left(billing, elsewhere) == [(500, 0)]  # For no course: not a deposit.


async def test_each_missed_visit_takes_its_own_fee_while_there_is_something_to_take(billing: Billing) -> None:
    course, paid = await deposited(billing, 100)
    for n in (1, 2):
        await billing.miss(course, n)
    assert (await left(billing, *paid), await taken(billing)) == ([(0, 100)], [7_500, 2_500])
    assert sorted(await fees(billing, course)) == [0, 5_000]


@pytest.mark.parametrize(
    ("reason", "before", "cents_taken"),
    [
        (CANCELLATION_REASON_PATIENT, timedelta(hours=1), [7_500]),
        (CANCELLATION_REASON_PATIENT, DAY - timedelta(seconds=1), [7_500]),
        (CANCELLATION_REASON_PATIENT, DAY, []),
        (CANCELLATION_REASON_CLINIC, timedelta(hours=1), []),
    ],
)
async def test_a_late_cancellation_takes_a_share_of_the_visit(
    billing: Billing, reason: int, before: timedelta, cents_taken: list[int]
) -> None:
    """A quarter of 300. In the month in which clocks change, a day of notice is 24 hours."""
    course, _ = await deposited(billing, 150)
    billing.svc.clock.now = FIRST_VISIT - before
    await billing.cancel(course, 0, reason=reason)
    assert await taken(billing) == cents_taken


async def test_what_is_forgiven_takes_nothing(service: Running) -> None:
    billing = await open_chain(service)
    await ask_fees(billing, grace=1, of_deposit=True)
    course, paid = await deposited(billing, 150)
    await billing.miss(course, 1)
    assert (await left(billing, *paid), await billing.count("offence")) == ([(150, 0)], 1)
    await billing.miss(course, 2)
    assert await left(billing, *paid) == [(75, 75)]


async def test_a_course_keeps_the_terms_that_it_was_booked_by(service: Running) -> None:
    billing = await open_chain(service)
    await ask_fees(billing)
    before, paid_before = await deposited(billing, 150)
    await ask_fees(billing, of_deposit=True, effective=TODAY + DAY)
    billing.svc.clock.now += DAY
    after, paid_after = await deposited(billing, 150)
    for course in (before, after):
        await billing.miss(course, 1)
    assert (await fees(billing, before), await left(billing, *paid_before)) == ([7_500], [(150, 0)])
    assert (await fees(billing, after), await left(billing, *paid_after)) == ([0], [(75, 75)])


async def test_a_visit_that_is_told_missed_twice_takes_one_fee(billing: Billing) -> None:
    """Also when the second time it is another event."""
    course, paid = await deposited(billing, 150)
    event = billing.missed(course, 1)
    for _ in range(2):
        await billing.svc.deliver(event)
    await billing.svc.deliver(billing.missed(course, 1))
    assert (await left(billing, *paid), await taken(billing)) == ([(75, 75)], [7_500])
    assert (await fees(billing, course), await billing.count("offence")) == ([0], 1)


async def test_a_fee_of_which_nothing_is_charged_is_on_no_invoice_of_the_course(billing: Billing) -> None:
    course, paid = await deposited(billing, 150)
    await billing.miss(course, 1)
    assert (await refusal(billing.issue(course))).reason == "INVOICE_EMPTY"
    await billing.complete(course, 0)
    invoice = await billing.issue(course)
    assert [line.description for line in invoice.lines] == ["Evaluation"]
    assert (dollars(invoice.balance), await left(billing, *paid)) == (225, [(0, 75)])


async def test_a_waiver_gives_the_deposit_back(billing: Billing, desk: Invoicing) -> None:
    course, paid = await deposited(billing, 50)
    await billing.miss(course, 1)
    [fee] = await desk.uninvoiced()
    waiver = await desk.waive(fee.id, billing.at(billing.site_id, "ROLE_SITE_MANAGER"))
    assert (cents(waiver.amount), waiver.note) == (-2_500, "Snow")
    assert (await left(billing, *paid), await taken(billing)) == ([(50, 0)], [5_000, -5_000])
    assert (await billing.trial_balance())["FEE_REVENUE"] == (75, 75)
    assert [dollars(part.amount) for part in (await desk.explain(fee.id)).deposit_parts] == [50, -50]
    returned = await billing.last_fact("deposit.returned")
    assert (returned.payment_id, dollars(returned.amount), returned.charge_id) == (paid[0].id, 50, fee.id)
    assert (await refusal(desk.waive(fee.id))).reason == "FEE_WAIVED"
    assert await taken(billing) == [5_000, -5_000]
    assert dollars((await forfeit(billing, course)).forfeited) == 50  # Kept for the course as before.


async def test_a_fee_that_the_deposit_paid_whole_is_waived_too(billing: Billing, desk: Invoicing) -> None:
    course, paid = await deposited(billing, 60, 90)
    await billing.miss(course, 1)
    [fee] = await desk.uninvoiced()
    waiver = await desk.waive(fee.id)
    assert (cents(waiver.amount), waiver.corrects_charge_id) == (0, fee.id)
    assert await left(billing, *paid) == [(60, 0), (90, 0)]
    assert (await refusal(desk.waive(fee.id))).reason == "FEE_WAIVED"
    reverse = payment_pb.ReversePaymentRequest(request_id=str(uuid4()), payment_id=paid[0].id, reason="mis-keyed")
    await billing.svc.call(billing.payments.ReversePayment, reverse)  # Nothing of it is gone any more.


async def invoiced_fee(billing: Billing, *amounts: float) -> tuple[BookedCourse, list[payment_pb.Payment], Invoice]:
    """50 of the deposit and 25 on an invoice, unless told otherwise; a visit stands on it, too."""
    course, paid = await deposited(billing, *amounts or (50,))
    await billing.miss(course, 1)
    await billing.complete(course, 0)
    return course, paid, await billing.issue(course)


def line_of(invoice: Invoice, description: str = "Missed visit") -> Any:
    return next(each for each in invoice.lines if each.description == description)


async def test_a_credit_note_over_all_of_an_invoiced_fee_gives_the_deposit_back(
    billing: Billing, desk: Invoicing
) -> None:
    course, paid, invoice = await invoiced_fee(billing)
    fee = line_of(invoice)
    refused = await refusal(desk.waive(fee.charge_id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CHARGE_INVOICED")
    before = await billing.trial_balance()
    note = await desk.credit(invoice.id, (fee.charge_id, 25), note="Snow")
    assert (dollars(note.total), await left(billing, *paid)) == (25, [(50, 0)])
    assert await taken(billing) == [5_000, -5_000]
    books = await billing.trial_balance()
    assert (before["FEE_REVENUE"], books["FEE_REVENUE"]) == ((0, 75), (75, 75))
    assert [dollars(part.amount) for part in (await desk.explain(fee.charge_id)).deposit_parts] == [50, -50]
    returned = await billing.last_fact("deposit.returned")
    assert (returned.payment_id, dollars(returned.amount), returned.charge_id) == (paid[0].id, 50, fee.charge_id)
    assert dollars((await forfeit(billing, course)).forfeited) == 50  # Kept for the course as before.


async def test_the_same_credit_note_asked_for_twice_gives_the_deposit_back_once(
    billing: Billing, desk: Invoicing
) -> None:
    _, paid, invoice = await invoiced_fee(billing)
    request = desk.credit_request(invoice.id, (line_of(invoice).charge_id, 25))
    first, again = [await billing.svc.call(desk.credit_notes.CreateCreditNote, request) for _ in range(2)]
    assert first == again
    refused = await refusal(desk.credit(invoice.id, (line_of(invoice).charge_id, 25)))
    assert refused.reason == "CREDIT_ABOVE_LEFT"
    assert (await left(billing, *paid), await taken(billing)) == ([(50, 0)], [5_000, -5_000])


async def test_the_deposit_comes_back_with_the_last_part_of_the_fee(billing: Billing, desk: Invoicing) -> None:
    _, paid, invoice = await invoiced_fee(billing)
    fee = line_of(invoice).charge_id
    await desk.credit(invoice.id, (fee, 10))
    assert (await left(billing, *paid), await taken(billing)) == ([(0, 50)], [5_000])
    await desk.credit(invoice.id, (fee, 15))
    assert (await left(billing, *paid), await taken(billing)) == ([(50, 0)], [5_000, -5_000])


async def test_a_credit_note_over_another_line_leaves_the_fee_as_it_is(billing: Billing, desk: Invoicing) -> None:
    _, paid, invoice = await invoiced_fee(billing)
    await desk.credit(invoice.id, (line_of(invoice, "Evaluation").charge_id, 300))
    assert (await left(billing, *paid), await taken(billing)) == ([(0, 50)], [5_000])


async def test_an_invoice_that_is_void_gives_the_deposit_of_its_fees_back(billing: Billing, desk: Invoicing) -> None:
    _, paid, invoice = await invoiced_fee(billing)
    await desk.void(invoice.id)
    assert (await left(billing, *paid), await taken(billing)) == ([(50, 0)], [5_000, -5_000])
    order = await billing.fetch("SELECT content::text FROM document_order WHERE kind = 3")
    assert "$50.00 of your deposit that had become a fee is yours again." in order[0]["content"]


async def test_a_void_gives_back_the_deposit_that_paid_a_fee_whole(billing: Billing, desk: Invoicing) -> None:
    course, paid = await deposited(billing, 60, 15)
    await billing.miss(course, 1)
    await billing.complete(course, 0)
    ids = [each.id for each in await desk.uninvoiced()]
    invoice = await desk.issue(*ids)
    assert dollars(line_of(invoice).amount) == 0
    await desk.void(invoice.id)
    assert await left(billing, *paid) == [(60, 0), (15, 0)]


async def test_an_invoice_of_nothing_is_void_once_and_gives_the_deposit_of_its_fees_back(
    billing: Billing, desk: Invoicing
) -> None:
    course, paid = await deposited(billing, 60, 15)
    await billing.miss(course, 1)
    await billing.complete(course, 0)
    charges = await desk.uninvoiced()
    off = Discount(amount=usd(300), reason=DISCOUNT_REASON_GOODWILL)
    invoice = await desk.issue_draft(await desk.draft(*(each.id for each in charges), discount=off))
    assert (dollars(invoice.total), invoice.status) == (0, INVOICE_STATUS_PAID)
    refused = await refusal(desk.credit(invoice.id, (charges[0].id, 1)))
    assert refused.reason == "CREDIT_ABOVE_LEFT"
    note = await desk.void(invoice.id)
    assert (dollars(note.total), {line.charge_id for line in note.lines}) == (0, {each.id for each in charges})
    assert {dollars(line.amount) for line in note.lines} == {0}
    assert await left(billing, *paid) == [(60, 0), (15, 0)]
    request = GetInvoiceRequest(invoice_id=invoice.id)
    assert (await billing.svc.call(billing.invoices.GetInvoice, request)).invoice.status == INVOICE_STATUS_VOID
    told = await billing.last_fact("credit_note.issued")
    assert (told.voids, dollars(told.total)) == (True, 0)
    assert (await refusal(desk.void(invoice.id))).reason == "INVOICE_VOID"
    assert await left(billing, *paid) == [(60, 0), (15, 0)]


async def test_a_fee_that_the_deposit_paid_whole_makes_no_invoice_by_itself(billing: Billing, desk: Invoicing) -> None:
    course, _ = await deposited(billing, 90)
    await billing.miss(course, 1)
    [fee] = await desk.uninvoiced()
    assert (await refusal(desk.issue(fee.id))).reason == "INVOICE_EMPTY"


async def test_what_comes_back_of_a_deposit_can_be_refunded(billing: Billing, desk: Invoicing) -> None:
    course, paid, invoice = await invoiced_fee(billing)
    await desk.credit(invoice.id, (line_of(invoice).charge_id, 25))
    request = refund_pb.CreateRefundRequest(
        request_id=str(uuid4()),
        site_id=course.site_id,
        patient_id=course.patient_id,
        amount=usd(50),
        reason="moves away",
    )
    refund = (await billing.svc.call(billing.svc.stub(RefundServiceStub).CreateRefund, request)).refund
    assert (dollars(refund.amount), [part.payment_id for part in refund.parts]) == (50, [paid[0].id])
    assert await left(billing, *paid) == [(0, 50)]


FEE_KINDS = charge_pb2.CHARGE_KIND_NO_SHOW_FEE, charge_pb2.CHARGE_KIND_LATE_CANCELLATION_FEE


async def test_what_is_taken_of_a_deposit_for_a_fee_has_the_tax_inside_that_an_invoice_has(
    billing: Billing, desk: Invoicing
) -> None:
    """75 are what the patient was told, and pays, by whatever."""
    await desk.tax(kinds=FEE_KINDS)
    course, paid = await deposited(billing, 30, 90)
    await billing.miss(course, 1)
    assert (await left(billing, *paid), await taken(billing)) == ([(0, 30), (45, 45)], [3_000, 4_500])
    books = {"CASH": (120, 0), "CUSTOMER_DEPOSITS": (75, 120), "FEE_REVENUE": (0, 69.69), "TAX_PAYABLE": (0, 5.31)}
    assert await billing.trial_balance() == books
    [fee] = await desk.uninvoiced()
    parts = (await desk.explain(fee.id)).deposit_parts
    assert [(cents(part.amount), cents(part.tax)) for part in parts] == [(3_000, 212), (4_500, 319)]
    told = await billing.last_fact("deposit.forfeited")
    assert (cents(told.amount), cents(told.tax)) == (4_500, 319)
    await desk.waive(fee.id)
    back = await billing.trial_balance()
    assert (back["FEE_REVENUE"], back["TAX_PAYABLE"]) == ((69.69, 69.69), (5.31, 5.31))
    assert await left(billing, *paid) == [(30, 0), (90, 0)]
    returned = await billing.last_fact("deposit.returned")
    assert (cents(returned.amount), cents(returned.tax)) == (4_500, 319)


async def test_a_fee_costs_the_same_by_an_invoice_and_in_part_out_of_a_deposit(
    billing: Billing, desk: Invoicing
) -> None:
    await desk.tax(kinds=(*FEE_KINDS, charge_pb2.CHARGE_KIND_VISIT))
    whole, _ = await deposited(billing)
    part, (paid,) = await deposited(billing, 50)
    for course in (whole, part):
        await billing.miss(course, 1)
        await billing.complete(course, 0)
    invoice, rest = await billing.issue(whole), await billing.issue(part)
    assert (cents(invoice.total), cents(rest.total)) == (30_000 + 2_288 + 7_500, 30_000 + 2_288 + 2_500)
    assert [(each.included, cents(each.base), cents(each.amount)) for each in sorted(invoice.taxes, key=is_inside)] == [
        (False, 30_000, 2_288),
        (True, 7_500, 531),
    ]
    assert cents(line_of(invoice).included_tax) == 531
    assert cents(line_of(rest).included_tax) == 177  # And 354 of the 50 that the deposit paid.
    assert (await billing.trial_balance())["TAX_PAYABLE"] == (0, round(2 * 22.88 + 2 * 5.31, 2))
    await desk.credit(rest.id, (line_of(rest).charge_id, 25))
    assert (await billing.trial_balance())["TAX_PAYABLE"] == (5.31, round(2 * 22.88 + 2 * 5.31, 2))
    assert await left(billing, paid) == [(50, 0)]


def is_inside(tax: Any) -> bool:
    return bool(tax.included)


async def test_what_somebody_forfeits_by_hand_is_taxed_as_a_visit_missed_today(
    billing: Billing, desk: Invoicing
) -> None:
    await desk.tax(kinds=[charge_pb2.CHARGE_KIND_NO_SHOW_FEE])
    course, _ = await deposited(billing, 150)
    assert dollars((await forfeit(billing, course)).forfeited) == 75
    books = await billing.trial_balance()
    assert (books["FEE_REVENUE"], books["TAX_PAYABLE"]) == ((0, 69.69), (0, 5.31))


async def test_a_fee_that_is_taken_of_a_deposit_is_taxed_by_the_rules_of_the_day_of_the_visit(
    billing: Billing, desk: Invoicing
) -> None:
    await desk.tax(kinds=FEE_KINDS, effective=FIRST_VISIT.date() + DAY)
    course, _ = await deposited(billing, 75)
    await billing.miss(course, 0)
    assert "TAX_PAYABLE" not in await billing.trial_balance()
    other, _ = await deposited(billing, 75)
    await billing.miss(other, 1)  # A week later.
    assert (await billing.trial_balance())["TAX_PAYABLE"] == (0, 5.31)


async def test_nothing_is_taken_while_the_estimate_is_in_dispute(billing: Billing) -> None:
    course, paid = await deposited(billing, 150)
    dispute = await open_dispute(billing, course.id)
    await billing.miss(course, 1)
    assert (await fees(billing, course), await left(billing, *paid)) == ([7_500], [(150, 0)])
    await close_dispute(billing, dispute.id)
    await billing.miss(course, 2)
    assert (await fees(billing, course), await left(billing, *paid)) == ([7_500, 0], [(75, 75)])


async def test_what_the_fee_of_the_last_visit_leaves_of_the_deposit_is_the_patients_at_the_site(
    billing: Billing,
) -> None:
    course, paid = await deposited(billing, 60, 90)
    for n in (0, 1):
        await billing.cancel(course, n, reason=CANCELLATION_REASON_CLINIC)
    await billing.miss(course, 2)
    assert (await left(billing, *paid), await taken(billing)) == ([(0, 60), (75, 15)], [6_000, 1_500])
    released = await billing.last_fact("deposit.released")
    assert (released.payment_id, dollars(released.amount)) == (paid[1].id, 75)
    assert (await billing.fact_names()).count("deposit.released") == 1


async def test_what_a_waived_fee_gives_back_of_a_cancelled_course_pays_whatever_the_patient_owes(
    billing: Billing, desk: Invoicing
) -> None:
    course, paid = await deposited(billing, 75)
    for n in (0, 1):
        await billing.cancel(course, n, reason=CANCELLATION_REASON_CLINIC)
    await billing.miss(course, 2)
    assert "deposit.released" not in await billing.fact_names()  # All of it is the fee.
    [fee] = await desk.uninvoiced()
    await desk.waive(fee.id)
    assert await left(billing, *paid) == [(75, 0)]
    other = await billing.book()
    await billing.complete(other, 0)
    assert dollars((await billing.issue(other)).balance) == 225


# Beside somebody who forfeits by hand.


async def test_no_fee_is_taken_of_a_deposit_that_was_forfeited_by_hand(billing: Billing) -> None:
    course, paid = await deposited(billing, 150)
    await forfeit(billing, course)
    await billing.miss(course, 1)
    assert (await fees(billing, course), await left(billing, *paid)) == ([], [(75, 75)])


async def test_a_deposit_that_a_fee_was_taken_of_is_not_forfeited_by_hand_as_well(
    billing: Billing, desk: Invoicing
) -> None:
    course, paid = await deposited(billing, 150)
    await billing.miss(course, 1)
    refused = await refusal(forfeit(billing, course))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "DEPOSIT_FEE_CHARGED")
    assert await left(billing, *paid) == [(75, 75)]


async def test_who_forfeits_while_the_fee_is_taken_is_refused(billing: Billing) -> None:
    course, paid = await deposited(billing, 150)
    request = pb.ChargeProductRequest(request_id=str(uuid4()))

    async with billing.held_open(request, lambda store: miss_as_the_consumer_does(store, course, 1)):
        by_hand = asyncio.create_task(refusal(forfeit(billing, course)))
        await billing.someone_waits()
    assert (await by_hand).reason == "DEPOSIT_FEE_CHARGED"
    assert (await left(billing, *paid), await taken(billing)) == ([(75, 75)], [7_500])


async def test_a_fee_waits_for_who_forfeits_and_is_not_asked_for_then(billing: Billing) -> None:
    course, paid = await deposited(billing, 150)
    course_id = from_wire("course", course.id)
    request = pb.ChargeProductRequest(request_id=str(uuid4()))

    async def by_hand(store: BillingStore) -> None:
        kept = await store.kept_for_course(course_id)
        await payments.forfeit_deposit(store, course_id, kept[0].left, "no show")

    async with billing.held_open(request, by_hand):
        missing = asyncio.create_task(billing.miss(course, 1))
        await billing.someone_waits()
    await missing
    assert (await left(billing, *paid), await fees(billing, course)) == ([(0, 150)], [])


async def test_a_fee_takes_nothing_of_a_deposit_that_is_reversed_meanwhile(billing: Billing) -> None:
    course, (paid,) = await deposited(billing, 150)
    request = pb.ChargeProductRequest(request_id=str(uuid4()))

    async def reverse(store: BillingStore) -> None:
        await payments.reverse_payment(store, from_wire("payment", paid.id), "mis-keyed")

    async with billing.held_open(request, reverse):
        missing = asyncio.create_task(billing.miss(course, 1))
        await billing.someone_waits()
    await missing
    assert (await fees(billing, course), await taken(billing)) == ([7_500], [])


async def test_the_database_gives_back_only_what_a_fee_took(billing: Billing) -> None:
    course, _ = await deposited(billing, 150)
    await forfeit(billing, course)
    columns = "chain_id, site_id, patient_id, course_id, payment_id, currency, reason, actor, forfeited_at"
    again = f"""INSERT INTO forfeiture (id, amount_minor, {columns})
        SELECT gen_random_uuid(), -amount_minor, {columns} FROM forfeiture"""
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await billing.execute(again)
    assert refused.value.constraint_name == "forfeiture_amount_check"
