"""Closures of rooms, staff and whole sites, the visits that they break and new places for these, by the gRPC door."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.protobuf.json_format import ParseDict
from grpc import StatusCode

from atoll.scheduling.v1 import closure_service_pb2 as pb
from atoll.scheduling.v1 import course_service_pb2 as courses
from atoll.scheduling.v1 import visit_service_pb2 as visits
from atoll.scheduling.v1.closure_service_pb2_grpc import ClosureServiceStub
from atoll.scheduling.v1.events_pb2 import (
    CANCELLATION_REASON_CLINIC,
    CLOSURE_KIND_ILLNESS,
    ClosureCancelled,
    ClosureCreated,
)
from atoll.scheduling.v1.task_service_pb2 import (
    TASK_KIND_BROKEN_VISITS,
    TASK_STATE_DONE,
    TASK_STATE_OPEN,
    ListTasksRequest,
    Task,
)
from atoll.scheduling.v1.task_service_pb2_grpc import TaskServiceStub
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_date, to_instant
from services.scheduling.domain.closures import ClosureKind
from services.scheduling.domain.hours import Slot
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases import Close, close
from tests.integration.test_scheduling_single import single
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
    with_same_nurse,
)
from tests.support.service import NOW, Running, refusal

FIRST = local(3, 2, 9)  # A Tuesday.
HOUR = timedelta(hours=1)


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


def stub(clinic: Clinic) -> Any:
    return clinic.svc.stub(ClosureServiceStub)


def interval(start: datetime, end: datetime) -> dict[str, Any]:
    return {"interval": {"start_time": start.isoformat(), "end_time": end.isoformat()}}


def dates(first: dict[str, int], last: dict[str, int]) -> dict[str, Any]:
    return {"dates": {"first_date": first, "last_date": last}}


def march(day: int, **changes: int) -> dict[str, int]:
    return {"year": 2027, "month": 3, "day": day, **changes}


def request(clinic: Clinic, resource_id: str, time: dict[str, Any], **changes: Any) -> pb.CreateClosureRequest:
    fields = {"request_id": str(uuid4()), "site_id": clinic.site_id, "kind": "CLOSURE_KIND_ILLNESS", "time": time}
    return ParseDict(fields | {"resource_id": resource_id} | changes, pb.CreateClosureRequest())


async def create(clinic: Clinic, asked: pb.CreateClosureRequest, token: str | None = None) -> pb.CreateClosureResponse:
    """And lets the service hear of it."""
    before = len(await clinic.published())
    answer: pb.CreateClosureResponse = await clinic.svc.call(
        stub(clinic).CreateClosure, asked, clinic.token() if token is None else token
    )
    await hear(clinic, before)
    return answer


async def hear(clinic: Clinic, before: int) -> None:
    for _, event in (await clinic.published())[before:]:
        if isinstance(event, ClosureCreated | ClosureCancelled):
            await clinic.svc.deliver(event)


async def broken_visits(clinic: Clinic, closure_id: str, **changes: Any) -> pb.ListBrokenVisitsResponse:
    asked = pb.ListBrokenVisitsRequest(closure_id=closure_id, **changes)
    answer: pb.ListBrokenVisitsResponse = await clinic.svc.call(stub(clinic).ListBrokenVisits, asked, clinic.token())
    return answer


async def tasks(clinic: Clinic, site_id: str = "") -> list[Task]:
    asked = ListTasksRequest(site_id=site_id or clinic.site_id)
    stub: Any = clinic.svc.stub(TaskServiceStub)
    return list((await clinic.svc.call(stub.ListTasks, asked, clinic.token(site_id=site_id))).tasks)


async def treated(clinic: Clinic, *starts: datetime, **chosen: str) -> courses.Course:
    return await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments(starts, **chosen)))


def places(visit: pb.BrokenVisit) -> list[tuple[datetime, list[str]]]:
    return [(to_instant(each.start_time), [one.resource_id for one in each.resources]) for each in visit.offers]


async def test_closing_a_nurse_names_the_visits_that_it_breaks_and_opens_a_task_for_each_patient(
    clinic: Clinic,
) -> None:
    broken = await treated(clinic, FIRST, FIRST + 3 * DAY, FIRST + 7 * DAY)
    await treated(clinic, FIRST, nurse=clinic.nurses[1], room=clinic.rooms[1])
    asked = request(clinic, clinic.nurses[0], dates(march(2), march(5)))
    answer = await create(clinic, asked)
    assert [each.visit_id for each in answer.broken_visits] == [visit.id for visit in broken.visits[:2]]
    assert (answer.has_more, answer.closure.kind, answer.closure.etag) == (False, CLOSURE_KIND_ILLNESS, '"1"')
    assert to_instant(answer.closure.start_time) == local(3, 2, 0)
    assert to_instant(answer.closure.end_time) == local(3, 6, 0)
    [task] = await tasks(clinic)
    assert (task.kind, task.state, task.closure_id) == (TASK_KIND_BROKEN_VISITS, TASK_STATE_OPEN, answer.closure.id)
    assert (task.patient_id, list(task.visit_ids)) == (broken.patient_id, [each.id for each in broken.visits[:2]])
    assert await clinic.count("presence") == 4  # Nothing was cancelled.
    _, event = (await clinic.published())[-1]
    assert (event.closure_id, event.resource_id, event.kind) == (
        answer.closure.id,
        clinic.nurses[0],
        CLOSURE_KIND_ILLNESS,
    )


async def test_a_closure_asked_for_twice_is_made_once_and_told_of_thrice_leaves_its_task_once(clinic: Clinic) -> None:
    await treated(clinic, FIRST)
    asked = request(clinic, clinic.nurses[0], dates(march(2), march(2)))
    answer = await create(clinic, asked)
    assert await create(clinic, asked) == answer
    event = next(event for _, event in await clinic.published() if isinstance(event, ClosureCreated))
    for _ in range(3):
        event.meta.event_id = str(uuid4())
        await clinic.svc.deliver(event)
    assert await clinic.counts("closure", "task") == [1, 1]


async def test_a_preview_tells_the_same_and_leaves_nothing(clinic: Clinic) -> None:
    broken = await treated(clinic, FIRST)
    time = request(clinic, "", dates(march(2), march(2))).time
    asked = pb.PreviewClosureRequest(site_id=clinic.site_id, resource_id=clinic.rooms[0], time=time)
    answer = await clinic.svc.call(stub(clinic).PreviewClosure, asked, clinic.token())
    assert [each.visit_id for each in answer.broken_visits] == [broken.visits[0].id]
    assert await clinic.counts("closure", "task") == [0, 0]
    await treated(clinic, FIRST, nurse=clinic.nurses[1], room=clinic.rooms[1])


async def test_what_is_closed_is_neither_booked_nor_planned(clinic: Clinic) -> None:
    room = await create(clinic, request(clinic, clinic.rooms[0], interval(local(3, 2, 10), local(3, 2, 11))))
    assert not room.broken_visits
    refused = await refusal(treated(clinic, FIRST))  # It holds the room until half past ten.
    assert (refused.reason, refused.faults) == ("OUTSIDE_HOURS", [("visits[0].resources[1]", "NOT_AT_WORK")])
    await treated(clinic, local(3, 2, 8, 30))
    await create(clinic, request(clinic, clinic.rooms[1], dates(march(2), march(3))))
    asked = courses.PlanCourseRequest(
        site_id=clinic.site_id,
        patient_id=await clinic.add_patient(),
        protocol_version_id=clinic.version_id,
        route_code="iv",
        phases=[courses.PlanCourseRequest.PhaseChoice(phase_code="induction", visit_count=1)],
        earliest_date=to_date(local(3, 2, 12).date()),
        latest_date=to_date(local(3, 3, 12).date()),
    )
    plans = (await clinic.svc.call(clinic.courses.PlanCourse, asked, clinic.token())).plans
    starts = [to_instant(plan.visits[0].start_time) for plan in plans]
    assert starts == [local(3, 2, 11), local(3, 3, 8)]


async def test_closing_a_site_breaks_what_is_there_and_leaves_what_is_at_a_distance(clinic: Clinic) -> None:
    """But for who has no hours of their own: they are at work while the site is open."""
    own = await clinic.add_resource("STAFF", "At home", capabilities=["prescriber"], working_hours=hours(8, 18))
    talks = [
        await clinic.book(clinic.request(await clinic.add_patient(), [talk(FIRST, prescriber)]))
        for prescriber in (own, clinic.prescriber)
    ]
    treatment = await treated(clinic, FIRST)
    answer = await create(clinic, request(clinic, "", dates(march(2), march(2)), kind="CLOSURE_KIND_WEATHER"))
    told = {each.visit_id for each in answer.broken_visits}
    assert told == {treatment.visits[0].id, talks[1].visits[0].id}
    assert len(await tasks(clinic)) == 2
    closed = await refusal(treated(clinic, local(3, 2, 14)))
    assert (closed.reason, closed.faults) == ("OUTSIDE_HOURS", [("visits[0].start_time", "SITE_CLOSED")])
    patient = await clinic.add_patient()
    await clinic.book(clinic.request(patient, [talk(local(3, 2, 14), own)]))


@pytest.mark.parametrize(("closed_from", "broken"), [(local(3, 2, 10, 20), True), (local(3, 2, 10, 30), False)])
async def test_closing_a_site_breaks_a_visit_whose_turnover_it_cuts(
    clinic: Clinic, closed_from: datetime, broken: bool
) -> None:
    """As booking has it: the patient may leave at twenty past ten, and the room, which has hours of its own, is theirs
    for ten minutes more."""
    room = await clinic.add_resource("ROOM", "Room", working_hours=hours(8, 18))
    [visit] = (await treated(clinic, FIRST, room=room)).visits
    answer = await create(clinic, request(clinic, "", interval(closed_from, local(3, 2, 18))))
    assert [each.visit_id for each in answer.broken_visits] == [visit.id] * broken
    retried = treated(clinic, FIRST, nurse=clinic.nurses[1], room=clinic.rooms[1])
    if broken:
        assert (await refusal(retried)).faults == [("visits[0].start_time", "SITE_CLOSED")]
    else:
        assert await retried


async def test_closing_a_site_breaks_what_is_at_a_distance_while_who_keeps_its_hours_is_needed(clinic: Clinic) -> None:
    segments = [segment("CONSULTATION", 30, prescriber=1), segment("TURNOVER", 30, prescriber=1)]
    notes = {**TALK, "segments": segments}
    clinic.version_id = await clinic.publish({**TEMPLATE, "visit_types": [notes, TREATMENT]})
    await clinic.adopt()
    own = await clinic.add_resource("STAFF", "At home", capabilities=["prescriber"], working_hours=hours(8, 18))
    booked = [
        await clinic.book(clinic.request(await clinic.add_patient(), [talk(start, prescriber)]))
        for start, prescriber in ((FIRST, own), (FIRST, clinic.prescriber), (local(3, 2, 8), clinic.prescriber))
    ]
    answer = await create(clinic, request(clinic, "", interval(local(3, 2, 9, 30), local(3, 2, 18))))
    assert [each.visit_id for each in answer.broken_visits] == [booked[1].visits[0].id]


def talk(start: datetime, prescriber: str) -> Any:
    return visit_choice("assessment", start, prescriber=prescriber)


async def test_offers_are_others_at_the_same_time_first_then_the_nearest_times(clinic: Clinic) -> None:
    broken = await treated(clinic, FIRST, FIRST + 3 * DAY)
    answer = await create(clinic, request(clinic, clinic.nurses[0], dates(march(2), march(2))))
    [visit] = (await broken_visits(clinic, answer.closure.id)).broken_visits
    assert (visit.visit_id, visit.patient_id) == (broken.visits[0].id, broken.patient_id)
    other, room = clinic.nurses[1], clinic.rooms[0]
    # The second visit is on Friday: two to five days after this one. It is nine o'clock on Monday now.
    assert places(visit) == [
        (FIRST, [other, room]),
        (local(3, 2, 8, 45), [other, room]),
        (local(3, 3, 9), [clinic.nurses[0], room]),
        (local(3, 1, 9), [clinic.nurses[0], room]),
    ]


async def test_offers_are_with_another_nurse_where_the_one_at_all_visits_is_to_leave(clinic: Clinic) -> None:
    clinic.version_id = await clinic.publish(with_same_nurse())
    await clinic.adopt()
    leaving, other = clinic.nurses
    await treated(clinic, FIRST, FIRST + 3 * DAY)
    answer = await create(clinic, request(clinic, leaving, dates(march(5), march(5))))
    [visit] = (await broken_visits(clinic, answer.closure.id)).broken_visits
    assert {ids[0] for _, ids in places(visit)} == {leaving}
    await clinic.retire(leaving, date(2027, 3, 5))
    [visit] = (await broken_visits(clinic, answer.closure.id)).broken_visits
    assert places(visit)[0] == (FIRST + 3 * DAY, [other, clinic.rooms[0]])


async def test_a_visit_beside_the_phases_is_offered_any_day_and_the_others_of_its_course_keep_theirs(
    clinic: Clinic,
) -> None:
    course, other = await treated(clinic, FIRST, FIRST + 3 * DAY), await clinic.add_patient()
    asked = single(clinic, course.patient_id, FIRST + DAY, course_id=course.id), single(clinic, other, local(3, 2, 14))
    beside, alone = [(await clinic.svc.call(clinic.visits.BookVisit, each)).visit.id for each in asked]
    doctor = await create(clinic, request(clinic, clinic.prescriber, dates(march(2), march(3))))
    told = {each.visit_id: places(each) for each in (await broken_visits(clinic, doctor.closure.id)).broken_visits}
    # It is nine o'clock on Monday now, and on Friday the patient is treated from nine.
    assert [start for start, _ in told[beside]] == [local(3, 4, 9), local(3, 5, 8, 30), local(3, 1, 9)]
    assert [start for start, _ in told[alone]] == [local(3, day, 14) for day in (1, 4, 5)]
    nurse = await create(clinic, request(clinic, clinic.nurses[0], dates(march(5), march(5))))
    [visit] = (await broken_visits(clinic, nurse.closure.id)).broken_visits
    assert visit.visit_id == course.visits[1].id
    # Two to five days after the first treatment, whatever day the talk between them is.
    assert [start for start, _ in places(visit)] == [local(3, 5, 9), local(3, 5, 8, 45), local(3, 4, 9)]


async def test_an_offer_can_be_booked(clinic: Clinic) -> None:
    broken = await treated(clinic, FIRST)
    answer = await create(clinic, request(clinic, clinic.nurses[0], dates(march(2), march(2))))
    [visit] = (await broken_visits(clinic, answer.closure.id)).broken_visits
    cancel = visits.CancelVisitRequest(
        request_id=str(uuid4()), visit_id=broken.visits[0].id, reason=CANCELLATION_REASON_CLINIC
    )
    await clinic.svc.call(clinic.visits.CancelVisit, cancel)
    for each in visit.offers:
        choices = [courses.BookCourseRequest.VisitChoice(phase_code="induction", start_time=each.start_time)]
        choices[0].resources.extend(each.resources)
        course = await clinic.book(clinic.request(broken.patient_id, choices))
        cancel.request_id, cancel.visit_id = str(uuid4()), course.visits[0].id
        await clinic.svc.call(clinic.visits.CancelVisit, cancel)


async def test_no_offer_is_made_of_who_is_taken_or_for_a_patient_who_is_elsewhere(clinic: Clinic) -> None:
    broken = await treated(clinic, FIRST)
    await treated(clinic, FIRST, nurse=clinic.nurses[1], room=clinic.rooms[1])
    elsewhere = clinic.request(broken.patient_id, [talk(local(3, 2, 11), clinic.prescriber)])
    await clinic.book(elsewhere)
    answer = await create(clinic, request(clinic, clinic.nurses[0], dates(march(2), march(2))))
    [visit] = (await broken_visits(clinic, answer.closure.id)).broken_visits
    first, *_ = places(visit)
    # Both lanes of the other nurse are taken until 9:50 and one until 10:20; then the patient talks until half past 11.
    assert first == (local(3, 2, 11, 30), [clinic.nurses[1], clinic.rooms[0]])


async def test_visits_that_do_not_go_on_are_not_told_of(clinic: Clinic) -> None:
    course = await treated(clinic, FIRST, FIRST + 3 * DAY)
    answer = await create(clinic, request(clinic, clinic.nurses[0], dates(march(2), march(5))))
    cancel = visits.CancelVisitRequest(
        request_id=str(uuid4()), visit_id=course.visits[0].id, reason=CANCELLATION_REASON_CLINIC
    )
    await clinic.svc.call(clinic.visits.CancelVisit, cancel)
    left = (await broken_visits(clinic, answer.closure.id)).broken_visits
    assert [each.visit_id for each in left] == [course.visits[1].id]


async def test_broken_visits_come_in_pages_in_order_of_time(clinic: Clinic) -> None:
    for hour in (8, 10, 12, 14):
        await treated(clinic, local(3, 2, hour))
    answer = await create(clinic, request(clinic, clinic.rooms[0], dates(march(2), march(2))))
    found, token = list[pb.BrokenVisit](), ""
    for _ in range(2):
        page = await broken_visits(clinic, answer.closure.id, page_size=3, page_token=token)
        found, token = [*found, *page.broken_visits], page.next_page_token
    assert [to_instant(each.start_time) for each in found] == [local(3, 2, hour) for hour in (8, 10, 12, 14)]
    assert token == ""
    assert {each.offers[0].resources[1].resource_id for each in found} == {clinic.rooms[1]}


async def test_a_cancelled_closure_opens_again_and_its_tasks_are_done(clinic: Clinic) -> None:
    await treated(clinic, FIRST)
    closure = (await create(clinic, request(clinic, clinic.nurses[0], dates(march(2), march(2))))).closure
    cancel = pb.CancelClosureRequest(request_id=str(uuid4()), closure_id=closure.id, etag=closure.etag)
    stale = pb.CancelClosureRequest(request_id=str(uuid4()), closure_id=closure.id, etag='"9"')
    assert (await refusal(clinic.svc.call(stub(clinic).CancelClosure, stale, clinic.token()))).reason == "STALE_ETAG"
    before = len(await clinic.published())
    cancelled = (await clinic.svc.call(stub(clinic).CancelClosure, cancel, clinic.token())).closure
    await hear(clinic, before)
    assert (to_instant(cancelled.cancel_time), cancelled.etag) == (NOW, '"2"')
    [task] = await tasks(clinic)
    assert (task.state, task.note, task.etag) == (TASK_STATE_DONE, "The closure was cancelled.", '"2"')
    await treated(clinic, local(3, 2, 11))
    for refused in (
        clinic.svc.call(stub(clinic).CancelClosure, stale, clinic.token()),
        broken_visits(clinic, closure.id),
    ):
        answer = await refusal(refused)
        assert (answer.code, answer.reason) == (StatusCode.FAILED_PRECONDITION, "CLOSURE_CANCELLED")


async def test_a_closure_cancelled_before_it_was_heard_of_opens_no_task(clinic: Clinic) -> None:
    await treated(clinic, FIRST)
    asked = request(clinic, clinic.nurses[0], dates(march(2), march(2)))
    closure = (await clinic.svc.call(stub(clinic).CreateClosure, asked, clinic.token())).closure
    cancel = pb.CancelClosureRequest(request_id=str(uuid4()), closure_id=closure.id, etag=closure.etag)
    await clinic.svc.call(stub(clinic).CancelClosure, cancel, clinic.token())
    await hear(clinic, 0)
    assert await clinic.count("task") == 0


async def test_closures_are_listed_by_their_end_in_pages(clinic: Clinic) -> None:
    for day in (9, 3, 5):
        await create(clinic, request(clinic, "", dates(march(day), march(day))))
    asked = pb.ListClosuresRequest(site_id=clinic.site_id, page_size=2)
    first = await clinic.svc.call(stub(clinic).ListClosures, asked, clinic.token("ROLE_NURSE"))
    asked.page_token = first.next_page_token
    second = await clinic.svc.call(stub(clinic).ListClosures, asked, clinic.token("ROLE_NURSE"))
    listed = [to_instant(each.end_time) for page in (first, second) for each in page.closures]
    assert listed == [local(3, day, 0) for day in (4, 6, 10)]
    later = ParseDict(
        {"site_id": clinic.site_id, "end_after_time": local(3, 4, 0).isoformat()}, pb.ListClosuresRequest()
    )
    assert len((await clinic.svc.call(stub(clinic).ListClosures, later, clinic.token())).closures) == 2


@pytest.mark.parametrize(
    ("time", "reason", "rule"),
    [
        (interval(FIRST, FIRST), "CLOSURE_INVALID", "BEFORE_START"),
        (dates(march(5), march(4)), "CLOSURE_INVALID", "BEFORE_START"),
        (interval(NOW - HOUR, NOW), "CLOSURE_INVALID", "IN_PAST"),
        (dates(march(2), march(2, year=2037)), "CLOSURE_TOO_LONG", "CLOSURE_TOO_LONG"),
        (dates(march(2), march(3, year=2028)), "CLOSURE_TOO_LONG", "CLOSURE_TOO_LONG"),
    ],
)
async def test_a_closure_that_is_none_is_refused_by_name(
    clinic: Clinic, time: dict[str, Any], reason: str, rule: str
) -> None:
    refused = await refusal(create(clinic, request(clinic, clinic.nurses[0], time)))
    assert (refused.code, refused.reason, refused.faults) == (StatusCode.INVALID_ARGUMENT, reason, [("time", rule)])
    assert await clinic.count("closure") == 0


async def test_a_closure_of_a_year_with_a_leap_day_is_taken(clinic: Clinic) -> None:
    """366 days, and an hour less of them than there would be without clock changes."""
    answer = await create(clinic, request(clinic, clinic.nurses[0], dates(march(2), march(1, year=2028))))
    assert to_instant(answer.closure.end_time) == local(3, 2, 0, year=2028)


async def test_only_what_is_at_home_at_the_site_is_closed_there(clinic: Clinic) -> None:
    other = await clinic.add_site("bld")
    day = dates(march(2), march(2))
    missing = await refusal(create(clinic, request(clinic, to_wire("resource", new_id()), day)))
    assert (missing.code, missing.reason) == (StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
    elsewhere = await refusal(create(clinic, request(clinic, clinic.nurses[0], day, site_id=other), clinic.svc.token()))
    assert elsewhere.reason == "RESOURCE_NOT_FOUND"
    chain_id, room = clinic.svc.chain_id, clinic.rooms[0]
    clinic.svc.chain_id = new_id()
    stranger = await refusal(create(clinic, request(clinic, room, day), clinic.svc.token()))
    assert (stranger.code, stranger.reason) == (StatusCode.NOT_FOUND, "SITE_NOT_FOUND")
    clinic.svc.chain_id = chain_id
    assert await clinic.count("closure") == 0


@pytest.mark.parametrize("role", ["ROLE_NURSE", "ROLE_BILLING", "ROLE_AUDITOR"])
async def test_who_does_not_run_the_desk_closes_nothing(clinic: Clinic, role: str) -> None:
    asked = request(clinic, clinic.nurses[0], dates(march(2), march(2)))
    assert (await refusal(create(clinic, asked, clinic.token(role)))).code is StatusCode.PERMISSION_DENIED
    other = await clinic.add_site("bld")
    closure = (await create(clinic, asked)).closure
    cancel = pb.CancelClosureRequest(request_id=str(uuid4()), closure_id=closure.id, etag=closure.etag)
    refused = await refusal(clinic.svc.call(stub(clinic).CancelClosure, cancel, clinic.token(site_id=other)))
    assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    stranger = clinic.svc.token(chain_id=new_id())
    unknown = await refusal(clinic.svc.call(stub(clinic).CancelClosure, cancel, stranger))
    assert (unknown.code, unknown.reason) == (StatusCode.NOT_FOUND, "CLOSURE_NOT_FOUND")


async def test_a_nurse_who_is_ill_is_missed_at_every_site_where_she_works(clinic: Clinic) -> None:
    """Her home's desk closes; it sees its own visits only, but the other site's desk has its task and books no more."""
    there = await clinic.add_site("bld")
    await clinic.adopt(site_id=there)
    room = await clinic.add_resource("ROOM", "Room", site_id=there)
    shifts = [{"hours": each, "site_id": there} for each in hours(8, 18, ["WEDNESDAY"])]
    staff = {
        "capabilities": ["infusion"],
        "lane_count": 2,
        "shifts": shifts,
        "working_hours": hours(8, 18, ["TUESDAY"]),
    }
    nurse = await clinic.add_resource("STAFF", "Traveller", **staff)
    here = await treated(clinic, FIRST, nurse=nurse)
    away = clinic.treatments([FIRST + DAY], nurse, room)
    theirs = await clinic.book(clinic.request(await clinic.add_patient(), away, site_id=there))
    answer = await create(clinic, request(clinic, nurse, dates(march(2), march(5))))
    assert [each.visit_id for each in answer.broken_visits] == [here.visits[0].id]
    assert [list(each.visit_ids) for each in await tasks(clinic)] == [[here.visits[0].id]]
    assert [list(each.visit_ids) for each in await tasks(clinic, there)] == [[theirs.visits[0].id]]
    later = clinic.treatments([local(3, 3, 14)], nurse, room)
    asked = clinic.request(await clinic.add_patient(), later, site_id=there)
    assert (await refusal(clinic.book(asked, clinic.token(site_id=there)))).reason == "OUTSIDE_HOURS"


async def test_a_booking_that_races_with_a_closure_sees_it_or_is_told_of(clinic: Clinic) -> None:
    """The closure is made, and not committed, when the booking comes: this waits, and is refused."""
    patient, svc = await clinic.add_patient(), clinic.svc
    for what in (clinic.nurses[0], ""):
        resource_id = from_wire("resource", what) if what else None
        command = Close(clinic.site_uuid, resource_id, Slot(local(3, 2, 0), local(3, 3, 0)))
        async with svc.db.transaction(svc.inside("Close")) as conn:
            store = SchedulingStore(conn, svc.inside("Close"))
            await store.lock([resource_id or clinic.site_uuid])
            await close(store, command, ClosureKind.ILLNESS)
            booking = asyncio.create_task(clinic.book(clinic.request(patient, clinic.treatments([FIRST]))))
            await asyncio.sleep(0.3)
            assert not booking.done()
        refused = await refusal(booking)
        assert refused.reason == "OUTSIDE_HOURS"
        await svc.admin.execute("UPDATE closure SET cancelled_at = now() WHERE chain_id = $1", svc.chain_id)
    assert await clinic.count("visit") == 0


@pytest.mark.parametrize("whole_site", [False, True])
async def test_a_hold_that_is_booked_while_it_is_being_closed_sees_it(clinic: Clinic, whole_site: bool) -> None:
    """The closure is made, and not committed, when the hold is to be booked: this waits, and is refused."""
    svc, held = clinic.svc, await clinic.hold(await clinic.add_patient(), [FIRST])
    resource_id = None if whole_site else from_wire("resource", clinic.nurses[0])
    command, call = Close(clinic.site_uuid, resource_id, Slot(local(3, 2, 0), local(3, 3, 0))), svc.inside("Close")
    async with svc.db.transaction(call) as conn:
        store = SchedulingStore(conn, call)
        await store.lock([resource_id or clinic.site_uuid])
        await close(store, command, ClosureKind.ILLNESS)
        booking = asyncio.create_task(clinic.book_hold(held.id))
        await asyncio.sleep(0.3)
        assert not booking.done()
    assert (await refusal(booking)).reason == "OUTSIDE_HOURS"


async def test_the_database_refuses_a_closure_without_an_end_and_one_of_two_years(clinic: Clinic) -> None:
    add = (
        "INSERT INTO closure (chain_id, id, site_id, kind, start_at, end_at, created_at, created_by) "
        "VALUES ($1, $2, $3, 'CLOSURE_KIND_OTHER', $4, $5, now(), 'x')"
    )
    for end in (FIRST, FIRST + 2 * 365 * DAY):
        with pytest.raises(Exception, match="closure_a_year_at_most_check"):
            await clinic.svc.admin.execute(add, clinic.svc.chain_id, new_id(), clinic.site_uuid, FIRST, end)


@pytest.mark.parametrize("whole_site", [False, True])
async def test_a_closure_waits_for_a_booking_that_is_under_way(clinic: Clinic, whole_site: bool) -> None:
    """It holds the nurse's lock, and has not committed, when the closure comes; which then tells of it."""
    svc, nurse = clinic.svc, clinic.nurses[0]
    call = svc.inside("Book")
    async with svc.db.transaction(call) as conn:
        await SchedulingStore(conn, call).lock([from_wire("resource", nurse)])
        asked = request(clinic, "" if whole_site else nurse, dates(march(2), march(2)))
        closing = asyncio.create_task(clinic.svc.call(stub(clinic).CreateClosure, asked, clinic.token()))
        await asyncio.sleep(0.3)
        assert not closing.done()
    assert (await closing).closure.id
