"""Packages that were sold: what is left of them, which visit is drawn from which, and what an early stop gives back.

What is left of an entitlement is a number of visits and a value, together. A visit takes its share of what is left, so
that the shares of all visits add up to the price of the package, however often some are put back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import IntEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind
from chassis.money import Money
from services.billing.domain.business_days import end_of
from services.billing.domain.packages import Package, PackageStart
from services.billing.domain.prices import VisitKind
from services.billing.domain.sites import Site
from services.billing.domain.tax import part_of

GRACE = timedelta(days=3)
"""So long after its last day a package waits for news of visits before what is left is taken."""
WARNED_BEFORE = timedelta(days=30)


class PackageSaleNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "PACKAGE_SALE_NOT_FOUND", "no such sale of a package"


class PackageUnpaid(DomainError):
    kind, reason, message = Kind.CONFLICT, "PACKAGE_UNPAID", "what is paid of the package does not reach to the visit"


class PackageFrozen(DomainError):
    kind, reason, message = Kind.CONFLICT, "PACKAGE_FROZEN", "the package is frozen"


class PackageExpired(DomainError):
    kind, reason, message = Kind.CONFLICT, "PACKAGE_EXPIRED", "the last day of the package is past"


class PackageEnded(DomainError):
    kind, reason, message = Kind.CONFLICT, "PACKAGE_ENDED", "the package was stopped, or has expired"


class PackageNotTransferable(DomainError):
    kind, reason, message = Kind.CONFLICT, "PACKAGE_NOT_TRANSFERABLE", "the package is for who bought it"


class PackageTransferToSelf(DomainError):
    kind, reason, message = Kind.INVALID, "PACKAGE_TRANSFER_TO_SELF", "the patient has the package already"


class PackageNotFreezable(DomainError):
    kind, reason = Kind.CONFLICT, "PACKAGE_NOT_FREEZABLE"
    message = "the terms of the package allow no freeze, no day of it is left, or it is not frozen"


class PackageOtherSite(DomainError):
    kind, reason = Kind.DENIED, "PACKAGE_OTHER_SITE"
    message = "it would change the books of a site that the caller does not act for"


class EntitlementMissing(DomainError):
    kind, reason = Kind.CONFLICT, "ENTITLEMENT_MISSING"
    message = "the entitlement is not there, does not cover the visit, or nothing is left of it"


class SaleStatus(IntEnum):
    """How a package that was sold stands; numbered as in the proto."""

    OPEN = 1
    USED = 2
    STOPPED = 3
    EXPIRED = 4


@dataclass(frozen=True, slots=True)
class Entitlement:
    id: UUID
    kind: VisitKind  # An empty route or band stands for any.
    count: int
    value: Money
    left_count: int
    left: Money

    @property
    def specificity(self) -> tuple[bool, bool]:
        return bool(self.kind.route_code), bool(self.kind.band_code)

    @property
    def next_value(self) -> Money:
        """Of the next visit that is drawn."""
        return self.left.split([1] * self.left_count)[0]

    def drawn(self) -> "Entitlement":
        return replace(self, left_count=self.left_count - 1, left=self.left - self.next_value)

    def emptied(self) -> "Entitlement":
        return replace(self, left_count=0, left=Money(0, self.left.currency))

    def restored(self, value: Money) -> "Entitlement":
        return replace(self, left_count=self.left_count + 1, left=self.left + value)


@dataclass(frozen=True, slots=True)
class Sale:
    """A package that was sold. Days are those of the site that sold it."""

    id: UUID
    package: Package
    site_id: UUID
    legal_entity_id: UUID
    patient_id: UUID
    """Who bought it."""
    holder_id: UUID
    """Who may draw from it."""
    charge_id: UUID
    price: Money
    paid: Money
    """Of the price and the tax that was added to it."""
    invoice_id: UUID | None
    sold_on: date
    sold_at: datetime
    entitlements: tuple[Entitlement, ...]
    zone: ZoneInfo  # Of the site that sold it.
    expires_on: date | None = None  # The last day; of a frozen one, as it was before. None: the first use starts it.
    frozen_on: date | None = None
    frozen_days: int = 0  # Of freezes that are over.
    ended_at: datetime | None = None
    ended_as: SaleStatus | None = None
    version: int = 1
    tax_minor: int = 0
    """What its invoice added to the price."""
    included_tax_minor: int = 0
    """What of the price its invoice took as tax."""

    @property
    def owed(self) -> Money:
        """The price and its tax."""
        return self.price + self.tax_of(self.price)

    def tax_of(self, part: Money) -> Money:
        """That was added to a part of the price: of the site that sold it and the day on which it did, wherever and
        whenever visits are drawn."""
        return part_of(self.tax_minor, part, self.price)

    def included_tax_of(self, part: Money) -> Money:
        return part_of(self.included_tax_minor, part, self.price)

    @property
    def left(self) -> Money:
        """The liability: what is sold and not delivered."""
        return sum((each.left for each in self.entitlements), Money(0, self.price.currency))

    @property
    def status(self) -> SaleStatus:
        if self.ended_as:
            return self.ended_as
        return SaleStatus.OPEN if any(each.left_count for each in self.entitlements) else SaleStatus.USED

    @property
    def freeze_days_left(self) -> int:
        return self.package.terms.freeze_days - self.frozen_days

    def day(self, instant: datetime) -> date:
        return instant.astimezone(self.zone).date()

    def is_frozen(self, day: date) -> bool:
        """A freeze ends by itself when its days are used up."""
        return self.frozen_on is not None and self.frozen_on <= day < self.frozen_on + timedelta(self.freeze_days_left)

    def days_frozen(self, day: date) -> int:
        """By the freeze that goes on, if one does."""
        return max(0, min((day - self.frozen_on).days, self.freeze_days_left)) if self.frozen_on else 0

    def last_day(self, day: date) -> date | None:
        """As it is on `day`: a freeze that goes on moves it day by day."""
        return self.expires_on and self.expires_on + timedelta(self.days_frozen(day))

    @property
    def expire_at(self) -> datetime | None:
        """When the last day is over, if a freeze that goes on takes all the days that it may."""
        latest = self.last_day(date.max) if self.frozen_on else self.expires_on
        return end_of(latest, self.zone) if latest else None

    def need_open(self, day: date) -> None:
        if self.ended_at:
            raise PackageEnded()
        last = self.last_day(day)
        if last and last < day:
            raise PackageExpired(expire_date=last)

    def need_for(self, visit_day: date) -> None:
        """That a visit on that day may be drawn from it."""
        self.need_open(visit_day)
        if self.is_frozen(visit_day):
            raise PackageFrozen()

    def may_redeem_at(self, site_id: UUID) -> bool:
        sites = self.package.terms.redeem_site_ids
        return not sites or site_id in sites

    def missing_for(self, value: Money) -> Money:
        """What must be paid first, for the next visit to be, with its tax."""
        if self.package.terms.redeemable_unpaid:
            return Money(0, self.price.currency)
        drawn = self.price - self.left + value
        return max(drawn + self.tax_of(drawn) - self.paid, Money(0, self.price.currency))

    def with_first_use(self, day: date) -> "Sale":
        """The first visit starts the days of validity, where the sale did not. A freeze that ran out before it moves
        nothing of them; its days are used up."""
        if self.expires_on:
            return self
        ran_out = self.frozen_on is not None and self.frozen_on <= day
        sale = _thawed(self, day) if ran_out else self
        return replace(sale, expires_on=day + timedelta(self.package.terms.valid_days))

    def changed(self) -> "Sale":
        """Its next version: whoever decided by what was left before must look again."""
        return replace(self, version=self.version + 1)

    def with_entitlement(self, changed: Entitlement) -> "Sale":
        return replace(
            self, entitlements=tuple(changed if each.id == changed.id else each for each in self.entitlements)
        )


def first_expiry(package: Package, sold_on: date) -> date | None:
    terms = package.terms
    return sold_on + timedelta(terms.valid_days) if terms.valid_from is PackageStart.SALE else None


def frozen(sale: Sale, day: date) -> Sale:
    sale.need_open(day)
    if sale.is_frozen(day):
        raise PackageFrozen()
    thawed = _thawed(sale, day)
    if thawed.freeze_days_left <= 0:
        raise PackageNotFreezable()
    return replace(thawed, frozen_on=day, version=sale.version + 1)


def unfrozen(sale: Sale, day: date) -> Sale:
    if sale.ended_at:
        raise PackageEnded()
    if not sale.frozen_on:
        raise PackageNotFreezable()
    return replace(_thawed(sale, day), version=sale.version + 1)


def _thawed(sale: Sale, day: date) -> Sale:
    return replace(
        sale,
        expires_on=sale.last_day(day),
        frozen_days=sale.frozen_days + sale.days_frozen(day),
        frozen_on=None,
    )


@dataclass(frozen=True, slots=True)
class Drawn:
    """From what a visit is drawn, and the share of the price that it takes."""

    sale: Sale
    entitlement: Entitlement
    value: Money


def choose(sales: Iterable[Sale], visit: VisitKind, site: Site, day: date) -> Drawn | None:
    """For a visit at the site on `day`, which is the site's: what expires first, then the most specific, then what was
    sold first. Passed over is what is not paid as far as to the visit, or was sold later, by the clock of the site: it
    may be the next day already where it was."""
    found = [
        Drawn(sale, each, each.next_value)
        for sale in sales
        if site.day(sale.sold_at) <= day and _is_open(sale, day) and sale.may_redeem_at(site.id)
        for each in sale.entitlements
        if each.left_count and each.kind.covers(visit) and not sale.missing_for(each.next_value).minor
    ]
    return min(found, key=lambda each: _order(each, day), default=None)


def _is_open(sale: Sale, day: date) -> bool:
    try:
        sale.need_for(day)
    except DomainError:
        return False
    return True


def _order(drawn: Drawn, day: date) -> tuple[object, ...]:
    route, band = drawn.entitlement.specificity
    return drawn.sale.last_day(day) or date.max, not route, not band, drawn.sale.sold_at, drawn.entitlement.id
