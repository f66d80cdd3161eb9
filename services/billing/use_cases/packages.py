"""Packages: drafted, changed, published, retired."""

from dataclasses import replace
from uuid import UUID

from chassis.etags import StaleEtag
from chassis.ids import new_id
from services.billing.domain.packages import Package, PackageTerms
from services.billing.store import BillingStore


async def create_package(store: BillingStore, code: str, terms: PackageTerms) -> Package:
    await _check(store, terms)
    draft = Package(new_id(), code, terms, store.call.now)
    await store.add_package(draft)
    return draft


async def update_package(store: BillingStore, package_id: UUID, version: int, terms: PackageTerms) -> Package:
    """With the package locked, as the others are."""
    draft = await _to_change(store, package_id, version)
    draft.need_draft()
    await _check(store, terms)
    changed = replace(draft, terms=terms, row_version=version + 1)
    await store.change_package(changed)
    return changed


async def publish_package(store: BillingStore, package_id: UUID, version: int) -> Package:
    """With the chain locked, so that the versions of a code have no gap."""
    await store.lock([store.call.chain_id])
    draft = await _to_change(store, package_id, version)
    draft.need_draft()
    published = replace(
        draft,
        version=await store.last_package_version(draft.code) + 1,
        published_at=store.call.now,
        row_version=version + 1,
    )
    await store.publish_package(published)
    return published


async def retire_package(store: BillingStore, package_id: UUID, version: int) -> Package:
    package = await _to_change(store, package_id, version)
    package.need_on_sale()
    retired = replace(package, retired_at=store.call.now, row_version=version + 1)
    await store.retire_package(retired)
    return retired


async def _to_change(store: BillingStore, package_id: UUID, version: int) -> Package:
    package = await store.package(package_id)
    if package.row_version != version:
        raise StaleEtag()
    return package


async def _check(store: BillingStore, terms: PackageTerms) -> None:
    """Its sites must be known, and its prices in their currency."""
    terms.check(await store.known_visit_types([item.kind.visit_type_code for item in terms.items]))
    site_ids = {each.site_id for each in terms.site_prices} | terms.redeem_site_ids
    for site_id, currency in (await store.currencies(site_ids)).items():
        terms.check_site(site_id, currency)
