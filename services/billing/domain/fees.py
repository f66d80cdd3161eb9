"""Fees of missed and late cancelled visits: whether a notice came in time, and what is asked for if it did not."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from chassis.money import Money
from services.billing.domain.business_days import end_of
from services.billing.domain.prices import DepositUse, FeeKind, FeeTerms, FeeTier, NoticeHours, PriceBook, PriceItem
from services.billing.domain.sites import Site

__all__ = ["FeeKind", "FeePrice", "fee_for", "notice_of"]


@dataclass(frozen=True, slots=True)
class FeePrice:
    """What is asked for, and the item of a price book that says so."""

    item: PriceItem
    amount: Money

    @property
    def takes_deposit(self) -> bool:
        """Of what is kept for the course, before anything is charged."""
        return self.item.fee is not None and self.item.fee.deposit_use is DepositUse.FEE_FIRST


def fee_for(
    book: PriceBook,
    kind: FeeKind,
    *,
    cancelled_at: datetime | None,
    start_at: datetime,
    site: Site,
    offences_before: int,
    visit_price: Money,
) -> FeePrice | None:
    """None: there is no such fee, the notice came in time, the offence is forgiven, or the amount is zero.

    `offences_before` counts the patient's missed and late cancelled visits before this one. `cancelled_at` is None for
    a missed visit.
    """
    found = book.fee(kind)
    if not found or offences_before < found[1].grace_count:
        return None
    item, terms = found
    notice = notice_of(terms.hours, cancelled_at, start_at, site) if cancelled_at else timedelta()
    tier = _tier(terms, notice)
    if tier is None:
        return None
    is_first = offences_before == terms.grace_count
    amount = ((is_first and tier.first_amount) or tier.amount).of(visit_price)
    return FeePrice(item, amount) if amount.minor else None


def notice_of(hours: NoticeHours, cancelled_at: datetime, start_at: datetime, site: Site) -> timedelta:
    """How long before its start a visit was cancelled. Business hours are all those of the site's business days: 72 of
    them are three such days. An hour that clocks skip or repeat counts as it passes."""
    if hours is NoticeHours.CLOCK:
        return max(start_at - cancelled_at, timedelta())
    notice, instant = timedelta(), cancelled_at
    while instant < start_at:
        day = site.day(instant)
        day_ends = min(end_of(day, site.zone), start_at)
        if site.calendar.is_business_day(day):
            notice += day_ends - instant
        instant = day_ends
    return notice


def _tier(terms: FeeTerms, notice: timedelta) -> FeeTier | None:
    if terms.kind is FeeKind.NO_SHOW:
        return terms.tiers[0]
    return next((tier for tier in terms.tiers if notice < timedelta(hours=tier.notice_hours)), None)
