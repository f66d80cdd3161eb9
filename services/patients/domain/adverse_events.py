"""Adverse events: what went wrong under treatment, how grave it is, and when treatment goes on."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, Self
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.etags import StaleEtag


class AdverseEventNotFound(DomainError):
    kind, reason = Kind.NOT_FOUND, "ADVERSE_EVENT_NOT_FOUND"
    message = "no such adverse event of a record that the caller may see"


class AdverseEventInFuture(DomainError):
    kind, reason, message = Kind.INVALID, "ADVERSE_EVENT_IN_FUTURE", "occur_time is still to come"


class AdverseEventResolved(DomainError):
    kind, reason, message = Kind.CONFLICT, "ADVERSE_EVENT_RESOLVED", "the adverse event was resolved before"


class TreatmentAllowed(DomainError):
    kind, reason, message = Kind.CONFLICT, "TREATMENT_ALLOWED", "treatment was allowed before"


class TreatmentAfterDeath(DomainError):
    kind, reason = Kind.INVALID, "TREATMENT_AFTER_DEATH"
    message = "an adverse event that was fatal allows no treatment"


class Grade(IntEnum):
    """Of the Common Terminology Criteria for Adverse Events."""

    MILD = 1
    MODERATE = 2
    SEVERE = 3
    LIFE_THREATENING = 4
    FATAL = 5


class Outcome(StrEnum):
    RECOVERED = "RECOVERED"
    RECOVERED_WITH_SEQUELAE = "RECOVERED_WITH_SEQUELAE"
    NOT_RECOVERED = "NOT_RECOVERED"
    FATAL = "FATAL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class GradeChange:
    grade: Grade
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class AdverseEvent:
    id: UUID
    patient_id: UUID
    site_id: UUID
    course_id: UUID | None
    visit_id: UUID | None
    code: str
    occurred_at: datetime
    description: str
    grades: tuple[GradeChange, ...]
    """Every grade it had; the first came with the report."""
    version: int = 1
    resolved_by: str | None = None
    resolved_at: datetime | None = None
    outcome: Outcome | None = None
    allowed_by: str | None = None
    allowed_at: datetime | None = None

    @property
    def grade(self) -> Grade:
        return self.grades[-1].grade

    @property
    def reported_at(self) -> datetime:
        return self.grades[0].at

    @property
    def fatal(self) -> bool:
        """By its grade, or by what it came to."""
        return self.grade is Grade.FATAL or self.outcome is Outcome.FATAL

    def check(self) -> None:
        if self.occurred_at > self.reported_at:
            raise AdverseEventInFuture(Violation("occur_time", "ADVERSE_EVENT_IN_FUTURE", AdverseEventInFuture.message))

    def regraded(self, version: int, grade: Grade, by: str, at: datetime) -> Self:
        """A worse grade takes back that treatment was allowed: that was decided on what was known then."""
        self._check_unresolved(version)
        changed = self._changed(grades=(*self.grades, GradeChange(grade, at, by)))
        return changed._not_allowed() if grade > self.grade else changed

    def resolved(self, version: int, outcome: Outcome, allowed: bool, by: str, at: datetime) -> Self:
        self._check_unresolved(version)
        changed = self._changed(resolved_by=by, resolved_at=at, outcome=outcome)
        if changed.fatal and allowed:
            raise TreatmentAfterDeath(Violation("treatment_allowed", "FATAL", TreatmentAfterDeath.message))
        if changed.fatal:
            return changed._not_allowed()
        return replace(changed, allowed_by=by, allowed_at=at) if allowed and not self.allowed_at else changed

    def allowed(self, version: int, by: str, at: datetime) -> Self:
        """Lets treatment go on."""
        self._check_version(version)
        if self.allowed_at is not None:
            raise TreatmentAllowed()
        if self.fatal:
            raise TreatmentAfterDeath()
        return self._changed(allowed_by=by, allowed_at=at)

    def _not_allowed(self) -> Self:
        return replace(self, allowed_by=None, allowed_at=None)

    def _check_unresolved(self, version: int) -> None:
        self._check_version(version)
        if self.resolved_at is not None:
            raise AdverseEventResolved()

    def _check_version(self, version: int) -> None:
        if version != self.version:
            raise StaleEtag()

    def _changed(self, **changes: Any) -> Self:
        return replace(self, version=self.version + 1, **changes)
