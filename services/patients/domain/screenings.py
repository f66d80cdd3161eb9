"""Screenings: answers to the questionnaire of a protocol, and what came of them."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind
from chassis.ids import to_wire
from services.patients.domain.eligibility import Answers, judge
from services.patients.domain.questionnaires import Content, Outcome


class ScreeningNotFound(DomainError):
    kind, reason = Kind.NOT_FOUND, "SCREENING_NOT_FOUND"
    message = "the patient has no such screening for the protocol"


class QuestionnaireOutdated(DomainError):
    kind, reason = Kind.CONFLICT, "QUESTIONNAIRE_OUTDATED"
    message = "a later version of the questionnaire is to be answered, or it is retired"


class QuestionnaireNotOfProtocol(DomainError):
    kind, reason = Kind.CONFLICT, "QUESTIONNAIRE_NOT_OF_PROTOCOL"
    message = "the protocol's patients are screened by another questionnaire, or by none yet"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a screening rests on: the version that was answered, the one to answer, and who answers where."""

    version_id: UUID
    questionnaire_id: UUID
    retired: bool
    content: Content
    assigned_id: UUID | None
    """The questionnaire of the protocol, if one is in use."""
    current_version_id: UUID | None
    """The latest version of that."""
    birth_date: date
    time_zone: str

    def judge(self, answers: Answers, now: datetime) -> tuple[Outcome, tuple[str, ...]]:
        """Refused unless it is the version to answer, and the answers fit. Days are the site's."""
        if self.version_id != self.current_version_id:
            outdated = self.retired or self.questionnaire_id == self.assigned_id
            error = QuestionnaireOutdated if outdated else QuestionnaireNotOfProtocol
            current = self.current_version_id
            raise error(**{"current_version_id": to_wire("questionnaireversion", current)} if current else {})
        return judge(self.content, answers, self.birth_date, now.astimezone(ZoneInfo(self.time_zone)).date())


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of a screening: all of it that a clearance looks at."""

    id: UUID
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Screening:
    id: UUID
    patient_id: UUID
    protocol_id: UUID
    site_id: UUID
    answers: Answers
    recorded_by: str
    recorded_at: datetime
    questionnaire_version_id: UUID | None  # None of answers older than questionnaires.
    outcome: Outcome
    reason_codes: tuple[str, ...]
