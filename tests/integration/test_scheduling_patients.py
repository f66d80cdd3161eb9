"""Patients who call for themselves: what they find, hold, book, confirm and cancel, and that nobody else's is there."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from grpc import StatusCode

from atoll.common.v1.access_pb2 import AUDIT_PHI_READ
from atoll.patients.v1.events_pb2 import AdverseEventReported
from atoll.scheduling.v1 import course_service_pb2 as pb
from atoll.scheduling.v1 import events_pb2, gate_service_pb2, opening_service_pb2, site_service_pb2, visit_service_pb2
from atoll.scheduling.v1 import protocol_service_pb2 as protocols_pb
from atoll.scheduling.v1.gate_service_pb2_grpc import GateServiceStub
from atoll.scheduling.v1.opening_service_pb2_grpc import OpeningServiceStub
from atoll.scheduling.v1.protocol_pb2 import GateKind
from atoll.scheduling.v1.visit_pb2 import VisitStatus
from chassis.call import Call
from chassis.errors import Overloaded
from chassis.ids import from_wire, new_id, to_wire
from services.scheduling.domain.holds import OWN_COURSES_MAX, OWN_HOLDS_MAX, HoldOver
from services.scheduling.rpc.courses import hold_course_command
from services.scheduling.rpc.planners import Planners
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases.courses import hold_course
from services.scheduling.use_cases.holds import book_hold
from tests.support.scheduling import DAY, TEMPLATE, Clinic, local, open_clinic, open_scheduling, visit_choice
from tests.support.scheduling_merges import merge, unmerge
from tests.support.service import Running, refusal

FIRST = local(3, 2, 9)  # A Tuesday; it is Monday, nine o'clock.
FRIDAY = FIRST + 3 * DAY
MINUTE = timedelta(minutes=1)
GATED = {
    **TEMPLATE,
    "gates": [
        {"kind": "GATE_KIND_RIDE_HOME", "stage": "GATE_STAGE_CHECK_IN", "effect": "GATE_EFFECT_ALLOW_WITH_REASON"},
    ],
}


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    await svc.admin.execute("DELETE FROM hold")
    return await open_clinic(svc)


@dataclass
class Patient:
    """Somebody at their own screen."""

    clinic: Clinic
    id: str
    seen: list[Message] = field(default_factory=list)
    """Every answer."""

    @property
    def token(self) -> str:
        return self.clinic.svc.token("ROLE_PATIENT", subject=self.id, patient=self.id)

    async def ask(self, method: Any, request: Message) -> Any:
        answer = await self.clinic.svc.call(method, request, self.token)
        self.seen.append(answer)
        return answer

    async def plan(self, **changes: Any) -> pb.PlanCourseResponse:
        fields = {
            "site_id": self.clinic.site_id,
            "patient_id": self.id,
            "protocol_version_id": self.clinic.version_id,
            "route_code": "iv",
            "phases": [{"phase_code": "induction", "visit_count": 2}],
            "earliest_date": {"year": 2027, "month": 3, "day": 2},
            "latest_date": {"year": 2027, "month": 3, "day": 2},
        }
        request = ParseDict(fields | changes, pb.PlanCourseRequest())
        answer: pb.PlanCourseResponse = await self.ask(self.clinic.courses.PlanCourse, request)
        return answer

    async def hold(self, starts: Sequence[datetime], **changes: Any) -> pb.Course:
        request = self.clinic.hold_request(self.id, starts, **changes)
        course: pb.Course = (await self.ask(self.clinic.courses.HoldCourse, request)).course
        return course

    async def book(self, starts: Sequence[datetime], **where: str) -> pb.Course:
        request = self.clinic.request(self.id, self.clinic.treatments(starts, **where))
        course: pb.Course = (await self.ask(self.clinic.courses.BookCourse, request)).course
        return course

    async def book_hold(self, course_id: str) -> pb.Course:
        request = pb.BookHoldRequest(request_id=str(uuid4()), course_id=course_id)
        course: pb.Course = (await self.ask(self.clinic.courses.BookHold, request)).course
        return course

    async def release(self, course_id: str) -> pb.Course:
        request = pb.ReleaseHoldRequest(request_id=str(uuid4()), course_id=course_id)
        course: pb.Course = (await self.ask(self.clinic.courses.ReleaseHold, request)).course
        return course

    async def course(self, course_id: str) -> pb.Course:
        answer = await self.ask(self.clinic.courses.GetCourse, pb.GetCourseRequest(course_id=course_id))
        course: pb.Course = answer.course
        return course

    async def courses(self, **filters: Any) -> list[str]:
        answer = await self.ask(self.clinic.courses.ListCourses, pb.ListCoursesRequest(**filters))
        return [course.id for course in answer.courses]

    async def visit(self, visit_id: str) -> visit_service_pb2.GetVisitResponse:
        request = visit_service_pb2.GetVisitRequest(visit_id=visit_id)
        answer: visit_service_pb2.GetVisitResponse = await self.ask(self.clinic.visits.GetVisit, request)
        return answer

    async def confirm(self, visit_id: str) -> str:
        request = visit_service_pb2.ConfirmVisitRequest(request_id=str(uuid4()), visit_id=visit_id)
        return VisitStatus.Name((await self.ask(self.clinic.visits.ConfirmVisit, request)).visit.status)

    async def cancel(self, visit_id: str, reason: str = "PATIENT") -> str:
        request = visit_service_pb2.CancelVisitRequest(
            request_id=str(uuid4()),
            visit_id=visit_id,
            reason=events_pb2.CancellationReason.Value(f"CANCELLATION_REASON_{reason}"),
        )
        return VisitStatus.Name((await self.ask(self.clinic.visits.CancelVisit, request)).visit.status)

    async def gates(self, visit_id: str) -> gate_service_pb2.ListGatesResponse:
        stub: Any = self.clinic.svc.stub(GateServiceStub)
        answer: gate_service_pb2.ListGatesResponse = await self.ask(
            stub.ListGates, gate_service_pb2.ListGatesRequest(visit_id=visit_id)
        )
        return answer

    async def openings(self, patient_id: str = "", course_id: str = "") -> opening_service_pb2.FindOpeningsResponse:
        stub: Any = self.clinic.svc.stub(OpeningServiceStub)
        request = opening_service_pb2.FindOpeningsRequest(
            site_id=self.clinic.site_id,
            patient_id=patient_id or self.id,
            protocol_version_id=self.clinic.version_id,
            phase_code="induction",
            course_id=course_id,
            earliest_date={"year": 2027, "month": 3, "day": 2},
            latest_date={"year": 2027, "month": 3, "day": 8},
        )
        answer: opening_service_pb2.FindOpeningsResponse = await self.ask(stub.FindOpenings, request)
        return answer


async def patient_of(clinic: Clinic, *, cleared: bool = True) -> Patient:
    return Patient(clinic, await clinic.add_patient(cleared=cleared))


async def test_a_patient_plans_holds_books_and_sees_a_course_by_themselves(clinic: Clinic) -> None:
    me = await patient_of(clinic)
    plan = (await me.plan()).plans[0]
    asked = clinic.hold_request(me.id, [FIRST])
    del asked.visits[:]
    for each in plan.visits:
        asked.visits.add(phase_code=each.phase_code, start_time=each.start_time, resources=each.resources)
    held = (await me.ask(clinic.courses.HoldCourse, asked)).course
    assert len(held.visits) == 2
    booked = await me.book_hold(held.id)
    assert [visit.status for visit in booked.visits] == [VisitStatus.VISIT_STATUS_BOOKED] * 2
    assert await me.course(held.id) == booked
    assert await me.courses() == await me.courses(patient_id=me.id) == [held.id]
    assert (await me.visit(booked.visits[0].id)).visit == booked.visits[0]


async def test_what_a_patient_holds_they_may_give_up(clinic: Clinic) -> None:
    me = await patient_of(clinic)
    held = await me.hold([FIRST])
    released = await me.release(held.id)
    assert [visit.status for visit in released.visits] == [VisitStatus.VISIT_STATUS_EXPIRED]
    await (await patient_of(clinic)).hold([FIRST])


async def test_a_patient_books_an_assessment_without_a_clearance_and_treatment_with_one_only(clinic: Clinic) -> None:
    me = await patient_of(clinic, cleared=False)
    refused = await refusal(me.book([FIRST]))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "GATE_PENDING")
    talk = [visit_choice("assessment", FIRST, prescriber=clinic.prescriber)]
    await me.ask(clinic.courses.BookCourse, clinic.request(me.id, talk))
    await clinic.clear(me.id, route_codes=["nasal"])
    assert (await refusal(me.book([FRIDAY]))).reason == "CLEARANCE_MISSING"


async def test_a_patient_learns_before_they_pay_what_booking_would_refuse_and_a_desk_may_hold_all_the_same(
    clinic: Clinic,
) -> None:
    me = await patient_of(clinic, cleared=False)
    refused = await refusal(me.hold([FIRST]))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "GATE_PENDING")
    await clinic.svc.call(clinic.courses.HoldCourse, clinic.hold_request(me.id, [FIRST]))


async def test_an_adverse_event_of_theirs_pauses_a_patients_own_booking(clinic: Clinic) -> None:
    me = await patient_of(clinic)
    event = AdverseEventReported(adverse_event_id=to_wire("adverseevent", new_id()), patient_id=me.id)
    await clinic.svc.deliver(event, version=1)
    assert (await refusal(me.book([FIRST]))).reason == "COURSE_PAUSED"


async def test_a_patient_reads_what_the_chain_offers(clinic: Clinic) -> None:
    me = await patient_of(clinic)
    await clinic.add_protocol("not_yet")
    sites = (await me.ask(clinic.sites.ListSites, site_service_pb2.ListSitesRequest())).sites
    assert [site.id for site in sites] == [clinic.site_id]
    one = await me.ask(clinic.sites.GetSite, site_service_pb2.GetSiteRequest(site_id=clinic.site_id))
    assert one.site == sites[0]
    offered = await me.ask(clinic.protocols.ListAdoptions, protocols_pb.ListAdoptionsRequest(site_id=clinic.site_id))
    assert [each.protocol_version_id for each in offered.adoptions] == [clinic.version_id]
    listed = (await me.ask(clinic.protocols.ListProtocols, protocols_pb.ListProtocolsRequest())).protocols
    assert [each.code for each in listed] == ["iv_six"]
    assert {
        each.code
        for each in (
            await clinic.svc.call(clinic.protocols.ListProtocols, protocols_pb.ListProtocolsRequest())
        ).protocols
    } == {"iv_six", "not_yet"}


async def test_a_patient_is_not_told_what_is_the_clinics_own_affair(clinic: Clinic) -> None:
    """And whoever works there is."""
    clinic.version_id = await clinic.publish(GATED)
    await clinic.adopt()
    me = await patient_of(clinic)
    request = protocols_pb.GetProtocolVersionRequest(protocol_version_id=clinic.version_id)
    for token, told in ((me.token, False), (clinic.token(), True)):
        template = (
            await clinic.svc.call(clinic.protocols.GetProtocolVersion, request, token)
        ).protocol_version.template
        treatment = template.visit_types[1]
        assert [each.key for each in treatment.requirements] == ["nurse", "room"]
        assert [segment.minutes for segment in treatment.segments] == [10, 40, 30, 10]
        assert bool(treatment.requirements[0].capability) is told
        assert bool(treatment.segments[0].uses) is told
        assert bool(template.gates[0].effect) is told
        assert template.gates[0].kind


async def test_a_patient_is_not_told_who_at_the_clinic_did_something(clinic: Clinic) -> None:
    clinic.version_id = await clinic.publish(GATED)
    await clinic.adopt()
    me = await patient_of(clinic)
    booking = clinic.request(me.id, clinic.treatments([FIRST]))
    [visit] = (await clinic.book(booking, clinic.token(subject="desk"))).visits
    gates: Any = clinic.svc.stub(GateServiceStub)
    record = gate_service_pb2.RecordGateRequest(
        request_id=str(uuid4()), visit_id=visit.id, kind=GateKind.GATE_KIND_RIDE_HOME, passed=True
    )
    await clinic.svc.call(gates.RecordGate, record, clinic.token(subject="desk"))
    [change] = (await me.visit(visit.id)).status_changes
    assert (change.status, change.actor) == (VisitStatus.VISIT_STATUS_BOOKED, "")
    [gate] = (await me.gates(visit.id)).gates
    assert (gate.passed, gate.recorded_by, gate.effect) == (True, "", 0)
    seen = await clinic.svc.call(clinic.visits.GetVisit, visit_service_pb2.GetVisitRequest(visit_id=visit.id))
    assert seen.status_changes[0].actor == "desk"


async def test_a_replay_hides_from_a_patient_what_the_first_answer_hid(clinic: Clinic) -> None:
    me = await patient_of(clinic)
    request = clinic.hold_request(me.id, [FIRST])
    first, again = [await me.ask(clinic.courses.HoldCourse, request) for _ in range(2)]
    assert first == again


async def test_another_patient_in_a_request_is_denied_before_anything_is_looked_up(clinic: Clinic) -> None:
    me, other = await patient_of(clinic), await patient_of(clinic)
    absent = to_wire("patient", new_id())
    for id in (other.id, absent):
        asked = clinic.request(id, clinic.treatments([FIRST]))
        held = clinic.hold_request(id, [FIRST])
        for call in (
            me.ask(clinic.courses.BookCourse, asked),
            me.ask(clinic.courses.HoldCourse, held),
            me.plan(patient_id=id),
            me.openings(id),
            me.courses(patient_id=id),
        ):
            refused = await refusal(call)
            assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    assert await clinic.count("course") == 0


@pytest.mark.parametrize("whose", ["other patient", "other chain"])
async def test_what_is_anothers_is_answered_just_as_what_is_not_there(clinic: Clinic, whose: str) -> None:
    me, other = await patient_of(clinic), await patient_of(clinic)
    theirs, held = await other.book([FIRST]), await other.hold([FRIDAY])
    if whose == "other chain":
        clinic.svc.chain_id = new_id()
    visit = theirs.visits[0].id
    for answer in (me.course(theirs.id), me.book_hold(held.id), me.release(held.id)):
        assert (await refusal(answer)).reason == "COURSE_NOT_FOUND"
    for each in (me.visit(visit), me.confirm(visit), me.cancel(visit), me.gates(visit)):
        refused = await refusal(each)
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "VISIT_NOT_FOUND")
    assert await me.courses() == []
    if whose == "other patient":
        assert await me.courses(site_id=clinic.site_id) == []
        assert (await refusal(me.openings(course_id=theirs.id))).reason == "COURSE_NOT_FOUND"
        into = clinic.hold_request(me.id, [FRIDAY], course_id=theirs.id)
        assert (await refusal(me.ask(clinic.courses.HoldCourse, into))).reason == "COURSE_NOT_FOUND"
        assert [await other.course(id) for id in (theirs.id, held.id)] == [theirs, held]


async def test_what_is_taken_keeps_its_time_from_a_patient_who_sees_nothing_of_whose_it_is(clinic: Clinic) -> None:
    """Both nurses and rooms are taken on Tuesday morning: the plan goes round it, and no answer names who has it."""
    me, others = await patient_of(clinic), [await patient_of(clinic) for _ in range(2)]
    taken = [await other.book([FIRST], nurse=clinic.nurses[n], room=clinic.rooms[n]) for n, other in enumerate(others)]
    plan = (await me.plan()).plans[0]
    assert plan.visits[0].start_time.ToDatetime() != FIRST.replace(tzinfo=None)
    openings = (await me.openings()).openings
    assert FIRST.replace(tzinfo=None) not in [each.start_time.ToDatetime() for each in openings]
    assert openings
    refused = await refusal(me.book([FIRST]))
    assert refused.reason == "VISITS_CONFLICT"
    assert {rule for _, rule in refused.faults} == {"RESOURCE_TAKEN"}
    await me.hold([FIRST + 4 * 60 * MINUTE])
    said = [each.SerializeToString() for each in (*me.seen, *refused.details)]
    for course, other in zip(taken, others, strict=True):
        for id in (course.id, course.visits[0].id, other.id):
            assert not [each for each in said if id.encode() in each]


async def test_of_two_patients_who_want_one_slot_one_gets_it(clinic: Clinic) -> None:
    """Both have read the slot as free before either writes, without the locks of the door."""
    both_have_read = asyncio.Barrier(2)

    class Hesitant(SchedulingStore):
        async def taken(self, terms: Any, layouts: Any) -> Any:
            taken = await super().taken(terms, layouts)
            await both_have_read.wait()
            return taken

    async def hold(patient: Patient) -> object:
        request = clinic.hold_request(patient.id, [FIRST])
        command = hold_course_command(request)

        async def work(store: Hesitant) -> pb.HoldCourseResponse:
            await hold_course(store, command)
            return pb.HoldCourseResponse()

        return await clinic.svc.db.once(own_call(patient), request, pb.HoldCourseResponse, Hesitant, work)

    answers = await asyncio.gather(
        *(hold(each) for each in (await patient_of(clinic), await patient_of(clinic))), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in answers) == ["HoldCourseResponse", "VisitsConflict"]


def own_call(patient: Patient) -> Call:
    svc = patient.clinic.svc
    id = from_wire("patient", patient.id)
    return Call(svc.chain_id, None, patient.id, "own", str(uuid4()), AUDIT_PHI_READ, svc.now, patient_id=id)


async def rows(patient: Patient, query: str) -> list[Any]:
    """As a statement of theirs that forgot its WHERE."""
    async with clinic_transaction(patient) as conn:
        return [row[0] for row in await conn.fetch(query)]


def clinic_transaction(patient: Patient) -> Any:
    return patient.clinic.svc.db.transaction(own_call(patient))


PATIENTS = ("course", "visit", "presence", "hold", "task", "clearance", "adverse_event", "patient")
GATE_ROWS = (
    "INSERT INTO gate_record VALUES ($1, $2, 'GATE', $3, true, $4, 'somebody')",
    "INSERT INTO gate_override VALUES ($1, $2, 'GATE', 'STAGE', $3, 'a reason', $4, 'somebody')",
)
OF_VISITS = ("visit_status_change", "gate_record", "gate_override")


async def test_the_database_shows_a_patient_their_own_rows_only_whatever_a_statement_asks_for(clinic: Clinic) -> None:
    me, other = await patient_of(clinic), await patient_of(clinic)
    mine, theirs = await me.book([FIRST]), await other.book([FRIDAY])
    await me.hold([FIRST + 14 * DAY])
    await other.hold([FRIDAY + 14 * DAY])
    for course in (mine, theirs):
        values = (clinic.svc.chain_id, from_wire("visit", course.visits[0].id), clinic.site_uuid, clinic.svc.now)
        for statement in GATE_ROWS:
            await clinic.svc.admin.execute(statement, *values)
    own = {from_wire("patient", me.id)}
    for table in PATIENTS:
        found = await rows(me, f"SELECT patient_id FROM {table}")
        assert set(found) <= own, table
        assert found or table in ("task", "adverse_event"), table
    visits = set(await rows(me, "SELECT id FROM visit"))
    for table in OF_VISITS:
        assert set(await rows(me, f"SELECT visit_id FROM {table}")) <= visits, table
        assert await rows(me, f"SELECT visit_id FROM {table}"), table
    for table in ("site_change", "patient_merge"):
        assert await rows(me, f"SELECT chain_id FROM {table}") == []
    assert len(set(await rows(me, "SELECT visit_id FROM allocation"))) == 4  # When, of whom: times only.
    for statement in (
        "UPDATE visit SET status = 'X' WHERE id <> ALL (ARRAY(SELECT id FROM visit))",
        "DELETE FROM hold WHERE patient_id <> $1",
    ):
        async with clinic_transaction(me) as conn:
            own_id = [from_wire("patient", me.id)] if "$1" in statement else []
            assert (await conn.execute(statement, *own_id)).endswith(" 0")


async def allocated(clinic: Clinic) -> list[UUID]:
    """Visits that anything is allocated to."""
    found = await clinic.svc.admin.fetch(
        "SELECT DISTINCT visit_id FROM allocation WHERE chain_id = $1", clinic.svc.chain_id
    )
    return [row[0] for row in found]


async def test_a_patient_takes_nothing_away_that_another_has_booked(clinic: Clinic) -> None:
    me, other = await patient_of(clinic), await patient_of(clinic)
    await other.book([FIRST])
    mine = await me.book([FRIDAY])
    async with clinic_transaction(me) as conn:
        assert await conn.execute("UPDATE allocation SET held_until = now()") == "UPDATE 3"
        assert await conn.execute("DELETE FROM allocation") == "DELETE 3"
    [left] = await allocated(clinic)
    assert left != from_wire("visit", mine.visits[0].id)


async def test_a_patient_sees_and_changes_what_is_theirs_under_any_of_their_ids(clinic: Clinic) -> None:
    before, me = await patient_of(clinic), await patient_of(clinic)
    old = await before.book([FIRST])
    await merge(clinic, before.id, me.id)
    new = await me.book([FRIDAY])
    for each in (me, before):
        assert await each.courses() == [old.id, new.id]
        assert (await each.course(old.id)).id == old.id
    assert (await me.confirm(old.visits[0].id)) == "VISIT_STATUS_CONFIRMED"
    by_alias = await before.hold([FRIDAY + 7 * DAY])
    assert by_alias.patient_id == me.id
    stranger = await patient_of(clinic)
    assert await stranger.courses() == []
    aliases = "SELECT alias_id FROM patient_alias"
    assert set(await rows(before, aliases)) >= {from_wire("patient", before.id)}
    assert await rows(stranger, aliases) == []
    assert (await refusal(me.book([FIRST + 30 * MINUTE]))).reason == "VISITS_CONFLICT"


async def test_a_merge_taken_back_takes_away_what_was_the_others(clinic: Clinic) -> None:
    before, me = await patient_of(clinic), await patient_of(clinic)
    old = await before.book([FIRST])
    await merge(clinic, before.id, me.id)
    await unmerge(clinic, before.id, me.id)
    assert await me.courses() == []
    assert (await refusal(me.course(old.id))).reason == "COURSE_NOT_FOUND"


async def test_a_patient_confirms_and_cancels_their_own_visit_until_it_starts(clinic: Clinic) -> None:
    me = await patient_of(clinic)
    first, second, third = (await me.book([FIRST, FRIDAY, FIRST + 7 * DAY])).visits
    assert await me.confirm(first.id) == "VISIT_STATUS_CONFIRMED"
    for reason in ("CLINIC", "CLINICAL"):
        refused = await refusal(me.cancel(second.id, reason))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    assert await me.cancel(second.id) == "VISIT_STATUS_CANCELLED"
    told = [event for subject, event in await clinic.published() if subject.endswith("visit.cancelled")]
    assert [each.reason for each in told] == [events_pb2.CANCELLATION_REASON_PATIENT]
    await (await patient_of(clinic)).book([FRIDAY])
    clinic.svc.clock.now = FIRST
    assert (await refusal(me.cancel(first.id))).reason == "VISIT_STARTED"
    clinic.svc.clock.now = FIRST + 7 * DAY
    refused = await refusal(me.confirm(third.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "VISIT_STARTED")


async def test_whoever_works_at_the_clinic_cancels_after_the_start_still(clinic: Clinic) -> None:
    me = await patient_of(clinic)
    [visit] = (await me.book([FIRST])).visits
    clinic.svc.clock.now = FIRST + 10 * MINUTE
    request = visit_service_pb2.CancelVisitRequest(
        request_id=str(uuid4()), visit_id=visit.id, reason=events_pb2.CANCELLATION_REASON_CLINIC
    )
    await clinic.svc.call(clinic.visits.CancelVisit, request, clinic.token())


async def test_a_patient_holds_for_half_an_hour_at_most(clinic: Clinic) -> None:
    me = await patient_of(clinic)
    refused = await refusal(me.hold([FIRST], hold_minutes=31))
    assert (refused.code, refused.reason, refused.metadata["limit"]) == (
        StatusCode.FAILED_PRECONDITION,
        "HOLD_LIMIT",
        "MINUTES",
    )
    await me.hold([FIRST], hold_minutes=30)
    await clinic.hold(await clinic.add_patient(), [FRIDAY], hold_minutes=60)


async def test_a_patient_does_not_hold_again_and_again(clinic: Clinic) -> None:
    me = await patient_of(clinic)
    for _ in range(OWN_HOLDS_MAX):
        await me.release((await me.hold([FIRST])).id)
        clinic.svc.clock.now += MINUTE
    refused = await refusal(me.hold([FIRST]))
    assert (refused.reason, refused.metadata["limit"]) == ("HOLD_LIMIT", "DAY")
    await clinic.release_hold((await clinic.hold(me.id, [FIRST])).id)  # Somebody at the desk may.
    clinic.svc.clock.now += timedelta(hours=24) - OWN_HOLDS_MAX * MINUTE
    await me.hold([FRIDAY])


async def test_a_patient_has_so_many_courses_ahead_and_no_more(clinic: Clinic) -> None:
    me = await patient_of(clinic)
    days = [local(3, day, 9) for day in (2, 3, 4, 5)]
    booked = [await me.book([day]) for day in days[:OWN_COURSES_MAX]]
    for answer in (me.book([days[-1]]), me.hold([days[-1]])):
        refused = await refusal(answer)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "BOOKING_LIMIT")
    again = clinic.hold_request(me.id, [days[-1]], course_id=booked[0].id)
    await me.ask(clinic.courses.HoldCourse, again)  # Of a course that is there.
    await me.cancel(booked[1].visits[0].id)
    await me.book([local(3, 9, 9)])
    await clinic.book(clinic.request(me.id, clinic.treatments([local(3, 10, 9)])))
    clinic.svc.clock.now = local(3, 11, 9)  # All of them began, whatever became of them.
    await me.book([local(3, 12, 9)])


async def test_what_a_patient_holds_is_among_their_courses_ahead(clinic: Clinic) -> None:
    """Or else whoever holds first, books as many as they may, and then what they hold, has one more."""
    me = await patient_of(clinic)
    held = await me.hold([FIRST])
    booked = [await me.book([local(3, day, 9)]) for day in (3, 4)]
    assert (await refusal(me.book([local(3, 5, 9)]))).reason == "BOOKING_LIMIT"
    await me.book_hold(held.id)
    await me.cancel(booked[0].visits[0].id)
    await me.release((await me.hold([local(3, 5, 9)])).id)  # What is given up is none.
    await me.book([local(3, 9, 9)])


async def test_a_course_of_which_nothing_stands_is_one_more_of_a_patient(clinic: Clinic) -> None:
    """Or else whoever held and gave up again and again could book each of those courses."""
    me = await patient_of(clinic)
    given_up = await me.release((await me.hold([FIRST])).id)
    days = [local(3, day, 9) for day in (3, 4, 5)]
    booked = [await me.book([day]) for day in days]
    again = clinic.request(me.id, clinic.treatments([FIRST]), course_id=given_up.id)
    held = clinic.hold_request(me.id, [FIRST], course_id=given_up.id)
    for answer in (me.ask(clinic.courses.BookCourse, again), me.ask(clinic.courses.HoldCourse, held)):
        refused = await refusal(answer)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "BOOKING_LIMIT")
    await me.cancel(booked[0].visits[0].id)
    await me.ask(clinic.courses.BookCourse, again)


async def test_a_patient_plans_one_course_at_a_time(clinic: Clinic) -> None:
    planners, id = Planners(), from_wire("patient", (await patient_of(clinic)).id)
    with planners.turn(id):
        with pytest.raises(Overloaded), planners.turn(id):
            pass
        with planners.turn(UUID(int=1)), planners.turn(), planners.turn():
            pass
    with planners.turn(id):
        pass


async def test_a_hold_that_a_patient_cleared_away_is_not_booked(clinic: Clinic) -> None:
    """Its hold had ended; whoever held it asked to book before, by their call's clock, and waited for the locks."""
    slow, quick = await patient_of(clinic), await patient_of(clinic)
    held = await slow.hold([FIRST])
    before = own_call(slow)
    clinic.svc.clock.now += 16 * MINUTE
    await quick.hold([FIRST])

    async def work(store: SchedulingStore) -> None:
        await book_hold(store, from_wire("course", held.id))

    with pytest.raises(HoldOver):
        await clinic.svc.db.job(before, SchedulingStore, work)
    assert len(await allocated(clinic)) == 1


async def test_staff_who_are_patients_too_are_asked_for_nothing_more(clinic: Clinic) -> None:
    me = await patient_of(clinic)
    grants = {"ROLE_FRONT_DESK": [clinic.site_id], "ROLE_PATIENT": ["*"]}
    token = clinic.svc.token(grants=grants, patient=me.id)
    other = await clinic.add_patient()
    await clinic.book(clinic.request(other, clinic.treatments([FIRST])), token)
