"""Changes of a site's visits, and from where somebody who watches the site goes on."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from chassis.errors import DomainError, Kind
from chassis.feed import Position
from services.scheduling.domain.visits import Status, Visit

RESUMABLE = timedelta(days=6)
"""A day less than changes are kept: a transaction may have begun long before it committed."""


class ResumeTokenInvalid(DomainError):
    kind, reason = Kind.INVALID, "RESUME_TOKEN_INVALID"
    message = "resume_token is not one that was handed out for this site"


class ResumeTokenExpired(DomainError):
    kind, reason = Kind.GONE, "RESUME_TOKEN_EXPIRED"
    message = "what changed since is not kept any more, or not known: read the board again"


class ChangeKind(StrEnum):
    BOOKED = "VISIT_CHANGE_KIND_BOOKED"
    STATUS_CHANGED = "VISIT_CHANGE_KIND_STATUS_CHANGED"


@dataclass(frozen=True, slots=True)
class VisitChange:
    kind: ChangeKind
    visit_id: UUID
    course_id: UUID
    status: Status
    at: datetime
    course_version: int
    recorded_at: datetime
    """By the database's clock."""
    visit: Visit | None
    """As it was when the change was read; None: the site does not have it any more."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to where the changes of a site were read, and when, by real time."""

    database: str
    """One history of one database: positions of another mean nothing."""
    position: Position
    read_at: datetime

    def check(self, now: "Mark") -> None:
        """Refuses a mark from which nobody can go on, `now` being that of the database as it is."""
        self.check_history(now)
        if now.read_at - self.read_at > RESUMABLE:
            raise ResumeTokenExpired()

    def check_history(self, now: "Mark") -> None:
        if self.database != now.database or self.position > now.position:
            raise ResumeTokenExpired()
