"""Diagnoses."""

from uuid import UUID

from atoll.patients.v1 import diagnosis_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.patients.domain.diagnoses import Diagnosis, DiagnosisRank, with_dot
from services.patients.store import PatientsStore
from services.patients.use_cases import diagnoses as use_cases
from services.patients.use_cases.diagnoses import RecordDiagnosis


class DiagnosisServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def RecordDiagnosis(self, request: pb.RecordDiagnosisRequest, call: Call) -> pb.RecordDiagnosisResponse:
        dated = request.HasField("effective_date")
        command = RecordDiagnosis(
            patient_id=from_wire("patient", request.patient_id),
            site_id=from_wire("site", request.site_id),
            course_id=from_wire("course", request.course_id) if request.course_id else None,
            code=with_dot(request.code),
            rank=DiagnosisRank(pb.DiagnosisRank.Name(request.rank).removeprefix("DIAGNOSIS_RANK_")),
            effective=from_date(request.effective_date, "effective_date") if dated else None,
        )

        async def work(store: PatientsStore) -> pb.RecordDiagnosisResponse:
            return pb.RecordDiagnosisResponse(diagnosis=to_diagnosis(await use_cases.record_diagnosis(store, command)))

        locks = [command.patient_id]
        return await self._db.once(call, request, pb.RecordDiagnosisResponse, PatientsStore, work, locks=locks)

    async def RetractDiagnosis(self, request: pb.RetractDiagnosisRequest, call: Call) -> pb.RetractDiagnosisResponse:
        id = from_wire("diagnosis", request.diagnosis_id)

        async def work(store: PatientsStore) -> pb.RetractDiagnosisResponse:
            return pb.RetractDiagnosisResponse(diagnosis=to_diagnosis(await use_cases.retract_diagnosis(store, id)))

        return await self._db.once(call, request, pb.RetractDiagnosisResponse, PatientsStore, work)

    async def ListDiagnoses(self, request: pb.ListDiagnosesRequest, call: Call) -> pb.ListDiagnosesResponse:
        patient_id, page = from_wire("patient", request.patient_id), Page.of(request, call)
        before = UUID(page.after[0]) if page.after else None
        found = await self._db.read(
            call, request, PatientsStore, lambda store: store.diagnoses(patient_id, before, page.limit)
        )
        kept, token = page.cut(found, key=lambda each: [str(each.id)])
        return pb.ListDiagnosesResponse(diagnoses=map(to_diagnosis, kept), next_page_token=token)

    async def GetCourseDiagnoses(
        self, request: pb.GetCourseDiagnosesRequest, call: Call
    ) -> pb.GetCourseDiagnosesResponse:
        patient_id, course_id = from_wire("patient", request.patient_id), from_wire("course", request.course_id)
        day = from_date(request.date, "date")
        found = await self._db.read(
            call, request, PatientsStore, lambda store: store.diagnoses_of_course(patient_id, course_id, day)
        )
        return pb.GetCourseDiagnosesResponse(diagnoses=map(to_diagnosis, found))


def to_diagnosis(diagnosis: Diagnosis) -> pb.Diagnosis:
    return pb.Diagnosis(
        id=to_wire("diagnosis", diagnosis.id),
        patient_id=to_wire("patient", diagnosis.patient_id),
        site_id=to_wire("site", diagnosis.site_id),
        course_id=to_wire("course", diagnosis.course_id) if diagnosis.course_id else "",
        code=diagnosis.code,
        rank=pb.DiagnosisRank.Value(f"DIAGNOSIS_RANK_{diagnosis.rank}"),
        effective_date=to_date(diagnosis.effective),
        create_time=to_timestamp(diagnosis.recorded_at),
        recorded_by=diagnosis.recorded_by,
        retract_time=to_timestamp(diagnosis.retracted_at) if diagnosis.retracted_at else None,
        retracted_by=diagnosis.retracted_by or "",
    )
