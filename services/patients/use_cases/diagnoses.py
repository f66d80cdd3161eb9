"""Diagnoses."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from chassis.ids import new_id
from services.patients import events
from services.patients.domain.diagnoses import Diagnosis, DiagnosisRank, today
from services.patients.store import PatientsStore


@dataclass(frozen=True, slots=True)
class RecordDiagnosis:
    patient_id: UUID
    site_id: UUID
    course_id: UUID | None
    code: str
    rank: DiagnosisRank
    effective: date | None  # None: today at the site.


async def record_diagnosis(store: PatientsStore, command: RecordDiagnosis) -> Diagnosis:
    """Whether the site may see the record, and whether the code stands already, the database tells."""
    call, zone = store.call, await store.time_zone(command.site_id)
    diagnosis = Diagnosis(
        id=new_id(),
        patient_id=store.survivor(command.patient_id),
        site_id=command.site_id,
        course_id=command.course_id,
        code=command.code,
        rank=command.rank,
        effective=command.effective or today(call.now, zone),
        recorded_by=call.actor,
        recorded_at=call.now,
    )
    diagnosis.check(zone)
    store.add_diagnosis(diagnosis)
    store.emit(events.diagnosis_recorded(diagnosis), about=diagnosis.patient_id)
    return diagnosis


async def retract_diagnosis(store: PatientsStore, diagnosis_id: UUID) -> Diagnosis:
    diagnosis = await store.diagnosis_to_change(diagnosis_id)
    retracted = diagnosis.retracted(by=store.call.actor, at=store.call.now)
    store.retract_diagnosis(retracted)
    store.emit(events.diagnosis_retracted(retracted), about=retracted.patient_id)
    return retracted
