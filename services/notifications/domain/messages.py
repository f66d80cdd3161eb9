"""What a message is and what becomes of it: where it stands, and why it does not go out. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from chassis.errors import DomainError, Kind
from services.notifications.domain.kinds import Channel
from services.notifications.domain.visits import VisitStatus


class MessageNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "MESSAGE_NOT_FOUND", "no such message"


class MessageNotEnded(DomainError):
    kind, reason, message = Kind.CONFLICT, "MESSAGE_NOT_ENDED", "the message is still to go out"


class MessageOutOfDate(DomainError):
    kind, reason, message = Kind.CONFLICT, "MESSAGE_OUT_OF_DATE", "what the message is about is over"


class Status(StrEnum):
    SCHEDULED = "SCHEDULED"
    SENDING = "SENDING"
    SENT = "SENT"
    SUPPRESSED = "SUPPRESSED"
    WITHDRAWN = "WITHDRAWN"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


class Reason(StrEnum):
    """Why a message did not go out, or may not have, or not by a channel."""

    NO_EMAIL_ADDRESS = "NO_EMAIL_ADDRESS"
    NO_PHONE_NUMBER = "NO_PHONE_NUMBER"
    NO_COMPANION = "NO_COMPANION"
    NO_SENDING_NUMBER = "NO_SENDING_NUMBER"
    NOT_PERMITTED = "NOT_PERMITTED"
    ADDRESS_SUPPRESSED = "ADDRESS_SUPPRESSED"
    QUIET_HOURS = "QUIET_HOURS"
    CAP_REACHED = "CAP_REACHED"
    TOO_LATE = "TOO_LATE"
    VISIT_STARTED = "VISIT_STARTED"
    VISIT_CONFIRMED = "VISIT_CONFIRMED"
    VISIT_CANCELLED = "VISIT_CANCELLED"
    VISIT_MISSED = "VISIT_MISSED"
    VISIT_MOVED = "VISIT_MOVED"
    MATTER_CLOSED = "MATTER_CLOSED"
    REFUSED = "REFUSED"
    ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"
    UNDELIVERED = "UNDELIVERED"
    TEMPLATE_BROKEN = "TEMPLATE_BROKEN"
    NO_ANSWER = "NO_ANSWER"
    PATIENT_DECEASED = "PATIENT_DECEASED"
    NO_GUARANTOR = "NO_GUARANTOR"
    MINORS_INBOX = "MINORS_INBOX"


UNSETTLED = frozenset({Status.SCHEDULED, Status.SENDING})
WITHDRAWN_BECAUSE = {VisitStatus.CANCELLED: Reason.VISIT_CANCELLED, VisitStatus.MISSED: Reason.VISIT_MISSED}


@dataclass(frozen=True, slots=True)
class Settled:
    """A message with which nothing more will happen."""

    id: UUID
    patient_id: UUID
    visit_id: UUID | None
    site_id: UUID
    status: Status


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A channel that did not carry the message, and why."""

    channel: Channel
    reason: Reason
    code: str = ""


@dataclass(frozen=True, slots=True)
class TemplateRef:
    """Which text was sent. Of a shipped one the code is its kind, the version a digest of it; of a chain's own the code
    is its id, the version its number. Neither can be changed under its name."""

    code: str
    version: str
    language: str
