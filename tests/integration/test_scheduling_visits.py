"""Visits from booked to completed, and the day board, through the gRPC door."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode

from atoll.scheduling.v1 import course_service_pb2, events_pb2
from atoll.scheduling.v1 import visit_service_pb2 as pb
from atoll.scheduling.v1.protocol_pb2 import SegmentKind
from atoll.scheduling.v1.visit_pb2 import Visit, VisitStatus
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_date, to_timestamp
from services.scheduling.domain.visits import EARLY_MAX
from tests.support.scheduling import DAY, Clinic, hours, local, open_clinic, open_scheduling, revoked, visit_choice
from tests.support.service import Running, refusal

FIRST = local(3, 2, 9)
MINUTE = timedelta(minutes=1)
PATIENT = events_pb2.CANCELLATION_REASON_PATIENT


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


async def booked(clinic: Clinic, *, visits: int = 1) -> list[Visit]:
    starts = [FIRST + n * 3 * DAY for n in range(visits)]
    return list((await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments(starts)))).visits)


async def change(clinic: Clinic, name: str, visit_id: str, *, token: str | None = None, **fields: Any) -> Visit:
    if name == "CheckInVisit":
        await clinic.wait_for(visit_id)
    request_type = getattr(pb, f"{name}Request")
    request = request_type(**{"request_id": str(uuid4()), "visit_id": visit_id} | fields)
    changed: Visit = (
        await clinic.svc.call(getattr(clinic.visits, name), request, token or of_staff(clinic, name))
    ).visit
    return changed


def of_staff(clinic: Clinic, name: str) -> str:
    care = ("StartTreatment", "StartObservation", "CompleteVisit")
    return clinic.token("ROLE_NURSE" if name in care else "ROLE_FRONT_DESK")


async def treated(clinic: Clinic, visit_id: str) -> Visit:
    """12 minutes of preparation, 45 of administration, 33 of observation."""
    for minutes, name in ((0, "CheckInVisit"), (12, "StartTreatment"), (57, "StartObservation")):
        clinic.svc.clock.now = FIRST + minutes * MINUTE
        await change(clinic, name, visit_id)
    clinic.svc.clock.now = FIRST + 90 * MINUTE
    return await change(clinic, "CompleteVisit", visit_id)


async def facts(clinic: Clinic) -> list[tuple[str, int]]:
    """What was told since the clinic was opened, with the version of the course."""
    told = [(subject.removeprefix("scheduling.v1."), event) for subject, event in await clinic.published()]
    return [(fact, event.meta.aggregate_version) for fact, event in told if fact.startswith(("course.", "visit."))]


async def test_a_visit_is_confirmed_checked_in_treated_and_completed(clinic: Clinic) -> None:
    [visit] = await booked(clinic)
    confirmed = await change(clinic, "ConfirmVisit", visit.id)
    done = await treated(clinic, visit.id)
    assert (confirmed.status, done.status) == (VisitStatus.VISIT_STATUS_CONFIRMED, VisitStatus.VISIT_STATUS_COMPLETED)
    assert [each.minutes for each in done.segments] == [12, 45, 33]
    answer = await clinic.svc.call(clinic.visits.GetVisit, pb.GetVisitRequest(visit_id=visit.id))
    assert answer.visit == done
    assert [VisitStatus.Name(each.status).removeprefix("VISIT_STATUS_") for each in answer.status_changes] == [
        "BOOKED", "CONFIRMED", "CHECKED_IN", "IN_TREATMENT", "IN_OBSERVATION", "COMPLETED"
    ]  # fmt: skip
    assert answer.status_changes[2].change_time == to_timestamp(FIRST)
    assert {each.actor for each in answer.status_changes} == {"user"}


async def test_each_fact_of_a_course_has_the_next_version(clinic: Clinic) -> None:
    first, second = await booked(clinic, visits=2)
    await change(clinic, "ConfirmVisit", first.id)
    await change(clinic, "CancelVisit", second.id, reason=PATIENT)
    await treated(clinic, first.id)
    assert await facts(clinic) == [
        ("course.booked", 1),
        ("visit.confirmed", 2),
        ("visit.cancelled", 3),
        ("visit.checked_in", 4),
        ("visit.completed", 5),
    ]


async def test_a_completed_visit_is_told_with_all_that_a_charge_needs(clinic: Clinic) -> None:
    [visit] = await booked(clinic)
    await treated(clinic, visit.id)
    _, event = (await clinic.published())[-1]
    event.ClearField("meta")
    kinds = ("PREPARATION", "ADMINISTRATION", "OBSERVATION")
    assert event == events_pb2.VisitCompleted(
        visit_id=visit.id,
        course_id=visit.course_id,
        site_id=clinic.site_id,
        patient_id=visit.patient_id,
        protocol_version_id=clinic.version_id,
        visit_type_code="treatment",
        route_code="iv",
        band_code="short",
        start_time=to_timestamp(FIRST),
        end_time=to_timestamp(FIRST + 90 * MINUTE),
        segments=[
            events_pb2.SegmentMinutes(kind=SegmentKind.Value(f"SEGMENT_KIND_{kind}"), minutes=minutes)
            for kind, minutes in zip(kinds, (12, 45, 33), strict=True)
        ],
        rendering_resource_id=clinic.nurses[0],
        place_of_service="11",
    )


async def test_nobody_is_checked_in_for_a_visit_of_another_day(clinic: Clinic) -> None:
    """Which would be treated, and charged, in the place of today's. Whoever comes early is, also before midnight."""
    [visit] = await booked(clinic)
    request = pb.CheckInVisitRequest(request_id=str(uuid4()), visit_id=visit.id)
    clinic.svc.clock.now = FIRST - EARLY_MAX - MINUTE
    refused = await refusal(clinic.svc.call(clinic.visits.CheckInVisit, request))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "VISIT_NOT_DUE")
    assert refused.metadata == {"start_time": FIRST.isoformat()}
    clinic.svc.clock.now += MINUTE
    answer = await clinic.svc.call(clinic.visits.CheckInVisit, request)
    assert answer.visit.status == VisitStatus.VISIT_STATUS_CHECKED_IN


async def test_minutes_that_are_given_count_and_set_the_band(clinic: Clinic) -> None:
    [visit] = await booked(clinic)
    await change(clinic, "CheckInVisit", visit.id)
    segments = [
        events_pb2.SegmentMinutes(kind=SegmentKind.Value(f"SEGMENT_KIND_{kind}"), minutes=minutes)
        for kind, minutes in (("PREPARATION", 5), ("ADMINISTRATION", 61), ("OBSERVATION", 30))
    ]
    refused = await refusal(change(clinic, "CompleteVisit", visit.id, segments=segments[:2]))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "SEGMENTS_MISMATCH")
    done = await change(clinic, "CompleteVisit", visit.id, segments=segments)
    assert (list(done.segments), done.band_code) == (segments, "long")


@pytest.mark.parametrize(
    ("kind", "minutes", "field"), [(0, 5, "kind"), (99, 5, "kind"), (1, -1, "minutes"), (1, 1441, "minutes")]
)
async def test_minutes_of_no_kind_or_of_no_day_are_refused(clinic: Clinic, kind: int, minutes: int, field: str) -> None:
    [visit] = await booked(clinic)
    await change(clinic, "CheckInVisit", visit.id)
    given = [events_pb2.SegmentMinutes(kind=kind, minutes=minutes)]  # type: ignore[arg-type]
    refused = await refusal(change(clinic, "CompleteVisit", visit.id, segments=given))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    assert refused.faults[0][0] == f"segments[0].{field}"


async def test_a_talk_by_video_is_billed_as_telehealth_without_a_route(clinic: Clinic) -> None:
    choice = visit_choice("assessment", FIRST, prescriber=clinic.prescriber)
    [visit] = (await clinic.book(clinic.request(await clinic.add_patient(cleared=False), [choice]))).visits
    clinic.svc.clock.now = FIRST
    await change(clinic, "CheckInVisit", visit.id)
    clinic.svc.clock.now = FIRST + 31 * MINUTE
    await change(clinic, "CompleteVisit", visit.id)
    _, event = (await clinic.published())[-1]
    assert (event.place_of_service, event.route_code, event.band_code) == ("10", "", "any")
    assert (event.rendering_resource_id, [each.minutes for each in event.segments]) == (clinic.prescriber, [31])


@pytest.mark.parametrize("name", ["CancelVisit", "MissVisit"])
async def test_a_visit_that_will_not_take_place_frees_what_it_held(clinic: Clinic, name: str) -> None:
    visit, other = await booked(clinic, visits=2)
    clinic.svc.clock.now = FIRST
    fields: dict[str, Any] = {"reason": PATIENT} if name == "CancelVisit" else {}
    await change(clinic, name, visit.id, **fields)
    assert await clinic.counts("allocation", "presence") == [3, 1]  # Of the other.
    again = clinic.request(visit.patient_id, clinic.treatments([FIRST]))
    assert len((await clinic.book(again)).visits) == 1
    course = course_service_pb2.GetCourseRequest(course_id=other.course_id)
    found = (await clinic.svc.call(clinic.courses.GetCourse, course)).course.visits
    status = {"CancelVisit": "VISIT_STATUS_CANCELLED", "MissVisit": "VISIT_STATUS_NO_SHOW"}[name]
    assert [VisitStatus.Name(each.status) for each in found] == [status, "VISIT_STATUS_BOOKED"]
    assert list(found[0].resources) == list(visit.resources)


async def test_a_cancelled_visit_keeps_its_reason_and_tells_it(clinic: Clinic) -> None:
    [visit] = await booked(clinic)
    cancelled = await change(clinic, "CancelVisit", visit.id, reason=events_pb2.CANCELLATION_REASON_CLINIC)
    assert cancelled.cancellation_reason == events_pb2.CANCELLATION_REASON_CLINIC
    _, event = (await clinic.published())[-1]
    assert (event.visit_id, event.reason) == (visit.id, events_pb2.CANCELLATION_REASON_CLINIC)


async def test_nobody_has_missed_a_visit_that_has_not_begun(clinic: Clinic) -> None:
    [visit] = await booked(clinic)
    refused = await refusal(change(clinic, "MissVisit", visit.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "VISIT_NOT_DUE")
    assert await clinic.count("allocation") == 3


async def test_a_change_that_the_status_does_not_allow_is_refused_and_changes_nothing(clinic: Clinic) -> None:
    [visit] = await booked(clinic)
    refused = await refusal(change(clinic, "StartTreatment", visit.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "VISIT_STATUS_CONFLICT")
    assert refused.metadata == {"from": "BOOKED", "to": "IN_TREATMENT"}
    await treated(clinic, visit.id)
    refused = await refusal(change(clinic, "CancelVisit", visit.id, reason=PATIENT))
    assert refused.metadata == {"from": "COMPLETED", "to": "CANCELLED"}
    assert await clinic.counts("allocation", "visit_status_change") == [3, 5]


async def test_the_same_change_sent_again_is_answered_the_same_and_done_once(clinic: Clinic) -> None:
    [visit] = await booked(clinic)
    request_id = str(uuid4())
    answers = [await change(clinic, "ConfirmVisit", visit.id, request_id=request_id) for _ in range(2)]
    assert answers[0] == answers[1]
    assert await facts(clinic) == [("course.booked", 1), ("visit.confirmed", 2)]


async def test_what_a_visit_went_through_can_never_be_changed(clinic: Clinic) -> None:
    await booked(clinic)
    for statement in ("UPDATE visit_status_change SET actor = ''", "DELETE FROM visit_status_change"):
        async with clinic.svc.db.transaction(clinic.svc.inside("Tamper")) as conn:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(statement)
            await conn.execute("ROLLBACK; BEGIN")


async def test_the_day_board_shows_who_is_there_in_the_order_of_their_starts_and_in_pages(clinic: Clinic) -> None:
    starts = [FIRST + minutes * MINUTE for minutes in (-60, 0, 70)]
    visits = []
    for n, start in enumerate(starts):
        where = {"nurse": clinic.nurses[n % 2], "room": clinic.rooms[n % 2]}
        [visit] = (
            await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([start], **where)))
        ).visits
        visits.append(visit)
    until = {"start_time": to_timestamp(FIRST), "end_time": to_timestamp(FIRST + 70 * MINUTE)}
    board = await listing(clinic, **until)
    assert [visit.id for visit in board.visits] == [visits[0].id, visits[1].id]  # The first is there until 9:20.
    later = {"start_time": to_timestamp(FIRST + 20 * MINUTE), "end_time": to_timestamp(FIRST + 71 * MINUTE)}
    first = await listing(clinic, **later, page_size=1)
    second = await listing(clinic, **later, page_size=1, page_token=first.next_page_token)
    assert [visit.id for page in (first, second) for visit in page.visits] == [visits[1].id, visits[2].id]
    assert second.next_page_token == ""


async def test_a_board_of_too_long_a_time_is_refused(clinic: Clinic) -> None:
    for end in (FIRST, FIRST + 63 * DAY):
        refused = await refusal(listing(clinic, start_time=to_timestamp(FIRST), end_time=to_timestamp(end)))
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")


async def test_staff_of_another_site_or_chain_neither_see_nor_change_a_visit(clinic: Clinic) -> None:
    [visit] = await booked(clinic)
    other_site = await clinic.add_site("bld")
    for token in (clinic.token(site_id=other_site), clinic.svc.token(chain_id=new_id())):
        for answer in (
            clinic.svc.call(clinic.visits.GetVisit, pb.GetVisitRequest(visit_id=visit.id), token),
            change(clinic, "ConfirmVisit", visit.id, token=token),
        ):
            refused = await refusal(answer)
            assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "VISIT_NOT_FOUND")
    assert await facts(clinic) == [("course.booked", 1)]


async def test_treatment_is_the_business_of_clinical_staff(clinic: Clinic) -> None:
    [visit] = await booked(clinic)
    await change(clinic, "CheckInVisit", visit.id)
    refused = await refusal(change(clinic, "StartTreatment", visit.id, token=clinic.token("ROLE_FRONT_DESK")))
    assert refused.code is StatusCode.PERMISSION_DENIED


async def test_an_unknown_visit_is_not_found(clinic: Clinic) -> None:
    refused = await refusal(change(clinic, "ConfirmVisit", to_wire("visit", new_id())))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "VISIT_NOT_FOUND")


async def listing(clinic: Clinic, **fields: Any) -> pb.ListVisitsResponse:
    request = pb.ListVisitsRequest(site_id=clinic.site_id, **fields)
    answer: pb.ListVisitsResponse = await clinic.svc.call(clinic.visits.ListVisits, request)
    return answer


async def test_an_instant_that_is_none_is_named_though_a_rule_cannot_reckon_with_it(clinic: Clinic) -> None:
    never = Timestamp(seconds=(1 << 63) - 1)
    refused = await refusal(listing(clinic, start_time=to_timestamp(FIRST), end_time=never))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    assert refused.faults == [("end_time", "timestamp.range")]


async def test_the_last_line_refuses_a_status_twice(clinic: Clinic) -> None:
    [visit] = await booked(clinic)
    again = "INSERT INTO visit_status_change SELECT * FROM visit_status_change WHERE visit_id = $1"
    with pytest.raises(asyncpg.UniqueViolationError, match="visit_status_change_pkey"):
        await clinic.svc.admin.execute(again, from_wire("visit", visit.id))


async def test_no_visit_begins_without_the_clearance_that_it_was_booked_by(clinic: Clinic) -> None:
    patient = await clinic.add_patient(cleared=False)
    granted = clinic.clearance(patient)
    await clinic.svc.deliver(granted)
    talk = visit_choice("assessment", FIRST, prescriber=clinic.prescriber)
    visits = [talk, *clinic.treatments([FIRST + 2 * DAY, FIRST + 6 * DAY])]
    spoken, first, second = (await clinic.book(clinic.request(patient, visits))).visits
    await change(clinic, "CheckInVisit", first.id)
    await clinic.svc.deliver(revoked(granted))
    begun = await facts(clinic)
    for name, visit in (("StartTreatment", first), ("CheckInVisit", second)):
        refused = await refusal(change(clinic, name, visit.id))
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CLEARANCE_MISSING")
        assert refused.faults == [("visit_id", "CLEARANCE_MISSING")]
    assert await facts(clinic) == begun
    await change(clinic, "CheckInVisit", spoken.id)
    await clinic.clear(patient, session_minutes_max=30)
    refused = await refusal(change(clinic, "StartTreatment", first.id))
    assert (refused.reason, refused.faults) == ("CLEARANCE_MISSING", [("visit_id", "SESSION_TOO_LONG")])
    await clinic.clear(patient)
    assert (await change(clinic, "StartTreatment", first.id)).status == VisitStatus.VISIT_STATUS_IN_TREATMENT
    assert (await change(clinic, "CheckInVisit", second.id)).status == VisitStatus.VISIT_STATUS_CHECKED_IN


async def test_a_treatment_beside_the_phases_does_not_begin_either_and_is_cleared_by_the_sites_day(
    clinic: Clinic,
) -> None:
    site = await clinic.add_site("late", opening_hours=hours(8, 24))
    await clinic.adopt(site_id=site)
    nurse = await clinic.add_resource("STAFF", "Nurse", site_id=site, capabilities=["infusion"], lane_count=2)
    room = await clinic.add_resource("ROOM", "Room", site_id=site)
    patient = await clinic.add_patient(cleared=False)
    granted = clinic.clearance(patient, expire_date=to_date(date(2027, 3, 2)))  # It is 3 March in UTC then.
    await clinic.svc.deliver(granted)
    request = pb.BookVisitRequest(
        request_id=str(uuid4()),
        site_id=site,
        patient_id=patient,
        protocol_version_id=clinic.version_id,
        visit_type_code="treatment",
        route_code="iv",
        start_time=to_timestamp(local(3, 2, 20)),
        resources=visit_choice("", FIRST, nurse=nurse, room=room).resources,
    )
    visit = (await clinic.svc.call(clinic.visits.BookVisit, request)).visit
    desk = clinic.token(site_id=site)
    await clinic.svc.deliver(revoked(granted))
    refused = await refusal(change(clinic, "CheckInVisit", visit.id, token=desk))
    assert (refused.reason, refused.faults) == ("CLEARANCE_MISSING", [("visit_id", "CLEARANCE_MISSING")])
    await clinic.clear(patient, expire_date=to_date(date(2027, 3, 2)))
    await change(clinic, "CheckInVisit", visit.id, token=desk)
