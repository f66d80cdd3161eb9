"""Cards that a processor charges: what is asked of one, and how that went."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from uuid import UUID

from chassis.errors import DomainError, Kind
from chassis.money import Money

WAITS_S = (10, 30, 60, 300, 900, 3600)
"""After so many tries the processor is asked again in so many seconds; then in the last."""


class NoProcessor(DomainError):
    kind, reason, message = Kind.CONFLICT, "NO_PROCESSOR", "the site has no account with a card processor"


class ProcessorAway(DomainError):
    kind, reason = Kind.UNAVAILABLE, "PROCESSOR_AWAY"
    message = "the card processor did not answer in time; the same request may be sent again"


class CardNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "CARD_NOT_FOUND", "no such card on file of this patient"


class CardChargeNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "CARD_CHARGE_NOT_FOUND", "no such charge of a card"


class CardChargeState(IntEnum):
    """How asking a card for money went; numbered as in the proto."""

    REQUESTED = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELLED = 4


class EventOutcome(IntEnum):
    """What became of what a processor told."""

    WAITING = 0
    APPLIED = 1
    IGNORED = 2
    UNMATCHED = 3


@dataclass(frozen=True, slots=True)
class Card:
    id: UUID
    patient_id: UUID
    account: str
    customer: str
    payment_method: str
    brand: str
    last4: str
    expiry_month: int
    expiry_year: int
    saved_at: datetime
    detached_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CardCharge:
    """Its id is the key under which the processor is asked, however often."""

    id: UUID
    site_id: UUID
    patient_id: UUID
    course_id: UUID | None
    invoice_id: UUID | None
    card_id: UUID | None
    account: str
    customer: str
    payment_method: str
    """Of the card on file; empty: the patient enters one."""
    amount: Money
    saves_card: bool
    state: CardChargeState
    created_at: datetime
    changed_at: datetime
    processor_id: str | None = None
    failure: str = ""
    tries: int = 0
    aged: bool = False
    """The processor may have forgotten its key, and is not asked for money under it any more."""
    payment_id: UUID | None = None


def wait(tries: int) -> timedelta:
    return timedelta(seconds=WAITS_S[min(tries, len(WAITS_S) - 1)])
