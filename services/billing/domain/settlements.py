"""What legal entities of a chain owe each other for visits that one sold ahead and another rendered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.errors import DomainError, Kind
from chassis.money import Money
from services.billing.domain.amounts import AmountOutOfRange, out_of_range
from services.billing.domain.ledger import Account, Booked, Entry, Posting, Source


class SettlementChanged(DomainError):
    kind, reason = Kind.CONFLICT, "SETTLEMENT_CHANGED"
    message = "what is open between the legal entities is not the amount named"


@dataclass(frozen=True, slots=True)
class OpenSettlement:
    """Between a site that sold and one that rendered, in one currency. Below zero: the one that rendered owes."""

    selling_site_id: UUID
    site_id: UUID
    amount: Money
    item_ids: tuple[UUID, ...]
    """Of redemptions and their undoings."""


@dataclass(frozen=True, slots=True)
class Settlement:
    id: UUID
    selling_site_id: UUID
    site_id: UUID
    debtor_id: UUID
    creditor_id: UUID
    amount: Money
    bank_reference: str
    settled_at: datetime
    item_ids: tuple[UUID, ...]

    def entries(self) -> list[Booked]:
        """Of the debtor, and of the creditor. None: visits drawn and put back have cancelled out."""
        if not self.amount.minor:
            return []
        pays = Posting(Account.DUE_TO, self.amount, "", self.creditor_id), Posting(Account.BANK, -self.amount)
        gets = Posting(Account.BANK, self.amount), Posting(Account.DUE_FROM, -self.amount, "", self.debtor_id)
        return [
            Booked(self.debtor_id, self.selling_site_id, Entry(Source.SETTLEMENT, self.id, pays)),
            Booked(self.creditor_id, self.site_id, Entry(Source.SETTLEMENT, self.id, gets)),
        ]


def check_settled(amount: Money, found: Sequence[OpenSettlement]) -> None:
    """That `amount` is all there is, so that nobody pays for what came in meanwhile. It may be any sum of visits, and a
    slip of the keys is not what is open."""
    if amount.minor < 1:
        raise AmountOutOfRange(*out_of_range(amount, "amount", least=1))
    total = sum((each.amount for each in found), Money(0, amount.currency))
    if total != amount:
        raise SettlementChanged(open_minor=total.minor)
