"""Drafts, chosen charges, discounts and taxes: what goes on an invoice, and how it stands."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.billing.v1 import charge_pb2, tax_service_pb2
from atoll.billing.v1 import invoice_service_pb2 as pb
from atoll.patients.v1.events_pb2 import PatientMerged
from chassis.errors import TryAgain
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_date
from services.billing.store import BillingStore
from services.billing.use_cases import invoices
from tests.support.billing import FIRST_VISIT, TODAY, Billing, BookedCourse, dollars, open_billing, open_chain, usd
from tests.support.invoicing import Invoicing, cents, sell_salve
from tests.support.service import NOW, Running, refusal

DISCOUNT = {"reason": pb.DISCOUNT_REASON_HARDSHIP}


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    """With prices: 300 for an assessment, 590 for an infusion."""
    billing = await open_chain(service)
    await billing.price(effective=TODAY - timedelta(days=1))
    return billing


@pytest_asyncio.fixture
async def desk(billing: Billing) -> Invoicing:
    return Invoicing(billing)


async def treated(billing: Billing, *numbers: int, **changes: Any) -> BookedCourse:
    course = await billing.book(**changes)
    await billing.complete(course, *numbers)
    return course


def amounts(invoice: pb.Invoice) -> tuple[int, int, int, int]:
    """Subtotal, discount, tax and total, in cents."""
    discount = cents(invoice.discount.amount) if invoice.HasField("discount") else 0
    return cents(invoice.subtotal), discount, cents(invoice.tax), cents(invoice.total)


async def test_an_invoice_takes_the_charges_that_are_chosen(billing: Billing, desk: Invoicing) -> None:
    course = await treated(billing)
    first, second, third = await desk.visit_charges(course)
    invoice = await desk.issue(third, first)
    assert [(line.charge_id, dollars(line.total)) for line in invoice.lines] == [(first, 300), (third, 590)]
    assert (invoice.number, invoice.display_number, invoice.course_id) == (1, "1", course.id)
    assert (invoice.status, invoice.due_date) == (pb.INVOICE_STATUS_ISSUED, to_date(TODAY))
    assert await desk.invoice(invoice.id) == invoice
    assert [each.id for each in (await billing.issue(course)).charges] == [second]
    await billing.books_agree()


async def test_charges_of_two_courses_make_an_invoice_of_none(billing: Billing, desk: Invoicing) -> None:
    courses = [await treated(billing, 1), await treated(billing, 1)]
    ids = [id for course in courses for id in await desk.visit_charges(course)]
    invoice = await desk.issue(*ids)
    assert (invoice.course_id, cents(invoice.total), len(invoice.lines)) == ("", 118_000, 2)
    assert (await billing.last_fact("invoice.issued")).course_id == ""
    await billing.pay(1180)
    assert (await desk.invoice(invoice.id)).status == pb.INVOICE_STATUS_PAID


async def test_what_cannot_go_on_one_invoice_is_refused_with_its_reason(billing: Billing, desk: Invoicing) -> None:
    elsewhere = await billing.register_site()
    await billing.price(site_id=elsewhere)
    [here] = await desk.visit_charges(await treated(billing, 1))
    [there] = await desk.visit_charges(await treated(billing, 1, site_id=elsewhere))
    [of_somebody] = await desk.visit_charges(await treated(billing, 1, patient_id=await billing.register_patient()))
    [invoiced] = await desk.visit_charges(course := await treated(billing, 1))
    await billing.issue(course)
    unknown = to_wire("charge", new_id())
    for ids, reason, fields in (
        ((here, there), "CHARGES_OF_TWO_SITES", ["charge_ids[1]"]),
        ((here, of_somebody), "CHARGES_OF_TWO_PATIENTS", ["charge_ids[1]"]),
        ((here, invoiced), "CHARGE_INVOICED", ["charge_ids[1]"]),
        ((here, unknown), "CHARGE_NOT_FOUND", ["charge_ids[1]"]),
        ((unknown,), "CHARGE_NOT_FOUND", ["charge_ids[0]"]),
    ):
        for change in (desk.issue, desk.draft):
            refused = await refusal(change(*ids))
            assert (refused.reason, [field for field, _ in refused.faults]) == (reason, fields)
    for request in ({}, {"course_id": course.id, "charge_ids": [here]}, {"etag": '"1"', "charge_ids": [here]}):
        refused = await refusal(billing.svc.call(desk.invoices.IssueInvoice, _issue(**request)))
        assert refused.reason == "BAD_REQUEST"
    assert (await billing.count("invoice"), await billing.count("invoice_draft")) == (1, 0)
    assert (await desk.issue(here)).number == 2


def _issue(**request: Any) -> pb.IssueInvoiceRequest:
    return pb.IssueInvoiceRequest(request_id=str(uuid4()), **request)


async def test_charges_under_both_ids_of_a_merged_patient_go_on_one_invoice(billing: Billing, desk: Invoicing) -> None:
    other = await billing.register_patient()
    ids = [
        id
        for course in (await treated(billing, 1), await treated(billing, 1, patient_id=other))
        for id in await desk.visit_charges(course)
    ]
    assert (await refusal(desk.issue(*ids))).reason == "CHARGES_OF_TWO_PATIENTS"
    merged = PatientMerged(patient_id=billing.patient_id, merged_patient_id=other)
    await billing.svc.deliver(merged, version=1)
    invoice = await desk.issue(*ids)
    assert (invoice.patient_id, cents(invoice.total)) == (billing.patient_id, 118_000)


async def test_two_invoices_of_one_charge_at_once_bill_it_once(billing: Billing, desk: Invoicing) -> None:
    """The second waits for the first, and then finds the charge gone."""
    [charge] = await desk.visit_charges(await treated(billing, 1))
    ids = [from_wire("charge", charge)]
    async with billing.held_open(_issue(charge_ids=[charge]), lambda store: invoices.invoice_charges(store, ids)):
        second = asyncio.create_task(refusal(desk.issue(charge)))
        await billing.someone_waits("advisory")
    assert (await second).reason == "CHARGE_INVOICED"
    assert await billing.count("invoice") == 1


async def test_numbers_have_no_gap_whatever_fails_in_between(billing: Billing, desk: Invoicing) -> None:
    """Two hundred at once, of as many patients; every fourth is rolled back after it has its number. Whoever waited too
    long for one sends the request again, as clients do."""
    [charge] = await desk.visit_charges(await treated(billing, 1))
    ids = await products(billing, charge, 200)

    async def issue(n: int, id: UUID) -> int | None:
        request = _issue(charge_ids=[to_wire("charge", id)])

        async def work(store: BillingStore) -> pb.IssueInvoiceResponse:
            invoice = await invoices.invoice_charges(store, [id])
            if n % 4 == 0:
                raise RuntimeError("as if the server had been killed")
            return pb.IssueInvoiceResponse(invoice=pb.Invoice(number=invoice.number))

        inside = billing.svc.inside("IssueInvoice", request.request_id)
        for _ in range(100):
            try:
                answer = await billing.svc.db.once(inside, request, pb.IssueInvoiceResponse, BillingStore, work)
            except RuntimeError:
                return None
            except TryAgain:
                continue
            return answer.invoice.number
        raise AssertionError("it waits for ever")

    numbers = await asyncio.gather(*(issue(n, id) for n, id in enumerate(ids)))
    assert sorted(number for number in numbers if number) == list(range(1, 151))
    rows = await billing.fetch("SELECT number FROM invoice ORDER BY number")
    assert [row["number"] for row in rows] == list(range(1, 151))


async def products(billing: Billing, like: str, count: int) -> list[UUID]:
    """Charges of as many patients, made as rows: what posts them is another test's."""
    ids = [new_id() for _ in range(count)]
    columns = (
        "chain_id, site_id, service_date, visit_type_code, route_code, band_code, item_code, description, quantity, "
        "currency, amount_minor, price_book_version, posted_at"
    )
    await billing.fetch(
        f"INSERT INTO charge (id, patient_id, kind, {columns}) "
        f"SELECT made.id, made.id, 4, {columns} FROM charge, unnest($1::uuid[]) AS made (id) WHERE charge.id = $2",
        ids,
        from_wire("charge", like),
    )
    return ids


async def test_a_draft_shows_what_it_would_become_and_becomes_it(billing: Billing, desk: Invoicing) -> None:
    course = await treated(billing)
    ids = await desk.visit_charges(course)
    draft = await desk.draft(
        course_id=course.id, discount=DISCOUNT | {"amount": usd(100)}, due_date=to_date(date(2027, 4, 1)), note="Thanks"
    )
    assert (list(draft.charge_ids), draft.course_id, draft.site_id) == (ids, course.id, billing.site_id)
    assert amounts(draft.invoice) == (148_000, 10_000, 0, 138_000)
    assert (draft.invoice.number, draft.invoice.id, await billing.count("invoice")) == (0, "", 0)
    assert [cents(line.discount) for line in draft.invoice.lines] == [2_027, 3_987, 3_986]

    kept = await desk.update(draft, charge_ids=ids[1:], note="")
    assert (kept.etag, kept.note, kept.HasField("discount")) == ('"2"', "", False)
    got = await billing.svc.call(desk.invoices.GetInvoiceDraft, pb.GetInvoiceDraftRequest(invoice_draft_id=draft.id))
    assert got.invoice_draft == kept
    invoice = await desk.issue_draft(kept)
    assert (amounts(invoice), invoice.number) == ((118_000, 0, 0, 118_000), 1)
    assert [each.id for each in invoice.charges] == ids[1:]
    await billing.books_agree()


async def test_an_invoice_never_changes(billing: Billing, desk: Invoicing) -> None:
    draft = await desk.draft(course_id=(await treated(billing, 1)).id)
    await desk.issue_draft(draft)
    for change in (desk.update(draft), desk.delete(draft), desk.issue_draft(draft)):
        refused = await refusal(change)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "INVOICE_ISSUED")
    listing = pb.ListInvoiceDraftsRequest(site_id=billing.site_id)
    assert list((await billing.svc.call(desk.invoices.ListInvoiceDrafts, listing)).invoice_drafts) == []
    got = await billing.svc.call(desk.invoices.GetInvoiceDraft, pb.GetInvoiceDraftRequest(invoice_draft_id=draft.id))
    assert not got.invoice_draft.HasField("invoice")
    assert await billing.count("invoice") == 1


async def test_a_draft_that_changed_meanwhile_is_read_again_first(billing: Billing, desk: Invoicing) -> None:
    old = await desk.draft(course_id=(await treated(billing)).id)
    new = await desk.update(old)
    for change in (desk.update(old), desk.delete(old), desk.issue_draft(old), desk.update(new, etag="nonsense")):
        refused = await refusal(change)
        assert (refused.code, refused.reason) == (StatusCode.ABORTED, "STALE_ETAG")
    assert await billing.count("invoice") == 0
    await desk.delete(new)
    assert (await refusal(desk.issue_draft(new))).reason == "INVOICE_DRAFT_NOT_FOUND"


async def test_a_draft_of_less_than_its_discount_can_still_be_read_and_mended(
    billing: Billing, desk: Invoicing
) -> None:
    course = await treated(billing, 1)
    [own] = await desk.visit_charges(course)
    draft = await desk.draft(course_id=course.id, discount=DISCOUNT | {"amount": usd(100)})
    await desk.correct(own, -550)
    reading = pb.GetInvoiceDraftRequest(invoice_draft_id=draft.id)
    read = (await billing.svc.call(billing.invoices.GetInvoiceDraft, reading)).invoice_draft
    assert (read.etag, read.HasField("invoice")) == (draft.etag, False)
    assert (await refusal(desk.issue_draft(read))).reason == "DISCOUNT_TOO_LARGE"
    mended = await desk.update(read, discount=DISCOUNT | {"amount": usd(10)})
    assert dollars((await desk.issue_draft(mended)).total) == 30


async def test_a_draft_stays_its_patients_at_its_site(billing: Billing, desk: Invoicing) -> None:
    draft = await desk.draft(course_id=(await treated(billing, 1)).id)
    elsewhere = await billing.register_site()
    await billing.price(site_id=elsewhere)
    there = await desk.visit_charges(await treated(billing, 1, site_id=elsewhere))
    of_somebody = await desk.visit_charges(await treated(billing, 1, patient_id=await billing.register_patient()))
    for ids, reason in ((there, "CHARGES_OF_TWO_SITES"), (of_somebody, "CHARGES_OF_TWO_PATIENTS")):
        refused = await refusal(desk.update(draft, charge_ids=ids))
        assert (refused.reason, refused.faults) == (reason, [("charge_ids[0]", reason)])
    empty = await refusal(desk.draft(course_id=(await billing.book()).id))
    assert (empty.code, empty.reason) == (StatusCode.FAILED_PRECONDITION, "INVOICE_EMPTY")


@pytest.mark.parametrize(
    ("amount", "reason"), [(590.01, "DISCOUNT_TOO_LARGE"), (0, "AMOUNT_OUT_OF_RANGE"), (-1, "AMOUNT_OUT_OF_RANGE")]
)
async def test_a_discount_is_above_zero_and_no_more_than_it_is_taken_from(
    billing: Billing, desk: Invoicing, amount: float, reason: str
) -> None:
    course = await treated(billing, 1)
    refused = await refusal(desk.draft(course_id=course.id, discount=DISCOUNT | {"amount": usd(amount)}))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, reason)
    assert [field for field, _ in refused.faults] == ["discount.amount"]
    assert await billing.count("invoice_draft") == 0
    whole = await desk.draft(course_id=course.id, discount=DISCOUNT | {"amount": usd(590)})
    assert amounts(await desk.issue_draft(whole)) == (59_000, 59_000, 0, 0)
    assert (await billing.fact_names())[-2:] == ["invoice.issued", "invoice.paid"]


async def test_the_front_desk_reads_drafts_and_changes_none(billing: Billing, desk: Invoicing) -> None:
    course = await treated(billing, 1)
    draft = await desk.draft(course_id=course.id, token=billing.at(billing.site_id))
    token, elsewhere = billing.at(billing.site_id, "ROLE_FRONT_DESK"), billing.at(await billing.register_site())
    for change in (desk.draft(course_id=course.id, token=token), desk.update(draft, token), desk.delete(draft, token)):
        assert (await refusal(change)).code == StatusCode.PERMISSION_DENIED
    get = pb.GetInvoiceDraftRequest(invoice_draft_id=draft.id)
    assert (await billing.svc.call(desk.invoices.GetInvoiceDraft, get, token)).invoice_draft.id == draft.id
    for stranger in (elsewhere, billing.svc.token(chain_id=new_id())):
        refused = await refusal(billing.svc.call(desk.invoices.GetInvoiceDraft, get, stranger))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "INVOICE_DRAFT_NOT_FOUND")
        asked: tuple[Awaitable[object], ...] = (
            desk.update(draft, stranger),
            desk.delete(draft, stranger),
            desk.issue_draft(draft, stranger),
        )
        for attempt in asked:
            assert (await refusal(attempt)).reason == "INVOICE_DRAFT_NOT_FOUND"
    assert (await desk.issue_draft(draft)).number == 1


async def test_changes_of_drafts_that_are_sent_again_are_made_once(billing: Billing, desk: Invoicing) -> None:
    course = await treated(billing, 1)
    create = pb.CreateInvoiceDraftRequest(request_id=str(uuid4()), course_id=course.id)
    answers = [await billing.svc.call(desk.invoices.CreateInvoiceDraft, create) for _ in range(2)]
    assert answers[0] == answers[1]
    assert await billing.count("invoice_draft") == 1
    draft = answers[0].invoice_draft
    issue = _issue(invoice_draft_id=draft.id, etag=draft.etag)
    issued = [await billing.svc.call(desk.invoices.IssueInvoice, issue) for _ in range(2)]
    assert issued[0] == issued[1]
    assert await billing.count("invoice") == 1


async def test_drafts_of_a_site_come_in_pages(billing: Billing, desk: Invoicing) -> None:
    [charge] = await desk.visit_charges(await treated(billing, 1))
    made = [(await desk.draft(charge)).id for _ in range(3)]
    request = pb.ListInvoiceDraftsRequest(site_id=billing.site_id, page_size=2)
    page = await billing.svc.call(desk.invoices.ListInvoiceDrafts, request)
    request.page_token = page.next_page_token
    rest = await billing.svc.call(desk.invoices.ListInvoiceDrafts, request)
    assert [each.id for each in (*page.invoice_drafts, *rest.invoice_drafts)] == made[::-1]
    assert rest.next_page_token == ""


async def test_new_mexico_taxes_what_another_state_does_not(billing: Billing, desk: Invoicing) -> None:
    elsewhere = await billing.register_site()
    await billing.price(site_id=elsewhere)
    await desk.tax()
    taxed = await billing.issue(await treated(billing))
    assert amounts(taxed) == (148_000, 0, 11_285, 159_285)
    assert [cents(line.tax) for line in taxed.lines] == [2_287, 4_499, 4_499]
    [tax] = taxed.taxes
    assert (tax.name, tax.rate_ppm, tax.included) == ("Gross receipts tax", 76_250, False)
    assert (cents(tax.base), cents(tax.amount)) == (148_000, 11_285)
    untaxed = await billing.issue(await treated(billing, 1, site_id=elsewhere))
    assert (amounts(untaxed), len(untaxed.taxes)) == ((59_000, 0, 0, 59_000), 0)
    assert await billing.trial_balance() == {
        "ACCOUNTS_RECEIVABLE": (2182.85, 0),
        "REVENUE": (0, 2070),
        "TAX_PAYABLE": (0, 112.85),
    }
    await billing.books_agree()


async def test_tax_is_reckoned_from_what_a_discount_leaves(billing: Billing, desk: Invoicing) -> None:
    await desk.tax()
    draft = await desk.draft(course_id=(await treated(billing, 1)).id, discount=DISCOUNT | {"amount": usd(90)})
    assert amounts(await desk.issue_draft(draft)) == (59_000, 9_000, 3_813, 53_813)
    assert await billing.trial_balance() == {
        "ACCOUNTS_RECEIVABLE": (590, 51.87),
        "REVENUE": (0, 590),
        "DISCOUNTS": (90, 0),
        "TAX_PAYABLE": (0, 38.13),
    }
    await billing.books_agree()


async def test_a_price_may_include_its_tax(billing: Billing, desk: Invoicing) -> None:
    await desk.tax(included=True)
    invoice = await billing.issue(await treated(billing, 1))
    assert amounts(invoice) == (59_000, 0, 0, 59_000)
    assert [(cents(each.amount), each.included) for each in invoice.taxes] == [(4_180, True)]
    assert cents(invoice.lines[0].included_tax) == 4_180
    assert (await billing.trial_balance())["TAX_PAYABLE"] == (0, 41.8)
    await billing.books_agree()


async def test_a_tax_falls_on_the_kinds_and_products_that_its_rule_names(billing: Billing, desk: Invoicing) -> None:
    await sell_salve(billing)
    await desk.tax(kinds=[charge_pb2.CHARGE_KIND_PRODUCT], product_codes=["salve"])
    await desk.tax(10_000, name="Of lotions", kinds=[charge_pb2.CHARGE_KIND_PRODUCT], product_codes=["lotion"])
    [visit] = await desk.visit_charges(await treated(billing, 1))
    invoice = await desk.issue(visit, (await desk.product(3)).id)
    assert {line.item_code: cents(line.tax) for line in invoice.lines} == {"infusion": 0, "salve": 457}
    assert [each.name for each in invoice.taxes] == ["Gross receipts tax"]


async def test_a_rate_changes_by_the_day_of_service(billing: Billing, desk: Invoicing) -> None:
    """The second visit is a week after the first, and the new rate begins between them."""
    first = FIRST_VISIT.astimezone(ZoneInfo("America/Denver")).date()
    old = await desk.tax(50_000)
    new = await desk.tax(100_000, effective=first + timedelta(days=7))
    listed = await billing.svc.call(
        desk.taxes.ListTaxRules, tax_service_pb2.ListTaxRulesRequest(site_id=billing.site_id)
    )
    assert [(each.id, each.etag) for each in listed.tax_rules] == [(new.id, '"1"'), (old.id, '"2"')]
    assert listed.tax_rules[1].end_date == to_date(first + timedelta(days=6))
    invoice = await billing.issue(await treated(billing, 0, 1))
    assert [cents(line.tax) for line in invoice.lines] == [1_500, 5_900]
    assert sorted(each.rate_ppm for each in invoice.taxes) == [50_000, 100_000]


async def test_a_tax_that_ended_is_charged_no_more(billing: Billing, desk: Invoicing) -> None:
    rule = await desk.tax()
    request = tax_service_pb2.EndTaxRuleRequest(
        request_id=str(uuid4()), tax_rule_id=rule.id, etag=rule.etag, end_date=to_date(TODAY)
    )
    ended = (await billing.svc.call(desk.taxes.EndTaxRule, request)).tax_rule
    assert (ended.end_date, ended.etag) == (to_date(TODAY), '"2"')
    assert cents((await billing.issue(await treated(billing, 1))).tax) == 0
    for changes, reason in (
        ({"etag": rule.etag}, "STALE_ETAG"),
        ({"etag": ended.etag, "end_date": to_date(TODAY + timedelta(days=1))}, "TAX_RULE_DATES"),
        ({"etag": ended.etag, "end_date": to_date(TODAY - timedelta(days=1))}, "TAX_RULE_DATES"),
        ({"tax_rule_id": to_wire("taxrule", new_id())}, "TAX_RULE_NOT_FOUND"),
    ):
        again = tax_service_pb2.EndTaxRuleRequest.FromString(request.SerializeToString())
        again.MergeFrom(tax_service_pb2.EndTaxRuleRequest(request_id=str(uuid4()), **changes))
        refused = await refusal(billing.svc.call(desk.taxes.EndTaxRule, again))
        assert refused.reason == reason
        assert reason != "TAX_RULE_DATES" or refused.faults == [("end_date", reason)]


async def test_a_tax_begins_after_the_last_of_its_name(billing: Billing, desk: Invoicing) -> None:
    await desk.tax()
    for effective in (TODAY, TODAY - timedelta(days=1)):
        refused = await refusal(desk.tax(1, effective=effective))
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "TAX_RULE_DATES")
        assert refused.faults == [("effective_date", "TAX_RULE_DATES")]
    assert (await desk.tax(1, name="Another")).rate_ppm == 1
    unknown = await refusal(desk.tax(site_id=to_wire("site", new_id())))
    assert unknown.reason == "NOT_YET_KNOWN"
    assert await billing.count("tax_rule") == 2


async def test_managers_set_taxes_and_billing_reads_them(billing: Billing, desk: Invoicing) -> None:
    manager, clerk = (billing.at(billing.site_id, role) for role in ("ROLE_SITE_MANAGER", "ROLE_BILLING"))
    elsewhere = billing.at(await billing.register_site(), "ROLE_SITE_MANAGER")
    rule = await desk.tax(token=manager)
    end = tax_service_pb2.EndTaxRuleRequest(
        request_id=str(uuid4()), tax_rule_id=rule.id, etag=rule.etag, end_date=to_date(TODAY)
    )
    for refused in (
        desk.tax(token=clerk),
        desk.tax(token=elsewhere),
        billing.svc.call(desk.taxes.EndTaxRule, end, clerk),
    ):
        assert (await refusal(refused)).code == StatusCode.PERMISSION_DENIED
    stranger = billing.svc.token("ROLE_CHAIN_ADMIN", chain_id=new_id())
    for token in (elsewhere, stranger):
        assert (await refusal(billing.svc.call(desk.taxes.EndTaxRule, end, token))).reason == "TAX_RULE_NOT_FOUND"
    listing = tax_service_pb2.ListTaxRulesRequest(site_id=billing.site_id)
    assert list((await billing.svc.call(desk.taxes.ListTaxRules, listing, clerk)).tax_rules) == [rule]
    assert list((await billing.svc.call(desk.taxes.ListTaxRules, listing, stranger)).tax_rules) == []


async def test_invoices_are_listed_by_how_they_stand(billing: Billing, desk: Invoicing) -> None:
    issued, part_paid, paid, void = [await billing.issue(await treated(billing, 1)) for _ in range(4)]
    await billing.pay(590, invoice_id=paid.id)
    await billing.pay(1, invoice_id=part_paid.id)
    await desk.void(void.id)
    site = {"site_id": billing.site_id}
    for status, invoice in (
        (pb.INVOICE_STATUS_ISSUED, issued),
        (pb.INVOICE_STATUS_PART_PAID, part_paid),
        (pb.INVOICE_STATUS_PAID, paid),
        (pb.INVOICE_STATUS_VOID, void),
    ):
        assert await desk.listed(**site, status=status) == [invoice.id]
        assert (await desk.invoice(invoice.id)).status == status
    assert len(await desk.listed(**site)) == 4
    more = [await billing.issue(await treated(billing, 1)) for _ in range(2)]
    first = pb.ListInvoicesRequest(site_id=billing.site_id, status=pb.INVOICE_STATUS_ISSUED, page_size=2)
    page = await billing.svc.call(desk.invoices.ListInvoices, first)
    first.page_token = page.next_page_token
    rest = await billing.svc.call(desk.invoices.ListInvoices, first)
    assert [each.id for each in (*page.invoices, *rest.invoices)] == [more[1].id, more[0].id, issued.id]
    senseless: list[dict[str, Any]] = [
        {**site, "status": 1, "overdue": True},
        {"patient_id": billing.patient_id, "status": 1},
    ]
    for request in senseless:
        assert (await refusal(desk.listed(**request))).reason == "BAD_REQUEST"
    stranger = billing.at(await billing.register_site())
    assert (await refusal(desk.listed(stranger, **site, status=1))).code == StatusCode.PERMISSION_DENIED
    assert await desk.listed(billing.svc.token(chain_id=new_id()), **site, status=1) == []


async def test_an_invoice_is_overdue_from_the_day_after_it_is_due_in_the_sites_zone(
    billing: Billing, desk: Invoicing
) -> None:
    """The clocks of Denver change between its issue and the day on which it is due."""
    due = date(2027, 3, 15)
    course = await treated(billing)
    late = [
        await desk.issue_draft(await desk.draft(id, due_date=to_date(due))) for id in await desk.visit_charges(course)
    ]
    await billing.pay(590, invoice_id=late[1].id)
    later = await desk.issue_draft(
        await desk.draft(course_id=(await treated(billing, 1)).id, due_date=to_date(due - timedelta(days=1)))
    )
    midnight = datetime(2027, 3, 16, tzinfo=ZoneInfo("America/Denver"))
    billing.svc.clock.now = midnight - timedelta(seconds=1)
    assert await desk.listed(site_id=billing.site_id, overdue=True) == [later.id]
    billing.svc.clock.now = midnight
    assert await desk.listed(site_id=billing.site_id, overdue=True) == [later.id, late[0].id, late[2].id]
    first = pb.ListInvoicesRequest(site_id=billing.site_id, overdue=True, page_size=2)
    page = await billing.svc.call(desk.invoices.ListInvoices, first)
    first.page_token = page.next_page_token
    rest = await billing.svc.call(desk.invoices.ListInvoices, first)
    assert [each.id for each in rest.invoices] == [late[2].id]


async def test_an_account_tells_which_invoice_is_due_first(billing: Billing, desk: Invoicing) -> None:
    """Under any id of the patient, of those of which anything is left."""
    assert not (await billing.account()).HasField("next_due")
    course = await treated(billing)
    ids, days = await desk.visit_charges(course), (date(2027, 3, 20), date(2027, 3, 14), date(2027, 4, 1))
    later, first, last = [
        await desk.issue_draft(await desk.draft(id, due_date=to_date(day))) for id, day in zip(ids, days, strict=True)
    ]
    old = await billing.register_patient()
    other = await treated(billing, 0, patient_id=old)
    [charge_id] = await desk.visit_charges(other)
    theirs = await desk.issue_draft(await desk.draft(charge_id, due_date=to_date(date(2027, 3, 13))))

    async def due(token: str | None = None) -> tuple[str, Any, float | None]:
        found = (await billing.account(token=token)).next_due
        return found.invoice_id, found.due_date, dollars(found.left)

    assert await due() == (first.id, to_date(days[1]), dollars(first.total))
    await billing.pay(1, invoice_id=first.id)
    assert (await due())[2] == (dollars(first.total) or 0) - 1
    await billing.pay((dollars(first.total) or 0) - 1, invoice_id=first.id)
    assert (await due())[0] == later.id
    elsewhere = billing.at(await billing.register_site())
    assert not (await billing.account(token=elsewhere)).HasField("next_due")
    await billing.svc.deliver(PatientMerged(patient_id=billing.patient_id, merged_patient_id=old), version=1)
    assert (await due())[0] == theirs.id
    for invoice in (theirs, later, last):
        await billing.pay(dollars(invoice.total) or 0, invoice_id=invoice.id)
    assert not (await billing.account()).HasField("next_due")


async def test_an_invoice_is_never_due_before_it_is_issued(billing: Billing, desk: Invoicing) -> None:
    course = await treated(billing, 1)
    refused = await refusal(desk.draft(course_id=course.id, due_date=to_date(TODAY - timedelta(days=1))))
    assert (refused.reason, refused.faults) == ("DUE_DATE_IN_PAST", [("due_date", "DUE_DATE_IN_PAST")])
    draft = await desk.draft(course_id=course.id, due_date=to_date(TODAY))
    billing.svc.clock.now = NOW + timedelta(days=2)
    assert (await desk.issue_draft(draft)).due_date == to_date(TODAY + timedelta(days=2))


async def test_lines_show_the_codes_of_their_day_of_service(billing: Billing, desk: Invoicing) -> None:
    """As they were when it was issued: a table that is loaded later changes no invoice."""
    day = FIRST_VISIT.date()
    for route, band, code, since, until in (
        ("", "", "96365", date(2020, 1, 1), None),
        ("iv", "", "J3490", date(2020, 1, 1), day + timedelta(days=7)),
        ("iv", "", "J9999", day + timedelta(days=8), None),
        ("im", "", "96372", date(2020, 1, 1), None),
    ):
        await billing.fetch(
            "INSERT INTO service_code VALUES ($1, $2, 'infusion', $3, $4, $5, '{JZ}', 1, $6, $7)",
            *(billing.svc.chain_id, new_id(), route, band, code, since, until),
        )
    invoice = await billing.issue(await treated(billing))
    shown = [[(each.code, each.units, list(each.modifiers)) for each in line.codes] for line in invoice.lines]
    assert shown == [
        [],
        [("96365", 1, ["JZ"]), ("J3490", 1, ["JZ"])],
        [("96365", 1, ["JZ"]), ("J9999", 1, ["JZ"])],
    ]
    await billing.execute("DELETE FROM service_code")
    assert await desk.invoice(invoice.id) == invoice


async def test_an_invoices_note_is_in_no_event(billing: Billing, desk: Invoicing) -> None:
    draft = await desk.draft(course_id=(await treated(billing, 1)).id, note="Dear Ms Unmistakable")
    invoice = await desk.issue_draft(draft)
    assert invoice.note == "Dear Ms Unmistakable"
    assert not any("Unmistakable" in str(event) for _, event in await billing.facts())
    assert await billing.fetch("SELECT FROM audit WHERE ids::text LIKE '%Unmistakable%'") == []
