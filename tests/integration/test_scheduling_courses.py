"""Planning, booking and reading courses through the gRPC door."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.json_format import ParseDict
from grpc import StatusCode

from atoll.scheduling.v1 import course_service_pb2 as pb
from atoll.scheduling.v1 import visit_service_pb2
from atoll.scheduling.v1.events_pb2 import BookedVisit, CourseBooked
from chassis.ids import new_id, to_wire
from tests.support.scheduling import (
    DAY,
    TEMPLATE,
    Clinic,
    hours,
    local,
    open_clinic,
    open_scheduling,
    phase,
    revoked,
    visit_choice,
)
from tests.support.service import Running, refusal

FIRST = local(3, 2, 9)  # A Tuesday.
FRIDAY = FIRST + 3 * DAY
SUMMER = local(3, 15, 9)  # Clocks change on the 14th.


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


async def test_a_course_is_booked_with_every_visit_and_read_back_the_same(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    visits = clinic.treatments([FIRST + DAY, FRIDAY])
    visits.insert(0, visit_choice("assessment", FIRST - DAY, prescriber=clinic.prescriber))
    course = await clinic.book(clinic.request(patient, visits))
    assert [
        (visit.visit_type_code, visit.route_code, visit.band_code, visit.telehealth) for visit in course.visits
    ] == [
        ("talk", "", "any", True),
        ("treatment", "iv", "short", False),
        ("treatment", "iv", "short", False),
    ]
    first = course.visits[1]
    assert first.start_time.ToDatetime() == (FIRST + DAY).replace(tzinfo=None)
    assert first.end_time.ToDatetime() == (FIRST + DAY + timedelta(minutes=80)).replace(tzinfo=None)
    assert [(each.requirement_key, each.resource_id) for each in first.resources] == [
        ("nurse", clinic.nurses[0]),
        ("room", clinic.rooms[0]),
    ]
    answer = await clinic.svc.call(clinic.courses.GetCourse, pb.GetCourseRequest(course_id=course.id))
    assert answer.course == course


async def test_somebody_at_a_desk_may_choose_a_start_off_the_grid(clinic: Clinic) -> None:
    start = FIRST + timedelta(minutes=7)
    course = await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([start])))
    assert course.visits[0].start_time.ToDatetime() == start.replace(tzinfo=None)


async def test_a_booking_takes_a_lane_for_each_stretch_and_the_patient_until_they_may_leave(clinic: Clinic) -> None:
    await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    of_chain = FIRST, clinic.svc.chain_id
    minutes = "(extract(epoch FROM start_at - $1) / 60)::int, (extract(epoch FROM end_at - $1) / 60)::int"
    rows = await clinic.svc.admin.fetch(
        f"SELECT lane, {minutes} FROM allocation WHERE chain_id = $2 ORDER BY 2, 3, 1", *of_chain
    )
    assert [tuple(row) for row in rows] == [(0, 0, 80), (0, 0, 90), (1, 10, 50)]
    rows = await clinic.svc.admin.fetch(f"SELECT {minutes} FROM presence WHERE chain_id = $2", *of_chain)
    assert [tuple(row) for row in rows] == [(0, 80)]


async def test_a_booked_course_is_told_with_all_that_an_estimate_needs(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([FIRST])))
    subject, event = (await clinic.published())[-1]
    assert subject == "scheduling.v1.course.booked"
    assert (event.meta.aggregate_version, event.meta.site_id) == (1, clinic.site_id)
    event.ClearField("meta")
    assert event == CourseBooked(
        course_id=course.id,
        site_id=clinic.site_id,
        patient_id=patient,
        protocol_id=clinic.protocol_id,
        protocol_version_id=clinic.version_id,
        route_code="iv",
        visits=[
            BookedVisit(
                visit_id=course.visits[0].id,
                phase_code="induction",
                visit_type_code="treatment",
                route_code="iv",
                band_code="short",
                start_time=course.visits[0].start_time,
                end_time=course.visits[0].end_time,
            )
        ],
    )


async def test_the_same_request_books_once_and_is_answered_the_same(clinic: Clinic) -> None:
    request = clinic.request(await clinic.add_patient(), clinic.treatments([FIRST, FRIDAY]))
    assert await clinic.book(request) == await clinic.book(request)
    assert await clinic.counts("course", "visit", "allocation", "presence") == [1, 2, 6, 2]


async def test_a_refusal_names_each_conflict_of_each_visit_and_leaves_nothing(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    await clinic.book(clinic.request(patient, clinic.treatments([FIRST, FRIDAY])))
    tables = ("course", "visit", "allocation", "presence", "visit_status_change", "outbox", "audit", "idempotency")
    before = await clinic.counts(*tables)

    visits = [
        *clinic.treatments([FIRST + timedelta(minutes=75)], nurse=clinic.nurses[1]),
        *clinic.treatments([FRIDAY], room=clinic.rooms[1]),
    ]
    refused = await refusal(clinic.book(clinic.request(patient, visits)))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "VISITS_CONFLICT")
    assert refused.faults == [
        ("visits[0]", "PATIENT_TAKEN"),
        ("visits[0].resources[1]", "RESOURCE_TAKEN"),
        ("visits[1]", "PATIENT_TAKEN"),
        ("visits[1].resources[0]", "RESOURCE_TAKEN"),
    ]
    assert before == await clinic.counts(*tables)


async def test_a_refusal_is_not_remembered(clinic: Clinic) -> None:
    blocking = clinic.request(await clinic.add_patient(), clinic.treatments([FIRST]))
    request = clinic.request(await clinic.add_patient(), clinic.treatments([FIRST]))
    await clinic.book(blocking)
    assert (await refusal(clinic.book(request))).reason == "VISITS_CONFLICT"
    await clinic.svc.admin.execute("DELETE FROM allocation WHERE chain_id = $1", clinic.svc.chain_id)
    assert len((await clinic.book(request)).visits) == 1


async def test_two_patients_may_be_with_one_nurse_where_she_has_lanes_for_both(clinic: Clinic) -> None:
    """The second is prepared and dosed while the first is observed no longer, or not yet dosed."""
    await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    beside = {"room": clinic.rooms[1]}
    too_early = clinic.treatments([FIRST + timedelta(minutes=60)], **beside)
    refused = await refusal(clinic.book(clinic.request(await clinic.add_patient(), too_early)))
    assert refused.faults == [("visits[0].resources[0]", "RESOURCE_TAKEN")]
    in_time = clinic.treatments([FIRST + timedelta(minutes=70)], **beside)
    assert len((await clinic.book(clinic.request(await clinic.add_patient(), in_time))).visits) == 1


async def test_nine_o_clock_on_both_sides_of_a_clock_change_is_five_days_apart(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([local(3, 10, 9), SUMMER])))
    first, second = (visit.start_time.ToDatetime() for visit in course.visits)
    assert second - first == timedelta(hours=5 * 24 - 1)


@pytest.mark.parametrize(
    ("starts", "changes", "code", "reason", "faults"),
    [
        ([FIRST], {"route_code": "im"}, "INVALID_ARGUMENT", "ROUTE_UNKNOWN", [("route_code", "ROUTE_UNKNOWN")]),
        (
            [FIRST, FIRST + DAY],
            {},
            "INVALID_ARGUMENT",
            "SPACING_OUTSIDE_PROTOCOL",
            [("visits[1].start_time", "SPACING_OUTSIDE_PROTOCOL")],
        ),
        ([FIRST - 4 * DAY], {}, "INVALID_ARGUMENT", "VISIT_IN_PAST", [("visits[0].start_time", "VISIT_IN_PAST")]),
        (
            [FIRST + timedelta(seconds=1)],
            {},
            "INVALID_ARGUMENT",
            "START_NOT_ON_MINUTE",
            [("visits[0].start_time", "START_NOT_ON_MINUTE")],
        ),
        (
            [FRIDAY, FIRST],
            {},
            "INVALID_ARGUMENT",
            "VISITS_OUT_OF_ORDER",
            [("visits[1].start_time", "VISITS_OUT_OF_ORDER")],
        ),
        (
            [FIRST, FRIDAY + DAY],
            {},
            "FAILED_PRECONDITION",
            "OUTSIDE_HOURS",
            [("visits[1].start_time", "SITE_CLOSED")],
        ),
        (
            [FIRST],
            {"route_code": "nasal"},
            "FAILED_PRECONDITION",
            "CLEARANCE_MISSING",
            [("visits[0].start_time", "CLEARANCE_MISSING")],
        ),
    ],
)
async def test_a_course_that_breaks_a_rule_is_refused_by_name(
    clinic: Clinic, starts: list[Any], changes: dict[str, Any], code: str, reason: str, faults: list[tuple[str, str]]
) -> None:
    request = clinic.request(await clinic.add_patient(), clinic.treatments(starts), **changes)
    refused = await refusal(clinic.book(request))
    assert (refused.code, refused.reason, refused.faults) == (StatusCode[code], reason, faults)
    assert await clinic.count("course") == 0


async def test_visits_must_fit_the_protocols_phases_and_requirements(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    wrong_phase = [visit_choice("booster", FIRST, prescriber=clinic.prescriber)]
    refused = await refusal(clinic.book(clinic.request(patient, wrong_phase)))
    assert (refused.reason, refused.faults) == ("PHASES_OUTSIDE_PROTOCOL", [("visits[0].phase_code", "UNKNOWN")])
    nobody = [visit_choice("induction", FIRST, room=clinic.rooms[0])]
    refused = await refusal(clinic.book(clinic.request(patient, nobody)))
    assert (refused.reason, refused.faults) == (
        "REQUIREMENTS_NOT_MET",
        [("visits[0].resources", "REQUIREMENT_MISSING")],
    )
    unable = clinic.treatments([FIRST], nurse=clinic.prescriber)
    refused = await refusal(clinic.book(clinic.request(patient, unable)))
    assert refused.reason == "RESOURCE_UNSUITABLE"
    assert refused.faults == [("visits[0].resources[0].resource_id", "LACKS_CAPABILITY")]


async def test_what_does_not_exist_is_named(clinic: Clinic) -> None:
    patient, visits = await clinic.add_patient(), clinic.treatments([FIRST])
    for changes, reason in (
        ({"site_id": to_wire("site", new_id())}, "SITE_NOT_FOUND"),
        ({"protocol_version_id": to_wire("protocolversion", new_id())}, "PROTOCOL_VERSION_NOT_FOUND"),
        ({"visits": clinic.treatments([FIRST], room=to_wire("resource", new_id()))}, "RESOURCE_NOT_FOUND"),
    ):
        refused = await refusal(clinic.book(clinic.request(patient, **{"visits": visits} | changes)))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, reason)
    missing = clinic.svc.call(clinic.courses.GetCourse, pb.GetCourseRequest(course_id=to_wire("course", new_id())))
    assert (await refusal(missing)).reason == "COURSE_NOT_FOUND"


async def test_a_resource_of_another_site_is_not_found(clinic: Clinic) -> None:
    other = await clinic.add_site("bld")
    room = await clinic.add_resource("ROOM", "Elsewhere", site_id=other)
    request = clinic.request(await clinic.add_patient(), clinic.treatments([FIRST], room=room))
    assert (await refusal(clinic.book(request))).reason == "RESOURCE_NOT_FOUND"


async def test_a_site_books_by_versions_only_that_it_adopted(clinic: Clinic) -> None:
    patient, newer = await clinic.add_patient(), await clinic.publish(TEMPLATE)
    request = clinic.request(patient, clinic.treatments([FIRST]), protocol_version_id=newer)
    refused = await refusal(clinic.book(request))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PROTOCOL_NOT_ADOPTED")
    await clinic.adopt(newer)
    assert (await clinic.book(request)).protocol_version_id == newer


async def test_an_unknown_patient_may_be_known_soon(clinic: Clinic) -> None:
    stranger = to_wire("patient", new_id())
    refused = await refusal(clinic.book(clinic.request(stranger, clinic.treatments([FIRST]))))
    assert (refused.code, refused.reason, refused.retry) == (StatusCode.FAILED_PRECONDITION, "NOT_YET_KNOWN", True)
    assert refused.metadata == {"waits_for": stranger}


async def test_a_gate_is_pending_until_a_clearance_arrives_and_closed_when_it_is_revoked(clinic: Clinic) -> None:
    patient = await clinic.add_patient(cleared=False)
    request = clinic.request(patient, clinic.treatments([FIRST]))
    refused = await refusal(clinic.book(request))
    assert (refused.code, refused.reason, refused.retry) == (StatusCode.FAILED_PRECONDITION, "GATE_PENDING", True)
    clearance = clinic.clearance(patient)
    await clinic.svc.deliver(clearance)
    await clinic.book(request)
    await clinic.svc.deliver(revoked(clearance))
    refused = await refusal(clinic.book(clinic.request(patient, clinic.treatments([FRIDAY]))))
    assert (refused.code, refused.reason, refused.retry) == (StatusCode.FAILED_PRECONDITION, "CLEARANCE_MISSING", False)


async def test_a_clearance_that_is_revoked_before_it_is_granted_stays_revoked(clinic: Clinic) -> None:
    patient = await clinic.add_patient(cleared=False)
    clearance = clinic.clearance(patient)
    await clinic.svc.deliver(revoked(clearance))
    await clinic.svc.deliver(clearance)
    request = clinic.request(patient, clinic.treatments([FIRST]))
    assert (await refusal(clinic.book(request))).reason == "CLEARANCE_MISSING"
    await clinic.clear(patient)
    assert len((await clinic.book(request)).visits) == 1


@pytest.mark.parametrize(
    ("limits", "rules"),
    [
        ({"band_codes": ["long"]}, ["BAND_NOT_CLEARED"]),
        ({"session_minutes_max": 39}, ["SESSION_TOO_LONG"]),
        ({"band_codes": ["long", "longer"], "session_minutes_max": 1}, ["BAND_NOT_CLEARED", "SESSION_TOO_LONG"]),
        ({"band_codes": ["long", "short"], "session_minutes_max": 40}, []),
    ],
)
async def test_a_visit_is_planned_within_the_limits_of_the_clearance(
    clinic: Clinic, limits: dict[str, Any], rules: list[str]
) -> None:
    patient = await clinic.add_patient(cleared=False)
    await clinic.clear(patient, **limits)
    request = clinic.request(patient, clinic.treatments([FIRST]))
    if rules:
        refused = await refusal(clinic.book(request))
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CLEARANCE_MISSING")
        assert refused.faults == [("visits[0].phase_code", rule) for rule in rules]
        assert await clinic.count("course") == 0
        await clinic.clear(patient)
    assert len((await clinic.book(request)).visits) == 1


async def test_an_event_delivered_again_changes_nothing(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    clearance = clinic.clearance(patient, route_codes=["nasal"])
    await clinic.svc.deliver(clearance)
    await clinic.svc.deliver(clearance)
    assert await clinic.count("clearance") == 2
    assert await clinic.count("patient") == 1


async def test_a_plan_keeps_clear_of_what_is_taken_and_is_booked_as_it_is(clinic: Clinic) -> None:
    other, patient = await clinic.add_patient(), await clinic.add_patient()
    for nurse, room in zip(clinic.nurses, clinic.rooms, strict=True):
        blocking = clinic.treatments([FIRST - timedelta(hours=1)], nurse=nurse, room=room)
        await clinic.book(clinic.request(other if nurse == clinic.nurses[0] else await clinic.add_patient(), blocking))
    request = plan_request(clinic, patient, earliest_date=day(2), latest_date=day(2))
    best = (await clinic.svc.call(clinic.courses.PlanCourse, request)).plans[0]
    assert [visit.start_time.ToDatetime() for visit in best.visits] == [
        (FIRST + timedelta(minutes=30)).replace(tzinfo=None),  # A room is ready again.
        (FRIDAY - timedelta(hours=1)).replace(tzinfo=None),
    ]
    visits = [
        pb.BookCourseRequest.VisitChoice(
            phase_code=each.phase_code, start_time=each.start_time, resources=each.resources
        )
        for each in best.visits
    ]
    course = await clinic.book(clinic.request(patient, visits))
    assert [(visit.start_time, visit.end_time) for visit in course.visits] == [
        (visit.start_time, visit.end_time) for visit in best.visits
    ]


async def test_planning_stores_nothing_but_who_asked(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    before = await clinic.count("outbox")
    await clinic.svc.call(clinic.courses.PlanCourse, plan_request(clinic, patient))
    assert await clinic.counts("course", "visit", "allocation") == [0, 0, 0]
    assert await clinic.count("outbox") == before
    row = await clinic.svc.admin.fetchrow("SELECT kind, ids FROM audit ORDER BY position DESC LIMIT 1")
    assert row
    assert (row["kind"], json.loads(row["ids"])["patient_id"]) == ("AUDIT_PHI_READ", patient)


async def test_a_plan_keeps_clear_of_the_patients_visits_at_other_sites_even_for_who_sees_one_site(
    clinic: Clinic,
) -> None:
    patient, elsewhere = await clinic.add_patient(), await clinic.add_site("bld")
    await clinic.adopt(site_id=elsewhere)
    room = await clinic.add_resource("ROOM", "Room", site_id=elsewhere)
    nurse = await clinic.add_resource("STAFF", "Nurse", site_id=elsewhere, capabilities=["infusion"], lane_count=2)
    await clinic.book(clinic.request(patient, clinic.treatments([FIRST], nurse, room), site_id=elsewhere))
    request = plan_request(clinic, patient, earliest_date=day(2), latest_date=day(2))
    best = (await clinic.svc.call(clinic.courses.PlanCourse, request, clinic.token())).plans[0]
    assert best.visits[0].start_time.ToDatetime() == (FIRST + timedelta(minutes=90)).replace(tzinfo=None)
    refused = await refusal(clinic.book(clinic.request(patient, clinic.treatments([FIRST])), clinic.token()))
    assert refused.faults == [("visits[0]", "PATIENT_TAKEN")]


async def test_a_refused_plan_names_what_is_lacking_and_when(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    request = plan_request(clinic, patient, earliest_date=day(6), latest_date=day(7))
    refused = await refusal(clinic.svc.call(clinic.courses.PlanCourse, request))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PLAN_NOT_FOUND")
    assert refused.faults == [("induction.site", "SITE_CLOSED")]
    days = {"first_day": "2027-03-06", "last_day": "2027-03-07"}
    assert refused.metadata == {"visit": "0", "site_id": clinic.site_id, **days}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"route_code": "im"}, "ROUTE_UNKNOWN"),
        ({"latest_date": {"year": 2027, "month": 3, "day": 1}}, "PLAN_WINDOW_INVALID"),
        ({"latest_date": {"year": 2037, "month": 3, "day": 2}}, "PLAN_WINDOW_INVALID"),
        ({"phases": [{"phase_code": "induction", "visit_count": 7}]}, "PHASES_OUTSIDE_PROTOCOL"),
        ({"earliest_date": {"year": 2027, "month": 2, "day": 29}}, "BAD_REQUEST"),
        ({"preferred_time": {"hours": 25}}, "HOURS_INVALID"),
    ],
)
async def test_a_wish_that_cannot_be_planned_is_refused_by_name(
    clinic: Clinic, changes: dict[str, Any], reason: str
) -> None:
    request = plan_request(clinic, await clinic.add_patient(), **changes)
    refused = await refusal(clinic.svc.call(clinic.courses.PlanCourse, request))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, reason)


async def test_a_course_longer_than_can_be_planned_is_refused(clinic: Clinic) -> None:
    gaps = {"gap_days_min": 300, "gap_days_preferred": 300, "gap_days_max": 300, "needs_clearance": False}
    clinic.version_id = await clinic.publish({**TEMPLATE, "phases": [TEMPLATE["phases"][1] | gaps]})
    await clinic.adopt()
    request = plan_request(clinic, await clinic.add_patient(), phases=[{"phase_code": "induction", "visit_count": 3}])
    assert (await refusal(clinic.svc.call(clinic.courses.PlanCourse, request))).reason == "PLAN_TOO_LONG"


async def test_courses_are_listed_by_site_and_by_patient_in_pages(clinic: Clinic) -> None:
    patient, other = await clinic.add_patient(), await clinic.add_patient()
    booked = [
        (await clinic.book(clinic.request(each, clinic.treatments([FIRST + n * DAY])))).id
        for n, each in enumerate([patient, other, patient])
    ]
    listed = await listing(clinic, site_id=clinic.site_id, page_size=2)
    assert [course.id for course in listed.courses] == booked[:2]
    rest = await listing(clinic, site_id=clinic.site_id, page_size=2, page_token=listed.next_page_token)
    assert ([course.id for course in rest.courses], rest.next_page_token) == (booked[2:], "")
    by_patient = await listing(clinic, patient_id=patient)
    assert [course.id for course in by_patient.courses] == [booked[0], booked[2]]
    assert [len(course.visits) for course in by_patient.courses] == [1, 1]
    both = await listing(clinic, patient_id=other, site_id=clinic.site_id)
    assert [course.id for course in both.courses] == [booked[1]]
    assert [course.id for course in (await listing(clinic)).courses] == booked


async def test_staff_of_another_site_or_chain_see_and_book_nothing(clinic: Clinic) -> None:
    course = await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    other_site, other_chain = await clinic.add_site("bld"), new_id()
    elsewhere = clinic.token(site_id=other_site)
    get = pb.GetCourseRequest(course_id=course.id)
    for token in (elsewhere, clinic.svc.token(chain_id=other_chain)):
        refused = await refusal(clinic.svc.call(clinic.courses.GetCourse, get, token))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "COURSE_NOT_FOUND")
        assert not (await clinic.svc.call(clinic.courses.ListCourses, pb.ListCoursesRequest(), token)).courses
    request = clinic.request(await clinic.add_patient(), clinic.treatments([FRIDAY]))
    assert (await refusal(clinic.book(request, elsewhere))).code is StatusCode.PERMISSION_DENIED
    foreign = await refusal(clinic.book(request, clinic.svc.token(chain_id=other_chain)))
    assert (foreign.code, foreign.reason) == (StatusCode.NOT_FOUND, "PROTOCOL_VERSION_NOT_FOUND")
    assert await clinic.count("course") == 1


@pytest.mark.parametrize("role", ["ROLE_NURSE", "ROLE_BILLING", "ROLE_AUDITOR", "ROLE_SERVICE", "ROLE_PATIENT"])
async def test_who_may_not_book_is_denied(clinic: Clinic, role: str) -> None:
    request = clinic.request(await clinic.add_patient(), clinic.treatments([FIRST]))
    refused = await refusal(clinic.book(request, clinic.svc.token(role)))
    assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    assert await clinic.count("course") == 0


async def test_a_shift_over_midnight_and_a_leap_day_are_booked_like_any_other(clinic: Clinic) -> None:
    clinic.svc.clock.now = local(2, 1, 9, year=2028)
    clinic.site_id = await clinic.add_site("night", opening_hours=hours(20, 6))
    await clinic.adopt()
    room = await clinic.add_resource("ROOM", "Room")
    nurse = await clinic.add_resource("STAFF", "Nurse", capabilities=["infusion"], lane_count=2)
    patient = await clinic.add_patient(cleared=False)
    spring = {
        "effective_date": {"year": 2028, "month": 2, "day": 29},
        "expire_date": {"year": 2028, "month": 3, "day": 3},
    }
    await clinic.clear(patient, **spring)
    starts = [local(2, 29, 23, 30, year=2028), local(3, 3, 1, year=2028)]  # Tuesday night, and Thursday's to Friday.
    course = await clinic.book(clinic.request(patient, clinic.treatments(starts, nurse, room)))
    assert [visit.start_time.ToDatetime() for visit in course.visits] == [
        start.replace(tzinfo=None) for start in starts
    ]


async def reasons(clinic: Clinic, course: pb.Course, token: str | None = None) -> list[list[str]]:
    """Of the changes of status of each visit."""
    requests = [visit_service_pb2.GetVisitRequest(visit_id=visit.id) for visit in course.visits]
    answers = [await clinic.svc.call(clinic.visits.GetVisit, each, token) for each in requests]
    return [sorted(change.reason for change in answer.status_changes) for answer in answers]


@pytest.mark.parametrize("held", [True, False])
async def test_a_clinician_books_outside_the_spacing_for_a_reason_that_is_kept(clinic: Clinic, held: bool) -> None:
    patient, why = await clinic.add_patient(), "Travels for a week"
    starts = [FIRST, FRIDAY, FRIDAY + 7 * DAY]  # Two to five days are allowed.
    asked: Any = clinic.request(patient, clinic.treatments(starts), spacing_reason=why)
    if held:
        asked = clinic.hold_request(patient, starts, spacing_reason=why)
    call = clinic.courses.HoldCourse if held else clinic.courses.BookCourse
    clinician = clinic.token("ROLE_CLINICIAN")
    for token in (clinic.token(), clinic.token("ROLE_SITE_MANAGER"), clinic.svc.token("ROLE_PATIENT", patient=patient)):
        assert (await refusal(clinic.svc.call(call, asked, token))).reason == "ACCESS_DENIED"
    asked.spacing_reason = ""
    refused = await refusal(clinic.svc.call(call, asked, clinician))
    assert (refused.reason, refused.faults) == (
        "SPACING_OUTSIDE_PROTOCOL",
        [("visits[2].start_time", "SPACING_OUTSIDE_PROTOCOL")],
    )
    assert await clinic.counts("course", "visit") == [0, 0]
    asked.spacing_reason = why
    course = (await clinic.svc.call(call, asked, clinician)).course
    assert await reasons(clinic, course) == [[""], [""], [why]]
    assert await reasons(clinic, course, clinic.svc.token("ROLE_PATIENT", patient=patient)) == [[""], [""], [""]]
    if held:
        await clinic.book_hold(course.id)
        assert await reasons(clinic, course) == [["", ""], ["", ""], ["", why]]


async def test_a_reason_moves_no_visit_before_what_it_is_due_by(clinic: Clinic) -> None:
    """It is for the spacing, and for nothing else."""
    again = phase(
        "again", "FOLLOW_UP", "talk", (1, 1, 1), (0, 0, 0),
        anchor={"phase_code": "induction", "months": 1, "tolerance_days": 7},
    )  # fmt: skip
    clinic.version_id = await clinic.publish({**TEMPLATE, "phases": [*TEMPLATE["phases"], again]})
    await clinic.adopt()
    patient, clinician = await clinic.add_patient(), clinic.token("ROLE_CLINICIAN")
    talk = visit_choice("again", FRIDAY, prescriber=clinic.prescriber)
    alone = clinic.request(patient, [talk], spacing_reason="Sooner")
    assert (await refusal(clinic.book(alone, clinician))).faults == [("visits[0].phase_code", "ANCHOR_MISSING")]
    taken = clinic.request(patient, [*clinic.treatments([FIRST]), talk], spacing_reason="Sooner")
    assert await reasons(clinic, await clinic.book(taken, clinician)) == [[""], ["Sooner"]]


def day(number: int) -> dict[str, int]:
    return {"year": 2027, "month": 3, "day": number}


def plan_request(clinic: Clinic, patient_id: str, **changes: Any) -> pb.PlanCourseRequest:
    fields: dict[str, Any] = {
        "site_id": clinic.site_id,
        "patient_id": patient_id,
        "protocol_version_id": clinic.version_id,
        "route_code": "iv",
        "phases": [{"phase_code": "induction", "visit_count": 2}],
        "earliest_date": day(2),
        "latest_date": day(5),
    }
    return ParseDict(fields | changes, pb.PlanCourseRequest())


async def listing(clinic: Clinic, **fields: Any) -> pb.ListCoursesResponse:
    answer: pb.ListCoursesResponse = await clinic.svc.call(clinic.courses.ListCourses, pb.ListCoursesRequest(**fields))
    return answer
