"""Estimates of courses as their visits change: held, booked, more of them, fewer, too late, too long."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from atoll.billing.v1 import estimate_service_pb2 as pb
from atoll.patients.v1.events_pb2 import PatientMerged
from atoll.scheduling.v1.events_pb2 import (
    CourseHoldExpired,
    CourseHoldReleased,
    ResourceRegistered,
    ResourceUpdated,
    SiteUpdated,
)
from atoll.scheduling.v1.protocol_pb2 import RESOURCE_KIND_ROOM, RESOURCE_KIND_STAFF
from chassis.errors import NotYetKnown
from chassis.ids import from_wire
from chassis.times import to_date, to_timestamp
from tests.integration.test_billing_estimates import ask, asked, lines
from tests.support.billing import (
    ASSESSMENT,
    FIRST_VISIT,
    INFUSION,
    THERAPY,
    TODAY,
    Billing,
    BookedCourse,
    dollars,
    open_billing,
    open_chain,
    usd,
)
from tests.support.billing_estimates import code, deadlines, deliver, further, held, resource_id
from tests.support.service import NOW, Running, refusal

DAY = timedelta(days=1)
THREE_INFUSIONS = (INFUSION, INFUSION, INFUSION)


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    billing = await open_chain(service)
    await billing.price()
    return billing


def trigger(estimate: pb.Estimate) -> str:
    return pb.EstimateTrigger.Name(estimate.trigger).removeprefix("ESTIMATE_TRIGGER_")


def due(estimate: pb.Estimate) -> datetime | None:
    return estimate.due_time.ToDatetime(tzinfo=UTC) if estimate.HasField("due_time") else None


def of(event: Any) -> BookedCourse:
    return BookedCourse(event.course_id, event.site_id, event.patient_id, event)


async def end_hold(billing: Billing, event: Any, *numbers: int, ended: Any = CourseHoldExpired) -> None:
    ids = [event.visits[n].visit_id for n in numbers or range(len(event.visits))]
    named = {name: getattr(event, name) for name in ("course_id", "site_id", "patient_id")}
    await billing.svc.deliver(ended(**named, visit_ids=ids))


async def test_a_hold_starts_no_clock_and_booking_it_does(billing: Billing) -> None:
    event = billing.course_event()
    await billing.svc.deliver(held(event))
    [estimate] = await billing.estimates_of(of(event))
    assert (trigger(estimate), due(estimate)) == ("HOLD", None)
    assert await deadlines(billing) == []
    billing.svc.clock.now = NOW + DAY
    await billing.svc.deliver(event)
    [booked] = await billing.estimates_of(of(event))
    assert (booked.id, trigger(booked)) == (estimate.id, "BOOKED_10_DAYS_AHEAD")
    assert due(booked) == datetime(2027, 3, 6, 7, tzinfo=UTC)  # From the day of the booking.
    assert [each.estimate_id for each in await deadlines(billing)] == [estimate.id]
    billing.svc.clock.now = datetime(2027, 3, 5, 18, tzinfo=UTC)  # Its last day.
    assert [each.estimate_id for each in await deadlines(billing, "DUE_TODAY")] == [estimate.id]
    billing.svc.clock.now = datetime(2027, 3, 6, 7, tzinfo=UTC)
    assert [each.estimate_id for each in await deadlines(billing, "LATE")] == [estimate.id]


async def clocks(billing: Billing) -> list[Any]:
    return [event for name, event in await billing.facts() if name == "estimate.clock_started"]


async def test_that_the_clock_of_a_hold_has_started_is_told_once(billing: Billing) -> None:
    event = billing.course_event()
    await billing.svc.deliver(held(event))
    assert await clocks(billing) == []
    for _ in range(2):
        event.ClearField("meta")
        await billing.svc.deliver(event)
    [estimate], [told] = await billing.estimates_of(of(event)), await clocks(billing)
    assert (told.estimate_id, told.due_time) == (estimate.id, estimate.due_time)
    assert (told.course_id, told.patient_id) == (event.course_id, estimate.patient_id)
    issued = await billing.last_fact("estimate.issued")
    assert told.meta.aggregate_version == issued.meta.aggregate_version == 1


@pytest.mark.parametrize("became", ["cancelled", "missed", "hold ended"])
async def test_what_became_of_further_visits_waits_until_they_are_heard_of(billing: Billing, became: str) -> None:
    """Their booking may have waited for a lock, and be told again seconds later."""
    course = await billing.book([INFUSION])
    more = further(billing, course, [INFUSION], FIRST_VISIT + DAY)
    happened: dict[str, Callable[[], Awaitable[None]]] = {
        "cancelled": lambda: billing.cancel(of(more), 0),
        "missed": lambda: billing.miss(of(more), 0),
        "hold ended": lambda: end_hold(billing, more),
    }
    told = happened[became]
    with pytest.raises(NotYetKnown) as waiting:
        await told()
    assert waiting.value.waits_for == more.visits[0].visit_id
    await billing.svc.deliver(held(more) if became == "hold ended" else more)
    await told()
    latest, *_ = await billing.estimates_of(course)
    assert (latest.version, [line.count for line in latest.lines]) == (3, [1])


async def test_a_clock_that_runs_already_is_not_told_again(billing: Billing) -> None:
    course = await billing.book([INFUSION])
    more = further(billing, course, [INFUSION], FIRST_VISIT + DAY)
    await billing.svc.deliver(held(more))
    await billing.svc.deliver(more)
    assert await clocks(billing) == []
    assert len(await billing.estimates_of(course)) == 2


async def test_no_clock_is_told_of_what_was_booked_at_once_or_lacks_a_price(billing: Billing) -> None:
    await billing.book()
    unpriced = billing.course_event(kinds=[THERAPY])
    await billing.svc.deliver(held(unpriced))
    await billing.svc.deliver(unpriced)
    assert await clocks(billing) == []


async def test_what_was_delivered_while_it_was_held_is_not_due_again_when_it_is_booked(billing: Billing) -> None:
    event = billing.course_event()
    await billing.svc.deliver(held(event))
    [estimate] = await billing.estimates_of(of(event))
    await deliver(billing, estimate.id)
    await billing.svc.deliver(event)
    assert await deadlines(billing) == await clocks(billing) == []
    assert len(await billing.estimates_of(of(event))) == 1


async def test_a_booking_that_is_told_twice_leaves_its_clock_alone(billing: Billing) -> None:
    event = billing.course_event()
    await billing.svc.deliver(held(event))
    await billing.svc.deliver(event)
    again = type(event)()
    again.CopyFrom(event)
    again.ClearField("meta")
    billing.svc.clock.now = NOW + 4 * DAY
    await billing.svc.deliver(again)
    [estimate] = await billing.estimates_of(of(event))
    assert due(estimate) == datetime(2027, 3, 5, 7, tzinfo=UTC)


async def test_a_cancelled_visit_leaves_the_estimate_which_is_due_before_the_next_visit(billing: Billing) -> None:
    course = await billing.book(THREE_INFUSIONS)
    [first] = await billing.estimates_of(course)
    await deliver(billing, first.id)
    await billing.cancel(course, 0)
    latest, _ = await billing.estimates_of(course)
    assert (latest.version, lines(latest)) == (2, [("IV infusion", 2, 590, 1180)])
    assert trigger(latest) == "CHANGE"
    assert not latest.too_late
    # The next visit is on Monday 29 March in Denver: by the end of Friday.
    assert due(latest) == datetime(2027, 3, 27, 6, tzinfo=UTC)
    assert latest.service_date == to_date((FIRST_VISIT + 7 * DAY).date())
    assert [each.estimate_id for each in await deadlines(billing)] == [latest.id]
    issued = await billing.last_fact("estimate.issued")
    assert (issued.estimate_id, dollars(issued.total)) == (latest.id, 1180)


async def test_a_visit_that_is_cancelled_twice_changes_the_estimate_once(billing: Billing) -> None:
    course = await billing.book(THREE_INFUSIONS)
    await billing.cancel(course, 0)
    await billing.cancel(course, 0)
    assert len(await billing.estimates_of(course)) == 2


async def test_a_missed_visit_leaves_the_estimate(billing: Billing) -> None:
    course = await billing.book(THREE_INFUSIONS)
    billing.svc.clock.now = FIRST_VISIT + timedelta(hours=1)
    await billing.miss(course, 0)
    assert lines((await billing.estimates_of(course))[0]) == [("IV infusion", 2, 590, 1180)]


@pytest.mark.parametrize(
    ("dropped", "days"), [((5,), 7), ((3, 5), 14), ((5, 3), 7), ((2, 5), 7), ((5, 2), 7)]
)  # What was due before one visit is not put off when that is cancelled as well.
async def test_a_visit_that_is_cancelled_far_ahead_lowers_the_measure_on_the_day_of_another(
    billing: Billing, dropped: tuple[int, ...], days: int
) -> None:
    course = await billing.book([INFUSION] * 6)
    await deliver(billing, (await billing.estimates_of(course))[0].id)
    await billing.complete(course, 0, 1)
    third = FIRST_VISIT + 14 * DAY
    billing.svc.clock.now = third - timedelta(hours=2)
    for n in dropped:
        await billing.cancel(course, n)
    latest, *_ = await billing.estimates_of(course)
    left = 6 - len(dropped)
    assert (latest.version, latest.too_late) == (1 + len(dropped), False)
    # The next visit is on a Monday: by the end of the Friday before.
    assert due(latest) == (third + (days - 2) * DAY).replace(hour=6)
    request = pb.GetEstimateCoverageRequest(course_id=course.id)
    guard = (await billing.svc.call(billing.estimates.GetEstimateCoverage, request)).coverage.guard
    assert dollars(guard.estimated) == 590 * left


async def test_the_last_visit_that_is_cancelled_far_ahead_lowers_the_measure_on_the_day_of_the_one_before(
    billing: Billing,
) -> None:
    course = await billing.book([INFUSION] * 2)
    billing.svc.clock.now = FIRST_VISIT - timedelta(hours=2)
    await billing.cancel(course, 1)
    assert [each.too_late for each in await billing.estimates_of(course)] == [False, False]


async def test_a_visit_that_is_cancelled_too_late_for_any_other_leaves_the_measure(billing: Billing) -> None:
    course = await billing.book([INFUSION] * 2)
    billing.svc.clock.now = FIRST_VISIT - timedelta(hours=2)
    event = further(billing, course, [INFUSION], FIRST_VISIT + timedelta(hours=3))
    await billing.svc.deliver(event)
    await billing.cancel(course, 1)
    await billing.cancel(of(event), 0)
    assert [each.too_late for each in await billing.estimates_of(course)] == [True, False, True, False]


async def test_a_new_version_does_not_put_off_what_was_due(billing: Billing) -> None:
    course = await billing.book(THREE_INFUSIONS)
    await billing.cancel(course, 2)
    latest, first = await billing.estimates_of(course)
    assert due(latest) == due(first) == datetime(2027, 3, 5, 7, tzinfo=UTC)
    assert trigger(latest) == "BOOKED_10_DAYS_AHEAD"
    assert [each.estimate_id for each in await deadlines(billing)] == [latest.id]


async def test_when_nothing_is_left_nothing_is_due(billing: Billing) -> None:
    course = await billing.book([INFUSION])
    assert "estimate.withdrawn" not in await billing.fact_names()
    await billing.cancel(course, 0)
    [estimate] = await billing.estimates_of(course)
    told = await billing.last_fact("estimate.withdrawn")
    assert (told.estimate_id, told.course_id, told.meta.aggregate_version) == (estimate.id, estimate.course_id, 1)
    assert await deadlines(billing) == []
    await billing.svc.deliver(further(billing, course, [INFUSION], FIRST_VISIT))
    assert len(await deadlines(billing)) == 1


@pytest.mark.parametrize("ended", [CourseHoldExpired, CourseHoldReleased])
async def test_what_was_held_beside_what_is_booked_leaves_the_estimate_when_the_hold_ends(
    billing: Billing, ended: Any
) -> None:
    course = await billing.book([ASSESSMENT])
    more = further(billing, course, [INFUSION, INFUSION], FIRST_VISIT + DAY)
    await billing.svc.deliver(held(more))
    assert lines((await billing.estimates_of(course))[0])[1] == ("IV infusion", 2, 590, 1180)
    await end_hold(billing, more, ended=ended)
    latest = (await billing.estimates_of(course))[0]
    assert (latest.version, lines(latest)) == (3, [("Evaluation", 1, 300, 300)])


async def test_a_hold_that_ends_makes_nothing_due_that_the_patient_has(billing: Billing) -> None:
    """Not even on the last business day: what is scheduled did not change."""
    course = await billing.book([ASSESSMENT])
    [first] = await billing.estimates_of(course)
    await deliver(billing, first.id)
    billing.svc.clock.now = datetime(2027, 3, 20, 18, tzinfo=UTC)  # Saturday; the visit is on Monday.
    more = further(billing, course, [INFUSION], FIRST_VISIT + 7 * DAY)
    await billing.svc.deliver(held(more))
    await end_hold(billing, more)
    latest = (await billing.estimates_of(course))[0]
    assert (latest.version, lines(latest), latest.too_late) == (3, lines(first), False)
    assert (trigger(latest), due(latest)) == ("HOLD", None)
    assert await deadlines(billing) == []


async def test_when_only_held_visits_are_left_no_clock_runs(billing: Billing) -> None:
    course = await billing.book([ASSESSMENT])
    await deliver(billing, (await billing.estimates_of(course))[0].id)
    await billing.svc.deliver(held(further(billing, course, [INFUSION], FIRST_VISIT + DAY)))
    await billing.cancel(course, 0)
    latest = (await billing.estimates_of(course))[0]
    assert (lines(latest), trigger(latest)) == ([("IV infusion", 1, 590, 590)], "HOLD")
    assert await deadlines(billing) == []


async def test_part_of_a_hold_that_ends_starts_no_clock(billing: Billing) -> None:
    event = billing.course_event(THREE_INFUSIONS)
    await billing.svc.deliver(held(event))
    await end_hold(billing, event, 0)
    latest = (await billing.estimates_of(of(event)))[0]
    assert (latest.version, trigger(latest), due(latest)) == (2, "HOLD", None)


async def test_further_visits_have_a_clock_of_their_own_once_the_estimate_is_delivered(billing: Billing) -> None:
    course = await billing.book([ASSESSMENT])
    await deliver(billing, (await billing.estimates_of(course))[0].id)
    billing.svc.clock.now = NOW + DAY
    await billing.svc.deliver(further(billing, course, [INFUSION], FIRST_VISIT + DAY))
    latest = (await billing.estimates_of(course))[0]
    assert (trigger(latest), due(latest)) == ("BOOKED_10_DAYS_AHEAD", datetime(2027, 3, 6, 7, tzinfo=UTC))


async def test_further_visits_at_short_notice_are_due_alike_whether_they_were_held_first_or_not(
    billing: Billing,
) -> None:
    """Booked on a Monday for Wednesday: by the end of Tuesday."""
    for held_first in (True, False):
        course = await billing.book([ASSESSMENT])
        await deliver(billing, (await billing.estimates_of(course))[0].id)
        event = further(billing, course, [INFUSION], NOW + 2 * DAY)
        if held_first:
            await billing.svc.deliver(held(event))
        await billing.svc.deliver(event)
        latest = (await billing.estimates_of(course))[0]
        assert (trigger(latest), due(latest)) == ("CHANGE", datetime(2027, 3, 3, 7, tzinfo=UTC))
    assert len(await clocks(billing)) == 1


async def test_what_is_booked_first_of_a_hold_changes_nothing_that_was_scheduled(billing: Billing) -> None:
    event = billing.course_event([INFUSION] * 2, first=NOW + 2 * DAY)
    await billing.svc.deliver(held(event))
    del event.visits[1]
    await billing.svc.deliver(event)
    latest = (await billing.estimates_of(of(event)))[0]
    assert (trigger(latest), due(latest)) == ("SHORT_NOTICE", None)


async def test_a_change_on_the_last_business_day_is_recorded_and_the_one_before_stays_the_measure(
    billing: Billing,
) -> None:
    course = await billing.book([INFUSION])
    billing.svc.clock.now = datetime(2027, 3, 19, 18, tzinfo=UTC)  # Friday; the visit is on Monday.
    soon = further(billing, course, [INFUSION], FIRST_VISIT)
    await billing.svc.deliver(soon)
    billing.svc.clock.now = datetime(2027, 3, 20, 18, tzinfo=UTC)  # Saturday.
    await billing.svc.deliver(further(billing, course, [ASSESSMENT], FIRST_VISIT + timedelta(hours=2)))
    third, second, first = await billing.estimates_of(course)
    assert [each.too_late for each in (first, second, third)] == [False, False, True]
    assert [dollars(each.total) for each in (first, second, third)] == [590, 1180, 1480]
    request = pb.GetEstimateCoverageRequest(course_id=course.id)
    shown = (await billing.svc.call(billing.estimates.GetEstimateCoverage, request)).coverage
    assert (shown.estimate_id, dollars(shown.beyond)) == (second.id, 300)


async def test_a_price_that_comes_too_late_is_no_measure_either(billing: Billing) -> None:
    course = await billing.book([INFUSION])
    await billing.svc.deliver(further(billing, course, [THERAPY], FIRST_VISIT + 14 * DAY))
    billing.svc.clock.now = FIRST_VISIT + 13 * DAY  # A Sunday.
    await billing.price([("therapy", "", "", 200, "Talk")], effective=TODAY + DAY)
    priced, unpriced, first = await billing.estimates_of(course)
    assert (unpriced.HasField("total"), dollars(priced.total), priced.too_late) == (False, 790, True)
    [row] = await billing.fetch("SELECT version FROM estimate WHERE NOT too_late AND total_minor IS NOT NULL")
    assert row["version"] == first.version


async def test_a_course_booked_before_visits_were_kept_by_kind_keeps_its_estimate(billing: Billing) -> None:
    course = await billing.book(THREE_INFUSIONS)
    await billing.execute("UPDATE visit SET visit_type_code = ''")
    await billing.cancel(course, 0)
    [estimate] = await billing.estimates_of(course)
    assert lines(estimate) == [("IV infusion", 3, 590, 1770)]


async def test_a_course_of_more_than_twelve_months_is_estimated_for_twelve(billing: Billing) -> None:
    event = billing.course_event(THREE_INFUSIONS)
    for n, day in enumerate((0, 366, 367)):  # 22 March 2028 is the last day: 2028 is a leap year.
        event.visits[n].start_time.CopyFrom(to_timestamp(FIRST_VISIT + day * DAY))
    await billing.svc.deliver(event)
    [estimate] = await billing.estimates_of(of(event))
    assert (estimate.visit_count, estimate.beyond_count, dollars(estimate.total)) == (2, 1, 1180)
    assert estimate.last_date == to_date((FIRST_VISIT + 366 * DAY).date())


async def long_course(billing: Billing, *days: int) -> BookedCourse:
    """Infusions, so many days after the first, with an estimate that the patient has."""
    event = billing.course_event([INFUSION] * len(days))
    for visit, day in zip(event.visits, days, strict=True):
        visit.start_time.CopyFrom(to_timestamp(FIRST_VISIT + day * DAY))
    await billing.svc.deliver(event)
    course = of(event)
    [estimate] = await billing.estimates_of(course)
    await deliver(billing, estimate.id)
    return course


async def test_once_nothing_of_its_twelve_months_is_to_come_what_comes_after_them_is_estimated(
    billing: Billing,
) -> None:
    course = await long_course(billing, 0, 366, 380, 387)
    await code(billing, "infusion", "96365")  # Told since: that is no reason for another version.
    await billing.complete(course, 0)
    assert len(await billing.estimates_of(course)) == 1
    billing.svc.clock.now = FIRST_VISIT + 366 * DAY - timedelta(minutes=5)  # Who comes early is treated early.
    await billing.complete(course, 1)
    second, first = await billing.estimates_of(course)
    assert (first.visit_count, first.beyond_count) == (2, 2)
    assert (second.visit_count, second.beyond_count, dollars(second.total)) == (2, 0, 1180)
    assert second.service_date == to_date(date(2028, 4, 5))
    assert (trigger(second), due(second)) == ("CHANGE", datetime(2028, 4, 5, 6, tzinfo=UTC))
    [duty] = await deadlines(billing)
    assert duty.estimate_id == second.id


async def test_the_next_twelve_months_are_estimated_though_it_is_too_late_for_a_change(billing: Billing) -> None:
    course = await long_course(billing, 0, 367)
    billing.svc.clock.now = FIRST_VISIT + 367 * DAY - timedelta(hours=1)
    await billing.complete(course, 0)
    second, _ = await billing.estimates_of(course)
    assert (second.visit_count, second.too_late, due(second)) == (1, False, None)


async def test_whoever_misses_the_last_visit_of_twelve_months_has_an_estimate_of_the_next(billing: Billing) -> None:
    course = await long_course(billing, 0, 360, 380)
    await billing.complete(course, 0)
    billing.svc.clock.now = FIRST_VISIT + 360 * DAY + timedelta(hours=1)
    await billing.miss(course, 1)
    second, _ = await billing.estimates_of(course)
    assert (second.service_date, second.visit_count) == (to_date(date(2028, 4, 5)), 1)


async def test_what_comes_after_twelve_months_is_not_estimated_again_with_each_visit_before_it(
    billing: Billing,
) -> None:
    course = await long_course(billing, 0, 380)
    billing.svc.clock.now = FIRST_VISIT
    await billing.complete(course, 0)
    booster = of(further(billing, course, [INFUSION], FIRST_VISIT + 100 * DAY))
    await billing.svc.deliver(booster.event)
    billing.svc.clock.now = FIRST_VISIT + 100 * DAY
    await billing.complete(booster, 0)
    assert [each.visit_count for each in await billing.estimates_of(course)] == [2, 1, 1]
    more = of(further(billing, course, [INFUSION, INFUSION], FIRST_VISIT + 380 * DAY + timedelta(hours=3)))
    del more.event.visits[0]
    await billing.svc.deliver(more.event)
    assert [each.visit_count for each in await billing.estimates_of(course)] == [2, 2, 1, 1]


async def test_a_visit_of_which_only_its_end_was_heard_is_charged_though_no_other_is_left(billing: Billing) -> None:
    course = await long_course(billing, 0, 380)
    billing.svc.clock.now = FIRST_VISIT + 381 * DAY
    await billing.miss(course, 1)
    await billing.miss(course, 0)
    await billing.complete(of(further(billing, course, [INFUSION], FIRST_VISIT + 381 * DAY)), 0)
    assert await billing.count("charge") == 1


async def test_a_visit_that_is_booked_a_year_after_all_others_is_estimated_by_itself(billing: Billing) -> None:
    course = await long_course(billing, 0)
    billing.svc.clock.now = FIRST_VISIT
    await billing.complete(course, 0)
    billing.svc.clock.now = FIRST_VISIT + 380 * DAY
    await billing.svc.deliver(further(billing, course, [INFUSION], FIRST_VISIT + 400 * DAY))
    second, _ = await billing.estimates_of(course)
    assert (second.visit_count, second.beyond_count, dollars(second.total)) == (1, 0, 590)
    assert (second.service_date, trigger(second)) == (to_date(date(2028, 4, 25)), "BOOKED_10_DAYS_AHEAD")


async def test_tiers_go_on_in_the_estimate_of_the_next_twelve_months(billing: Billing) -> None:
    request = billing.price_book_request(effective=TODAY + DAY)
    request.items[1].tiers.add(from_number=3, unit_price=usd(500))
    await billing.publish((await billing.svc.call(billing.price_books.CreatePriceBook, request)).price_book)
    billing.svc.clock.now += DAY
    course = await long_course(billing, 0, 10, 380, 387)
    billing.svc.clock.now = FIRST_VISIT + 11 * DAY
    await billing.complete(course, 0, 1)
    second, first = await billing.estimates_of(course)
    assert (dollars(first.total), dollars(second.total)) == (1180, 1000)


async def test_a_request_of_more_than_twelve_months_is_refused(billing: Billing) -> None:
    request = asked(billing, THREE_INFUSIONS)
    request.visits[2].start_time.CopyFrom(to_timestamp(FIRST_VISIT + 367 * DAY))
    refused = await refusal(ask(billing, request))
    assert (refused.reason, refused.faults) == ("SERIES_TOO_LONG", [("visits[2].start_time", "SERIES_TOO_LONG")])
    assert await billing.count("estimate") == 0


async def test_an_estimate_states_its_time_frame_frequency_and_number(billing: Billing) -> None:
    [estimate] = await billing.estimates_of(await billing.book((ASSESSMENT, *THREE_INFUSIONS)))
    assert (estimate.visit_count, estimate.days_between, estimate.primary_item) == (4, 7, "IV infusion")
    assert estimate.last_date == to_date((FIRST_VISIT + 21 * DAY).date())
    assert list(estimate.separate_items) == ["Therapy hour"]
    assert estimate.disclaimer_version == 1


async def test_a_course_across_new_year_names_the_codes_of_each_visits_day(billing: Billing) -> None:
    """S0013 became J0013 in 2026; here, HCPCS codes change in the midst of a course."""
    await code(billing, "infusion", "96365")
    await code(billing, "infusion", "J1000", until="2027-03-30")
    await code(billing, "infusion", "J2000", since="2027-03-31")
    course = await billing.book(THREE_INFUSIONS)
    [estimate] = await billing.estimates_of(course)
    assert [([each.code for each in line.codes], line.count) for line in estimate.lines] == [
        (["96365", "J1000"], 2),
        (["96365", "J2000"], 1),
    ]
    await billing.complete(course, 0, 1, 2)
    invoice = await billing.issue(course)
    assert [[each.code for each in line.codes][-1] for line in invoice.lines] == ["J1000", "J1000", "J2000"]
    assert dollars(invoice.total) == dollars(estimate.total)


async def test_an_estimate_names_the_codes_of_its_days_and_what_it_lacks(billing: Billing) -> None:
    await code(billing, "infusion", "96365")
    await code(billing, "infusion", "99999", since="2027-03-23")
    [estimate] = await billing.estimates_of(await billing.book([INFUSION]))
    [line] = estimate.lines
    assert [(each.code, each.units) for each in line.codes] == [("96365", 1)]
    assert [pb.EstimateGap.Name(each) for each in estimate.gaps] == [
        "ESTIMATE_GAP_NPI",
        "ESTIMATE_GAP_TIN",
        "ESTIMATE_GAP_LOCATION",
    ]
    [other] = await billing.estimates_of(await billing.book([ASSESSMENT]))
    assert pb.ESTIMATE_GAP_SERVICE_CODE in other.gaps


async def test_an_estimate_names_the_site_as_it_was_and_the_next_one_as_it_is(billing: Billing) -> None:
    def site(name: str, address: str) -> SiteUpdated:
        ids: dict[str, Any] = {"site_id": billing.site_id, "legal_entity_id": billing.legal_entity_id}
        return SiteUpdated(**ids, time_zone="America/Denver", display_name=name, state="NM", address=address)

    await billing.svc.deliver(site("Harbor Lane", "2 New Road"), version=3)
    await billing.svc.deliver(site("Older", "1 Old Road"), version=2)
    course = await billing.book(THREE_INFUSIONS)
    await billing.svc.deliver(site("Harbor Lane", "3 Newest Road"), version=4)
    await billing.cancel(course, 2)
    later, first = await billing.estimates_of(course)
    assert [each.providers[0].address for each in (first, later)] == ["2 New Road", "3 Newest Road"]
    assert (first.providers[0].display_name, first.providers[0].state) == ("Harbor Lane", "NM")
    assert first.lines[0].provider_id == first.providers[0].id == billing.site_id


async def test_items_of_a_request_are_grouped_by_who_renders_them(billing: Billing) -> None:
    doctor = resource_id()
    named: dict[str, Any] = {"resource_id": doctor, "site_id": billing.site_id, "kind": RESOURCE_KIND_STAFF}
    await billing.svc.deliver(ResourceRegistered(**named, display_name="Dana", credential="NP", npi="1"), version=1)
    await billing.svc.deliver(
        ResourceUpdated(**named, display_name="Dana Roe", credential="MD", npi="1234567893"), version=2
    )
    request = asked(billing, (ASSESSMENT, INFUSION, INFUSION), separate_items=["Blood test"])
    request.visits[0].resource_id = request.visits[1].resource_id = doctor
    estimate = await ask(billing, request)
    assert [(each.description, each.count, each.provider_id) for each in estimate.lines] == [
        ("Evaluation", 1, doctor),
        ("IV infusion", 1, doctor),
        ("IV infusion", 1, billing.site_id),
    ]
    facility, person = estimate.providers
    assert (person.id, person.display_name, person.credential, person.npi) == (doctor, "Dana Roe", "MD", "1234567893")
    assert facility.id == billing.site_id
    assert list(estimate.separate_items) == ["Blood test"]
    again = pb.GetEstimateRequest(estimate_id=estimate.id)
    assert (await billing.svc.call(billing.estimates.GetEstimate, again)).estimate == estimate


async def test_a_request_waits_for_a_staff_member_it_names_and_a_room_is_none(billing: Billing) -> None:
    room = resource_id()
    named: dict[str, Any] = {"resource_id": room, "site_id": billing.site_id, "kind": RESOURCE_KIND_ROOM}
    await billing.svc.deliver(ResourceRegistered(**named, display_name="Room 1"), version=1)
    request = asked(billing)
    request.visits[0].resource_id = room
    refused = await refusal(ask(billing, request))
    assert (refused.reason, refused.metadata) == ("NOT_YET_KNOWN", {"waits_for": room})


async def test_a_change_of_a_merged_patients_course_is_written_under_the_survivor(billing: Billing) -> None:
    course = await billing.book(THREE_INFUSIONS)
    survivor = await billing.register_patient()
    await billing.svc.deliver(PatientMerged(patient_id=survivor, merged_patient_id=course.patient_id), version=1)
    await billing.cancel(course, 2)
    latest, first = await billing.estimates_of(course)
    assert (latest.patient_id, first.patient_id) == (survivor, course.patient_id)
    [due_now] = await deadlines(billing)
    assert (due_now.patient_id, due_now.course_id) == (survivor, course.id)
    assert from_wire("estimate", due_now.estimate_id) == from_wire("estimate", latest.id)
