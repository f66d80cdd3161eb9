"""Patients who were merged: their accounts stay apart and are shown together; new documents are the survivor's."""

import asyncio
from collections.abc import AsyncIterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.billing.v1 import account_service_pb2, invoice_service_pb2, ledger_service_pb2, payment_service_pb2
from atoll.billing.v1 import estimate_service_pb2 as estimates
from atoll.patients.v1.events_pb2 import PatientMerged, PatientUnmerged
from chassis.ids import from_wire, new_id, to_wire
from services.billing.store import BillingStore
from services.billing.use_cases.invoices import issue_invoice
from tests.support.billing import INFUSION, Billing, dollars, open_billing, open_chain
from tests.support.service import Running, refusal


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    """With prices: 300 for an assessment, 590 for an infusion, deposit 150. Its patient is to be the survivor."""
    billing = await open_chain(service)
    await billing.price()
    return billing


async def merge(billing: Billing, alias: str, survivor: str = "", version: int = 1, **about: Any) -> None:
    event = PatientMerged(patient_id=survivor or billing.patient_id, merged_patient_id=alias)
    await billing.svc.deliver(event, version=version, **about)


async def unmerge(billing: Billing, alias: str, survivor: str = "", version: int = 2) -> None:
    event = PatientUnmerged(patient_id=survivor or billing.patient_id, merged_patient_id=alias)
    await billing.svc.deliver(event, version=version)


async def listed(billing: Billing, patient_id: str) -> list[set[str]]:
    """The ids of what each list by patient shows: estimates, invoices, payments, entries."""
    svc = billing.svc
    about: dict[str, Any] = {"patient_id": patient_id}
    answers = (
        (await svc.call(billing.estimates.ListEstimates, estimates.ListEstimatesRequest(**about))).estimates,
        (await svc.call(billing.invoices.ListInvoices, invoice_service_pb2.ListInvoicesRequest(**about))).invoices,
        (await svc.call(billing.payments.ListPayments, payment_service_pb2.ListPaymentsRequest(**about))).payments,
        (await svc.call(billing.ledger.ListEntries, ledger_service_pb2.ListEntriesRequest(**about))).entries,
    )
    return [{each.id for each in answer} for answer in answers]


def parts_of(account: account_service_pb2.Account) -> dict[str, list[tuple[float | None, ...]]]:
    """By id: charged, paid, balance."""
    return {
        part.patient_id: [(dollars(b.charged), dollars(b.paid), dollars(b.balance)) for b in part.balances]
        for part in account.parts
    }


async def test_balances_stay_with_each_id_and_are_shown_together_by_any_of_them(billing: Billing) -> None:
    alias, survivor = await billing.register_patient(), billing.patient_id
    course, own = await billing.book([INFUSION], patient_id=alias), await billing.book([INFUSION])
    await billing.complete(course)
    await billing.complete(own)
    await billing.pay(100, patient_id=alias)
    await billing.pay(40)
    assert parts_of(await billing.account()) == {survivor: [(590, 40, 550)]}
    await merge(billing, alias)
    for asked in (alias, survivor):
        account = await billing.account(asked)
        assert account.patient_id == survivor
        assert parts_of(account) == {alias: [(590, 100, 490)], survivor: [(590, 40, 550)]}
        [whole] = account.balances
        sums = (whole.charged, whole.paid, whole.unapplied, whole.balance)
        assert [dollars(each) for each in sums] == [1180, 140, 140, 1040]
        assert sorted((each.patient_id, dollars(each.amount)) for each in account.documents) == sorted(
            [(alias, 590), (alias, 100), (survivor, 590), (survivor, 40)]
        )
    await unmerge(billing, alias)
    account = await billing.account(alias)
    assert (account.patient_id, parts_of(account)) == (alias, {alias: [(590, 100, 490)]})
    await billing.books_agree()


async def test_new_documents_are_the_survivors_whichever_id_they_are_asked_or_told_for(billing: Billing) -> None:
    alias, survivor = await billing.register_patient(), billing.patient_id
    before = await billing.book([INFUSION], patient_id=alias)
    await merge(billing, alias)
    await billing.complete(before)
    invoice, payment = await billing.issue(before), await billing.pay(20, patient_id=alias)
    asked = await billing.svc.call(billing.estimates.CreateEstimate, estimate_request(billing, alias))
    late = await billing.book([INFUSION], patient_id=alias)
    assert {each.patient_id for each in invoice.charges} == {survivor}
    assert [invoice.patient_id, payment.patient_id, asked.estimate.patient_id] == [survivor] * 3
    assert [each.patient_id for each in await billing.estimates_of(late)] == [survivor]
    assert [each.patient_id for each in await billing.estimates_of(before)] == [alias]
    entry = "SELECT DISTINCT patient_id FROM entry"
    assert [row["patient_id"] for row in await billing.fetch(entry)] == [from_wire("patient", survivor)]
    for name in ("charge.posted", "invoice.issued", "payment.received"):
        assert (await billing.last_fact(name)).patient_id == survivor
    await billing.books_agree()


def estimate_request(billing: Billing, patient_id: str) -> estimates.CreateEstimateRequest:
    visit = estimates.CreateEstimateRequest.PlannedVisit(visit_type_code="infusion", route_code="iv", band_code="x")
    visit.start_time.FromDatetime(billing.svc.now)
    return estimates.CreateEstimateRequest(
        request_id=str(new_id()), site_id=billing.site_id, patient_id=patient_id, visits=[visit]
    )


async def test_an_estimate_priced_after_a_merge_is_the_survivors(service: Running) -> None:
    billing = await open_chain(service)
    alias = await billing.register_patient()
    course = await billing.book([INFUSION], patient_id=alias)
    await merge(billing, alias)
    await billing.price()
    assert [each.patient_id for each in await billing.estimates_of(course)] == [billing.patient_id, alias]


async def test_lists_by_any_id_show_what_is_under_each(billing: Billing) -> None:
    alias, stranger = await billing.register_patient(), await billing.register_patient()
    for patient in (alias, billing.patient_id, stranger):
        course = await billing.book([INFUSION], patient_id=patient)
        await billing.complete(course)
        await billing.issue(course)
        await billing.pay(10, patient_id=patient)
    apart = await listed(billing, alias), await listed(billing, billing.patient_id)
    strangers = await listed(billing, stranger)
    assert [len(each) for each in apart[0]] == [1, 1, 1, 3]
    await merge(billing, alias)
    together = [one | other for one, other in zip(*apart, strict=True)]
    for patient in (alias, billing.patient_id):
        assert await listed(billing, patient) == together
    assert await listed(billing, stranger) == strangers
    await unmerge(billing, alias)
    assert (await listed(billing, alias), await listed(billing, billing.patient_id)) == apart


async def test_what_a_patient_pays_settles_what_any_of_their_ids_owes(billing: Billing) -> None:
    alias = await billing.register_patient()
    course = await billing.book([INFUSION], patient_id=alias)
    await billing.complete(course)
    invoice = await billing.issue(course)
    named: list[dict[str, str]] = [{"invoice_id": invoice.id}, {"course_id": course.id}]
    for purpose in named:
        refused = await refusal(billing.pay(100, **purpose))
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "PAYMENT_MISDIRECTED")
    assert await billing.count("payment") == 0
    await merge(billing, alias)
    for purpose in (*named, {}):
        payment = await billing.pay(100, **purpose)
        assert [each.invoice_id for each in payment.applications] == [invoice.id]
    await billing.books_agree()


async def test_what_was_paid_before_a_merge_pays_an_invoice_after_it(billing: Billing) -> None:
    alias = await billing.register_patient()
    course = await billing.book([INFUSION], patient_id=alias)
    await billing.pay(150, patient_id=alias, course_id=course.id)
    await billing.pay(40, patient_id=alias)
    await merge(billing, alias)
    await billing.complete(course)
    assert dollars((await billing.issue(course)).balance) == 590 - 190
    await billing.books_agree()


async def test_a_survivor_that_is_merged_itself_passes_on_all_its_ids(billing: Billing) -> None:
    one, two, three = billing.patient_id, await billing.register_patient(), await billing.register_patient()
    for patient in (one, two, three):
        await billing.pay(10, patient_id=patient)
    await merge(billing, one, two)
    await merge(billing, two, three)
    for patient in (one, two, three):
        account = await billing.account(patient)
        assert account.patient_id == three
        assert parts_of(account).keys() == {one, two, three}
    await unmerge(billing, two, three)
    assert parts_of(await billing.account(one)).keys() == {one, two}
    assert (await billing.pay(10, patient_id=one)).patient_id == two


async def test_a_merge_heard_of_before_its_patients_waits_for_the_survivor(billing: Billing) -> None:
    alias, survivor = to_wire("patient", new_id()), to_wire("patient", new_id())
    await merge(billing, alias, survivor)
    await billing.register_patient(alias)
    create = billing.estimates.CreateEstimate
    for asked in (
        billing.pay(10, patient_id=alias),
        billing.svc.call(create, estimate_request(billing, alias)),
        billing.account(alias),
    ):
        refused = await refusal(asked)
        assert (refused.reason, refused.metadata) == ("NOT_YET_KNOWN", {"waits_for": survivor})
    assert await billing.count("payment") == 0
    await billing.register_patient(survivor)
    assert (await billing.account(alias)).patient_id == survivor
    assert (await billing.pay(10, patient_id=alias)).patient_id == survivor


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_what_was_said_last_holds_in_whatever_order_and_however_often_it_comes(
    billing: Billing, order: tuple[int, ...]
) -> None:
    alias, last = await billing.register_patient(), await billing.register_patient()
    story = [(merge, billing.patient_id), (unmerge, billing.patient_id), (merge, last)]
    for n in (*order, order[0]):
        tell, survivor = story[n]
        await tell(billing, alias, survivor, n + 1)
    assert (await billing.account(alias)).patient_id == last


async def test_another_chain_that_knows_the_same_ids_merges_nothing(billing: Billing) -> None:
    alias = await billing.register_patient()
    await merge(billing, alias, chain_id=new_id())
    assert (await billing.pay(10, patient_id=alias)).patient_id == alias


async def test_a_payment_for_an_alias_waits_for_who_applies_the_survivors_money(billing: Billing) -> None:
    alias = await billing.register_patient()
    await merge(billing, alias)
    course = await billing.book([INFUSION])
    await billing.complete(course)
    invoice = invoice_service_pb2.IssueInvoiceRequest(request_id=str(new_id()), course_id=course.id)

    async def issue(store: BillingStore) -> None:
        await issue_invoice(store, from_wire("course", course.id))

    async with billing.held_open(invoice, issue):
        paying = billing.svc.call(billing.payments.RecordPayment, billing.payment_request(600, patient_id=alias))
        payment = await until_it_waits(billing, paying)
    assert dollars((await payment).payment.unapplied) == 10
    await billing.books_agree()


async def test_an_invoice_for_an_aliass_course_waits_for_who_applies_the_survivors_money(billing: Billing) -> None:
    alias = await billing.register_patient()
    courses = [await billing.book([INFUSION], patient_id=each) for each in (alias, billing.patient_id)]
    await merge(billing, alias)
    for course in courses:
        await billing.complete(course)
    await billing.pay(700)
    invoice = invoice_service_pb2.IssueInvoiceRequest(request_id=str(new_id()), course_id=courses[1].id)

    async def issue(store: BillingStore) -> None:
        await issue_invoice(store, from_wire("course", courses[1].id))

    async with billing.held_open(invoice, issue):
        second = await until_it_waits(billing, billing.issue(courses[0]))
    assert dollars((await second).balance) == 590 - 110
    await billing.books_agree()


async def test_a_merge_waits_for_who_applies_the_aliass_money(billing: Billing) -> None:
    alias = await billing.register_patient()
    course = await billing.book([INFUSION], patient_id=alias)
    await billing.complete(course)
    invoice = invoice_service_pb2.IssueInvoiceRequest(request_id=str(new_id()), course_id=course.id)

    async def issue(store: BillingStore) -> None:
        await issue_invoice(store, from_wire("course", course.id))

    async with billing.held_open(invoice, issue):
        merging = await until_it_waits(billing, merge(billing, alias))
    await merging
    assert parts_of(await billing.account()) == {alias: [(590, 0, 590)]}


async def until_it_waits(billing: Billing, work: Any) -> Any:
    task = asyncio.ensure_future(work)
    await billing.someone_waits()
    return task
