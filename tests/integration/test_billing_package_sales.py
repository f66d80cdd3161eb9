"""Packages that were sold: what visits take from them, and how they are frozen, handed over, stopped and run out."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from grpc import StatusCode
from grpc.aio import AioRpcError

from atoll.billing.v1 import account_service_pb2 as account_pb
from atoll.billing.v1 import charge_pb2, charge_service_pb2
from atoll.billing.v1 import invoice_service_pb2 as invoice_pb
from atoll.billing.v1 import package_sale_service_pb2 as pb
from atoll.billing.v1 import package_service_pb2 as package_pb
from atoll.billing.v1.charge_service_pb2_grpc import ChargeServiceStub
from atoll.patients.v1.events_pb2 import PatientMerged
from atoll.scheduling.v1.events_pb2 import ProtocolVersionPublished
from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate, VisitType
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_date
from services.billing.jobs import end_due_packages
from services.billing.store import BillingStore
from services.billing.tables import redemption
from services.billing.use_cases import sales
from services.billing.use_cases.packages import retire_package
from tests.support import packages
from tests.support.billing import (
    ASSESSMENT,
    INFUSION,
    THERAPY,
    TODAY,
    BookedCourse,
    dollars,
    open_billing,
    open_chain,
    usd,
)
from tests.support.invoicing import Invoicing, sell_extras
from tests.support.packages import Packages, left
from tests.support.service import NOW, Running, read_refusal, refusal, refusing

DAY = timedelta(days=1)
SIX = ("infusion", "", "", 6)  # For 3,000: 500 a visit, which costs 590 by itself.


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def chain(service: Running) -> Packages:
    return await Packages(await open_chain(service)).open()


async def with_extras(service: Running) -> Packages:
    billing = await open_chain(service)
    await billing.price(effective=TODAY - DAY)
    await sell_extras(billing)
    return await Packages(billing).open()


async def statuses(chain: Packages, course: BookedCourse) -> list[str]:
    visits = (await chain.billing.course_account(course)).visits
    return [account_pb.BillingStatus.Name(visit.status).removeprefix("BILLING_STATUS_") for visit in visits]


async def charged(chain: Packages, course: BookedCourse) -> list[float | None]:
    return [dollars(charge.amount) for charge in (await chain.billing.course_account(course)).charges]


def status(sale: pb.PackageSale) -> str:
    return pb.PackageSaleStatus.Name(sale.status).removeprefix("PACKAGE_SALE_STATUS_")


# Sold


async def test_a_sale_is_owed_and_is_a_liability_until_visits_are_drawn(chain: Packages) -> None:
    package = await chain.offer(SIX, ("assessment", "", "", 1), price=3500)
    sale = await chain.sell(package)
    assert (sale.package_id, sale.package_code, sale.package_version) == (package.id, "six", 1)
    assert (sale.patient_id, sale.holder_patient_id) == (chain.billing.patient_id, chain.billing.patient_id)
    assert (dollars(sale.price), dollars(sale.paid), sale.sale_date, status(sale)) == (3500, 0, to_date(TODAY), "OPEN")
    assert left(sale.entitlements) == [("infusion", 6, 3226.56), ("assessment", 1, 273.44)]  # As 3,540 is to 300.
    last = to_date(date(2028, 2, 29))
    assert [(each.expire_date, each.frozen) for each in sale.entitlements] == [(last, False)] * 2
    assert await chain.sale(sale.id) == sale
    assert await chain.books() == {"ACCOUNTS_RECEIVABLE": 3500, "DEFERRED_REVENUE": -3500}
    sold = await chain.billing.last_fact("package.sold")
    assert (sold.package_sale_id, sold.package_id, sold.patient_id) == (sale.id, package.id, chain.billing.patient_id)
    assert (sold.site_id, dollars(sold.price)) == (chain.billing.site_id, 3500)
    await chain.books_agree()


async def test_a_sale_is_billed_and_paid_like_any_charge_in_parts(chain: Packages) -> None:
    sale = await chain.sell(await chain.offer(SIX, price=3000))
    await chain.billing.pay(100)
    invoice = await chain.invoice(sale)
    assert [(each.kind, each.item_code, dollars(each.amount)) for each in invoice.charges] == [(6, "six", 3000)]
    assert (invoice.course_id, dollars(invoice.total), dollars(invoice.balance)) == ("", 3000, 2900)
    await chain.billing.pay(900, invoice_id=invoice.id)
    assert dollars((await chain.sale(sale.id)).paid) == 1000
    await chain.billing.pay(2000)
    assert dollars((await chain.sale(sale.id)).paid) == 3000
    names = await chain.billing.fact_names()
    assert names[-1] == "invoice.paid"


async def test_of_an_invoice_with_more_on_it_a_package_is_paid_by_its_share(chain: Packages) -> None:
    package = await chain.offer(SIX, price=3000)
    first, second = await chain.sell(package), await chain.sell(package)
    ids = [first.charge_id, second.charge_id]
    request = invoice_pb.IssueInvoiceRequest(request_id=str(uuid4()), charge_ids=ids)
    await chain.svc.call(chain.billing.invoices.IssueInvoice, request)
    await chain.billing.pay(1000)
    assert [dollars((await chain.sale(each.id)).paid) for each in (first, second)] == [500, 500]
    await chain.billing.pay(5000)
    assert [dollars((await chain.sale(each.id)).paid) for each in (first, second)] == [3000, 3000]


async def test_charges_that_do_not_belong_on_one_invoice_are_refused(chain: Packages) -> None:
    package = await chain.offer(SIX, price=3000)
    here, there = await chain.sell(package), await chain.sell(package, site_id=chain.other_site_id)
    theirs = await chain.sell(package, patient_id=await chain.billing.register_patient())
    course = await chain.treat(THERAPY, ASSESSMENT)
    await chain.invoice(theirs)
    wrong = {
        "CHARGES_OF_TWO_SITES": [here.charge_id, there.charge_id],
        "CHARGE_INVOICED": [theirs.charge_id],
        "CHARGE_NOT_FOUND": [here.charge_id, to_wire("charge", new_id())],
    }
    for reason, ids in wrong.items():
        request = invoice_pb.IssueInvoiceRequest(request_id=str(uuid4()), charge_ids=ids)
        assert (await refusal(chain.svc.call(chain.billing.invoices.IssueInvoice, request))).reason == reason
    for fields in ({}, {"charge_ids": [here.charge_id], "course_id": course.id}, {"charge_ids": [here.charge_id] * 2}):
        request = invoice_pb.IssueInvoiceRequest(request_id=str(uuid4()), **fields)
        refused = await refusal(chain.svc.call(chain.billing.invoices.IssueInvoice, request))
        assert refused.reason == "BAD_REQUEST"
    assert await chain.billing.count("invoice") == 1


async def test_what_one_package_of_an_invoice_gives_back_is_not_paid_on_the_other(chain: Packages) -> None:
    package = await chain.offer(SIX, price=3000)
    first, second = await chain.sell(package), await chain.sell(package)
    request = invoice_pb.IssueInvoiceRequest(request_id=str(uuid4()), charge_ids=[first.charge_id, second.charge_id])
    await chain.svc.call(chain.billing.invoices.IssueInvoice, request)
    await chain.billing.pay(1000)
    for sale in (first, second):
        assert dollars((await chain.sale(sale.id)).paid) == 500
        answer = await chain.change("StopPackage", await chain.sale(sale.id), reason="moves away")
        assert amounts(answer.stop) == (0, 0, 2500, 500)
    await chain.billing.books_agree()


async def test_what_is_still_owed_of_a_stopped_package_stays_so(chain: Packages) -> None:
    """In all the patient pays what was drawn."""
    package = await chain.offer(SIX, price=3000)
    first, second = await chain.sell(package), await chain.sell(package)
    issue = invoice_pb.IssueInvoiceRequest(request_id=str(uuid4()), charge_ids=[first.charge_id, second.charge_id])
    invoice = (await chain.svc.call(chain.billing.invoices.IssueInvoice, issue)).invoice
    await chain.billing.pay(1000)
    await chain.treat(INFUSION)
    credit = 0.0
    for sale in (first, second):
        answer = await chain.change("StopPackage", await chain.sale(sale.id), reason="moves away")
        credit += dollars(answer.stop.refundable) or 0
    request = invoice_pb.GetInvoiceRequest(invoice_id=invoice.id)
    owed = dollars((await chain.svc.call(chain.billing.invoices.GetInvoice, request)).invoice.balance) or 0
    assert 1000 - credit + owed == 500  # One infusion of six.
    await chain.billing.books_agree()


async def test_a_discount_is_never_of_a_package(chain: Packages) -> None:
    sale = await chain.sell(await chain.offer(SIX, price=3000))
    draft = invoice_pb.CreateInvoiceDraftRequest(
        request_id=str(uuid4()),
        charge_ids=[sale.charge_id],
        discount=invoice_pb.Discount(amount=usd(100), reason=invoice_pb.DISCOUNT_REASON_GOODWILL),
    )
    refused = await refusal(chain.svc.call(chain.billing.invoices.CreateInvoiceDraft, draft))
    assert refused.reason == "DISCOUNT_TOO_LARGE"


async def test_what_was_sold_to_merged_patients_goes_on_one_invoice(chain: Packages) -> None:
    alias = await chain.billing.register_patient()
    package = await chain.offer(SIX, price=3000)
    sold = [await chain.sell(package, patient_id=alias), await chain.sell(package)]
    request = invoice_pb.IssueInvoiceRequest(request_id=str(uuid4()), charge_ids=[each.charge_id for each in sold])
    assert (
        await refusal(chain.svc.call(chain.billing.invoices.IssueInvoice, request))
    ).reason == "CHARGES_OF_TWO_PATIENTS"
    await chain.svc.deliver(PatientMerged(patient_id=chain.billing.patient_id, merged_patient_id=alias), version=1)
    invoice = (await chain.svc.call(chain.billing.invoices.IssueInvoice, request)).invoice
    assert (invoice.patient_id, dollars(invoice.total)) == (chain.billing.patient_id, 6000)


async def test_a_charge_goes_on_one_invoice_though_two_are_issued_at_once(chain: Packages) -> None:
    sale = await chain.sell(await chain.offer(SIX, price=3000))
    patient_id = from_wire("patient", chain.billing.patient_id)
    async with chain.billing.held_open(chain.billing.payment_request(1), lambda store: store.lock([patient_id])):
        tasks = [asyncio.create_task(chain.invoice(sale)) for _ in range(2)]
        await chain.billing.someone_waits()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    [refused] = [each for each in answers if isinstance(each, AioRpcError)]
    assert read_refusal(refused).reason == "CHARGE_INVOICED"
    assert await chain.billing.count("invoice") == 1


@pytest.mark.parametrize(
    ("price", "items"),
    [
        (4500, (("assessment", "", "", 1), ("infusion", "iv", "", 7), ("prep", "", "", 1), ("integration", "", "", 1))),
        (2800, (("group", "", "", 6),)),
        (4700, (("consult", "", "", 1), ("infusion", "", "", 6), ("therapy", "", "", 9))),
        (6000, (("spravato", "nasal", "", 12),)),
    ],
)
async def test_what_clinics_publish_can_be_sold(chain: Packages, price: float, items: Any) -> None:
    codes = {code for code, *_ in items}
    template = ProtocolTemplate(visit_types=[VisitType(code=code, display_name=code) for code in codes])
    version_id = to_wire("protocolversion", new_id())
    await chain.svc.deliver(ProtocolVersionPublished(protocol_version_id=version_id, version=1, template=template))
    sale = await chain.sell(await chain.offer(*items, price=price))
    assert [each.count for each in sale.entitlements] == [count for *_, count in items]
    assert round(sum(dollars(each.remaining_value) or 0 for each in sale.entitlements), 2) == price
    await chain.books_agree()


async def test_a_site_sells_at_its_own_price_and_only_if_it_has_one(chain: Packages) -> None:
    own = package_pb.PackageTerms.SitePrice(site_id=chain.billing.site_id, price=usd(2900))
    sale = await chain.sell(await chain.offer(SIX, price=None, site_prices=[own]))
    assert dollars(sale.price) == 2900
    refused = await refusal(
        chain.sell(await chain.offer(SIX, price=None, site_prices=[own]), site_id=chain.other_site_id)
    )
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PACKAGE_NOT_SOLD_HERE")
    assert await chain.billing.count("package_sale") == 1


async def test_drafts_and_retired_packages_are_not_sold(chain: Packages) -> None:
    draft = await chain.draft()
    assert (await refusal(chain.sell(draft))).reason == "PACKAGE_NOT_ON_SALE"
    published = await chain.publish(draft)
    request = package_pb.RetirePackageRequest(request_id=str(uuid4()), package_id=draft.id, etag=published.etag)
    await chain.svc.call(chain.offers.RetirePackage, request)
    assert (await refusal(chain.sell(draft))).reason == "PACKAGE_NOT_ON_SALE"
    assert await chain.billing.count("charge") == 0


async def test_a_sale_waits_for_what_it_names(chain: Packages) -> None:
    package = await chain.offer()
    for kind in ("site", "patient"):
        unknown = to_wire(kind, new_id())
        refused = await refusal(chain.sell(package, **{f"{kind}_id": unknown}))
        assert (refused.reason, refused.metadata) == ("NOT_YET_KNOWN", {"waits_for": unknown})
    assert (await refusal(chain.sell(package, package_id=to_wire("package", new_id())))).reason == "PACKAGE_NOT_FOUND"


async def test_a_sale_that_is_sent_again_is_made_once(chain: Packages) -> None:
    package = await chain.offer()
    ids = {"site_id": chain.billing.site_id, "patient_id": chain.billing.patient_id, "package_id": package.id}
    request = pb.SellPackageRequest(request_id=str(uuid4()), **ids)
    answers = [await chain.svc.call(chain.sales.SellPackage, request) for _ in range(2)]
    assert answers[0] == answers[1]
    assert await chain.billing.count("charge") == 1


# Drawn


async def test_a_visit_is_drawn_instead_of_charged(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000)
    course = await chain.treat(INFUSION, ASSESSMENT)
    assert await statuses(chain, course) == ["REDEEMED", "CHARGED"]
    assert await charged(chain, course) == [300]
    [redemption] = await chain.redemptions(sale)
    assert (redemption.visit_id, redemption.course_id) == (course.visits[0].visit_id, course.id)
    assert (redemption.site_id, redemption.service_date) == (chain.billing.site_id, to_date(TODAY))
    assert (dollars(redemption.list_price), dollars(redemption.recognized)) == (590, 500)
    assert left((await chain.sale(sale.id)).entitlements) == [("infusion", 5, 2500)]
    assert await chain.books() == {
        "CASH": 3000,
        "ACCOUNTS_RECEIVABLE": 300,
        "DEFERRED_REVENUE": -2500,
        "REVENUE": -800,
    }
    told = await chain.billing.last_fact("entitlement.redeemed")
    assert (told.redemption_id, told.package_sale_id) == (redemption.id, sale.id)
    assert (told.visit_id, told.course_id, told.remaining_count) == (redemption.visit_id, course.id, 5)
    await chain.books_agree()


async def test_news_of_a_visit_that_comes_twice_takes_one(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000)
    course = await chain.billing.book([INFUSION, INFUSION], first=NOW)
    for n in (1, 0, 1, 0):  # The later visit is heard of first.
        await chain.svc.deliver(chain.billing.completed(course, n))
    assert len(await chain.redemptions(sale)) == 2
    assert left((await chain.sale(sale.id)).entitlements) == [("infusion", 4, 2000)]
    assert await chain.billing.count("charge") == 1  # Of the sale.
    await chain.books_agree()


async def test_the_last_visits_take_all_that_is_left_and_the_next_is_charged(chain: Packages) -> None:
    sale = await chain.sold(("infusion", "", "", 3), price=1000)
    course = await chain.treat(*[INFUSION] * 4)
    assert await statuses(chain, course) == ["REDEEMED"] * 3 + ["CHARGED"]
    values = [dollars(each.recognized) for each in await chain.redemptions(sale)]
    assert sorted(values, key=lambda each: each or 0) == [333.33, 333.33, 333.34]
    assert status(await chain.sale(sale.id)) == "USED"
    assert await chain.held(open_only=True) == []
    assert "DEFERRED_REVENUE" not in await chain.books()
    await chain.books_agree()


async def test_a_visit_before_the_sale_is_charged(chain: Packages) -> None:
    await chain.sold(SIX, price=3000)
    course = await chain.treat(INFUSION, first=NOW - DAY)
    assert await statuses(chain, course) == ["CHARGED"]


async def test_a_visit_where_the_package_is_not_for_is_charged(chain: Packages) -> None:
    await chain.sold(SIX, price=3000, redeem_site_ids=[chain.billing.site_id])
    course = await chain.treat(INFUSION, site_id=chain.other_site_id)
    assert await statuses(chain, course) == ["CHARGED"]


async def test_a_visit_without_a_price_is_drawn_all_the_same(chain: Packages) -> None:
    sale = await chain.sold(("therapy", "", "", 9), price=900)
    course = await chain.treat(THERAPY)
    assert await statuses(chain, course) == ["REDEEMED"]
    [redemption] = await chain.redemptions(sale)
    assert (dollars(redemption.list_price), dollars(redemption.recognized)) == (None, 100)
    listing = charge_service_pb2.ListUnchargedVisitsRequest(site_id=chain.billing.site_id)
    waiting = chain.svc.stub(ChargeServiceStub).ListUnchargedVisits
    assert list((await chain.svc.call(waiting, listing)).visits) == []
    await chain.undo(redemption.id)
    assert len((await chain.svc.call(waiting, listing)).visits) == 1


async def test_a_waiting_visit_goes_to_a_package_sold_meanwhile_and_is_not_priced_after(
    chain: Packages,
) -> None:
    course = await chain.treat(THERAPY)
    await chain.sold(("therapy", "", "", 2), price=200)
    later = (("therapy", "", "", 180, "Therapy"),)
    await chain.billing.price(later, effective=TODAY + DAY)
    assert await statuses(chain, course) == ["REDEEMED"]
    await chain.billing.price(later, effective=TODAY + 2 * DAY)
    assert await charged(chain, course) == []


async def test_visits_are_drawn_as_far_as_the_package_is_paid(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000, paid=1100)
    course = await chain.treat(INFUSION, INFUSION, INFUSION)
    assert await statuses(chain, course) == ["REDEEMED", "REDEEMED", "CHARGED"]
    entitlement_id, visit_id = sale.entitlements[0].id, course.visits[2].visit_id
    refused = await refusal(chain.redeem(visit_id, entitlement_id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PACKAGE_UNPAID")
    assert refused.metadata == {"missing_minor": "40000"}
    redemption = await chain.redeem(visit_id, entitlement_id, unpaid_reason="pays on Friday")
    assert dollars(redemption.recognized) == 500
    assert await statuses(chain, course) == ["REDEEMED"] * 3
    assert await charged(chain, course) == [590, -590]
    assert await chain.books() == {
        "CASH": 1100,
        "ACCOUNTS_RECEIVABLE": 1900,
        "DEFERRED_REVENUE": -1500,
        "REVENUE": -1500,
    }
    await chain.books_agree()


async def test_a_package_may_be_drawn_from_before_it_is_paid_if_its_terms_say_so(chain: Packages) -> None:
    await chain.sell(await chain.offer(SIX, price=3000, redeemable_unpaid=True))
    assert await statuses(chain, await chain.treat(INFUSION)) == ["REDEEMED"]


async def test_a_visit_that_was_charged_is_drawn_once_it_is_paid(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000, paid=0)
    course = await chain.treat(INFUSION)
    assert await statuses(chain, course) == ["CHARGED"]
    await chain.billing.pay(3000)
    await chain.redeem(course.visits[0].visit_id, sale.entitlements[0].id)
    assert await statuses(chain, course) == ["REDEEMED"]


async def test_staff_draws_no_visit_twice_and_none_that_is_billed(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000, paid=0)
    course = await chain.treat(INFUSION, INFUSION)
    await chain.billing.pay(3000)
    entitlement_id = sale.entitlements[0].id
    await chain.redeem(course.visits[0].visit_id, entitlement_id)
    refused = await refusal(chain.redeem(course.visits[0].visit_id, entitlement_id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "VISIT_NOT_REDEEMABLE")
    await chain.billing.issue(course)
    assert (await refusal(chain.redeem(course.visits[1].visit_id, entitlement_id))).reason == "VISIT_NOT_REDEEMABLE"
    assert await chain.billing.count("redemption") == 1


async def test_staff_draws_only_what_is_there_and_covers_the_visit(chain: Packages) -> None:
    package = await chain.offer(SIX, ("therapy", "", "", 1), price=3000, redeem_site_ids=[chain.billing.site_id])
    other_patient = await chain.billing.register_patient()
    theirs = await chain.sell(package, patient_id=other_patient)
    course = await chain.treat(INFUSION)
    there = await chain.treat(INFUSION, site_id=chain.other_site_id)
    sale = await chain.sell(package)
    infusion, therapy = sale.entitlements
    visit_id = course.visits[0].visit_id
    for attempt in (
        chain.redeem(visit_id, to_wire("entitlement", new_id())),
        chain.redeem(visit_id, theirs.entitlements[0].id),
        chain.redeem(visit_id, therapy.id),
        chain.redeem(there.visits[0].visit_id, infusion.id),
    ):
        refused = await refusal(attempt)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "ENTITLEMENT_MISSING")
    unknown = to_wire("visit", new_id())
    assert (await refusal(chain.redeem(unknown, infusion.id))).metadata == {"waits_for": unknown}
    assert await chain.billing.count("redemption") == 0


async def test_nothing_is_drawn_beyond_the_number(chain: Packages) -> None:
    course = await chain.treat(INFUSION, INFUSION)
    sale = await chain.sold(("infusion", "", "", 1), price=500)
    await chain.redeem(course.visits[0].visit_id, sale.entitlements[0].id)
    refused = await refusal(chain.redeem(course.visits[1].visit_id, sale.entitlements[0].id))
    assert refused.reason == "ENTITLEMENT_MISSING"
    assert left((await chain.sale(sale.id)).entitlements) == [("infusion", 0, 0)]


# Undone


async def test_a_redemption_that_is_undone_is_charged_and_back_in_the_package(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000)
    course = await chain.treat(INFUSION)
    [redemption] = await chain.redemptions(sale)
    undone = await chain.undo(redemption.id)
    assert undone.HasField("undo_time")
    assert await chain.redemptions(sale) == [undone]
    assert await statuses(chain, course) == ["CHARGED"]
    assert left((await chain.sale(sale.id)).entitlements) == [("infusion", 6, 3000)]
    assert await chain.books() == {
        "CASH": 3000,
        "ACCOUNTS_RECEIVABLE": 590,
        "DEFERRED_REVENUE": -3000,
        "REVENUE": -590,
    }
    restored = await chain.billing.last_fact("entitlement.restored")
    assert (restored.redemption_id, restored.remaining_count) == (redemption.id, 6)
    assert (await refusal(chain.undo(redemption.id))).reason == "REDEMPTION_NOT_FOUND"
    assert (await refusal(chain.undo(to_wire("redemption", new_id())))).code == StatusCode.NOT_FOUND
    await chain.books_agree()


async def test_drawn_undone_and_drawn_again_a_visit_has_one_charge_and_its_corrections(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000)
    course = await chain.treat(INFUSION)
    entitlement_id, visit_id = sale.entitlements[0].id, course.visits[0].visit_id
    [first] = await chain.redemptions(sale)
    await chain.undo(first.id)
    again = await chain.redeem(visit_id, entitlement_id)
    assert (await statuses(chain, course), await charged(chain, course)) == (["REDEEMED"], [590, -590])
    await chain.undo(again.id)
    assert (await statuses(chain, course), await charged(chain, course)) == (["CHARGED"], [590, -590, 590])
    assert dollars((await chain.billing.issue(course)).total) == 590
    await chain.books_agree()


async def test_what_people_corrected_of_a_visit_stays_when_it_is_drawn_and_put_back(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000, paid=0)
    course = await chain.treat(INFUSION)
    await chain.billing.pay(3000)
    desk = Invoicing(chain.billing)
    [own] = await desk.visit_charges(course)
    await desk.correct(own, -90, reason=charge_pb2.CORRECTION_REASON_GOODWILL)
    redemption = await chain.redeem(course.visits[0].visit_id, sale.entitlements[0].id)
    await chain.undo(redemption.id)
    assert await charged(chain, course) == [590, -90, -500, 500]
    for ours in (charge_pb2.CORRECTION_REASON_PACKAGE, charge_pb2.CORRECTION_REASON_WAIVER):
        assert (await refusal(desk.correct(own, -1, reason=ours))).faults == [("reason", "enum.not_in")]
    assert dollars((await chain.billing.issue(course)).total) == 500
    await chain.books_agree()


async def test_what_was_added_to_a_visit_is_no_part_of_what_a_package_draws(service: Running) -> None:
    chain = await with_extras(service)
    sale = await chain.sold(SIX, price=3000)
    course = await chain.treat(INFUSION)
    visit_id = course.visits[0].visit_id
    await Invoicing(chain.billing).product(product_code="music", course_id=course.id, visit_id=visit_id)
    [redemption] = await chain.redemptions(sale)
    await chain.undo(redemption.id)
    assert (await statuses(chain, course), await charged(chain, course)) == (["CHARGED"], [25, 590])
    await chain.redeem(visit_id, sale.entitlements[0].id)
    assert await charged(chain, course) == [25, 590, -590]
    await chain.books_agree()


async def test_a_visit_that_was_billed_at_nothing_is_not_put_back(service: Running) -> None:
    chain = await with_extras(service)
    sale = await chain.sold(SIX, price=3000, paid=0)
    course = await chain.treat(INFUSION)
    await chain.billing.pay(3000)
    desk = Invoicing(chain.billing)
    [own] = await desk.visit_charges(course)
    redemption = await chain.redeem(course.visits[0].visit_id, sale.entitlements[0].id)
    await desk.issue(own, (await desk.product()).id)
    refused = await refusal(chain.undo(redemption.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CHARGE_INVOICED")
    assert left((await chain.sale(sale.id)).entitlements) == [("infusion", 5, 2500)]
    await chain.books_agree()


async def test_undone_where_there_is_no_price_a_visit_waits_for_one(chain: Packages) -> None:
    sale = await chain.sold(("therapy", "", "", 9), price=900)
    course = await chain.treat(THERAPY)
    [redemption] = await chain.redemptions(sale)
    await chain.undo(redemption.id)
    assert await statuses(chain, course) == ["UNPRICED"]


# Frozen


async def test_a_frozen_package_gives_no_visit_and_lasts_longer(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000, valid_days=30, freeze_days=20)
    frozen = (await chain.change("FreezePackage", sale)).package_sale
    assert ([each.frozen for each in frozen.entitlements], frozen.freeze_days_left) == ([True], 20)
    assert await statuses(chain, await chain.treat(INFUSION)) == ["CHARGED"]
    chain.svc.clock.now += 8 * DAY
    thawed = (await chain.change("UnfreezePackage", frozen)).package_sale
    assert ([each.frozen for each in thawed.entitlements], thawed.freeze_days_left) == ([False], 12)
    assert thawed.entitlements[0].expire_date == to_date(TODAY + 38 * DAY)
    assert await chain.sale(sale.id) == thawed
    course = await chain.treat(INFUSION, first=NOW + 38 * DAY)
    assert await statuses(chain, course) == ["REDEEMED"]
    assert await statuses(chain, await chain.treat(INFUSION, first=NOW + 39 * DAY)) == ["CHARGED"]


async def test_what_may_not_be_frozen_is_not(chain: Packages) -> None:
    never = await chain.sold(SIX, price=3000)
    for method in ("FreezePackage", "UnfreezePackage"):
        refused = await refusal(chain.change(method, never))
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PACKAGE_NOT_FREEZABLE")
    sale = await chain.sold(SIX, price=3000, freeze_days=20)
    frozen = (await chain.change("FreezePackage", sale)).package_sale
    assert (await refusal(chain.change("FreezePackage", sale))).reason == "STALE_ETAG"
    assert (await refusal(chain.change("FreezePackage", frozen))).reason == "PACKAGE_FROZEN"
    course = await chain.treat(INFUSION)
    [visit] = course.visits
    for_frozen = frozen.entitlements[0].id
    drawn_from = {each.package_sale_id for each in await chain.redemptions(never)}
    assert drawn_from == {never.id}  # The other one had it.
    [redemption] = await chain.redemptions(never)
    await chain.undo(redemption.id)
    assert (await refusal(chain.redeem(visit.visit_id, for_frozen))).reason == "PACKAGE_FROZEN"


# Handed over


async def test_what_is_left_is_handed_to_another_patient(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000, transferable=True)
    await chain.treat(INFUSION)
    sister = await chain.billing.register_patient()
    current = await chain.sale(sale.id)
    handed = (await chain.change("TransferPackage", current, patient_id=sister, reason="moves away")).package_sale
    assert (handed.patient_id, handed.holder_patient_id) == (chain.billing.patient_id, sister)
    assert await statuses(chain, await chain.treat(INFUSION)) == ["CHARGED"]
    assert await statuses(chain, await chain.treat(INFUSION, patient_id=sister)) == ["REDEEMED"]
    assert await chain.held() == []
    assert left(await chain.held(sister)) == [("infusion", 4, 2000)]
    assert [each.patient_id for each in await chain.redemptions(sale)] == [sister, chain.billing.patient_id]
    [kept] = await chain.billing.fetch("SELECT from_patient_id, patient_id, reason, actor FROM package_transfer")
    ids = from_wire("patient", chain.billing.patient_id), from_wire("patient", sister)
    assert tuple(kept) == (*ids, "moves away", "user")
    assert (await chain.billing.last_fact("package.transferred")).patient_id == sister
    await chain.books_agree()


async def test_no_package_is_handed_to_who_has_it_nor_if_its_terms_forbid_it(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000, transferable=True)
    alias = await chain.billing.register_patient()
    merged = PatientMerged(patient_id=chain.billing.patient_id, merged_patient_id=alias)
    await chain.svc.deliver(merged, version=1)
    for patient_id in (chain.billing.patient_id, alias):
        refused = await refusal(chain.change("TransferPackage", sale, patient_id=patient_id, reason="x"))
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "PACKAGE_TRANSFER_TO_SELF")
        assert refused.faults == [("patient_id", "PACKAGE_TRANSFER_TO_SELF")]
    unknown = to_wire("patient", new_id())
    attempt = chain.change("TransferPackage", sale, patient_id=unknown, reason="x")
    assert (await refusal(attempt)).metadata == {"waits_for": unknown}
    bound = await chain.sold(SIX, price=3000)
    other = await chain.billing.register_patient()
    refused = await refusal(chain.change("TransferPackage", bound, patient_id=other, reason="x"))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PACKAGE_NOT_TRANSFERABLE")
    assert (await refusal(chain.change("TransferPackage", sale, patient_id=other, reason=""))).reason == "BAD_REQUEST"
    assert await chain.billing.count("package_transfer") == 0


async def test_merged_patients_draw_from_each_others_packages(chain: Packages) -> None:
    alias = await chain.billing.register_patient()
    package = await chain.offer(("infusion", "", "", 1), price=500, redeemable_unpaid=True)
    await chain.sell(package, patient_id=alias)
    await chain.sell(package)
    await chain.svc.deliver(PatientMerged(patient_id=chain.billing.patient_id, merged_patient_id=alias), version=1)
    own, of_alias = await chain.treat(INFUSION, INFUSION), await chain.treat(INFUSION, patient_id=alias)
    assert (await statuses(chain, own), await statuses(chain, of_alias)) == (["REDEEMED"] * 2, ["CHARGED"])
    for patient_id in (alias, chain.billing.patient_id):
        assert [each.remaining_count for each in await chain.held(patient_id)] == [0, 0]
    await chain.books_agree()


# Expiry


async def test_what_has_expired_gives_no_visit_and_is_taken_after_the_grace(
    chain: Packages,
) -> None:
    sale = await chain.sold(SIX, price=3000, valid_days=30)
    course = await chain.treat(INFUSION, first=NOW + 30 * DAY)
    late = await chain.treat(INFUSION, first=NOW + 31 * DAY)
    assert (await statuses(chain, course), await statuses(chain, late)) == (["REDEEMED"], ["CHARGED"])
    assert (await refusal(chain.redeem(late.visits[0].visit_id, sale.entitlements[0].id))).reason == "PACKAGE_EXPIRED"
    # The last day, 31 March, ends in Denver at 6:00 UTC; three days later what is left is taken.
    chain.svc.clock.now = datetime(2027, 4, 4, 5, 59, 59, tzinfo=UTC)
    await chain.pass_days(0)  # Until the job finds nothing: it does not spin over what is not due.
    assert status(await chain.sale(sale.id)) == "OPEN"
    assert await statuses(chain, await chain.treat(INFUSION, first=NOW + 29 * DAY)) == ["REDEEMED"]  # Heard of late.
    chain.svc.clock.now = datetime(2027, 4, 4, 6, tzinfo=UTC)
    assert await end_due_packages(chain.svc.db, chain.svc.clock)
    expired = await chain.sale(sale.id)
    assert (status(expired), left(expired.entitlements)) == ("EXPIRED", [("infusion", 0, 0)])
    books = await chain.books()
    assert (books["BREAKAGE"], "DEFERRED_REVENUE" in books) == (-2000, False)
    told = await chain.billing.last_fact("package.expired")
    assert (told.package_sale_id, told.patient_id) == (sale.id, chain.billing.patient_id)
    await chain.pass_days(1)
    assert (await chain.billing.fact_names()).count("package.expired") == 1
    refused = await refusal(chain.redeem(late.visits[0].visit_id, sale.entitlements[0].id))
    assert refused.reason == "PACKAGE_ENDED"
    await chain.books_agree()


async def is_free(chain: Packages, patient_id: str) -> bool:
    """Whether nobody has the patient locked."""
    key = "hashtextextended($1::uuid::text, 0)"
    patient = from_wire("patient", patient_id)
    if not await chain.svc.admin.fetchval(f"SELECT pg_try_advisory_lock({key})", patient):
        return False
    return await chain.svc.admin.fetchval(f"SELECT pg_advisory_unlock({key})", patient)  # type: ignore[no-any-return]


async def test_sales_that_are_over_end_one_by_one(chain: Packages) -> None:
    """Whoever has the patient of one locked neither waits for the others, nor holds them up."""
    holders = [chain.billing.patient_id, await chain.billing.register_patient(), await chain.billing.register_patient()]
    ends = [
        await chain.sell(await chain.offer(SIX, code=f"six_{n}", valid_days=30 + n), patient_id=holder)
        for n, holder in enumerate(holders)
    ]
    chain.svc.clock.now += 60 * DAY
    request = pb.StopPackageRequest(request_id=str(uuid4()))

    async def second(store: BillingStore) -> None:
        await store.lock([from_wire("patient", holders[1])])

    async with chain.billing.held_open(request, second):
        ending = asyncio.create_task(end_due_packages(chain.svc.db, chain.svc.clock))
        await chain.billing.someone_waits()
        assert status(await chain.sale(ends[0].id)) == "EXPIRED"
        assert await is_free(chain, holders[0])
        await ending  # After the patience of a lock.
        assert [status(await chain.sale(each.id)) for each in ends] == ["EXPIRED", "OPEN", "EXPIRED"]
    await end_due_packages(chain.svc.db, chain.svc.clock)
    assert (await chain.billing.fact_names()).count("package.expired") == 3


async def test_a_chain_whose_sales_cannot_be_ended_now_holds_up_no_other(chain: Packages, service: Running) -> None:
    second = await Packages(await open_chain(service)).open()
    for each in (chain, second):
        await each.sell(await each.offer(SIX, valid_days=30))
    second.svc.clock.now += 60 * DAY
    await end_due_packages(refusing(second.svc.db, chain.svc.chain_id), second.svc.clock)
    assert "package.expired" in await second.billing.fact_names()


async def test_who_publishes_prices_locks_all_patients_in_order(service: Running) -> None:
    """Who has one of them finds the others free: neither waits for the other."""
    billing = await open_chain(service)
    await billing.price([("assessment", "", "", 300, "Evaluation")], effective=TODAY - DAY)
    chain = await Packages(billing).open()
    holders = sorted([billing.patient_id, await billing.register_patient()], key=lambda id: from_wire("patient", id))
    visits = {id: await chain.treat(INFUSION, patient_id=id, first=NOW - n * DAY) for n, id in enumerate(holders)}
    package = await chain.offer(("therapy", "", "", 1), price=500, redeemable_unpaid=True)
    for holder in holders:
        await chain.sell(package, patient_id=holder)
    draft = await billing.draft()
    request = pb.StopPackageRequest(request_id=str(uuid4()))

    async def first(store: BillingStore) -> None:
        await store.lock([from_wire("patient", holders[0])])

    async with billing.held_open(request, first):
        publishing = asyncio.create_task(billing.publish(draft))
        await billing.someone_waits()
        assert await is_free(chain, holders[1])
    await publishing
    assert [await statuses(chain, visits[holder]) for holder in holders] == [["CHARGED"]] * 2


async def test_who_holds_a_package_is_told_once_that_it_expires_soon(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000, valid_days=60)
    await chain.pass_days(30)
    assert "package.expiring" not in await chain.billing.fact_names()
    await chain.pass_days(1)
    told = await chain.billing.last_fact("package.expiring")
    assert (told.package_sale_id, told.expire_date) == (sale.id, to_date(TODAY + 60 * DAY))
    await chain.pass_days(1)
    assert (await chain.billing.fact_names()).count("package.expiring") == 1


async def found_to_expire_soon(chain: Packages) -> list[UUID]:
    call = chain.billing.svc.inside("packages")
    return await chain.billing.svc.db.job(call, BillingStore, partial(sales.expiring, limit=10))


async def warn(chain: Packages, sale_id: UUID) -> None:
    call = chain.billing.svc.inside("packages")
    await chain.billing.svc.db.job(call, BillingStore, partial(sales.warn_expiring, sale_id=sale_id))


async def test_of_two_jobs_that_found_a_package_one_tells_of_it(chain: Packages) -> None:
    await chain.sold(SIX, price=3000, valid_days=60)
    chain.billing.svc.clock.now += 31 * DAY
    [found], [again] = await found_to_expire_soon(chain), await found_to_expire_soon(chain)
    await warn(chain, found)
    await warn(chain, again)
    assert (await chain.billing.fact_names()).count("package.expiring") == 1


async def test_a_package_that_is_frozen_since_it_was_found_is_told_of_when_it_expires_soon_again(
    chain: Packages,
) -> None:
    sale = await chain.sold(SIX, price=3000, valid_days=60, freeze_days=40)
    chain.billing.svc.clock.now += 31 * DAY
    [found] = await found_to_expire_soon(chain)
    frozen = (await chain.change("FreezePackage", await chain.sale(sale.id))).package_sale
    await warn(chain, found)
    assert "package.expiring" not in await chain.billing.fact_names()
    await chain.pass_days(10)
    await chain.change("UnfreezePackage", frozen)
    await chain.pass_days(1)
    assert (await chain.billing.last_fact("package.expiring")).expire_date == to_date(TODAY + 70 * DAY)


async def test_a_package_that_is_used_up_ends_without_a_word(chain: Packages) -> None:
    await chain.sold(("infusion", "", "", 1), price=500, valid_days=10)
    await chain.treat(INFUSION)
    before = await chain.billing.fact_names()
    await chain.pass_days(20)
    assert await chain.billing.fact_names() == before
    assert await chain.billing.count("package_end") == 0


async def test_the_first_use_starts_the_days_of_validity(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000, valid_days=30, valid_from=package_pb.PACKAGE_START_FIRST_USE)
    assert not sale.entitlements[0].HasField("expire_date")
    await chain.pass_days(400)
    assert status(await chain.sale(sale.id)) == "OPEN"
    await chain.treat(INFUSION)
    assert (await chain.sale(sale.id)).entitlements[0].expire_date == to_date(TODAY + 430 * DAY)
    await chain.pass_days(34)
    assert status(await chain.sale(sale.id)) == "EXPIRED"


# Stopped


def amounts(stop: pb.PackageStop) -> tuple[float | None, ...]:
    """Consumed, fee, forgiven, refundable."""
    return dollars(stop.consumed), dollars(stop.fee), dollars(stop.forgiven), dollars(stop.refundable)


async def test_a_stop_gives_back_what_was_shown_before_as_credit(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000, stop_fee_percent=5)
    await chain.treat(INFUSION, INFUSION)
    shown = await chain.preview(sale)
    assert amounts(shown) == (1000, 150, 0, 1850)
    assert status(await chain.sale(sale.id)) == "OPEN"
    answer = await chain.change("StopPackage", await chain.sale(sale.id), reason="not a candidate")
    assert answer.stop == shown
    assert (status(answer.package_sale), left(answer.package_sale.entitlements)) == ("STOPPED", [("infusion", 0, 0)])
    assert await chain.sale(sale.id) == answer.package_sale
    assert await chain.books() == {
        "CASH": 3000,
        "REVENUE": -1000,
        "FEE_REVENUE": -150,
        "PATIENT_CREDIT": -1850,
    }
    [credit] = await chain.billing.fetch("SELECT left_minor, patient_id FROM open_item WHERE kind = 3")
    assert tuple(credit) == (185000, from_wire("patient", chain.billing.patient_id))
    [balance] = (await chain.billing.account()).balances
    assert (dollars(balance.charged), dollars(balance.returned), dollars(balance.balance)) == (3000, 1850, -1850)
    told = await chain.billing.last_fact("package.stopped")
    assert (told.package_sale_id, dollars(told.refundable)) == (sale.id, 1850)
    assert await statuses(chain, await chain.treat(INFUSION)) == ["CHARGED"]
    await chain.books_agree()


async def test_by_rerating_the_visits_drawn_cost_the_single_price_of_their_site(chain: Packages) -> None:
    await chain.billing.price(
        (("infusion", "iv", "", 640, "IV infusion"),), effective=TODAY + DAY, site_id=chain.other_site_id
    )
    sale = await chain.sold(SIX, price=3000, early_stop=package_pb.EARLY_STOP_RERATE)
    await chain.treat(INFUSION)
    chain.svc.clock.now += 2 * DAY
    await chain.treat(INFUSION, site_id=chain.other_site_id)
    assert amounts(await chain.preview(sale)) == (1230, 0, 0, 1770)  # 590 here, 640 there.
    await chain.change("StopPackage", await chain.sale(sale.id), reason="moves away")
    assert await chain.books() == {"CASH": 3000, "REVENUE": -730, "DUE_TO": -500, "PATIENT_CREDIT": -1770}
    await chain.books_agree()


async def test_what_is_not_paid_need_not_be_paid_any_more(chain: Packages) -> None:
    sale = await chain.sell(await chain.offer(SIX, price=3000))
    invoice = await chain.invoice(sale)
    await chain.billing.pay(1200)
    await chain.treat(INFUSION, INFUSION)
    answer = await chain.change("StopPackage", await chain.sale(sale.id), reason="moves away")
    assert amounts(answer.stop) == (1000, 0, 1800, 200)
    request = invoice_pb.GetInvoiceRequest(invoice_id=invoice.id)
    now = (await chain.svc.call(chain.billing.invoices.GetInvoice, request)).invoice
    assert (dollars(now.total), dollars(now.balance)) == (3000, 0)
    assert (await chain.billing.last_fact("invoice.paid")).invoice_id == invoice.id
    assert await chain.books() == {"CASH": 1200, "REVENUE": -1000, "PATIENT_CREDIT": -200}
    [balance] = (await chain.billing.account()).balances
    assert (dollars(balance.returned), dollars(balance.due), dollars(balance.balance)) == (2000, 0, -200)
    await chain.books_agree()


async def taxed(chain: Packages, **changes: Any) -> Invoicing:
    desk = Invoicing(chain.billing)
    await desk.tax(kinds=[charge_pb2.CHARGE_KIND_PACKAGE, charge_pb2.CHARGE_KIND_VISIT], **changes)
    return desk


async def test_a_stop_gives_back_the_tax_of_what_it_gives_back(chain: Packages) -> None:
    """Two of six visits and a fee of 150 are kept, with 87.69 of the 228.75."""
    await taxed(chain)
    sale = await chain.sell(await chain.offer(SIX, price=3000, stop_fee_percent=5))
    assert dollars(sale.tax) == 0
    invoice = await chain.invoice(sale)
    assert (dollars(invoice.total), dollars((await chain.sale(sale.id)).tax)) == (3228.75, 228.75)
    await chain.billing.pay(3228.75)
    await chain.treat(INFUSION)
    await chain.treat(INFUSION, site_id=chain.other_site_id)
    assert dollars((await chain.sale(sale.id)).paid) == 3228.75
    shown = await chain.preview(sale)
    assert (amounts(shown), dollars(shown.tax)) == ((1000, 150, 0, 1991.06), 141.06)
    answer = await chain.change("StopPackage", await chain.sale(sale.id), reason="not a candidate")
    assert answer.stop == shown
    assert await chain.books() == {
        "CASH": 3228.75,
        "REVENUE": -500,
        "DUE_TO": -500,
        "FEE_REVENUE": -150,
        "TAX_PAYABLE": -87.69,
        "PATIENT_CREDIT": -1991.06,
    }
    assert dollars((await chain.billing.last_fact("package.stopped")).refundable) == 1991.06
    await chain.books_agree()
    await chain.billing.books_agree()


async def test_a_stop_gives_back_tax_that_the_price_included(chain: Packages) -> None:
    await taxed(chain, included=True)
    sale = await chain.sold(SIX, price=3000)
    assert dollars(sale.tax) == 0
    await chain.treat(INFUSION, INFUSION)
    answer = await chain.change("StopPackage", await chain.sale(sale.id), reason="moves away")
    assert (amounts(answer.stop), dollars(answer.stop.tax)) == ((1000, 0, 0, 2000), 0)
    assert await chain.books() == {
        "CASH": 3000,
        "REVENUE": -929.15,  # 212.54 of the 3,000 was tax, and 141.69 of the 2,000.
        "TAX_PAYABLE": -70.85,
        "PATIENT_CREDIT": -2000,
    }
    await chain.books_agree()


async def test_what_is_not_paid_of_a_taxed_package_need_not_be_paid_with_its_tax(chain: Packages) -> None:
    await taxed(chain)
    sale = await chain.sell(await chain.offer(SIX, price=3000))
    invoice = await chain.invoice(sale)
    await chain.billing.pay(1200)
    await chain.treat(INFUSION, INFUSION)
    answer = await chain.change("StopPackage", await chain.sale(sale.id), reason="moves away")
    assert (amounts(answer.stop), dollars(answer.stop.tax)) == ((1000, 0, 2028.75, 123.75), 152.5)
    assert dollars((await Invoicing(chain.billing).invoice(invoice.id)).balance) == 0
    assert await chain.books() == {"CASH": 1200, "REVENUE": -1000, "TAX_PAYABLE": -76.25, "PATIENT_CREDIT": -123.75}
    await chain.books_agree()
    await chain.billing.books_agree()


async def test_of_two_taxed_packages_on_an_invoice_each_is_paid_with_its_tax(chain: Packages) -> None:
    desk, offer = await taxed(chain), await chain.offer(SIX, price=3000)
    first, second = [await chain.sell(offer) for _ in range(2)]
    await desk.issue(first.charge_id, second.charge_id)
    await chain.billing.pay(6000)
    for each in (first, second):
        assert dollars((await chain.sale(each.id)).paid) == 3000
    stopped = await chain.change("StopPackage", await chain.sale(first.id), reason="moves away")
    assert (amounts(stopped.stop), dollars(stopped.stop.tax)) == ((0, 0, 228.75, 3000), 228.75)
    assert dollars((await chain.sale(second.id)).paid) == 3000
    await chain.billing.pay(228.75)
    assert dollars((await chain.sale(second.id)).paid) == 3228.75
    await chain.books_agree()


async def test_a_package_that_expires_keeps_the_tax_that_it_was_sold_with(chain: Packages) -> None:
    await taxed(chain)
    sale = await chain.sell(await chain.offer(SIX, price=3000, valid_days=10))
    await chain.invoice(sale)
    await chain.billing.pay(3228.75)
    await chain.treat(INFUSION)
    await chain.pass_days(20)
    assert await chain.books() == {"CASH": 3228.75, "REVENUE": -500, "BREAKAGE": -2500, "TAX_PAYABLE": -228.75}
    await chain.books_agree()


async def test_a_taxed_visit_is_drawn_once_its_tax_is_paid_as_well(chain: Packages) -> None:
    await taxed(chain)
    sale = await chain.sell(await chain.offer(SIX, price=3000))
    await chain.invoice(sale)
    await chain.billing.pay(500)
    course = await chain.treat(INFUSION)
    assert await statuses(chain, course) == ["CHARGED"]
    refused = await refusal(chain.redeem(course.visits[0].visit_id, sale.entitlements[0].id))
    assert (refused.reason, refused.metadata["missing_minor"]) == ("PACKAGE_UNPAID", "3813")
    await chain.billing.pay(38.13)
    await chain.redeem(course.visits[0].visit_id, sale.entitlements[0].id)


async def test_a_package_is_not_credited_but_stopped(chain: Packages) -> None:
    sale, desk = await chain.sell(await chain.offer(SIX, price=3000)), Invoicing(chain.billing)
    invoice = await chain.invoice(sale)
    refused = await refusal(desk.credit(invoice.id, (sale.charge_id, 1)))
    faults = [("lines[0].charge_id", "CHARGE_NOT_CORRECTABLE")]
    assert (refused.reason, refused.faults) == ("CHARGE_NOT_CORRECTABLE", faults)
    assert (await refusal(desk.void(invoice.id))).reason == "CHARGE_NOT_CORRECTABLE"
    assert await chain.billing.count("credit_note") == 0
    await chain.change("StopPackage", await chain.sale(sale.id), reason="moves away")
    assert await chain.books() == {}
    await chain.books_agree()


async def test_what_is_credited_of_the_rest_of_its_invoice_is_not_paid_of_a_package(chain: Packages) -> None:
    course, desk = await chain.treat(INFUSION), Invoicing(chain.billing)
    sale = await chain.sell(await chain.offer(SIX, price=3000))
    [visit] = await desk.visit_charges(course)
    invoice = await desk.issue(visit, sale.charge_id)
    await desk.credit(invoice.id, (visit, 590))
    answer = await chain.change("StopPackage", await chain.sale(sale.id), reason="moves away")
    assert (dollars(answer.stop.paid), dollars(answer.stop.forgiven), dollars(answer.stop.refundable)) == (0, 3000, 0)
    assert await chain.books() == {}
    await chain.books_agree()


async def test_who_was_shown_another_refund_must_look_again(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000)
    await chain.treat(INFUSION)
    assert (await refusal(chain.change("StopPackage", sale, reason="x"))).reason == "STALE_ETAG"
    current = await chain.sale(sale.id)
    [redemption] = await chain.redemptions(sale)
    await chain.undo(redemption.id)
    refused = await refusal(chain.change("StopPackage", current, reason="x"))
    assert (refused.code, refused.reason) == (StatusCode.ABORTED, "STALE_ETAG")
    assert await chain.billing.count("package_end") == 0


async def test_what_was_drawn_and_not_paid_is_still_to_pay(chain: Packages) -> None:
    sale = await chain.sell(await chain.offer(SIX, price=3000, redeemable_unpaid=True))
    invoice = await chain.invoice(sale)
    await chain.treat(INFUSION, INFUSION)
    answer = await chain.change("StopPackage", await chain.sale(sale.id), reason="moves away")
    assert amounts(answer.stop) == (1000, 0, 2000, 0)
    assert await chain.books() == {"ACCOUNTS_RECEIVABLE": 1000, "REVENUE": -1000}
    assert "invoice.paid" not in await chain.billing.fact_names()
    payment = await chain.billing.pay(1000, invoice_id=invoice.id)
    assert dollars(payment.unapplied) == 0
    assert (await chain.billing.last_fact("invoice.paid")).invoice_id == invoice.id
    assert await chain.billing.count("open_item") == 2


async def test_a_package_stops_once_and_not_before_it_is_billed_nor_after_it_expired(chain: Packages) -> None:
    sale = await chain.sell(await chain.offer(SIX, price=3000, freeze_days=9, transferable=True))
    for attempt in (chain.preview(sale), chain.change("StopPackage", sale, reason="x")):
        refused = await refusal(attempt)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PACKAGE_NOT_INVOICED")
    await chain.invoice(sale)
    course = await chain.treat(INFUSION)
    stopped = (await chain.change("StopPackage", sale, reason="x")).package_sale
    other = await chain.billing.register_patient()
    for attempt in (
        chain.preview(stopped),
        chain.change("StopPackage", stopped, reason="x"),
        chain.change("FreezePackage", stopped),
        chain.change("UnfreezePackage", stopped),
        chain.change("TransferPackage", stopped, patient_id=other, reason="x"),
        chain.redeem(course.visits[0].visit_id, stopped.entitlements[0].id),
    ):
        assert (await refusal(attempt)).reason == "PACKAGE_ENDED"
    short = await chain.sold(SIX, price=3000, valid_days=1, freeze_days=9, transferable=True)
    chain.svc.clock.now += 2 * DAY
    for attempt in (
        chain.preview(short),
        chain.change("StopPackage", short, reason="x"),
        chain.change("FreezePackage", short),
        chain.change("TransferPackage", short, patient_id=other, reason="x"),
    ):
        assert (await refusal(attempt)).reason == "PACKAGE_EXPIRED"
    assert await chain.billing.count("package_end") == 1


async def test_what_is_used_up_is_not_stopped_and_can_still_be_undone(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000)
    await chain.treat(*[INFUSION] * 6)
    used = await chain.sale(sale.id)
    assert status(used) == "USED"
    for attempt in (chain.preview(used), chain.change("StopPackage", used, reason="x")):
        refused = await refusal(attempt)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PACKAGE_USED")
    [redemption, *_] = await chain.redemptions(sale)
    await chain.undo(redemption.id)
    assert status(await chain.sale(sale.id)) == "OPEN"


async def test_a_visit_of_a_package_that_was_stopped_stays_drawn(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000)
    await chain.treat(INFUSION)
    await chain.change("StopPackage", await chain.sale(sale.id), reason="x")
    [redemption] = await chain.redemptions(sale)
    assert (await refusal(chain.undo(redemption.id))).reason == "PACKAGE_ENDED"


async def test_what_comes_back_is_who_boughts(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000, transferable=True)
    sister = await chain.billing.register_patient()
    handed = (await chain.change("TransferPackage", sale, patient_id=sister, reason="x")).package_sale
    await chain.change("StopPackage", handed, reason="x")
    [balance] = (await chain.billing.account()).balances
    assert dollars(balance.balance) == -3000
    assert list((await chain.billing.account(sister)).balances) == []


# Seen


async def test_what_a_patient_holds_is_on_every_account(chain: Packages) -> None:
    first = await chain.sold(SIX, price=3000)
    second = await chain.sold(("therapy", "", "", 9), price=900, valid_days=30)
    course = await chain.treat(INFUSION)
    on_account = (await chain.billing.account()).entitlements
    assert left(on_account) == [("therapy", 9, 900), ("infusion", 5, 2500)]  # What expires first.
    assert list((await chain.billing.course_account(course)).entitlements) == list(on_account)
    held = await chain.held()
    assert [each.package_sale_id for each in held] == [second.id, first.id]
    assert (held[0].package_code, held[0].package_name, held[0].count) == ("six", "Six infusions", 9)


async def test_entitlements_and_redemptions_are_listed_in_pages(chain: Packages) -> None:
    sale = await chain.sold(SIX, ("therapy", "", "", 1), ("assessment", "", "", 1), price=3000)
    await chain.treat(INFUSION, INFUSION, ASSESSMENT)
    request = pb.ListEntitlementsRequest(patient_id=chain.billing.patient_id, page_size=2)
    page = await chain.svc.call(chain.sales.ListEntitlements, request)
    rest = await chain.held(page_size=2, page_token=page.next_page_token)
    assert [each.visit_type_code for each in [*page.entitlements, *rest]] == ["assessment", "therapy", "infusion"]
    assert [each.visit_type_code for each in await chain.held(open_only=True)] == ["therapy", "infusion"]
    listing = pb.ListRedemptionsRequest(package_sale_id=sale.id, page_size=2)
    some = await chain.svc.call(chain.sales.ListRedemptions, listing)
    last = await chain.redemptions(sale, page_size=2, page_token=some.next_page_token)
    assert (len(some.redemptions), len(last)) == (2, 1)
    assert (await refusal(chain.redemptions(sale, page_token="x"))).reason == "BAD_PAGE_TOKEN"
    unknown = pb.PackageSale(id=to_wire("packagesale", new_id()))
    assert (await refusal(chain.redemptions(unknown))).reason == "PACKAGE_SALE_NOT_FOUND"


# Who may


async def test_who_publishes_a_price_draws_from_no_package_of_another_site(chain: Packages) -> None:
    course = await chain.treat(THERAPY, site_id=chain.other_site_id)
    await chain.sell(await chain.offer(("therapy", "", "", 2), price=200, redeemable_unpaid=True))
    draft = await chain.billing.draft(
        (("therapy", "", "", 180, "Therapy"),), effective=TODAY + DAY, site_id=chain.other_site_id
    )
    await chain.billing.publish(draft, chain.billing.at(chain.other_site_id))
    assert await statuses(chain, course) == ["CHARGED"]
    assert [each.remaining_count for each in await chain.held()] == [2]


async def test_a_package_is_seen_where_it_may_be_drawn_and_changed_where_it_was_sold(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000, freeze_days=9, transferable=True)
    there = chain.billing.at(chain.other_site_id, "ROLE_BILLING")
    seen = await chain.sale(sale.id, there)
    assert (left(seen.entitlements), seen.HasField("paid")) == ([("infusion", 6, 3000)], False)
    assert len(await chain.held(token=there)) == 1
    other = await chain.billing.register_patient()
    for attempt in (
        chain.preview(sale, there),
        chain.change("StopPackage", sale, there, reason="x"),
        chain.change("FreezePackage", sale, there),
        chain.change("UnfreezePackage", sale, there),
        chain.change("TransferPackage", sale, there, patient_id=other, reason="x"),
    ):
        refused = await refusal(attempt)
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "PACKAGE_OTHER_SITE")
        assert refused.metadata["site_ids"] == chain.billing.site_id
    assert (await refusal(chain.sell(await chain.offer(), there))).code == StatusCode.PERMISSION_DENIED
    course = await chain.treat(INFUSION, site_id=chain.other_site_id)
    [redemption] = await chain.redemptions(sale, there)
    assert (await refusal(chain.undo(redemption.id, there))).reason == "PACKAGE_OTHER_SITE"
    await chain.undo(redemption.id)
    attempt = chain.redeem(course.visits[0].visit_id, sale.entitlements[0].id, there)
    assert (await refusal(attempt)).reason == "PACKAGE_OTHER_SITE"
    assert await statuses(chain, course) == ["CHARGED"]


async def test_a_package_for_some_sites_is_hidden_from_others(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000, redeem_site_ids=[chain.billing.site_id])
    there = chain.billing.at(chain.other_site_id)
    assert (await refusal(chain.sale(sale.id, there))).reason == "PACKAGE_SALE_NOT_FOUND"
    assert await chain.held(token=there) == []


async def test_who_has_no_such_role_is_refused(chain: Packages, service: Running) -> None:
    sale = await chain.sold(SIX, price=3000, freeze_days=9, transferable=True)
    package = await chain.offer()
    course = await chain.treat(INFUSION)
    [redemption] = await chain.redemptions(sale)
    other, entitlement_id = await chain.billing.register_patient(), sale.entitlements[0].id
    nobody, desk = (chain.billing.at(chain.billing.site_id, role) for role in ("ROLE_CLINICIAN", "ROLE_FRONT_DESK"))
    auditor = chain.billing.at(chain.billing.site_id, "ROLE_AUDITOR")
    for token in (nobody, desk, auditor):
        for attempt in (
            chain.change("StopPackage", sale, token, reason="x"),
            chain.change("TransferPackage", sale, token, patient_id=other, reason="x"),
            chain.redeem(course.visits[0].visit_id, entitlement_id, token),
            chain.undo(redemption.id, token),
        ):
            assert (await refusal(attempt)).code == StatusCode.PERMISSION_DENIED
    for attempt in (chain.sell(package, auditor), chain.change("FreezePackage", sale, auditor)):
        assert (await refusal(attempt)).code == StatusCode.PERMISSION_DENIED
    for attempt in (chain.sale(sale.id, nobody), chain.held(token=nobody), chain.preview(sale, nobody)):
        assert (await refusal(attempt)).code == StatusCode.PERMISSION_DENIED
    await chain.sell(package, desk)
    stranger = Packages(await open_chain(service))
    assert (await refusal(stranger.sale(sale.id))).reason == "PACKAGE_SALE_NOT_FOUND"
    assert (await refusal(stranger.undo(redemption.id))).reason == "REDEMPTION_NOT_FOUND"
    assert (await refusal(stranger.change("StopPackage", sale, reason="x"))).reason == "PACKAGE_SALE_NOT_FOUND"


# The last line


@pytest.mark.parametrize("table", ["package_transfer", "package_end", "settlement"])
async def test_what_became_of_a_package_is_never_changed(service: Running, table: str) -> None:
    billing = await open_chain(service)
    await packages.story(billing)
    for change in (f"UPDATE {table} SET site_id = site_id", f"DELETE FROM {table}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await billing.execute(change)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("UPDATE entitlement SET left_count = -1", "entitlement_left_check"),
        ("UPDATE entitlement SET left_count = 7", "entitlement_left_count_check"),
        ("UPDATE entitlement SET left_minor = -1", "entitlement_left_minor_check"),
        ("UPDATE entitlement SET left_minor = 300001", "entitlement_left_minor_check"),
        ("UPDATE entitlement SET left_count = 0", "entitlement_left_check"),
        ("UPDATE package_sale SET ended_at = now()", "package_sale_ended_check"),
        ("INSERT INTO redemption", "redemption_once_idx"),
    ],
)
async def test_the_database_refuses_what_no_package_can_be(chain: Packages, change: str, constraint: str) -> None:
    await chain.sold(SIX, price=3000)
    await chain.treat(INFUSION)
    names = ", ".join(column.name for column in redemption.c if column.name != "id")
    change = change.replace("redemption", f"redemption (id, {names}) SELECT gen_random_uuid(), {names} FROM redemption")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await chain.billing.execute(change)
    assert refused.value.constraint_name == constraint


async def test_the_database_lets_no_other_site_change_what_it_may_see(chain: Packages) -> None:
    await chain.sold(SIX, price=3000)
    there = chain.svc.inside("Test", sites=frozenset({from_wire("site", chain.other_site_id)}))
    async with chain.svc.db.transaction(there) as conn:
        for table in ("package_sale", "entitlement"):
            assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 1
            assert await conn.execute(f"UPDATE {table} SET patient_id = patient_id") == "UPDATE 0"


# At once


async def test_a_package_that_is_being_retired_is_not_sold(chain: Packages) -> None:
    package = await chain.offer()
    package_id = from_wire("package", package.id)
    async with chain.billing.held_open(chain.billing.payment_request(1), lambda store: _retire(store, package_id)):
        selling = asyncio.create_task(refusal(chain.sell(package)))
        await chain.billing.someone_waits()
    assert (await selling).reason == "PACKAGE_NOT_ON_SALE"
    assert await chain.billing.count("charge") == 0


async def _retire(store: BillingStore, package_id: UUID) -> None:
    await store.lock([package_id])
    await retire_package(store, package_id, 2)


async def test_versions_that_are_published_at_once_follow_each_other(chain: Packages) -> None:
    drafts = [await chain.draft(), await chain.draft()]
    chain_id = chain.svc.chain_id
    async with chain.billing.held_open(chain.billing.payment_request(1), lambda store: store.lock([chain_id])):
        tasks = [asyncio.create_task(chain.publish(draft)) for draft in drafts]
        await chain.billing.someone_waits()
    assert sorted(each.version for each in await asyncio.gather(*tasks)) == [1, 2]


async def test_two_visits_at_once_take_the_last_one_once(chain: Packages) -> None:
    sale = await chain.sold(("infusion", "", "", 1), price=500)
    course = await chain.billing.book([INFUSION, INFUSION], first=NOW)
    there = await chain.billing.book([INFUSION], first=NOW, site_id=chain.other_site_id)
    patient_id = from_wire("patient", chain.billing.patient_id)
    async with chain.billing.held_open(chain.billing.payment_request(1), lambda store: store.lock([patient_id])):
        tasks = [
            asyncio.create_task(chain.svc.deliver(chain.billing.completed(each, n)))
            for each, n in ((course, 0), (there, 0))
        ]
        await chain.billing.someone_waits()
    await asyncio.gather(*tasks)
    assert sorted([*await statuses(chain, course), *await statuses(chain, there)]) == ["BOOKED", "CHARGED", "REDEEMED"]
    assert left((await chain.sale(sale.id)).entitlements) == [("infusion", 0, 0)]
    await chain.books_agree()


async def test_a_visit_waits_for_a_stop_and_is_then_charged(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000)
    course = await chain.billing.book([INFUSION], first=NOW)
    sale_id = from_wire("packagesale", sale.id)
    async with chain.billing.held_open(
        chain.billing.payment_request(1), lambda store: sales.stop_package(store, sale_id, 1, "x")
    ):
        visit = asyncio.create_task(chain.svc.deliver(chain.billing.completed(course, 0)))
        await chain.billing.someone_waits()
    await visit
    assert await statuses(chain, course) == ["CHARGED"]
    await chain.books_agree()


async def test_two_packages_that_change_hands_crosswise_at_once_both_do(chain: Packages) -> None:
    other = await chain.billing.register_patient()
    package = await chain.offer(SIX, price=3000, transferable=True)
    mine, theirs = await chain.sell(package), await chain.sell(package, patient_id=other)
    both = (from_wire("patient", each) for each in (chain.billing.patient_id, other))
    ids = list(both)
    async with chain.billing.held_open(chain.billing.payment_request(1), lambda store: store.lock(ids)):
        tasks = [
            asyncio.create_task(chain.change("TransferPackage", mine, patient_id=other, reason="x")),
            asyncio.create_task(
                chain.change("TransferPackage", theirs, patient_id=chain.billing.patient_id, reason="x")
            ),
        ]
        await chain.billing.someone_waits()
    answers = await asyncio.gather(*tasks)
    assert [each.package_sale.holder_patient_id for each in answers] == [other, chain.billing.patient_id]


async def test_a_package_is_not_stopped_twice_at_once(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000)
    sale_id = from_wire("packagesale", sale.id)
    async with chain.billing.held_open(
        chain.billing.payment_request(1), lambda store: sales.stop_package(store, sale_id, 1, "x")
    ):
        second = asyncio.create_task(refusal(chain.change("StopPackage", sale, reason="x")))
        await chain.billing.someone_waits()
    assert (await second).reason == "STALE_ETAG"
    assert await chain.billing.count("package_end") == 1
