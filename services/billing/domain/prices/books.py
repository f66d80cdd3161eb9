"""Price books: what a site asks for a visit, and which of several prices applies."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.money import Money
from services.billing.domain.amounts import AmountOutOfRange, CurrencyMismatch, of_another_currency, out_of_range
from services.billing.domain.prices.items import (
    FeeKind,
    FeeTerms,
    ItemKind,
    PriceItem,
    PriceTier,
    PriceTiersDisordered,
    VisitKind,
)


class PriceBookNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "PRICE_BOOK_NOT_FOUND", "no such price book"


class PriceItemRepeated(DomainError):
    kind, reason = Kind.INVALID, "PRICE_ITEM_REPEATED"
    message = "two items have the same visit type, route and band, or are the same fee"


class ItemCodeRepeated(DomainError):
    kind, reason, message = Kind.INVALID, "ITEM_CODE_REPEATED", "two items have the same code"


class MinimumAbovePrices(DomainError):
    kind, reason = Kind.INVALID, "MINIMUM_ABOVE_PRICES"
    message = "what a visit costs at least is more than any visit costs"


class PriceBookPublished(DomainError):
    kind, reason, message = Kind.CONFLICT, "PRICE_BOOK_PUBLISHED", "the price book was published before"


class EffectiveDateTooEarly(DomainError):
    kind, reason = Kind.CONFLICT, "EFFECTIVE_DATE_TOO_EARLY"
    message = "a published price book of the site takes effect on that day or later"


class PriceMissing(DomainError):
    kind, reason, message = Kind.CONFLICT, "PRICE_MISSING", "no published price book covers it"


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
    minimum: Money | None = None  # What a visit costs at least, unless it is free. None: no such.
    revision: int = 1  # Counts the changes of a draft.

    @property
    def currency(self) -> str:
        return self.deposit.currency

    @property
    def least(self) -> Money:
        """What a visit costs at least, unless it is free; zero where there is no such."""
        return self.minimum or Money(0, self.currency)

    def check(self, currency: str) -> None:
        """Refuses, naming every item at fault, what could not be priced by."""
        amounts = [("deposit", self.deposit)]
        amounts += [("minimum_charge", self.minimum)] if self.minimum else []
        amounts += [each for i, item in enumerate(self.items) for each in item.amounts(f"items[{i}]")]
        if foreign := [fault for field, amount in amounts for fault in of_another_currency(amount, currency, field)]:
            raise CurrencyMismatch(*foreign)
        if wild := [fault for field, amount in amounts for fault in out_of_range(amount, field)]:
            raise AmountOutOfRange(*wild)
        if disordered := [fault for i, item in enumerate(self.items) for fault in item.disordered(f"items[{i}]")]:
            raise PriceTiersDisordered(*disordered)
        self._refuse_repeated()
        self._refuse_minimum()

    def _refuse_repeated(self) -> None:
        if repeated := _repeated([item.identity for item in self.items]):
            text = "is the price of what an item before it is the price of"
            raise PriceItemRepeated(*(Violation(f"items[{i}]", "PRICE_ITEM_REPEATED", text) for i in repeated))
        if repeated := _repeated([item.code for item in self.items]):
            text = "is the code of an item before it"
            raise ItemCodeRepeated(*(Violation(f"items[{i}].code", "ITEM_CODE_REPEATED", text) for i in repeated))

    def _refuse_minimum(self) -> None:
        dearest = max((each for item in self.items for each in item.visit_prices), default=None)
        if self.least.minor and (dearest is None or self.least > dearest):
            raise MinimumAbovePrices(Violation("minimum_charge", "MINIMUM_ABOVE_PRICES", MinimumAbovePrices.message))

    def item_for(self, kind: VisitKind) -> PriceItem | None:
        """The most specific item that covers the visit."""
        return max((item for item in self.items if item.covers(kind)), key=lambda item: item.specificity, default=None)

    def product(self, code: str) -> PriceItem | None:
        return next((item for item in self.items if item.kind is ItemKind.PRODUCT and item.code == code), None)

    def add_ons(self, visit_type_code: str) -> list[PriceItem]:
        """What goes with a visit of that type."""
        return [item for item in self.items if visit_type_code in item.visit_type_codes]

    def fee(self, kind: FeeKind) -> tuple[PriceItem, FeeTerms] | None:
        return next(((item, item.fee) for item in self.items if item.fee and item.fee.kind is kind), None)


@dataclass(frozen=True, slots=True)
class Price:
    """What a visit costs, and why: one item of a price book, at the number that the visit has."""

    book: PriceBook
    item: PriceItem
    ordinal: int = 1  # Of the visits of the course that the item prices.

    @property
    def tier(self) -> PriceTier | None:
        return self.item.tier_at(self.ordinal)

    @property
    def minimum_applied(self) -> bool:
        """What is free stays so."""
        return 0 < self.item.unit_price_at(self.ordinal).minor < self.book.least.minor

    @property
    def amount(self) -> Money:
        return self.book.least if self.minimum_applied else self.item.unit_price_at(self.ordinal)


class Loss(IntEnum):
    """Why an item that covers a visit does not price it; numbered as in the proto."""

    LESS_SPECIFIC = 1
    LATER_PRICE_BOOK = 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item that might have priced a visit."""

    book: PriceBook
    item: PriceItem
    loss: Loss


@dataclass(frozen=True, slots=True)
class Run:
    """Visits of one kind that cost the same. None: no published price book has a price."""

    kind: VisitKind
    count: int
    price: Price | None


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


def price(books: Sequence[PriceBook], kind: VisitKind, ordinal: int = 1) -> Price | None:
    """From the first price book that has one. `ordinal` counts the visits of the course that the same item prices."""
    found = ((book, book.item_for(kind)) for book in books)
    return next((Price(book, item, ordinal) for book, item in found if item), None)


def candidates(books: Sequence[PriceBook], kind: VisitKind, won: Price) -> list[Candidate]:
    """What the price has won over: of the same price book the most specific first, then of later ones."""
    return [
        Candidate(book, item, Loss.LESS_SPECIFIC if book is won.book else Loss.LATER_PRICE_BOOK)
        for book in books
        for item in sorted(book.items, key=lambda each: each.specificity, reverse=True)
        if item.covers(kind) and item is not won.item
    ]


def runs(
    books: Sequence[PriceBook],
    counts: Iterable[tuple[VisitKind, int]],
    before: Iterable[tuple[VisitKind, int]] = (),
) -> Iterator[Run]:
    """Prices so many visits of each kind of one course, after so many `before` them. The sum does not depend on the
    order of the kinds: what an item asks in all depends on how many visits it prices, and on nothing else."""
    done = Counter[UUID]()
    for kind, count in before:
        if earlier := price(books, kind):
            done[earlier.item.id] += count
    for kind, count in counts:
        found = price(books, kind)
        while found and count:
            number = done[found.item.id] + 1
            tier = found.item.tier_after(number)
            alike = min(count, tier.from_number - number) if tier else count
            yield Run(kind, alike, Price(found.book, found.item, number))
            done[found.item.id] += alike
            count -= alike
        if not found:
            yield Run(kind, count, None)


def _repeated(keys: Sequence[object]) -> list[int]:
    """Where one stands that stood before; what is empty may stand there often."""
    return [i for i, key in enumerate(keys) if key and key in keys[:i]]
