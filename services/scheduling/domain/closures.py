"""Closures: when a site or one of its resources cannot be had, and which visits that breaks."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.etags import StaleEtag
from services.scheduling.domain.hours import Slot
from services.scheduling.domain.visits import Status

DAYS_MAX = 366
BROKEN_MAX = 200
"""Visits that are told of at once."""
BREAKABLE = frozenset({Status.BOOKED, Status.CONFIRMED, Status.CHECKED_IN, Status.IN_TREATMENT, Status.IN_OBSERVATION})
"""Visits that are to go on yet."""


class ClosureNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "CLOSURE_NOT_FOUND", "no such closure"


class ClosureInvalid(DomainError):
    kind, reason = Kind.INVALID, "CLOSURE_INVALID"
    message = "a closure does not end after it starts, or is over already"


class ClosureTooLong(DomainError):
    kind, reason, message = Kind.INVALID, "CLOSURE_TOO_LONG", "a closure lasts longer than 366 days"


class ClosureCancelled(DomainError):
    kind, reason, message = Kind.CONFLICT, "CLOSURE_CANCELLED", "the closure was cancelled before"


class ClosureKind(StrEnum):
    MAINTENANCE = "CLOSURE_KIND_MAINTENANCE"
    ILLNESS = "CLOSURE_KIND_ILLNESS"
    TIME_OFF = "CLOSURE_KIND_TIME_OFF"
    WEATHER = "CLOSURE_KIND_WEATHER"
    OTHER = "CLOSURE_KIND_OTHER"


@dataclass(frozen=True, slots=True)
class Closed:
    """What is closed, and when."""

    site_id: UUID
    resource_id: UUID | None
    """None: the whole site."""
    slot: Slot

    def check(self, now: datetime) -> None:
        if self.slot.end <= self.slot.start:
            raise ClosureInvalid(Violation("time", "BEFORE_START", "does not end after it starts"))
        if self.slot.end <= now:
            raise ClosureInvalid(Violation("time", "IN_PAST", "is over already"))
        if self.slot.end - self.slot.start > timedelta(days=DAYS_MAX, hours=1):  # Of days that clocks made longer.
            raise ClosureTooLong(Violation("time", "CLOSURE_TOO_LONG", ClosureTooLong.message))


@dataclass(frozen=True, slots=True)
class Closure:
    id: UUID
    closed: Closed
    kind: ClosureKind
    created_at: datetime
    created_by: str
    cancelled_at: datetime | None = None
    version: int = 1

    def check_stands(self) -> None:
        if self.cancelled_at:
            raise ClosureCancelled(cancel_time=self.cancelled_at.isoformat())

    def cancelled(self, version: int, at: datetime) -> "Closure":
        """What was cancelled before is told before what is stale: whoever sees that need not read it again."""
        self.check_stands()
        if version != self.version:
            raise StaleEtag()
        return replace(self, cancelled_at=at, version=version + 1)
