"""Products, corrections, fees and their waivers; why a charge is what it is; what waits."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.billing.v1 import charge_pb2
from atoll.billing.v1 import charge_service_pb2 as pb
from atoll.billing.v1 import payment_service_pb2 as payment_pb
from atoll.patients.v1.events_pb2 import PatientMerged
from atoll.scheduling.v1.events_pb2 import (
    CANCELLATION_REASON_CLINIC,
    CANCELLATION_REASON_CLINICAL,
    CANCELLATION_REASON_PATIENT,
)
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import from_date, to_date
from services.billing.domain.fees import FeeKind
from services.billing.store import BillingStore
from services.billing.use_cases import charging, invoices
from tests.support.billing import (
    FIRST_VISIT,
    INFUSION,
    TODAY,
    Billing,
    BookedCourse,
    dollars,
    open_billing,
    open_chain,
    usd,
)
from tests.support.invoicing import Invoicing, ask_fees, cents, sell_extras, sell_salve
from tests.support.service import Running, refusal

HOUR = timedelta(hours=1)


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


async def charged(billing: Billing, course: BookedCourse) -> list[tuple[str, int]]:
    """Kind and cents of each charge of a course."""
    name = charge_pb2.ChargeKind.Name
    charges = (await billing.course_account(course)).charges
    return [(name(each.kind).removeprefix("CHARGE_KIND_"), cents(each.amount)) for each in charges]


async def test_a_product_is_charged_at_the_price_in_force(billing: Billing, desk: Invoicing) -> None:
    await sell_salve(billing)
    course = await billing.book()
    charge = await desk.product(3, course_id=course.id, visit_id=course.visits[1].visit_id)
    assert (charge.kind, charge.item_code, charge.description) == (charge_pb2.CHARGE_KIND_PRODUCT, "salve", "Salve")
    assert (charge.quantity, cents(charge.amount), charge.made_by) == (3, 5_997, "user")
    assert (charge.visit_id, charge.price_book_version, charge.event_id) == (course.visits[1].visit_id, 2, "")
    assert charge.service_date == to_date(TODAY)
    assert await billing.trial_balance() == {"ACCOUNTS_RECEIVABLE": (59.97, 0), "REVENUE": (0, 59.97)}
    assert (await billing.last_fact("charge.posted")).charge_id == charge.id
    await billing.complete(course, 1)
    assert await charged(billing, course) == [("PRODUCT", 5_997), ("VISIT", 59_000)]
    await desk.product(course_id=course.id, visit_id=course.visits[1].visit_id)
    assert len(await charged(billing, course)) == 3


async def test_an_add_on_goes_with_visits_of_its_type_and_more_of_a_product_may_cost_less(
    billing: Billing, desk: Invoicing
) -> None:
    await sell_extras(billing)
    course = await billing.book()
    assessment, infusion = (each.visit_id for each in course.visits[:2])
    music = await desk.product(1, course_id=course.id, visit_id=infusion, product_code="music")
    assert (music.item_code, cents(music.amount), music.visit_id) == ("music", 2_500, infusion)
    for fields in ({"visit_id": assessment}, {}):
        refused = await refusal(desk.product(1, course_id=course.id, product_code="music", **fields))
        assert refused.reason == "PRICE_MISSING"
    assert [cents((await desk.product(count)).amount) for count in (2, 3)] == [3_998, 4_500]


async def test_a_product_that_nobody_priced_is_not_sold(billing: Billing, desk: Invoicing) -> None:
    refused = await refusal(desk.product())
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PRICE_MISSING")
    assert refused.faults == [("product_code", "PRICE_MISSING")]
    elsewhere = await billing.register_site()
    assert (await refusal(desk.product(site_id=elsewhere))).reason == "PRICE_MISSING"
    assert await billing.count("charge") == 0


async def test_a_product_belongs_to_a_course_and_a_visit_of_its_patient_at_its_site(
    billing: Billing, desk: Invoicing
) -> None:
    await sell_salve(billing)
    course, other = await billing.book(), await billing.book()
    elsewhere, somebody = await billing.register_site(), await billing.register_patient()
    visit = course.visits[0].visit_id
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"course_id": course.id, "site_id": elsewhere}, "course_id"),
        ({"course_id": course.id, "patient_id": somebody}, "course_id"),
        ({"course_id": other.id, "visit_id": visit}, "visit_id"),
        ({"visit_id": visit}, "visit_id"),
    )
    for changes, field in wrong:
        refused = await refusal(desk.product(**changes))
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CHARGE_MISDIRECTED")
        assert refused.faults == [(field, "CHARGE_MISDIRECTED")]
    for what in ("site", "patient", "course", "visit"):
        unknown: dict[str, Any] = {"course_id": course.id, f"{what}_id": to_wire(what, new_id())}
        refused = await refusal(desk.product(**unknown))
        assert (refused.reason, refused.retry) == ("NOT_YET_KNOWN", True)
    assert (await refusal(desk.product(0))).reason == "BAD_REQUEST"
    assert await billing.count("charge") == 0


async def test_a_product_that_is_sold_twice_by_one_request_is_charged_once(billing: Billing, desk: Invoicing) -> None:
    await sell_salve(billing)
    fields: dict[str, Any] = {
        "site_id": billing.site_id,
        "patient_id": billing.patient_id,
        "product_code": "salve",
        "quantity": 1,
    }
    request = pb.ChargeProductRequest(request_id=str(uuid4()), **fields)
    answers = [await billing.svc.call(desk.charges.ChargeProduct, request) for _ in range(2)]
    assert answers[0] == answers[1]
    assert await billing.count("charge") == 1
    auditor, elsewhere = billing.at(billing.site_id, "ROLE_AUDITOR"), billing.at(await billing.register_site())
    for token in (auditor, elsewhere):
        assert (await refusal(desk.product(token=token))).code == StatusCode.PERMISSION_DENIED
    assert (await desk.product(token=billing.at(billing.site_id, "ROLE_FRONT_DESK"))).quantity == 1


async def test_a_missed_visit_costs_the_fee_of_the_pinned_price_book(billing: Billing, desk: Invoicing) -> None:
    await ask_fees(billing)
    course = await billing.book()
    await billing.miss(course, 1)
    assert await charged(billing, course) == [("NO_SHOW_FEE", 7_500)]
    [charge] = await desk.uninvoiced()
    assert (charge.visit_id, charge.item_code, charge.made_by) == (course.visits[1].visit_id, "no_show", "")
    assert charge.service_date == to_date((FIRST_VISIT + timedelta(days=7)).date())
    assert (await desk.explain(charge.id)).rule == pb.PRICING_RULE_FEE_RULE
    assert await billing.trial_balance() == {"ACCOUNTS_RECEIVABLE": (75, 0), "FEE_REVENUE": (0, 75)}


@pytest.mark.parametrize(
    ("reason", "before", "fees"),
    [
        (CANCELLATION_REASON_PATIENT, HOUR, [("LATE_CANCELLATION_FEE", 7_500)]),
        (CANCELLATION_REASON_PATIENT, 24 * HOUR, []),
        (CANCELLATION_REASON_CLINIC, HOUR, []),
        (CANCELLATION_REASON_CLINICAL, HOUR, []),
    ],
)
async def test_a_visit_that_the_patient_cancels_late_costs_a_fee(
    billing: Billing,
    reason: int,
    before: timedelta,
    fees: list[tuple[str, int]],
) -> None:
    await ask_fees(billing)
    course = await billing.book()
    billing.svc.clock.now = FIRST_VISIT - before
    await billing.cancel(course, 0, reason=reason)
    assert await charged(billing, course) == fees
    assert await billing.count("offence") == len(fees)


async def test_a_share_of_a_visit_is_of_the_least_that_a_visit_costs(billing: Billing) -> None:
    await ask_fees(billing, least=40_000)
    course = await billing.book()
    billing.svc.clock.now = FIRST_VISIT - HOUR
    await billing.cancel(course, 0, reason=CANCELLATION_REASON_PATIENT)  # At 300 an assessment costs 400.
    assert await charged(billing, course) == [("LATE_CANCELLATION_FEE", 10_000)]


async def test_a_share_of_a_visit_is_of_what_that_visit_of_the_course_would_have_cost(billing: Billing) -> None:
    """400 an infusion from the third on."""
    await ask_fees(billing, third=40_000)
    course = await billing.book([INFUSION] * 3)
    await billing.complete(course, 0, 1)
    billing.svc.clock.now = course.visits[2].start_time.ToDatetime(UTC) - HOUR
    await billing.cancel(course, 2, reason=CANCELLATION_REASON_PATIENT)
    assert sorted(await charged(billing, course)) == [
        ("LATE_CANCELLATION_FEE", 10_000),
        ("VISIT", 59_000),
        ("VISIT", 59_000),
    ]


async def test_a_share_of_a_visit_that_only_a_later_price_book_prices_is_of_that_price(billing: Billing) -> None:
    await ask_fees(billing)
    course = await billing.book([("therapy", "", "standard")])
    await billing.price((("therapy", "", "", 120, "Therapy"),), effective=TODAY + timedelta(days=1))
    billing.svc.clock.now = FIRST_VISIT - HOUR
    await billing.cancel(course, 0, reason=CANCELLATION_REASON_PATIENT)
    assert (await charged(billing, course), await billing.count("offence")) == ([("LATE_CANCELLATION_FEE", 3_000)], 1)


async def test_an_offence_that_is_forgiven_counts_for_the_next(billing: Billing) -> None:
    """Also if the first was another site's, and under another id of the patient."""
    await ask_fees(billing, grace=1)
    alias, elsewhere = await billing.register_patient(), await billing.register_site()
    await ask_fees(billing, grace=1, site_id=elsewhere)
    other = await billing.book(patient_id=alias, site_id=elsewhere)
    await billing.miss(other, 0)
    assert await charged(billing, other) == []
    merged = PatientMerged(patient_id=billing.patient_id, merged_patient_id=alias)
    await billing.svc.deliver(merged, version=1)
    await billing.miss(other, 1)
    [charge] = (await billing.course_account(other)).charges
    assert (cents(charge.amount), charge.patient_id) == (7_500, billing.patient_id)
    own = await billing.book()
    await billing.miss(own, 0)
    assert await charged(billing, own) == [("NO_SHOW_FEE", 7_500)]
    assert await billing.count("offence") == 3


async def test_two_offences_at_once_are_not_both_the_first(billing: Billing) -> None:
    """At two sites: the second waits for the patient."""
    await ask_fees(billing, grace=1)
    elsewhere = await billing.register_site()
    await ask_fees(billing, grace=1, site_id=elsewhere)
    here, there = await billing.book(), await billing.book(site_id=elsewhere)

    async def work(store: BillingStore) -> None:
        visit_id = from_wire("visit", here.visits[0].visit_id)
        site = await store.site(from_wire("site", billing.site_id))
        await charging.charge_fee(store, site, visit_id, FeeKind.NO_SHOW, None, new_id())

    async with billing.held_open(pb.ChargeProductRequest(request_id=str(uuid4())), work):
        second = asyncio.create_task(billing.miss(there, 0))
        await billing.someone_waits()
    await second
    assert (await charged(billing, here), await charged(billing, there)) == ([], [("NO_SHOW_FEE", 7_500)])


async def test_a_site_without_prices_asks_no_fee(billing: Billing) -> None:
    await ask_fees(billing)
    course = await billing.book(site_id=await billing.register_site())
    await billing.miss(course, 0)
    assert (await charged(billing, course), await billing.count("offence")) == ([], 0)


async def test_a_visit_that_took_place_after_all_is_charged_beside_its_fee(billing: Billing) -> None:
    await ask_fees(billing)
    course = await billing.book()
    await billing.miss(course, 0)
    await billing.complete(course, 0)
    assert sorted(await charged(billing, course)) == [("NO_SHOW_FEE", 7_500), ("VISIT", 30_000)]


async def test_a_manager_waives_a_fee_and_it_is_not_invoiced(billing: Billing, desk: Invoicing) -> None:
    await ask_fees(billing)
    course = await billing.book()
    await billing.miss(course, 0)
    [fee] = await desk.uninvoiced()
    manager, clerk = (billing.at(billing.site_id, role) for role in ("ROLE_SITE_MANAGER", "ROLE_BILLING"))
    assert (await refusal(desk.waive(fee.id, clerk))).code == StatusCode.PERMISSION_DENIED
    less = await refusal(desk.correct(fee.id, -1))
    assert (less.code, less.reason) == (StatusCode.FAILED_PRECONDITION, "FEE_NEEDS_WAIVER")
    waiver = await desk.waive(fee.id, manager)
    assert (cents(waiver.amount), waiver.corrects_charge_id) == (-7_500, fee.id)
    assert (waiver.correction_reason, waiver.note) == (charge_pb2.CORRECTION_REASON_WAIVER, "Snow")
    assert (await refusal(desk.waive(fee.id))).reason == "FEE_WAIVED"
    assert await billing.trial_balance() == {"ACCOUNTS_RECEIVABLE": (75, 75), "FEE_REVENUE": (75, 75)}
    assert (await refusal(billing.issue(course))).reason == "INVOICE_EMPTY"
    await billing.complete(course, 1)
    assert [line.description for line in (await billing.issue(course)).lines] == ["IV infusion"]
    [visit] = await desk.visit_charges(await treated(billing, 1))
    refused = await refusal(desk.waive(visit))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "NOT_A_FEE")
    assert refused.faults == [("charge_id", "NOT_A_FEE")]
    await billing.books_agree()


async def test_a_correction_goes_where_its_charge_goes(billing: Billing, desk: Invoicing) -> None:
    course = await treated(billing)
    first, second, third = await desk.visit_charges(course)
    correction = await desk.correct(first, -50, note="Was shorter")
    await desk.correct(first, 10, reason=charge_pb2.CORRECTION_REASON_OTHER)
    assert (correction.kind, correction.made_by) == (charge_pb2.CHARGE_KIND_CORRECTION, "user")
    assert (correction.course_id, correction.visit_id) == (course.id, "")
    assert (await refusal(desk.issue(correction.id, second))).reason == "CHARGE_NOT_FOUND"
    invoice = await desk.issue(first)
    assert ([dollars(line.total) for line in invoice.lines], len(invoice.charges)) == ([260], 3)
    rest = await billing.issue(course)
    assert [line.charge_id for line in rest.lines] == [second, third]
    await billing.books_agree()


async def test_what_cannot_be_corrected_is_refused_with_its_reason(billing: Billing, desk: Invoicing) -> None:
    course = await treated(billing, 1)
    [charge] = await desk.visit_charges(course)
    correction = await desk.correct(charge, -90)
    for id, amount, code, reason in (
        (charge, -500.01, StatusCode.INVALID_ARGUMENT, "AMOUNT_OUT_OF_RANGE"),
        (charge, 1_000_000, StatusCode.INVALID_ARGUMENT, "AMOUNT_OUT_OF_RANGE"),
        (charge, 0, StatusCode.INVALID_ARGUMENT, "AMOUNT_OUT_OF_RANGE"),
        (correction.id, 1, StatusCode.FAILED_PRECONDITION, "CHARGE_NOT_CORRECTABLE"),
        (to_wire("charge", new_id()), 1, StatusCode.NOT_FOUND, "CHARGE_NOT_FOUND"),
    ):
        refused = await refusal(desk.correct(id, amount))
        assert (refused.code, refused.reason) == (code, reason)
    await billing.issue(course)
    refused = await refusal(desk.correct(charge, -1))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CHARGE_INVOICED")
    assert await billing.count("charge") == 2


async def test_a_correction_waits_while_its_charge_is_invoiced(billing: Billing, desk: Invoicing) -> None:
    course = await treated(billing, 1)
    [charge] = await desk.visit_charges(course)

    async def work(store: BillingStore) -> None:
        await invoices.issue_invoice(store, from_wire("course", course.id))

    async with billing.held_open(pb.ChargeProductRequest(request_id=str(uuid4())), work):
        correcting = asyncio.create_task(refusal(desk.correct(charge, -1)))
        await billing.someone_waits()
    assert (await correcting).reason == "CHARGE_INVOICED"
    assert await billing.count("charge") == 1


async def test_corrections_that_are_sent_again_are_made_once(billing: Billing, desk: Invoicing) -> None:
    [charge] = await desk.visit_charges(await treated(billing, 1))
    request = pb.CorrectChargeRequest(
        request_id=str(uuid4()), charge_id=charge, amount=usd(-1), reason=charge_pb2.CORRECTION_REASON_GOODWILL
    )
    answers = [await billing.svc.call(desk.charges.CorrectCharge, request) for _ in range(2)]
    assert answers[0] == answers[1]
    assert await billing.count("charge") == 2
    desk_clerk, elsewhere = billing.at(billing.site_id, "ROLE_FRONT_DESK"), billing.at(await billing.register_site())
    assert (await refusal(desk.correct(charge, 1, desk_clerk))).code == StatusCode.PERMISSION_DENIED
    for token in (elsewhere, billing.svc.token(chain_id=new_id())):
        for call in (desk.correct(charge, 1, token), desk.explain(charge, token)):
            assert (await refusal(call)).reason == "CHARGE_NOT_FOUND"


async def test_a_charge_is_explained_by_one_call(billing: Billing, desk: Invoicing) -> None:
    course = await treated(billing, 1)
    [charge] = await desk.visit_charges(course)
    correction = await desk.correct(charge, -90)
    invoice = await desk.issue(charge)
    note = await desk.credit(invoice.id, (charge, 100))
    why = await desk.explain(charge, billing.at(billing.site_id, "ROLE_AUDITOR"))
    assert (why.rule, why.item_description) == (pb.PRICING_RULE_PINNED_PRICE_BOOK, "IV infusion")
    assert (why.charge.visit_id, why.charge.price_book_version) == (course.visits[1].visit_id, 1)
    assert UUID(why.charge.event_id)
    assert (dollars(why.unit_price), dollars(why.net)) == (590, 500)
    assert list(why.corrections) == [correction]
    assert (why.invoice_id, why.invoice_display_number) == (invoice.id, "1")
    assert [(each.credit_note_id, each.display_number, dollars(each.amount)) for each in why.credits] == [
        (note.id, "CN1", 100)
    ]
    assert (await desk.explain(correction.id)).rule == pb.PRICING_RULE_BY_HAND
    [audited] = await billing.fetch("SELECT kind FROM audit ORDER BY position DESC LIMIT 1")
    assert audited["kind"] == "AUDIT_PHI_READ"


async def test_a_charge_that_a_later_price_book_priced_says_so(billing: Billing, desk: Invoicing) -> None:
    course = await billing.book((("therapy", "", "standard"),))
    await billing.complete(course)
    listing = pb.ListUnchargedVisitsRequest(site_id=billing.site_id)
    [waiting] = (await billing.svc.call(desk.charges.ListUnchargedVisits, listing)).visits
    assert (waiting.visit_id, waiting.course_id) == (course.visits[0].visit_id, course.id)
    assert (waiting.visit_type_code, waiting.patient_id) == ("therapy", course.patient_id)
    await billing.price((("therapy", "", "", 120, "Therapy"),), effective=TODAY + timedelta(days=1))
    [charge] = await desk.visit_charges(course)
    assert (await desk.explain(charge)).rule == pb.PRICING_RULE_LATER_PRICE_BOOK
    assert list((await billing.svc.call(desk.charges.ListUnchargedVisits, listing)).visits) == []


async def test_visits_without_a_price_come_in_pages_the_longest_wait_first(billing: Billing, desk: Invoicing) -> None:
    courses = [await billing.book((("therapy", "", "standard"),) * 2) for _ in range(2)]
    for course in courses:
        await billing.complete(course)
    request = pb.ListUnchargedVisitsRequest(site_id=billing.site_id, page_size=3)
    page = await billing.svc.call(desk.charges.ListUnchargedVisits, request)
    request.page_token = page.next_page_token
    rest = await billing.svc.call(desk.charges.ListUnchargedVisits, request)
    seen = [visit.visit_id for visit in (*page.visits, *rest.visits)]
    assert {seen[0], seen[1]} == {course.visits[0].visit_id for course in courses}
    assert {seen[2], seen[3]} == {course.visits[1].visit_id for course in courses}
    assert rest.next_page_token == ""


async def test_what_is_on_no_invoice_is_listed_by_patient_and_site(billing: Billing, desk: Invoicing) -> None:
    elsewhere = await billing.register_site()
    await billing.price(site_id=elsewhere)
    here = await desk.visit_charges(await treated(billing))
    [there] = await desk.visit_charges(await treated(billing, 1, site_id=elsewhere))
    await desk.issue(here[0])
    assert [each.id for each in await desk.uninvoiced()] == [*here[1:], there]
    assert [each.id for each in await desk.uninvoiced(site_id=elsewhere)] == [there]
    assert [each.id for each in await desk.uninvoiced(billing.at(elsewhere))] == [there]
    request = pb.ListUninvoicedChargesRequest(patient_id=billing.patient_id, page_size=2)
    page = await billing.svc.call(desk.charges.ListUninvoicedCharges, request)
    request.page_token = page.next_page_token
    rest = await billing.svc.call(desk.charges.ListUninvoicedCharges, request)
    assert [each.id for each in (*page.charges, *rest.charges)] == [*here[1:], there]


async def test_what_is_on_no_invoice_is_listed_by_site_and_days(billing: Billing, desk: Invoicing) -> None:
    """Of whomever: the visits of a course are days apart, and another patient's first is on the day of its second."""
    elsewhere = await billing.register_site()
    await billing.price(site_id=elsewhere)
    first, second, *more = await desk.visit_charges(await treated(billing))
    [another] = await desk.visit_charges(await treated(billing, 1, patient_id=await billing.register_patient()))
    await treated(billing, site_id=elsewhere)
    days = [from_date((await desk.explain(id)).charge.service_date, "") for id in (first, second, another, *more)]
    assert days[0] < days[1] == days[2]
    await desk.issue(first)
    due = [second, another, *more]
    assert await desk.uninvoiced_of_days(days[0], days[-1]) == due
    assert await desk.uninvoiced_of_days(days[1], days[1]) == [second, another]
    assert await desk.uninvoiced_of_days(days[1] + timedelta(days=1), days[-1]) == more
    request = desk.of_days(days[0], days[-1], page_size=1)
    page = await billing.svc.call(desk.charges.ListUninvoicedCharges, request)
    request.page_token, request.page_size = page.next_page_token, 0
    rest = await billing.svc.call(desk.charges.ListUninvoicedCharges, request)
    assert [each.id for each in (*page.charges, *rest.charges)] == due


async def test_what_is_on_no_invoice_is_asked_of_a_patient_or_of_days_of_a_site(
    billing: Billing, desk: Invoicing
) -> None:
    for first, last in ((TODAY, TODAY - timedelta(days=1)), (TODAY, TODAY + timedelta(days=92))):
        refused = await refusal(desk.uninvoiced_of_days(first, last))
        assert (refused.reason, refused.faults) == ("BAD_REQUEST", [("last_date", "DAYS")])
    half = pb.ListUninvoicedChargesRequest(site_id=billing.site_id, first_date=to_date(TODAY))
    both = desk.of_days(TODAY, TODAY, patient_id=billing.patient_id)
    for request in (pb.ListUninvoicedChargesRequest(), half, both):
        refused = await refusal(billing.svc.call(desk.charges.ListUninvoicedCharges, request))
        assert refused.faults == [("", "list_uninvoiced_charges.about")]


# A fee or a forfeited deposit, not both.


async def forfeit(billing: Billing, course: BookedCourse) -> Any:
    fields: dict[str, Any] = {"course_id": course.id, "amount": usd(75), "reason": "no show"}
    request = payment_pb.ForfeitDepositRequest(request_id=str(uuid4()), **fields)
    return await billing.svc.call(billing.payments.ForfeitDeposit, request)


@pytest.mark.parametrize("invoiced", [False, True])
async def test_a_deposit_is_not_forfeited_beside_a_fee_that_is_charged(
    billing: Billing, desk: Invoicing, *, invoiced: bool
) -> None:
    await ask_fees(billing)
    course = await billing.book()
    await billing.miss(course, 1)
    if invoiced:
        await billing.issue(course)
    await billing.pay(200, course_id=course.id)
    refused = await refusal(forfeit(billing, course))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "DEPOSIT_FEE_CHARGED")
    assert refused.metadata == {"course_id": course.id}
    assert await billing.count("forfeiture") == 0
    other = await billing.book()
    await billing.pay(200, course_id=other.id)
    assert dollars((await forfeit(billing, other)).forfeited) == 75


async def test_a_deposit_is_forfeited_once_the_fee_is_waived_or_credited(billing: Billing, desk: Invoicing) -> None:
    await ask_fees(billing)
    waived, credited = await billing.book(), await billing.book()
    for course in (waived, credited):
        await billing.miss(course, 1)
    [charge] = [each for each in await desk.uninvoiced() if each.course_id == waived.id]
    await desk.waive(charge.id)
    await desk.void((await billing.issue(credited)).id)
    for course in (waived, credited):
        await billing.pay(200, course_id=course.id)
        assert dollars((await forfeit(billing, course)).forfeited) == 75


async def test_no_fee_is_charged_once_the_deposit_was_forfeited(billing: Billing) -> None:
    await ask_fees(billing)
    course, other = await billing.book(), await billing.book()
    await billing.pay(200, course_id=course.id)
    await forfeit(billing, course)
    await billing.miss(course, 1)
    await billing.miss(other, 1)
    assert (await charged(billing, course), await charged(billing, other)) == ([], [("NO_SHOW_FEE", 7_500)])
    assert await billing.count("offence") == 2  # It counts all the same.
    assert (await billing.trial_balance())["FEE_REVENUE"] == (0, 150)
