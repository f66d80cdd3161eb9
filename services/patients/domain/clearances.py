"""Clinicians' decisions that a patient may have a protocol, within limits."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Self
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind, Violation
from chassis.ids import to_wire
from services.patients.domain.questionnaires import Outcome
from services.patients.domain.screenings import Judged

YEARS_MAX = 1
"""A clearance ends at most so long after the day of the decision: the patient is then looked at anew."""


class ClearanceNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "CLEARANCE_NOT_FOUND", "no such clearance at the caller's sites"


class ClearanceDatesReversed(DomainError):
    kind, reason, message = Kind.INVALID, "CLEARANCE_DATES_REVERSED", "the last day is before the first"


class ClearanceInPast(DomainError):
    kind, reason, message = Kind.INVALID, "CLEARANCE_IN_PAST", "the last day has passed at the site"


class ClearanceTooLong(DomainError):
    kind, reason = Kind.INVALID, "CLEARANCE_TOO_LONG"
    message = "the last day is more than twelve months after the day of the decision"


class ClearanceOverrideMissing(DomainError):
    kind, reason = Kind.CONFLICT, "CLEARANCE_OVERRIDE_MISSING"
    message = "a screening for the protocol did not come out as eligible, and no reason says why the patient is cleared"


class PatientDeceased(DomainError):
    kind, reason, message = Kind.CONFLICT, "PATIENT_DECEASED", "a record of the patient says that they have died"


class ClearanceRevoked(DomainError):
    kind, reason, message = Kind.CONFLICT, "CLEARANCE_REVOKED", "the clearance was revoked before"


@dataclass(frozen=True, slots=True)
class ClearanceCondition:
    """What those who treat must see to: a code of the chain's, words, or both."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Of visits with administration, as they are planned."""

    band_codes: tuple[str, ...] = ()  # Empty: all.
    session_minutes_max: int = 0  # 0: as the protocol has it.
    conditions: tuple[ClearanceCondition, ...] = ()


@dataclass(frozen=True, slots=True)
class Clearance:
    id: UUID
    patient_id: UUID
    protocol_id: UUID
    site_id: UUID
    route_codes: tuple[str, ...]
    effective_date: date
    expire_date: date
    screening_id: UUID | None
    granted_by: str
    granted_at: datetime
    limits: Limits = Limits()
    override_reason: str = ""
    revoked_by: str | None = None
    revoked_at: datetime | None = None
    revoke_reason: str = ""

    def check(self, time_zone: str, screenings: Iterable[Judged] = ()) -> None:
        """Whether it can be granted. Days are those of the site, whose zone is `time_zone`.

        `screenings` for the protocol speak against it: the one it names, and the latest, which may say otherwise.
        """
        if self.expire_date < self.effective_date:
            raise ClearanceDatesReversed(
                _of_last_day(ClearanceDatesReversed), effective_date=self.effective_date, expire_date=self.expire_date
            )
        today = self.granted_at.astimezone(ZoneInfo(time_zone)).date()
        if self.expire_date < today:
            raise ClearanceInPast(_of_last_day(ClearanceInPast), expire_date=self.expire_date, today=today)
        if self.expire_date > (latest := last_day(today)):
            raise ClearanceTooLong(_of_last_day(ClearanceTooLong), expire_date=self.expire_date, latest_date=latest)
        for screening in screenings:
            if screening.outcome is not Outcome.ELIGIBLE and not self.override_reason:
                raise ClearanceOverrideMissing(
                    Violation("override_reason", "MISSING", "must say why the patient is cleared all the same"),
                    screening_id=to_wire("screening", screening.id),
                )

    def revoked(self, by: str, at: datetime, reason: str) -> Self:
        if self.revoked_at is not None:
            raise ClearanceRevoked()
        return replace(self, revoked_by=by, revoked_at=at, revoke_reason=reason)


def _of_last_day(error: type[DomainError]) -> Violation:
    return Violation("expire_date", error.reason, error.message)


def last_day(today: date) -> date:
    """The same day a year later; of 29 February, the 28th."""
    try:
        return today.replace(year=today.year + YEARS_MAX)
    except ValueError:
        return today.replace(year=today.year + YEARS_MAX, day=28)
