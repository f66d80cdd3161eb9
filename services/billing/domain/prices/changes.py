"""Price books made from others, and compared with them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import IntEnum
from uuid import UUID

from chassis.money import Money
from services.billing.domain.prices.books import PriceBook
from services.billing.domain.prices.items import WHOLE_BASIS_POINTS, ItemKind, PriceItem, share_of


class RoundingStep(IntEnum):
    """What prices are rounded to; numbered as in the proto."""

    CENT = 1
    DOLLAR = 2
    FIVE_DOLLARS = 3
    TEN_DOLLARS = 4


STEP_MINOR = {
    RoundingStep.CENT: 1,
    RoundingStep.DOLLAR: 100,
    RoundingStep.FIVE_DOLLARS: 500,
    RoundingStep.TEN_DOLLARS: 1000,
}


@dataclass(frozen=True, slots=True)
class PriceChange:
    """By hundredths of a percent, to the nearest step. None at all leaves prices as they are, rounded or not."""

    basis_points: int
    step: RoundingStep

    def of(self, amount: Money) -> Money:
        if not self.basis_points:
            return amount
        return share_of(amount, WHOLE_BASIS_POINTS + self.basis_points, step=STEP_MINOR[self.step])

    def of_item(self, item: PriceItem, id: UUID) -> PriceItem:
        if item.kind is ItemKind.FEE:
            return replace(item, id=id)
        tiers = tuple(replace(tier, unit_price=self.of(tier.unit_price)) for tier in item.tiers)
        return replace(item, id=id, unit_price=self.of(item.unit_price), tiers=tiers)


@dataclass(frozen=True, slots=True)
class PriceBookDiff:
    added: tuple[PriceItem, ...]
    removed: tuple[PriceItem, ...]
    changed: tuple[tuple[PriceItem, PriceItem], ...]  # The old and the new.
    deposit: tuple[Money, Money] | None  # None: the same.
    minimum: tuple[Money, Money] | None


def copied(
    source: PriceBook,
    change: PriceChange,
    *,
    id: UUID,
    item_ids: Sequence[UUID],
    site_id: UUID,
    effective_date: date,
    created_at: datetime,
) -> PriceBook:
    """A draft. The deposit and the fees stay as they are."""
    return PriceBook(
        id=id,
        site_id=site_id,
        effective_date=effective_date,
        deposit=source.deposit,
        items=tuple(change.of_item(item, new) for item, new in zip(source.items, item_ids, strict=True)),
        created_at=created_at,
        minimum=change.of(source.minimum) if source.minimum else None,
    )


def diff(old: PriceBook, new: PriceBook) -> PriceBookDiff:
    """Items are told again by what they are the price of."""
    before, after = {each.identity: each for each in old.items}, {each.identity: each for each in new.items}
    both = [(before[identity], item) for identity, item in after.items() if identity in before]
    return PriceBookDiff(
        added=tuple(item for identity, item in after.items() if identity not in before),
        removed=tuple(item for identity, item in before.items() if identity not in after),
        changed=tuple((was, now) for was, now in both if was != replace(now, id=was.id)),
        deposit=None if old.deposit == new.deposit else (old.deposit, new.deposit),
        minimum=None if old.least == new.least else (old.least, new.least),
    )
