"""Price books: drafted, published; and what waited for a price."""

from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

from chassis.ids import new_id
from chassis.money import Money
from services.billing import events
from services.billing.domain.prices import (
    Price,
    PriceBook,
    PriceItem,
    PriceMissing,
    VisitKind,
    next_version,
    price,
    since,
)
from services.billing.store import BillingStore
from services.billing.use_cases.charges import charge
from services.billing.use_cases.estimates import price_again

WAITING_MAX = 500
"""So many estimates, and so many visits, are priced in the transaction of one publication."""


@dataclass(frozen=True, slots=True)
class CreatePriceBook:
    site_id: UUID
    currency: str
    effective_date: date
    deposit: Money
    items: tuple[PriceItem, ...]


async def create_price_book(store: BillingStore, command: CreatePriceBook) -> PriceBook:
    await store.site(command.site_id)
    book = PriceBook(
        id=new_id(),
        site_id=command.site_id,
        effective_date=command.effective_date,
        deposit=command.deposit,
        items=command.items,
        created_at=store.call.now,
    )
    book.check(command.currency)
    await store.add_price_book(book)
    return replace(book, items=tuple(sorted(book.items, key=lambda item: item.key)))


async def publish_price_book(store: BillingStore, price_book_id: UUID) -> PriceBook:
    """With the site locked, so that versions have no gap, and no course or visit misses the price that it waits for."""
    draft = await store.price_book(price_book_id)
    await store.lock([draft.site_id])
    published = await store.published(draft.site_id)
    book = replace(draft, version=next_version(draft, published), published_at=store.call.now)
    await store.publish(book)
    store.emit(events.price_book_published(book), about=book.site_id)
    await _price_what_waits(store, book.site_id)
    return book


async def explain_price(store: BillingStore, site_id: UUID, kind: VisitKind, day: date | None) -> Price:
    """Of a visit that is booked on `day`; None: today."""
    site, now = await store.site(site_id), store.call.now
    books = since(await store.published(site_id), day or site.day(now), now)
    if found := price(books, kind):
        return found
    raise PriceMissing()


async def _price_what_waits(store: BillingStore, site_id: UUID) -> None:
    site = await store.site(site_id)
    for estimate in await store.unpriced_estimates(site_id, WAITING_MAX):
        await price_again(store, site, estimate)
    for visit in await store.uncharged(site_id, WAITING_MAX):
        await charge(store, site, visit)
