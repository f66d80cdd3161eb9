"""Payouts: what a card processor paid to the bank, and whose it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from chassis.errors import DomainError, Kind
from chassis.money import Money
from services.billing.domain.ledger import Account, Booked, Entry, Posting, Source


class PayoutNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "PAYOUT_NOT_FOUND", "no such payout"


class PayoutLineNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "PAYOUT_LINE_NOT_FOUND", "no such line of a payout"


class PayoutLineSettled(DomainError):
    kind, reason = Kind.CONFLICT, "PAYOUT_LINE_SETTLED"
    message = "the line matches a document, or was settled before"


class AdjustmentNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "ADJUSTMENT_NOT_FOUND", "no such adjustment"


@dataclass(frozen=True, slots=True)
class PayoutLine:
    id: UUID
    site_id: UUID | None
    """None: it matches no document, and is in nobody's books."""
    transaction: str
    type: str
    source: str
    amount: Money
    """Before the fee; below zero, what was taken."""
    fee: Money
    matched_id: UUID | None
    entry_id: UUID | None = None
    """The adjustment that settles it."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Payout:
    id: UUID
    account: str
    processor_id: str
    amount: Money
    arrival_date: date
    recorded_at: datetime
    lines: tuple[PayoutLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Matched:
    """The document that a processor names, and where it was written."""

    id: UUID
    site_id: UUID
    legal_entity_id: UUID


@dataclass(frozen=True, slots=True)
class Share:
    """What of a payout is one site's."""

    id: UUID
    site_id: UUID
    legal_entity_id: UUID
    amount: Money
    fee: Money

    def booked(self) -> list[Booked]:
        """None where it comes to nothing."""
        lines = (
            Posting(Account.BANK, self.amount - self.fee),
            Posting(Account.PROCESSOR_FEES, self.fee),
            Posting(Account.PROCESSOR_CLEARING, -self.amount),
        )
        postings = tuple(line for line in lines if line.amount.minor)
        return [Booked(self.legal_entity_id, self.site_id, Entry(Source.PAYOUT, self.id, postings))] if postings else []


def by_site(lines: Sequence[PayoutLine]) -> dict[UUID, tuple[int, int]]:
    """Amount and fee of each site."""
    found = dict[UUID, tuple[int, int]]()
    for line in lines:
        if line.site_id:
            amount, fee = found.get(line.site_id, (0, 0))
            found[line.site_id] = amount + line.amount.minor, fee + line.fee.minor
    return found
