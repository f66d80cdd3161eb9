"""How long a record is kept, and what stands against forgetting a patient."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind, Violation
from services.patients.domain.patients import MINOR_UNTIL_YEARS


class PatientRestricted(DomainError):
    kind, reason, message = Kind.CONFLICT, "PATIENT_RESTRICTED", "what is done with the record is restricted"


class PatientNotRestricted(DomainError):
    kind, reason, message = Kind.CONFLICT, "PATIENT_NOT_RESTRICTED", "what is done with the record is not restricted"


class PatientAnonymised(DomainError):
    kind, reason, message = Kind.CONFLICT, "PATIENT_ANONYMISED", "who the patient was is forgotten"


class PatientRetained(DomainError):
    kind, reason, message = Kind.CONFLICT, "PATIENT_RETAINED", "something of the patient is to be kept"


class HoldKind(StrEnum):
    PERIOD = "PERIOD"
    MINORITY = "MINORITY"
    CLEARANCE = "CLEARANCE"
    GLASS_BREAK = "GLASS_BREAK"
    ADVERSE_EVENT = "ADVERSE_EVENT"


OVERRULED_BY_LAW = frozenset({HoldKind.PERIOD, HoldKind.MINORITY})


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    years: int = 7  # Since the last contact.
    years_of_age: int = 7  # Since a minor came of age.


@dataclass(frozen=True, slots=True)
class Hold:
    kind: HoldKind
    until: date | None  # First day on which it no longer holds; None: until somebody acts.


@dataclass(frozen=True, slots=True)
class Retention:
    """What is known of a patient that decides whether they may be forgotten."""

    patient_id: UUID
    birth_date: date  # The latest that a record of the person tells.
    last_contact_at: datetime
    time_zone: str  # Of the home site, in whose days everything is reckoned.
    cleared_until: date | None  # Last day of the clearances that were not revoked.
    glass_breaks_open: bool
    adverse_events_open: bool  # Not resolved.
    restricted: bool
    anonymised_at: datetime | None
    updated_at: datetime
    merged_ids: tuple[UUID, ...] = ()
    """Of records of the same person: what was written of these, and when, counts, too."""

    @property
    def last_contact(self) -> date:
        return self.last_contact_at.astimezone(ZoneInfo(self.time_zone)).date()

    def holds(self, policy: RetentionPolicy, now: datetime) -> tuple[Hold, ...]:
        """What still holds. Nothing, of one who is forgotten."""
        if self.anonymised_at is not None:
            return ()
        today = now.astimezone(ZoneInfo(self.time_zone)).date()
        return tuple(hold for hold in self._all_holds(policy) if hold.until is None or today < hold.until)

    def check_anonymised(self, policy: RetentionPolicy, law: str, now: datetime) -> None:
        """Whether the patient may be forgotten; `law` overrules periods, and nothing else."""
        if self.anonymised_at is not None:
            raise PatientAnonymised()
        holds = [hold for hold in self.holds(policy, now) if not (law and hold.kind in OVERRULED_BY_LAW)]
        if holds:
            raise PatientRetained(*map(_violation, holds))

    def _all_holds(self, policy: RetentionPolicy) -> Iterator[Hold]:
        yield Hold(HoldKind.PERIOD, years_after(self.last_contact, policy.years))
        of_age = years_after(self.birth_date, MINOR_UNTIL_YEARS)
        if self.last_contact < of_age:
            yield Hold(HoldKind.MINORITY, years_after(of_age, policy.years_of_age))
        if self.cleared_until is not None:
            yield Hold(HoldKind.CLEARANCE, date.fromordinal(self.cleared_until.toordinal() + 1))
        if self.glass_breaks_open:
            yield Hold(HoldKind.GLASS_BREAK, None)
        if self.adverse_events_open:
            yield Hold(HoldKind.ADVERSE_EVENT, None)


@dataclass(frozen=True, slots=True)
class Restriction:
    id: UUID
    patient_id: UUID
    restricted: bool
    reason: str
    decided_by: str
    decided_at: datetime


def years_after(day: date, years: int) -> date:
    """The same day; 1 March of a common year for 29 February: kept a day longer rather than shorter."""
    year = min(day.year + years, date.max.year)
    try:
        return day.replace(year=year)
    except ValueError:
        return date(year, 3, 1)


def _violation(hold: Hold) -> Violation:
    until = f"until {hold.until}" if hold.until else "until somebody acts"
    return Violation(hold.kind, "RETENTION_HOLD", f"is kept {until}")
