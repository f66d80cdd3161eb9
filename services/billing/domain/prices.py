"""Price books: what a site asks for a visit, and which of several prices applies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.money import Money
from services.billing.domain.amounts import AmountOutOfRange, CurrencyMismatch, of_another_currency, out_of_range


class PriceBookNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "PRICE_BOOK_NOT_FOUND", "no such price book"


class PriceItemRepeated(DomainError):
    kind, reason = Kind.INVALID, "PRICE_ITEM_REPEATED"
    message = "two items have the same visit type, route and band"


class PriceBookPublished(DomainError):
    kind, reason, message = Kind.CONFLICT, "PRICE_BOOK_PUBLISHED", "the price book was published before"


class EffectiveDateTooEarly(DomainError):
    kind, reason = Kind.CONFLICT, "EFFECTIVE_DATE_TOO_EARLY"
    message = "a published price book of the site takes effect on that day or later"


class PriceMissing(DomainError):
    kind, reason, message = Kind.CONFLICT, "PRICE_MISSING", "no published price book covers it"


@dataclass(frozen=True, slots=True)
class VisitKind:
    """What a price is asked for. Codes of the course's protocol version; route is '' where nothing is administered."""

    visit_type_code: str
    route_code: str
    band_code: str


@dataclass(frozen=True, slots=True)
class PriceItem:
    id: UUID
    visit_type_code: str
    route_code: str  # '': any, or none.
    band_code: str  # '': any.
    unit_price: Money
    description: str
    code: str = ""  # '': of a visit.

    @property
    def key(self) -> tuple[str, str, str]:
        return self.visit_type_code, self.route_code, self.band_code

    @property
    def specificity(self) -> tuple[bool, bool]:
        """A route says more than a band. With it no two items that cover the same visit are alike."""
        return bool(self.route_code), bool(self.band_code)

    def covers(self, kind: VisitKind) -> bool:
        return (
            self.visit_type_code == kind.visit_type_code
            and self.route_code in ("", kind.route_code)
            and self.band_code in ("", kind.band_code)
        )


@dataclass(frozen=True, slots=True)
class PriceBook:
    id: UUID
    site_id: UUID
    effective_date: date  # In the site's zone.
    deposit: Money  # Once per course.
    items: tuple[PriceItem, ...]
    created_at: datetime
    version: int = 0  # Of the site's published price books, from 1. 0: a draft.
    published_at: datetime | None = None

    @property
    def currency(self) -> str:
        return self.deposit.currency

    def check(self, currency: str) -> None:
        """Refuses, naming every item at fault, what could not be priced by."""
        amounts = [("deposit", self.deposit)]
        amounts += [(f"items[{i}].unit_price", item.unit_price) for i, item in enumerate(self.items)]
        if foreign := [fault for field, amount in amounts for fault in of_another_currency(amount, currency, field)]:
            raise CurrencyMismatch(*foreign)
        if wild := [fault for field, amount in amounts for fault in out_of_range(amount, field)]:
            raise AmountOutOfRange(*wild)
        keys = [item.key for item in self.items]
        if repeated := [i for i, key in enumerate(keys) if key in keys[:i]]:
            text = "has the visit type, route and band of an item before it"
            raise PriceItemRepeated(*(Violation(f"items[{i}]", "PRICE_ITEM_REPEATED", text) for i in repeated))

    def item_for(self, kind: VisitKind) -> PriceItem | None:
        """The most specific item that covers the visit."""
        return max((item for item in self.items if item.covers(kind)), key=lambda item: item.specificity, default=None)

    def product(self, code: str) -> PriceItem | None:
        return next((item for item in self.items if item.code == code), None)


@dataclass(frozen=True, slots=True)
class Price:
    """One item, and why it is that one: its price book."""

    book: PriceBook
    item: PriceItem


def next_version(draft: PriceBook, published: Sequence[PriceBook]) -> int:
    """The version that `draft` gets, or why it gets none. `published` are the site's, in order of version."""
    if version := next((book.version for book in published if book.id == draft.id), None):
        raise PriceBookPublished(version=version)
    if not published:
        return 1
    last = published[-1]
    if foreign := of_another_currency(draft.deposit, last.currency, "currency_code"):
        raise CurrencyMismatch(*foreign)
    if draft.effective_date <= last.effective_date:
        raise EffectiveDateTooEarly(version=last.version, effective_date=last.effective_date)
    return last.version + 1


def since(books: Sequence[PriceBook], day: date, known_at: datetime) -> Sequence[PriceBook]:
    """The price book in force on `day`, of those published by `known_at`, and after it all later ones.

    If none was in force, all: a site's first price book covers what was booked before it, too. The first of the result
    is the one that a course booked then is pinned to; the others only price what it has no price for. What is published
    later so never changes a price that was there.
    """
    in_force = [
        i
        for i, book in enumerate(books)
        if book.effective_date <= day and book.published_at and book.published_at <= known_at
    ]
    return books[max(in_force, default=0) :]


def price(books: Sequence[PriceBook], kind: VisitKind) -> Price | None:
    """From the first price book that has one."""
    found = ((book, book.item_for(kind)) for book in books)
    return next((Price(book, item) for book, item in found if item), None)


def prices(books: Sequence[PriceBook], kinds: Sequence[VisitKind]) -> Mapping[VisitKind, Price]:
    """Of each kind that has one."""
    found = {kind: price(books, kind) for kind in kinds}
    return {kind: each for kind, each in found.items() if each}
