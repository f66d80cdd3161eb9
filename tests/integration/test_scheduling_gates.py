"""Gates of visits at check-in and discharge, through the gRPC door."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from google.protobuf.json_format import ParseDict
from grpc import StatusCode

from atoll.billing.v1.events_pb2 import EstimateDelivered, EstimateDeliveryReturned, EstimateIssued, PaymentReceived
from atoll.scheduling.v1 import course_service_pb2, gate_pb2, protocol_pb2, visit_service_pb2
from atoll.scheduling.v1 import gate_service_pb2 as pb
from atoll.scheduling.v1.course_service_pb2 import Course
from atoll.scheduling.v1.events_pb2 import CANCELLATION_REASON_PATIENT, SegmentMinutes
from atoll.scheduling.v1.gate_service_pb2_grpc import GateServiceStub
from atoll.scheduling.v1.protocol_service_pb2 import AdoptProtocolVersionRequest
from atoll.scheduling.v1.visit_pb2 import VisitStatus
from chassis.ids import from_wire, new_id, to_wire
from chassis.migrate import migrate
from chassis.provision import provision
from chassis.times import to_timestamp
from services.scheduling.domain.protocols import GateKind
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases import record_gate
from tests.integration.test_scheduling_races import Waiting, until_a_lock_is_awaited
from tests.support.scheduling import DAY, TEMPLATE, Clinic, hours, local, open_clinic, open_scheduling, visit_choice
from tests.support.servers import as_administrator, drop, password_of
from tests.support.service import NOW, Running, refusal

FIRST = local(3, 2, 9)
CHECK_IN, DISCHARGE = "CHECK_IN", "DISCHARGE"


def gate(kind: str, effect: str, stage: str = CHECK_IN, *types: str) -> dict[str, Any]:
    return {
        "kind": f"GATE_KIND_{kind}",
        "stage": f"GATE_STAGE_{stage}",
        "effect": f"GATE_EFFECT_{effect}",
        "visit_type_codes": list(types or ("treatment",)),
    }


GATES = [
    gate("RIDE_HOME", "BLOCK"),
    gate("FASTING", "ALLOW_WITH_REASON"),
    gate("HISTORY_REVIEWED", "WARN"),
    gate("OBSERVATION_SERVED", "ALLOW_WITH_REASON", DISCHARGE),
]


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    clinic = await open_clinic(svc)
    await use(clinic, GATES)
    return clinic


async def use(clinic: Clinic, gates: list[dict[str, Any]]) -> None:
    clinic.version_id = await clinic.publish({**TEMPLATE, "gates": gates})
    await clinic.adopt()


async def booked(clinic: Clinic) -> str:
    course = await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    return course.visits[0].id


async def record(clinic: Clinic, visit_id: str, kind: str, *, passed: bool = True, token: str | None = None) -> Any:
    number = protocol_pb2.GateKind.Value(f"GATE_KIND_{kind}")
    request = pb.RecordGateRequest(request_id=str(uuid4()), visit_id=visit_id, kind=number, passed=passed)
    return await clinic.svc.call(clinic.svc.stub(GateServiceStub).RecordGate, request, token)


async def gates(clinic: Clinic, visit_id: str) -> dict[str, gate_pb2.GateState]:
    answer = await clinic.svc.call(clinic.svc.stub(GateServiceStub).ListGates, pb.ListGatesRequest(visit_id=visit_id))
    return {protocol_pb2.GateKind.Name(each.kind).removeprefix("GATE_KIND_"): each for each in answer.gates}


async def check_in(clinic: Clinic, visit_id: str, reason: str = "", token: str | None = None) -> Any:
    await clinic.wait_for(visit_id)
    request = visit_service_pb2.CheckInVisitRequest(request_id=str(uuid4()), visit_id=visit_id, gate_reason=reason)
    return await clinic.svc.call(clinic.visits.CheckInVisit, request, token)


async def complete(clinic: Clinic, visit_id: str, observed: int, reason: str = "") -> Any:
    kinds = protocol_pb2.SegmentKind
    minutes = (
        (kinds.SEGMENT_KIND_PREPARATION, 10),
        (kinds.SEGMENT_KIND_ADMINISTRATION, 40),
        (kinds.SEGMENT_KIND_OBSERVATION, observed),
    )
    request = visit_service_pb2.CompleteVisitRequest(
        request_id=str(uuid4()),
        visit_id=visit_id,
        segments=[SegmentMinutes(kind=kind, minutes=each) for kind, each in minutes],
        gate_reason=reason,
    )
    return await clinic.svc.call(clinic.visits.CompleteVisit, request, clinic.token("ROLE_NURSE"))


def names(states: Any) -> list[str]:
    return [protocol_pb2.GateKind.Name(each.kind).removeprefix("GATE_KIND_") for each in states]


async def test_a_patient_is_let_in_once_every_gate_is_passed_or_lets_them(clinic: Clinic) -> None:
    visit_id = await booked(clinic)
    refused = await refusal(check_in(clinic, visit_id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "GATES_NOT_PASSED")
    assert refused.faults == [("gates.RIDE_HOME", "BLOCKED"), ("gates.FASTING", "REASON_NEEDED")]
    assert await clinic.counts("gate_record", "gate_override") == [0, 0]
    for kind in ("RIDE_HOME", "FASTING"):
        await record(clinic, visit_id, kind, token=clinic.token())
    answer = await check_in(clinic, visit_id)
    assert names(answer.unpassed_gates) == ["HISTORY_REVIEWED"]
    assert answer.visit.status == 3
    assert await clinic.count("gate_override") == 0


async def test_what_is_recorded_last_counts_and_is_shown_with_who_saw_it(clinic: Clinic) -> None:
    visit_id = await booked(clinic)
    await record(clinic, visit_id, "RIDE_HOME")
    clinic.svc.clock.now = NOW + timedelta(hours=1)
    answer = await record(clinic, visit_id, "RIDE_HOME", passed=False, token=clinic.token("ROLE_NURSE", subject="ann"))
    shown = (await gates(clinic, visit_id))["RIDE_HOME"]
    assert list(answer.gates) == [shown]
    assert (shown.passed, shown.recorded_by) == (False, "ann")
    assert shown.record_time == to_timestamp(NOW + timedelta(hours=1))
    assert list(await gates(clinic, visit_id)) == ["RIDE_HOME", "FASTING", "HISTORY_REVIEWED", "OBSERVATION_SERVED"]


async def test_a_reason_lets_a_visit_go_on_and_is_kept(clinic: Clinic) -> None:
    visit_id = await booked(clinic)
    await record(clinic, visit_id, "RIDE_HOME")
    answer = await check_in(clinic, visit_id, reason="Ate four hours ago; lower dose agreed")
    assert names(answer.unpassed_gates) == ["FASTING", "HISTORY_REVIEWED"]
    shown = await gates(clinic, visit_id)
    assert shown["FASTING"].override_reason == "Ate four hours ago; lower dose agreed"
    assert not shown["HISTORY_REVIEWED"].override_reason


async def test_who_was_watched_too_briefly_leaves_for_a_reason_only(clinic: Clinic) -> None:
    visit_id = await booked(clinic)
    await record(clinic, visit_id, "RIDE_HOME")
    await check_in(clinic, visit_id, reason="Agreed")
    clinic.svc.clock.now = FIRST + timedelta(hours=2)
    refused = await refusal(complete(clinic, visit_id, observed=29))
    assert refused.faults == [("gates.OBSERVATION_SERVED", "REASON_NEEDED")]
    answer = await complete(clinic, visit_id, observed=29, reason="Left against advice")
    assert names(answer.unpassed_gates) == ["OBSERVATION_SERVED"]
    assert answer.visit.status == 6


async def test_who_was_watched_for_as_long_as_planned_leaves(clinic: Clinic) -> None:
    visit_id = await booked(clinic)
    await record(clinic, visit_id, "RIDE_HOME")
    await check_in(clinic, visit_id, reason="Agreed")
    clinic.svc.clock.now = FIRST + timedelta(hours=2)
    assert not (await complete(clinic, visit_id, observed=30)).unpassed_gates


async def test_a_site_that_asks_for_more_has_its_own_gates_and_minutes(clinic: Clinic) -> None:
    stricter = {**TEMPLATE, "gates": [{**each, "effect": "GATE_EFFECT_BLOCK"} for each in GATES]}
    request = AdoptProtocolVersionRequest(
        request_id=str(uuid4()),
        site_id=clinic.site_id,
        protocol_version_id=clinic.version_id,
        narrowed_template=ParseDict(stricter, protocol_pb2.ProtocolTemplate()),
    )
    request.narrowed_template.visit_types[1].segments[2].minutes = 45
    await clinic.svc.call(clinic.protocols.AdoptProtocolVersion, request)
    visit_id = await booked(clinic)
    refused = await refusal(check_in(clinic, visit_id, reason="Agreed"))
    assert [rule for _, rule in refused.faults] == ["BLOCKED"] * 3
    for kind in ("RIDE_HOME", "FASTING", "HISTORY_REVIEWED"):
        await record(clinic, visit_id, kind)
    await check_in(clinic, visit_id)
    clinic.svc.clock.now = FIRST + timedelta(hours=2)
    assert (await refusal(complete(clinic, visit_id, observed=44))).reason == "GATES_NOT_PASSED"
    await complete(clinic, visit_id, observed=45)


async def test_a_deposit_is_passed_by_what_billing_tells_and_by_nobody_else(clinic: Clinic) -> None:
    await use(clinic, [gate("DEPOSIT_PAID", "BLOCK")])
    course = await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    visit_id = course.visits[0].id
    assert (await refusal(check_in(clinic, visit_id))).faults == [("gates.DEPOSIT_PAID", "BLOCKED")]
    by_hand = await refusal(record(clinic, visit_id, "DEPOSIT_PAID"))
    assert (by_hand.code, by_hand.reason) == (StatusCode.INVALID_ARGUMENT, "GATE_NOT_RECORDED_BY_HAND")
    part = PaymentReceived(payment_id=to_wire("payment", new_id()), course_id=course.id)
    await clinic.svc.deliver(part)
    assert (await refusal(check_in(clinic, visit_id))).reason == "GATES_NOT_PASSED"
    await clinic.svc.deliver(PaymentReceived(payment_id=part.payment_id, course_id=course.id, deposit_covered=True))
    assert (await gates(clinic, visit_id))["DEPOSIT_PAID"].recorded_by == "billing"
    await check_in(clinic, visit_id)


async def test_an_estimate_is_delivered_when_billing_tells_so_and_in_writing_only(clinic: Clinic) -> None:
    await use(clinic, [gate("ESTIMATE_DELIVERED", "BLOCK")])
    course = await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    visit_id = course.visits[0].id
    by_hand = await refusal(record(clinic, visit_id, "ESTIMATE_DELIVERED"))
    assert (by_hand.code, by_hand.reason) == (StatusCode.INVALID_ARGUMENT, "GATE_NOT_RECORDED_BY_HAND")

    def delivered(hours: int, **changes: Any) -> EstimateDelivered:
        at = to_timestamp(NOW + timedelta(hours=hours))
        fields: dict[str, Any] = {"course_id": course.id, "deliver_time": at}
        return EstimateDelivered(**fields | changes)

    await clinic.svc.deliver(delivered(0))
    await clinic.svc.deliver(delivered(0, course_id="", written=True))
    assert (await refusal(check_in(clinic, visit_id))).faults == [("gates.ESTIMATE_DELIVERED", "BLOCKED")]
    for hour in (1, 2):
        await clinic.svc.deliver(delivered(hour, written=True))
    shown = (await gates(clinic, visit_id))["ESTIMATE_DELIVERED"]
    assert (shown.recorded_by, shown.record_time) == ("billing", to_timestamp(NOW + timedelta(hours=1)))
    await check_in(clinic, visit_id)


async def test_an_estimate_that_the_law_asks_for_anew_has_to_be_delivered_anew(clinic: Clinic) -> None:
    await use(clinic, [gate("ESTIMATE_DELIVERED", "BLOCK")])
    course = await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    visit_id, at = course.visits[0].id, to_timestamp(NOW)
    await clinic.svc.deliver(EstimateDelivered(course_id=course.id, written=True, deliver_time=at), version=1)
    # Too late to ask for: that before is the measure.
    await clinic.svc.deliver(EstimateIssued(course_id=course.id), version=2)
    assert (await gates(clinic, visit_id))["ESTIMATE_DELIVERED"].passed
    clinic.svc.clock.now = NOW + timedelta(hours=1)
    await clinic.svc.deliver(EstimateIssued(course_id=course.id, due_time=at), version=3)
    assert (await refusal(check_in(clinic, visit_id))).faults == [("gates.ESTIMATE_DELIVERED", "BLOCKED")]
    later = to_timestamp(NOW + timedelta(hours=2))
    await clinic.svc.deliver(EstimateDelivered(course_id=course.id, written=True, deliver_time=later))
    await check_in(clinic, visit_id)


ESTIMATE_STORIES: dict[str, tuple[list[str], bool]] = {
    "is delivered": (["issued 1", "delivered 1 a"], True),
    "is emailed and comes back": (["issued 1", "delivered 1 a", "returned 1 a"], False),
    "comes back, and is delivered again": (["issued 1", "delivered 1 a", "returned 1 a", "delivered 1 b"], True),
    "comes back, and its delivery is told again": (["delivered 1 a", "returned 1 a", "delivered 1 a"], False),
    "comes back, and was delivered before": (["delivered 1 b", "delivered 1 a", "returned 1 a"], True),
    "is asked for anew": (["issued 1", "delivered 1 a", "issued 2"], False),
    "is asked for anew, and delivered": (["issued 1", "delivered 1 a", "issued 2", "delivered 2 b"], True),
    "comes back though an earlier one stands": (["delivered 1 a", "issued 2", "delivered 2 b", "returned 2 b"], False),
}


@pytest.mark.parametrize("story", ESTIMATE_STORIES)
async def test_in_whatever_order_it_is_heard_what_stands_of_an_estimate_passes_its_gate(
    clinic: Clinic, story: str
) -> None:
    await use(clinic, [gate("ESTIMATE_DELIVERED", "BLOCK")])
    told, passes = ESTIMATE_STORIES[story]
    course = await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    for order in permutations(told):
        await clinic.svc.admin.execute("DELETE FROM estimate_delivery")
        await clinic.svc.admin.execute("UPDATE course SET estimate_version = 0, estimate_delivered_at = NULL")
        ids = {name: to_wire("estimatedelivery", new_id()) for name in ("a", "b")}
        for each in order:
            fact, version, *of = each.split()
            event = {
                "issued": EstimateIssued(course_id=course.id, due_time=to_timestamp(NOW)),
                "delivered": EstimateDelivered(course_id=course.id, written=True, deliver_time=to_timestamp(NOW)),
                "returned": EstimateDeliveryReturned(course_id=course.id),
            }[fact]
            if isinstance(event, EstimateDelivered | EstimateDeliveryReturned):
                event.delivery_id = ids[of[0]]
            await clinic.svc.deliver(event, version=int(version))
        assert (await gates(clinic, course.visits[0].id))["ESTIMATE_DELIVERED"].passed is passes, order


async def test_what_comes_back_of_a_request_or_of_a_course_that_is_not_there_changes_nothing(clinic: Clinic) -> None:
    delivery_id = to_wire("estimatedelivery", new_id())
    for course_id in ("", to_wire("course", new_id())):
        await clinic.svc.deliver(EstimateDeliveryReturned(course_id=course_id, delivery_id=delivery_id), version=1)
        id = from_wire("estimatedelivery", delivery_id)
        assert await clinic.svc.admin.fetch("SELECT FROM estimate_delivery WHERE id = $1", id) == []


async def test_who_lets_a_patient_in_waits_for_what_is_recorded_at_that_moment_and_counts_it(clinic: Clinic) -> None:
    """One desk finds that there is no ride home, while the other lets them in."""
    visit_id = await booked(clinic)
    for kind in ("RIDE_HOME", "FASTING"):
        await record(clinic, visit_id, kind)
    not_passed = partial(record_gate, visit_id=from_wire("visit", visit_id), kind=GateKind.RIDE_HOME, passed=False)
    recording = Waiting(not_passed)
    first = asyncio.create_task(clinic.svc.db.job(clinic.svc.inside("RecordGate"), SchedulingStore, recording))
    await recording.done.wait()
    second = asyncio.create_task(refusal(check_in(clinic, visit_id)))
    await until_a_lock_is_awaited(clinic)
    recording.commit.set()
    await first
    assert (await second).faults == [("gates.RIDE_HOME", "BLOCKED")]


async def test_a_gate_that_a_visit_does_not_have_is_refused(clinic: Clinic) -> None:
    refused = await refusal(record(clinic, await booked(clinic), "REMS"))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "GATE_NOT_OF_VISIT")
    missing = await refusal(record(clinic, to_wire("visit", new_id()), "RIDE_HOME"))
    assert (missing.code, missing.reason) == (StatusCode.NOT_FOUND, "VISIT_NOT_FOUND")
    missing = await refusal(gates(clinic, to_wire("visit", new_id())))
    assert (missing.code, missing.reason) == (StatusCode.NOT_FOUND, "VISIT_NOT_FOUND")
    assert await clinic.count("gate_record") == 0


async def test_nothing_is_recorded_of_a_visit_that_is_over(clinic: Clinic) -> None:
    visit_id = await booked(clinic)
    cancel = visit_service_pb2.CancelVisitRequest(
        request_id=str(uuid4()), visit_id=visit_id, reason=CANCELLATION_REASON_PATIENT
    )
    await clinic.svc.call(clinic.visits.CancelVisit, cancel)
    refused = await refusal(record(clinic, visit_id, "RIDE_HOME"))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "VISIT_STATUS_CONFLICT")
    assert await clinic.count("gate_record") == 0


async def test_who_is_not_of_the_site_neither_sees_nor_records_gates(clinic: Clinic) -> None:
    visit_id = await booked(clinic)
    elsewhere = clinic.token("ROLE_NURSE", await clinic.add_site("bld"))
    assert (await refusal(record(clinic, visit_id, "RIDE_HOME", token=elsewhere))).reason == "VISIT_NOT_FOUND"
    assert (await refusal(record(clinic, visit_id, "RIDE_HOME", token=clinic.token("ROLE_BILLING")))).code is (
        StatusCode.PERMISSION_DENIED
    )


async def test_a_recording_sent_twice_is_one(clinic: Clinic) -> None:
    visit_id = await booked(clinic)
    kind = protocol_pb2.GATE_KIND_RIDE_HOME
    request = pb.RecordGateRequest(request_id=str(uuid4()), visit_id=visit_id, kind=kind, passed=True)
    stub = clinic.svc.stub(GateServiceStub)
    first = await clinic.svc.call(stub.RecordGate, request)
    clinic.svc.clock.now = NOW + timedelta(hours=1)
    assert await clinic.svc.call(stub.RecordGate, request) == first


async def test_what_was_delivered_before_the_migration_stands(postgres_url: str) -> None:
    urls = await provision(
        postgres_url, "scheduling", database=f"delivered_{uuid4().hex[:12]}", password=password_of(postgres_url)
    )
    admin = await asyncpg.connect(as_administrator(postgres_url, urls))
    await migrate(urls.owner, "scheduling", "0016")
    await admin.execute("SET session_replication_role = replica")  # Without foreign keys.
    courses = [(new_id(), new_id(), at) for at in (NOW, NOW, None)]
    await admin.executemany(
        "INSERT INTO course (chain_id, id, site_id, patient_id, protocol_version_id, route_code, version,"
        " estimate_delivered_at) VALUES ($1, $2, $2, $2, $2, 'iv', 1, $3)",
        courses,
    )
    await migrate(urls.owner, "scheduling", "0017")
    found = await admin.fetch("SELECT chain_id, course_id, delivered_at FROM estimate_delivery WHERE NOT returned")
    forced = await admin.fetchval("SELECT relforcerowsecurity FROM pg_class WHERE relname = 'course'")
    await admin.close()
    await drop(postgres_url, urls)
    assert {tuple(row) for row in found} == set(courses[:2])
    assert forced is True


async def test_a_dated_gate_stands_before_the_visits_of_its_days_at_the_site(clinic: Clinic) -> None:
    """What may be prescribed by telemedicine until a day, and from the next on for those only who were examined."""
    first = {"year": 2027, "month": 3, "day": 5}
    warning = gate("TELEMEDICINE", "WARN", CHECK_IN, "talk") | {"expire_date": first | {"day": 4}}
    await use(clinic, [warning, gate("TELEMEDICINE", "BLOCK", CHECK_IN, "talk") | {"effective_date": first}])
    late = hours(8, 24)
    site = await clinic.add_site("late", opening_hours=late)
    doctor = await clinic.add_resource("STAFF", "Doctor", site_id=site, capabilities=["prescriber"], working_hours=late)
    await clinic.adopt(site_id=site)
    evenings = (local(3, 4, 20), local(3, 5, 20))  # In UTC it is the next day.
    patient = await clinic.add_patient()
    talks = [visit_choice("assessment", evening, prescriber=doctor) for evening in evenings]
    course = await clinic.book(clinic.request(patient, talks, site_id=site))
    before, after = (visit.id for visit in course.visits)
    assert [(each.effect, each.passed) for each in (await gates(clinic, before)).values()] == [
        (protocol_pb2.GATE_EFFECT_WARN, False)
    ]
    assert names((await check_in(clinic, before)).unpassed_gates) == ["TELEMEDICINE"]
    refused = await refusal(check_in(clinic, after))
    assert (refused.reason, refused.faults) == ("GATES_NOT_PASSED", [("gates.TELEMEDICINE", "BLOCKED")])
    [state] = (await record(clinic, after, "TELEMEDICINE")).gates
    assert (state.effect, state.passed) == (protocol_pb2.GATE_EFFECT_BLOCK, True)
    assert names((await check_in(clinic, after)).unpassed_gates) == []


async def test_a_gate_of_other_days_is_none_of_the_visit(clinic: Clinic) -> None:
    await use(clinic, [gate("TELEMEDICINE", "BLOCK") | {"effective_date": {"year": 2027, "month": 3, "day": 3}}])
    visit_id = await booked(clinic)
    assert await gates(clinic, visit_id) == {}
    assert (await refusal(record(clinic, visit_id, "TELEMEDICINE"))).reason == "GATE_NOT_OF_VISIT"
    assert names((await check_in(clinic, visit_id)).unpassed_gates) == []


BOOKING = "BOOKING"


def paid(course_id: str) -> PaymentReceived:
    return PaymentReceived(course_id=course_id, deposit_covered=True)


async def held(clinic: Clinic, *starts: datetime) -> Course:
    return await clinic.hold(await clinic.add_patient(), starts or [FIRST])


async def statuses(clinic: Clinic, course: Course) -> list[str]:
    request = course_service_pb2.GetCourseRequest(course_id=course.id)
    found = (await clinic.svc.call(clinic.courses.GetCourse, request)).course.visits
    return [VisitStatus.Name(each.status).removeprefix("VISIT_STATUS_") for each in found]


async def test_a_hold_is_booked_once_its_deposit_is_paid(clinic: Clinic) -> None:
    """The deposit names the course that is held; until it is heard of, whoever books asks again."""
    await use(clinic, [gate("DEPOSIT_PAID", "BLOCK", BOOKING)])
    course = await held(clinic, FIRST, FIRST + 3 * DAY)
    refused = await refusal(clinic.book_hold(course.id))
    assert (refused.code, refused.reason, refused.retry) == (StatusCode.FAILED_PRECONDITION, "GATE_PENDING", True)
    assert refused.faults == [(f"visits[{n}].gates.DEPOSIT_PAID", "BLOCKED") for n in (0, 1)]
    assert await statuses(clinic, course) == ["HELD", "HELD"]
    await clinic.svc.deliver(paid(to_wire("course", new_id())))
    own = clinic.svc.token("ROLE_PATIENT", patient=course.patient_id)
    assert (await refusal(clinic.book_hold(course.id, own))).reason == "GATE_PENDING"
    await clinic.svc.deliver(paid(course.id))
    await clinic.book_hold(course.id, own)
    assert await statuses(clinic, course) == ["BOOKED", "BOOKED"]


async def test_a_booking_is_held_up_by_what_is_not_passed_and_goes_on_for_a_reason(clinic: Clinic) -> None:
    wanted = [("DEPOSIT_PAID", "BLOCK"), ("HISTORY_REVIEWED", "BLOCK"), ("RIDE_HOME", "ALLOW_WITH_REASON")]
    await use(clinic, [gate(kind, effect, BOOKING) for kind, effect in wanted] + [gate("REMS", "WARN", BOOKING)])
    course = await held(clinic)
    [visit] = course.visits
    refused = await refusal(clinic.book_hold(course.id))
    assert (refused.reason, refused.retry) == ("GATES_NOT_PASSED", False)
    assert refused.faults == [
        ("visits[0].gates.DEPOSIT_PAID", "BLOCKED"),
        ("visits[0].gates.HISTORY_REVIEWED", "BLOCKED"),
        ("visits[0].gates.RIDE_HOME", "REASON_NEEDED"),
    ]
    await record(clinic, visit.id, "HISTORY_REVIEWED")
    await clinic.svc.deliver(paid(course.id))
    refused = await refusal(clinic.book_hold(course.id))
    assert (refused.reason, refused.faults) == ("GATES_NOT_PASSED", [("visits[0].gates.RIDE_HOME", "REASON_NEEDED")])
    reasoned = course_service_pb2.BookHoldRequest(
        request_id=str(uuid4()), course_id=course.id, gate_reason="Lives next door"
    )
    own = clinic.svc.token("ROLE_PATIENT", patient=course.patient_id)
    assert (await refusal(clinic.svc.call(clinic.courses.BookHold, reasoned, own))).reason == "ACCESS_DENIED"
    assert await statuses(clinic, course) == ["HELD"]
    await clinic.svc.call(clinic.courses.BookHold, reasoned, clinic.token())
    assert await statuses(clinic, course) == ["BOOKED"]
    shown = await gates(clinic, visit.id)
    assert (shown["RIDE_HOME"].override_reason, shown["REMS"].passed) == ("Lives next door", False)
    assert names((await check_in(clinic, visit.id)).unpassed_gates) == []


async def test_what_is_booked_at_once_needs_what_is_known_of_it(clinic: Clinic) -> None:
    """A course that is there may have its deposit; whatever else would be recorded of a visit needs a hold first."""
    await use(clinic, [gate("DEPOSIT_PAID", "BLOCK", BOOKING)])
    patient = await clinic.add_patient()
    request = clinic.request(patient, clinic.treatments([FIRST + 3 * DAY]))
    assert (await refusal(clinic.book(request))).reason == "GATE_PENDING"
    assert await clinic.counts("course", "visit") == [0, 0]
    talk = visit_choice("assessment", FIRST, prescriber=clinic.prescriber)
    course = await clinic.book(clinic.request(patient, [talk]))
    request.course_id = course.id
    assert (await refusal(clinic.book(request))).reason == "GATE_PENDING"
    single = visit_service_pb2.BookVisitRequest(
        request_id=str(uuid4()),
        site_id=clinic.site_id,
        patient_id=patient,
        protocol_version_id=clinic.version_id,
        visit_type_code="treatment",
        course_id=course.id,
        start_time=to_timestamp(FIRST + DAY),
        resources=clinic.treatments([FIRST])[0].resources,
    )
    assert (await refusal(clinic.svc.call(clinic.visits.BookVisit, single))).reason == "GATE_PENDING"
    await clinic.svc.deliver(paid(course.id))
    assert len((await clinic.book(request)).visits) == 2
    await clinic.svc.call(clinic.visits.BookVisit, single)
    await use(clinic, [gate("RIDE_HOME", "ALLOW_WITH_REASON", BOOKING)])
    refused = await refusal(clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST]))))
    assert (refused.reason, refused.faults) == ("GATES_NOT_PASSED", [("visits[0].gates.RIDE_HOME", "REASON_NEEDED")])
