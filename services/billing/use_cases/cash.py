"""Cash: to which day it belongs, and how a day of it is closed."""

from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from chassis.ids import new_id
from chassis.money import Money
from services.billing.domain.amounts import (
    AMOUNT_MAX_MINOR,
    AmountOutOfRange,
    CurrencyMismatch,
    of_another_currency,
    out_of_range,
)
from services.billing.domain.cash import CashCount, CashCounted, check_day, drawer
from services.billing.domain.sites import Site
from services.billing.store import BillingStore


@dataclass(frozen=True, slots=True)
class RecordCashCount:
    site_id: UUID
    day: date
    counted: Money
    note: str


async def count_cash(store: BillingStore, command: RecordCashCount) -> CashCount:
    """With the drawer locked: no cash of the day is taken meanwhile, or it belongs to the next."""
    site, now = await store.site(command.site_id), store.call.now
    if wild := out_of_range(command.counted, "counted", least=-AMOUNT_MAX_MINOR):
        raise AmountOutOfRange(*wild)
    if site.currency and (foreign := of_another_currency(command.counted, site.currency, "counted")):
        raise CurrencyMismatch(*foreign)
    check_day(command.day, site.day(now))
    await store.lock([drawer(site.id)])
    if await store.cash_is_counted(site.id, command.day):
        raise CashCounted()
    expected = await store.expected_cash(site.id, command.day, command.counted.currency)
    count = CashCount(new_id(), site.id, command.day, expected, command.counted, command.note, store.call.actor, now)
    await store.add_cash_count(count)
    if entry := count.entry():
        await store.post([entry], legal_entity_id=site.legal_entity_id, site_id=site.id, patient_id=None)
    return count


async def cash_day(store: BillingStore, site: Site) -> date:
    """To which cash of now belongs: today, or tomorrow if today's is counted. The drawer stays as it is until then."""
    today = site.day(store.call.now)
    await store.lock([drawer(site.id)])
    return today + timedelta(days=1) if await store.cash_is_counted(site.id, today) else today
