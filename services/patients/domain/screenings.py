"""Screenings: answers to the questionnaire of a protocol, and what came of them."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Self
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind, Violation
from chassis.ids import to_wire
from services.patients.domain.eligibility import Answers, judge
from services.patients.domain.questionnaires import Content, Outcome


class ScreeningNotFound(DomainError):
    kind, reason = Kind.NOT_FOUND, "SCREENING_NOT_FOUND"
    message = "the patient has no such screening for the protocol"


class ScreeningNotWaiting(DomainError):
    kind, reason = Kind.CONFLICT, "SCREENING_NOT_WAITING"
    message = "the screening waits for no clinician: it never did, or that is decided"


class ClearanceStands(DomainError):
    kind, reason = Kind.CONFLICT, "CLEARANCE_STANDS"
    message = "a clearance for the protocol is neither revoked nor over: the patient is cleared"


class QuestionnaireOutdated(DomainError):
    kind, reason = Kind.CONFLICT, "QUESTIONNAIRE_OUTDATED"
    message = "a later version of the questionnaire is to be answered, or it is retired"


class QuestionnaireNotOfProtocol(DomainError):
    kind, reason = Kind.CONFLICT, "QUESTIONNAIRE_NOT_OF_PROTOCOL"
    message = "the protocol's patients are screened by another questionnaire, or by none yet"


class Decision(StrEnum):
    """How a screening ceased to wait for a clinician."""

    CLEARED = "SCREENING_DECISION_CLEARED"
    NOT_CLEARED = "SCREENING_DECISION_NOT_CLEARED"
    CLEARANCE_REVOKED = "SCREENING_DECISION_CLEARANCE_REVOKED"
    SCREENED_AGAIN = "SCREENING_DECISION_SCREENED_AGAIN"


@dataclass(frozen=True, slots=True)
class Review:
    """What a clinician has to decide of a screening: it waits until there is a decision."""

    decision: Decision | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str = ""  # Of NOT_CLEARED.
    clearance_id: UUID | None = None  # Of CLEARED and CLEARANCE_REVOKED.


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
    cleared: bool
    """Whether a clearance for the protocol is neither revoked nor over."""

    def judge(self, answers: Answers, now: datetime) -> tuple[Outcome, tuple[str, ...]]:
        """Refused unless it is the version to answer, and the answers fit. Days are the site's."""
        if self.version_id != self.current_version_id:
            outdated = self.retired or self.questionnaire_id == self.assigned_id
            error = QuestionnaireOutdated if outdated else QuestionnaireNotOfProtocol
            current = self.current_version_id
            violation = Violation("questionnaire_version_id", error.reason, error.message)
            told = {"current_version_id": to_wire("questionnaireversion", current)} if current else {}
            raise error(violation, **told)
        return judge(self.content, answers, self.birth_date, now.astimezone(ZoneInfo(self.time_zone)).date())

    def review(self, outcome: Outcome) -> Review | None:
        """Of what excludes nobody who is cleared there is nothing to decide."""
        waits = outcome is Outcome.NEEDS_REVIEW or (outcome is Outcome.EXCLUDED and self.cleared)
        return Review() if waits else None


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
    review: Review | None = None  # None: no clinician has to decide.

    def supersedes(self, by_patient: bool) -> bool:
        """Whether earlier ones cease to wait. Patients do not answer away themselves what a clinician has to see."""
        return not by_patient or self.outcome is not Outcome.ELIGIBLE

    def not_cleared(self, standing_id: UUID | None, by: str, at: datetime, reason: str) -> Self:
        """`standing_id` is a clearance for the protocol that is neither revoked nor over."""
        if self.review is None or self.review.decision is not None:
            raise ScreeningNotWaiting()
        if standing_id is not None:
            raise ClearanceStands(clearance_id=to_wire("clearance", standing_id))
        return replace(self, review=Review(Decision.NOT_CLEARED, by, at, reason))
