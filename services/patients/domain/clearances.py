"""Screenings, and the clinicians' decisions that rest on them."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Self
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind


class ScreeningNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "SCREENING_NOT_FOUND", "the patient has no such screening"


class ClearanceNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "CLEARANCE_NOT_FOUND", "no such clearance at the caller's sites"


class ClearanceDatesReversed(DomainError):
    kind, reason, message = Kind.INVALID, "CLEARANCE_DATES_REVERSED", "the last day is before the first"


class ClearanceInPast(DomainError):
    kind, reason, message = Kind.INVALID, "CLEARANCE_IN_PAST", "the last day has passed at the site"


class ClearanceRevoked(DomainError):
    kind, reason, message = Kind.CONFLICT, "CLEARANCE_REVOKED", "the clearance was revoked before"


@dataclass(frozen=True, slots=True)
class Screening:
    id: UUID
    patient_id: UUID
    protocol_id: UUID
    site_id: UUID
    answers: tuple[tuple[str, bool | int | str], ...]  # Question code and value.
    recorded_by: str
    recorded_at: datetime


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
    revoked_by: str | None = None
    revoked_at: datetime | None = None

    def check(self, time_zone: str) -> None:
        """Whether it can be granted; days are those of the site, whose zone is `time_zone`."""
        if self.expire_date < self.effective_date:
            raise ClearanceDatesReversed(effective_date=self.effective_date, expire_date=self.expire_date)
        today = self.granted_at.astimezone(ZoneInfo(time_zone)).date()
        if self.expire_date < today:
            raise ClearanceInPast(expire_date=self.expire_date, today=today)

    def revoked(self, by: str, at: datetime) -> Self:
        if self.revoked_at is not None:
            raise ClearanceRevoked()
        return replace(self, revoked_by=by, revoked_at=at)
