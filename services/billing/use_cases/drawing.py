"""Draws visits from packages: what is left, the redemption, the books, and what is owed between legal entities."""

from collections.abc import Set
from uuid import UUID

from chassis.ids import new_id, to_wire
from services.billing import events
from services.billing.domain.entitlements import Drawn, PackageOtherSite, Sale, choose
from services.billing.domain.prices import price
from services.billing.domain.redemptions import Redemption, entries_of
from services.billing.domain.sites import RenderedVisit, Site
from services.billing.store import BillingStore
from services.billing.use_cases.estimates import books_of


async def draw(store: BillingStore, site: Site, visit: RenderedVisit) -> bool:
    """Whether a package of the patient had the visit. With the patient locked, whose visits come one after another: the
    caller has locked the site. Whoever publishes a price that visits wait for draws from no package of a site that they
    do not act for."""
    if not await store.holds_any(visit.patient_id):
        return False
    await lock_patients(store, visit.patient_id)
    sales = [sale for sale in await store.sales_to_draw(visit.patient_id) if acts_for(store, {sale.site_id})]
    drawn = choose(sales, visit.kind, site, visit.service_date)
    if drawn is None:
        return False
    await redeem(store, site, visit, drawn)
    return True


async def redeem(
    store: BillingStore, site: Site, visit: RenderedVisit, drawn: Drawn, unpaid_reason: str = ""
) -> Redemption:
    """With the site and the patient locked."""
    listed = price(await books_of(store, site, await store.course(visit.course_id)), visit.kind)
    redemption = Redemption(
        id=new_id(),
        sale_id=drawn.sale.id,
        entitlement_id=drawn.entitlement.id,
        visit_id=visit.id,
        course_id=visit.course_id,
        patient_id=(await store.whole(visit.patient_id)).end,
        site_id=visit.site_id,
        legal_entity_id=site.legal_entity_id,
        selling_site_id=drawn.sale.site_id,
        selling_legal_entity_id=drawn.sale.legal_entity_id,
        service_date=visit.service_date,
        item_code=visit.kind.visit_type_code,
        list_price=listed.amount if listed else None,
        value=drawn.value,
        redeemed_at=store.call.now,
    )
    left = drawn.entitlement.drawn()
    await store.leave(left)
    await store.add_redemption(redemption, unpaid_reason)
    await store.change_sale(drawn.sale.with_first_use(visit.service_date).changed())
    await post(store, redemption, redemption.id)
    store.emit(events.entitlement_redeemed(redemption, left), about=drawn.sale.id)
    return redemption


async def post(store: BillingStore, redemption: Redemption, document_id: UUID, *, undone: bool = False) -> None:
    """And keeps what one legal entity owes the other by it. `document_id`: of the redemption, or of its undoing."""
    value = -redemption.value if undone else redemption.value
    await store.post_booked(entries_of(redemption, document_id, value), patient_id=redemption.patient_id)
    if redemption.is_between_entities and value.minor:
        await store.add_settlement_item(document_id, redemption, value)


async def lock_patients(store: BillingStore, *patient_ids: UUID) -> set[UUID]:
    """Of merged ones, the survivors, which it answers. All at once and in order, so that two who lock the same two
    never wait for each other."""
    locked = set[UUID]()
    while not (ends := await store.ends(patient_ids)) <= locked:
        await store.lock(ends - locked)
        locked |= ends
    return ends


async def locked_sale(store: BillingStore, sale_id: UUID, *others: UUID) -> Sale:
    """With who bought it, who holds it and other patients locked: nobody draws from it meanwhile."""
    sale = await store.package_sale(sale_id)
    while True:
        await lock_patients(store, sale.patient_id, sale.holder_id, *others)
        again = await store.package_sale(sale_id)
        if again.holder_id == sale.holder_id:
            return again
        sale = again


def acts_for(store: BillingStore, site_ids: Set[UUID]) -> bool:
    """Whether the caller does, for all of them."""
    return store.call.sites is None or site_ids <= store.call.sites


def need_sites(store: BillingStore, site_ids: Set[UUID]) -> None:
    if not acts_for(store, site_ids):
        others = sorted(site_ids - (store.call.sites or frozenset()))
        raise PackageOtherSite(site_ids=",".join(to_wire("site", each) for each in others))
