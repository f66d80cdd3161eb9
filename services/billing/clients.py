"""Calls to other services. Never made inside a transaction."""

from datetime import date
from typing import Any
from uuid import UUID

import grpc

from atoll.patients.v1.diagnosis_service_pb2 import GetCourseDiagnosesRequest
from atoll.patients.v1.diagnosis_service_pb2_grpc import DiagnosisServiceStub
from atoll.patients.v1.patient_service_pb2 import DocumentDetails, GetDocumentDetailsRequest
from atoll.patients.v1.patient_service_pb2_grpc import PatientServiceStub
from chassis.client import DEADLINE_S, metadata
from chassis.ids import to_wire
from chassis.settings import Settings
from chassis.times import from_date, to_date
from services.billing.domain.printing import NAMES_DIAGNOSES, Order
from services.billing.printing import day_text


class PatientsAway(Exception):
    """What was asked could not be had now. `code` tells why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Patients:
    def __init__(self, settings: Settings, channel: grpc.aio.Channel) -> None:
        self._settings = settings
        self._patients, self._diagnoses = PatientServiceStub(channel), DiagnosisServiceStub(channel)

    async def on_paper(self, chain_id: UUID, order: Order, traceparent: str) -> dict[str, Any]:
        """What a document shows of its patient, as it is now: it lives no longer than the document is written."""
        about_id = order.about_id or order.patient_id
        who = metadata(self._settings, chain_id, traceparent)
        try:
            request = GetDocumentDetailsRequest(patient_id=to_wire("patient", about_id))
            answer = await self._patients.GetDocumentDetails(request, metadata=who, timeout=DEADLINE_S)
            course_id = order.course_id if order.kind in NAMES_DIAGNOSES else None
            codes = await self._codes(about_id, course_id, order.day, who) if course_id else []
        except grpc.aio.AioRpcError as error:
            raise PatientsAway(f"PATIENTS_{error.code().name}") from error
        return patient_of(answer.document_details, codes)

    async def _codes(self, patient_id: UUID, course_id: UUID, day: date, who: Any) -> list[str]:
        request = GetCourseDiagnosesRequest(
            patient_id=to_wire("patient", patient_id), course_id=to_wire("course", course_id), date=to_date(day)
        )
        answer = await self._diagnoses.GetCourseDiagnoses(request, metadata=who, timeout=DEADLINE_S)
        return [each.code for each in answer.diagnoses]


def patient_of(details: DocumentDetails, codes: list[str]) -> dict[str, Any]:
    names = [*details.given_names, details.family_name]
    born = from_date(details.birth_date, "birth_date")
    return {"name": " ".join(filter(None, names)), "birth_date": day_text(born), "diagnoses": codes}
