"""How estimates come to their patients: deliveries, acknowledgements, the worklist, what is overdue."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.billing.v1 import estimate_service_pb2 as pb
from atoll.common.v1.event_meta_pb2 import EventMeta
from atoll.notifications.v1.events_pb2 import EstimateEmailed, EstimateEmailReturned
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_timestamp
from services.billing.jobs import tell_some
from services.billing.store import BillingStore
from tests.integration.test_billing_estimates import ask, asked
from tests.support.billing import COURSE, INFUSION, THERAPY, Billing, open_billing, open_chain
from tests.support.billing_estimates import EMAIL, ORAL, PAPER, acknowledge, deadlines, deliver, held
from tests.support.service import NOW, Running, refusal, refusing

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
SOON = datetime(2027, 3, 12, 16, tzinfo=UTC)  # Booked for it, an estimate is due on Tuesday.


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    billing = await open_chain(service)
    await billing.price()
    return billing


async def estimated(billing: Billing, **changes: Any) -> pb.Estimate:
    [estimate] = await billing.estimates_of(await billing.book(**changes))
    return estimate


async def test_a_delivery_is_kept_with_its_method_its_instant_and_who_kept_it(billing: Billing) -> None:
    estimate = await estimated(billing)
    billing.svc.clock.now = NOW + 2 * MINUTE
    desk = billing.svc.token("ROLE_FRONT_DESK", subject="ann")
    answer = await deliver(billing, estimate.id, EMAIL, desk, deliver_time=to_timestamp(NOW + MINUTE))
    [delivery] = answer.deliveries
    assert (delivery.method, delivery.recorded_by) == (EMAIL, "ann")
    assert delivery.deliver_time == to_timestamp(NOW + MINUTE)
    request = pb.GetEstimateRequest(estimate_id=estimate.id)
    assert (await billing.svc.call(billing.estimates.GetEstimate, request)).estimate == answer
    told = await billing.last_fact("estimate.delivered")
    assert (told.estimate_id, told.course_id, told.patient_id) == (estimate.id, estimate.course_id, estimate.patient_id)
    assert (told.written, told.deliver_time) == (True, to_timestamp(NOW + MINUTE))
    assert told.meta.site_id == estimate.site_id


def emailed(billing: Billing, estimate: pb.Estimate, sent: datetime, message_id: str = "") -> EstimateEmailed:
    return EstimateEmailed(**of_email(billing, estimate, sent, message_id))


def came_back(billing: Billing, estimate: pb.Estimate, at: datetime, message_id: str) -> EstimateEmailReturned:
    return EstimateEmailReturned(**of_email(billing, estimate, at, message_id))


def of_email(billing: Billing, estimate: pb.Estimate, at: datetime, message_id: str) -> dict[str, Any]:
    chain_id = to_wire("chain", billing.svc.chain_id)
    meta = EventMeta(event_id=str(uuid4()), occur_time=to_timestamp(at), chain_id=chain_id)
    ids = {"estimate_id": estimate.id, "patient_id": estimate.patient_id, "site_id": estimate.site_id}
    return {"meta": meta, **ids, "message_id": message_id}


async def test_an_estimate_that_went_out_by_email_is_delivered_once(billing: Billing) -> None:
    """When it was sent, though that is heard of later; the clock of whoever sent it may be ahead, or behind."""
    course = await billing.book()
    [estimate] = await billing.estimates_of(course)
    billing.svc.clock.now = NOW + 2 * MINUTE
    event = emailed(billing, estimate, NOW + MINUTE)
    for each in (event, event, emailed(billing, estimate, NOW + DAY), emailed(billing, estimate, NOW - DAY)):
        await billing.svc.deliver(each)
    [latest] = await billing.estimates_of(course)
    kept = [(each.method, each.deliver_time, each.recorded_by) for each in latest.deliveries]
    assert kept == [(EMAIL, to_timestamp(NOW + minutes * MINUTE), "billing") for minutes in (1, 2, 0)]
    assert (await billing.last_fact("estimate.delivered")).written
    assert await deadlines(billing) == []


async def replaced(billing: Billing) -> tuple[pb.Estimate, pb.Estimate]:
    """The first version of a course's estimate, and one that took its place a minute later; it is two minutes later."""
    course = await billing.book()
    [first] = await billing.estimates_of(course)
    billing.svc.clock.now = NOW + MINUTE
    await billing.cancel(course, 2)
    billing.svc.clock.now = NOW + 2 * MINUTE
    later, _ = sorted(await billing.estimates_of(course), key=lambda each: -each.version)
    return first, later


async def kept_of(billing: Billing, estimate: pb.Estimate) -> list[Any]:
    found = await billing.svc.call(billing.estimates.GetEstimate, pb.GetEstimateRequest(estimate_id=estimate.id))
    return [(each.method, each.deliver_time) for each in found.estimate.deliveries]


@pytest.mark.parametrize("at", [NOW, NOW + 2 * MINUTE])
async def test_of_an_estimate_that_was_emailed_a_later_version_is_to_be_delivered_still(
    billing: Billing, at: datetime
) -> None:
    """The email was a delivery of the version that it brought, though it went out before or after the later one."""
    first, later = await replaced(billing)
    await billing.svc.deliver(emailed(billing, first, at))
    assert (await kept_of(billing, first), await kept_of(billing, later)) == ([(EMAIL, to_timestamp(at))], [])
    assert [each.estimate_id for each in await deadlines(billing)] == [later.id]
    told = await billing.last_fact("estimate.delivered")
    assert (told.estimate_id, told.meta.aggregate_version) == (first.id, first.version)


async def test_an_email_of_a_version_that_has_a_later_one_is_kept_also_when_it_came_back(billing: Billing) -> None:
    first, later = await replaced(billing)
    message_id = to_wire("message", new_id())
    await billing.svc.deliver(came_back(billing, first, NOW + MINUTE, message_id))
    await billing.svc.deliver(emailed(billing, first, NOW, message_id))
    assert len(await kept_of(billing, first)) == 1
    assert (await billing.fact_names()).count("estimate.delivery_returned") == 1
    assert [each.estimate_id for each in await deadlines(billing)] == [later.id]


@pytest.mark.parametrize("first", ["emailed", "returned"])
async def test_an_email_that_came_back_is_due_again(billing: Billing, first: str) -> None:
    """In whatever order the two are heard of, and however often."""
    estimate, message_id = await estimated(billing, first=SOON), to_wire("message", new_id())
    sent, back = emailed(billing, estimate, NOW, message_id), came_back(billing, estimate, NOW + DAY, message_id)
    again = came_back(billing, estimate, NOW + 2 * DAY, message_id)
    for event in (sent, back, back) if first == "emailed" else (back, again, sent):
        await billing.svc.deliver(event)
    request = pb.GetEstimateRequest(estimate_id=estimate.id)
    [kept] = (await billing.svc.call(billing.estimates.GetEstimate, request)).estimate.deliveries
    assert (kept.method, kept.return_time) == (EMAIL, to_timestamp(NOW + DAY))
    delivered, returned = (await billing.facts())[-2:]
    assert [delivered[0], returned[0]] == ["estimate.delivered", "estimate.delivery_returned"]
    assert {(each.delivery_id, each.course_id) for _, each in (delivered, returned)} == {(kept.id, estimate.course_id)}
    assert {each.meta.aggregate_version for _, each in (delivered, returned)} == {1}
    [due] = await deadlines(billing)
    assert (due.estimate_id, due.standing) == (estimate.id, pb.ESTIMATE_STANDING_UNDELIVERED)
    billing.svc.clock.now = NOW + 10 * DAY
    assert [each.estimate_id for each in await overdue(billing)] == [estimate.id]
    assert [each.late for each in await deadlines(billing, "LATE")] == [True]


@pytest.mark.parametrize("other", ["paper before", "paper after", "another email"])
async def test_what_was_delivered_otherwise_stands_when_an_email_comes_back(billing: Billing, other: str) -> None:
    estimate, message_id = await estimated(billing), to_wire("message", new_id())
    if other == "paper before":
        await deliver(billing, estimate.id, PAPER)
    await billing.svc.deliver(emailed(billing, estimate, NOW, message_id))
    if other == "another email":
        await billing.svc.deliver(emailed(billing, estimate, NOW, to_wire("message", new_id())))
    await billing.svc.deliver(came_back(billing, estimate, NOW, message_id))
    if other == "paper after":
        assert len(await deadlines(billing)) == 1
        await deliver(billing, estimate.id, PAPER)
    assert await deadlines(billing) == []
    assert (await billing.fact_names()).count("estimate.delivery_returned") == 1


async def test_of_an_email_that_came_back_an_oral_answer_stands(billing: Billing) -> None:
    estimate, message_id = await ask(billing, asked(billing)), to_wire("message", new_id())
    await deliver(billing, estimate.id, ORAL)
    await billing.svc.deliver(emailed(billing, estimate, NOW, message_id))
    await billing.svc.deliver(came_back(billing, estimate, NOW, message_id))
    assert [each.estimate_id for each in await deadlines(billing, "ORAL_ONLY")] == [estimate.id]


async def test_an_email_that_came_back_asks_for_nothing_where_nothing_is_left_to_estimate(billing: Billing) -> None:
    course, message_id = await billing.book([INFUSION]), to_wire("message", new_id())
    [estimate] = await billing.estimates_of(course)
    await billing.svc.deliver(emailed(billing, estimate, NOW, message_id))
    await billing.cancel(course, 0)
    await billing.svc.deliver(came_back(billing, estimate, NOW, message_id))
    assert await deadlines(billing) == []
    assert "estimate.delivery_returned" in await billing.fact_names()


async def test_an_email_with_an_earlier_version_that_came_back_leaves_the_later_one_as_it_is(billing: Billing) -> None:
    course, message_id = await billing.book(), to_wire("message", new_id())
    [first] = await billing.estimates_of(course)
    await billing.svc.deliver(emailed(billing, first, NOW, message_id))
    await billing.cancel(course, 2)
    later, _ = sorted(await billing.estimates_of(course), key=lambda each: -each.version)
    await deliver(billing, later.id, PAPER)
    await billing.svc.deliver(came_back(billing, first, NOW, message_id))
    assert await deadlines(billing) == []
    assert (await billing.last_fact("estimate.delivery_returned")).meta.aggregate_version == 1


async def test_an_oral_answer_leaves_the_written_one_due(billing: Billing) -> None:
    estimate = await ask(billing, asked(billing))
    await deliver(billing, estimate.id, ORAL)
    assert not (await billing.last_fact("estimate.delivered")).written
    [due] = await deadlines(billing, "ORAL_ONLY")
    assert (due.estimate_id, due.standing, due.course_id) == (estimate.id, pb.ESTIMATE_STANDING_ORAL_ONLY, "")
    assert len(await deadlines(billing)) == 1
    await deliver(billing, estimate.id, PAPER)
    assert await deadlines(billing, "ORAL_ONLY") == await deadlines(billing) == []


async def test_a_delivery_that_is_sent_twice_is_one(billing: Billing) -> None:
    estimate = await estimated(billing)
    request_id = str(uuid4())
    first = await deliver(billing, estimate.id, request_id=request_id)
    assert await deliver(billing, estimate.id, request_id=request_id) == first
    assert await billing.count("estimate_delivery") == 1
    assert (await billing.fact_names()).count("estimate.delivered") == 1


@pytest.mark.parametrize("at", [NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)])
async def test_nothing_is_delivered_in_the_future_or_before_it_was_issued(billing: Billing, at: datetime) -> None:
    estimate = await estimated(billing)
    refused = await refusal(deliver(billing, estimate.id, deliver_time=to_timestamp(at)))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "DELIVERY_TIME_WRONG")
    assert refused.faults == [("deliver_time", "DELIVERY_TIME_WRONG")]
    assert await billing.count("estimate_delivery") == 0
    assert "estimate.delivered" not in await billing.fact_names()


async def test_what_lacks_a_price_is_not_delivered(billing: Billing) -> None:
    estimate = await estimated(billing, kinds=[THERAPY])
    refused = await refusal(deliver(billing, estimate.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "ESTIMATE_NOT_ISSUED")
    assert await billing.count("estimate_delivery") == 0


@pytest.mark.parametrize("at", [NOW, NOW + 2 * MINUTE])
async def test_a_version_that_has_a_later_one_was_delivered_at_an_instant_that_is_named(
    billing: Billing, at: datetime
) -> None:
    """A letter may cross with the later version: that one is still to be delivered."""
    first, later = await replaced(billing)
    answer = await deliver(billing, first.id, deliver_time=to_timestamp(at))
    assert [(each.method, each.deliver_time) for each in answer.deliveries] == [(PAPER, to_timestamp(at))]
    [due] = await deadlines(billing)
    assert (due.estimate_id, due.standing) == (later.id, pb.ESTIMATE_STANDING_UNDELIVERED)
    told = await billing.last_fact("estimate.delivered")
    assert (told.estimate_id, told.meta.aggregate_version) == (first.id, first.version)


async def test_a_delivery_of_a_version_that_has_a_later_one_leaves_that_delivered_as_it_was(billing: Billing) -> None:
    first, later = await replaced(billing)
    await deliver(billing, later.id)
    await deliver(billing, first.id, ORAL, deliver_time=to_timestamp(NOW))
    assert await deadlines(billing) == []


@pytest.mark.parametrize("at", [NOW - MINUTE, NOW + 3 * MINUTE])
async def test_a_version_that_has_a_later_one_was_delivered_neither_in_the_future_nor_before_it_was_issued(
    billing: Billing, at: datetime
) -> None:
    first, _ = await replaced(billing)
    refused = await refusal(deliver(billing, first.id, deliver_time=to_timestamp(at)))
    assert (refused.reason, refused.faults) == ("DELIVERY_TIME_WRONG", [("deliver_time", "DELIVERY_TIME_WRONG")])
    assert await billing.count("estimate_delivery") == 0


async def test_a_version_that_has_a_later_one_is_not_delivered_now(billing: Billing) -> None:
    course = await billing.book()
    [first] = await billing.estimates_of(course)
    await billing.cancel(course, 2)
    refused = await refusal(deliver(billing, first.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "ESTIMATE_SUPERSEDED")
    assert await billing.count("estimate_delivery") == 0


async def test_a_delivery_waits_for_a_change_that_is_under_way(billing: Billing) -> None:
    """Else it would be of a version that is the latest no more."""
    course = await billing.book()
    [first] = await billing.estimates_of(course)
    request = pb.AcknowledgeEstimateRequest(request_id=str(uuid4()), estimate_id=first.id)

    async def change(store: BillingStore) -> None:
        await store.lock([from_wire("site", billing.site_id)])

    async with billing.held_open(request, change):
        delivery = asyncio.create_task(deliver(billing, first.id))
        await billing.someone_waits()
        assert await billing.count("estimate_delivery") == 0
    await delivery
    assert await billing.count("estimate_delivery") == 1


async def test_an_email_that_came_back_waits_for_its_delivery_that_is_under_way(billing: Billing) -> None:
    """Else neither would see the other."""
    estimate, message_id = await estimated(billing), to_wire("message", new_id())
    await billing.svc.deliver(emailed(billing, estimate, NOW, message_id))
    request = pb.AcknowledgeEstimateRequest(request_id=str(uuid4()), estimate_id=estimate.id)

    async def change(store: BillingStore) -> None:
        await store.lock([from_wire("site", billing.site_id)])

    async with billing.held_open(request, change):
        back = asyncio.create_task(billing.svc.deliver(came_back(billing, estimate, NOW, message_id)))
        await billing.someone_waits()
        assert await billing.count("estimate_return") == 0
    await back
    assert await billing.count("estimate_return") == 1


async def test_what_does_not_exist_is_neither_delivered_nor_acknowledged(billing: Billing) -> None:
    missing = to_wire("estimate", new_id())
    for change in (deliver, acknowledge):
        refused = await refusal(change(billing, missing))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "ESTIMATE_NOT_FOUND")


async def test_a_patient_acknowledges_once_what_was_delivered(billing: Billing) -> None:
    estimate = await estimated(billing)
    refused = await refusal(acknowledge(billing, estimate.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "ESTIMATE_NOT_DELIVERED")
    assert await billing.count("estimate_acknowledgement") == 0
    await deliver(billing, estimate.id)
    answer = await acknowledge(billing, estimate.id, billing.svc.token("ROLE_INTEGRATION"))
    assert answer.acknowledge_time == to_timestamp(NOW)
    told = await billing.last_fact("estimate.acknowledged")
    assert (told.estimate_id, told.course_id) == (estimate.id, estimate.course_id)
    again = await refusal(acknowledge(billing, estimate.id))
    assert (again.code, again.reason) == (StatusCode.FAILED_PRECONDITION, "ESTIMATE_ACKNOWLEDGED")
    assert (await billing.fact_names()).count("estimate.acknowledged") == 1


async def test_an_acknowledgement_that_is_sent_twice_is_one(billing: Billing) -> None:
    estimate = await estimated(billing)
    await deliver(billing, estimate.id)
    request = pb.AcknowledgeEstimateRequest(request_id=str(uuid4()), estimate_id=estimate.id)
    first = await billing.svc.call(billing.estimates.AcknowledgeEstimate, request)
    assert await billing.svc.call(billing.estimates.AcknowledgeEstimate, request) == first
    assert (await billing.fact_names()).count("estimate.acknowledged") == 1


async def test_two_who_acknowledge_at_once_do_so_once(billing: Billing) -> None:
    estimate = await estimated(billing)
    await deliver(billing, estimate.id)
    found = pb.AcknowledgeEstimateRequest(request_id=str(uuid4()), estimate_id=estimate.id)

    async def first(store: BillingStore) -> None:
        await store.acknowledge(await store.estimate(from_wire("estimate", estimate.id)))

    async with billing.held_open(found, first):
        second = asyncio.create_task(refusal(acknowledge(billing, estimate.id)))
        await billing.someone_waits()
    assert (await second).reason == "ESTIMATE_ACKNOWLEDGED"


async def test_another_site_another_chain_and_other_roles_deliver_nothing(billing: Billing) -> None:
    estimate = await estimated(billing)
    for token in (billing.at(await billing.register_site()), billing.svc.token("ROLE_BILLING", chain_id=new_id())):
        for change in (deliver(billing, estimate.id, token=token), acknowledge(billing, estimate.id, token)):
            assert (await refusal(change)).reason == "ESTIMATE_NOT_FOUND"
    for role in ("ROLE_NURSE", "ROLE_AUDITOR", "ROLE_PATIENT"):
        token = billing.svc.token(role)
        for change in (deliver(billing, estimate.id, token=token), acknowledge(billing, estimate.id, token)):
            assert (await refusal(change)).reason == "ACCESS_DENIED"
    assert await billing.count("estimate_delivery") == 0


# The worklist.


async def test_the_worklist_shows_what_presses_most_first(billing: Billing) -> None:
    far = await estimated(billing)
    near = await estimated(billing, first=SOON)
    short = await estimated(billing, first=NOW + DAY)  # The law asks for none.
    assert [each.estimate_id for each in await deadlines(billing)] == [near.id, far.id]
    assert short.id not in [each.estimate_id for each in await deadlines(billing, "DUE_TODAY")]
    [due, _] = await deadlines(billing)
    assert (due.due_time, due.late) == (to_timestamp(datetime(2027, 3, 3, 7, tzinfo=UTC)), False)
    assert due.trigger == pb.ESTIMATE_TRIGGER_BOOKED_3_DAYS_AHEAD
    assert (due.patient_id, due.course_id) == (near.patient_id, near.course_id)


async def test_the_worklist_tells_todays_and_late_ones_by_the_sites_day(billing: Billing) -> None:
    near = await estimated(billing, first=SOON)
    for now, today, late in (
        (datetime(2027, 3, 2, 6, 59, tzinfo=UTC), 0, 0),  # Monday in Denver,
        (datetime(2027, 3, 2, 7, tzinfo=UTC), 1, 0),  # Tuesday,
        (datetime(2027, 3, 3, 6, 59, tzinfo=UTC), 1, 0),
        (datetime(2027, 3, 3, 7, tzinfo=UTC), 1, 1),  # and it is over.
    ):
        billing.svc.clock.now = now
        assert [len(await deadlines(billing, each)) for each in ("DUE_TODAY", "LATE")] == [today, late], now
    [shown] = await deadlines(billing, "LATE")
    assert (shown.estimate_id, shown.late) == (near.id, True)


async def test_the_worklist_shows_what_lacks_a_price_also_where_nothing_is_due(billing: Billing) -> None:
    event = billing.course_event([THERAPY])
    await billing.svc.deliver(held(event))
    [shown] = await deadlines(billing, "UNPRICED")
    assert (shown.course_id, shown.standing) == (event.course_id, pb.ESTIMATE_STANDING_UNPRICED)
    assert not shown.HasField("due_time")
    assert await deadlines(billing) == []
    await billing.price([("therapy", "", "", 200, "Talk")], effective=(NOW + DAY).date())
    assert await deadlines(billing, "UNPRICED") == []


async def test_the_worklist_comes_in_pages(billing: Billing) -> None:
    made = [(await estimated(billing, first=first)).id for first in (SOON, SOON, SOON + 10 * DAY)]
    seen, token = list[str](), ""
    for _ in range(3):
        request = pb.ListEstimateDeadlinesRequest(site_id=billing.site_id, page_size=1, page_token=token)
        page = await billing.svc.call(billing.estimates.ListEstimateDeadlines, request)
        seen += [each.estimate_id for each in page.deadlines]
        token = page.next_page_token
    assert (seen, token) == (made, "")
    other = pb.ListEstimateDeadlinesRequest(
        site_id=billing.site_id, filter=pb.ESTIMATE_DEADLINE_FILTER_LATE, page_size=1, page_token="x"
    )
    assert (await refusal(billing.svc.call(billing.estimates.ListEstimateDeadlines, other))).reason == "BAD_PAGE_TOKEN"


async def test_the_worklist_is_a_sites_own(billing: Billing) -> None:
    elsewhere = await billing.register_site()
    await estimated(billing)
    request = pb.ListEstimateDeadlinesRequest(site_id=billing.site_id)
    listing = billing.estimates.ListEstimateDeadlines
    assert (await refusal(billing.svc.call(listing, request, billing.at(elsewhere)))).reason == "ACCESS_DENIED"
    nurse = billing.svc.token("ROLE_NURSE")
    assert (await refusal(billing.svc.call(listing, request, nurse))).reason == "ACCESS_DENIED"
    assert (await refusal(billing.svc.call(listing, request, billing.svc.token(chain_id=new_id())))).reason == (
        "NOT_YET_KNOWN"
    )
    of_other = pb.ListEstimateDeadlinesRequest(site_id=elsewhere)
    assert not (await billing.svc.call(listing, of_other)).deadlines


# What is overdue.


async def overdue(billing: Billing) -> list[Any]:
    await tell_some(billing.svc.db, billing.svc.clock)
    return [event for name, event in await billing.facts() if name == "estimate.overdue"]


async def test_what_is_overdue_is_told_once(billing: Billing) -> None:
    near = await estimated(billing, first=SOON)
    await estimated(billing)
    billing.svc.clock.now = datetime(2027, 3, 3, 6, 59, tzinfo=UTC)
    assert await overdue(billing) == []
    billing.svc.clock.now = datetime(2027, 3, 3, 7, tzinfo=UTC)
    [told] = await overdue(billing)
    assert (told.estimate_id, told.course_id, told.patient_id) == (near.id, near.course_id, near.patient_id)
    assert told.due_time == to_timestamp(datetime(2027, 3, 3, 7, tzinfo=UTC))
    assert len(await overdue(billing)) == 1


async def test_what_was_delivered_in_writing_is_never_overdue_and_an_oral_answer_is(billing: Billing) -> None:
    written, oral = await estimated(billing, first=SOON), await estimated(billing, first=SOON)
    await deliver(billing, written.id)
    await deliver(billing, oral.id, ORAL)
    billing.svc.clock.now = NOW + 10 * DAY
    assert [each.estimate_id for each in await overdue(billing)] == [oral.id]


async def test_what_was_told_to_be_overdue_is_not_told_again_for_an_oral_answer(billing: Billing) -> None:
    near = await estimated(billing, first=SOON)
    billing.svc.clock.now = NOW + 10 * DAY
    assert len(await overdue(billing)) == 1
    await deliver(billing, near.id, ORAL)
    assert len(await overdue(billing)) == 1


async def test_what_is_asked_for_anew_after_it_was_delivered_late_is_told_again(billing: Billing) -> None:
    near, message_id = await estimated(billing, first=SOON), to_wire("message", new_id())
    billing.svc.clock.now = NOW + 10 * DAY
    assert len(await overdue(billing)) == 1
    await billing.svc.deliver(emailed(billing, near, billing.svc.now, message_id))
    assert len(await overdue(billing)) == 1
    await billing.svc.deliver(came_back(billing, near, billing.svc.now, message_id))
    assert len(await overdue(billing)) == 2


async def test_of_two_who_look_for_the_overdue_one_tells(billing: Billing) -> None:
    await estimated(billing, kinds=[INFUSION], first=SOON)
    await estimated(billing, kinds=COURSE, first=SOON)
    billing.svc.clock.now = NOW + 10 * DAY
    await asyncio.gather(*(tell_some(billing.svc.db, billing.svc.clock) for _ in range(3)))
    assert len(await overdue(billing)) == 2


async def test_a_chain_that_cannot_be_looked_at_now_holds_up_no_other(billing: Billing, service: Running) -> None:
    await estimated(billing, first=SOON)
    second = await open_chain(service)
    await second.price()
    due = await estimated(second, first=SOON)
    second.svc.clock.now = NOW + 10 * DAY
    await tell_some(refusing(second.svc.db, billing.svc.chain_id), second.svc.clock)
    assert (await second.last_fact("estimate.overdue")).estimate_id == due.id
