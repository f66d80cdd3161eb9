"""Fees of missed and late cancelled visits, by a price book: none has terms of fees yet."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from chassis.money import Money
from services.billing.domain.prices import PriceBook, PriceItem
from services.billing.domain.sites import Site


class FeeKind(IntEnum):
    """What a fee is for; numbered as in the proto."""

    NO_SHOW = 1
    LATE_CANCELLATION = 2


@dataclass(frozen=True, slots=True)
class FeePrice:
    """What is asked for, and by which item."""

    book: PriceBook
    item: PriceItem
    amount: Money


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
    """None where there is no such fee, the notice came in time, or the offence is forgiven."""
    return None
