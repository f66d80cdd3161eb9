"""SQL of diagnoses."""

from datetime import date
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Date, Uuid, insert, or_, select, update

from chassis.ids import to_wire
from chassis.sql import Statement, param, params
from chassis.store import Settling, Store
from services.patients.domain.diagnoses import Diagnosis, DiagnosisNotFound, DiagnosisRank, one_per_code
from services.patients.store.persons import PERSON
from services.patients.tables.diagnoses import diagnosis

CHAIN, PATIENT = param("chain_id", Uuid), param("patient_id", Uuid)
LAST_ID = UUID(int=2**128 - 1)
OF_COURSE_MAX = 50

ADD_DIAGNOSIS = Settling(insert(diagnosis).inline().values(params(*diagnosis.c.keys())).cte("new_diagnosis"))
_this = [diagnosis.c.chain_id == CHAIN, diagnosis.c.id == param("diagnosis_id", Uuid)]
DIAGNOSIS_TO_CHANGE = Statement(select(diagnosis).where(*_this).with_for_update())
RETRACT_DIAGNOSIS = Settling(
    update(diagnosis).where(*_this).values(params("retracted_by", "retracted_at")).cte("retracted_diagnosis")
)
_of_patient = select(diagnosis).where(diagnosis.c.chain_id == CHAIN, diagnosis.c.patient_id == PERSON)
DIAGNOSES = Statement(
    _of_patient.where(diagnosis.c.id < param("before", Uuid)).order_by(diagnosis.c.id.desc()).limit(param("limit"))
)
COURSE_DIAGNOSES = Statement(
    _of_patient.where(
        or_(diagnosis.c.course_id == param("course_id", Uuid), diagnosis.c.course_id.is_(None)),
        diagnosis.c.effective <= param("day", Date),
        diagnosis.c.retracted_at.is_(None),
    )
    .order_by(diagnosis.c.rank, diagnosis.c.effective, diagnosis.c.id)
    .limit(param("limit"))
)


class DiagnosisStore(Store):
    def add_diagnosis(self, new: Diagnosis) -> None:
        values = {name: getattr(new, name) for name in diagnosis.c.keys() if name != "chain_id"}  # noqa: SIM118
        self.write_last(ADD_DIAGNOSIS, **values)

    async def diagnosis_to_change(self, id: UUID) -> Diagnosis:
        if row := await self.row(DIAGNOSIS_TO_CHANGE, diagnosis_id=id):
            return diagnosis_of(row)
        raise DiagnosisNotFound(diagnosis_id=to_wire("diagnosis", id))

    def retract_diagnosis(self, retracted: Diagnosis) -> None:
        stamps = {"retracted_by": retracted.retracted_by, "retracted_at": retracted.retracted_at}
        self.write_last(RETRACT_DIAGNOSIS, diagnosis_id=retracted.id, **stamps)

    async def diagnoses(self, patient_id: UUID, before: UUID | None, limit: int) -> list[Diagnosis]:
        found = await self.rows(DIAGNOSES, patient_id=patient_id, before=before or LAST_ID, limit=limit)
        return [diagnosis_of(row) for row in found]

    async def diagnoses_of_course(self, patient_id: UUID, course_id: UUID, day: date) -> list[Diagnosis]:
        """Those that hold on the day, one for each code, primary ones first."""
        asked = {"course_id": course_id, "day": day, "limit": OF_COURSE_MAX}
        found = await self.rows(COURSE_DIAGNOSES, patient_id=patient_id, **asked)
        return one_per_code([diagnosis_of(row) for row in found])


def diagnosis_of(row: Record) -> Diagnosis:
    values = {name: row[name] for name in diagnosis.c.keys() if name != "chain_id"}  # noqa: SIM118
    return Diagnosis(**values | {"rank": DiagnosisRank(row["rank"])})
