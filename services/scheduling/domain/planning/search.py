"""The best plans over all places: best first, each thing looked at only when nothing cheaper is left.

What waits is a course whose own resources are given for some requirements or for all. Its cost is at least that of the
cheapest path; before its paths are reckoned, at least that of the course it comes from, and of one that keeps to its
last resource alone. A bound is never above what comes of it, so that the first plan to come out is the best. First days
that have a plan are no bound any more, so that most courses are never reckoned. Deterministic: the bound of the work is
a count, not a clock.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import combinations
from typing import NamedTuple
from uuid import UUID

from chassis.errors import DomainError, Kind
from services.scheduling.domain.planning.calendars import mask, set_bits
from services.scheduling.domain.planning.owns import NEVER
from services.scheduling.domain.planning.paths import Field, Paths, Spot
from services.scheduling.domain.planning.plans import Plan, plan_of

PLANS_MAX = 3
STEPS_MAX = 3_000_000
"""Numbers of rows that one search reckons: some seconds."""


class PlanUndecided(DomainError):
    kind, reason = Kind.EXHAUSTED, "PLAN_UNDECIDED"
    message = "the search reached its bound before it found a plan; ask for fewer things that must be the same"


@dataclass(frozen=True, slots=True)
class Found:
    plans: Sequence[Plan]
    """The best first; each at another site or on another first day."""
    proven: bool = True
    """Whether no better ones exist; else the search ended at its bound."""


@dataclass(frozen=True)
class Kept:
    """A course whose visits keep to some resources."""

    field: Field
    mains: Mapping[str, UUID]
    open_keys: tuple[str, ...]
    """Of which the resource is not chosen yet."""
    soft: frozenset[str]
    firsts: Sequence[int]
    """What it costs at least by its first day; NEVER or more: it is not to begin then."""
    without: Mapping[int, int] = dataclasses.field(default_factory=dict)
    """Starts that a visit may not have, since another is at the same time."""
    paths: Paths | None = None

    @property
    def rank(self) -> int:
        """Of courses that may cost the same, what is nearest to being a plan comes first."""
        return 2 * len(self.open_keys) + (self.paths is None)

    def at_least(self, firsts: Sequence[int]) -> Sequence[int]:
        """The higher of two bounds, by first day."""
        return list(map(max, self.firsts, firsts))

    def on(self, first_day: int) -> Sequence[int]:
        """The bounds of courses that begin on that day."""
        return [cost if day == first_day else NEVER for day, cost in enumerate(self.firsts)]

    def not_on(self, first_day: int) -> Sequence[int]:
        return [NEVER if day == first_day else cost for day, cost in enumerate(self.firsts)]


class Crowded(NamedTuple):
    """A visit that overlaps another wherever it starts between two cells of a day."""

    visit: int
    day: int
    first: int
    last: int


class Search:
    def __init__(self, fields: Sequence[Field], plans_max: int = PLANS_MAX, steps_max: int = STEPS_MAX) -> None:
        self._fields, self._plans_max, self._steps_max = fields, plans_max, steps_max
        self._waiting: list[tuple[int, int, int, int, Kept]] = []
        self._pushed = 0
        self._taken = set[tuple[UUID, int]]()
        """Sites and first days that have their plan."""
        self._alone: dict[tuple[UUID, str, UUID], Sequence[int]] = {}

    def found(self) -> Found:
        plans = list[Plan]()
        for each in self._fields:
            hard, soft = kept_keys(each)
            self._await(Kept(each, each.kept, (*hard, *soft), each.soft_keys, [0] * each.first_days))
        while self._waiting and len(plans) < self._plans_max:
            if sum(each.steps for each in self._fields) > self._steps_max:
                return Found(plans, proven=False)
            _, _, day, _, kept = heappop(self._waiting)
            if (kept.field.place.site_id, day) in self._taken:
                self._await(kept)
            elif plan := self._went_on(kept, day):
                plans.append(plan)
                self._taken.add((plan.site_id, day))
        return Found(plans)

    def _went_on(self, kept: Kept, day: int) -> Plan | None:
        """One step with a course that costs the least if it begins on that day."""
        if kept.paths is None:
            self._reckon(kept, Paths(kept.field, kept.mains, kept.soft, kept.without))
        elif not kept.paths.keep_windows(spots := kept.paths.path(day)):
            self._reckon(kept, kept.paths.in_windows)
        elif kept.open_keys:
            self._open(kept)
        else:
            self._await(replace(kept, firsts=kept.not_on(day)))
            return self._settled(kept, kept.paths, day, spots)
        return None

    def _reckon(self, kept: Kept, paths: Paths) -> None:
        self._await(replace(kept, paths=paths, firsts=kept.at_least(paths.firsts)))

    def _open(self, kept: Kept) -> None:
        """A course for each resource that its next requirement could keep to."""
        key, *rest = kept.open_keys
        for id in candidates(kept.field, key, soft=key in kept.soft):
            firsts = kept.at_least(self._firsts_alone(kept, key, id)) if kept.mains != kept.field.kept else kept.firsts
            mains = {**kept.mains, key: id}
            self._await(replace(kept, mains=mains, open_keys=tuple(rest), firsts=firsts, paths=None))

    def _firsts_alone(self, kept: Kept, key: str, id: UUID) -> Sequence[int]:
        """Bounds of a course that keeps to one resource only: what keeps to others too costs no less."""
        at = kept.field.place.site_id, key, id
        if at not in self._alone:
            self._alone[at] = Paths(kept.field, {**kept.field.kept, key: id}, kept.soft).firsts
        return self._alone[at]

    def _await(self, kept: Kept) -> None:
        site_id = kept.field.place.site_id
        bounds = ((cost, day) for day, cost in enumerate(kept.firsts) if (site_id, day) not in self._taken)
        cost, day = min(bounds, default=(NEVER, 0))
        if cost < NEVER:
            self._pushed += 1
            heappush(self._waiting, (cost, kept.rank, day, self._pushed, kept))

    def _settled(self, kept: Kept, paths: Paths, day: int, spots: list[Spot]) -> Plan | None:
        """The plan, or, where visits with anchors cannot be beside the others, courses without these starts."""
        near = crowded(kept.field, spots)
        choices = {spot.visit: set(self._cells(kept.field, paths, spot)) for spot in near}
        placed = apart(kept.field, near, choices, ())
        if placed is not None:
            chosen = {spot.visit: spot for spot in placed}
            spots = [chosen.get(spot.visit, spot) for spot in spots]
            fixed = [
                paths.owns[spot.visit, spot.section]
                .tier_of(spot.day, spot.cell - kept.field.cells.midnights[spot.day])
                .fixed
                for spot in spots
            ]
            return plan_of(kept.field, spots, fixed, kept.mains)
        self._part(kept, day, *clash(kept.field, near, choices))
        return None

    def _part(self, kept: Kept, first_day: int, one: Crowded, other: Crowded) -> None:
        """Courses in which one or the other of the two, which cannot be apart, is elsewhere.

        First by the day of the other, so that what is tried on one day is not tried again for each way on another.
        """
        cells = kept.field.cells
        that_day = mask(cells.midnights[other.day], cells.midnights[other.day + 1])
        if (kept.without.get(other.visit, 0) | that_day) != cells.all:
            ways = [(other.visit, that_day), (other.visit, cells.all & ~that_day)]
        else:
            until = one.first + kept.field.length(one.visit)
            ways = [
                (one.visit, mask(one.first, one.last + 1)),
                (other.visit, mask(max(0, one.last + 1 - kept.field.length(other.visit)), until)),
            ]
        for visit, bits in ways:
            without = {**kept.without, visit: kept.without.get(visit, 0) | bits & cells.all}
            self._await(replace(kept, without=without, firsts=kept.on(first_day), paths=None))

    def _cells(self, field: Field, paths: Paths, spot: Spot) -> Iterator[int]:
        """Starts of the spot's day that cost the path no more."""
        if spot.pinned:
            yield spot.cell
            return
        midnight = field.cells.midnights[spot.day]
        yield from (midnight + bit for bit in set_bits(paths.owns[spot.visit, spot.section].best(spot.day)))


def crowded(field: Field, spots: Sequence[Spot]) -> list[Spot]:
    """Visits with anchors, and those so near them that they could overlap; the pinned first."""
    count = len(field.outline.chain)
    days = {spot.day + n for spot in spots[count:] for n in (-1, 0, 1)}
    near = [spot for spot in spots if spot.visit >= count or spot.day in days]
    return sorted(near, key=lambda spot: not spot.pinned)


def apart(
    field: Field, near: Sequence[Spot], choices: Mapping[int, set[int]], placed: tuple[Spot, ...]
) -> tuple[Spot, ...] | None:
    """A start of each that leaves it alone until everything it holds is free again."""
    if len(placed) == len(near):
        return placed
    spot = near[len(placed)]
    length = field.length(spot.visit)
    for cell in sorted(choices[spot.visit]):
        clear = all(other.cell + field.length(other.visit) <= cell or cell + length <= other.cell for other in placed)
        if clear and (found := apart(field, near, choices, (*placed, spot._replace(cell=cell)))) is not None:
            return found
    return None


def clash(field: Field, near: Sequence[Spot], choices: Mapping[int, set[int]]) -> tuple[Crowded, Crowded]:
    """Two visits that cannot be apart; or whose earliest starts are not, given that all together cannot.

    The other is one with an anchor.
    """
    earliest = {visit: {min(cells)} for visit, cells in choices.items()}
    for some in (choices, earliest):
        for one, other in combinations(sorted(near), 2):
            if apart(field, (one, other), some, ()) is None:
                return crowded_of(one, some), crowded_of(other, some)
    raise AssertionError("the earliest starts of all are apart")


def crowded_of(spot: Spot, choices: Mapping[int, set[int]]) -> Crowded:
    return Crowded(spot.visit, spot.day, min(choices[spot.visit]), max(choices[spot.visit]))


def kept_keys(field: Field) -> tuple[list[str], list[str]]:
    """Keys that several visits have and for which they must, or should, keep to one resource, whichever it is."""
    counts = Counter(each.key for visit_type in field.types for each in visit_type.requirements)
    several = [key for key, count in counts.items() if count > 1 and key not in field.kept]
    return [key for key in several if key in field.hard_keys], [key for key in several if key in field.soft_keys]


def candidates(field: Field, key: str, *, soft: bool) -> list[UUID]:
    """Resources that could meet the requirement at every visit or, if `soft`, at one."""
    rows = {visit_type.code: n for n, visit_type in enumerate(field.types)}
    able = [
        {id for id, starts in field.starts(n).by_resource[key].items() if starts}
        for n in rows.values()
        if key in field.starts(n).by_resource
    ]
    return sorted(set.union(*able) if soft else set.intersection(*able))
