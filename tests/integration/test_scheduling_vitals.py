"""Gates of visits that follow the vital signs of which patients tells, through the gRPC door."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest_asyncio
from grpc import StatusCode

from atoll.patients.v1.events_pb2 import (
    MeasureRecorded,
    MeasureRetracted,
    PatientAnonymised,
    PatientMerged,
    PatientUnmerged,
    VitalSignsTaken,
)
from atoll.patients.v1.measure_pb2 import VitalSign
from atoll.scheduling.v1 import gate_pb2
from atoll.scheduling.v1 import gate_service_pb2 as pb
from atoll.scheduling.v1 import visit_service_pb2 as visits_pb
from atoll.scheduling.v1.gate_service_pb2_grpc import GateServiceStub
from atoll.scheduling.v1.protocol_pb2 import GateKind
from atoll.scheduling.v1.visit_pb2 import VisitStatus
from chassis.housekeeping import sweep
from chassis.ids import new_id, to_wire
from chassis.pool import open_pool
from chassis.times import to_timestamp
from services.scheduling.tables import VITALS_KEPT, vital_signs
from tests.support.scheduling import TEMPLATE, Clinic, local, open_clinic, open_scheduling
from tests.support.service import Running, refusal

FIRST = local(3, 2, 9)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LEFT_OPEN = [("gates.VITALS", "BLOCKED")]
PRESSURE, HEART = VitalSign.VITAL_SIGN_SYSTOLIC_PRESSURE, VitalSign.VITAL_SIGN_HEART_RATE
SIGNS = frozenset({PRESSURE, HEART, VitalSign.VITAL_SIGN_OXYGEN_SATURATION})


def gate(stage: str, effect: str = "BLOCK") -> dict[str, Any]:
    types = ["treatment"]
    kind = {"kind": "GATE_KIND_VITALS", "stage": f"GATE_STAGE_{stage}", "effect": f"GATE_EFFECT_{effect}"}
    return kind | {"visit_type_codes": types}


@dataclass
class Desk:
    """A clinic whose treatments ask for vitals, a patient with one, and what patients tells of them."""

    clinic: Clinic
    patient_id: str = ""
    visit_id: str = ""

    async def open(self, *gates: dict[str, Any]) -> None:
        self.clinic.version_id = await self.clinic.publish({**TEMPLATE, "gates": list(gates)})
        await self.clinic.adopt()
        self.patient_id = await self.clinic.add_patient()
        course = await self.clinic.book(self.clinic.request(self.patient_id, self.clinic.treatments([FIRST])))
        self.visit_id = course.visits[0].id
        self.clinic.svc.clock.now = FIRST - 10 * MINUTE

    async def at(self, instant: datetime) -> None:
        self.clinic.svc.clock.now = instant

    async def tell(self, *events: Any) -> None:
        for event in events:
            event.ClearField("meta")
            await self.clinic.svc.deliver(event)

    def signs(
        self,
        at: datetime | None = None,
        beyond: Iterable[VitalSign.ValueType] = (),
        taken: Iterable[VitalSign.ValueType] = SIGNS,
        patient_id: str = "",
    ) -> MeasureRecorded:
        """Taken now, within limits, unless told otherwise."""
        return MeasureRecorded(
            measure_id=to_wire("measure", new_id()),
            patient_id=patient_id or self.patient_id,
            measure_time=to_timestamp(at or self.clinic.svc.clock.now),
            vital_signs=VitalSignsTaken(within_limits=set(taken) - set(beyond), beyond_limits=set(beyond)),
        )

    async def measure(self, *args: Any, **changes: Any) -> MeasureRecorded:
        event = self.signs(*args, **changes)
        await self.tell(event)
        return event

    async def record(self, *, passed: bool = True) -> Any:
        request = pb.RecordGateRequest(
            request_id=str(uuid4()), visit_id=self.visit_id, kind=GateKind.GATE_KIND_VITALS, passed=passed
        )
        return await self.clinic.svc.call(self.clinic.svc.stub(GateServiceStub).RecordGate, request)

    async def gates(self, token: str | None = None) -> list[gate_pb2.GateState]:
        request = pb.ListGatesRequest(visit_id=self.visit_id)
        answer = await self.clinic.svc.call(self.clinic.svc.stub(GateServiceStub).ListGates, request, token)
        return list(answer.gates)

    async def gate(self, token: str | None = None) -> gate_pb2.GateState:
        [state] = await self.gates(token)
        return state

    async def stand(self) -> tuple[bool, str]:
        """Of the only gate: whether it is passed, and who says so."""
        state = await self.gate()
        return state.passed, state.recorded_by

    async def check_in(self) -> Any:
        request = visits_pb.CheckInVisitRequest(request_id=str(uuid4()), visit_id=self.visit_id)
        return await self.clinic.svc.call(self.clinic.visits.CheckInVisit, request)

    async def treat(self) -> None:
        """Checks in, and begins treatment at the visit's start."""
        await self.check_in()
        await self.at(FIRST)
        request = visits_pb.StartTreatmentRequest(request_id=str(uuid4()), visit_id=self.visit_id)
        await self.clinic.svc.call(self.clinic.visits.StartTreatment, request, self.clinic.token("ROLE_NURSE"))

    async def complete(self, reason: str = "") -> Any:
        request = visits_pb.CompleteVisitRequest(request_id=str(uuid4()), visit_id=self.visit_id, gate_reason=reason)
        return await self.clinic.svc.call(self.clinic.visits.CompleteVisit, request, self.clinic.token("ROLE_NURSE"))


def retraction(recorded: MeasureRecorded) -> MeasureRetracted:
    return MeasureRetracted(measure_id=recorded.measure_id, patient_id=recorded.patient_id)


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


async def desk_with(svc: Running, *gates: dict[str, Any]) -> Desk:
    desk = Desk(await open_clinic(svc))
    await desk.open(*gates)
    return desk


@pytest_asyncio.fixture
async def desk(svc: Running) -> Desk:
    return await desk_with(svc, gate("CHECK_IN"))


@pytest_asyncio.fixture
async def leaving(svc: Running) -> Desk:
    """Treatment has begun, and vitals are looked at at its end."""
    desk = await desk_with(svc, gate("DISCHARGE"))
    await desk.treat()
    return desk


async def test_who_was_measured_within_limits_is_let_in(desk: Desk) -> None:
    refused = await refusal(desk.check_in())
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "GATES_NOT_PASSED")
    assert refused.faults == LEFT_OPEN
    taken = await desk.measure()
    state = await desk.gate()
    assert (state.passed, state.recorded_by, state.record_time) == (True, "patients", taken.measure_time)
    assert (await desk.check_in()).visit.status == VisitStatus.VISIT_STATUS_CHECKED_IN


async def test_who_was_measured_beyond_limits_is_let_in_once_they_are_within(desk: Desk) -> None:
    await desk.measure(FIRST - 30 * MINUTE, beyond=[PRESSURE])
    assert await desk.stand() == (False, "patients")
    await desk.measure(FIRST - 20 * MINUTE, taken=[HEART])
    assert (await refusal(desk.check_in())).faults == LEFT_OPEN
    await desk.measure(FIRST - 15 * MINUTE, taken=[PRESSURE])
    assert await desk.stand() == (True, "patients")
    await desk.check_in()


async def test_what_was_retracted_counts_no_more(desk: Desk) -> None:
    await desk.measure(FIRST - 30 * MINUTE)
    wrong = await desk.measure(FIRST - 20 * MINUTE, beyond=[HEART])
    assert await desk.stand() == (False, "patients")
    await desk.tell(retraction(wrong))
    assert await desk.stand() == (True, "patients")


async def test_nobody_records_by_hand_what_was_measured(desk: Desk) -> None:
    await desk.measure(beyond=[PRESSURE])
    refused = await refusal(desk.record())
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "GATE_FOLLOWS_VITALS")
    assert refused.faults == [("kind", "FOLLOWS_VITALS")]
    assert await desk.clinic.count("gate_record") == 0


async def test_where_nothing_was_measured_it_is_recorded_by_hand_until_something_is(desk: Desk) -> None:
    answer = await desk.record()
    assert [each.passed for each in answer.gates] == [True]
    assert await desk.stand() == (True, "user")
    taken = await desk.measure(beyond=[PRESSURE])
    assert (await refusal(desk.check_in())).faults == LEFT_OPEN
    await desk.tell(retraction(taken))
    assert await desk.stand() == (True, "user")
    await desk.check_in()


async def test_those_of_another_day_are_nothing_at_check_in(desk: Desk) -> None:
    await desk.measure(local(3, 1, 23, 59))
    await desk.record()
    assert await desk.stand() == (True, "user")
    await desk.measure(local(3, 2, 0), beyond=[PRESSURE])
    assert await desk.stand() == (False, "patients")


async def test_who_was_measured_within_limits_since_treatment_began_goes_home(leaving: Desk) -> None:
    await leaving.at(FIRST + HOUR)
    assert (await refusal(leaving.complete())).faults == LEFT_OPEN
    await leaving.measure(FIRST - MINUTE)
    assert (await refusal(leaving.complete())).faults == LEFT_OPEN
    await leaving.measure(FIRST + 45 * MINUTE, beyond=[PRESSURE])
    assert (await refusal(leaving.complete())).faults == LEFT_OPEN
    taken = await leaving.measure()
    assert (await leaving.complete()).visit.status == VisitStatus.VISIT_STATUS_COMPLETED
    state = await leaving.gate()
    assert (state.passed, state.recorded_by, state.record_time) == (True, "patients", taken.measure_time)


async def test_what_was_recorded_by_hand_before_treatment_lets_nobody_go_home(svc: Running) -> None:
    desk = await desk_with(svc, gate("DISCHARGE"))
    await desk.record()
    await desk.treat()
    await desk.at(FIRST + HOUR)
    assert (await refusal(desk.complete())).faults == LEFT_OPEN
    answer = await desk.record()
    assert [each.passed for each in answer.gates] == [True]
    await desk.complete()


async def test_each_stage_looks_at_its_own(svc: Running) -> None:
    desk = await desk_with(svc, gate("CHECK_IN"), gate("DISCHARGE"))
    await desk.measure()
    await desk.treat()
    assert [each.passed for each in await desk.gates()] == [True, False]
    await desk.measure(FIRST + MINUTE, beyond=[PRESSURE])
    assert (await refusal(desk.record())).reason == "GATE_FOLLOWS_VITALS"
    assert [each.passed for each in await desk.gates()] == [True, False]
    await desk.measure(FIRST + 15 * MINUTE)
    await desk.at(FIRST + HOUR)
    await desk.complete()


async def test_after_check_in_the_nurse_records_the_discharge_by_hand_where_nothing_was_measured_since(
    svc: Running,
) -> None:
    desk = await desk_with(svc, gate("CHECK_IN"), gate("DISCHARGE"))
    await desk.measure()
    await desk.treat()
    await desk.at(FIRST + HOUR)
    answer = await desk.record()
    assert [(each.passed, each.recorded_by) for each in answer.gates] == [(True, "patients"), (True, "user")]
    await desk.complete()


async def test_what_let_a_visit_end_stays_whatever_is_told_later(leaving: Desk) -> None:
    taken = await leaving.measure()
    await leaving.complete()
    await leaving.tell(retraction(taken), leaving.signs(beyond=[PRESSURE]))
    assert await leaving.stand() == (True, "patients")
    await leaving.clinic.svc.admin.execute("DELETE FROM vital_signs")
    assert await leaving.stand() == (True, "patients")
    assert (await refusal(leaving.record())).reason == "VISIT_STATUS_CONFLICT"


async def test_who_goes_home_beyond_limits_for_a_reason_is_shown_as_such(svc: Running) -> None:
    desk = await desk_with(svc, gate("DISCHARGE", "ALLOW_WITH_REASON"))
    await desk.treat()
    await desk.measure(beyond=[PRESSURE])
    assert (await refusal(desk.complete())).faults == [("gates.VITALS", "REASON_NEEDED")]
    answer = await desk.complete(reason="As always, says their doctor")
    assert [each.passed for each in answer.unpassed_gates] == [False]
    state = await desk.gate()
    assert (state.passed, state.recorded_by) == (False, "patients")
    assert state.override_reason == "As always, says their doctor"


async def stand_after(desk: Desk, events: Sequence[Any]) -> tuple[bool, str]:
    await desk.clinic.svc.admin.execute("DELETE FROM vital_signs")
    await desk.tell(*events)
    return await desk.stand()


async def test_in_whatever_order_and_however_often_it_is_told_the_last_that_stand_decide(desk: Desk) -> None:
    last = desk.signs(FIRST - 20 * MINUTE, beyond=[PRESSURE])
    first = desk.signs(FIRST - 30 * MINUTE)  # Recorded last.
    await desk.record(passed=False)
    for told, outcome in (
        ([first, last], (False, "patients")),
        ([first, last, retraction(last)], (True, "patients")),
        ([first, retraction(first)], (False, "user")),
    ):
        for order in permutations(told):
            assert await stand_after(desk, [*order, *order, order[0]]) == outcome, [
                each.DESCRIPTOR.name for each in order
            ]


async def test_of_two_taken_at_one_instant_the_one_recorded_last_counts(desk: Desk) -> None:
    first, last = desk.signs(beyond=[PRESSURE]), desk.signs()
    for order in permutations([first, last]):
        assert await stand_after(desk, order) == (True, "patients")


async def test_other_measures_and_events_of_earlier_releases_say_nothing_of_vitals(desk: Desk) -> None:
    questionnaire, weight = desk.signs(), desk.signs(taken=[])
    questionnaire.ClearField("vital_signs")
    earlier = MeasureRecorded(measure_id=to_wire("measure", new_id()), patient_id=desk.patient_id)
    await desk.tell(questionnaire, weight, earlier)
    assert await desk.clinic.count("vital_signs") == 0
    await desk.record()
    assert await desk.stand() == (True, "user")


async def test_a_sign_that_a_newer_release_tells_of_counts(desk: Desk) -> None:
    await desk.measure(FIRST - 30 * MINUTE)
    await desk.measure(beyond=[99])
    assert await desk.stand() == (False, "patients")


async def test_vital_signs_of_merged_patients_are_one_patients(desk: Desk) -> None:
    other_id = await desk.clinic.add_patient()
    await desk.measure(patient_id=other_id)
    assert await desk.stand() == (False, "")
    await desk.clinic.svc.deliver(PatientMerged(patient_id=desk.patient_id, merged_patient_id=other_id), version=1)
    assert await desk.stand() == (True, "patients")
    await desk.clinic.svc.deliver(PatientUnmerged(patient_id=desk.patient_id, merged_patient_id=other_id), version=2)
    assert await desk.stand() == (False, "")


async def test_what_another_chain_tells_is_nothing_here(desk: Desk, svc: Running) -> None:
    await svc.deliver(desk.signs(), chain_id=new_id())
    assert await desk.stand() == (False, "")


async def test_a_patient_sees_whether_the_gate_is_passed_and_not_who_says_so(desk: Desk, svc: Running) -> None:
    taken = await desk.measure()
    token = svc.token("ROLE_PATIENT", subject="somebody", patient=desk.patient_id)
    state = await desk.gate(token)
    assert (state.passed, state.recorded_by, state.record_time) == (True, "", taken.measure_time)


async def test_of_a_patient_who_is_forgotten_nothing_is_kept(desk: Desk) -> None:
    await desk.measure()
    await desk.measure(patient_id=await desk.clinic.add_patient())
    await desk.tell(PatientAnonymised(patient_id=desk.patient_id))
    assert await desk.clinic.count("vital_signs") == 1
    assert await desk.stand() == (False, "")


async def test_they_are_deleted_a_month_after_they_were_told(desk: Desk, svc: Running) -> None:
    taken = await desk.measure()
    await desk.tell(retraction(desk.signs()), retraction(taken))
    age = "UPDATE vital_signs SET told_at = now() - $2::interval WHERE chain_id = $1"
    assert vital_signs in svc.service.short_lived
    async with open_pool(svc.urls.relay, size=1) as pool:
        for old, left in ((VITALS_KEPT - MINUTE, 2), (VITALS_KEPT + MINUTE, 0)):
            await svc.admin.execute(age, svc.chain_id, old)
            await sweep(pool, svc.service.short_lived)
            assert await desk.clinic.count("vital_signs") == left
