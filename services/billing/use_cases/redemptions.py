"""Redemptions that staff makes or takes back."""

from dataclasses import dataclass, replace
from uuid import UUID

from chassis.ids import new_id
from chassis.money import Money
from services.billing import events
from services.billing.domain.accounts import Charge, ChargeKind, CorrectionReason
from services.billing.domain.charges import ChargeInvoiced, net_of
from services.billing.domain.entitlements import Drawn, EntitlementMissing, PackageEnded, PackageUnpaid
from services.billing.domain.redemptions import Redemption, RedemptionNotFound, VisitNotRedeemable
from services.billing.domain.sites import RenderedVisit, Site
from services.billing.store import BillingStore
from services.billing.use_cases.charges import add_charge, charge_price
from services.billing.use_cases.drawing import locked_sale, need_sites, post, redeem


@dataclass(frozen=True, slots=True)
class RedeemVisit:
    visit_id: UUID
    entitlement_id: UUID
    unpaid_reason: str


async def redeem_visit(store: BillingStore, command: RedeemVisit) -> Redemption:
    """With the visit's site locked, and then the patients: as a visit that has just taken place is drawn."""
    visit = await store.rendered(command.visit_id)
    await store.lock([visit.site_id])
    drawn = await _named(store, command.entitlement_id, visit)
    need_sites(store, {drawn.sale.site_id, visit.site_id})
    drawn.sale.need_for(visit.service_date)
    missing = drawn.sale.missing_for(drawn.value)
    if missing.minor and not command.unpaid_reason:
        raise PackageUnpaid(missing_minor=missing.minor)
    site = await store.site(visit.site_id)
    await _uncharge(store, site, visit)
    return await redeem(store, site, visit, drawn, command.unpaid_reason if missing.minor else "")


async def _named(store: BillingStore, entitlement_id: UUID, visit: RenderedVisit) -> Drawn:
    sale = await locked_sale(store, await store.sale_of_entitlement(entitlement_id), visit.patient_id)
    [entitlement] = [each for each in sale.entitlements if each.id == entitlement_id]
    if sale.ended_at:
        raise PackageEnded()
    is_theirs = sale.holder_id in (await store.whole(visit.patient_id)).ids
    covered = entitlement.kind.covers(visit.kind) and sale.may_redeem_at(visit.site_id)
    if not (is_theirs and covered and entitlement.left_count):
        raise EntitlementMissing()
    return Drawn(sale, entitlement, entitlement.next_value)


async def undo_redemption(store: BillingStore, redemption_id: UUID, reason: str) -> Redemption:
    """With the visit's site locked, and then the patients. What expired meanwhile is put back all the same, until what
    is left is taken."""
    redemption = await store.redemption(redemption_id)
    await store.lock([redemption.site_id])
    sale = await locked_sale(store, redemption.sale_id, redemption.patient_id)
    redemption = await store.redemption(redemption_id)
    if redemption.undone_at:
        raise RedemptionNotFound()
    need_sites(store, {redemption.site_id, redemption.selling_site_id})
    if sale.ended_at:
        raise PackageEnded()
    [entitlement] = [each for each in sale.entitlements if each.id == redemption.entitlement_id]
    restored, undone = entitlement.restored(redemption.value), replace(redemption, undone_at=store.call.now)
    await store.leave(restored)
    await store.change_sale(sale.changed())
    await store.undo_redemption(redemption.id, store.call.now, reason)
    await post(store, redemption, new_id(), undone=True)
    store.emit(events.entitlement_restored(undone, restored), about=sale.id)
    await _charge_again(store, await store.rendered(redemption.visit_id))
    return undone


async def _uncharge(store: BillingStore, site: Site, visit: RenderedVisit) -> None:
    """What the visit is charged is corrected to nothing, if no bill has it."""
    charged = await _charged(store, visit)
    if not charged or not (net := net_of(charged[0], charged[1:])).minor:
        return
    if not await _is_billable(store, visit, charged):
        raise VisitNotRedeemable()
    await _correct(store, site, charged[0], -net)


async def _charge_again(store: BillingStore, visit: RenderedVisit) -> None:
    """A visit has one charge: what was corrected for a package is corrected back, and what people corrected stays."""
    site, charged = await store.site(visit.site_id), await _charged(store, visit)
    if not charged:
        await charge_price(store, site, visit)
        return
    if not await _is_billable(store, visit, charged):
        raise ChargeInvoiced()
    nothing = Money(0, charged[0].amount.currency)
    drawn = (each.amount for each in charged if each.reason is CorrectionReason.PACKAGE)
    await _correct(store, site, charged[0], -sum(drawn, nothing))


async def _charged(store: BillingStore, visit: RenderedVisit) -> list[Charge]:
    """The visit's charge, if it has one, and after it its corrections. Its add-ons are charges of their own. What was
    billed again is no more."""
    charges = await store.charges_of_course(visit.course_id)
    of_visit = [each for each in charges if each.visit_id == visit.id and each.kind is ChargeKind.VISIT]
    replaced = {each.replaces_id for each in of_visit}
    own = [each for each in of_visit if each.id not in replaced]
    return own + [each for each in charges if own and each.corrects_id == own[0].id]


async def _is_billable(store: BillingStore, visit: RenderedVisit, charged: list[Charge]) -> bool:
    billable = {each.charge.id for each in await store.to_bill_of_course(visit.course_id)}
    return billable.issuperset(each.id for each in charged)


async def _correct(store: BillingStore, site: Site, charge: Charge, amount: Money) -> None:
    if not amount.minor:
        return
    now = store.call.now
    correction = replace(
        charge,
        id=new_id(),
        kind=ChargeKind.CORRECTION,
        visit_id=None,
        amount=amount,
        posted_at=now,
        event_id=None,
        corrects_id=charge.id,
        made_by=store.call.actor,
        reason=CorrectionReason.PACKAGE,
        replaces_id=None,
        first_id=None,
    )
    await add_charge(store, site, correction)
