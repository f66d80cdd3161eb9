"""Rules of messages: which a visit gets, when each is due, what a sender does with one that is. Pure.

Every instant comes in as an argument. What depends on the time of day is reckoned in the recipient's zone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind
from services.notifications.domain.hours import HOURS
from services.notifications.domain.visits import Site, Visit, VisitStatus

REMIND_BEFORE = timedelta(hours=48)
"""Elapsed hours, whatever clocks do meanwhile: a cadence in days would count the calendar's."""


ATTEMPTS_MAX = 16  # Some two hours, with the delays below.


BACK_OFF_MIN, BACK_OFF_MAX = timedelta(seconds=5), timedelta(minutes=15)


NO_HOLD = timedelta()


class MessageNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "MESSAGE_NOT_FOUND", "no such message"


class MessageKind(StrEnum):
    """What a message is for; message.proto says when each is sent."""

    VISIT_CONFIRMATION = "VISIT_CONFIRMATION"
    VISIT_REMINDER = "VISIT_REMINDER"
    VISIT_PREPARATION = "VISIT_PREPARATION"
    VISIT_MOVED = "VISIT_MOVED"
    VISIT_CANCELLED = "VISIT_CANCELLED"
    VISIT_MISSED = "VISIT_MISSED"
    VISIT_FOLLOW_UP = "VISIT_FOLLOW_UP"
    COMPANION_PICK_UP = "COMPANION_PICK_UP"
    HOLD_EXPIRED = "HOLD_EXPIRED"
    ESTIMATE_READY = "ESTIMATE_READY"
    INVOICE_ISSUED = "INVOICE_ISSUED"
    PAYMENT_RECEIVED = "PAYMENT_RECEIVED"
    REFUND_MADE = "REFUND_MADE"
    CREDIT_NOTE_ISSUED = "CREDIT_NOTE_ISSUED"
    CARD_CHARGE_FAILED = "CARD_CHARGE_FAILED"
    BALANCE_DUE = "BALANCE_DUE"
    DEPOSIT_RELEASED = "DEPOSIT_RELEASED"
    DEPOSIT_FORFEITED = "DEPOSIT_FORFEITED"
    PACKAGE_SOLD = "PACKAGE_SOLD"
    PACKAGE_EXPIRING = "PACKAGE_EXPIRING"
    PACKAGE_EXPIRED = "PACKAGE_EXPIRED"
    PACKAGE_STOPPED = "PACKAGE_STOPPED"
    CONSENT_OUTDATED = "CONSENT_OUTDATED"
    OPT_OUT_CONFIRMED = "OPT_OUT_CONFIRMED"
    OPT_IN_CONFIRMED = "OPT_IN_CONFIRMED"
    HELP = "HELP"
    CONFIRM_RECEIVED = "CONFIRM_RECEIVED"
    MOVE_RECEIVED = "MOVE_RECEIVED"
    REPLY_RECEIVED = "REPLY_RECEIVED"
    ANNOUNCEMENT = "ANNOUNCEMENT"


PLANNED = (MessageKind.VISIT_CONFIRMATION, MessageKind.VISIT_REMINDER)
"""What a visit gets when it is booked."""


class Channel(StrEnum):
    EMAIL = "EMAIL"
    SMS = "SMS"
    VOICE = "VOICE"
    IN_APP = "IN_APP"


class Status(StrEnum):
    SCHEDULED = "SCHEDULED"
    SENDING = "SENDING"
    SENT = "SENT"
    SUPPRESSED = "SUPPRESSED"
    WITHDRAWN = "WITHDRAWN"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


class Reason(StrEnum):
    """Why a message did not go out, or may not have."""

    NO_EMAIL_ADDRESS = "NO_EMAIL_ADDRESS"
    VISIT_STARTED = "VISIT_STARTED"
    VISIT_CANCELLED = "VISIT_CANCELLED"
    VISIT_MISSED = "VISIT_MISSED"
    REFUSED = "REFUSED"
    ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"
    TEMPLATE_BROKEN = "TEMPLATE_BROKEN"
    NO_ANSWER = "NO_ANSWER"
    PATIENT_DECEASED = "PATIENT_DECEASED"


WITHDRAWN_BECAUSE = {VisitStatus.CANCELLED: Reason.VISIT_CANCELLED, VisitStatus.MISSED: Reason.VISIT_MISSED}


RESENT_IN_DOUBT = {MessageKind.VISIT_CONFIRMATION: True, MessageKind.VISIT_REMINDER: False}
"""Whether a message that may have gone out is sent again, with the same Message-ID: a lost confirmation leaves a
patient without the date, a second reminder is a nuisance. SMTP has no key by which a server would drop the second."""


def due(kind: MessageKind, visit_start: datetime, zone: ZoneInfo, now: datetime) -> datetime:
    """When a message is to go out: never before `now`, and in quiet hours only if it would come too late otherwise."""
    if kind is MessageKind.VISIT_REMINDER:
        # Email knows no legal quiet hours: what should have gone out goes out at once.
        return max(HOURS.previous(visit_start - REMIND_BEFORE, zone), now)
    decent = HOURS.next(now, zone)
    return decent if decent < visit_start else now


@dataclass(frozen=True, slots=True)
class Planned:
    """A message to be kept: to go out, or already withdrawn because its visit is off."""

    visit_id: UUID
    kind: MessageKind
    due: datetime
    status: Status
    reason: Reason | None


def plan(visit: Visit, zone: ZoneInfo, now: datetime) -> list[Planned]:
    """The messages of a visit whose booking is heard of `now`, for a patient in `zone`."""
    reason = WITHDRAWN_BECAUSE.get(visit.status)
    status = Status.WITHDRAWN if reason else Status.SCHEDULED
    return [Planned(visit.id, kind, due(kind, visit.start, zone, now), status, reason) for kind in PLANNED]


@dataclass(frozen=True, slots=True)
class Settled:
    """A message with which nothing more will happen."""

    id: UUID
    patient_id: UUID
    visit_id: UUID
    site_id: UUID
    status: Status


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that a sender took up under a lease, with all that decides whether it goes out and what it says."""

    id: UUID
    lease_id: UUID
    kind: MessageKind
    status: Status
    attempts: int
    event_id: UUID  # That made it.
    recipient_id: UUID  # The patient; of a merged one the survivor.
    zone: ZoneInfo  # The recipient's.
    visit: Visit
    site: Site

    @property
    def in_doubt(self) -> bool:
        """A sender began to send it and left it so: it may be out."""
        return self.status is Status.SENDING


@dataclass(frozen=True, slots=True)
class TemplateRef:
    """Which text was sent. Of a shipped one the code is its kind, the version a digest of it; of a chain's own the code
    is its id, the version its number. Neither can be changed under its name."""

    code: str
    version: str
    language: str


@dataclass(frozen=True, slots=True)
class Contact:
    """What is known of a patient at the moment of sending, and forgotten after it."""

    given_name: str
    language: str
    email: str | None
    deceased: bool


@dataclass(frozen=True, slots=True)
class Settle:
    """Nothing more will happen to the message."""

    status: Status
    reason: Reason | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Postpone:
    """It would come at a bad hour."""

    due: datetime


@dataclass(frozen=True, slots=True)
class Retry:
    """Again, once `hold` of real time has passed."""

    status: Status
    hold: timedelta
    error: str


@dataclass(frozen=True, slots=True)
class Send:
    """Go on."""


def settle(taken: Taken, status: Status, reason: Reason | None = None, error: str | None = None) -> Settle:
    """What may be out is never said not to be."""
    if taken.in_doubt and status is not Status.SENT:
        return Settle(Status.UNKNOWN, Reason.NO_ANSWER, error)
    return Settle(status, reason, error)


def next_step(taken: Taken, now: datetime) -> Settle | Postpone | Send:
    """What to do with a message that is due `now`."""
    if taken.in_doubt and not RESENT_IN_DOUBT[taken.kind]:
        return settle(taken, Status.UNKNOWN, Reason.NO_ANSWER)
    if reason := WITHDRAWN_BECAUSE.get(taken.visit.status):
        return settle(taken, Status.WITHDRAWN, reason)
    if now >= taken.visit.start:
        return settle(taken, Status.SUPPRESSED, Reason.VISIT_STARTED)
    if taken.attempts >= ATTEMPTS_MAX:
        return settle(taken, Status.FAILED, Reason.ATTEMPTS_EXHAUSTED)
    decent = due(taken.kind, taken.visit.start, taken.zone, now)
    return Postpone(decent) if decent > now else Send()


def unreachable(taken: Taken, contact: Contact) -> Settle | None:
    """Why nothing can be sent to a patient, if so."""
    if contact.deceased:
        return settle(taken, Status.SUPPRESSED, Reason.PATIENT_DECEASED)
    if contact.email is None:
        return settle(taken, Status.SUPPRESSED, Reason.NO_EMAIL_ADDRESS)
    return None


def without_contact(taken: Taken, code: str, chance: float) -> Retry:
    """No contact details could be had. Not an attempt: nothing is lost by waiting until the visit begins."""
    return Retry(taken.status, spread(BACK_OFF_MIN, chance), code)


class Answer(Enum):
    """What came of handing a message to the next server."""

    TAKEN = auto()
    NOT_NOW = auto()  # It did not take the message, and may later.
    NEVER = auto()  # It refuses the message for good.
    NONE = auto()  # The line broke when the message was on it: it may have been taken.


def after_attempt(taken: Taken, answer: Answer, code: str, chance: float) -> Settle | Retry:
    """What becomes of a message after its attempt; `chance`, from 0 to 1, spreads those that failed together."""
    if answer is Answer.TAKEN:
        return settle(taken, Status.SENT)
    if answer is Answer.NEVER:
        return settle(taken, Status.FAILED, Reason.REFUSED, code)
    lost = answer is Answer.NONE
    if lost and not RESENT_IN_DOUBT[taken.kind]:
        return settle(taken, Status.UNKNOWN, Reason.NO_ANSWER, code)
    if taken.attempts >= ATTEMPTS_MAX:
        reason = Reason.NO_ANSWER if lost else Reason.ATTEMPTS_EXHAUSTED
        return settle(taken, Status.UNKNOWN if lost else Status.FAILED, reason, code)
    return Retry(Status.SENDING if lost else taken.status, back_off(taken.attempts, chance), code)


def back_off(attempts: int, chance: float) -> timedelta:
    """Doubles from attempt to attempt."""
    return spread(min(BACK_OFF_MIN * 2.0 ** (attempts - 1), BACK_OFF_MAX), chance)


def spread(delay: timedelta, chance: float) -> timedelta:
    """Between half and the whole of it, so that a crowd does not come back at once."""
    return delay * (0.5 + chance / 2)
