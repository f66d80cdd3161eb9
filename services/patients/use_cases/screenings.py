"""Screenings."""

from dataclasses import dataclass
from uuid import UUID

from chassis.ids import new_id
from services.patients import events
from services.patients.domain.eligibility import Answers
from services.patients.domain.screenings import Screening
from services.patients.store import PatientsStore


@dataclass(frozen=True, slots=True)
class RecordScreening:
    patient_id: UUID
    protocol_id: UUID
    site_id: UUID
    questionnaire_version_id: UUID
    answers: Answers


async def record_screening(store: PatientsStore, command: RecordScreening) -> Screening:
    """Whether the record is one of the site's, the database tells."""
    call = store.call
    asked = await store.asked(
        store.survivor(command.patient_id), command.protocol_id, command.site_id, command.questionnaire_version_id
    )
    outcome, reason_codes = asked.judge(command.answers, call.now)
    screening = Screening(
        id=new_id(),
        patient_id=store.survivor(command.patient_id),
        protocol_id=command.protocol_id,
        site_id=command.site_id,
        answers=command.answers,
        recorded_by=call.actor,
        recorded_at=call.now,
        questionnaire_version_id=command.questionnaire_version_id,
        outcome=outcome,
        reason_codes=reason_codes,
        review=asked.review(outcome),
    )
    store.add_screening(screening, supersedes=screening.supersedes(by_patient=call.patient_id is not None))
    store.emit(events.screening_recorded(screening), about=screening.patient_id)
    return screening


async def review_screening(store: PatientsStore, screening_id: UUID, reason: str) -> Screening:
    """Whoever grants or revokes a clearance meanwhile decides first, or waits: it is about the same row."""
    screening, standing_id = await store.screening_to_review(screening_id)
    reviewed = screening.not_cleared(standing_id, by=store.call.actor, at=store.call.now, reason=reason)
    store.decide_screening(reviewed)
    store.emit(events.screening_reviewed(reviewed), about=reviewed.patient_id)
    return reviewed
