"""Taxes of a site: set from a day on, ended. With the site locked, so that days of a name are one rule's."""

from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

from services.billing.domain.tax import TaxRule, check_dates, check_end
from services.billing.store import BillingStore


async def set_tax_rule(store: BillingStore, rule: TaxRule) -> TaxRule:
    """The caller has locked the site. What of the same name is in force ends the day before."""
    await store.site(rule.site_id)
    before = await store.tax_rules_of_name(rule.site_id, rule.name)
    check_dates(rule, before)
    day_before = rule.effective_date - timedelta(days=1)
    for each in before:
        if each.end_date is None or each.end_date > day_before:
            await store.end_tax_rule(each.id, each.version, day_before)
    await store.add_tax_rule(rule)
    return rule


async def end_tax_rule(store: BillingStore, tax_rule_id: UUID, version: int, end: date) -> TaxRule:
    rule = await store.tax_rule(tax_rule_id)
    await store.lock([rule.site_id])
    now = replace(await store.tax_rule(tax_rule_id), version=version)
    check_end(now, end)
    return await store.end_tax_rule(tax_rule_id, version, end)
