"""What notifications knows of sites, patients and visits. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo


class VisitStatus(StrEnum):
    """What a message needs to know of a visit."""

    BOOKED = "BOOKED"
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


@dataclass(frozen=True, slots=True)
class Visit:
    id: UUID
    status: VisitStatus
    start: datetime
    telehealth: bool
