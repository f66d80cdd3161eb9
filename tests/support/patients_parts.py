"""What staff and patients write into a record beside it: measures, adverse events, diagnoses."""

from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from atoll.common.v1.access_pb2 import Role
from atoll.patients.v1 import adverse_event_service_pb2 as adverse_pb
from atoll.patients.v1 import diagnosis_service_pb2 as diagnosis_pb
from atoll.patients.v1 import measure_service_pb2 as measure_pb
from atoll.patients.v1.adverse_event_service_pb2_grpc import AdverseEventServiceStub
from atoll.patients.v1.diagnosis_service_pb2_grpc import DiagnosisServiceStub
from atoll.patients.v1.measure_service_pb2_grpc import MeasureServiceStub
from chassis.ids import to_wire
from chassis.times import to_timestamp
from tests.support.patients import Desk
from tests.support.service import refusal

PHQ_9, GAD_7, PCL_5 = "INSTRUMENT_PHQ_9", "INSTRUMENT_GAD_7", "INSTRUMENT_PCL_5"
CALM = {"systolic_mm_hg": 120, "diastolic_mm_hg": 80, "heart_rate_per_minute": 70, "oxygen_saturation_percent": 98}


def scores(instrument: str, *items: int) -> dict[str, Any]:
    return {"questionnaire": {"instrument": instrument, "item_scores": items}}


def phq_9(total: int, self_harm: int = 0) -> dict[str, Any]:
    """A PHQ-9 with this total."""
    items = [max(0, min(3, total - self_harm - 3 * n)) for n in range(8)]
    return scores(PHQ_9, *items, self_harm)


def of_patient(desk: Desk, patient_id: str) -> str:
    """The patient's own token."""
    return desk.service.token("ROLE_PATIENT", subject="patient", patient=patient_id)


async def record_measure(desk: Desk, patient_id: str, token: str | None = None, **changes: Any) -> measure_pb.Measure:
    if isinstance(changes.get("measure_time"), datetime):
        changes["measure_time"] = to_timestamp(changes["measure_time"])
    fields = {"patient_id": patient_id, "site_id": to_wire("site", desk.site_id)} | changes
    recorded: measure_pb.Measure = (await call_measures(desk, "RecordMeasure", token, **fields)).measure
    return recorded


async def call_measures(desk: Desk, method: str, token: str | None = None, **fields: Any) -> Any:
    return await call_part(desk, measure_pb, MeasureServiceStub, method, token, fields)


async def call_part(desk: Desk, messages: Any, stub_type: Any, method: str, token: str | None, fields: Any) -> Any:
    """`method` of a service of the record's parts, by a clinician; a request_id is made where one is asked for."""
    request_type = getattr(messages, f"{method}Request")
    if "request_id" in request_type.DESCRIPTOR.fields_by_name:
        fields = {"request_id": str(uuid4())} | fields
    return await desk.service.call(
        getattr(desk.service.stub(stub_type), method), request_type(**fields), token or desk.clinician()
    )


async def call_adverse_events(desk: Desk, method: str, token: str | None = None, **fields: Any) -> Any:
    return await call_part(desk, adverse_pb, AdverseEventServiceStub, method, token, fields)


async def report(desk: Desk, patient_id: str, token: str | None = None, **changes: Any) -> adverse_pb.AdverseEvent:
    fields: dict[str, Any] = {
        "patient_id": patient_id,
        "site_id": to_wire("site", desk.site_id),
        "code": "hypertension",
        "grade": "GRADE_MODERATE",
    }
    answer = await call_adverse_events(desk, "ReportAdverseEvent", token, **fields | changes)
    reported: adverse_pb.AdverseEvent = answer.adverse_event
    return reported


async def call_diagnoses(desk: Desk, method: str, token: str | None = None, **fields: Any) -> Any:
    return await call_part(desk, diagnosis_pb, DiagnosisServiceStub, method, token, fields)


async def diagnose(desk: Desk, patient_id: str, token: str | None = None, **changes: Any) -> diagnosis_pb.Diagnosis:
    fields: dict[str, Any] = {
        "patient_id": patient_id,
        "site_id": to_wire("site", desk.site_id),
        "code": "F33.2",
        "rank": "DIAGNOSIS_RANK_PRIMARY",
    }
    answer = await call_diagnoses(desk, "RecordDiagnosis", token, **fields | changes)
    recorded: diagnosis_pb.Diagnosis = answer.diagnosis
    return recorded


def service_token(desk: Desk) -> str:
    """Another Atoll service's, for this chain only."""
    return desk.service.token("ROLE_SERVICE", subject="billing")


async def let_in(desk: Desk, call: Any, method: str) -> set[str]:
    """The roles, without their prefix, to whom `method` is open; the calls name nothing, so that nothing is done."""
    patient, found = await desk.create(), set()
    for role in Role.keys()[1:]:
        own = role == "ROLE_PATIENT"
        token = of_patient(desk, patient.id) if own else desk.service.token(role)
        refused = await refusal(call(desk, method, token))
        if refused.reason != "ACCESS_DENIED":
            assert refused.reason == "BAD_REQUEST", (role, refused)
            found.add(role.removeprefix("ROLE_"))
    return found


several_many = pytest.mark.parametrize("many", [10_000, pytest.param(100_000, marks=pytest.mark.long)])
"""Rows of a table in tests of plans, and more of them in the long run."""


async def add_patients(desk: Desk, many: int) -> None:
    """Straight into the tables: they are seen at the first site."""
    await desk.service.admin.execute(
        """
        WITH made AS (
            INSERT INTO patient SELECT $1, gen_random_uuid(), 'M' || n, '{A}', 'B', '', '1980-01-01', 'FEMALE', 'en-US',
                'America/Denver', $2, false, 1, now(), now()
            FROM generate_series(1, $3::integer) AS n RETURNING id
        )
        INSERT INTO patient_site SELECT $1, id, $2 FROM made
        """,
        desk.service.chain_id,
        desk.site_id,
        many,
    )
