"""Calendars of rooms, staff and equipment, through the gRPC door."""

from collections.abc import AsyncIterator, Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.scheduling.v1 import closure_service_pb2 as closures_pb
from atoll.scheduling.v1 import events_pb2
from atoll.scheduling.v1 import resource_calendar_service_pb2 as pb
from atoll.scheduling.v1 import visit_service_pb2 as visits_pb
from atoll.scheduling.v1.closure_service_pb2_grpc import ClosureServiceStub
from atoll.scheduling.v1.protocol_pb2 import ResourceKind, SegmentKind
from atoll.scheduling.v1.resource_calendar_service_pb2_grpc import ResourceCalendarServiceStub
from atoll.scheduling.v1.visit_pb2 import Visit, VisitStatus
from chassis.ids import new_id, to_wire
from chassis.times import to_date, to_instant
from tests.integration.test_scheduling_closures import create as close
from tests.integration.test_scheduling_closures import interval
from tests.integration.test_scheduling_closures import request as closing
from tests.integration.test_scheduling_staff_calendars import busy_import, importing
from tests.support.scheduling import DAY, Clinic, hours, local, open_clinic, open_scheduling
from tests.support.service import Running, refusal
from tests.unit.test_scheduling_staff_calendars import calendar, event

FIRST = local(3, 2, 9)  # A Tuesday.
TUESDAY, FRIDAY = date(2027, 3, 2), date(2027, 3, 5)
ROOM = ResourceKind.RESOURCE_KIND_ROOM


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


async def one(
    clinic: Clinic, resource_id: str, first: date = TUESDAY, last: date = TUESDAY, token: str | None = None
) -> pb.ResourceCalendar:
    request = pb.GetResourceCalendarRequest(
        site_id=clinic.site_id, resource_id=resource_id, first_date=to_date(first), last_date=to_date(last)
    )
    stub = clinic.svc.stub(ResourceCalendarServiceStub)
    calendar: pb.ResourceCalendar = (await clinic.svc.call(stub.GetResourceCalendar, request, token)).resource_calendar
    return calendar


async def every(
    clinic: Clinic, first: date = TUESDAY, last: date = TUESDAY, token: str | None = None, **fields: Any
) -> pb.ListResourceCalendarsResponse:
    request = pb.ListResourceCalendarsRequest(
        site_id=clinic.site_id, first_date=to_date(first), last_date=to_date(last), **fields
    )
    stub = clinic.svc.stub(ResourceCalendarServiceStub)
    answer: pb.ListResourceCalendarsResponse = await clinic.svc.call(stub.ListResourceCalendars, request, token)
    return answer


async def booked(clinic: Clinic, *starts: datetime) -> list[Visit]:
    return list((await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments(starts)))).visits)


def spans(intervals: Iterable[Any]) -> list[tuple[datetime, datetime]]:
    return [(to_instant(each.start_time), to_instant(each.end_time)) for each in intervals]


def taken(calendar: pb.ResourceCalendar) -> list[tuple[str, int, datetime, datetime, str]]:
    return [
        (
            each.visit_id,
            each.lane,
            to_instant(each.start_time),
            to_instant(each.end_time),
            " ".join(SegmentKind.Name(kind).removeprefix("SEGMENT_KIND_") for kind in each.segment_kinds),
        )
        for each in calendar.allocations
    ]


async def test_a_nurse_is_shown_lane_by_lane_with_the_segments_that_take_her(clinic: Clinic) -> None:
    [visit] = await booked(clinic, FIRST)
    calendar = await one(clinic, clinic.nurses[0])
    assert (calendar.display_name, calendar.lane_count) == ("Nurse 1", 2)
    assert taken(calendar) == [
        (visit.id, 0, FIRST, local(3, 2, 10, 20), "PREPARATION ADMINISTRATION OBSERVATION"),
        (visit.id, 1, local(3, 2, 9, 10), local(3, 2, 9, 50), "ADMINISTRATION"),
    ]
    [first, _] = calendar.allocations
    assert (first.patient_id, first.site_id) == (visit.patient_id, clinic.site_id)
    assert first.status == VisitStatus.VISIT_STATUS_BOOKED
    [room] = taken(await one(clinic, clinic.rooms[0]))
    assert room[3:] == (local(3, 2, 10, 30), "PREPARATION ADMINISTRATION OBSERVATION TURNOVER")


async def test_working_hours_and_time_off_are_those_of_the_days_asked_for(clinic: Clinic) -> None:
    """The Sunday of 14 March has 23 hours."""
    days = {
        "dates": {"first_date": {"year": 2027, "month": 3, "day": 4}, "last_date": {"year": 2027, "month": 3, "day": 4}}
    }
    lunch = {"interval": {"start_time": "2027-03-02T19:00:00Z", "end_time": "2027-03-02T20:00:00Z"}}
    nurse = await clinic.add_resource("STAFF", "Nurse", time_off=[days, lunch])
    calendar = await one(clinic, nurse, TUESDAY, FRIDAY)
    assert spans(calendar.working_intervals) == [
        (local(3, 2, 8), local(3, 2, 12)),
        (local(3, 2, 13), local(3, 2, 18)),
        (local(3, 3, 8), local(3, 3, 18)),
        (local(3, 5, 8), local(3, 5, 18)),
    ]
    assert spans(calendar.time_off_intervals) == [
        (local(3, 2, 12), local(3, 2, 13)),
        (local(3, 4, 0), local(3, 5, 0)),
    ]
    assert list((await one(clinic, nurse, date(2027, 3, 6), date(2027, 3, 7))).working_intervals) == []
    night = await clinic.add_resource("STAFF", "Night", working_hours=hours(22, 6, ["SATURDAY", "SUNDAY"]))
    calendar = await one(clinic, night, date(2027, 3, 14), date(2027, 3, 14))
    assert spans(calendar.working_intervals) == [
        (local(3, 14, 0), local(3, 14, 6)),
        (local(3, 14, 22), local(3, 15, 0)),
    ]
    assert local(3, 14, 6) - local(3, 14, 0) == DAY * 5 / 24


async def test_who_or_what_is_closed_or_busy_elsewhere_cannot_be_had_then(clinic: Clinic) -> None:
    """On Tuesday a room floods at noon, and the nurse is busy until ten and ill from three; Wednesday is a holiday."""
    room, other, nurse = clinic.rooms[0], clinic.rooms[1], clinic.nurses[0]
    await busy_import(clinic, importing(clinic, calendar(event(":20270302T073000", ":20270302T100000"))))
    for what, start, end in (
        (room, local(3, 2, 12), local(3, 2, 13)),
        (nurse, local(3, 2, 15), local(3, 3, 0)),
        ("", local(3, 3, 0), local(3, 4, 0)),
    ):
        await close(clinic, closing(clinic, what, interval(start, end)))
    shown = {each.resource_id: each for each in (await every(clinic, TUESDAY, TUESDAY + DAY)).resource_calendars}
    tuesday = (local(3, 2, 8), local(3, 2, 18))
    assert spans(shown[other].working_intervals) == [tuesday]
    assert spans(shown[room].working_intervals) == [(tuesday[0], local(3, 2, 12)), (local(3, 2, 13), tuesday[1])]
    assert spans(shown[nurse].working_intervals) == [(local(3, 2, 10), local(3, 2, 15))]
    assert spans(shown[other].time_off_intervals) == []  # The site is closed, which is not its own time off.
    assert spans(shown[room].time_off_intervals) == [(local(3, 2, 12), local(3, 2, 13))]
    assert spans(shown[nurse].time_off_intervals) == [
        (local(3, 2, 7, 30), local(3, 2, 10)),
        (local(3, 2, 15), local(3, 3, 0)),
    ]
    assert await one(clinic, nurse, TUESDAY, TUESDAY + DAY) == shown[nurse]


async def test_a_closure_that_was_cancelled_or_is_of_other_days_takes_nothing_and_one_that_is_over_is_still_shown(
    clinic: Clinic,
) -> None:
    room, noon = clinic.rooms[0], (local(3, 2, 12), local(3, 2, 13))
    cancelled = (await close(clinic, closing(clinic, room, interval(*noon)))).closure
    cancel = closures_pb.CancelClosureRequest(request_id=str(uuid4()), closure_id=cancelled.id, etag=cancelled.etag)
    await clinic.svc.call(clinic.svc.stub(ClosureServiceStub).CancelClosure, cancel)
    await close(clinic, closing(clinic, "", interval(local(3, 3, 0), local(3, 3, 12))))
    assert spans((await one(clinic, room)).working_intervals) == [(local(3, 2, 8), local(3, 2, 18))]
    await close(clinic, closing(clinic, room, interval(*noon)))
    clinic.svc.clock.now = local(3, 2, 16)
    assert spans((await one(clinic, room)).time_off_intervals) == [noon]


async def test_a_nurse_who_is_lent_and_ill_cannot_be_had_there_either_and_no_other_sites_closure_matters(
    clinic: Clinic,
) -> None:
    there = await clinic.add_site("bld")
    room = await clinic.add_resource("ROOM", "Room", site_id=there)
    shifts = [{"hours": each, "site_id": there} for each in hours(8, 18, ["TUESDAY"])]
    nurse = await clinic.add_resource("STAFF", "Traveller", working_hours=hours(8, 18, ["WEDNESDAY"]), shifts=shifts)
    await close(clinic, closing(clinic, nurse, interval(local(3, 2, 12), local(3, 2, 18))))
    await close(clinic, closing(clinic, "", interval(local(3, 2, 8), local(3, 2, 9))))
    clinic.site_id = there
    token = clinic.token(site_id=there)
    assert spans((await one(clinic, nurse, token=token)).working_intervals) == [(local(3, 2, 8), local(3, 2, 12))]
    assert spans((await one(clinic, room, token=token)).working_intervals) == [(local(3, 2, 8), local(3, 2, 18))]


async def test_what_is_taken_on_other_days_or_given_back_is_not_shown(clinic: Clinic) -> None:
    first, second, third = await booked(clinic, FIRST, FIRST + 3 * DAY, FIRST + 6 * DAY)
    shown = [id for id, *_ in taken(await one(clinic, clinic.rooms[0], TUESDAY, FRIDAY))]
    assert shown == [first.id, second.id]
    cancel = visits_pb.CancelVisitRequest(
        request_id=str(uuid4()), visit_id=second.id, reason=events_pb2.CANCELLATION_REASON_PATIENT
    )
    await clinic.svc.call(clinic.visits.CancelVisit, cancel)
    shown = [id for id, *_ in taken(await one(clinic, clinic.rooms[0], TUESDAY, date(2027, 3, 8)))]
    assert shown == [first.id, third.id]


async def test_all_calendars_of_a_site_or_those_of_a_kind_go_in_pages(clinic: Clinic) -> None:
    [visit] = await booked(clinic, FIRST)
    assert [each.resource_id for each in (await every(clinic)).resource_calendars] == [
        *clinic.rooms,
        *clinic.nurses,
        clinic.prescriber,
    ]
    rooms = await every(clinic, kind=ROOM)
    assert [(each.resource_id, [id for id, *_ in taken(each)]) for each in rooms.resource_calendars] == [
        (clinic.rooms[0], [visit.id]),
        (clinic.rooms[1], []),
    ]
    first = await every(clinic, kind=ROOM, page_size=1)
    second = await every(clinic, kind=ROOM, page_size=1, page_token=first.next_page_token)
    assert [each.resource_id for page in (first, second) for each in page.resource_calendars] == clinic.rooms
    assert second.next_page_token == ""
    refused = await refusal(every(clinic, page_size=1, page_token=first.next_page_token))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_PAGE_TOKEN")


async def test_days_out_of_order_or_too_many_are_refused(clinic: Clinic) -> None:
    room = clinic.rooms[0]
    assert (await one(clinic, room, TUESDAY, TUESDAY + 41 * DAY)).resource_id == room
    assert (await every(clinic, TUESDAY, TUESDAY + 6 * DAY)).resource_calendars
    for answer in (
        one(clinic, room, TUESDAY, TUESDAY + 42 * DAY),
        one(clinic, room, FRIDAY, TUESDAY),
        every(clinic, TUESDAY, TUESDAY + 7 * DAY),
    ):
        refused = await refusal(answer)
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CALENDAR_WINDOW_INVALID")
        assert refused.faults == [("last_date", "CALENDAR_WINDOW_INVALID")]


async def test_a_calendar_of_too_many_allocations_is_refused(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scheduling.store.calendars.ALLOCATIONS_MAX", 2)
    await booked(clinic, FIRST)
    assert len((await one(clinic, clinic.nurses[0])).allocations) == 2
    await booked(clinic, FIRST + DAY / 12)
    refused = await refusal(one(clinic, clinic.nurses[0]))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CALENDAR_TOO_LARGE")


async def test_calendars_are_shown_to_those_of_the_site_only_and_noted(clinic: Clinic) -> None:
    room, other = clinic.rooms[0], await clinic.add_site("bld")
    for token in (clinic.token(site_id=other), clinic.token("ROLE_BILLING"), clinic.svc.token("ROLE_SERVICE")):
        for answer in (one(clinic, room, token=token), every(clinic, token=token)):
            refused = await refusal(answer)
            assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    for answer in (one(clinic, room, token=clinic.svc.token(chain_id=new_id())),):
        refused = await refusal(answer)
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "SITE_NOT_FOUND")
    refused = await refusal(one(clinic, to_wire("resource", new_id())))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
    noted = "SELECT count(*) FROM audit WHERE chain_id = $1 AND method LIKE '%ResourceCalendar%'"
    assert await clinic.svc.admin.fetchval(noted, clinic.svc.chain_id) == 0
    await one(clinic, room, token=clinic.token("ROLE_NURSE"))
    await every(clinic, token=clinic.token())
    assert await clinic.svc.admin.fetchval(noted, clinic.svc.chain_id) == 2
