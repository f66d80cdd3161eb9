"""A course beside its estimate, line by line: what is booked, rendered or charged, and what of it was not estimated."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chassis.money import Money
from services.billing.domain.estimates import Estimate
from services.billing.domain.guard import Item
from services.billing.domain.prices import PriceBook, VisitKind, runs
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
    before: Sequence[Item] = (),
) -> tuple[CoverageLine, ...]:
    """What is charged counts as it was charged, every other visit as it is booked. `before` is what was charged of
    visits that earlier estimates cover."""
    booked = Counter[VisitKind | None](visit.kind for visit in visits if not visit.settled)
    counts, minors = Counter[VisitKind | None](), Counter[VisitKind | None]()
    for item in charged:
        counts[item.kind] += item.count
        minors[item.kind] += item.minor
    expected, expected_minors = Counter[VisitKind | None](), Counter[VisitKind | None]()
    for line in estimate.lines if estimate else ():
        expected[line.kind] += line.count
        expected_minors[line.kind] += line.amount.minor if line.amount else 0
    described = {line.kind: line.description for line in estimate.lines} if estimate else {}
    done = Counter(counts)
    for item in before:
        done[item.kind] += item.count
    ahead = _ahead(books, done, booked)

    def amount(kind: VisitKind | None) -> Money | None:
        more = ahead.get(kind, 0)
        return None if more is None else Money(minors[kind] + more, currency)

    return tuple(
        CoverageLine(
            kind=kind,
            description=(described.get(kind) or names.get(kind.visit_type_code, "")) if kind else "",
            estimated_count=expected[kind],
            estimated=Money(expected_minors[kind], currency),
            count=booked[kind] + counts[kind],
            amount=amount(kind),
        )
        for kind in dict.fromkeys([*expected, *booked, *counts])
    )


def _ahead(
    books: Sequence[PriceBook], done: Counter[VisitKind | None], booked: Counter[VisitKind | None]
) -> dict[VisitKind | None, int | None]:
    """What visits to come will cost, by kind. Tiers go on where what is done has come to. None: there is no price."""
    amounts = dict[VisitKind | None, int | None]()
    for run in runs(books, _of_kinds(booked), _of_kinds(done)):
        before = amounts.get(run.kind, 0)
        amounts[run.kind] = before + run.price.amount.minor * run.count if run.price and before is not None else None
    return amounts


def _of_kinds(counts: Counter[VisitKind | None]) -> list[tuple[VisitKind, int]]:
    return [(kind, count) for kind, count in counts.items() if kind]


def beyond_all(lines: Sequence[CoverageLine], currency: str) -> Money | None:
    """Of all lines together: what one is below its estimate, another may be beyond. None: one has no price."""
    amounts = [line.amount.minor - line.estimated.minor for line in lines if line.amount is not None]
    return Money(max(sum(amounts), 0), currency) if len(amounts) == len(lines) else None
