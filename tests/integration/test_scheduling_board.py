"""The day board of a site, through the gRPC door."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.scheduling.v1 import board_service_pb2 as pb
from atoll.scheduling.v1 import events_pb2
from atoll.scheduling.v1 import visit_service_pb2 as visits_pb
from atoll.scheduling.v1.board_service_pb2_grpc import BoardServiceStub
from atoll.scheduling.v1.protocol_pb2 import SegmentKind
from atoll.scheduling.v1.visit_pb2 import Visit, VisitStatus
from chassis.ids import new_id
from chassis.times import to_date, to_instant, to_timestamp
from tests.support.scheduling import DAY, TEMPLATE, Clinic, hours, local, open_clinic, open_scheduling, visit_choice
from tests.support.service import Running, refusal

FIRST = local(3, 2, 9)  # A Tuesday.
MINUTE = timedelta(minutes=1)
TUESDAY = date(2027, 3, 2)
ALL_DAY = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


async def board(clinic: Clinic, day: date | None = TUESDAY, token: str | None = None, **fields: Any) -> pb.DayBoard:
    date_field = {"date": to_date(day)} if day else {}
    request = pb.GetDayBoardRequest(**{"site_id": clinic.site_id, **date_field, **fields})
    stub = clinic.svc.stub(BoardServiceStub)
    answer: pb.DayBoard = (await clinic.svc.call(stub.GetDayBoard, request, token)).day_board
    return answer


async def booked(clinic: Clinic, *starts: Any, patient_id: str = "", nurse: int = 0, room: int = 0) -> list[Visit]:
    patient_id = patient_id or await clinic.add_patient()
    where = {"nurse": clinic.nurses[nurse], "room": clinic.rooms[room]}
    return list((await clinic.book(clinic.request(patient_id, clinic.treatments(starts, **where)))).visits)


async def change(clinic: Clinic, name: str, visit_id: str, at: Any = None, **fields: Any) -> None:
    clinic.svc.clock.now = at or clinic.svc.clock.now
    care = name in ("StartTreatment", "StartObservation", "CompleteVisit")
    request = getattr(visits_pb, f"{name}Request")(request_id=str(uuid4()), visit_id=visit_id, **fields)
    await clinic.svc.call(
        getattr(clinic.visits, name), request, clinic.token("ROLE_NURSE" if care else "ROLE_FRONT_DESK")
    )


def kinds(visit: pb.BoardVisit) -> list[str]:
    return [SegmentKind.Name(each.kind).removeprefix("SEGMENT_KIND_") for each in visit.segments]


def minutes(stamp: Any) -> int:
    """After the first visit's start."""
    return (to_instant(stamp) - FIRST) // MINUTE


async def test_a_visit_that_is_expected_is_shown_with_all_that_it_takes_and_when_it_is_due(clinic: Clinic) -> None:
    [visit] = await booked(clinic, FIRST)
    clinic.svc.clock.now = FIRST - 10 * MINUTE
    found = await board(clinic)
    assert (found.site_id, found.time_zone, found.date) == (clinic.site_id, "America/Denver", to_date(TUESDAY))
    assert found.as_of_time == to_timestamp(FIRST - 10 * MINUTE)
    [shown] = found.visits
    assert shown.visit == visit
    assert (list(shown.room_ids), list(shown.staff_ids)) == ([clinic.rooms[0]], [clinic.nurses[0]])
    assert list(shown.equipment_ids) == []
    assert kinds(shown) == ["PREPARATION", "ADMINISTRATION", "OBSERVATION", "TURNOVER"]
    planned = [(minutes(each.planned_start_time), minutes(each.planned_end_time)) for each in shown.segments]
    assert planned == [(0, 10), (10, 50), (50, 80), (80, 90)]
    assert list(shown.segments[0].requirement_keys) == ["nurse", "room"]
    assert list(shown.segments[3].requirement_keys) == ["room"]
    assert not any(each.HasField("actual_start_time") for each in shown.segments)
    assert (shown.HasField("current_segment"), minutes(shown.due_time), shown.minutes_left) == (False, 0, 10)


async def test_a_visit_under_way_shows_when_each_segment_was_and_how_long_the_current_one_still_takes(
    clinic: Clinic,
) -> None:
    [visit] = await booked(clinic, FIRST)
    await change(clinic, "CheckInVisit", visit.id, FIRST + 5 * MINUTE)
    await change(clinic, "StartTreatment", visit.id, FIRST + 20 * MINUTE)
    clinic.svc.clock.now = FIRST + 50 * MINUTE
    [shown] = (await board(clinic)).visits
    assert (shown.current_segment, minutes(shown.due_time), shown.minutes_left) == (1, 60, 10)
    clinic.svc.clock.now = FIRST + 65 * MINUTE
    [shown] = (await board(clinic)).visits
    assert (shown.current_segment, minutes(shown.due_time), shown.minutes_left) == (1, 60, -5)
    await change(clinic, "StartObservation", visit.id, FIRST + 66 * MINUTE)
    await change(clinic, "CompleteVisit", visit.id, FIRST + 100 * MINUTE)
    clinic.svc.clock.now = FIRST + 103 * MINUTE
    [shown] = (await board(clinic)).visits
    actual = [
        (
            minutes(each.actual_start_time) if each.HasField("actual_start_time") else None,
            minutes(each.actual_end_time) if each.HasField("actual_end_time") else None,
        )
        for each in shown.segments
    ]
    assert actual == [(5, 20), (20, 66), (66, 100), (100, None)]
    assert (shown.current_segment, minutes(shown.due_time), shown.minutes_left) == (3, 110, 7)
    clinic.svc.clock.now = FIRST + 110 * MINUTE
    [shown] = (await board(clinic)).visits
    assert (shown.HasField("current_segment"), shown.HasField("due_time"), shown.minutes_left) == (False, False, 0)


async def test_what_comes_next_is_told_of_the_patient_and_of_all_that_visits_take(clinic: Clinic) -> None:
    first, later = await booked(clinic, FIRST, FIRST + 3 * DAY)
    [second] = await booked(clinic, FIRST + 120 * MINUTE)
    [gone] = await booked(clinic, FIRST + 100 * MINUTE, nurse=1, room=1)
    await change(clinic, "CancelVisit", gone.id, reason=events_pb2.CANCELLATION_REASON_PATIENT)
    await change(clinic, "CheckInVisit", first.id, FIRST)
    found = await board(clinic)
    assert [each.visit.id for each in found.visits] == [first.id, gone.id, second.id]
    assert [each.next_visit_id for each in found.visits] == [later.id, "", ""]
    assert found.visits[0].next_visit_time == later.start_time
    resources = {each.resource_id: each for each in found.resources}
    assert set(resources) == {*clinic.rooms, *clinic.nurses, clinic.prescriber}
    nurse, other_room = resources[clinic.nurses[0]], resources[clinic.rooms[1]]
    assert (nurse.display_name, list(nurse.current_visit_ids)) == ("Nurse 1", [first.id])
    assert (nurse.next_visit_id, nurse.next_time) == (second.id, second.start_time)
    assert (list(other_room.current_visit_ids), other_room.next_visit_id) == ([], "")
    assert not other_room.HasField("next_time")


async def test_a_next_visit_that_was_called_off_is_not_the_next_any_more(clinic: Clinic) -> None:
    first, second, third = await booked(clinic, FIRST, FIRST + 3 * DAY, FIRST + 6 * DAY)
    assert [each.next_visit_id for each in (await board(clinic)).visits] == [second.id]
    await change(clinic, "CancelVisit", second.id, reason=events_pb2.CANCELLATION_REASON_PATIENT)
    [shown] = (await board(clinic)).visits
    assert (shown.visit.id, shown.next_visit_id, shown.next_visit_time) == (first.id, third.id, third.start_time)


async def test_a_patients_second_visit_of_the_day_is_the_next_even_of_another_course(clinic: Clinic) -> None:
    patient_id = await clinic.add_patient()
    first, _ = await booked(clinic, FIRST, FIRST + 3 * DAY, patient_id=patient_id)
    talk = visit_choice("assessment", FIRST + 180 * MINUTE, prescriber=clinic.prescriber)
    [second] = (await clinic.book(clinic.request(patient_id, [talk]))).visits
    found = await board(clinic)
    assert [(each.visit.id, each.next_visit_id) for each in found.visits] == [(first.id, second.id), (second.id, "")]


async def test_the_turnover_takes_the_room_and_leaves_the_nurse(clinic: Clinic) -> None:
    [visit] = await booked(clinic, FIRST)
    await change(clinic, "CheckInVisit", visit.id, FIRST)
    await change(clinic, "CompleteVisit", visit.id, FIRST + 80 * MINUTE)
    resources = {each.resource_id: list(each.current_visit_ids) for each in (await board(clinic)).resources}
    assert (resources[clinic.rooms[0]], resources[clinic.nurses[0]]) == ([visit.id], [])


async def test_a_day_is_the_sites_also_when_its_clocks_change(clinic: Clinic) -> None:
    """On Sunday 14 March Denver's day has 23 hours, from 07:00 to 06:00 UTC; on 7 November 25."""
    always = {"opening_hours": hours(0, 24, ALL_DAY)}
    clinic.site_id = await clinic.add_site("night", **always)
    clinic.rooms = [await clinic.add_resource("ROOM", f"Room {n}") for n in (1, 2)]
    clinic.nurses = [
        await clinic.add_resource("STAFF", f"Nurse {n}", capabilities=["infusion"], lane_count=2) for n in (1, 2)
    ]
    await clinic.adopt()
    [before] = await booked(clinic, local(3, 13, 22, 30))  # Until 23:50, with turnover until midnight.
    [over] = await booked(clinic, local(3, 13, 23), nurse=1, room=1)  # Until 0:20.
    [early] = await booked(clinic, local(3, 14, 1, 30))
    [late] = await booked(clinic, local(3, 14, 23, 59))
    shown = {day: [each.visit.id for each in (await board(clinic, date(2027, 3, day))).visits] for day in (13, 14, 15)}
    assert shown == {13: [before.id, over.id], 14: [over.id, early.id, late.id], 15: [late.id]}
    clinic.svc.clock.now = local(3, 14, 23, 59)
    assert (await board(clinic, None)).date == to_date(date(2027, 3, 14))


async def test_a_patient_who_is_still_there_after_midnight_is_still_shown(clinic: Clinic) -> None:
    clinic.site_id = await clinic.add_site("late", opening_hours=hours(0, 24, ALL_DAY))
    clinic.rooms = [await clinic.add_resource("ROOM", "Room")]
    clinic.nurses = [await clinic.add_resource("STAFF", "Nurse", capabilities=["infusion"], lane_count=2)]
    await clinic.adopt()
    [visit] = await booked(clinic, local(3, 2, 22))  # Until 23:20.
    await change(clinic, "CheckInVisit", visit.id, local(3, 2, 22))
    clinic.svc.clock.now = local(3, 3, 0, 10)
    assert [each.visit.id for each in (await board(clinic, None)).visits] == [visit.id]
    await change(clinic, "CompleteVisit", visit.id)
    assert list((await board(clinic, None)).visits) == []


async def test_a_site_that_narrowed_its_version_sees_the_segments_of_its_own_form(clinic: Clinic) -> None:
    from google.protobuf.json_format import ParseDict

    from atoll.scheduling.v1 import protocol_service_pb2 as protocols
    from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate

    narrowed = ParseDict(dict(TEMPLATE), ProtocolTemplate())
    narrowed.visit_types[1].segments[2].minutes = 45
    request = protocols.AdoptProtocolVersionRequest(
        request_id=str(uuid4()),
        site_id=clinic.site_id,
        protocol_version_id=clinic.version_id,
        narrowed_template=narrowed,
    )
    await booked(clinic, FIRST)
    [shown] = (await board(clinic)).visits
    assert [minutes(each.planned_end_time) for each in shown.segments] == [10, 50, 80, 90]
    await clinic.svc.call(clinic.protocols.AdoptProtocolVersion, request)
    [shown] = (await board(clinic)).visits
    assert [minutes(each.planned_end_time) for each in shown.segments] == [10, 50, 95, 105]


async def test_a_board_of_too_many_visits_is_refused(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scheduling.store.board.VISITS_MAX", 1)
    await booked(clinic, FIRST)
    assert len((await board(clinic)).visits) == 1
    await booked(clinic, FIRST + 120 * MINUTE)
    refused = await refusal(board(clinic))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "BOARD_TOO_LARGE")
    assert refused.metadata == {"visits_max": "1"}


async def test_a_hold_that_was_given_up_or_has_ended_is_on_no_board_and_fills_none(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.scheduling.store.board.VISITS_MAX", 1)
    for ended in range(3):
        held = await clinic.hold(await clinic.add_patient(), [FIRST], hold_minutes=5)
        [shown] = (await board(clinic)).visits
        assert (shown.visit.id, shown.visit.status) == (held.visits[0].id, VisitStatus.VISIT_STATUS_HELD)
        if ended:
            clinic.svc.clock.now += 5 * MINUTE
            assert await clinic.end_holds() == 1
        else:
            await clinic.release_hold(held.id)
        assert not (await board(clinic)).visits


async def test_a_day_that_no_calendar_has_is_refused(clinic: Clinic) -> None:
    refused = await refusal(board(clinic, None, date={"year": 2027, "month": 2, "day": 30}))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    assert refused.faults == [("date", "date.exists")]


async def test_a_board_is_shown_to_those_of_the_site_only_and_noted(clinic: Clinic) -> None:
    await booked(clinic, FIRST)
    other = await clinic.add_site("bld")
    for token in (clinic.token(site_id=other), clinic.token("ROLE_BILLING"), clinic.svc.token("ROLE_SERVICE")):
        refused = await refusal(board(clinic, token=token))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    elsewhere = await refusal(board(clinic, token=clinic.svc.token(chain_id=new_id())))
    assert (elsewhere.code, elsewhere.reason) == (StatusCode.NOT_FOUND, "SITE_NOT_FOUND")
    noted = "SELECT count(*) FROM audit WHERE chain_id = $1 AND method LIKE '%GetDayBoard'"
    assert await clinic.svc.admin.fetchval(noted, clinic.svc.chain_id) == 0
    assert len((await board(clinic, token=clinic.token("ROLE_NURSE"))).visits) == 1
    assert await clinic.svc.admin.fetchval(noted, clinic.svc.chain_id) == 1


async def test_a_course_tells_how_far_it_has_come(clinic: Clinic) -> None:
    from atoll.scheduling.v1 import course_service_pb2 as courses

    first, second, third, fourth = await booked(clinic, *(FIRST + n * DAY for n in (0, 3, 6, 9)))
    await change(clinic, "CheckInVisit", first.id, FIRST)
    await change(clinic, "CompleteVisit", first.id, FIRST + 90 * MINUTE)
    await change(clinic, "CancelVisit", third.id, reason=events_pb2.CANCELLATION_REASON_CLINIC)
    await change(clinic, "CheckInVisit", second.id, FIRST + 3 * DAY)
    request = courses.ListCoursesRequest(patient_id=first.patient_id)
    [course] = (await clinic.svc.call(clinic.courses.ListCourses, request)).courses
    assert course.progress == courses.CourseProgress(
        completed_visit_count=1,
        remaining_visit_count=2,
        cancelled_visit_count=1,
        next_visit_id=second.id,
        next_visit_time=second.start_time,
    )
    assert [VisitStatus.Name(each.status).removeprefix("VISIT_STATUS_") for each in course.visits] == [
        "COMPLETED", "CHECKED_IN", "CANCELLED", "BOOKED"
    ]  # fmt: skip
    await change(clinic, "MissVisit", fourth.id, FIRST + 9 * DAY)
    await change(clinic, "CompleteVisit", second.id)
    [course] = (await clinic.svc.call(clinic.courses.ListCourses, request)).courses
    assert course.progress == courses.CourseProgress(
        completed_visit_count=2, cancelled_visit_count=1, missed_visit_count=1
    )
