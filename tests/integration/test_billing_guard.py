"""The guard of bills: what goes beyond an estimate, who lets it, and what a patient disputes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.billing.v1 import charge_pb2
from atoll.billing.v1 import estimate_service_pb2 as pb
from atoll.billing.v1 import invoice_service_pb2 as invoice_pb
from atoll.patients.v1.events_pb2 import PatientMerged
from chassis.ids import from_wire, new_id, to_wire
from chassis.money import Money
from chassis.times import to_timestamp
from services.billing.domain.accounts import Charge, ChargeKind
from services.billing.domain.guard import GuardResult, Item, Level
from services.billing.store import BillingStore
from services.billing.use_cases.charges import add_charge
from services.billing.use_cases.guard import check_bill
from tests.support.billing import (
    FIRST_VISIT,
    INFUSION,
    LONG_INFUSION,
    THERAPY,
    TODAY,
    Billing,
    BookedCourse,
    dollars,
    open_billing,
    open_chain,
    usd,
)
from tests.support.billing_estimates import approve, close_dispute, coverage, further, open_dispute
from tests.support.invoicing import Invoicing
from tests.support.packages import Packages
from tests.support.service import NOW, Running, refusal

DAY = timedelta(days=1)


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    billing = await open_chain(service)
    await billing.price()
    return billing


async def charge(billing: Billing, course: BookedCourse, minor: int, kind: ChargeKind = ChargeKind.PRODUCT) -> None:
    """For something that is on no estimate."""

    async def work(store: BillingStore) -> None:
        site = await store.site(from_wire("site", course.site_id))
        made = Charge(
            id=new_id(),
            kind=kind,
            site_id=site.id,
            patient_id=from_wire("patient", course.patient_id),
            course_id=from_wire("course", course.id),
            visit_id=None,
            service_date=TODAY,
            service=None,
            item_code="drink",
            description="Protein drink",
            quantity=1,
            amount=Money(minor),
            posted_at=store.call.now,
        )
        await add_charge(store, site, made)

    await billing.svc.db.job(billing.svc.inside("Test"), BillingStore, work)


async def rendered(billing: Billing) -> BookedCourse:
    """One infusion, as it was estimated."""
    course = await billing.book([INFUSION])
    await billing.complete(course)
    return course


async def checked(billing: Billing, course: BookedCourse, minor: int) -> GuardResult:
    course_id = from_wire("course", course.id)
    inside, more = billing.svc.inside("Test"), [Item(from_wire("site", course.site_id), None, 1, minor, TODAY)]
    return await billing.svc.db.job(inside, BillingStore, lambda store: check_bill(store, course_id, "USD", more))


@pytest.mark.parametrize(("beyond", "level"), [(0, "OK"), (29999, "OK"), (30000, "NEAR"), (39999, "NEAR")])
async def test_a_course_is_billed_up_to_less_than_400_dollars_beyond_its_estimate(
    billing: Billing, beyond: int, level: str
) -> None:
    course = await rendered(billing)
    if beyond:
        await charge(billing, course, beyond)
    assert dollars((await billing.issue(course)).total) == (59000 + beyond) / 100
    guard = (await coverage(billing, course)).guard
    assert pb.EstimateGuardLevel.Name(guard.level) == f"ESTIMATE_GUARD_LEVEL_{level}"
    assert (dollars(guard.estimated), dollars(guard.over)) == (590, beyond / 100)
    assert not guard.HasField("exceed_time")
    assert await billing.count("estimate_excess") == 0


async def test_what_is_billed_as_estimated_is_not_beyond_it_at_a_site_that_taxes(billing: Billing) -> None:
    """The tax of twelve infusions alone is more than 400 dollars."""
    await Invoicing(billing).tax()
    course = await billing.book([INFUSION] * 12)
    [estimate] = await billing.estimates_of(course)
    assert (dollars(estimate.lines[0].amount), dollars(estimate.lines[0].tax)) == (7080, 539.85)
    assert dollars(estimate.total) == 7619.85
    await billing.complete(course, *range(12))
    assert dollars((await billing.issue(course)).total) == 7619.85
    guard = (await coverage(billing, course)).guard
    assert (guard.level, dollars(guard.over)) == (pb.ESTIMATE_GUARD_LEVEL_OK, 0)


async def of_two_years(billing: Billing) -> BookedCourse:
    """An infusion, and two more than twelve months after it, all rendered, each estimated before it was."""
    event = billing.course_event([INFUSION] * 3)
    for visit, day in zip(event.visits, (0, 380, 387), strict=True):
        visit.start_time.CopyFrom(to_timestamp(FIRST_VISIT + day * DAY))
    await billing.svc.deliver(event)
    course = BookedCourse(event.course_id, event.site_id, event.patient_id, event)
    for n, day in enumerate((0, 380, 387)):
        billing.svc.clock.now = FIRST_VISIT + day * DAY
        await billing.complete(course, n)
    return course


async def test_each_twelve_months_of_a_course_are_measured_by_their_own_estimate(billing: Billing) -> None:
    course = await of_two_years(billing)
    assert dollars((await billing.issue(course)).total) == 1770
    shown = await coverage(billing, course)
    [line] = shown.lines
    assert (line.estimated_count, dollars(line.estimated), line.count, dollars(line.amount)) == (2, 1180, 2, 1180)
    assert (dollars(shown.beyond), dollars(shown.guard.over)) == (0, 0)


async def test_a_visit_that_comes_into_twelve_months_leaves_the_next_as_they_are_estimated(billing: Billing) -> None:
    event = billing.course_event([INFUSION] * 2)
    event.visits[1].start_time.CopyFrom(to_timestamp(FIRST_VISIT + 380 * DAY))
    await billing.svc.deliver(event)
    course = BookedCourse(event.course_id, event.site_id, event.patient_id, event)
    billing.svc.clock.now = FIRST_VISIT
    await billing.complete(course, 0)
    await billing.svc.deliver(further(billing, course, [THERAPY, INFUSION], FIRST_VISIT + 100 * DAY))
    course_id, inside = from_wire("course", course.id), billing.svc.inside("Test")
    found = await billing.svc.db.job(inside, BillingStore, lambda store: store.valid_estimates(course_id))
    assert [(each.version, each.visit_count) for each in found] == [(1, 1), (2, 1)]
    await billing.price([("therapy", "", "", 200, "Talk")], effective=TODAY + DAY)
    found = await billing.svc.db.job(inside, BillingStore, lambda store: store.valid_estimates(course_id))
    assert [(each.version, each.visit_count, each.beyond_count) for each in found] == [(4, 3, 1), (2, 1, 0)]
    assert [(line.estimated_count, line.count) for line in (await coverage(billing, course)).lines] == [(2, 2), (1, 1)]


async def test_a_course_is_shown_beside_the_estimate_of_its_next_visit(billing: Billing) -> None:
    event = billing.course_event([INFUSION] * 2)
    event.visits[1].start_time.CopyFrom(to_timestamp(FIRST_VISIT + 380 * DAY))
    await billing.svc.deliver(event)
    course = BookedCourse(event.course_id, event.site_id, event.patient_id, event)
    billing.svc.clock.now = FIRST_VISIT
    await billing.complete(course, 0)
    booster = further(billing, course, [INFUSION], FIRST_VISIT + 100 * DAY)
    await billing.svc.deliver(booster)
    shown = (await coverage(billing, course)).estimate_id
    billing.svc.clock.now = FIRST_VISIT + 100 * DAY
    await billing.complete(BookedCourse(course.id, course.site_id, course.patient_id, booster), 0)
    third, second, _ = await billing.estimates_of(course)
    assert (shown, (await coverage(billing, course)).estimate_id) == (third.id, second.id)


async def test_what_is_billed_beyond_the_first_twelve_months_is_not_made_up_for_by_the_next(billing: Billing) -> None:
    course = await of_two_years(billing)
    await charge(billing, course, 40000)
    refused = await refusal(billing.issue(course))
    assert (refused.reason, refused.metadata["over_minor"]) == ("ESTIMATE_EXCEEDED", "40000")


async def test_400_dollars_beyond_it_takes_approval_of_so_much(billing: Billing) -> None:
    course = await rendered(billing)
    await charge(billing, course, 40000)
    refused = await refusal(billing.issue(course))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "ESTIMATE_EXCEEDED")
    assert refused.metadata == {"course_id": course.id, "over_minor": "40000"}
    assert [await billing.count(table) for table in ("invoice", "invoice_line", "estimate_excess")] == [0, 0, 0]

    await approve(billing, course, 399.99)
    assert (await refusal(billing.issue(course))).reason == "ESTIMATE_EXCEEDED"
    await approve(billing, course, 400)
    billing.svc.clock.now = NOW + DAY
    assert (await billing.issue(course)).number == 1  # What was refused used up none.
    guard = (await coverage(billing, course)).guard
    assert (guard.level, guard.approved, dollars(guard.billed)) == (pb.ESTIMATE_GUARD_LEVEL_BEYOND, True, 990)
    assert guard.exceed_time == to_timestamp(NOW + DAY)
    assert guard.dispute_end_time == to_timestamp(datetime(2027, 7, 1, 6, tzinfo=UTC))  # From 2 March, Denver's days.
    await billing.books_agree()


async def test_the_120_days_run_from_the_first_bill_beyond(billing: Billing) -> None:
    course = await rendered(billing)
    await approve(billing, course, 5000)
    await charge(billing, course, 40000)
    await billing.issue(course)
    billing.svc.clock.now = NOW + 30 * DAY
    await charge(billing, course, 100)
    await billing.issue(course)
    assert (await coverage(billing, course)).guard.exceed_time == to_timestamp(NOW)


async def test_bills_of_a_course_add_up(billing: Billing) -> None:
    course = await rendered(billing)
    await billing.issue(course)
    await charge(billing, course, 20000)
    await billing.issue(course)
    await charge(billing, course, 20000)
    assert (await refusal(billing.issue(course))).reason == "ESTIMATE_EXCEEDED"
    assert await billing.count("invoice") == 2


async def test_what_is_credited_gives_room_again(billing: Billing) -> None:
    course, desk = await rendered(billing), Invoicing(billing)
    await billing.issue(course)
    await charge(billing, course, 39999)
    wrong = await billing.issue(course)
    await charge(billing, course, 20000)
    refused = await refusal(billing.issue(course))
    assert (refused.reason, refused.metadata["over_minor"]) == ("ESTIMATE_EXCEEDED", "59999")
    [line] = wrong.lines
    await desk.credit(wrong.id, (line.charge_id, 199.99))
    assert (await refusal(billing.issue(course))).metadata["over_minor"] == "40000"
    await desk.credit(wrong.id, (line.charge_id, 0.01))
    await billing.issue(course)
    guard = (await coverage(billing, course)).guard
    assert (dollars(guard.billed), dollars(guard.over)) == (590 + 199.99 + 200, 399.99)
    await desk.void(wrong.id)
    guard = (await coverage(billing, course)).guard
    assert (dollars(guard.billed), dollars(guard.over)) == (790, 200)


async def test_a_discount_makes_a_bill_less_and_a_tax_more(billing: Billing) -> None:
    course, desk = await rendered(billing), Invoicing(billing)
    await desk.tax(100_000, kinds=[charge_pb2.CHARGE_KIND_VISIT])
    discount = {"amount": usd(90), "reason": invoice_pb.DISCOUNT_REASON_GOODWILL}
    [visit] = await desk.visit_charges(course)
    assert dollars((await desk.issue_draft(await desk.draft(visit, discount=discount))).total) == 550
    assert dollars((await coverage(billing, course)).guard.billed) == 550
    assert (await checked(billing, course, 43999)).over == Money(39999)


async def test_a_course_is_guarded_in_whatever_way_its_charges_are_billed(billing: Billing) -> None:
    """Also where another course is on the same invoice."""
    course, other = await rendered(billing), await rendered(billing)
    desk = Invoicing(billing)
    await charge(billing, course, 40000)
    found = await billing.fetch("SELECT id FROM charge")
    charge_ids = [to_wire("charge", row["id"]) for row in found]
    drafted = await desk.draft(*charge_ids)
    for asked in (billing.issue(course), desk.issue(*charge_ids), desk.issue_draft(drafted)):
        refused = await refusal(asked)
        assert (refused.reason, refused.metadata["course_id"]) == ("ESTIMATE_EXCEEDED", course.id)
    assert [await billing.count(table) for table in ("invoice", "document_order")] == [0, 2]  # Of the estimates.
    await approve(billing, course, 400)
    issued = await desk.issue(*charge_ids)
    assert (issued.number, issued.course_id) == (1, "")
    assert not (await coverage(billing, other)).guard.HasField("exceed_time")
    assert (await coverage(billing, course)).guard.HasField("exceed_time")


async def test_a_visit_that_is_drawn_from_a_package_is_not_expected_to_cost_anything(billing: Billing) -> None:
    chain = await Packages(billing).open()
    await chain.sold(("infusion", "", "", 1))
    course = await billing.book([INFUSION, INFUSION])
    await billing.complete(course, 0)
    [line] = (await coverage(billing, course)).lines
    assert (line.estimated_count, line.count, dollars(line.estimated), dollars(line.amount)) == (2, 1, 1180, 590)


async def test_a_correction_belongs_to_the_line_of_its_visit(billing: Billing) -> None:
    course, desk = await rendered(billing), Invoicing(billing)
    [visit] = await desk.visit_charges(course)
    await desk.correct(visit, -90)
    [line] = (await coverage(billing, course)).lines
    assert (line.visit_type_code, line.count, dollars(line.amount)) == ("infusion", 1, 500)
    await billing.issue(course)
    assert dollars((await coverage(billing, course)).guard.billed) == 500


async def test_a_longer_infusion_than_estimated_is_measured_by_the_estimate(billing: Billing) -> None:
    course = await billing.book([INFUSION, INFUSION])
    for n in (0, 1):
        await billing.complete(course, n, band_code=LONG_INFUSION[2])
    assert (await checked(billing, course, 160000)).over == Money(42000)
    assert (await refusal(billing.issue(course))).reason == "ESTIMATE_EXCEEDED"


async def test_a_course_is_measured_by_what_was_estimated_in_time(billing: Billing) -> None:
    course = await billing.book([INFUSION])
    billing.svc.clock.now = datetime(2027, 3, 20, 18, tzinfo=UTC)  # Saturday; the visit is on Monday.
    more = billing.course_event([LONG_INFUSION], first=FIRST_VISIT + timedelta(hours=3))
    more.course_id = course.id
    await billing.svc.deliver(more)
    assert len(await billing.estimates_of(course)) == 2
    result = await checked(billing, course, 59000 + 40000)
    assert (result.estimated, result.over, result.level) == (Money(59000), Money(40000), Level.BEYOND)


async def test_a_course_without_an_estimate_that_was_issued_is_not_guarded(billing: Billing) -> None:
    course = await billing.book([THERAPY])
    result = await checked(billing, course, 10_000_00)
    assert (result.estimated, result.level) == (None, Level.OK)
    shown = await coverage(billing, course)
    assert (shown.estimate_id, shown.HasField("beyond"), shown.guard.HasField("estimated")) == ("", False, False)


async def test_the_coverage_names_each_line_and_what_of_it_is_beyond(billing: Billing) -> None:
    course = await billing.book([INFUSION, INFUSION])
    [estimate] = await billing.estimates_of(course)
    await billing.complete(course, 0, band_code=LONG_INFUSION[2])
    await charge(billing, course, 1250)
    shown = await coverage(billing, course, billing.at(billing.site_id, "ROLE_AUDITOR"))
    assert shown.estimate_id == estimate.id
    assert [
        (each.band_code, each.estimated_count, dollars(each.estimated), each.count, dollars(each.beyond))
        for each in shown.lines
    ] == [("up_to_60", 2, 1180, 1, 0), ("", 0, 0, 1, 12.5), ("over_60", 0, 0, 1, 800)]
    assert dollars(shown.beyond) == 222.5
    assert dollars(shown.guard.billed) == 0


async def test_only_who_runs_the_site_or_the_chain_approves(billing: Billing) -> None:
    course = await rendered(billing)
    answer = await approve(billing, course, 500, billing.at(billing.site_id, "ROLE_SITE_MANAGER"))
    assert (answer.course_id, dollars(answer.up_to), answer.reason) == (course.id, 500, "Agreed by phone")
    assert (answer.approved_by, answer.approve_time) == ("user", to_timestamp(NOW))
    for role in ("ROLE_BILLING", "ROLE_FRONT_DESK", "ROLE_AUDITOR", "ROLE_CLINICIAN"):
        assert (await refusal(approve(billing, course, 1, billing.svc.token(role)))).reason == "ACCESS_DENIED"
    elsewhere = billing.at(await billing.register_site(), "ROLE_SITE_MANAGER")
    for token in (elsewhere, billing.svc.token(chain_id=new_id())):
        assert (await refusal(approve(billing, course, 1, token))).reason == "NOT_YET_KNOWN"
        assert (await refusal(coverage(billing, course, token))).reason == "NOT_YET_KNOWN"
    assert await billing.count("estimate_approval") == 1


async def test_an_approval_is_of_an_amount_in_the_sites_currency(billing: Billing) -> None:
    course = await rendered(billing)
    for wrong in (0, -1, 1_000_000.01):
        refused = await refusal(approve(billing, course, wrong))
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "AMOUNT_OUT_OF_RANGE")
        assert refused.faults == [("up_to", "AMOUNT_OUT_OF_RANGE")]
    assert (await refusal(approve(billing, course, 1, reason=""))).reason == "BAD_REQUEST"
    assert await billing.count("estimate_approval") == 0


async def test_an_approval_that_is_sent_twice_is_one_and_stands_in_no_event(billing: Billing) -> None:
    course = await rendered(billing)
    request_id = str(uuid4())
    first = await approve(billing, course, 500, request_id=request_id)
    assert await approve(billing, course, 500, request_id=request_id) == first
    assert await billing.count("estimate_approval") == 1
    assert not [name for name in await billing.fact_names() if "approv" in name]


async def test_two_invoices_of_a_course_do_not_pass_where_one_may(billing: Billing) -> None:
    """The second waits for the first, which has the patient, and is measured with it."""
    course = await rendered(billing)
    await charge(billing, course, 39900)
    request = pb.OpenEstimateDisputeRequest(request_id=str(uuid4()), course_id=course.id)

    async def first(store: BillingStore) -> None:
        await store.lock([from_wire("patient", course.patient_id)])

    async with billing.held_open(request, first):
        second = asyncio.create_task(refusal(billing.issue(course)))
        await billing.someone_waits()
        await charge(billing, course, 100)
    assert (await second).reason == "ESTIMATE_EXCEEDED"
    assert await billing.count("invoice") == 0


# Disputes.


async def is_disputed(billing: Billing, course_id: UUID) -> bool:
    return await billing.svc.db.job(billing.svc.inside("Test"), BillingStore, lambda store: store.disputed(course_id))


async def test_a_dispute_is_open_until_it_is_closed(billing: Billing) -> None:
    course = await rendered(billing)
    course_id = from_wire("course", course.id)
    assert not await is_disputed(billing, course_id)
    dispute = await open_dispute(billing, course.id)
    assert (dispute.course_id, dispute.patient_id) == (course.id, course.patient_id)
    assert (dispute.open_time, dispute.HasField("close_time")) == (to_timestamp(NOW), False)
    assert await is_disputed(billing, course_id)
    assert (await coverage(billing, course)).guard.disputed
    billing.svc.clock.now = NOW + DAY
    assert (await close_dispute(billing, dispute.id)).close_time == to_timestamp(NOW + DAY)
    assert not await is_disputed(billing, course_id)
    assert (await open_dispute(billing, course.id)).id != dispute.id


async def test_a_course_has_one_open_dispute(billing: Billing) -> None:
    course = await rendered(billing)
    dispute = await open_dispute(billing, course.id)
    refused = await refusal(open_dispute(billing, course.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "ESTIMATE_DISPUTE_OPEN")
    assert refused.metadata["dispute_id"] == dispute.id
    assert await billing.count("estimate_dispute") == 1
    await close_dispute(billing, dispute.id)
    refused = await refusal(close_dispute(billing, dispute.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "ESTIMATE_DISPUTE_CLOSED")


async def listed(billing: Billing, token: str | None = None, **fields: Any) -> list[pb.EstimateDispute]:
    request = pb.ListEstimateDisputesRequest(**fields)
    found = list[pb.EstimateDispute]()
    while True:
        answer = await billing.svc.call(billing.estimates.ListEstimateDisputes, request, token)
        found += answer.disputes
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def test_disputes_are_found_by_their_course_their_patient_and_their_site(billing: Billing) -> None:
    one, other = [await rendered(billing) for _ in range(2)]
    first = await open_dispute(billing, one.id)
    closed = await close_dispute(billing, first.id)
    second, third = await open_dispute(billing, one.id), await open_dispute(billing, other.id)
    for about in ({"patient_id": one.patient_id}, {"site_id": one.site_id}):
        assert await listed(billing, **about) == [third, second, closed]
        assert await listed(billing, **about, page_size=2) == [third, second, closed]
        assert await listed(billing, **about, open_only=True) == [third, second]
    assert await listed(billing, course_id=one.id) == [second, closed]
    assert await listed(billing, course_id=one.id, open_only=True) == [second]
    stranger = await billing.register_patient()
    assert await listed(billing, patient_id=stranger) == []
    await billing.svc.deliver(PatientMerged(patient_id=stranger, merged_patient_id=one.patient_id))
    assert await listed(billing, patient_id=stranger) == [third, second, closed]


async def test_who_lets_a_course_cost_more_is_listed_the_newest_first(billing: Billing) -> None:
    course, other = [await rendered(billing) for _ in range(2)]
    first, second = [await approve(billing, course, amount) for amount in (500, 900)]
    await approve(billing, other, 700)
    request = pb.ListEstimateApprovalsRequest(course_id=course.id, page_size=1)
    newest = await billing.svc.call(billing.estimates.ListEstimateApprovals, request)
    assert list(newest.approvals) == [second]
    request.page_token = newest.next_page_token
    oldest = await billing.svc.call(billing.estimates.ListEstimateApprovals, request)
    assert (list(oldest.approvals), oldest.next_page_token) == ([first], "")


async def test_disputes_and_approvals_are_read_by_those_who_deal_with_bills_at_the_site(billing: Billing) -> None:
    course = await rendered(billing)
    dispute, approval = await open_dispute(billing, course.id), await approve(billing, course, 500)
    approvals = pb.ListEstimateApprovalsRequest(course_id=course.id)
    for role in ("ROLE_FRONT_DESK", "ROLE_AUDITOR"):
        token = billing.at(billing.site_id, role)
        assert await listed(billing, token, site_id=billing.site_id) == [dispute]
        answer = await billing.svc.call(billing.estimates.ListEstimateApprovals, approvals, token)
        assert list(answer.approvals) == [approval]
    for role in ("ROLE_NURSE", "ROLE_PATIENT"):
        token = billing.svc.token(role)
        assert (await refusal(listed(billing, token, course_id=course.id))).reason == "ACCESS_DENIED"
        asking = billing.svc.call(billing.estimates.ListEstimateApprovals, approvals, token)
        assert (await refusal(asking)).reason == "ACCESS_DENIED"
    elsewhere = billing.at(await billing.register_site())
    for token in (elsewhere, billing.svc.token(chain_id=new_id())):
        assert await listed(billing, token, course_id=course.id) == []
        answer = await billing.svc.call(billing.estimates.ListEstimateApprovals, approvals, token)
        assert list(answer.approvals) == []
    assert (await refusal(listed(billing, elsewhere, site_id=billing.site_id))).reason == "ACCESS_DENIED"


async def test_a_dispute_that_is_opened_or_closed_twice_over_is_one(billing: Billing) -> None:
    course = await rendered(billing)
    opening = pb.OpenEstimateDisputeRequest(request_id=str(uuid4()), course_id=course.id)
    first = await billing.svc.call(billing.estimates.OpenEstimateDispute, opening)
    assert await billing.svc.call(billing.estimates.OpenEstimateDispute, opening) == first
    closing = pb.CloseEstimateDisputeRequest(request_id=str(uuid4()), dispute_id=first.dispute.id)
    closed = await billing.svc.call(billing.estimates.CloseEstimateDispute, closing)
    billing.svc.clock.now = NOW + DAY
    assert await billing.svc.call(billing.estimates.CloseEstimateDispute, closing) == closed
    assert await billing.count("estimate_dispute") == 1


async def test_two_who_close_a_dispute_at_once_close_it_once(billing: Billing) -> None:
    dispute = await open_dispute(billing, (await rendered(billing)).id)
    request = pb.CloseEstimateDisputeRequest(request_id=str(uuid4()), dispute_id=dispute.id)

    async def first(store: BillingStore) -> None:
        await store.close_dispute((await store.estimate_dispute(from_wire("dispute", dispute.id))).id)

    async with billing.held_open(request, first):
        second = asyncio.create_task(refusal(close_dispute(billing, dispute.id)))
        await billing.someone_waits()
    assert (await second).reason == "ESTIMATE_DISPUTE_CLOSED"


async def test_disputes_are_kept_by_those_who_bill_at_the_site(billing: Billing) -> None:
    course = await rendered(billing)
    dispute = await open_dispute(billing, course.id, billing.at(billing.site_id))
    for role in ("ROLE_FRONT_DESK", "ROLE_AUDITOR", "ROLE_NURSE"):
        token = billing.svc.token(role)
        assert (await refusal(open_dispute(billing, course.id, token))).reason == "ACCESS_DENIED"
        assert (await refusal(close_dispute(billing, dispute.id, token))).reason == "ACCESS_DENIED"
    for token in (billing.at(await billing.register_site()), billing.svc.token(chain_id=new_id())):
        assert (await refusal(open_dispute(billing, course.id, token))).reason == "NOT_YET_KNOWN"
        refused = await refusal(close_dispute(billing, dispute.id, token))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "ESTIMATE_DISPUTE_NOT_FOUND")
    assert (await refusal(close_dispute(billing, to_wire("dispute", new_id())))).reason == "ESTIMATE_DISPUTE_NOT_FOUND"
    [row] = await billing.fetch("SELECT closed_at FROM estimate_dispute")
    assert row["closed_at"] is None
