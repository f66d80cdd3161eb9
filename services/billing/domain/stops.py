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
    what comes back (`refundable`), what the visits drawn cost more one by one (`rerated`), and the fee. What is
    forgiven and comes back has its part of the tax that was added to the price (`tax`) in it, and of the tax that the
    price includes (`included_tax`): what is kept goes on to bear the tax that it was sold with."""

    price: Money
    paid: Money
    consumed: Money
    fee: Money
    forgiven: Money
    refundable: Money
    rerated: Money
    tax: Money
    included_tax: Money

    @property
    def returned(self) -> Money:
        return self.forgiven + self.refundable


def stop(sale: Sale, redemptions: Sequence[Redemption]) -> Stop:
    """`redemptions` are those that stand. The patient keeps to pay what was consumed and the fee, never more than the
    price, with their tax; so that nothing comes back that was not paid."""
    nothing, terms = Money(0, sale.price.currency), sale.package.terms
    left = sale.left
    consumed = sale.price - left
    if terms.early_stop is EarlyStop.RERATE:
        consumed = sum((_single_price(each) for each in redemptions), nothing)
    rerated = min(consumed - (sale.price - left), left)
    fee = min(_percent(sale.price, terms.stop_fee_percent), left - rerated)
    priced = left - rerated - fee
    tax = sale.tax_of(priced)
    forgiven = min(priced + tax, sale.owed - sale.paid)
    return Stop(
        price=sale.price,
        paid=sale.paid,
        consumed=consumed,
        fee=fee,
        forgiven=forgiven,
        refundable=priced + tax - forgiven,
        rerated=rerated,
        tax=tax,
        included_tax=sale.included_tax_of(priced),
    )


def _single_price(redemption: Redemption) -> Money:
    """No less than its share, so that what is recognised stays so."""
    return max(redemption.list_price or redemption.value, redemption.value)


def _percent(amount: Money, percent: int) -> Money:
    return amount.split([percent, 100 - percent])[0]


@dataclass(frozen=True, slots=True)
class PackageEnd:
    """What became of what was left of a package when it was stopped, or expired. What is left bears the tax that it was
    sold with: an expiry gives none back."""

    id: UUID
    reason: str
    left: Money
    forgiven: Money
    refundable: Money
    rerated: Money
    fee: Money
    breakage: Money
    tax: Money
    """That was added, and goes with what is forgiven and comes back."""
    included_tax: Money


def end_of_stop(id: UUID, reason: str, sale: Sale, stop: Stop) -> PackageEnd:
    return PackageEnd(
        id=id,
        reason=reason,
        left=sale.left,
        forgiven=stop.forgiven,
        refundable=stop.refundable,
        rerated=stop.rerated,
        fee=stop.fee,
        breakage=Money(0, sale.price.currency),
        tax=stop.tax,
        included_tax=stop.included_tax,
    )


def end_of_expiry(id: UUID, sale: Sale) -> PackageEnd:
    nothing = Money(0, sale.price.currency)
    return PackageEnd(
        id=id,
        reason="",
        left=sale.left,
        forgiven=nothing,
        refundable=nothing,
        rerated=nothing,
        fee=nothing,
        breakage=sale.left,
        tax=nothing,
        included_tax=nothing,
    )


def entry_of_end(end: PackageEnd, item_code: str) -> Entry | None:
    """None where nothing was left. Tax that the price includes was taken from what packages earn, and goes back there
    with what was not earned."""
    parts = [
        Posting(Account.ACCOUNTS_RECEIVABLE, -end.forgiven),
        Posting(Account.PATIENT_CREDIT, -end.refundable),
        Posting(Account.TAX_PAYABLE, end.tax + end.included_tax),
        Posting(Account.REVENUE, -end.rerated - end.included_tax, item_code),
        Posting(Account.FEE_REVENUE, -end.fee, item_code),
        Posting(Account.BREAKAGE, -end.breakage),
    ]
    if not end.left.minor:
        return None
    given = (each for each in parts if each.amount.minor)
    return Entry(Source.PACKAGE_END, end.id, (Posting(Account.DEFERRED_REVENUE, end.left), *given))
