"""Price books: drafted, edited, copied, published; and what waited for a price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from uuid import UUID

from chassis.etags import StaleEtag
from chassis.ids import new_id
from chassis.money import Money
from services.billing import events
from services.billing.domain.prices import (
    Candidate,
    Price,
    PriceBook,
    PriceBookDiff,
    PriceBookPublished,
    PriceChange,
    PriceItem,
    PriceMissing,
    VisitKind,
    candidates,
    copied,
    diff,
    next_version,
    price,
    since,
)
from services.billing.store import BillingStore
from services.billing.use_cases.charges import charge
from services.billing.use_cases.drawing import lock_patients
from services.billing.use_cases.estimates import price_again

WAITING_MAX = 500
"""So many estimates, and so many visits, are priced in the transaction of one publication."""


@dataclass(frozen=True, slots=True)
class CreatePriceBook:
    site_id: UUID
    currency: str
    effective_date: date
    deposit: Money
    minimum: Money | None
    items: tuple[PriceItem, ...]


@dataclass(frozen=True, slots=True)
class UpdatePriceBook:
    price_book_id: UUID
    revision: int  # That was seen.
    changes: Mapping[str, Any]  # Fields of the price book, and what they become.


@dataclass(frozen=True, slots=True)
class CopyPriceBook:
    price_book_id: UUID
    site_id: UUID
    effective_date: date
    change: PriceChange


@dataclass(frozen=True, slots=True)
class Explanation:
    price: Price
    candidates: Sequence[Candidate]


async def create_price_book(store: BillingStore, command: CreatePriceBook) -> PriceBook:
    await store.site(command.site_id)
    book = PriceBook(
        id=new_id(),
        site_id=command.site_id,
        effective_date=command.effective_date,
        deposit=command.deposit,
        items=command.items,
        created_at=store.call.now,
        minimum=command.minimum,
    )
    book.check(command.currency)
    await store.add_price_book(book)
    return _in_order(book)


async def update_price_book(store: BillingStore, command: UpdatePriceBook) -> PriceBook:
    """With the price book locked: it is not published meanwhile."""
    draft = await _draft(store, command.price_book_id, command.revision)
    changed = replace(draft, revision=draft.revision + 1, **command.changes)
    changed.check(draft.currency)
    await store.change_price_book(changed, with_items="items" in command.changes)
    return _in_order(changed)


async def delete_price_book(store: BillingStore, price_book_id: UUID, revision: int) -> None:
    """With the price book locked: it is not published meanwhile."""
    await store.delete_price_book(await _draft(store, price_book_id, revision))


async def copy_price_book(store: BillingStore, command: CopyPriceBook) -> PriceBook:
    source, site = await store.price_book(command.price_book_id), await store.site(command.site_id)
    draft = copied(
        source,
        command.change,
        id=new_id(),
        item_ids=[new_id() for _ in source.items],
        site_id=site.id,
        effective_date=command.effective_date,
        created_at=store.call.now,
    )
    draft.check(site.currency or source.currency)
    await store.add_price_book(draft)
    return draft


async def publish_price_book(store: BillingStore, price_book_id: UUID, revision: int | None = None) -> PriceBook:
    """With the price book locked, so that it is published as it was seen; and the site, so that versions have no gap,
    and no course or visit misses the price that it waits for."""
    await store.lock([price_book_id])
    draft = await store.price_book(price_book_id)
    await store.lock([draft.site_id])
    published = await store.published(draft.site_id)
    book = replace(draft, version=next_version(draft, published), published_at=store.call.now)
    if revision not in (None, draft.revision):
        raise StaleEtag()
    await store.publish(book)
    store.emit(events.price_book_published(book), about=book.site_id)
    await _price_what_waits(store, book.site_id)
    return book


async def explain_price(
    store: BillingStore, site_id: UUID, kind: VisitKind, day: date | None, ordinal: int = 1
) -> Explanation:
    """Of a visit that is booked on `day`; None: today."""
    site, now = await store.site(site_id), store.call.now
    books = since(await store.published(site_id), day or site.day(now), now)
    if found := price(books, kind, ordinal):
        return Explanation(found, candidates(books, kind, found))
    raise PriceMissing()


async def diff_price_books(store: BillingStore, before_id: UUID, after_id: UUID) -> PriceBookDiff:
    return diff(await store.price_book(before_id), await store.price_book(after_id))


async def _draft(store: BillingStore, price_book_id: UUID, revision: int) -> PriceBook:
    await store.lock([price_book_id])
    draft = await store.price_book(price_book_id)
    if draft.version:
        raise PriceBookPublished(version=draft.version)
    if draft.revision != revision:
        raise StaleEtag()
    return draft


def _in_order(book: PriceBook) -> PriceBook:
    return replace(book, items=tuple(sorted(book.items, key=lambda item: item.key)))


async def _price_what_waits(store: BillingStore, site_id: UUID) -> None:
    site = await store.site(site_id)
    for estimate in await store.unpriced_estimates(site_id, WAITING_MAX):
        await price_again(store, site, estimate)
    visits = await store.uncharged(site_id, WAITING_MAX)
    await lock_patients(store, *(visit.patient_id for visit in visits))  # Some may have packages.
    for visit in visits:
        await charge(store, site, visit)
