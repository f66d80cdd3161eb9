"""Disputes: card holders who take a payment back, and what becomes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from chassis.errors import DomainError, Kind
from chassis.money import Money
from services.billing.domain.ledger import Account, Entry, Posting, Source, move


class DisputeNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "DISPUTE_NOT_FOUND", "no such dispute"


class DisputeNotLost(DomainError):
    kind, reason, message = Kind.CONFLICT, "DISPUTE_NOT_LOST", "the dispute is open, won, or decided"


class DisputeState(IntEnum):
    """How a dispute stands; numbered as in the proto."""

    OPEN = 1
    WON = 2
    LOST = 3
    OWED_AGAIN = 4
    WRITTEN_OFF = 5


class Decision(IntEnum):
    """What becomes of one that was lost; numbered as in the proto."""

    OWED_AGAIN = 1
    WRITTEN_OFF = 2


@dataclass(frozen=True, slots=True)
class Dispute:
    id: UUID
    site_id: UUID
    patient_id: UUID
    payment_id: UUID
    account: str
    processor_id: str
    amount: Money
    lost: Money
    """Of its payment: what is gone since it is owed again."""
    state: DisputeState
    reason: str
    """The processor's code."""
    note: str
    """Of who decided."""
    opened_at: datetime
    changed_at: datetime

    def opened_entry(self) -> Entry:
        return move(Source.DISPUTE, self.id, Account.DISPUTED_RECEIVABLE, Account.PROCESSOR_CLEARING, self.amount)

    def won_entry(self) -> Entry:
        return move(
            Source.DISPUTE_OUTCOME, self.id, Account.PROCESSOR_CLEARING, Account.DISPUTED_RECEIVABLE, self.amount
        )

    def written_off_entry(self) -> Entry:
        return move(Source.DISPUTE_OUTCOME, self.id, Account.WRITE_OFFS, Account.DISPUTED_RECEIVABLE, self.amount)

    def owed_again_entry(self, kept: int) -> Entry:
        """`kept` is taken from what is left of the payment; the rest, which is gone already, is written off."""
        currency, rest = self.amount.currency, self.amount.minor - kept
        lines: Mapping[Account, int] = {
            Account.CUSTOMER_DEPOSITS: kept,
            Account.WRITE_OFFS: rest,
            Account.DISPUTED_RECEIVABLE: -self.amount.minor,
        }
        postings = tuple(Posting(account, Money(minor, currency)) for account, minor in lines.items() if minor)
        return Entry(Source.DISPUTE_OUTCOME, self.id, postings)


def after(told: str) -> DisputeState:
    """What the processor's word for a dispute's status means. An inquiry that is closed without one took no money."""
    return {"won": DisputeState.WON, "lost": DisputeState.LOST}.get(told, DisputeState.OPEN)
