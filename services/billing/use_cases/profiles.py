"""Profiles of who bills: changed by field."""

from collections.abc import Collection
from dataclasses import replace

from chassis.etags import StaleEtag
from services.billing.domain.business_days import BusinessCalendar
from services.billing.domain.profiles import LegalEntityBilling, SiteBilling
from services.billing.store import BillingStore


async def change_legal_entity_billing(
    store: BillingStore, told: LegalEntityBilling, fields: Collection[str]
) -> LegalEntityBilling:
    """`told` has the id, the version that was seen, and the fields."""
    found = await store.legal_entity_billing(told.legal_entity_id)
    if found.version != told.version:
        raise StaleEtag()
    changed = replace(found, version=found.version + 1, **{name: getattr(told, name) for name in fields})
    changed.check("legal_entity_billing.")
    await store.keep_legal_entity_billing(changed)
    return changed


async def change_site_billing(store: BillingStore, told: SiteBilling, fields: Collection[str]) -> SiteBilling:
    """`told` has the id, the version that was seen, and the fields."""
    found = await store.site_billing(told.site_id)
    if found.version != told.version:
        raise StaleEtag()
    changed = replace(
        found,
        npi=told.npi if "npi" in fields else found.npi,
        calendar=BusinessCalendar(
            closed=(told if "closed_dates" in fields else found).calendar.closed,
            open=(told if "open_dates" in fields else found).calendar.open,
        ),
        version=found.version + 1,
    )
    changed.check("site_billing.")
    await store.keep_site_billing(changed)
    return changed
