"""What staff and patients write into a record beside it: measures, adverse events, diagnoses."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from atoll.patients.v1 import measure_service_pb2 as measure_pb
from atoll.patients.v1.measure_service_pb2_grpc import MeasureServiceStub
from chassis.ids import to_wire
from chassis.times import to_timestamp
from tests.support.patients import Desk

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
    fields: dict[str, Any] = {
        "request_id": str(uuid4()),
        "patient_id": patient_id,
        "site_id": to_wire("site", desk.site_id),
    }
    if isinstance(changes.get("measure_time"), datetime):
        changes["measure_time"] = to_timestamp(changes["measure_time"])
    request = measure_pb.RecordMeasureRequest(**fields | changes)
    stub = desk.service.stub(MeasureServiceStub)
    recorded: measure_pb.Measure = (
        await desk.service.call(stub.RecordMeasure, request, token or desk.clinician())
    ).measure
    return recorded


async def call_measures(desk: Desk, method: str, token: str | None = None, **fields: Any) -> Any:
    """`GetMeasure`, `ListMeasures` and so on; a request_id is made where one is asked for."""
    request_type = getattr(measure_pb, f"{method}Request")
    if "request_id" in request_type.DESCRIPTOR.fields_by_name:
        fields = {"request_id": str(uuid4())} | fields
    stub = desk.service.stub(MeasureServiceStub)
    return await desk.service.call(getattr(stub, method), request_type(**fields), token or desk.clinician())
