"""What a void takes back is billed again: corrected before, by another invoice, and never twice."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.billing.v1 import charge_service_pb2 as charge_pb
from atoll.billing.v1 import credit_note_service_pb2 as note_pb
from atoll.billing.v1 import invoice_service_pb2 as pb
from atoll.billing.v1 import price_book_service_pb2 as book_pb
from atoll.billing.v1.account_service_pb2 import BILLING_STATUS_CHARGED, BILLING_STATUS_REDEEMED
from atoll.billing.v1.charge_pb2 import CHARGE_KIND_VISIT
from atoll.patients.v1.events_pb2 import PatientMerged
from chassis.ids import from_wire, new_id, to_wire
from services.billing.domain.credit_notes import CreditPurpose
from services.billing.printing import day_text
from services.billing.store import BillingStore
from services.billing.use_cases import credit_notes
from tests.support.billing import INFUSION, TODAY, Billing, BookedCourse, dollars, open_billing, open_chain, usd
from tests.support.billing_estimates import coverage
from tests.support.invoicing import SALVE_CENTS, Invoicing, cents, price_everything, sell_salve
from tests.support.packages import Packages
from tests.support.service import Running, refusal

REFUND, CREDIT, OFFSET = note_pb.CREDIT_PURPOSE_REFUND, note_pb.CREDIT_PURPOSE_CREDIT, note_pb.CREDIT_PURPOSE_OFFSET
DAY = timedelta(days=1)
ONE_INFUSION = ("infusion", "", "", 1)


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> AsyncIterator[Billing]:
    """With prices: 300 for an assessment, 590 for an infusion; whatever a test does, the books agree after it."""
    billing = await open_chain(service)
    await billing.price(effective=TODAY - DAY)
    yield billing
    await billing.books_agree()


@pytest_asyncio.fixture
async def desk(billing: Billing) -> Invoicing:
    return Invoicing(billing)


async def billed(billing: Billing, *numbers: int, **changes: Any) -> tuple[BookedCourse, pb.Invoice]:
    course = await billing.book(**changes)
    await billing.complete(course, *numbers)
    return course, await billing.issue(course)


async def test_an_invoice_is_voided_corrected_and_issued_again(billing: Billing, desk: Invoicing) -> None:
    course, wrong = await billed(billing, 0, 1)
    assert (await refusal(desk.correct(wrong.lines[0].charge_id, -50))).reason == "CHARGE_INVOICED"
    first, second = await desk.bill_again(wrong.id)
    assert [(each.replaces_charge_id, dollars(each.amount)) for each in (first, second)] == [
        (wrong.lines[0].charge_id, 300),
        (wrong.lines[1].charge_id, 590),
    ]
    old = wrong.charges[0]
    same = ("site_id", "patient_id", "course_id", "visit_id", "service_date", "visit_type_code", "route_code",
            "band_code", "description", "price_item_id", "kind", "item_code", "quantity")  # fmt: skip
    assert all(getattr(first, name) == getattr(old, name) for name in same)
    assert (first.made_by, first.event_id) == ("user", "")
    assert await desk.uninvoiced() == [first, second]
    assert (await desk.invoice(wrong.id)).status == pb.INVOICE_STATUS_VOID
    await billing.books_agree()

    await desk.correct(first.id, -50)
    again = await billing.issue(course)
    assert (again.number, dollars(again.total), [line.charge_id for line in again.lines]) == (
        2, 840, [first.id, second.id],
    )  # fmt: skip
    assert list(again.replaces_invoice_ids) == [wrong.id]
    assert await desk.invoice(again.id) == again
    assert (await billing.trial_balance())["ACCOUNTS_RECEIVABLE"] == (2 * 890, 890 + 50)
    assert (dollars((await billing.course_account(course)).charged), await desk.uninvoiced()) == (840, [])


async def test_a_void_that_says_nothing_of_it_leaves_nothing_to_bill(billing: Billing, desk: Invoicing) -> None:
    course, invoice = await billed(billing, 1)
    request = pb.VoidInvoiceRequest(request_id=str(uuid4()), invoice_id=invoice.id, purpose=OFFSET)
    assert list((await billing.svc.call(desk.invoices.VoidInvoice, request)).charges) == []
    assert await desk.uninvoiced() == []
    assert (await refusal(billing.issue(course))).reason == "INVOICE_EMPTY"
    assert (await refusal(desk.bill_again(invoice.id))).reason == "INVOICE_VOID"
    assert await billing.count("charge") == 1


async def test_why_names_both_charges(billing: Billing, desk: Invoicing) -> None:
    _, wrong = await billed(billing, 1)
    [charge] = await desk.bill_again(wrong.id)
    before, now = await desk.explain(wrong.lines[0].charge_id), await desk.explain(charge.id)
    assert (before.rule, before.replaced_by_charge_id) == (charge_pb.PRICING_RULE_PINNED_PRICE_BOOK, charge.id)
    assert (before.invoice_id, dollars(before.credits[0].amount)) == (wrong.id, 590)
    assert not before.HasField("replaces")
    assert (now.rule, now.replaced_by_charge_id, now.invoice_id) == (charge_pb.PRICING_RULE_BILLED_AGAIN, "", "")
    assert now.replaces == charge_pb.ChargeExplanation.Replaced(
        charge_id=wrong.lines[0].charge_id, invoice_id=wrong.id, invoice_display_number="1"
    )
    told = await billing.last_fact("charge.posted")
    assert (told.charge_id, told.replaces_charge_id, dollars(told.amount)) == (
        charge.id, wrong.lines[0].charge_id, 590,
    )  # fmt: skip


async def test_papers_say_what_is_in_place_of_what(billing: Billing, desk: Invoicing) -> None:
    course, wrong = await billed(billing, 1)
    await desk.bill_again(wrong.id)
    await billing.issue(course)
    by_kind = {
        row["kind"]: row["content"]
        for row in await billing.fetch("SELECT kind, content::text FROM document_order ORDER BY ordered_at, id")
    }
    assert "What invoice 1 billed will be billed by another invoice in its place." in by_kind[3]
    assert '"replaces": "1"' in by_kind[2]
    days = [day_text(date(day.year, day.month, day.day)) for day in (line.service_date for line in wrong.lines)]
    assert [line["date"] for line in json.loads(by_kind[3])["lines"]] == days


async def test_a_void_that_is_sent_again_charges_once(billing: Billing, desk: Invoicing) -> None:
    _, wrong = await billed(billing)
    request = pb.VoidInvoiceRequest(request_id=str(uuid4()), invoice_id=wrong.id, purpose=OFFSET, bill_again=True)
    first, again = [await billing.svc.call(desk.invoices.VoidInvoice, request) for _ in range(2)]
    assert (first, len(first.charges)) == (again, 3)
    request.bill_again = False
    assert (await refusal(billing.svc.call(desk.invoices.VoidInvoice, request))).reason == "REQUEST_ID_REUSED"
    assert await billing.count("charge") == 6


async def test_two_voids_at_once_charge_once(billing: Billing, desk: Invoicing) -> None:
    """The second waits for the first, and then finds nothing left of the invoice."""
    _, wrong = await billed(billing, 1)
    command = credit_notes.VoidInvoice(from_wire("invoice", wrong.id), CreditPurpose.OFFSET, "", bill_again=True)

    async def first(store: BillingStore) -> None:
        await credit_notes.void_invoice(store, command)

    request = pb.VoidInvoiceRequest(request_id=str(uuid4()), invoice_id=wrong.id, purpose=OFFSET, bill_again=True)
    async with billing.held_open(request, first):
        second = asyncio.create_task(refusal(desk.bill_again(wrong.id)))
        await billing.someone_waits()
    assert (await second).reason == "INVOICE_VOID"
    assert (await billing.count("charge"), await billing.count("credit_note")) == (2, 1)


async def test_nothing_is_billed_twice(billing: Billing, desk: Invoicing) -> None:
    """Neither the old charge, nor the visit when it is told again, nor by the database, whoever writes to it."""
    course, wrong = await billed(billing, 1)
    old = wrong.lines[0].charge_id
    [charge] = await desk.bill_again(wrong.id)
    assert (await refusal(desk.issue(old))).reason == "CHARGE_INVOICED"
    assert (await refusal(desk.issue(old, charge.id))).reason == "CHARGE_INVOICED"
    await billing.svc.deliver(billing.completed(course, 1))
    assert [each.id for each in await desk.uninvoiced()] == [charge.id]
    await desk.issue(charge.id)
    assert (await refusal(desk.issue(charge.id))).reason == "CHARGE_INVOICED"
    columns = "chain_id, kind, site_id, patient_id, course_id, visit_id, service_date, visit_type_code, route_code, "
    columns += "band_code, item_code, description, quantity, currency, amount_minor, price_book_version, "
    columns += "price_item_id, posted_at, replaces_id, first_id"
    with pytest.raises(asyncpg.UniqueViolationError, match="charge_replaces_idx"):
        await billing.fetch(
            f"INSERT INTO charge (id, {columns}) SELECT $1, {columns} FROM charge WHERE replaces_id IS NOT NULL",
            new_id(),
        )


async def test_a_visit_stays_charged_once_whatever_becomes_of_its_invoice(billing: Billing, desk: Invoicing) -> None:
    course, wrong = await billed(billing, 0, 1)
    await desk.bill_again(wrong.id)
    visits = (await billing.course_account(course)).visits
    assert [visit.status for visit in visits].count(BILLING_STATUS_CHARGED) == 2
    assert len(visits) == len(course.visits)
    waiting = charge_pb.ListUnchargedVisitsRequest(site_id=billing.site_id)
    assert list((await billing.svc.call(desk.charges.ListUnchargedVisits, waiting)).visits) == []


async def test_a_tier_counts_a_visit_once(billing: Billing, desk: Invoicing) -> None:
    """400 an infusion from the third on."""
    request = billing.price_book_request(effective=TODAY)
    tier = book_pb.PriceTier(from_number=3, unit_price=usd(400))
    next(each for each in request.items if each.visit_type_code == "infusion").tiers.append(tier)
    await billing.publish((await billing.svc.call(billing.price_books.CreatePriceBook, request)).price_book)
    course = await billing.book([INFUSION] * 3)
    await billing.complete(course, 0)
    await desk.bill_again((await billing.issue(course)).id)
    await billing.complete(course, 1)
    await billing.complete(course, 2)
    assert sorted(dollars(each.amount) or 0 for each in await desk.uninvoiced()) == [400, 590, 590]


async def test_what_is_paid_is_refused_as_by_any_void_or_pays_the_next_invoice(
    billing: Billing, desk: Invoicing
) -> None:
    course, wrong = await billed(billing, 1)
    await billing.pay(500)
    refused = await refusal(desk.bill_again(wrong.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CREDIT_ABOVE_OPEN")
    assert (await billing.count("charge"), await billing.count("credit_note")) == (1, 0)
    [charge] = await desk.bill_again(wrong.id, CREDIT)
    await desk.correct(charge.id, -40)
    again = await billing.issue(course)
    assert (dollars(again.total), dollars(again.balance)) == (550, 50)
    [charge] = await desk.bill_again(again.id, REFUND)
    assert dollars(charge.amount) == 550
    assert dollars((await billing.issue(course)).balance) == 50


async def test_what_was_credited_before_stays_so(billing: Billing, desk: Invoicing) -> None:
    await sell_salve(billing)
    salve = await desk.product(3)
    course, _ = await billing.book(), await desk.uninvoiced()
    await billing.complete(course, 0, 1)
    first, second = await desk.visit_charges(course)
    wrong = await desk.issue(first, second, salve.id)
    await desk.credit(wrong.id, (first, 300), (second, 90))
    lines = [{"charge_id": salve.id, "quantity": 1}]
    await desk.credit(wrong.id, lines=lines)
    again = await desk.bill_again(wrong.id)
    assert {each.replaces_charge_id: (cents(each.amount), each.quantity) for each in again} == {
        second: (50_000, 1),
        salve.id: (2 * SALVE_CENTS, 2),
    }
    assert cents((await desk.issue(*(each.id for each in again))).total) == 50_000 + 2 * SALVE_CENTS


async def test_a_discount_is_given_anew_or_not(billing: Billing, desk: Invoicing) -> None:
    """Also one that took the whole invoice: it was the mistake."""
    course = await billing.book()
    await billing.complete(course, 0)
    [charge] = await desk.visit_charges(course)
    for off in (90, 300):
        discount = pb.Discount(amount=usd(off), reason=pb.DISCOUNT_REASON_STAFF)
        wrong = await desk.issue_draft(await desk.draft(charge, discount=discount))
        assert dollars(wrong.total) == 300 - off
        [again] = await desk.bill_again(wrong.id)
        assert dollars(again.amount) == 300
        books = {
            name: (debit or 0) - (credit or 0) for name, (debit, credit) in (await billing.trial_balance()).items()
        }
        assert {name: sum for name, sum in books.items() if sum} == {"ACCOUNTS_RECEIVABLE": 300, "REVENUE": -300}
        charge = again.id
    assert dollars((await billing.issue(course)).total) == 300


@pytest.mark.parametrize("included", [False, True])
async def test_tax_is_owed_once(billing: Billing, desk: Invoicing, included: bool) -> None:
    await desk.tax(included=included)
    course, wrong = await billed(billing, 1)
    before = await billing.trial_balance()
    await desk.bill_again(wrong.id)
    assert (await billing.trial_balance())["TAX_PAYABLE"][0] == before["TAX_PAYABLE"][1]
    again = await billing.issue(course)
    assert (again.tax, again.total) == (wrong.tax, wrong.total)
    after = await billing.trial_balance()
    for account, (debit, credit) in before.items():
        now_debit, now_credit = after[account]
        assert round((now_debit or 0) - (now_credit or 0), 2) == round((debit or 0) - (credit or 0), 2)


async def test_a_fee_keeps_what_it_took_of_the_deposit(service: Running) -> None:
    """50 of the deposit and 25 on an invoice; a waiver gives the 50 back, once, though the fee was billed twice."""
    billing = await open_chain(service)
    desk = Invoicing(billing)
    await price_everything(billing, billing.site_id)
    course = await billing.book()
    paid = await billing.pay(50, course_id=course.id)
    await billing.miss(course, 1)
    invoice = await billing.issue(course)
    parts = (await desk.explain(invoice.lines[0].charge_id)).deposit_parts
    assert [(part.payment_id, dollars(part.amount)) for part in parts] == [(paid.id, 50)]
    for _ in range(2):
        [fee] = await desk.bill_again(invoice.id)
        assert (dollars(fee.amount), (await desk.explain(fee.id)).deposit_parts) == (25, parts)
        assert (await billing.fetch("SELECT left_minor FROM open_item WHERE kind = 1"))[0]["left_minor"] == 0
        invoice = await billing.issue(course)
    [fee] = await desk.bill_again(invoice.id)
    await desk.waive(fee.id)
    assert [dollars(part.amount) for part in (await desk.explain(fee.id)).deposit_parts] == [50, -50]
    assert (await billing.fetch("SELECT left_minor FROM open_item WHERE kind = 1"))[0]["left_minor"] == 5_000
    assert (await refusal(billing.issue(course))).reason == "INVOICE_EMPTY"
    await billing.books_agree()


async def test_a_fee_that_is_credited_after_it_was_billed_again_gives_the_deposit_back(service: Running) -> None:
    billing = await open_chain(service)
    desk = Invoicing(billing)
    await price_everything(billing, billing.site_id)
    course = await billing.book()
    await billing.pay(50, course_id=course.id)
    await billing.miss(course, 1)
    [fee] = await desk.bill_again((await billing.issue(course)).id)
    invoice = await billing.issue(course)
    await desk.credit(invoice.id, (fee.id, 25))
    assert [dollars(part.amount) for part in (await desk.explain(fee.id)).deposit_parts] == [50, -50]
    await billing.books_agree()


async def test_what_is_free_goes_along_and_what_was_corrected_to_nothing_does_not(
    billing: Billing, desk: Invoicing
) -> None:
    await billing.price([("assessment", "", "", 0, "Evaluation"), ("infusion", "", "", 590, "IV")], effective=TODAY)
    course = await billing.book()
    await billing.complete(course)
    free, corrected, billed = await desk.visit_charges(course)
    await desk.correct(corrected, -590)
    wrong = await desk.issue(free, corrected, billed)
    again = await desk.bill_again(wrong.id)
    assert [each.replaces_charge_id for each in again] == [free, billed]
    assert [line.charge_id for line in (await billing.issue(course)).lines] == [each.id for each in again]


async def test_a_package_is_not_billed_again(billing: Billing, desk: Invoicing) -> None:
    chain = await Packages(billing).open()
    sale = await chain.sold(ONE_INFUSION, price=500, paid=0)
    [line] = await billing.fetch("SELECT invoice_id FROM invoice_line")
    refused = await refusal(desk.bill_again(to_wire("invoice", line["invoice_id"])))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CHARGE_NOT_CORRECTABLE")
    assert (await billing.count("charge"), sale.status) == (1, (await chain.sale(sale.id)).status)


async def test_a_visit_that_is_to_be_billed_again_is_drawn_from_a_package_instead_and_put_back(
    billing: Billing, desk: Invoicing
) -> None:
    chain = await Packages(billing).open()
    course, wrong = await billed(billing, 1)
    sale = await chain.sold(ONE_INFUSION, price=500, paid=0, redeemable_unpaid=True)
    visit_id, [entitlement] = course.visits[1].visit_id, await chain.held()
    assert (await refusal(chain.redeem(visit_id, entitlement.id))).reason == "VISIT_NOT_REDEEMABLE"
    [charge] = await desk.bill_again(wrong.id)
    redemption = await chain.redeem(visit_id, entitlement.id)
    assert cents((await desk.explain(charge.id)).net) == 0
    assert (await refusal(billing.issue(course))).reason == "INVOICE_EMPTY"
    account = await billing.course_account(course)
    assert (account.visits[1].status, cents(account.charged)) == (BILLING_STATUS_REDEEMED, 0)
    await chain.undo(redemption.id)
    again = await billing.issue(course)
    assert ([line.charge_id for line in again.lines], dollars(again.total)) == ([charge.id], 590)
    assert [each.remaining_count for each in await chain.held()] == [1]
    assert (await chain.sale(sale.id)).status == sale.status


async def test_the_guard_counts_what_is_billed_again_once(billing: Billing, desk: Invoicing) -> None:
    course, wrong = await billed(billing, 1)
    await desk.bill_again(wrong.id)
    found = await coverage(billing, course)
    [line] = [each for each in found.lines if each.visit_type_code == "infusion"]
    assert (dollars(found.guard.billed), line.count, dollars(line.amount)) == (0, 2, 1180)
    await billing.issue(course)
    found = await coverage(billing, course)
    [line] = [each for each in found.lines if each.visit_type_code == "infusion"]
    assert (dollars(found.guard.billed), line.count, dollars(line.amount)) == (590, 2, 1180)


async def test_corrections_of_what_is_billed_again_count_no_more(billing: Billing, desk: Invoicing) -> None:
    course = await billing.book([INFUSION])
    await billing.complete(course)
    [charge] = await desk.visit_charges(course)
    await desk.correct(charge, -90)
    [again] = await desk.bill_again((await billing.issue(course)).id)
    assert (dollars(again.amount), dollars((await billing.course_account(course)).charged)) == (500, 500)


async def test_a_visit_of_a_void_invoice_is_not_billed(billing: Billing) -> None:
    """By how many visits a provider bills, another may take over what was estimated of it."""
    course, wrong = await billed(billing, 1)
    await Invoicing(billing).bill_again(wrong.id)
    await billing.issue(course)
    items = await billing.svc.db.job(
        billing.svc.inside("Test"),
        BillingStore,
        lambda store: store.billed_for_course(from_wire("course", course.id)),
    )
    assert [(item.count, item.minor) for item in items] == [(1, 59_000)]


async def test_charges_of_a_merged_patient_are_the_survivors(billing: Billing, desk: Invoicing) -> None:
    alias = await billing.register_patient()
    course, wrong = await billed(billing, 1, patient_id=alias)
    await billing.svc.deliver(PatientMerged(patient_id=billing.patient_id, merged_patient_id=alias), version=1)
    [charge] = await desk.bill_again(wrong.id)
    assert charge.patient_id == billing.patient_id
    assert (await billing.issue(course)).patient_id == billing.patient_id


async def test_an_invoice_of_two_void_ones_names_both(billing: Billing, desk: Invoicing) -> None:
    (_, one), (_, two) = [await billed(billing, 1) for _ in range(2)]
    charges = [*await desk.bill_again(one.id), *await desk.bill_again(two.id)]
    assert {each.kind for each in charges} == {CHARGE_KIND_VISIT}
    again = await desk.issue(*(each.id for each in charges))
    assert list(again.replaces_invoice_ids) == [one.id, two.id]


async def test_who_may_not_void_bills_nothing_again(billing: Billing, desk: Invoicing) -> None:
    _, wrong = await billed(billing, 1)
    refused = await refusal(desk.bill_again(wrong.id, token=billing.at(billing.site_id, "ROLE_FRONT_DESK")))
    assert refused.code == StatusCode.PERMISSION_DENIED
    elsewhere = billing.at(await billing.register_site())
    assert (await refusal(desk.bill_again(wrong.id, token=elsewhere))).reason == "INVOICE_NOT_FOUND"
    assert await billing.count("charge") == 1
