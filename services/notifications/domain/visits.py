"""What notifications knows of sites, patients and visits. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo


class VisitStatus(StrEnum):
    """What a message needs to know of a visit."""

    BOOKED = "BOOKED"
    CONFIRMED = "CONFIRMED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    MISSED = "MISSED"


LIVE = frozenset({VisitStatus.BOOKED, VisitStatus.CONFIRMED})
"""Of a visit that is to take place."""


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


def instructions_of(of_version: Sequence[Mapping[str, Any]], visit: Visit) -> tuple[Instruction, ...]:
    """Those of a protocol's instructions that go with the visit."""
    return tuple(
        Instruction(each["code"], each["text"], each["hours_before"])
        for each in of_version
        if not each["visit_type_codes"] or visit.visit_type_code in each["visit_type_codes"]
    )
