"""How far bills may go beyond a Good Faith Estimate before the patient may dispute them (45 CFR 149.620).

What is billed is compared provider by provider (a facility is one) with what was expected of each: all of it, items
that are not on the estimate in full. A provider who replaces another takes over what was expected of those items.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import IntEnum
from itertools import pairwise
from uuid import UUID

from chassis.errors import DomainError, Kind
from chassis.money import Money
from services.billing.domain.estimates import Estimate, last_covered
from services.billing.domain.prices import VisitKind

THRESHOLD_MINOR = 400_00
NEAR_PERCENT = 75
DISPUTE_WITHIN = timedelta(days=120)


class EstimateExceeded(DomainError):
    kind, reason = Kind.CONFLICT, "ESTIMATE_EXCEEDED"
    message = "the course would be billed $400 or more beyond its estimate, and nobody approved of so much"


class DisputeOpen(DomainError):
    kind, reason, message = Kind.CONFLICT, "ESTIMATE_DISPUTE_OPEN", "the course has a dispute that is open"


class DisputeNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "ESTIMATE_DISPUTE_NOT_FOUND", "no such dispute"


class DisputeClosed(DomainError):
    kind, reason, message = Kind.CONFLICT, "ESTIMATE_DISPUTE_CLOSED", "the dispute was closed before"


class Level(IntEnum):
    """Numbered as in the proto."""

    OK = 1
    NEAR = 2
    BEYOND = 3


@dataclass(frozen=True, slots=True)
class Item:
    """So many of one kind, expected of or billed by a provider."""

    provider_id: UUID
    kind: VisitKind | None  # None: no visit, and so on no estimate.
    count: int
    minor: int
    day: date | None = None
    """Of service, of what is billed."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of one provider, in minor units."""

    provider_id: UUID
    expected: int
    billed: int

    @property
    def over(self) -> int:
        return self.billed - self.expected


@dataclass(frozen=True, slots=True)
class GuardResult:
    """Of the provider that is farthest beyond the estimate. `estimated` None: there is no estimate to go beyond."""

    estimated: Money | None
    billed: Money
    more: Money
    over: Money
    level: Level
    approved: bool = False


@dataclass(frozen=True, slots=True)
class Approval:
    id: UUID
    site_id: UUID
    course_id: UUID
    up_to: Money
    reason: str
    approved_by: str
    approved_at: datetime


@dataclass(frozen=True, slots=True)
class Dispute:
    id: UUID
    site_id: UUID
    patient_id: UUID
    course_id: UUID
    opened_at: datetime
    closed_at: datetime | None = None


def level_of(over_minor: int) -> Level:
    if over_minor >= THRESHOLD_MINOR:
        return Level.BEYOND
    return Level.NEAR if over_minor * 100 >= THRESHOLD_MINOR * NEAR_PERCENT else Level.OK


def compare(expected: Sequence[Item], billed: Sequence[Item]) -> list[Comparison]:
    """Each provider that expects or bills anything, in the order of the items."""
    due = _taken_over(expected, billed)
    sums, total = _sums(due), _sums(billed)
    return [Comparison(each, sums[each], total[each]) for each in dict.fromkeys((*sums, *total))]


def measure_of(estimates: Sequence[Estimate], day: date | None) -> Estimate | None:
    """By which of a course's valid estimates, each of 12 months and in their order, what is of a day is measured. The
    first has what comes before it, too, and each what comes before the next."""
    found = next(iter(estimates), None)
    for one, other in pairwise(estimates):
        if day and day > last_covered(one.service_date):
            found = other
    return found


def judge_course(
    estimates: Sequence[Estimate], billed: Sequence[Item], more: Sequence[Item], currency: str
) -> GuardResult:
    """By each estimate that measures something of `more`; by all, if that is nothing. What is farthest beyond its own
    decides."""

    def of(items: Sequence[Item], estimate: Estimate | None) -> list[Item]:
        return [item for item in items if measure_of(estimates, item.day) is estimate]

    asked: Sequence[Estimate | None] = [each for each in estimates if of(more, each)] or estimates or [None]
    results = (
        judge(each, of(billed, each), Money(sum(item.minor for item in of(more, each)), currency)) for each in asked
    )
    return max(results, key=lambda result: result.over.minor)


def judge(estimate: Estimate | None, billed: Sequence[Item], more: Money) -> GuardResult:
    """`more` is about to be billed by the site of the estimate; None: none was issued. Nobody approved yet."""
    currency = more.currency
    if estimate is None:
        sum_billed = Money(sum(item.minor for item in billed), currency)
        return GuardResult(None, sum_billed, more, Money(0, currency), Level.OK)
    about_to_be = Item(estimate.site_id, None, 1, more.minor)
    worst = max(compare(expected_of(estimate), [*billed, about_to_be]), key=lambda each: each.over)
    return GuardResult(
        estimated=Money(worst.expected, currency),
        billed=Money(worst.billed - (more.minor if worst.provider_id == estimate.site_id else 0), currency),
        more=more,
        over=Money(worst.over, currency),
        level=level_of(worst.over),
    )


def expected_of(estimate: Estimate) -> list[Item]:
    return [
        Item(line.provider_id or estimate.site_id, line.kind, line.count, line.total.minor)
        for line in estimate.lines
        if line.total is not None
    ]


def last_day_to_dispute(first_bill: date) -> date:
    """On which the patient may begin a dispute, of the first bill beyond the estimate."""
    return first_bill + DISPUTE_WITHIN


def _taken_over(expected: Sequence[Item], billed: Sequence[Item]) -> list[Item]:
    """What is expected of each provider once those who replace another have taken over what was expected of it."""
    left = _together(expected)
    spare = _counts(expected)
    spare.subtract(_counts(billed))  # What a provider expects and does not bill itself may be another's by now.
    moved = list[Item]()
    for (provider_id, kind), count in _counts(billed).items():
        wanted = count - (left[provider_id, kind].count if (provider_id, kind) in left else 0)
        for (other_id, other_kind), item in list(left.items()):
            free = min(wanted, spare[other_id, kind]) if other_kind == kind and other_id != provider_id else 0
            if free > 0:
                minor = item.minor * free // item.count
                left[other_id, kind] = Item(other_id, kind, item.count - free, item.minor - minor)
                moved.append(Item(provider_id, kind, free, minor))
                spare[other_id, kind] -= free
                wanted -= free
    return [*(item for item in left.values() if item.count), *moved]


def _together(items: Iterable[Item]) -> dict[tuple[UUID, VisitKind | None], Item]:
    """One of each provider and kind: an estimate has a line for each tier of its price."""
    found = dict[tuple[UUID, VisitKind | None], Item]()
    for item in items:
        known = found.get((item.provider_id, item.kind), replace(item, count=0, minor=0))
        found[item.provider_id, item.kind] = replace(
            known, count=known.count + item.count, minor=known.minor + item.minor
        )
    return found


def _counts(items: Iterable[Item]) -> Counter[tuple[UUID, VisitKind | None]]:
    counts = Counter[tuple[UUID, VisitKind | None]]()
    for item in items:
        if item.kind:
            counts[item.provider_id, item.kind] += item.count
    return counts


def _sums(items: Iterable[Item]) -> Counter[UUID]:
    sums = Counter[UUID]()
    for item in items:
        sums[item.provider_id] += item.minor
    return sums
