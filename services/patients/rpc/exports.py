"""Exports."""

from collections.abc import AsyncGenerator
from uuid import UUID

from atoll.patients.v1 import export_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from services.patients.domain.exports import PatientExport
from services.patients.rpc.adverse_events import to_adverse_event
from services.patients.rpc.clearances import to_clearance
from services.patients.rpc.consents import to_consent
from services.patients.rpc.diagnoses import to_diagnosis
from services.patients.rpc.measures import to_measure, to_safety_flag
from services.patients.rpc.patients import to_patient
from services.patients.rpc.permissions import to_permission
from services.patients.rpc.screenings import to_screening
from services.patients.store import PatientsStore

RECORDS_AT_ONCE = 50
"""Are read by one transaction, whose audit row names them all, and held until they are taken."""


class ExportServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def ExportPatient(
        self, request: pb.ExportPatientRequest, call: Call
    ) -> AsyncGenerator[pb.ExportPatientResponse, None]:
        patient_id = from_wire("patient", request.patient_id)
        export = await self._db.read(call, request, PatientsStore, lambda store: store.export(patient_id))
        for part in export.parts():
            yield pb.ExportPatientResponse(patient_export=_part(part))

    async def ExportPatients(
        self, request: pb.ExportPatientsRequest, call: Call
    ) -> AsyncGenerator[pb.ExportPatientsResponse, None]:
        after = from_wire("patient", request.resume_token) if request.resume_token else None
        while True:
            exports = await self._next(request, call, after)
            for export in exports:
                parts = list(export.parts())
                for part in parts[:-1]:
                    yield pb.ExportPatientsResponse(patient_export=_part(part))
                token = to_wire("patient", export.patient_id)
                yield pb.ExportPatientsResponse(patient_export=_part(parts[-1]), resume_token=token)
                after = export.patient_id
            if len(exports) < RECORDS_AT_ONCE:
                break
        yield pb.ExportPatientsResponse(complete=True)

    async def _next(self, request: pb.ExportPatientsRequest, call: Call, after: UUID | None) -> list[PatientExport]:
        return await self._db.read(call, request, PatientsStore, lambda store: store.exports(after, RECORDS_AT_ONCE))


def _part(part: PatientExport) -> pb.PatientExport:
    return pb.PatientExport(
        patient_id=to_wire("patient", part.patient_id),
        patient=to_patient(part.patient) if part.patient else None,
        screenings=[to_screening(each) for each in part.screenings],
        clearances=[to_clearance(each) for each in part.clearances],
        consents=[to_consent(each) for each in part.consents],
        permissions=[to_permission(each) for each in part.permissions],
        measures=[to_measure(each) for each in part.measures],
        adverse_events=[to_adverse_event(each) for each in part.adverse_events],
        diagnoses=[to_diagnosis(each) for each in part.diagnoses],
        safety_flags=[to_safety_flag(each) for each in part.safety_flags],
        merged_patients=[to_patient(each) for each in part.merged_patients],
    )
