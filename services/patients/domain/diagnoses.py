"""Diagnoses, by the codes of ICD-10-CM."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Self
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind, Violation

CATEGORY = 3
"""Characters before the dot."""


class DiagnosisNotFound(DomainError):
    kind, reason = Kind.NOT_FOUND, "DIAGNOSIS_NOT_FOUND"
    message = "no such diagnosis of a record that the caller may see"


class DiagnosisInFuture(DomainError):
    kind, reason, message = Kind.INVALID, "DIAGNOSIS_IN_FUTURE", "effective_date is after today at the site"


class DiagnosisRecorded(DomainError):
    kind, reason, message = Kind.CONFLICT, "DIAGNOSIS_RECORDED", "the same code stands already for that course"


class DiagnosisRetracted(DomainError):
    kind, reason, message = Kind.CONFLICT, "DIAGNOSIS_RETRACTED", "the diagnosis was retracted before"


class DiagnosisRank(StrEnum):
    PRIMARY = "PRIMARY"
    SECONDARY = "SECONDARY"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    id: UUID
    patient_id: UUID
    site_id: UUID
    course_id: UUID | None
    code: str
    rank: DiagnosisRank
    effective: date
    recorded_by: str
    recorded_at: datetime
    retracted_by: str | None = None
    retracted_at: datetime | None = None

    def check(self, time_zone: str) -> None:
        """`time_zone` is the site's: it tells what day it is."""
        if self.effective > today(self.recorded_at, time_zone):
            raise DiagnosisInFuture(Violation("effective_date", "DIAGNOSIS_IN_FUTURE", DiagnosisInFuture.message))

    def retracted(self, by: str, at: datetime) -> Self:
        if self.retracted_at is not None:
            raise DiagnosisRetracted()
        return replace(self, retracted_by=by, retracted_at=at)


def one_per_code(found: Sequence[Diagnosis]) -> list[Diagnosis]:
    """In their order. A code may stand for one course and for all, and under several ids of the person: of these, the
    primary comes before the secondary, and what is of a course before what is of all."""
    best = dict[str, Diagnosis]()
    for each in sorted(found, key=lambda each: (each.rank is not DiagnosisRank.PRIMARY, each.course_id is None)):
        best.setdefault(each.code, each)
    return [each for each in found if best[each.code] is each]


def today(now: datetime, time_zone: str) -> date:
    return now.astimezone(ZoneInfo(time_zone)).date()


def with_dot(code: str) -> str:
    """F332 is F33.2."""
    plain = code.replace(".", "")
    return f"{plain[:CATEGORY]}.{plain[CATEGORY:]}" if len(plain) > CATEGORY else plain
