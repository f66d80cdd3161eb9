"""What a price book lists: visits, add-ons, products and fees, each with its price and what it depends on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.money import Money

WHOLE_BASIS_POINTS = 10_000


class PriceTiersDisordered(DomainError):
    kind, reason = Kind.INVALID, "PRICE_TIERS_DISORDERED"
    message = "tiers are not in ascending order, or two begin at the same"


@dataclass(frozen=True, slots=True)
class VisitKind:
    """What a price is asked for. Codes of the course's protocol version; route is '' where nothing is administered."""

    visit_type_code: str
    route_code: str
    band_code: str

    def covers(self, visit: "VisitKind") -> bool:
        """As what a price or a package is for: an empty route or band stands for any."""
        return (
            self.visit_type_code == visit.visit_type_code
            and self.route_code in ("", visit.route_code)
            and self.band_code in ("", visit.band_code)
        )


class ItemKind(IntEnum):
    """What an item is the price of; numbered as in the proto."""

    VISIT = 1
    ADD_ON = 2
    PRODUCT = 3
    FEE = 4


class FeeKind(IntEnum):
    """What a fee is for; numbered as in the proto."""

    NO_SHOW = 1
    LATE_CANCELLATION = 2


class NoticeHours(IntEnum):
    """Which hours of a notice count; numbered as in the proto."""

    CLOCK = 1
    BUSINESS = 2


@dataclass(frozen=True, slots=True)
class PriceTier:
    """A price from a number on, until the next tier's. Between tiers there so is no gap."""

    from_number: int
    unit_price: Money


class DepositUse(IntEnum):
    """What becomes of what is kept for a course when a fee is asked for; numbered as in the proto."""

    CHARGED_APART = 1
    FEE_FIRST = 2


@dataclass(frozen=True, slots=True)
class FeeAmount:
    """An amount, or a share of what the visit would have cost."""

    fixed: Money | None
    basis_points: int = 0

    def of(self, visit_price: Money) -> Money:
        """Rounded to the nearest minor unit, half of one up."""
        return self.fixed or share_of(visit_price, self.basis_points, step=1)


@dataclass(frozen=True, slots=True)
class FeeTier:
    """Applies to notice shorter than so many hours. Of a missed visit there is one, of 0."""

    notice_hours: int
    amount: FeeAmount
    first_amount: FeeAmount | None = None  # Of the first offence that is not forgiven; None: as of the others.


@dataclass(frozen=True, slots=True)
class FeeTerms:
    kind: FeeKind
    tiers: tuple[FeeTier, ...]  # By ascending notice: the first whose hours the notice is shorter than applies.
    hours: NoticeHours = NoticeHours.CLOCK
    grace_count: int = 0  # So many offences are forgiven.
    late_minutes: int = 0  # Who comes later has missed the visit, as people read it. 0: not said.
    prepay_after_count: int = 0  # After so many misses a patient pays ahead, as people read it. 0: not said.
    deposit_use: DepositUse = DepositUse.CHARGED_APART


@dataclass(frozen=True, slots=True)
class PriceItem:
    id: UUID
    visit_type_code: str  # '': not of a visit.
    route_code: str  # '': any, or none.
    band_code: str  # '': any.
    unit_price: Money  # Of a fee: zero, its terms say how much it is.
    description: str
    kind: ItemKind = ItemKind.VISIT
    code: str = ""  # '': of a visit.
    tiers: tuple[PriceTier, ...] = ()
    visit_type_codes: tuple[str, ...] = ()  # Of an add-on: what it goes with.
    fee: FeeTerms | None = None

    @property
    def key(self) -> tuple[int, str, str, str, str]:
        """The order of a price book."""
        return self.kind, self.visit_type_code, self.route_code, self.band_code, self.code

    @property
    def identity(self) -> tuple[int, str, str, str]:
        """What no two items of a price book have in common, and what tells it again in another."""
        named = FeeKind(self.fee.kind).name if self.fee else self.code
        return self.kind, self.visit_type_code or named, self.route_code, self.band_code

    @property
    def specificity(self) -> tuple[bool, bool]:
        """A route says more than a band. With it no two items that cover the same visit are alike."""
        return bool(self.route_code), bool(self.band_code)

    @property
    def visit_kind(self) -> VisitKind:
        """Of a visit: what it is the price of."""
        return VisitKind(self.visit_type_code, self.route_code, self.band_code)

    def covers(self, kind: VisitKind) -> bool:
        return self.visit_kind.covers(kind)

    @property
    def visit_prices(self) -> list[Money]:
        """What the item may ask for a visit."""
        if self.kind is not ItemKind.VISIT:
            return []
        return [self.unit_price, *(tier.unit_price for tier in self.tiers)]

    def tier_at(self, number: int) -> PriceTier | None:
        """Of the how many-th visit of a course, or of each of so many products. None: the item's own price applies."""
        return next((tier for tier in reversed(self.tiers) if tier.from_number <= number), None)

    def unit_price_at(self, number: int) -> Money:
        tier = self.tier_at(number)
        return tier.unit_price if tier else self.unit_price

    def tier_after(self, number: int) -> PriceTier | None:
        return next((tier for tier in self.tiers if tier.from_number > number), None)

    def amounts(self, path: str) -> Iterator[tuple[str, Money]]:
        """Every amount in it, with where it stands."""
        if not self.fee:
            yield f"{path}.unit_price", self.unit_price
            yield from ((f"{path}.tiers[{n}].unit_price", tier.unit_price) for n, tier in enumerate(self.tiers))
            return
        for n, tier in enumerate(self.fee.tiers):
            for name, amount in (("amount", tier.amount), ("first_amount", tier.first_amount)):
                if amount and amount.fixed:
                    yield f"{path}.fee.tiers[{n}].{name}.fixed", amount.fixed

    def disordered(self, path: str) -> list[Violation]:
        """Every tier that does not begin after the one before it."""
        if self.fee:
            return _disordered([tier.notice_hours for tier in self.fee.tiers], f"{path}.fee.tiers", "notice_hours")
        return _disordered([1, *(tier.from_number for tier in self.tiers)], f"{path}.tiers", "from_number", before=1)


def share_of(amount: Money, basis_points: int, *, step: int) -> Money:
    """Rounded to the nearest multiple of `step` minor units; what lies in the middle, up."""
    unit = WHOLE_BASIS_POINTS * step
    return Money((2 * amount.minor * basis_points + unit) // (2 * unit) * step, amount.currency)


def _disordered(starts: Sequence[int], path: str, name: str, *, before: int = 0) -> list[Violation]:
    """`before` of the starts are no tiers."""
    return [
        Violation(f"{path}[{n - before}].{name}", "PRICE_TIERS_DISORDERED", f"is not above {start}")
        for n, (start, next_start) in enumerate(pairwise(starts), 1)
        if next_start <= start
    ]
