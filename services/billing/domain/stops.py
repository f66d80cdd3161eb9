"""How packages end with visits left: what an early stop gives back, and what becomes of the rest when they expire."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from chassis.errors import DomainError, Kind
from chassis.money import Money
from services.billing.domain.entitlements import Sale
from services.billing.domain.ledger import Account, Entry, Posting, Source
from services.billing.domain.packages import EarlyStop
from services.billing.domain.redemptions import Redemption


class PackageNotInvoiced(DomainError):
    kind, reason, message = Kind.CONFLICT, "PACKAGE_NOT_INVOICED", "the sale of the package is on no invoice yet"


class PackageUsed(DomainError):
    kind, reason, message = Kind.CONFLICT, "PACKAGE_USED", "all visits of the package are drawn"


@dataclass(frozen=True, slots=True)
class Stop:
    """What an early stop does: what is left of the price is split into what need not be paid any more (`forgiven`),
    what comes back (`refundable`), what the visits drawn cost more one by one (`rerated`), and the fee."""

    price: Money
    paid: Money
    consumed: Money
    fee: Money
    forgiven: Money
    refundable: Money
    rerated: Money

    @property
    def returned(self) -> Money:
        return self.forgiven + self.refundable


def stop(sale: Sale, redemptions: Sequence[Redemption]) -> Stop:
    """`redemptions` are those that stand. The patient keeps to pay what was consumed and the fee, never more than the
    price; so that nothing comes back that was not paid."""
    nothing, terms = Money(0, sale.price.currency), sale.package.terms
    left = sale.left
    consumed = sale.price - left
    if terms.early_stop is EarlyStop.RERATE:
        consumed = sum((_single_price(each) for each in redemptions), nothing)
    rerated = min(consumed - (sale.price - left), left)
    fee = min(_percent(sale.price, terms.stop_fee_percent), left - rerated)
    returned = left - rerated - fee
    forgiven = min(returned, sale.price - sale.paid)
    return Stop(sale.price, sale.paid, consumed, fee, forgiven, returned - forgiven, rerated)


def _single_price(redemption: Redemption) -> Money:
    """No less than its share, so that what is recognised stays so."""
    return max(redemption.list_price or redemption.value, redemption.value)


def _percent(amount: Money, percent: int) -> Money:
    return amount.split([percent, 100 - percent])[0]


@dataclass(frozen=True, slots=True)
class PackageEnd:
    """What became of what was left of a package when it was stopped, or expired."""

    id: UUID
    reason: str
    left: Money
    forgiven: Money
    refundable: Money
    rerated: Money
    fee: Money
    breakage: Money


def end_of_stop(id: UUID, reason: str, sale: Sale, stop: Stop) -> PackageEnd:
    nothing = Money(0, sale.price.currency)
    return PackageEnd(id, reason, sale.left, stop.forgiven, stop.refundable, stop.rerated, stop.fee, nothing)


def end_of_expiry(id: UUID, sale: Sale) -> PackageEnd:
    nothing = Money(0, sale.price.currency)
    return PackageEnd(id, "", sale.left, nothing, nothing, nothing, nothing, breakage=sale.left)


def entry_of_end(end: PackageEnd, item_code: str) -> Entry | None:
    """None where nothing was left."""
    parts = [
        Posting(Account.ACCOUNTS_RECEIVABLE, -end.forgiven),
        Posting(Account.PATIENT_CREDIT, -end.refundable),
        Posting(Account.REVENUE, -end.rerated, item_code),
        Posting(Account.FEE_REVENUE, -end.fee, item_code),
        Posting(Account.BREAKAGE, -end.breakage),
    ]
    if not end.left.minor:
        return None
    given = (each for each in parts if each.amount.minor)
    return Entry(Source.PACKAGE_END, end.id, (Posting(Account.DEFERRED_REVENUE, end.left), *given))
