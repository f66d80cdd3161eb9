"""Holding courses, booking and giving up what is held, and how a hold ends by itself: through the gRPC door."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.protobuf.json_format import ParseDict
from grpc import StatusCode

from atoll.patients.v1.events_pb2 import AdverseEventReported, PatientMerged
from atoll.scheduling.v1 import closure_service_pb2 as closures_pb
from atoll.scheduling.v1 import course_service_pb2 as pb
from atoll.scheduling.v1 import visit_service_pb2 as visits_pb
from atoll.scheduling.v1.closure_service_pb2_grpc import ClosureServiceStub
from atoll.scheduling.v1.resource_service_pb2 import GetResourceRequest, UpdateResourceRequest
from atoll.scheduling.v1.visit_pb2 import VisitStatus
from atoll.scheduling.v1.waitlist_pb2 import WaitlistStatus
from chassis.ids import from_wire, new_id, to_wire
from chassis.settings import Settings
from services.scheduling.domain.holds import HOLDS_OF_CALLER_MAX
from services.scheduling.jobs import end_due_holds, end_holds
from tests.integration.test_scheduling_alternatives import places
from tests.integration.test_scheduling_closures import create as close
from tests.integration.test_scheduling_closures import interval
from tests.integration.test_scheduling_closures import request as closing
from tests.integration.test_scheduling_planning import find, plan
from tests.integration.test_scheduling_protocol_versions import end_adoption, retire
from tests.integration.test_scheduling_single import book as book_visit
from tests.integration.test_scheduling_single import book_series, series, single
from tests.integration.test_scheduling_staff_calendars import MORNING, busy_import, importing
from tests.support.scheduling import (
    DAY,
    TALK,
    TEMPLATE,
    TREATMENT,
    Clinic,
    hours,
    local,
    open_clinic,
    open_scheduling,
    segment,
    visit_choice,
)
from tests.support.service import Running, refusal, refusing
from tests.unit.test_scheduling_staff_calendars import calendar, event

FIRST = local(3, 2, 9)  # A Tuesday; it is Monday, nine o'clock.
FRIDAY = FIRST + 3 * DAY
MINUTE = timedelta(minutes=1)
LEFT = ("course", "visit", "allocation", "presence", "hold", "outbox", "idempotency")


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    """Nobody holds anything, since the job that ends holds works for every chain."""
    await svc.admin.execute("DELETE FROM hold")
    return await open_clinic(svc)


def statuses(course: pb.Course) -> list[str]:
    return [VisitStatus.Name(visit.status).removeprefix("VISIT_STATUS_") for visit in course.visits]


def later(clinic: Clinic, minutes: int) -> None:
    clinic.svc.clock.now += minutes * MINUTE


async def read(clinic: Clinic, course_id: str) -> pb.Course:
    answer = await clinic.svc.call(clinic.courses.GetCourse, pb.GetCourseRequest(course_id=course_id))
    course: pb.Course = answer.course
    return course


async def test_a_held_course_takes_all_that_its_visits_need_and_tells_what_an_estimate_needs(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    course = await clinic.hold(patient, [FIRST, FRIDAY])
    assert statuses(course) == ["HELD", "HELD"]
    assert course.hold_expire_time.ToDatetime() == (clinic.svc.now + 15 * MINUTE).replace(tzinfo=None)
    assert not course.HasField("book_time")
    assert await read(clinic, course.id) == course
    assert await clinic.counts("course", "visit", "allocation", "presence", "hold") == [1, 2, 6, 2, 1]
    subject, event = (await clinic.published())[-1]
    assert (subject, event.meta.aggregate_version) == ("scheduling.v1.course.held", 1)
    assert (event.course_id, event.patient_id, event.protocol_version_id) == (course.id, patient, clinic.version_id)
    assert event.expire_time == course.hold_expire_time
    assert [
        (each.visit_id, each.visit_type_code, each.route_code, each.band_code, each.start_time, each.end_time)
        for each in event.visits
    ] == [(each.id, "treatment", "iv", "short", each.start_time, each.end_time) for each in course.visits]


async def test_nobody_else_books_what_is_held(clinic: Clinic) -> None:
    await clinic.hold(await clinic.add_patient(), [FIRST])
    refused = await refusal(clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST]))))
    assert refused.reason == "VISITS_CONFLICT"
    held = clinic.hold(await clinic.add_patient(), [FIRST + 30 * MINUTE], nurse=clinic.nurses[1])
    assert (await refusal(held)).faults == [("visits[0].resources[1]", "RESOURCE_TAKEN")]


async def test_booking_a_hold_keeps_its_ids_and_tells_of_a_booking(clinic: Clinic) -> None:
    held = await clinic.hold(await clinic.add_patient(), [FIRST, FRIDAY])
    later(clinic, 14)
    booked = await clinic.book_hold(held.id)
    assert (booked.id, [visit.id for visit in booked.visits]) == (held.id, [visit.id for visit in held.visits])
    assert statuses(booked) == ["BOOKED", "BOOKED"]
    assert not booked.HasField("hold_expire_time")
    assert booked.book_time.ToDatetime() == clinic.svc.now.replace(tzinfo=None)
    assert await read(clinic, held.id) == booked
    [(_, of_hold), (subject, event)] = (await clinic.published())[-2:]
    assert (subject, event.meta.aggregate_version) == ("scheduling.v1.course.booked", 2)
    assert event.visits == of_hold.visits
    later(clinic, 60)
    assert await clinic.end_holds() == 0
    assert await clinic.counts("hold", "allocation", "presence", "visit_status_change") == [0, 6, 2, 4]
    refused = await refusal(clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST]))))
    assert refused.reason == "VISITS_CONFLICT"


async def test_the_same_request_holds_once_and_books_once(clinic: Clinic) -> None:
    request = clinic.hold_request(await clinic.add_patient(), [FIRST])
    one, other = [await clinic.svc.call(clinic.courses.HoldCourse, request) for _ in range(2)]
    assert one == other
    book = pb.BookHoldRequest(request_id=request.request_id, course_id=one.course.id)
    one, other = [await clinic.svc.call(clinic.courses.BookHold, book) for _ in range(2)]
    assert one == other
    assert await clinic.counts("course", "visit", "presence") == [1, 1, 1]


async def test_a_hold_needs_no_clearance_and_booking_it_does(clinic: Clinic) -> None:
    patient = await clinic.add_patient(cleared=False)
    held = await clinic.hold(patient, [FIRST])
    refused = await refusal(clinic.book_hold(held.id))
    assert (refused.code, refused.reason, refused.retry) == (StatusCode.FAILED_PRECONDITION, "GATE_PENDING", True)
    await clinic.clear(patient, route_codes=["nasal"])
    refused = await refusal(clinic.book_hold(held.id))
    assert (refused.reason, refused.faults) == ("CLEARANCE_MISSING", [("visits[0].start_time", "CLEARANCE_MISSING")])
    assert statuses(await read(clinic, held.id)) == ["HELD"]
    await clinic.clear(patient)
    assert statuses(await clinic.book_hold(held.id)) == ["BOOKED"]


@pytest.mark.parametrize(
    ("closed", "fault"),
    [
        ("", ("visits[1].start_time", "SITE_CLOSED")),
        ("room", ("visits[1].resources[1]", "NOT_AT_WORK")),
        ("nurse", ("visits[1].resources[0]", "NOT_AT_WORK")),
    ],
)
async def test_what_was_closed_since_it_was_held_is_not_booked_until_it_is_open_again(
    clinic: Clinic, closed: str, fault: tuple[str, str]
) -> None:
    held = await clinic.hold(await clinic.add_patient(), [FIRST, FRIDAY])
    what = {"": "", "room": clinic.rooms[0], "nurse": clinic.nurses[0]}[closed]
    answer = await close(clinic, closing(clinic, what, interval(FRIDAY + 60 * MINUTE, FRIDAY + DAY)))
    assert not answer.broken_visits
    refused = await refusal(clinic.book_hold(held.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "OUTSIDE_HOURS")
    assert refused.faults == [fault]
    assert statuses(await read(clinic, held.id)) == ["HELD", "HELD"]
    cancel = closures_pb.CancelClosureRequest(
        request_id=str(uuid4()), closure_id=answer.closure.id, etag=answer.closure.etag
    )
    await clinic.svc.call(clinic.svc.stub(ClosureServiceStub).CancelClosure, cancel)
    assert statuses(await clinic.book_hold(held.id)) == ["BOOKED", "BOOKED"]


async def test_who_got_busy_since_they_were_held_is_not_booked_and_the_answer_names_other_places(
    clinic: Clinic,
) -> None:
    """The nurse has an appointment on Friday: the other one could be there when the visit is held, in the room held."""
    held = await clinic.hold(await clinic.add_patient(), [FIRST, FRIDAY])
    await busy_import(clinic, importing(clinic, calendar(event(":20270305T101500", ":20270305T110000"))))
    refused = await refusal(clinic.book_hold(held.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "VISITS_CONFLICT")
    assert refused.faults == [("visits[1].resources[0]", "RESOURCE_TAKEN")]
    assert statuses(await read(clinic, held.id)) == ["HELD", "HELD"]
    [(index, found)] = places(refused).items()
    other, quarter = {"nurse": clinic.nurses[1], "room": clinic.rooms[0]}, 15 * MINUTE
    assert (index, found[0]) == (1, (FRIDAY, other))
    assert found[1:] == [
        (FRIDAY - quarter, {"nurse": clinic.nurses[0], "room": clinic.rooms[0]}),
        (FRIDAY + quarter, other),
    ]
    await busy_import(clinic, importing(clinic, calendar()))
    assert statuses(await clinic.book_hold(held.id)) == ["BOOKED", "BOOKED"]


@pytest.mark.parametrize(
    ("start", "end", "booked"),
    [
        ("080000", "090000", True),
        ("080000", "090100", False),
        ("101900", "103000", False),
        ("102000", "103000", True),  # While the room is made ready, without the nurse.
    ],
)
async def test_busy_are_those_who_are_held_and_while_they_are(
    clinic: Clinic, start: str, end: str, *, booked: bool
) -> None:
    held = await clinic.hold(await clinic.add_patient(), [FIRST])
    await busy_import(clinic, importing(clinic, calendar(event(f":20270302T{start}", f":20270302T{end}"))))
    others = importing(clinic, calendar(MORNING), resource_id=clinic.nurses[1])
    await busy_import(clinic, others)
    if booked:
        assert statuses(await clinic.book_hold(held.id)) == ["BOOKED"]
    else:
        assert (await refusal(clinic.book_hold(held.id))).reason == "VISITS_CONFLICT"


async def test_a_turnover_that_somebody_is_held_for_is_looked_at_too(clinic: Clinic) -> None:
    """After the patient has left, while the visit's end is over already."""
    segments = [*TREATMENT["segments"][:-1], segment("TURNOVER", 10, nurse=1, room=1)]
    treatment = {**TREATMENT, "segments": segments}
    clinic.version_id = await clinic.publish({**TEMPLATE, "visit_types": [TALK, treatment]})
    await clinic.adopt()
    held = await clinic.hold(await clinic.add_patient(), [FIRST])
    await busy_import(clinic, importing(clinic, calendar(event(":20270302T102500", ":20270302T110000"))))
    assert (await refusal(clinic.book_hold(held.id))).faults == [("visits[0].resources[0]", "RESOURCE_TAKEN")]


async def test_a_held_visit_at_a_distance_is_booked_though_the_site_was_closed_since(clinic: Clinic) -> None:
    own = await clinic.add_resource("STAFF", "At home", capabilities=["prescriber"], working_hours=hours(8, 18))
    talk = [visit_choice("assessment", FIRST, prescriber=own)]
    held = await clinic.hold(await clinic.add_patient(), [], visits=talk)
    await close(clinic, closing(clinic, "", interval(FIRST, FIRST + DAY)))
    assert statuses(await clinic.book_hold(held.id)) == ["BOOKED"]


async def test_whom_another_site_lends_no_more_is_not_booked_from_a_hold(clinic: Clinic) -> None:
    home = await clinic.add_site("bld")
    shifts = [{"hours": each, "site_id": clinic.site_id} for each in hours(8, 18)]
    lent = await clinic.add_resource(
        "STAFF", "Traveller", site_id=home, capabilities=["infusion"], lane_count=2, shifts=shifts
    )
    held = await clinic.hold(await clinic.add_patient(), [FIRST], nurse=lent)
    resource = (await clinic.svc.call(clinic.resources.GetResource, GetResourceRequest(resource_id=lent))).resource
    change = ParseDict(
        {"request_id": str(uuid4()), "resource": {"id": lent, "etag": resource.etag}, "update_mask": "shifts"},
        UpdateResourceRequest(),
    )
    await clinic.svc.call(clinic.resources.UpdateResource, change)
    refused = await refusal(clinic.book_hold(held.id))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
    assert refused.faults == [("visits[0].resources[0].resource_id", "RESOURCE_NOT_FOUND")]


async def test_a_pausing_adverse_event_keeps_a_hold_from_being_booked(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    held = await clinic.hold(patient, [FIRST])
    event = AdverseEventReported(adverse_event_id=to_wire("adverseevent", new_id()), patient_id=patient)
    await clinic.svc.deliver(event, version=1)
    assert (await refusal(clinic.book_hold(held.id))).reason == "COURSE_PAUSED"
    assert await clinic.counts("hold", "presence") == [1, 1]


async def test_a_hold_ends_at_its_instant_and_not_before(clinic: Clinic) -> None:
    held = await clinic.hold(await clinic.add_patient(), [FIRST], hold_minutes=60)
    later(clinic, 59)
    assert await clinic.end_holds() == 0
    later(clinic, 1)
    refused = await refusal(clinic.book_hold(held.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "HOLD_OVER")
    assert await clinic.end_holds() == 1
    assert await clinic.end_holds() == 0
    ended = await read(clinic, held.id)
    assert (statuses(ended), ended.HasField("hold_expire_time")) == (["EXPIRED"], False)
    assert await clinic.counts("hold", "allocation", "presence") == [0, 0, 0]
    subject, event = (await clinic.published())[-1]
    assert (subject, event.meta.aggregate_version) == ("scheduling.v1.course.hold_expired", 2)
    assert (event.course_id, list(event.visit_ids)) == (held.id, [held.visits[0].id])
    assert (await refusal(clinic.book_hold(held.id))).reason == "HOLD_OVER"


async def test_a_chain_whose_holds_cannot_be_ended_now_holds_up_no_other(clinic: Clinic) -> None:
    first = clinic.svc.chain_id
    await clinic.hold(await clinic.add_patient(), [FIRST])
    second = await open_clinic(clinic.svc)
    held = await second.hold(await second.add_patient(), [FIRST])
    later(second, 15)
    assert await end_due_holds(refusing(second.svc.db, first), second.svc.clock) == 0  # The next look waits.
    assert statuses(await read(second, held.id)) == ["EXPIRED"]


async def test_the_elected_process_ends_holds_by_itself(clinic: Clinic) -> None:
    await clinic.hold(await clinic.add_patient(), [FIRST])
    later(clinic, 15)
    job = asyncio.create_task(end_holds(clinic.svc.db, Settings.model_construct(), clinic.svc.clock))
    for _ in range(1000):
        if not await clinic.count("hold"):
            break
        await asyncio.sleep(0.02)
    job.cancel()
    assert await clinic.counts("allocation", "presence") == [0, 0]


async def test_what_a_hold_took_is_free_the_instant_that_it_ends_whether_the_job_runs_or_not(clinic: Clinic) -> None:
    held = await clinic.hold(await clinic.add_patient(), [FIRST, FRIDAY])
    request = clinic.request(await clinic.add_patient(), clinic.treatments([FIRST]))
    later(clinic, 14)
    assert (await refusal(clinic.book(request))).reason == "VISITS_CONFLICT"
    later(clinic, 1)
    assert statuses(await clinic.book(request)) == ["BOOKED"]
    assert await clinic.counts("hold", "allocation", "presence") == [1, 6, 2]  # Friday's are nobody's, and still there.
    assert await clinic.end_holds() == 1
    assert statuses(await read(clinic, held.id)) == ["EXPIRED", "EXPIRED"]
    assert await clinic.counts("hold", "allocation", "presence") == [0, 3, 1]


async def test_a_plan_sees_what_is_held_until_the_hold_ends(clinic: Clinic) -> None:
    for nurse, room in zip(clinic.nurses, clinic.rooms, strict=True):
        await clinic.hold(await clinic.add_patient(), [local(3, 2, 8)], nurse=nurse, room=room)
    fields = {
        "site_id": clinic.site_id,
        "patient_id": await clinic.add_patient(),
        "protocol_version_id": clinic.version_id,
        "route_code": "iv",
        "phases": [{"phase_code": "induction", "visit_count": 1}],
        "earliest_date": {"year": 2027, "month": 3, "day": 2},
        "latest_date": {"year": 2027, "month": 3, "day": 2},
    }
    request = ParseDict(fields, pb.PlanCourseRequest())

    async def first() -> object:
        return (await clinic.svc.call(clinic.courses.PlanCourse, request)).plans[0].visits[0].start_time.ToDatetime()

    assert await first() != local(3, 2, 8).replace(tzinfo=None)
    later(clinic, 15)
    assert await first() == local(3, 2, 8).replace(tzinfo=None)


async def test_a_released_hold_frees_all_at_once_and_is_told(clinic: Clinic) -> None:
    held = await clinic.hold(await clinic.add_patient(), [FIRST])
    released = await clinic.release_hold(held.id)
    assert (statuses(released), released.HasField("hold_expire_time")) == (["EXPIRED"], False)
    assert await clinic.counts("hold", "allocation", "presence") == [0, 0, 0]
    subject, event = (await clinic.published())[-1]
    assert (subject, event.meta.aggregate_version) == ("scheduling.v1.course.hold_released", 2)
    assert list(event.visit_ids) == [held.visits[0].id]
    for again in (clinic.release_hold(held.id), clinic.book_hold(held.id)):
        assert (await refusal(again)).reason == "HOLD_OVER"
    assert len((await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))).visits) == 1


async def test_a_patient_has_one_hold_at_a_time_at_whatever_site_and_under_whichever_id(clinic: Clinic) -> None:
    patient, merged = await clinic.add_patient(), await clinic.add_patient()
    held = await clinic.hold(merged, [FIRST])
    await clinic.svc.deliver(PatientMerged(patient_id=patient, merged_patient_id=merged), version=2)
    elsewhere = {"site_id": await clinic.add_site("bld")}
    await clinic.adopt(site_id=elsewhere["site_id"])
    elsewhere |= {"room": await clinic.add_resource("ROOM", "Room", **elsewhere)}
    staff = {"capabilities": ["infusion"], "lane_count": 2}
    elsewhere |= {"nurse": await clinic.add_resource("STAFF", "Nurse", site_id=elsewhere["site_id"], **staff)}
    before = await clinic.counts(*LEFT)
    request = clinic.hold_request(patient, [FRIDAY], **elsewhere)
    token = clinic.token(site_id=elsewhere["site_id"])
    refused = await refusal(clinic.svc.call(clinic.courses.HoldCourse, request, token))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "HOLD_LIMIT")
    assert refused.metadata == {"limit": "PATIENT", "course_id": held.id}
    assert await clinic.counts(*LEFT) == before
    later(clinic, 15)
    assert len((await clinic.svc.call(clinic.courses.HoldCourse, request, token)).course.visits) == 1


async def test_a_caller_has_so_many_holds_at_once(clinic: Clinic) -> None:
    many = """
        WITH courses AS (INSERT INTO course SELECT $1, gen_random_uuid(), $2, gen_random_uuid(), $3, 'iv', NULL, 1
                         FROM generate_series(1, $4) RETURNING id, patient_id)
        INSERT INTO hold SELECT $1, id, $2, patient_id, 'user', $5::timestamptz, $5 + interval '15 min' FROM courses
    """
    version = from_wire("protocolversion", clinic.version_id)
    of_clinic = clinic.svc.chain_id, clinic.site_uuid, version
    await clinic.svc.admin.execute(many, *of_clinic, HOLDS_OF_CALLER_MAX - 1, clinic.svc.now)
    await clinic.hold(await clinic.add_patient(), [FIRST])
    request = clinic.hold_request(await clinic.add_patient(), [FRIDAY])
    refused = await refusal(clinic.svc.call(clinic.courses.HoldCourse, request))
    assert (refused.reason, refused.metadata) == ("HOLD_LIMIT", {"limit": "CALLER", "max": "50"})
    other = clinic.svc.token(subject="somebody else")
    assert (await clinic.svc.call(clinic.courses.HoldCourse, request, other)).course.id


async def test_of_a_resource_at_most_half_of_a_day_is_held(clinic: Clinic) -> None:
    """The room is open for ten hours: three visits of an hour and a half are within five, a fourth is not."""
    for n in range(3):
        await clinic.hold(await clinic.add_patient(), [local(3, 2, 8 + 2 * n)], nurse=clinic.nurses[n % 2])
    refused = await refusal(clinic.hold(await clinic.add_patient(), [local(3, 2, 14)], nurse=clinic.nurses[1]))
    assert (refused.reason, refused.faults) == ("HOLD_LIMIT", [("visits[0]", "TOO_MUCH_HELD")])
    assert refused.metadata == {"limit": "SITE", "percent_max": "50"}
    assert await clinic.count("hold") == 3
    assert len((await clinic.hold(await clinic.add_patient(), [local(3, 3, 14)])).visits) == 1
    booked = clinic.request(await clinic.add_patient(), clinic.treatments([local(3, 2, 14)], nurse=clinic.nurses[1]))
    assert len((await clinic.book(booked)).visits) == 1


async def test_one_hold_keeps_no_more_of_a_day_than_many_do(clinic: Clinic) -> None:
    [assessment, induction, *others] = TEMPLATE["phases"]
    phases = [assessment, {**induction, "gap_days_min": 0}, *others]
    clinic.version_id = await clinic.publish({**TEMPLATE, "phases": phases})
    await clinic.adopt()
    patient, day = await clinic.add_patient(), [local(3, 2, hour) for hour in (8, 10, 12, 14)]
    refused = await refusal(clinic.hold(patient, day))
    assert (refused.reason, refused.faults) == ("HOLD_LIMIT", [("visits[3]", "TOO_MUCH_HELD")])
    assert await clinic.count("hold") == 0
    assert len((await clinic.hold(patient, day[:3])).visits) == 3


async def test_a_single_visit_may_be_held_however_much_of_the_day_it_takes(clinic: Clinic) -> None:
    clinic.site_id = await clinic.add_site("brief", opening_hours=hours(9, 11))
    await clinic.adopt()
    room = await clinic.add_resource("ROOM", "Room")
    nurse = await clinic.add_resource("STAFF", "Nurse", capabilities=["infusion"], lane_count=2)
    assert len((await clinic.hold(await clinic.add_patient(), [FIRST], room=room, nurse=nurse)).visits) == 1


async def test_a_held_visit_is_not_confirmed_or_cancelled(clinic: Clinic) -> None:
    held = await clinic.hold(await clinic.add_patient(), [FIRST])
    request = visits_pb.ConfirmVisitRequest(request_id=str(new_id()), visit_id=held.visits[0].id)
    refused = await refusal(clinic.svc.call(clinic.visits.ConfirmVisit, request))
    assert (refused.reason, refused.metadata) == ("VISIT_STATUS_CONFLICT", {"from": "HELD", "to": "CONFIRMED"})


async def test_a_hold_whose_visit_has_begun_meanwhile_is_not_booked(clinic: Clinic) -> None:
    held = await clinic.hold(await clinic.add_patient(), [clinic.svc.now + 5 * MINUTE])
    later(clinic, 6)
    refused = await refusal(clinic.book_hold(held.id))
    assert (refused.reason, refused.faults) == ("VISIT_IN_PAST", [("visits[0].start_time", "VISIT_IN_PAST")])


@pytest.mark.parametrize("minutes", [-1, 61])
async def test_a_hold_is_of_an_hour_at_most(clinic: Clinic, minutes: int) -> None:
    refused = await refusal(clinic.hold(await clinic.add_patient(), [FIRST], hold_minutes=minutes))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    assert await clinic.count("hold") == 0


@pytest.mark.parametrize("role", ["ROLE_NURSE", "ROLE_BILLING", "ROLE_AUDITOR", "ROLE_SERVICE", "ROLE_PATIENT"])
async def test_who_may_not_book_may_not_hold(clinic: Clinic, role: str) -> None:
    held = await clinic.hold(await clinic.add_patient(), [FIRST])
    before, token = await clinic.counts(*LEFT), clinic.svc.token(role)
    request = clinic.hold_request(await clinic.add_patient(), [FRIDAY])
    before[5:] = await clinic.counts(*LEFT[5:])
    for answer in (
        clinic.svc.call(clinic.courses.HoldCourse, request, token),
        clinic.book_hold(held.id, token),
        clinic.release_hold(held.id, token),
    ):
        assert (await refusal(answer)).code is StatusCode.PERMISSION_DENIED
    assert await clinic.counts(*LEFT) == before


async def test_staff_of_another_site_or_chain_do_not_reach_a_hold(clinic: Clinic) -> None:
    held = await clinic.hold(await clinic.add_patient(), [FIRST])
    for token in (clinic.token(site_id=await clinic.add_site("bld")), clinic.svc.token(chain_id=new_id())):
        for answer in (clinic.book_hold(held.id, token), clinic.release_hold(held.id, token)):
            assert (await refusal(answer)).reason == "COURSE_NOT_FOUND"
    assert statuses(await read(clinic, held.id)) == ["HELD"]


async def test_a_course_is_booked_phase_by_phase_the_assessment_before_any_clearance(clinic: Clinic) -> None:
    patient = await clinic.add_patient(cleared=False)
    assessment = [visit_choice("assessment", FIRST, prescriber=clinic.prescriber)]
    course = await clinic.book(clinic.request(patient, assessment))
    into = {"course_id": course.id}
    too_soon = clinic.request(patient, clinic.treatments([FIRST + DAY]), **into)
    assert (await refusal(clinic.book(too_soon))).faults == [("visits[0].start_time", "SPACING_OUTSIDE_PROTOCOL")]
    treatment = clinic.request(patient, clinic.treatments([FRIDAY, FRIDAY + 4 * DAY]), **into)
    assert (await refusal(clinic.book(treatment))).reason == "GATE_PENDING"
    held = await clinic.hold(patient, [FRIDAY, FRIDAY + 4 * DAY], **into)
    assert (held.id, statuses(held)) == (course.id, ["BOOKED", "HELD", "HELD"])
    assert held.book_time == course.book_time
    await clinic.clear(patient)
    booked = await clinic.book_hold(held.id)
    assert (booked.id, statuses(booked), booked.book_time) == (course.id, ["BOOKED"] * 3, course.book_time)
    follow_up = [visit_choice("follow_up", local(3, 23, 9), prescriber=clinic.prescriber)]
    last = await clinic.book(clinic.request(patient, follow_up, **into))
    assert await read(clinic, course.id) == last
    told = [(subject, len(event.visits)) for subject, event in await clinic.published() if ".course." in subject]
    booked_, held_ = "scheduling.v1.course.booked", "scheduling.v1.course.held"
    assert told == [(booked_, 1), (held_, 2), (booked_, 2), (booked_, 1)]
    versions = [event.meta.aggregate_version for subject, event in await clinic.published() if ".course." in subject]
    assert versions == [1, 2, 3, 4]
    assert await clinic.count("course") == 1


async def test_a_course_goes_on_by_its_version_though_nothing_new_is_booked_by_it(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([FIRST])))
    await clinic.svc.admin.execute("DELETE FROM adoption WHERE chain_id = $1", clinic.svc.chain_id)
    further = clinic.treatments([FRIDAY])
    assert (await refusal(clinic.book(clinic.request(patient, further)))).reason == "PROTOCOL_NOT_ADOPTED"
    assert len((await clinic.book(clinic.request(patient, further, course_id=course.id))).visits) == 2


@pytest.mark.parametrize(
    ("ended_by", "reason"), [(retire, "PROTOCOL_VERSION_RETIRED"), (end_adoption, "PROTOCOL_NOT_ADOPTED")]
)
async def test_a_course_whose_hold_lapsed_is_a_new_one_where_nothing_new_is_booked_by_its_version(
    clinic: Clinic, ended_by: Any, reason: str
) -> None:
    patient = await clinic.add_patient()
    into: dict[str, Any] = {"course_id": (await clinic.hold(patient, [FIRST])).id}
    later(clinic, 15)
    await ended_by(clinic)
    for attempt in (
        plan(clinic, patient_id=patient, **into),
        find(clinic, patient_id=patient, **into),
        clinic.hold(patient, [FIRST], **into),
        clinic.book(clinic.request(patient, clinic.treatments([FIRST]), **into)),
        book_visit(clinic, single(clinic, patient, FIRST, **into)),
        book_series(clinic, series(clinic, patient, FIRST.date(), **into)),
        clinic.join(patient, **into),
    ):
        refused = await refusal(attempt)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, reason)
    assert statuses(await read(clinic, into["course_id"])) == ["HELD"]
    assert await clinic.counts("visit", "waitlist_entry") == [1, 0]


@pytest.mark.parametrize("ended_by", [retire, end_adoption])
async def test_what_is_held_is_booked_though_nothing_new_is_since_and_then_its_course_goes_on(
    clinic: Clinic, ended_by: Any
) -> None:
    patient = await clinic.add_patient()
    held = await clinic.hold(patient, [FIRST])
    await ended_by(clinic)
    into: dict[str, Any] = {"course_id": held.id}
    further = clinic.request(patient, clinic.treatments([FRIDAY]), **into)
    await refusal(clinic.book(further))
    assert statuses(await clinic.book_hold(held.id)) == ["BOOKED"]
    assert statuses(await clinic.book(further)) == ["BOOKED", "BOOKED"]
    await book_visit(clinic, single(clinic, patient, FIRST + DAY, **into))
    await book_series(clinic, series(clinic, patient, FIRST.date() + 7 * DAY, **into))
    monday = {"year": 2027, "month": 3, "day": 8}
    entry = await clinic.join(patient, first_date=monday, last_date=monday, **into)
    await clinic.offer_times()
    assert (await clinic.entry(entry.id)).status == WaitlistStatus.WAITLIST_STATUS_OFFERED


async def test_what_is_said_of_a_course_that_is_there_must_be_so(clinic: Clinic) -> None:
    course = await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    visits, into = clinic.treatments([FRIDAY]), {"course_id": course.id}
    other = await clinic.add_patient()
    refused = await refusal(clinic.book(clinic.request(other, visits, **into)))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "COURSE_MISMATCH")
    assert refused.faults == [("patient_id", "COURSE_MISMATCH")]
    refused = await refusal(clinic.book(clinic.request(course.patient_id, visits, route_code="nasal", **into)))
    assert refused.faults == [("route_code", "COURSE_MISMATCH")]
    missing = clinic.request(other, visits, course_id=to_wire("course", new_id()))
    assert (await refusal(clinic.book(missing))).reason == "COURSE_NOT_FOUND"
    assert await clinic.count("visit") == 1


async def test_of_a_course_that_is_held_in_part_more_is_booked_and_the_hold_stays(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([FIRST])))
    await clinic.hold(patient, [FRIDAY], course_id=course.id)
    later(clinic, 14)
    more = await clinic.book(clinic.request(patient, clinic.treatments([FRIDAY + 3 * DAY]), course_id=course.id))
    assert sorted(statuses(more)) == ["BOOKED", "BOOKED", "HELD"]
    assert sorted(statuses(await clinic.book_hold(course.id))) == ["BOOKED"] * 3


async def test_holding_again_after_a_hold_of_the_same_course_has_ended_ends_that_first(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    held = await clinic.hold(patient, [FIRST])
    later(clinic, 15)
    again = await clinic.hold(patient, [FIRST], course_id=held.id)
    assert (again.id, sorted(statuses(again))) == (held.id, ["EXPIRED", "HELD"])
    subjects = [subject.removeprefix("scheduling.v1.course.") for subject, _ in (await clinic.published())[-3:]]
    assert subjects == ["held", "hold_expired", "held"]
    assert sorted(statuses(await clinic.book_hold(held.id))) == ["BOOKED", "EXPIRED"]
