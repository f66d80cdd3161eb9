"""What notifications knows of sites, patients and visits. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo


class VisitStatus(StrEnum):
    """What a message needs to know of a visit."""

    BOOKED = "BOOKED"
    CONFIRMED = "CONFIRMED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    MISSED = "MISSED"


@dataclass(frozen=True, slots=True)
class Site:
    """How a message speaks of a site."""

    id: UUID
    discreet_name: str
    zone: ZoneInfo
    address: str
    phone: str


@dataclass(frozen=True, slots=True)
class Patient:
    id: UUID
    zone: ZoneInfo
    version: int
    """Of the event that it is known from."""


RIDE_HOME = "ride_home"
"""Code of the instruction that somebody has to take the patient home."""


@dataclass(frozen=True, slots=True)
class Visit:
    id: UUID
    status: VisitStatus
    start: datetime
    end: datetime
    """When the patient may leave."""
    telehealth: bool
    visit_type_code: str = ""
    protocol_id: UUID | None = None
    instructions: tuple["Instruction", ...] = ()

    @property
    def needs_ride(self) -> bool:
        return any(each.code == RIDE_HOME for each in self.instructions)


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a patient has to do, from so many hours before the visit on."""

    code: str
    text: str
    hours_before: int
