"""Packages that are sold, frozen, handed over, stopped, and those that expire."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from chassis.errors import Violation
from chassis.etags import StaleEtag
from chassis.ids import new_id
from chassis.money import Money
from services.billing import events
from services.billing.domain import entitlements as rules
from services.billing.domain import stops
from services.billing.domain.accounts import Charge, ChargeKind
from services.billing.domain.amounts import CurrencyMismatch, of_another_currency
from services.billing.domain.entitlements import (
    Entitlement,
    PackageNotTransferable,
    PackageTransferToSelf,
    Sale,
    SaleStatus,
)
from services.billing.domain.packages import Package, PackageNotSoldHere, shares, single_price
from services.billing.domain.prices import since
from services.billing.domain.sites import Site
from services.billing.domain.stops import PackageEnd, PackageNotInvoiced, PackageUsed, Stop
from services.billing.store import BillingStore
from services.billing.use_cases.charges import add_charge
from services.billing.use_cases.drawing import locked_sale, need_sites


@dataclass(frozen=True, slots=True)
class SellPackage:
    site_id: UUID
    patient_id: UUID
    package_id: UUID


async def sell_package(store: BillingStore, command: SellPackage) -> Sale:
    """With the patient and the package locked: none is sold that is being retired."""
    package = await store.package(command.package_id)
    package.need_on_sale()
    site = await store.site(command.site_id)
    patient_id = (await store.locked_patient(command.patient_id)).end
    price = package.terms.price_at(site.id)
    if price is None:
        raise PackageNotSoldHere()
    if site.currency and (foreign := of_another_currency(price, site.currency, "package_id")):
        raise CurrencyMismatch(*foreign)
    charge = _charge(store, site, patient_id, package, price)
    await add_charge(store, site, charge)
    sale = Sale(
        id=new_id(),
        package=package,
        site_id=site.id,
        legal_entity_id=site.legal_entity_id,
        zone=site.zone,
        patient_id=patient_id,
        holder_id=patient_id,
        charge_id=charge.id,
        price=price,
        paid=Money(0, price.currency),
        invoice_id=None,
        sold_on=charge.service_date,
        sold_at=store.call.now,
        entitlements=await _entitlements(store, site, package, price),
        expires_on=rules.first_expiry(package, charge.service_date),
    )
    await store.add_sale(sale)
    store.emit(events.package_sold(sale), about=sale.id)
    return sale


def _charge(store: BillingStore, site: Site, patient_id: UUID, package: Package, price: Money) -> Charge:
    return Charge(
        id=new_id(),
        kind=ChargeKind.PACKAGE,
        site_id=site.id,
        patient_id=patient_id,
        course_id=None,
        visit_id=None,
        service_date=site.day(store.call.now),
        service=None,
        item_code=package.code,
        description=package.terms.name,
        quantity=1,
        amount=price,
        posted_at=store.call.now,
    )


async def _entitlements(store: BillingStore, site: Site, package: Package, price: Money) -> tuple[Entitlement, ...]:
    """By what their visits cost today at the site, one by one."""
    now, items = store.call.now, package.terms.items
    books = since(await store.published(site.id), site.day(now), now)
    values = shares(price, items, [single_price(books, item.kind) for item in items])
    return tuple(
        Entitlement(new_id(), item.kind, item.count, value, item.count, value)
        for item, value in zip(items, values, strict=True)
    )


async def freeze_package(store: BillingStore, sale_id: UUID, version: int) -> Sale:
    sale = await _to_change(store, sale_id, version)
    frozen = rules.frozen(sale, sale.day(store.call.now))
    await store.change_sale(frozen)
    return frozen


async def unfreeze_package(store: BillingStore, sale_id: UUID, version: int) -> Sale:
    sale = await _to_change(store, sale_id, version)
    unfrozen = rules.unfrozen(sale, sale.day(store.call.now))
    await store.change_sale(unfrozen)
    return unfrozen


@dataclass(frozen=True, slots=True)
class TransferPackage:
    sale_id: UUID
    version: int
    patient_id: UUID
    reason: str


async def transfer_package(store: BillingStore, command: TransferPackage) -> Sale:
    """With both patients locked, in order."""
    patient = await store.patient(command.patient_id)
    sale = await _to_change(store, command.sale_id, command.version, command.patient_id)
    sale.need_open(sale.day(store.call.now))
    if sale.holder_id in (await store.whole(command.patient_id)).ids:
        raise PackageTransferToSelf(Violation("patient_id", "PACKAGE_TRANSFER_TO_SELF", PackageTransferToSelf.message))
    if not sale.package.terms.transferable:
        raise PackageNotTransferable()
    handed = replace(sale, holder_id=patient.end, version=sale.version + 1)
    await store.transfer_package(new_id(), sale, handed, command.reason)
    store.emit(events.package_transferred(handed), about=sale.id)
    return handed


async def preview_stop(store: BillingStore, sale_id: UUID) -> Stop:
    sale = await store.package_sale(sale_id)
    need_sites(store, {sale.site_id})
    return await _stop(store, sale)


async def stop_package(store: BillingStore, sale_id: UUID, version: int, reason: str) -> tuple[Sale, Stop]:
    sale = await _to_change(store, sale_id, version)
    stop = await _stop(store, sale)
    end = stops.end_of_stop(new_id(), reason, sale, stop)
    ended = await _end(store, sale, end, SaleStatus.STOPPED)
    store.emit(events.package_stopped(ended, stop), about=sale.id)
    return ended, stop


async def _stop(store: BillingStore, sale: Sale) -> Stop:
    sale.need_open(sale.day(store.call.now))
    if sale.invoice_id is None:
        raise PackageNotInvoiced()
    if sale.status is SaleStatus.USED:
        raise PackageUsed()
    return stops.stop(sale, await store.standing_redemptions(sale.id))


async def over(store: BillingStore, limit: int) -> list[UUID]:
    """Sales of the chain whose last day is over, and the grace after it, at most so many."""
    return await store.packages_over(store.call.now - rules.GRACE, limit)


async def end_over(store: BillingStore, sale_id: UUID) -> None:
    sale = await locked_sale(store, sale_id)
    if sale.ended_at or not _is_over(store, sale):
        return  # Somebody was there first.
    if sale.status is SaleStatus.USED:
        await store.change_sale(_ended(store, sale, SaleStatus.USED))
        return
    ended = await _end(store, sale, stops.end_of_expiry(new_id(), sale), SaleStatus.EXPIRED)
    store.emit(events.package_expired(ended), about=sale.id)


async def expiring(store: BillingStore, limit: int) -> list[UUID]:
    """Sales of the chain that expire soon, and of which nobody was told, at most so many."""
    return await store.packages_expiring(*_soon(store), limit)


async def warn_expiring(store: BillingStore, sale_id: UUID) -> None:
    """Tells of it, if visits are left, unless somebody did since it was found, or it was frozen."""
    sale = await locked_sale(store, sale_id)
    if await store.warn_of_expiry(sale_id, *_soon(store)) and sale.status is SaleStatus.OPEN:
        store.emit(events.package_expiring(sale), about=sale.id)


def _soon(store: BillingStore) -> tuple[datetime, datetime]:
    return store.call.now, store.call.now + rules.WARNED_BEFORE


def _is_over(store: BillingStore, sale: Sale) -> bool:
    return sale.expire_at is not None and sale.expire_at <= store.call.now - rules.GRACE


async def _to_change(store: BillingStore, sale_id: UUID, version: int, *others: UUID) -> Sale:
    sale = await locked_sale(store, sale_id, *others)
    need_sites(store, {sale.site_id})
    if sale.version != version:
        raise StaleEtag()
    return sale


async def _end(store: BillingStore, sale: Sale, end: PackageEnd, ended_as: SaleStatus) -> Sale:
    ended = _ended(store, sale, ended_as)
    await store.end_package(end, ended)
    if entry := stops.entry_of_end(end, sale.package.code):
        where = {"legal_entity_id": sale.legal_entity_id, "site_id": sale.site_id}
        await store.post([entry], patient_id=sale.patient_id, **where)
    if end.forgiven.minor:
        await _tell_if_paid(store, sale)
    return replace(ended, entitlements=tuple(each.emptied() for each in ended.entitlements))


async def _tell_if_paid(store: BillingStore, sale: Sale) -> None:
    """Nothing may be left to pay of the invoice, now that a part of it need not be."""
    assert sale.invoice_id
    invoice = await store.invoice(sale.invoice_id)
    if not invoice.balance.minor:
        store.emit(events.invoice_paid(invoice.id, invoice), about=invoice.id, version=invoice.version)


def _ended(store: BillingStore, sale: Sale, ended_as: SaleStatus) -> Sale:
    return replace(sale, ended_at=store.call.now, ended_as=ended_as, version=sale.version + 1)
