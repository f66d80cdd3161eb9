"""Patients who were merged: booked, planned, cleared, paused and listed as one; and taken apart again."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from google.type.date_pb2 import Date
from grpc import StatusCode

from atoll.patients.v1.events_pb2 import AdverseEventReported, ClearanceRevoked, PatientRegistered
from atoll.scheduling.v1 import course_service_pb2 as pb
from atoll.scheduling.v1 import task_service_pb2
from atoll.scheduling.v1.audit_service_pb2 import SearchAuditRequest
from atoll.scheduling.v1.audit_service_pb2_grpc import AuditServiceStub
from atoll.scheduling.v1.visit_service_pb2 import CancelVisitRequest, ConfirmVisitRequest
from chassis.ids import from_wire, new_id, to_wire
from tests.integration.test_scheduling_pauses import told
from tests.integration.test_scheduling_visits import PATIENT, change
from tests.support.scheduling import DAY, Clinic, hours, local, open_clinic, open_scheduling, visit_choice
from tests.support.scheduling_merges import courses_of, merge, tasks_of, treatment, unmerge
from tests.support.service import Running, refusal

FIRST = local(3, 2, 9)
HALF_AN_HOUR = timedelta(minutes=30)
OVERLAPPING = task_service_pb2.TASK_KIND_OVERLAPPING_VISITS
TO_ASSIGN = task_service_pb2.TASK_KIND_VISITS_TO_ASSIGN


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


async def two(clinic: Clinic) -> tuple[str, str]:
    """An alias to be, and its survivor."""
    return await clinic.add_patient(), await clinic.add_patient()


async def test_a_course_booked_for_an_alias_is_the_survivors_and_the_earlier_ones_stay_as_they_were(
    clinic: Clinic,
) -> None:
    alias, survivor = await two(clinic)
    before = await treatment(clinic, alias, FIRST)
    await merge(clinic, alias, survivor)
    booked = await treatment(clinic, alias, FIRST + DAY)
    assert (booked.patient_id, {visit.patient_id for visit in booked.visits}) == (survivor, {survivor})
    subject, event = (await clinic.published())[-1]
    assert (subject, event.patient_id) == ("scheduling.v1.course.booked", survivor)
    written = "SELECT patient_id FROM presence JOIN visit USING (chain_id, patient_id) WHERE course_id = $1"
    for course, patient in ((before, alias), (booked, survivor)):
        rows = await clinic.svc.admin.fetch(written, from_wire("course", course.id))
        assert [row["patient_id"] for row in rows] == [from_wire("patient", patient)]


async def test_a_list_by_any_id_of_a_patient_is_the_same(clinic: Clinic) -> None:
    alias, survivor = await two(clinic)
    ids = [
        (await treatment(clinic, patient, FIRST + day * DAY)).id
        for day, patient in enumerate((alias, survivor, await clinic.add_patient()))
    ]
    assert [await courses_of(clinic, patient) for patient in (alias, survivor)] == [[ids[0]], [ids[1]]]
    await merge(clinic, alias, survivor)
    for patient in (alias, survivor):
        assert await courses_of(clinic, patient) == ids[:2]
        assert await courses_of(clinic, patient, site_id=clinic.site_id) == ids[:2]
        page = pb.ListCoursesRequest(patient_id=patient, page_size=1)
        first = await clinic.svc.call(clinic.courses.ListCourses, page)
        page.page_token = first.next_page_token
        rest = await clinic.svc.call(clinic.courses.ListCourses, page)
        assert [course.id for course in (*first.courses, *rest.courses)] == ids[:2]
        assert rest.next_page_token == ""


@pytest.mark.parametrize("taken", ["alias", "survivor"])
@pytest.mark.parametrize("asked", ["alias", "survivor"])
async def test_neither_id_is_booked_while_the_other_is_somewhere(clinic: Clinic, taken: str, asked: str) -> None:
    alias, survivor = await two(clinic)
    ids = {"alias": alias, "survivor": survivor}
    await treatment(clinic, ids[taken], FIRST)
    await merge(clinic, alias, survivor)
    before = await clinic.counts("course", "visit", "presence")
    refused = await refusal(treatment(clinic, ids[asked], FIRST + HALF_AN_HOUR, lane=1))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "VISITS_CONFLICT")
    assert refused.faults == [("visits[0]", "PATIENT_TAKEN")]
    assert await clinic.counts("course", "visit", "presence") == before


async def test_a_plan_keeps_clear_of_the_visits_of_every_id(clinic: Clinic) -> None:
    alias, survivor = await two(clinic)
    other = await clinic.add_resource("STAFF", "Other doctor", capabilities=["prescriber"])
    talk = visit_choice("assessment", local(3, 2, 8), prescriber=clinic.prescriber)
    await clinic.book(clinic.request(alias, [talk]))
    request = pb.PlanCourseRequest(
        site_id=clinic.site_id,
        patient_id=survivor,
        protocol_version_id=clinic.version_id,
        route_code="iv",
        phases=[pb.PlanCourseRequest.PhaseChoice(phase_code="assessment")],
        earliest_date=Date(year=2027, month=3, day=2),
        latest_date=Date(year=2027, month=3, day=2),
    )
    assert await starts(clinic, request) == [local(3, 2, 8)]
    await merge(clinic, alias, survivor)
    assert await starts(clinic, request) == [local(3, 2, 8, 30)]
    assert other


async def test_a_course_of_one_id_is_planned_on_under_the_other(clinic: Clinic) -> None:
    alias, survivor = await two(clinic)
    course = await treatment(clinic, alias, FIRST)
    request = pb.PlanCourseRequest(
        site_id=clinic.site_id,
        patient_id=survivor,
        protocol_version_id=clinic.version_id,
        route_code="iv",
        phases=[pb.PlanCourseRequest.PhaseChoice(phase_code="induction", visit_count=1)],
        earliest_date=Date(year=2027, month=3, day=2),
        latest_date=Date(year=2027, month=3, day=5),
        course_id=course.id,
    )
    assert (await refusal(starts(clinic, request))).reason == "COURSE_MISMATCH"
    await merge(clinic, alias, survivor)
    assert await starts(clinic, request) == [local(3, 5, 8)]


async def starts(clinic: Clinic, request: pb.PlanCourseRequest) -> list[object]:
    plans = (await clinic.svc.call(clinic.courses.PlanCourse, request)).plans
    return [visit.start_time.ToDatetime(tzinfo=FIRST.tzinfo) for visit in plans[0].visits]


async def test_what_one_id_is_cleared_for_the_patient_is(clinic: Clinic) -> None:
    alias, survivor = await clinic.add_patient(cleared=False), await clinic.add_patient(cleared=False)
    granted = clinic.clearance(alias)
    await clinic.svc.deliver(granted)
    assert (await refusal(treatment(clinic, survivor, FIRST))).reason == "GATE_PENDING"
    await merge(clinic, alias, survivor)
    assert (await treatment(clinic, survivor, FIRST)).patient_id == survivor
    revoked = ClearanceRevoked(clearance_id=granted.clearance_id, patient_id=alias, protocol_id=clinic.protocol_id)
    await clinic.svc.deliver(revoked)
    assert (await refusal(treatment(clinic, survivor, FIRST + DAY))).reason == "CLEARANCE_MISSING"


async def test_what_went_wrong_with_one_id_pauses_the_treatments_of_all(clinic: Clinic) -> None:
    alias, survivor = await two(clinic)
    course, elsewhere = await treatment(clinic, survivor, FIRST), await treatment(clinic, survivor, FIRST + DAY)
    own = await treatment(clinic, alias, FIRST + 2 * DAY)
    await clinic.svc.deliver(told(AdverseEventReported, alias), version=1)
    await clinic.svc.deliver(told(AdverseEventReported, alias, elsewhere.id), version=1)
    assert await paused(clinic, course, elsewhere, own) == [False, False, True]
    await merge(clinic, alias, survivor)
    assert await paused(clinic, course, elsewhere, own) == [True, True, True]
    assert (await refusal(change(clinic, "CheckInVisit", course.visits[0].id))).reason == "COURSE_PAUSED"
    assert (await refusal(treatment(clinic, survivor, FIRST + 3 * DAY))).reason == "COURSE_PAUSED"
    await unmerge(clinic, alias, survivor)
    assert await paused(clinic, course, elsewhere, own) == [False, False, True]
    await change(clinic, "CheckInVisit", course.visits[0].id)


async def paused(clinic: Clinic, *courses: pb.Course) -> list[bool]:
    answers = [
        await clinic.svc.call(clinic.courses.GetCourse, pb.GetCourseRequest(course_id=course.id)) for course in courses
    ]
    return [answer.course.paused for answer in answers]


async def test_a_survivor_that_is_merged_itself_passes_on_all_its_ids(clinic: Clinic) -> None:
    one, two_, three = [await clinic.add_patient() for _ in range(3)]
    ids = [(await treatment(clinic, each, FIRST + n * DAY)).id for n, each in enumerate((one, two_, three))]
    await merge(clinic, two_, three)
    await merge(clinic, one, two_)
    assert (await treatment(clinic, one, FIRST + 3 * DAY)).patient_id == three
    for each in (one, two_, three):
        assert (await courses_of(clinic, each))[:3] == ids
        assert (await refusal(treatment(clinic, three, FIRST + 3 * DAY, lane=1))).reason == "VISITS_CONFLICT"
    await unmerge(clinic, two_, three)
    assert [await courses_of(clinic, each) for each in (one, two_)] == [ids[:2]] * 2
    assert (await courses_of(clinic, three))[0] == ids[2]
    assert (await treatment(clinic, one, FIRST + 6 * DAY)).patient_id == two_


async def test_a_merge_heard_of_before_its_patients_waits_for_the_survivor(clinic: Clinic) -> None:
    alias, survivor = to_wire("patient", new_id()), to_wire("patient", new_id())
    await merge(clinic, alias, survivor)
    talk = [visit_choice("assessment", FIRST, prescriber=clinic.prescriber)]
    await clinic.svc.deliver(PatientRegistered(patient_id=alias, time_zone="America/Denver"))
    refused = await refusal(clinic.book(clinic.request(alias, talk)))
    assert (refused.reason, refused.retry, refused.metadata) == ("NOT_YET_KNOWN", True, {"waits_for": survivor})
    assert await clinic.count("course") == 0
    await clinic.svc.deliver(PatientRegistered(patient_id=survivor, time_zone="America/Denver"))
    assert (await clinic.book(clinic.request(alias, talk))).patient_id == survivor


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_what_was_said_last_holds_in_whatever_order_and_however_often_it_comes(
    clinic: Clinic, order: tuple[int, ...]
) -> None:
    alias, first, last = [await clinic.add_patient() for _ in range(3)]
    story = [(merge, first), (unmerge, first), (merge, last)]
    for n in (*order, order[0]):
        tell, survivor = story[n]
        await tell(clinic, alias, survivor, n + 1)
    assert (await treatment(clinic, alias, FIRST)).patient_id == last
    assert await clinic.count("patient_merge") == 3


async def test_another_chain_that_knows_the_same_ids_merges_nothing(clinic: Clinic) -> None:
    alias, survivor = await two(clinic)
    await merge(clinic, alias, survivor, chain_id=new_id())
    assert (await treatment(clinic, alias, FIRST)).patient_id == alias


async def test_visits_that_overlap_by_a_merge_stand_and_are_one_task_however_often_it_is_told(clinic: Clinic) -> None:
    alias, survivor = await two(clinic)
    one, other = await treatment(clinic, alias, FIRST), await treatment(clinic, survivor, FIRST + HALF_AN_HOUR, lane=1)
    await treatment(clinic, survivor, FIRST + DAY)
    await merge(clinic, alias, survivor)
    await merge(clinic, alias, survivor)
    [task] = await tasks_of(clinic)
    visits = sorted((one.visits[0].id, other.visits[0].id))
    assert (task.kind, task.state, list(task.visit_ids)) == (OVERLAPPING, task_service_pb2.TASK_STATE_OPEN, visits)
    assert (task.patient_id, task.merged_patient_id, task.site_id) == (survivor, alias, clinic.site_id)
    assert (task.note, task.completed_by, task.etag) == ("", "", '"1"')
    for course in (one, other):
        assert (await change(clinic, "ConfirmVisit", course.visits[0].id)).id == course.visits[0].id


@pytest.mark.parametrize("turned", [False, True])
async def test_visits_that_only_touch_or_will_not_take_place_are_no_task(clinic: Clinic, turned: bool) -> None:
    alias, survivor = await two(clinic)
    one = await treatment(clinic, alias, FIRST)
    off = await treatment(clinic, survivor, FIRST, lane=1)
    request = CancelVisitRequest(request_id=str(uuid4()), visit_id=off.visits[0].id, reason=PATIENT)
    await clinic.svc.call(clinic.visits.CancelVisit, request)
    leaves = FIRST + timedelta(minutes=80)
    await treatment(clinic, survivor, leaves, lane=1)
    await merge(clinic, *((survivor, alias) if turned else (alias, survivor)))
    assert one.visits[0].end_time.ToDatetime(tzinfo=FIRST.tzinfo) == leaves
    assert await tasks_of(clinic) == []


async def test_overlapping_visits_at_two_sites_are_a_task_of_each_that_the_other_does_not_see(clinic: Clinic) -> None:
    alias, survivor = await two(clinic)
    one = await treatment(clinic, alias, FIRST)
    home, clinic.site_id = clinic.site_id, await clinic.add_site("bou", opening_hours=hours(8, 18))
    away, doctor = clinic.site_id, await clinic.add_resource("STAFF", "Doctor", capabilities=["prescriber"])
    await clinic.adopt()
    other = await clinic.book(clinic.request(survivor, [visit_choice("assessment", FIRST, prescriber=doctor)]))
    await merge(clinic, alias, survivor)
    for site in (home, away):
        [task] = await tasks_of(clinic, clinic.token(site_id=site), site_id=site)
        assert (task.site_id, sorted(task.visit_ids)) == (site, sorted((one.visits[0].id, other.visits[0].id)))
    refused = await refusal(tasks_of(clinic, clinic.token(site_id=home), site_id=away))
    assert refused.code is StatusCode.PERMISSION_DENIED


async def test_a_further_merge_names_only_what_it_makes_overlap(clinic: Clinic) -> None:
    one, two_, three = [await clinic.add_patient() for _ in range(3)]
    for lane, each in enumerate((one, two_)):
        await treatment(clinic, each, FIRST, lane)
    talk = visit_choice("assessment", FIRST + HALF_AN_HOUR, prescriber=clinic.prescriber)
    await clinic.book(clinic.request(three, [talk]))
    await merge(clinic, one, two_)
    assert len(await tasks_of(clinic)) == 1
    await merge(clinic, two_, three)
    first, *further = await tasks_of(clinic)
    assert [each.merged_patient_id for each in (first, *further)] == [one, two_, two_]
    assert len({tuple(each.visit_ids) for each in (first, *further)}) == 3


async def test_an_unmerge_lists_the_visits_booked_for_the_survivor_meanwhile_and_no_others(clinic: Clinic) -> None:
    alias, survivor = await two(clinic)
    await treatment(clinic, survivor, FIRST)
    clinic.svc.clock.now += HALF_AN_HOUR
    await merge(clinic, alias, survivor)
    doubtful = await clinic.book(clinic.request(alias, clinic.treatments([FIRST + DAY, FIRST + 3 * DAY])))
    clinic.svc.clock.now += HALF_AN_HOUR
    also = await treatment(clinic, survivor, FIRST + 8 * DAY)
    assert await tasks_of(clinic) == []
    await unmerge(clinic, alias, survivor)
    await unmerge(clinic, alias, survivor)
    tasks = await tasks_of(clinic)
    assert [(task.kind, task.patient_id, task.merged_patient_id) for task in tasks] == [
        (TO_ASSIGN, survivor, alias)
    ] * 2
    assert [list(task.visit_ids) for task in tasks] == [
        [visit.id for visit in each.visits] for each in (doubtful, also)
    ]
    clinic.svc.clock.now += HALF_AN_HOUR
    assert (await treatment(clinic, alias, FIRST + 9 * DAY)).patient_id == alias
    await merge(clinic, alias, survivor, 3)
    await unmerge(clinic, alias, survivor, 4)
    assert len(await tasks_of(clinic)) == 2


async def test_an_unmerge_lists_what_was_booked_meanwhile_into_a_course_of_before(clinic: Clinic) -> None:
    alias, survivor = await two(clinic)
    before = await treatment(clinic, survivor, FIRST)
    clinic.svc.clock.now += HALF_AN_HOUR
    await merge(clinic, alias, survivor)
    further = clinic.treatments([FIRST + 3 * DAY, FIRST + 6 * DAY])
    [_, doubtful, cancelled] = (await clinic.book(clinic.request(alias, further, course_id=before.id))).visits
    cancel = CancelVisitRequest(request_id=str(uuid4()), visit_id=cancelled.id, reason=PATIENT)
    await clinic.svc.call(clinic.visits.CancelVisit, cancel)
    confirm = ConfirmVisitRequest(request_id=str(uuid4()), visit_id=before.visits[0].id)
    await clinic.svc.call(clinic.visits.ConfirmVisit, confirm)
    await unmerge(clinic, alias, survivor)
    [task] = await tasks_of(clinic)
    assert (task.kind, list(task.visit_ids)) == (TO_ASSIGN, [doubtful.id])


async def test_an_unmerge_after_which_nothing_was_booked_leaves_no_task(clinic: Clinic) -> None:
    alias, survivor = await two(clinic)
    await merge(clinic, alias, survivor)
    await unmerge(clinic, alias, survivor)
    assert await tasks_of(clinic) == []
    assert (await treatment(clinic, alias, FIRST)).patient_id == alias
    assert (await treatment(clinic, survivor, FIRST, lane=1)).patient_id == survivor


async def test_a_merge_heard_of_after_its_undoing_still_lists_what_was_booked_in_between(clinic: Clinic) -> None:
    alias, survivor = await two(clinic)
    merged_at = clinic.svc.now
    clinic.svc.clock.now += HALF_AN_HOUR
    doubtful = await treatment(clinic, survivor, FIRST)
    clinic.svc.clock.now += HALF_AN_HOUR
    await unmerge(clinic, alias, survivor)
    await treatment(clinic, survivor, FIRST + DAY)
    clinic.svc.clock.now = merged_at
    await merge(clinic, alias, survivor)
    [task] = await tasks_of(clinic)
    assert (task.kind, list(task.visit_ids)) == (TO_ASSIGN, [doubtful.visits[0].id])
    assert (await treatment(clinic, alias, FIRST + 2 * DAY)).patient_id == alias


async def test_what_a_survivor_further_on_was_booked_for_meanwhile_is_listed_too(clinic: Clinic) -> None:
    alias, survivor, last = [await clinic.add_patient() for _ in range(3)]
    await merge(clinic, survivor, last)
    await merge(clinic, alias, survivor)
    booked = await treatment(clinic, alias, FIRST)
    assert booked.patient_id == last
    await unmerge(clinic, alias, survivor)
    [task] = await tasks_of(clinic)
    assert (task.patient_id, list(task.visit_ids)) == (survivor, [booked.visits[0].id])


async def test_an_auditor_finds_what_was_done_under_any_id_of_a_patient(clinic: Clinic) -> None:
    alias, survivor = await two(clinic)
    for day, patient in enumerate((alias, survivor)):
        await treatment(clinic, patient, FIRST + day * DAY)
    await merge(clinic, alias, survivor)
    stub, token = clinic.svc.stub(AuditServiceStub), clinic.svc.token("ROLE_AUDITOR")
    for patient_id in (alias, survivor):
        request = SearchAuditRequest(patient_id=patient_id, method="atoll.scheduling.v1.CourseService.BookCourse")
        found = (await clinic.svc.call(stub.SearchAudit, request, token)).entries
        assert [each.patient_ids[0] for each in found] == [survivor, alias]
