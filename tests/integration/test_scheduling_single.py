"""Visits beside the phases of a course, one or a series of them, through the gRPC door."""

from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.protobuf.json_format import ParseDict
from grpc import StatusCode

from atoll.scheduling.v1 import visit_service_pb2 as pb
from atoll.scheduling.v1.course_service_pb2 import PlannedVisit, VisitsConflictDetail
from atoll.scheduling.v1.visit_pb2 import Visit
from chassis.ids import new_id, to_wire
from tests.support.scheduling import DAY, DENVER, Clinic, hours, local, open_clinic, open_scheduling
from tests.support.service import Running, refusal

FIRST = local(3, 2, 9)  # A Tuesday; clocks change on the 14th of March and the 7th of November.
WEEK = 7 * DAY


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


def single(clinic: Clinic, patient_id: str, start: datetime, **changes: Any) -> pb.BookVisitRequest:
    fields: dict[str, Any] = {
        **asked(clinic, patient_id),
        "start_time": start.isoformat(),
    }
    return ParseDict(fields | changes, pb.BookVisitRequest())


def series(clinic: Clinic, patient_id: str, first: date, hour: int = 9, **changes: Any) -> pb.BookSeriesRequest:
    fields: dict[str, Any] = {
        **asked(clinic, patient_id),
        "first_date": {"year": first.year, "month": first.month, "day": first.day},
        "start_time_of_day": {"hours": hour},
        "interval_weeks": 1,
    }
    if "until_date" not in changes:
        fields["visit_count"] = 4
    return ParseDict(fields | changes, pb.BookSeriesRequest())


def asked(clinic: Clinic, patient_id: str) -> dict[str, Any]:
    return {
        "request_id": str(uuid4()),
        "site_id": clinic.site_id,
        "patient_id": patient_id,
        "protocol_version_id": clinic.version_id,
        "visit_type_code": "talk",
        "resources": [{"requirement_key": "prescriber", "resource_id": clinic.prescriber}],
    }


def treatment(clinic: Clinic) -> dict[str, Any]:
    chosen = {"nurse": clinic.nurses[0], "room": clinic.rooms[0]}
    resources = [{"requirement_key": key, "resource_id": id} for key, id in chosen.items()]
    return {"visit_type_code": "treatment", "route_code": "iv", "resources": resources}


async def book(clinic: Clinic, request: pb.BookVisitRequest, token: str | None = None) -> Visit:
    visit: Visit = (await clinic.svc.call(clinic.visits.BookVisit, request, token)).visit
    return visit


async def book_series(clinic: Clinic, request: pb.BookSeriesRequest) -> list[datetime]:
    visits = (await clinic.svc.call(clinic.visits.BookSeries, request)).visits
    return [visit.start_time.ToDatetime(FIRST.tzinfo).astimezone(DENVER) for visit in visits]


def _start(visit: PlannedVisit) -> datetime:
    return visit.start_time.ToDatetime(FIRST.tzinfo)


async def test_a_single_visit_makes_a_course_of_its_own_and_is_told_as_booked(clinic: Clinic) -> None:
    patient = await clinic.add_patient(cleared=False)
    request = single(clinic, patient, FIRST)
    visit = await book(clinic, request)
    assert visit == await book(clinic, request)
    assert (visit.phase_code, visit.visit_type_code, visit.route_code, visit.telehealth) == ("", "talk", "", True)
    assert await clinic.counts("course", "visit", "allocation", "presence") == [1, 1, 1, 1]
    subject, event = (await clinic.published())[-1]
    assert (subject, event.route_code) == ("scheduling.v1.course.booked", "")
    assert [each.visit_id for each in event.visits] == [visit.id]


async def test_a_visit_beside_the_phases_of_a_course_keeps_no_gap_and_counts_for_none(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([FIRST, FIRST + 3 * DAY])))
    visit = await book(clinic, single(clinic, patient, FIRST + 3 * DAY + timedelta(hours=4), course_id=course.id))
    assert visit.course_id == course.id
    later = clinic.treatments([FIRST + 6 * DAY])
    assert len((await clinic.book(clinic.request(patient, later, course_id=course.id))).visits) == 4
    assert await clinic.count("course") == 1


async def test_a_single_treatment_needs_route_and_clearance_as_one_of_a_phase_does(clinic: Clinic) -> None:
    patient = await clinic.add_patient(cleared=False)
    request = single(clinic, patient, FIRST, **treatment(clinic))
    assert (await refusal(book(clinic, request))).reason == "GATE_PENDING"
    await clinic.clear(patient)
    assert (await book(clinic, request)).route_code == "iv"
    for changes, rule in (
        ({**treatment(clinic), "route_code": ""}, "ROUTE_UNKNOWN"),
        ({"route_code": "iv"}, "ROUTE_NOT_NEEDED"),
    ):
        refused = await refusal(book(clinic, single(clinic, patient, FIRST + 3 * DAY, **changes)))
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "ROUTE_UNKNOWN")
        assert refused.faults == [("route_code", rule)]
    assert await clinic.count("visit") == 1


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"visit_type_code": "massage"}, "NOT_FOUND", "VISIT_TYPE_NOT_FOUND"),
        ({"resources": []}, "INVALID_ARGUMENT", "REQUIREMENTS_NOT_MET"),
        ({"start_time": (FIRST - 2 * DAY).isoformat()}, "INVALID_ARGUMENT", "VISIT_IN_PAST"),
        ({"start_time": (FIRST + timedelta(seconds=1)).isoformat()}, "INVALID_ARGUMENT", "START_NOT_ON_MINUTE"),
        ({"start_time": local(3, 2, 20).isoformat()}, "FAILED_PRECONDITION", "OUTSIDE_HOURS"),
        ({"course_id": to_wire("course", new_id())}, "NOT_FOUND", "COURSE_NOT_FOUND"),
    ],
)
async def test_a_single_visit_that_breaks_a_rule_is_refused(
    clinic: Clinic, changes: dict[str, Any], code: str, reason: str
) -> None:
    refused = await refusal(book(clinic, single(clinic, await clinic.add_patient(), FIRST, **changes)))
    assert (refused.code, refused.reason) == (StatusCode[code], reason)
    assert await clinic.counts("course", "visit") == [0, 0]


async def test_a_single_visit_in_conflict_is_told_of_other_places(clinic: Clinic) -> None:
    await book(clinic, single(clinic, await clinic.add_patient(), FIRST))
    refused = await refusal(book(clinic, single(clinic, await clinic.add_patient(), FIRST)))
    assert (refused.reason, refused.faults) == ("VISITS_CONFLICT", [("visits[0].resources[0]", "RESOURCE_TAKEN")])
    found = VisitsConflictDetail()
    assert any(each.Unpack(found) for each in refused.details)
    starts = [_start(visit) for visit in found.visits[0].visits]
    assert starts == [FIRST - timedelta(minutes=30), FIRST + timedelta(minutes=30), FIRST - timedelta(minutes=45)]


@pytest.mark.parametrize("role", ["ROLE_NURSE", "ROLE_BILLING", "ROLE_AUDITOR", "ROLE_SERVICE", "ROLE_PATIENT"])
async def test_who_may_not_book_books_no_single_visit(clinic: Clinic, role: str) -> None:
    patient, token = await clinic.add_patient(), clinic.svc.token(role)
    for answer in (
        book(clinic, single(clinic, patient, FIRST), token),
        clinic.svc.call(clinic.visits.BookSeries, series(clinic, patient, FIRST.date()), token),
    ):
        assert (await refusal(answer)).code is StatusCode.PERMISSION_DENIED
    assert await clinic.count("course") == 0


async def test_staff_of_another_site_or_chain_book_no_visit_into_a_course(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([FIRST])))
    request = single(clinic, patient, FIRST + DAY, course_id=course.id)
    other = clinic.token(site_id=await clinic.add_site("bld"))
    assert (await refusal(book(clinic, request, other))).code is StatusCode.PERMISSION_DENIED
    foreign = clinic.svc.token(chain_id=new_id())
    assert (await refusal(book(clinic, request, foreign))).reason == "PROTOCOL_VERSION_NOT_FOUND"


@pytest.mark.parametrize("first", [date(2027, 3, 2), date(2027, 10, 26)])
async def test_a_weekly_series_keeps_its_local_time_across_clock_changes(clinic: Clinic, first: date) -> None:
    found = await book_series(clinic, series(clinic, await clinic.add_patient(), first))
    assert found == [local(day.month, day.day, 9) for day in (first + n * WEEK for n in range(4))]
    assert {each.hour for each in found} == {9}
    assert len({each.utcoffset() for each in found}) == 2
    assert await clinic.counts("course", "visit") == [1, 4]


async def test_a_series_until_a_day_has_that_day_and_every_second_week_skips_one(clinic: Clinic) -> None:
    until: dict[str, Any] = {"until_date": {"year": 2027, "month": 3, "day": 30}, "interval_weeks": 2}
    found = await book_series(clinic, series(clinic, await clinic.add_patient(), date(2027, 3, 2), **until))
    assert [each.day for each in found] == [2, 16, 30]


async def test_a_closed_day_is_skipped_and_not_counted_or_refused(clinic: Clinic) -> None:
    closed = "UPDATE site SET closed_dates = '{2027-03-09}' WHERE chain_id = $1"
    await clinic.svc.admin.execute(closed, clinic.svc.chain_id)
    patient = await clinic.add_patient()
    refused = await refusal(book_series(clinic, series(clinic, patient, date(2027, 3, 2))))
    assert (refused.reason, refused.faults) == ("OUTSIDE_HOURS", [("start_time_of_day", "SITE_CLOSED")])
    assert await clinic.count("visit") == 0
    found = await book_series(clinic, series(clinic, patient, date(2027, 3, 2), skip_closed_days=True))
    assert [(each.month, each.day) for each in found] == [(3, 2), (3, 16), (3, 23), (3, 30)]


@pytest.mark.parametrize(
    "closed",
    [
        "closed_dates = '{2027-11-25}'",
        "observed_holidays = '{HOLIDAY_THANKSGIVING_DAY}'",
        """exceptions = '[["2027-11-25", []]]'""",
        """exceptions = '[["2027-11-25", [[600, 720]]]]'""",  # From ten to noon.
    ],
)
async def test_whatever_closes_a_day_a_series_skips_it_or_names_it(clinic: Clinic, closed: str) -> None:
    """Thanksgiving Day."""
    await clinic.svc.admin.execute(f"UPDATE site SET {closed} WHERE chain_id = $1", clinic.svc.chain_id)
    patient = await clinic.add_patient()
    refused = await refusal(book_series(clinic, series(clinic, patient, date(2027, 11, 18), **treatment(clinic))))
    assert (refused.reason, refused.faults) == ("OUTSIDE_HOURS", [("start_time_of_day", "SITE_CLOSED")])
    skipping = series(clinic, patient, date(2027, 11, 18), skip_closed_days=True, **treatment(clinic))
    found = await book_series(clinic, skipping)
    assert [(each.month, each.day) for each in found] == [(11, 18), (12, 2), (12, 9), (12, 16)]


async def test_a_talk_in_the_evening_keeps_holidays_too(clinic: Clinic) -> None:
    """When the site is closed anyway, and who talks by video is at work."""
    observed = "UPDATE site SET observed_holidays = '{HOLIDAY_THANKSGIVING_DAY}' WHERE chain_id = $1"
    await clinic.svc.admin.execute(observed, clinic.svc.chain_id)
    evenings: dict[str, Any] = {"capabilities": ["prescriber"], "working_hours": hours(18, 21)}
    clinic.prescriber = await clinic.add_resource("STAFF", "Doctor", **evenings)
    skipping = series(clinic, await clinic.add_patient(), date(2027, 11, 18), 19, skip_closed_days=True)
    found = await book_series(clinic, skipping)
    assert [(each.month, each.day) for each in found] == [(11, 18), (12, 2), (12, 9), (12, 16)]


async def test_nights_and_weekends_are_not_skipped_and_a_holiday_with_hours_of_its_own_is_open(clinic: Clinic) -> None:
    holiday = """observed_holidays = '{HOLIDAY_THANKSGIVING_DAY}', exceptions = '[["2027-11-25", [[540, 720]]]]'"""
    await clinic.svc.admin.execute(f"UPDATE site SET {holiday} WHERE chain_id = $1", clinic.svc.chain_id)
    patient = await clinic.add_patient()
    asked: dict[str, Any] = {"skip_closed_days": True, **treatment(clinic)}
    found = await book_series(clinic, series(clinic, patient, date(2027, 11, 18), **asked))
    assert [(each.month, each.day) for each in found] == [(11, 18), (11, 25), (12, 2), (12, 9)]
    refused = await refusal(book_series(clinic, series(clinic, patient, date(2027, 11, 20), **asked)))
    assert (refused.reason, len(refused.faults)) == ("OUTSIDE_HOURS", 4)  # Saturdays.


@pytest.mark.parametrize(("first", "hour", "rule"), [((3, 7), 2, "SKIPPED_HOUR"), ((10, 31), 1, "DOUBLED_HOUR")])
async def test_a_skipped_or_doubled_hour_is_refused_by_day(
    clinic: Clinic, first: tuple[int, int], hour: int, rule: str
) -> None:
    """On Sundays, at a clinic that is open all night."""
    clinic.site_id = await clinic.add_site("night", opening_hours=hours(0, 6, ["SUNDAY"]))
    await clinic.adopt()
    clinic.prescriber = await clinic.add_resource("STAFF", "Doctor", capabilities=["prescriber"])
    patient = await clinic.add_patient()
    request = series(clinic, patient, date(2027, *first), hour)
    refused = await refusal(book_series(clinic, request))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "LOCAL_TIME_UNCLEAR")
    assert refused.faults == [("start_time_of_day", rule)]
    assert await clinic.count("visit") == 0
    assert len(await book_series(clinic, series(clinic, patient, date(2027, *first), 4))) == 4


async def test_a_series_is_booked_whole_or_not_at_all(clinic: Clinic) -> None:
    await book(clinic, single(clinic, await clinic.add_patient(), FIRST + WEEK))
    refused = await refusal(book_series(clinic, series(clinic, await clinic.add_patient(), date(2027, 3, 2))))
    assert (refused.reason, refused.faults) == ("VISITS_CONFLICT", [("visits[1].resources[0]", "RESOURCE_TAKEN")])
    assert await clinic.counts("course", "visit") == [1, 1]


async def test_a_series_in_conflict_is_told_of_other_places_for_the_visits_in_it_alone(clinic: Clinic) -> None:
    await book(clinic, single(clinic, await clinic.add_patient(), FIRST + WEEK))
    refused = await refusal(book_series(clinic, series(clinic, await clinic.add_patient(), date(2027, 3, 2))))
    found = VisitsConflictDetail()
    assert any(each.Unpack(found) for each in refused.details)
    starts = {each.visit_index: [_start(visit) for visit in each.visits] for each in found.visits}
    nine, half = FIRST + WEEK, timedelta(minutes=30)
    assert starts == {1: [nine - half, nine + half, nine - timedelta(minutes=45)]}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"until_date": {"year": 2027, "month": 3, "day": 1}}, "until_date"),
        ({"until_date": {"year": 2028, "month": 4, "day": 6}}, "until_date"),
        ({"until_date": {"year": 2027, "month": 3, "day": 8}, "skip_closed_days": True}, "until_date"),
        ({"visit_count": 60}, "visit_count"),
    ],
)
async def test_a_series_of_no_visit_or_beyond_its_bounds_is_refused(
    clinic: Clinic, changes: dict[str, Any], field: str
) -> None:
    closed = "UPDATE site SET closed_dates = '{2027-03-02}' WHERE chain_id = $1"
    await clinic.svc.admin.execute(closed, clinic.svc.chain_id)
    request = series(clinic, await clinic.add_patient(), date(2027, 3, 2), **changes)
    refused = await refusal(book_series(clinic, request))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "SERIES_INVALID")
    assert refused.faults == [(field, "SERIES_INVALID")]
    assert await clinic.count("visit") == 0


async def test_no_visit_of_a_series_starts_at_24_which_is_of_the_day_after(clinic: Clinic) -> None:
    """So that the last of a series until a day would be on none of its days."""
    request = series(clinic, await clinic.add_patient(), date(2027, 3, 2), start_time_of_day={"hours": 24})
    refused = await refusal(book_series(clinic, request))
    assert (refused.reason, refused.faults) == ("HOURS_INVALID", [("start_time_of_day", "TIME_OF_DAY")])
    assert await clinic.count("visit") == 0


async def test_no_visit_is_asked_for_near_the_end_of_the_calendar(clinic: Clinic) -> None:
    """Gaps, windows and anchors would be reckoned beyond it."""
    patient, far = await clinic.add_patient(), datetime(9991, 1, 4, 9, tzinfo=FIRST.tzinfo)
    hold = clinic.hold_request(patient, [far])
    for call, field in (
        (book_series(clinic, series(clinic, patient, far.date())), "first_date"),
        (book(clinic, single(clinic, patient, far)), "start_time"),
        (clinic.book(clinic.request(patient, clinic.treatments([far]))), "visits[0].start_time"),
        (clinic.svc.call(clinic.courses.HoldCourse, hold), "visits[0].start_time"),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.faults) == (StatusCode.INVALID_ARGUMENT, [(field, "date.years")])
    assert len(await book_series(clinic, series(clinic, patient, date(9990, 12, 31), visit_count=2))) == 2
