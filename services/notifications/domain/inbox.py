"""Messages inside the chain's own front ends, and from where somebody who watches an inbox goes on. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chassis.errors import DomainError, Kind
from chassis.feed import Position

RESUMABLE = timedelta(days=6)
"""A day less than what came is logged: a transaction may have begun long before it committed."""


class InboxTokenInvalid(DomainError):
    kind, reason = Kind.INVALID, "INBOX_TOKEN_INVALID"
    message = "resume_token is not one that was handed out for this patient"


class InboxTokenExpired(DomainError):
    kind, reason = Kind.GONE, "INBOX_TOKEN_EXPIRED"
    message = "what came since is not kept any more, or not known: list the inbox again"


@dataclass(frozen=True, slots=True)
class Item:
    message_id: UUID
    patient_id: UUID
    site_id: UUID
    kind: str
    subject: str
    text: str
    at: datetime
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something came into an inbox."""

    message_id: UUID
    patient_id: UUID
    end_id: UUID
    """The last survivor of the patient, when it was read."""
    recorded_at: datetime
    """By the database's clock."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to where what came was read, and when, by real time."""

    database: str
    """One history of one database: positions of another mean nothing."""
    position: Position
    read_at: datetime

    def check(self, now: "Mark") -> None:
        """Refuses a mark from which nobody can go on, `now` being that of the database as it is."""
        self.check_history(now)
        if now.read_at - self.read_at > RESUMABLE:
            raise InboxTokenExpired()

    def check_history(self, now: "Mark") -> None:
        if self.database != now.database or self.position > now.position:
            raise InboxTokenExpired()
