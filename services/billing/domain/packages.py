"""Packages: bundles of visits that a chain offers for one price, paid ahead. Versions of an offer, and their terms."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.money import Money
from services.billing.domain.amounts import AmountOutOfRange, CurrencyMismatch, of_another_currency, out_of_range
from services.billing.domain.prices import ItemKind, Price, PriceBook, VisitKind, price


class PackageNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "PACKAGE_NOT_FOUND", "no such package"


class PackageItemRepeated(DomainError):
    kind, reason = Kind.INVALID, "PACKAGE_ITEM_REPEATED"
    message = "two items have the same visit type, route and band, or two prices the same site"


class PackageVisitTypeUnknown(DomainError):
    kind, reason = Kind.INVALID, "PACKAGE_VISIT_TYPE_UNKNOWN"
    message = "no published protocol has a visit type of that code"


class PackagePublished(DomainError):
    kind, reason, message = Kind.CONFLICT, "PACKAGE_PUBLISHED", "the package was published before"


class PackageNotOnSale(DomainError):
    kind, reason, message = Kind.CONFLICT, "PACKAGE_NOT_ON_SALE", "the package is a draft, or retired"


class PackageNotSoldHere(DomainError):
    kind, reason, message = Kind.CONFLICT, "PACKAGE_NOT_SOLD_HERE", "the package has no price at the site"


class PackageStatus(IntEnum):
    """How far a version has come; numbered as in the proto."""

    DRAFT = 1
    PUBLISHED = 2
    RETIRED = 3


class PackageStart(IntEnum):
    """What the days of validity are counted from; numbered as in the proto."""

    SALE = 1
    FIRST_USE = 2


class EarlyStop(IntEnum):
    """What comes back when a package is stopped; numbered as in the proto."""

    PRO_RATA = 1
    RERATE = 2


@dataclass(frozen=True, slots=True)
class PackageItem:
    kind: VisitKind  # An empty route or band stands for any.
    count: int


@dataclass(frozen=True, slots=True)
class SitePrice:
    site_id: UUID
    price: Money


@dataclass(frozen=True, slots=True)
class PackageTerms:
    name: str
    items: tuple[PackageItem, ...]
    price: Money | None  # None: sold only at sites that have one of their own.
    site_prices: tuple[SitePrice, ...]
    valid_days: int
    valid_from: PackageStart
    transferable: bool
    redeem_site_ids: frozenset[UUID]  # None of them: at every site.
    freeze_days: int
    early_stop: EarlyStop
    stop_fee_percent: int
    redeemable_unpaid: bool

    @property
    def currency(self) -> str:
        return self.prices[0][1].currency

    @property
    def prices(self) -> list[tuple[str, Money]]:
        """With the field of each."""
        own = [("terms.price", self.price)] if self.price else []
        return own + [(f"terms.site_prices[{i}].price", each.price) for i, each in enumerate(self.site_prices)]

    def price_at(self, site_id: UUID) -> Money | None:
        """None: it is not sold there."""
        return next((each.price for each in self.site_prices if each.site_id == site_id), self.price)

    def check(self, visit_type_codes: Collection[str]) -> None:
        """Refuses, naming every item and price at fault, what could not be sold or drawn. `visit_type_codes` are all
        that the chain's protocols have."""
        self._check_prices()
        kinds, sites = [item.kind for item in self.items], [each.site_id for each in self.site_prices]
        twice = _repeated("terms.items", kinds) + _repeated("terms.site_prices", sites)
        if twice:
            raise PackageItemRepeated(
                *(Violation(field, "PACKAGE_ITEM_REPEATED", "was named before") for field in twice)
            )
        unknown = [i for i, kind in enumerate(kinds) if kind.visit_type_code not in visit_type_codes]
        if unknown:
            rule, text = "PACKAGE_VISIT_TYPE_UNKNOWN", "is of no published protocol"
            raise PackageVisitTypeUnknown(
                *(Violation(f"terms.items[{i}].visit_type_code", rule, text) for i in unknown)
            )

    def check_site(self, site_id: UUID, currency: str | None) -> None:
        """Of a site that has a price of its own: in its currency. None while the site has published no price."""
        for i, each in enumerate(self.site_prices):
            field = f"terms.site_prices[{i}].price"
            if currency and each.site_id == site_id and (foreign := of_another_currency(each.price, currency, field)):
                raise CurrencyMismatch(*foreign)

    def _check_prices(self) -> None:
        if not self.prices:
            raise AmountOutOfRange(Violation("terms.price", "AMOUNT_OUT_OF_RANGE", "is missing, and no site has one"))
        if foreign := [
            fault for field, price in self.prices for fault in of_another_currency(price, self.currency, field)
        ]:
            raise CurrencyMismatch(*foreign)
        if wild := [fault for field, price in self.prices for fault in out_of_range(price, field, least=1)]:
            raise AmountOutOfRange(*wild)


@dataclass(frozen=True, slots=True)
class Package:
    """One version of an offer."""

    id: UUID
    code: str
    terms: PackageTerms
    created_at: datetime
    version: int = 0  # Of the published ones of its code, from 1. 0: a draft.
    published_at: datetime | None = None
    retired_at: datetime | None = None
    row_version: int = 1

    @property
    def status(self) -> PackageStatus:
        if self.retired_at:
            return PackageStatus.RETIRED
        return PackageStatus.PUBLISHED if self.published_at else PackageStatus.DRAFT

    def need_draft(self) -> None:
        if self.published_at:
            raise PackagePublished(version=self.version)

    def need_on_sale(self) -> None:
        if self.status is not PackageStatus.PUBLISHED:
            raise PackageNotOnSale()


def single_price(books: Sequence[PriceBook], item: VisitKind) -> Money | None:
    """Of one visit at a site; of an item for any route or band, the lowest of those that it covers."""
    if found := price(books, item):
        return found.amount
    covered = (
        Price(book, each).amount
        for book in books
        for each in book.items
        if each.kind is ItemKind.VISIT and item.covers(each.visit_kind)
    )
    return min(covered, default=None)


def shares(price: Money, items: Sequence[PackageItem], list_prices: Sequence[Money | None]) -> list[Money]:
    """Of each item of a package, by what its visits cost one by one; by their number, where one has no price or all are
    free."""
    costs = [each.minor * item.count for each, item in zip(list_prices, items, strict=True) if each]
    return price.split(costs if len(costs) == len(items) and any(costs) else [item.count for item in items])


def _repeated(field: str, things: Sequence[object]) -> list[str]:
    return [f"{field}[{i}]" for i, thing in enumerate(things) if thing in things[:i]]
