"""A course beside its estimate, line by line: what is booked, rendered or charged, and what of it was not estimated."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chassis.money import Money
from services.billing.domain.estimates import Estimate
from services.billing.domain.guard import Item
from services.billing.domain.prices import PriceBook, VisitKind, prices
from services.billing.domain.sites import BookedVisit


@dataclass(frozen=True, slots=True)
class CoverageLine:
    kind: VisitKind | None  # None: charges that are no visits.
    description: str
    estimated_count: int
    estimated: Money
    count: int
    amount: Money | None  # None: there is no price.

    @property
    def beyond(self) -> Money | None:
        if self.amount is None:
            return None
        return Money(max(self.amount.minor - self.estimated.minor, 0), self.amount.currency)


def cover(
    estimate: Estimate | None,
    visits: Sequence[BookedVisit],
    charged: Sequence[Item],
    books: Sequence[PriceBook],
    names: Mapping[str, str],
    currency: str,
) -> tuple[CoverageLine, ...]:
    """Visits count as they are booked; what was charged beyond their number or their price counts as it was charged."""
    booked = Counter(visit.kind for visit in visits)
    counts, minors = Counter[VisitKind | None](), Counter[VisitKind | None]()
    for item in charged:
        counts[item.kind] += item.count
        minors[item.kind] += item.minor
    estimated = Counter[VisitKind | None]()
    estimated_minors = Counter[VisitKind | None]()
    for line in estimate.lines if estimate else ():
        estimated[line.kind] += line.count
        estimated_minors[line.kind] += line.amount.minor if line.amount else 0
    found = prices(books, list(booked))
    described = {line.kind: line.description for line in estimate.lines} if estimate else {}
    lines = list[CoverageLine]()
    for kind in dict.fromkeys([*estimated, *booked, *counts]):
        still = max(booked[kind] - counts[kind], 0) if kind else 0
        price = found.get(kind) if kind else None
        unit = price.item.unit_price.minor if price else None
        known = not still or unit is not None
        name = names.get(kind.visit_type_code, kind.visit_type_code) if kind else ""
        lines.append(
            CoverageLine(
                kind=kind,
                description=described.get(kind) or name if kind else "",
                estimated_count=estimated[kind],
                estimated=Money(estimated_minors[kind], currency),
                count=still + counts[kind],
                amount=Money(minors[kind] + still * (unit or 0), currency) if known else None,
            )
        )
    return tuple(lines)
