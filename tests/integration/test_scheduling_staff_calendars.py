"""Busy times of staff from calendars of their own, and feeds of their visits, through the gRPC door."""

from collections.abc import AsyncIterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from grpc import StatusCode
from icalendar import Calendar

from atoll.scheduling.v1 import course_service_pb2 as courses
from atoll.scheduling.v1 import staff_calendar_service_pb2 as pb
from atoll.scheduling.v1 import visit_service_pb2 as visits
from atoll.scheduling.v1.events_pb2 import CANCELLATION_REASON_CLINIC
from atoll.scheduling.v1.staff_calendar_service_pb2_grpc import StaffCalendarServiceStub
from chassis.ids import new_id, to_wire
from chassis.times import to_date, to_instant
from services.scheduling import reader
from tests.support.scheduling import DAY, Clinic, local, open_clinic, open_scheduling
from tests.support.service import Running, refusal
from tests.unit.test_scheduling_staff_calendars import calendar, event

FIRST = local(3, 2, 9)  # A Tuesday.
MORNING = event(":20270302T090000", ":20270302T120000")
"""By the site's wall clock."""


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


def importing(clinic: Clinic, text: str, **changes: Any) -> pb.ImportBusyTimesRequest:
    fields = {"request_id": str(uuid4()), "resource_id": clinic.nurses[0], "source": "google", "calendar": text}
    return pb.ImportBusyTimesRequest(**fields | changes)


async def busy_import(clinic: Clinic, request: pb.ImportBusyTimesRequest, token: str | None = None) -> int:
    stub: Any = clinic.svc.stub(StaffCalendarServiceStub)
    token = clinic.token("ROLE_INTEGRATION") if token is None else token
    return int((await clinic.svc.call(stub.ImportBusyTimes, request, token, within_s=30)).busy_time_count)


async def busy(clinic: Clinic, **changes: Any) -> pb.ListBusyTimesResponse:
    stub: Any = clinic.svc.stub(StaffCalendarServiceStub)
    request = pb.ListBusyTimesRequest(resource_id=clinic.nurses[0], **changes)
    answer: pb.ListBusyTimesResponse = await clinic.svc.call(stub.ListBusyTimes, request, clinic.token())
    return answer


async def book(clinic: Clinic, start: datetime) -> courses.Course:
    return await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([start])))


async def test_who_is_busy_is_neither_booked_nor_planned_whatever_their_lanes(clinic: Clinic) -> None:
    assert await busy_import(clinic, importing(clinic, calendar(MORNING))) == 1
    refused = await refusal(book(clinic, FIRST))
    assert (refused.reason, refused.faults) == ("VISITS_CONFLICT", [("visits[0].resources[0]", "RESOURCE_TAKEN")])
    other = importing(clinic, calendar(event(";VALUE=DATE:20270302", ";VALUE=DATE:20270303")))
    other.resource_id = clinic.nurses[1]
    await busy_import(clinic, other)
    request = courses.PlanCourseRequest(
        site_id=clinic.site_id,
        patient_id=await clinic.add_patient(),
        protocol_version_id=clinic.version_id,
        route_code="iv",
        phases=[courses.PlanCourseRequest.PhaseChoice(phase_code="induction", visit_count=1)],
        earliest_date=to_date(date(2027, 3, 2)),
        latest_date=to_date(date(2027, 3, 2)),
    )
    [plan] = (await clinic.svc.call(clinic.courses.PlanCourse, request, clinic.token())).plans
    assert to_instant(plan.visits[0].start_time) == local(3, 2, 12)
    await book(clinic, local(3, 2, 12))


async def test_a_source_told_again_replaces_what_it_told_before_and_leaves_others(clinic: Clinic) -> None:
    request = importing(clinic, calendar(MORNING))
    await busy_import(clinic, request)
    await busy_import(
        clinic, importing(clinic, calendar(event(":20270302T150000", ":20270302T160000")), source="outlook")
    )
    evening = calendar(event(":20270302T170000", ":20270302T180000"), event(":20270303T170000", ":20270303T180000"))
    assert await busy_import(clinic, importing(clinic, evening)) == 2
    assert await busy_import(clinic, request) == 1  # Replayed: nothing changes.
    first = await busy(clinic, page_size=2)
    second = await busy(clinic, page_size=2, page_token=first.next_page_token)
    listed = [(each.source, to_instant(each.start_time)) for page in (first, second) for each in page.busy_times]
    assert listed == [("outlook", local(3, 2, 15)), ("google", local(3, 2, 17)), ("google", local(3, 3, 17))]
    assert second.next_page_token == ""
    assert await busy_import(clinic, importing(clinic, calendar())) == 0
    assert await clinic.count("busy_time") == 1
    await book(clinic, FIRST)


@pytest.mark.parametrize(
    ("changes", "reason", "faults"),
    [
        ({"calendar": "hello"}, "ICALENDAR_INVALID", [("calendar", "NOT_ICALENDAR")]),
        (
            {"calendar": calendar(event(":20270302T160000Z", ":20270302T170000Z", "RRULE:FREQ=MINUTELY"))},
            "ICALENDAR_INVALID",
            [("calendar", "TOO_FREQUENT")],
        ),
        (
            {"calendar": calendar(*["DTSTART:20270302T160000Z"] * 5001)},
            "ICALENDAR_TOO_LARGE",
            [("calendar", "EVENTS")],
        ),
        ({"calendar": "x" * 1_000_001}, "BAD_REQUEST", [("calendar", "string.max_len")]),
        ({"source": "My Calendar"}, "BAD_REQUEST", [("source", "string.pattern")]),
    ],
)
async def test_what_is_no_calendar_is_refused_and_what_was_known_stays(
    clinic: Clinic, changes: dict[str, str], reason: str, faults: list[tuple[str, str]]
) -> None:
    await busy_import(clinic, importing(clinic, calendar(MORNING)))
    refused = await refusal(busy_import(clinic, importing(clinic, calendar(MORNING), **changes)))
    assert (refused.code, refused.reason, refused.faults) == (StatusCode.INVALID_ARGUMENT, reason, faults)
    assert await clinic.count("busy_time") == 1


async def test_a_rule_that_never_comes_true_is_given_up(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked into until the year 9999, which takes some seconds each."""
    monkeypatch.setattr(reader, "READ_S", 2.0)
    never = event(":20270101T200000Z", ":20270101T210000Z", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30")
    refused = await refusal(busy_import(clinic, importing(clinic, calendar(never, never, never))))
    assert (refused.reason, refused.faults) == ("ICALENDAR_TOO_LARGE", [("calendar", "TOO_SLOW")])
    assert await clinic.count("busy_time") == 0


async def test_only_staff_have_calendars_and_only_their_home_site_takes_them(clinic: Clinic) -> None:
    room = await refusal(busy_import(clinic, importing(clinic, calendar(MORNING), resource_id=clinic.rooms[0])))
    assert (room.reason, room.faults) == ("RESOURCE_NOT_STAFF", [("resource_id", "RESOURCE_NOT_STAFF")])
    other = await clinic.add_site("bld")
    elsewhere = clinic.token("ROLE_INTEGRATION", other)
    missing = await refusal(busy_import(clinic, importing(clinic, calendar(MORNING)), elsewhere))
    assert (missing.code, missing.reason) == (StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
    for role in ("ROLE_FRONT_DESK", "ROLE_NURSE"):
        refused = await refusal(busy_import(clinic, importing(clinic, calendar(MORNING)), clinic.token(role)))
        assert refused.code is StatusCode.PERMISSION_DENIED
    assert await clinic.count("busy_time") == 0


async def feed_of(clinic: Clinic, resource_id: str, token: str | None = None, last_day: int = 31) -> Calendar:
    stub: Any = clinic.svc.stub(StaffCalendarServiceStub)
    request = pb.GetResourceCalendarFeedRequest(
        resource_id=resource_id, first_date=to_date(date(2027, 3, 1)), last_date=to_date(date(2027, 3, last_day))
    )
    token = clinic.token("ROLE_NURSE") if token is None else token
    answer = await clinic.svc.call(stub.GetResourceCalendarFeed, request, token)
    return Calendar.from_ical(answer.calendar)


async def test_a_feed_shows_when_and_where_and_never_who_or_what(clinic: Clinic) -> None:
    course = await clinic.book(
        clinic.request(await clinic.add_patient(), clinic.treatments([FIRST, FIRST + 3 * DAY, FIRST + 6 * DAY]))
    )
    feed = await feed_of(clinic, clinic.nurses[0], last_day=7)
    events = feed.walk("VEVENT")
    assert [str(each["UID"]) for each in events] == [visit.id for visit in course.visits[:2]]
    assert [(each.decoded("DTSTART"), each.decoded("DTEND")) for each in events] == [
        (local(3, day, 9), local(3, day, 10, 20)) for day in (2, 5)
    ]
    assert {str(each["SUMMARY"]) for each in events} == {"Suite 200, Room 1"}
    text = feed.to_ical().decode()
    for secret in (course.patient_id, course.id, "iv", "Infusion", "Treatment", "treatment", "Front Range"):
        assert secret not in text


async def test_a_feed_of_more_visits_than_it_shows_is_refused_and_never_cut(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST, FIRST + 3 * DAY])))
    monkeypatch.setattr("services.scheduling.store.staff_calendars.FEED_EVENTS_MAX", 1)
    refused = await refusal(feed_of(clinic, clinic.nurses[0], last_day=7))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CALENDAR_TOO_LARGE")
    assert refused.metadata["events_max"] == "1"
    assert len((await feed_of(clinic, clinic.nurses[0], last_day=3)).walk("VEVENT")) == 1


async def test_an_events_id_stays_and_its_sequence_grows_and_what_is_cancelled_goes(clinic: Clinic) -> None:
    course = await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST, FIRST + 3 * DAY])))
    before = (await feed_of(clinic, clinic.rooms[0])).walk("VEVENT")
    confirm = visits.ConfirmVisitRequest(request_id=str(uuid4()), visit_id=course.visits[0].id)
    await clinic.svc.call(clinic.visits.ConfirmVisit, confirm)
    cancel = visits.CancelVisitRequest(
        request_id=str(uuid4()), visit_id=course.visits[1].id, reason=CANCELLATION_REASON_CLINIC
    )
    await clinic.svc.call(clinic.visits.CancelVisit, cancel)
    [after] = (await feed_of(clinic, clinic.rooms[0])).walk("VEVENT")
    assert after["UID"] == before[0]["UID"]
    assert int(str(after["SEQUENCE"])) > int(str(before[0]["SEQUENCE"]))


async def test_a_feed_is_of_the_callers_sites_and_of_a_resource_that_is_there(clinic: Clinic) -> None:
    other = await clinic.add_site("bld")
    for resource_id, token in (
        (clinic.nurses[0], clinic.token("ROLE_NURSE", other)),
        (clinic.nurses[0], clinic.svc.token(chain_id=new_id())),
        (to_wire("resource", new_id()), clinic.svc.token()),
    ):
        refused = await refusal(feed_of(clinic, resource_id, token))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
    assert (await refusal(feed_of(clinic, clinic.nurses[0], clinic.token("ROLE_BILLING")))).code is (
        StatusCode.PERMISSION_DENIED
    )
    stub: Any = clinic.svc.stub(StaffCalendarServiceStub)
    days = {"first_date": to_date(date(2027, 3, 2)), "last_date": to_date(date(2027, 3, 1))}
    request = pb.GetResourceCalendarFeedRequest(resource_id=clinic.nurses[0], **days)
    assert (await refusal(clinic.svc.call(stub.GetResourceCalendarFeed, request))).reason == "FEED_WINDOW_INVALID"
