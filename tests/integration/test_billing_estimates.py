"""Estimates: of booked courses, on request, and when a price is missing."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.billing.v1 import charge_pb2
from atoll.billing.v1 import estimate_service_pb2 as pb
from atoll.scheduling.v1.events_pb2 import CourseBooked, CourseHeld, CourseHoldExpired, CourseHoldReleased
from chassis.errors import NotYetKnown
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_date, to_timestamp
from services.billing.domain.sites import VisitStatus
from tests.support.billing import (
    ASSESSMENT,
    COURSE,
    FIRST_VISIT,
    INFUSION,
    ITEMS,
    LONG_INFUSION,
    THERAPY,
    TODAY,
    Billing,
    BookedCourse,
    Kind,
    dollars,
    open_billing,
    open_chain,
)
from tests.support.invoicing import Invoicing
from tests.support.service import NOW, Running, refusal

DAY = timedelta(days=1)
THERAPY_TOO = [("therapy", "", "", 200, "Therapy hour"), ("infusion", "", "", 450, "Infusion")]


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    return await open_chain(service)


def asked(billing: Billing, kinds: Sequence[Kind] = COURSE, **changes: Any) -> pb.CreateEstimateRequest:
    fields: dict[str, Any] = {
        "request_id": str(uuid4()),
        "site_id": billing.site_id,
        "patient_id": billing.patient_id,
        "visits": [
            pb.CreateEstimateRequest.PlannedVisit(
                visit_type_code=visit_type_code,
                route_code=route_code,
                band_code=band_code,
                start_time=to_timestamp(FIRST_VISIT + n * DAY),
            )
            for n, (visit_type_code, route_code, band_code) in enumerate(kinds)
        ],
    }
    return pb.CreateEstimateRequest(**fields | changes)


async def ask(billing: Billing, request: pb.CreateEstimateRequest, token: str | None = None) -> pb.Estimate:
    answer = await billing.svc.call(billing.estimates.CreateEstimate, request, token)
    return answer.estimate  # type: ignore[no-any-return]


async def listed(billing: Billing, **request: Any) -> list[str]:
    answer = await billing.svc.call(billing.estimates.ListEstimates, pb.ListEstimatesRequest(**request))
    return [estimate.id for estimate in answer.estimates]


def lines(estimate: pb.Estimate) -> list[tuple[str, int, float | None, float | None]]:
    return [(each.description, each.count, dollars(each.unit_price), dollars(each.amount)) for each in estimate.lines]


async def test_a_booked_course_is_estimated_by_the_price_book_in_force(billing: Billing) -> None:
    book = await billing.price()
    await billing.price(effective=TODAY + DAY)
    course = await billing.book([*COURSE, LONG_INFUSION])

    [estimate] = await billing.estimates_of(course)
    assert lines(estimate) == [
        ("Evaluation", 1, 300, 300),
        ("IV infusion", 2, 590, 1180),
        ("Long IV infusion", 1, 800, 800),
    ]
    assert (dollars(estimate.total), dollars(estimate.deposit_due)) == (2280, 150)
    assert (estimate.price_book_id, estimate.price_book_version, estimate.version) == (book.id, 1, 1)
    assert (estimate.course_id, estimate.patient_id, estimate.site_id) == (course.id, course.patient_id, course.site_id)
    assert estimate.service_date == to_date(FIRST_VISIT.date())
    request = pb.GetEstimateRequest(estimate_id=estimate.id)
    assert (await billing.svc.call(billing.estimates.GetEstimate, request)).estimate == estimate


async def test_an_issued_estimate_is_told_with_its_total_deposit_and_deadline(billing: Billing) -> None:
    await billing.price()
    course = await billing.book()
    issued = await billing.last_fact("estimate.issued")
    assert (issued.course_id, issued.patient_id, issued.site_id) == (course.id, course.patient_id, course.site_id)
    assert (dollars(issued.total), dollars(issued.deposit_due)) == (1480, 150)
    assert issued.due_time.ToDatetime(tzinfo=UTC) == datetime(2027, 3, 5, 7, tzinfo=UTC)
    assert issued.meta.site_id == course.site_id


@pytest.mark.parametrize(
    ("first", "trigger", "due"),
    [
        # Booked on Monday 1 March: due within three business days, Thursday; in Denver it is over at seven in UTC.
        (datetime(2027, 3, 15, 15, tzinfo=UTC), "BOOKED_10_DAYS_AHEAD", datetime(2027, 3, 5, 7, tzinfo=UTC)),
        (datetime(2027, 3, 12, 16, tzinfo=UTC), "BOOKED_3_DAYS_AHEAD", datetime(2027, 3, 3, 7, tzinfo=UTC)),
        (datetime(2027, 3, 4, 16, tzinfo=UTC), "BOOKED_3_DAYS_AHEAD", datetime(2027, 3, 3, 7, tzinfo=UTC)),
        # Wednesday evening in Denver, though Thursday in UTC.
        (datetime(2027, 3, 4, 1, tzinfo=UTC), "SHORT_NOTICE", None),
    ],
)
async def test_the_legal_clock_runs_in_the_sites_business_days(
    billing: Billing, first: datetime, trigger: str, due: datetime | None
) -> None:
    await billing.price()
    [estimate] = await billing.estimates_of(await billing.book(first=first))
    assert pb.EstimateTrigger.Name(estimate.trigger) == f"ESTIMATE_TRIGGER_{trigger}"
    assert estimate.HasField("due_time") == (due is not None)
    assert not due or estimate.due_time.ToDatetime(tzinfo=UTC) == due


async def test_the_price_book_is_that_of_the_booking_though_the_event_comes_late(billing: Billing) -> None:
    await billing.price()
    event = billing.course_event()
    event.meta.event_id, event.meta.chain_id = str(uuid4()), to_wire("chain", billing.svc.chain_id)
    event.meta.occur_time.CopyFrom(to_timestamp(NOW))
    billing.svc.clock.now = NOW + 2 * DAY
    await billing.price([("infusion", "", "", 999, "Dearer")], effective=TODAY + DAY)
    await billing.svc.deliver(event)
    issued = await billing.last_fact("estimate.issued")
    assert dollars(issued.total) == 1480
    assert issued.due_time.ToDatetime(tzinfo=UTC) == datetime(2027, 3, 5, 7, tzinfo=UTC)


async def test_a_course_booked_twice_over_is_estimated_once(billing: Billing) -> None:
    """Another event id, as after a restore: the inbox does not know it."""
    await billing.price()
    course = await billing.book()
    again = type(course.event)()
    again.CopyFrom(course.event)
    again.ClearField("meta")
    await billing.svc.deliver(again)
    await billing.svc.deliver(course.event)
    assert await billing.count("estimate") == 1
    assert await billing.fact_names() == ["price_book.published", "estimate.issued"]


async def test_a_course_waits_for_the_site_and_the_protocol_that_it_names(billing: Billing) -> None:
    event = billing.course_event(site_id=to_wire("site", new_id()))
    with pytest.raises(NotYetKnown) as waiting:
        await billing.svc.deliver(event)
    assert waiting.value.waits_for == event.site_id
    await billing.svc.deliver(billing.site_event(event.site_id))
    await billing.svc.deliver(event)

    other = billing.course_event()
    other.protocol_version_id = to_wire("protocolversion", new_id())
    with pytest.raises(NotYetKnown) as waiting:
        await billing.svc.deliver(other)
    assert waiting.value.waits_for == other.protocol_version_id
    assert await billing.count("course") == 1


async def test_a_course_without_a_price_is_kept_and_shown_and_not_issued(billing: Billing) -> None:
    course = await billing.book()
    [estimate] = await billing.estimates_of(course)
    assert lines(estimate) == [("Assessment", 1, None, None), ("Infusion", 2, None, None)]
    assert not estimate.HasField("total")
    assert estimate.price_book_id == ""
    assert await billing.fact_names() == []
    assert await listed(billing, site_id=billing.site_id, unpriced_only=True) == [estimate.id]
    account = await billing.course_account(course)
    assert not account.deposit_covered
    assert not account.HasField("estimated")


async def test_publishing_prices_issues_the_estimates_that_waited_for_them(billing: Billing) -> None:
    course = await billing.book()
    book = await billing.price()
    second, first = await billing.estimates_of(course)
    assert [first.version, second.version] == [1, 2]
    assert (dollars(second.total), second.price_book_id) == (1480, book.id)
    assert (second.trigger, second.due_time) == (first.trigger, first.due_time)
    assert await billing.fact_names() == ["price_book.published", "estimate.issued"]
    assert await listed(billing, site_id=billing.site_id, unpriced_only=True) == []


async def test_a_later_price_book_fills_a_gap_and_changes_no_price(billing: Billing) -> None:
    await billing.price()
    course = await billing.book([*COURSE, THERAPY])
    assert lines((await billing.estimates_of(course))[0])[-1] == ("Therapy hour", 1, None, None)
    assert await billing.fact_names() == ["price_book.published"]

    await billing.price(THERAPY_TOO, effective=TODAY + DAY)
    latest = (await billing.estimates_of(course))[0]
    assert lines(latest) == [
        ("Evaluation", 1, 300, 300),
        ("IV infusion", 2, 590, 1180),
        ("Therapy hour", 1, 200, 200),
    ]
    assert (dollars(latest.total), latest.price_book_version, latest.version) == (1680, 1, 2)


async def test_publishing_does_not_repeat_what_it_cannot_better(billing: Billing) -> None:
    await billing.price()
    course = await billing.book([THERAPY])
    done = await billing.book()
    await billing.price([("talk", "", "", 1, "Talk")], effective=TODAY + DAY)
    assert len(await billing.estimates_of(course)) == 1
    assert len(await billing.estimates_of(done)) == 1


async def test_prices_of_one_site_price_no_course_of_another(billing: Billing) -> None:
    elsewhere = await billing.register_site()
    course = await billing.book(site_id=elsewhere)
    await billing.price()
    assert len(await billing.estimates_of(course)) == 1
    await billing.price(site_id=elsewhere)
    assert len(await billing.estimates_of(course)) == 2


async def test_an_estimate_tells_the_taxes_that_are_added(billing: Billing) -> None:
    await billing.price()
    desk = Invoicing(billing)
    await desk.tax(name="City", rate_ppm=10_000, kinds=[charge_pb2.CHARGE_KIND_PRODUCT])
    await desk.tax(name="Included", rate_ppm=50_000, included=True)
    await desk.tax(effective=TODAY + DAY)
    await desk.tax(name="Later", rate_ppm=10_000, effective=FIRST_VISIT.date() + DAY)
    [estimate] = await billing.estimates_of(await billing.book())
    # Of 1,480 in all, of which what includes five percent is parted first, rounded once; a percent more from the second
    # visit on.
    assert [dollars(line.amount) for line in estimate.lines] == [300, 1180]
    assert [dollars(line.tax) for line in estimate.lines] == [21.79, 96.93]
    assert dollars(estimate.total) == 1598.72
    [line] = (await ask(billing, asked(billing, [INFUSION]))).lines
    assert (dollars(line.amount), dollars(line.tax)) == (590, 42.85)


async def test_a_course_across_a_change_of_rate_is_estimated_and_billed_by_the_day_of_each_visit(
    billing: Billing,
) -> None:
    """The assessment and the first infusion under 5 %, the second infusion under 10 %."""
    await billing.price()
    desk, changes = Invoicing(billing), FIRST_VISIT.date() + 14 * DAY
    await desk.tax(50_000)
    await desk.tax(100_000, effective=changes)
    course = await billing.book()
    [estimate] = await billing.estimates_of(course)
    assert [(line.description, line.count, dollars(line.tax)) for line in estimate.lines] == [
        ("Evaluation", 1, 15),
        ("IV infusion", 1, 29.5),
        ("IV infusion", 1, 59),
    ]
    first = FIRST_VISIT.date()
    shown = [[(day.month, day.day) for day in line.service_dates] for line in estimate.lines]
    assert shown == [[((first + days * DAY).month, (first + days * DAY).day)] for days in (0, 7, 14)]
    content = (await billing.fetch("SELECT content FROM document_order ORDER BY id DESC LIMIT 1"))[0]["content"]
    [provider] = json.loads(content)["providers"]
    assert [bool(line["dates"]) for line in provider["lines"]] == [False, True, True]
    await billing.complete(course)
    invoice = await billing.issue(course)
    assert dollars(invoice.total) == dollars(estimate.total) == 1583.5


async def test_an_estimate_that_gets_its_prices_later_is_taxed_by_the_day_of_each_visit(billing: Billing) -> None:
    """Also by rules that were set meanwhile."""
    await billing.price(ITEMS[:1])
    desk = Invoicing(billing)
    await desk.tax(50_000)
    course = await billing.book()
    await desk.tax(100_000, effective=FIRST_VISIT.date() + 14 * DAY)
    await billing.price(effective=TODAY + DAY)
    issued, _ = await billing.estimates_of(course)
    assert [dollars(line.tax) for line in issued.lines] == [15, 29.5, 59]


async def test_lines_that_were_made_before_they_had_days_are_of_the_day_of_the_first_visit(billing: Billing) -> None:
    await billing.price()
    [estimate] = await billing.estimates_of(await billing.book())
    await billing.svc.admin.execute("SET session_replication_role = replica")
    await billing.svc.admin.execute("UPDATE estimate_line SET service_dates = '[]'")
    await billing.svc.admin.execute("SET session_replication_role = origin")
    request = pb.GetEstimateRequest(estimate_id=estimate.id)
    again = (await billing.svc.call(billing.estimates.GetEstimate, request)).estimate
    assert [line.count for line in again.lines] == [1, 2]
    assert {str(day) for line in again.lines for day in line.service_dates} == {str(again.service_date)}


async def test_an_estimate_without_a_price_has_no_taxes_until_it_has_them_all(billing: Billing) -> None:
    await billing.price(ITEMS[:1])
    await Invoicing(billing).tax()
    course = await billing.book()
    [estimate] = await billing.estimates_of(course)
    assert not estimate.HasField("total")
    assert not any(line.HasField("tax") for line in estimate.lines)
    await billing.price(effective=TODAY + DAY)
    issued, _ = await billing.estimates_of(course)
    assert [dollars(line.tax) for line in issued.lines] == [22.88, 89.97]


async def test_an_estimate_on_request_is_due_within_three_business_days(billing: Billing) -> None:
    book = await billing.price()
    estimate = await ask(billing, asked(billing))
    assert lines(estimate) == [("Evaluation", 1, 300, 300), ("IV infusion", 2, 590, 1180)]
    assert (dollars(estimate.total), estimate.course_id, estimate.version) == (1480, "", 1)
    assert (estimate.trigger, estimate.price_book_id) == (pb.ESTIMATE_TRIGGER_REQUEST, book.id)
    assert estimate.due_time.ToDatetime(tzinfo=UTC) == datetime(2027, 3, 5, 7, tzinfo=UTC)
    issued = await billing.last_fact("estimate.issued")
    assert (issued.estimate_id, issued.course_id, dollars(issued.total)) == (estimate.id, "", 1480)
    assert await listed(billing, patient_id=billing.patient_id) == [estimate.id]


async def test_an_estimate_that_is_asked_for_again_is_the_same(billing: Billing) -> None:
    await billing.price()
    request = asked(billing)
    assert await ask(billing, request) == await ask(billing, request)
    assert await billing.count("estimate") == 1


async def test_an_estimate_on_request_names_every_visit_without_a_price(billing: Billing) -> None:
    await billing.price()
    refused = await refusal(ask(billing, asked(billing, [ASSESSMENT, THERAPY, INFUSION, THERAPY])))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PRICE_MISSING")
    assert refused.faults == [("visits[1]", "PRICE_MISSING"), ("visits[3]", "PRICE_MISSING")]
    assert await billing.count("estimate") == 0


async def test_a_visit_in_the_past_is_not_estimated(billing: Billing) -> None:
    await billing.price()
    request = asked(billing)
    request.visits[1].start_time.CopyFrom(to_timestamp(NOW - timedelta(seconds=1)))
    refused = await refusal(ask(billing, request))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "VISIT_IN_PAST")
    assert refused.faults == [("visits[1].start_time", "VISIT_IN_PAST")]


@pytest.mark.parametrize("what", ["site", "patient"])
async def test_an_estimate_waits_for_whom_it_names(billing: Billing, what: str) -> None:
    unknown = to_wire(what, new_id())
    refused = await refusal(ask(billing, asked(billing, COURSE, **{f"{what}_id": unknown})))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "NOT_YET_KNOWN")
    assert refused.metadata == {"waits_for": unknown}


async def test_what_does_not_exist_is_not_found(billing: Billing) -> None:
    request = pb.GetEstimateRequest(estimate_id=to_wire("estimate", new_id()))
    refused = await refusal(billing.svc.call(billing.estimates.GetEstimate, request))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "ESTIMATE_NOT_FOUND")


async def test_the_list_comes_in_pages_the_newest_first(billing: Billing) -> None:
    await billing.price()
    made = [(await ask(billing, asked(billing))).id for _ in range(5)]
    seen, token = list[str](), ""
    for _ in range(3):
        request = pb.ListEstimatesRequest(site_id=billing.site_id, page_size=2, page_token=token)
        page = await billing.svc.call(billing.estimates.ListEstimates, request)
        seen += [estimate.id for estimate in page.estimates]
        token = page.next_page_token
    assert (seen, token) == (made[::-1], "")
    wrong = pb.ListEstimatesRequest(patient_id=billing.patient_id, page_token="x")
    assert (await refusal(billing.svc.call(billing.estimates.ListEstimates, wrong))).reason == "BAD_PAGE_TOKEN"


async def test_another_site_and_another_chain_do_not_see_an_estimate(billing: Billing) -> None:
    await billing.price()
    [estimate] = await billing.estimates_of(await billing.book())
    read = pb.GetEstimateRequest(estimate_id=estimate.id)
    of_patient = pb.ListEstimatesRequest(patient_id=billing.patient_id)
    for token in (billing.at(await billing.register_site()), billing.svc.token(chain_id=new_id())):
        refused = await refusal(billing.svc.call(billing.estimates.GetEstimate, read, token))
        assert refused.reason == "ESTIMATE_NOT_FOUND"
        assert not (await billing.svc.call(billing.estimates.ListEstimates, of_patient, token)).estimates
    here = billing.at(billing.site_id, "ROLE_FRONT_DESK")
    assert (await billing.svc.call(billing.estimates.GetEstimate, read, here)).estimate == estimate
    assert (await refusal(ask(billing, asked(billing), here))).reason == "ACCESS_DENIED"


def held(event: CourseBooked) -> CourseHeld:
    fields = {field.name: value for field, value in event.ListFields() if field.name != "meta"}
    return CourseHeld(**fields)


async def visit_statuses(billing: Billing, course_id: str) -> list[int]:
    of_course = "SELECT status FROM visit WHERE course_id = $1 ORDER BY start_at"
    rows = await billing.svc.admin.fetch(of_course, from_wire("course", course_id))
    return [row["status"] for row in rows]


async def test_a_held_course_is_estimated_as_a_booked_one_and_booking_it_changes_nothing(billing: Billing) -> None:
    await billing.price()
    event = billing.course_event()
    await billing.svc.deliver(held(event))
    issued = await billing.last_fact("estimate.issued")
    assert (issued.course_id, dollars(issued.total), dollars(issued.deposit_due)) == (event.course_id, 1480, 150)
    await billing.svc.deliver(event)
    course = BookedCourse(event.course_id, event.site_id, event.patient_id, event)
    [estimate] = await billing.estimates_of(course)
    assert (estimate.version, dollars(estimate.total)) == (1, 1480)


async def test_further_visits_of_a_course_make_the_next_version_of_its_estimate(billing: Billing) -> None:
    await billing.price()
    course = await billing.book([ASSESSMENT])
    further = billing.course_event([INFUSION, INFUSION])
    further.course_id = course.id
    await billing.svc.deliver(held(further))
    await billing.svc.deliver(further)
    latest, first = await billing.estimates_of(course)
    assert (first.version, lines(first)) == (1, [("Evaluation", 1, 300, 300)])
    assert (latest.version, lines(latest)) == (2, [("Evaluation", 1, 300, 300), ("IV infusion", 2, 590, 1180)])
    assert latest.price_book_id == first.price_book_id


@pytest.mark.parametrize("ended", [CourseHoldExpired, CourseHoldReleased])
async def test_visits_of_a_hold_that_has_ended_are_off(billing: Billing, ended: Any) -> None:
    await billing.price()
    event = billing.course_event()
    await billing.svc.deliver(held(event))
    ids = [visit.visit_id for visit in event.visits]
    ids_ = {"course_id": event.course_id, "site_id": event.site_id, "patient_id": event.patient_id}
    await billing.svc.deliver(ended(**ids_, visit_ids=ids))
    assert await visit_statuses(billing, event.course_id) == [VisitStatus.CANCELLED] * 3
