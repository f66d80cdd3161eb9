"""Gates of visits that follow the consents of which patients tells, through the gRPC door."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest_asyncio
from grpc import StatusCode

from atoll.patients.v1.events_pb2 import (
    ConsentDocumentRetired,
    ConsentDocumentVersionPublished,
    ConsentSigned,
    ConsentsRecounted,
    ConsentWithdrawn,
    PatientMerged,
    PatientUnmerged,
    RecountedDocument,
    RecountedSignature,
    RecountedVersion,
)
from atoll.scheduling.v1 import gate_pb2, visit_service_pb2
from atoll.scheduling.v1 import gate_service_pb2 as pb
from atoll.scheduling.v1.gate_service_pb2_grpc import GateServiceStub
from atoll.scheduling.v1.protocol_pb2 import GateKind
from atoll.scheduling.v1.visit_pb2 import VisitStatus
from chassis.ids import new_id, to_wire
from chassis.migrate import migrate
from chassis.provision import provision
from chassis.times import to_date, to_timestamp
from tests.support.scheduling import TEMPLATE, Clinic, local, open_clinic, open_scheduling
from tests.support.servers import as_administrator, drop, password_of
from tests.support.service import NOW, Running, refusal

FIRST = local(3, 2, 9)
DAY = date(2027, 3, 2)
BEFORE, AFTER = date(2027, 3, 1), date(2027, 3, 3)
LEFT_OPEN = [("gates.CONSENT", "BLOCKED")]


def gate(stage: str, effect: str = "BLOCK") -> dict[str, Any]:
    return {"kind": "GATE_KIND_CONSENT", "stage": f"GATE_STAGE_{stage}", "effect": f"GATE_EFFECT_{effect}"}


@dataclass
class Desk:
    """A clinic whose treatments ask for consent, a patient with one, and what patients tells of them."""

    clinic: Clinic
    patient_id: str = ""
    visit_id: str = ""

    async def open(self, stage: str = "CHECK_IN", effect: str = "BLOCK") -> None:
        self.clinic.version_id = await self.clinic.publish({**TEMPLATE, "gates": [gate(stage, effect)]})
        await self.clinic.adopt()
        self.patient_id = await self.clinic.add_patient()
        self.visit_id = await self.book(self.patient_id)

    async def book(self, patient_id: str, at: datetime = FIRST) -> str:
        course = await self.clinic.book(self.clinic.request(patient_id, self.clinic.treatments([at])))
        return course.visits[0].id

    async def tell(self, *events: Any) -> None:
        for event in events:
            await self.clinic.svc.deliver(event)

    def published(self, id: str = "", **changes: Any) -> ConsentDocumentVersionPublished:
        fields: dict[str, Any] = {
            "consent_document_id": id or to_wire("consentdocument", new_id()),
            "consent_document_version_id": to_wire("consentdocumentversion", new_id()),
            "document_code": "TREATMENT",
            "version_number": 1,
        }
        effective = to_date(changes.pop("day", BEFORE))
        return ConsentDocumentVersionPublished(**fields | changes, effective_date=effective)

    async def publish(self, **changes: Any) -> str:
        event = self.published(**changes)
        await self.tell(event)
        return event.consent_document_id

    def signature(self, document_id: str, patient_id: str = "", **changes: Any) -> ConsentSigned:
        fields: dict[str, Any] = {
            "consent_id": to_wire("consent", new_id()),
            "patient_id": patient_id or self.patient_id,
            "consent_document_id": document_id,
            "version_number": 1,
            "sign_time": to_timestamp(NOW),
        }
        return ConsentSigned(**fields | changes)

    async def sign(self, document_id: str, **changes: Any) -> ConsentSigned:
        event = self.signature(document_id, **changes)
        await self.tell(event)
        return event

    async def check_in(self, visit_id: str = "", reason: str = "") -> Any:
        await self.clinic.wait_for(visit_id or self.visit_id)
        request = visit_service_pb2.CheckInVisitRequest(
            request_id=str(uuid4()), visit_id=visit_id or self.visit_id, gate_reason=reason
        )
        return await self.clinic.svc.call(self.clinic.visits.CheckInVisit, request)

    async def record(self, *, passed: bool = True) -> Any:
        kind = GateKind.GATE_KIND_CONSENT
        request = pb.RecordGateRequest(request_id=str(uuid4()), visit_id=self.visit_id, kind=kind, passed=passed)
        return await self.clinic.svc.call(self.clinic.svc.stub(GateServiceStub).RecordGate, request)

    async def gate(self, token: str | None = None) -> gate_pb2.GateState:
        request = pb.ListGatesRequest(visit_id=self.visit_id)
        answer = await self.clinic.svc.call(self.clinic.svc.stub(GateServiceStub).ListGates, request, token)
        [state] = answer.gates
        return state  # type: ignore[no-any-return]

    async def unsigned(self) -> list[str]:
        state = await self.gate()
        assert state.passed != bool(state.unsigned_document_ids)
        return list(state.unsigned_document_ids)


def withdrawal(signed: ConsentSigned) -> ConsentWithdrawn:
    return ConsentWithdrawn(
        consent_id=signed.consent_id,
        patient_id=signed.patient_id,
        consent_document_id=signed.consent_document_id,
        version_number=signed.version_number,
        withdraw_time=to_timestamp(NOW),
    )


def recounted(event: ConsentDocumentVersionPublished, **changes: Any) -> RecountedDocument:
    version = RecountedVersion(version_number=event.version_number, effective_date=event.effective_date)
    code, state = event.document_code, event.state_code
    fields: dict[str, Any] = {"document_code": code, "state_code": state, "versions": [version]}
    return RecountedDocument(consent_document_id=event.consent_document_id, **fields | changes)


def recounted_signature(signed: ConsentSigned, **changes: Any) -> RecountedSignature:
    return RecountedSignature(
        consent_id=signed.consent_id,
        patient_id=signed.patient_id,
        consent_document_id=signed.consent_document_id,
        version_number=signed.version_number,
        sign_time=signed.sign_time,
        **changes,
    )


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def desk(svc: Running) -> Desk:
    desk = Desk(await open_clinic(svc))
    await desk.open()
    return desk


async def test_who_has_signed_what_applies_is_let_in(desk: Desk) -> None:
    document_id, other_id = await desk.publish(), await desk.publish(document_code="PRIVACY", state_code="CO")
    await desk.sign(other_id)
    refused = await refusal(desk.check_in())
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "GATES_NOT_PASSED")
    assert (refused.faults, refused.metadata) == (LEFT_OPEN, {"consent_document_ids": document_id})
    state = await desk.gate()
    assert (state.passed, list(state.unsigned_document_ids), state.recorded_by) == (False, [document_id], "")
    await desk.sign(document_id, sign_time=to_timestamp(NOW + timedelta(minutes=5)))
    state = await desk.gate()
    assert (state.passed, list(state.unsigned_document_ids), state.recorded_by) == (True, [], "patients")
    assert state.record_time == to_timestamp(NOW + timedelta(minutes=5))
    assert (await desk.check_in()).visit.status == VisitStatus.VISIT_STATUS_CHECKED_IN


async def test_nobody_records_by_hand_what_is_signed(desk: Desk) -> None:
    await desk.sign(await desk.publish())
    for passed in (True, False):
        refused = await refusal(desk.record(passed=passed))
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "GATE_FOLLOWS_CONSENTS")
        assert refused.faults == [("kind", "FOLLOWS_CONSENTS")]
    assert await desk.clinic.count("gate_record") == 0
    assert (await desk.gate()).passed


async def test_where_no_document_applies_it_is_recorded_by_hand(desk: Desk) -> None:
    await desk.publish(state_code="AZ")
    await desk.publish(day=AFTER)
    assert (await refusal(desk.check_in())).faults == LEFT_OPEN
    await desk.record()
    state = await desk.gate()
    assert (state.passed, state.recorded_by) == (True, "user")
    await desk.check_in()


async def test_what_was_recorded_by_hand_counts_no_more_once_a_document_applies(desk: Desk) -> None:
    await desk.record()
    document_id = await desk.publish()
    assert (await refusal(desk.check_in())).metadata == {"consent_document_ids": document_id}
    assert not (await desk.gate()).HasField("record_time")


async def test_who_leaves_is_asked_as_who_arrives(svc: Running) -> None:
    desk = Desk(await open_clinic(svc))
    await desk.open(stage="DISCHARGE", effect="ALLOW_WITH_REASON")
    document_id = await desk.publish()
    await desk.check_in()
    desk.clinic.svc.clock.now = FIRST + timedelta(hours=2)
    request = visit_service_pb2.CompleteVisitRequest(request_id=str(uuid4()), visit_id=desk.visit_id)
    refused = await refusal(svc.call(desk.clinic.visits.CompleteVisit, request, desk.clinic.token("ROLE_NURSE")))
    assert (refused.faults, refused.metadata) == (
        [("gates.CONSENT", "REASON_NEEDED")],
        {"consent_document_ids": document_id},
    )
    await desk.sign(document_id)
    answer = await svc.call(desk.clinic.visits.CompleteVisit, request, desk.clinic.token("ROLE_NURSE"))
    assert not answer.unpassed_gates


async def test_a_version_that_began_by_the_day_of_the_visit_may_ask_for_a_new_signature(desk: Desk) -> None:
    document_id = await desk.publish()
    await desk.sign(document_id)
    await desk.publish(id=document_id, version_number=2, day=DAY, earlier_signatures_stay_good=True)
    await desk.publish(id=document_id, version_number=3, day=AFTER)
    assert await desk.unsigned() == []
    await desk.publish(id=document_id, version_number=4, day=DAY)
    assert await desk.unsigned() == [document_id]
    await desk.sign(document_id, version_number=4)
    assert await desk.unsigned() == []


async def test_a_document_that_is_retired_is_asked_for_no_more(desk: Desk) -> None:
    document_id = await desk.publish()
    retired = ConsentDocumentRetired(
        consent_document_id=document_id, document_code="TREATMENT", retire_time=to_timestamp(NOW)
    )
    await desk.tell(retired)
    assert (await desk.gate()).passed is False
    assert await desk.clinic.count("gate_record") == 0
    await desk.record()
    await desk.check_in()


async def stand(desk: Desk, events: Sequence[Any]) -> tuple[bool, list[str]]:
    for table in ("consent_signature", "consent_document_version", "consent_document"):
        await desk.clinic.svc.admin.execute(f"DELETE FROM {table}")
    for event in events:
        event.ClearField("meta")
        await desk.tell(event)
    state = await desk.gate()
    return state.passed, list(state.unsigned_document_ids)


async def test_in_whatever_order_and_however_often_it_is_told_the_last_signature_holds(desk: Desk) -> None:
    version = desk.published()
    document_id = version.consent_document_id
    first, second = desk.signature(document_id), desk.signature(document_id)
    signed_again: list[Any] = [version, first, withdrawal(first), second]
    withdrawn_since: list[Any] = [version, first, second, withdrawal(second)]
    for told, outcome in ((signed_again, (True, [])), (withdrawn_since, (False, [document_id]))):
        for order in permutations(told):
            assert await stand(desk, [*order, *order]) == outcome, [each.DESCRIPTOR.name for each in order]


async def test_a_retirement_may_be_told_before_what_it_retires(desk: Desk) -> None:
    version = desk.published()
    retired = ConsentDocumentRetired(
        consent_document_id=version.consent_document_id, document_code="TREATMENT", retire_time=to_timestamp(NOW)
    )
    await desk.record()
    for order in permutations([version, retired]):
        assert await stand(desk, [*order, *order]) == (True, [])


async def test_signatures_of_merged_patients_are_one_patients(desk: Desk) -> None:
    document_id, other_id = await desk.publish(), await desk.clinic.add_patient()
    await desk.sign(document_id, patient_id=other_id)
    assert await desk.unsigned() == [document_id]
    merged = PatientMerged(patient_id=desk.patient_id, merged_patient_id=other_id)
    await desk.clinic.svc.deliver(merged, version=1)
    assert await desk.unsigned() == []
    unmerged = PatientUnmerged(patient_id=desk.patient_id, merged_patient_id=other_id)
    await desk.clinic.svc.deliver(unmerged, version=2)
    assert await desk.unsigned() == [document_id]


async def test_what_another_chain_publishes_and_signs_is_nothing_here(desk: Desk, svc: Running) -> None:
    theirs = desk.published()
    await svc.deliver(theirs, chain_id=new_id())
    await desk.record()
    assert (await desk.gate()).recorded_by == "user"
    document_id = await desk.publish()
    await svc.deliver(desk.signature(document_id), chain_id=new_id())
    assert await desk.unsigned() == [document_id]


async def test_a_patient_sees_what_they_are_still_to_sign(desk: Desk, svc: Running) -> None:
    document_id, signed_id = await desk.publish(), await desk.publish(document_code="PRIVACY")
    await desk.sign(signed_id)
    token = svc.token("ROLE_PATIENT", subject="somebody", patient=desk.patient_id)
    state = await desk.gate(token)
    assert (list(state.unsigned_document_ids), state.passed) == ([document_id], False)


async def test_of_a_chain_of_which_not_all_was_told_what_was_recorded_counts(desk: Desk, svc: Running) -> None:
    """It published and signed before this service kept it."""
    await svc.admin.execute("INSERT INTO chain_without_consents VALUES ($1)", svc.chain_id)
    await desk.publish()
    assert (await refusal(desk.check_in())).metadata == {}
    await desk.record()
    assert (await desk.gate()).recorded_by == "user"
    await desk.check_in()


async def test_a_chain_is_followed_once_all_was_told_anew(desk: Desk, svc: Running) -> None:
    await svc.admin.execute("INSERT INTO chain_without_consents VALUES ($1)", svc.chain_id)
    await desk.record()
    version, other = desk.published(), desk.published(document_code="PRIVACY")
    gone = desk.published(document_code="GONE")
    signed, withdrawn = (desk.signature(each.consent_document_id) for each in (version, other))
    documents = [recounted(version), recounted(other), recounted(gone, retire_time=to_timestamp(NOW))]
    signatures = [recounted_signature(signed), recounted_signature(withdrawn, withdraw_time=to_timestamp(NOW))]
    await desk.tell(ConsentsRecounted(documents=documents))
    assert (await desk.gate()).recorded_by == "user"
    last = ConsentsRecounted(signatures=signatures, complete=True)
    await desk.tell(last)
    assert await desk.unsigned() == [other.consent_document_id]
    last.ClearField("meta")
    await desk.tell(last, ConsentsRecounted(documents=documents))
    assert await desk.unsigned() == [other.consent_document_id]
    await desk.sign(other.consent_document_id)
    assert await desk.unsigned() == []


async def test_chains_that_had_patients_before_the_migration_are_not_followed(postgres_url: str) -> None:
    urls = await provision(
        postgres_url, "scheduling", database=f"consents_{uuid4().hex[:12]}", password=password_of(postgres_url)
    )
    admin = await asyncpg.connect(as_administrator(postgres_url, urls))
    await migrate(urls.owner, "scheduling", "0020")
    chains = [new_id(), new_id()]
    told = [(chain_id, new_id()) for chain_id in chains for _ in range(2)]
    await admin.executemany("INSERT INTO patient (chain_id, patient_id) VALUES ($1, $2)", told)
    await migrate(urls.owner, "scheduling", "0021")
    found = await admin.fetch("SELECT chain_id FROM chain_without_consents")
    forced = await admin.fetchval("SELECT relforcerowsecurity FROM pg_class WHERE relname = 'patient'")
    await admin.close()
    await drop(postgres_url, urls)
    assert sorted(row["chain_id"] for row in found) == sorted(chains)
    assert forced is True


async def test_nothing_is_booked_without_the_consent_that_its_gate_asks_for(desk: Desk) -> None:
    clinic = desk.clinic
    clinic.version_id = await clinic.publish({**TEMPLATE, "gates": [gate("BOOKING")]})
    await clinic.adopt()
    document_id, patient = await desk.publish(), await clinic.add_patient()
    before = await clinic.count("visit")
    refused = await refusal(desk.book(patient, local(3, 3, 9)))
    assert (refused.reason, refused.faults) == ("GATES_NOT_PASSED", [("visits[0].gates.CONSENT", "BLOCKED")])
    assert refused.metadata == {"consent_document_ids": document_id}
    assert await clinic.count("visit") == before
    held = await clinic.hold(patient, [local(3, 3, 9)])
    assert (await refusal(clinic.book_hold(held.id))).reason == "GATES_NOT_PASSED"
    await desk.sign(document_id, patient_id=patient)
    assert len((await clinic.book_hold(held.id)).visits) == 1
