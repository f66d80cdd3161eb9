"""What billing keeps of other services' facts: sites, and the courses booked there."""

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from services.billing.domain.business_days import BusinessCalendar
from services.billing.domain.prices import VisitKind


@dataclass(frozen=True, slots=True)
class Site:
    id: UUID
    legal_entity_id: UUID
    zone: ZoneInfo
    currency: str | None = None  # Of its published prices; None while there are none.
    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)
    display_name: str = ""
    state: str = ""  # Two letters.
    address: str = ""
    npi: str = ""
    """Of the facility, or else of the legal entity; as `tin`, empty while the billing profile does not tell it."""
    tin: str = ""
    """Of the legal entity that bills."""

    def day(self, instant: datetime) -> date:
        return instant.astimezone(self.zone).date()


@dataclass(frozen=True, slots=True)
class Course:
    id: UUID
    site_id: UUID
    patient_id: UUID
    protocol_version_id: UUID
    booked_at: datetime


@dataclass(frozen=True, slots=True)
class Staff:
    """Who may render a visit."""

    id: UUID
    display_name: str
    credential: str
    npi: str


@dataclass(frozen=True, slots=True)
class BookedVisit:
    """As it is planned to take place."""

    id: UUID
    kind: VisitKind
    start: datetime
    held: bool = False
    settled: bool = False
    """Charged, or drawn from a package."""


class VisitStatus(IntEnum):
    """What scheduling says of a visit; numbered as in the proto."""

    BOOKED = 1
    CANCELLED = 2
    MISSED = 3


@dataclass(frozen=True, slots=True)
class RenderedVisit:
    """A visit that took place, as it was."""

    id: UUID
    site_id: UUID
    patient_id: UUID
    course_id: UUID
    kind: VisitKind
    service_date: date  # In the site's zone.
    event_id: UUID  # Of the event that said so.
