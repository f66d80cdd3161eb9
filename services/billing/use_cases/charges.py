"""Charges: one for each visit that took place, at the price of the price book that its course is pinned to."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from chassis.ids import new_id
from services.billing import events
from services.billing.domain.accounts import Charge, ChargeKind
from services.billing.domain.prices import Price, PriceBook, VisitKind, price
from services.billing.domain.sites import RenderedVisit, Site
from services.billing.store import BillingStore
from services.billing.use_cases.drawing import draw
from services.billing.use_cases.estimates import books_of


async def render(store: BillingStore, visit: RenderedVisit) -> None:
    """Keeps what took place and charges it, once."""
    site = await store.site(visit.site_id)
    if await store.keep_rendered(visit):
        await charge(store, site, visit)


async def charge(store: BillingStore, site: Site, visit: RenderedVisit) -> None:
    """Unless a package that the patient paid ahead has it."""
    if not await draw(store, site, visit):
        await charge_price(store, site, visit)


async def charge_price(store: BillingStore, site: Site, visit: RenderedVisit) -> None:
    """If there is a price: else the visit waits for the price book that has one."""
    books = await books_of(store, site, await store.course(visit.course_id))
    found = await price_in_course(store, books, visit.course_id, visit.kind)
    if found is None:
        return
    posted = Charge(
        id=new_id(),
        kind=ChargeKind.VISIT,
        site_id=visit.site_id,
        patient_id=(await store.whole(visit.patient_id)).end,
        course_id=visit.course_id,
        visit_id=visit.id,
        service_date=visit.service_date,
        service=visit.kind,
        item_code=visit.kind.visit_type_code,
        description=found.item.description,
        quantity=1,
        amount=found.amount,
        price_book_id=found.book.id,
        price_book_version=found.book.version,
        price_item_id=found.item.id,
        event_id=visit.event_id,
        posted_at=store.call.now,
    )
    await add_charge(store, site, posted)


async def price_in_course(
    store: BillingStore, books: Sequence[PriceBook], course_id: UUID, kind: VisitKind
) -> Price | None:
    """Of the next visit of that kind: the tier is set by how many of the course the same item has priced."""
    found = price(books, kind)
    if found and found.item.tiers:
        return replace(found, ordinal=1 + await store.charged_by(course_id, found.item.id))
    return found


async def add_charge(store: BillingStore, site: Site, charge: Charge, corrected: ChargeKind | None = None) -> None:
    """Posts and tells it. `corrected` is the kind of what a correction corrects."""
    await store.add_charge(charge, site.legal_entity_id, corrected)
    store.emit(events.charge_posted(charge), about=charge.course_id or charge.patient_id)
