"""The cheapest way through the days, from the last visit to the first: for a course whose own resources are given.

A row holds a number for each day of the chain. Two days apart the time of day is free, so that a row of the cheapest
starts is enough. On the same day, and on the next where a visit runs over midnight, each start is looked at for itself.
Where a phase has a window that its gaps do not keep by themselves, there is a row for each number of days left of it:
several times the work, so that windows are left out of account until a cheapest way does not keep one. Of a course that
goes on there is a row for each section that its standing visits leave: see `sections`.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, partial
from operator import add
from typing import NamedTuple
from uuid import UUID

from services.scheduling.domain.planning.calendars import Cells, Place
from services.scheduling.domain.planning.owns import NEVER, DayTastes, Own, own_of
from services.scheduling.domain.planning.scores import DAY_COSTS
from services.scheduling.domain.planning.sections import Sections, kept_by
from services.scheduling.domain.planning.starts import Free, Starts
from services.scheduling.domain.planning.wishes import Outline, Wish, last_day, last_of_chain
from services.scheduling.domain.protocols import Anchor, Phase, VisitType


class Due(NamedTuple):
    """Days on which a visit with an anchor may be, as numbers, and the one on which it is due; any may be outside of
    those that are planned."""

    first: int
    last: int
    best: int


class Spot(NamedTuple):
    """A visit of a path. Those with anchors come after all of the chain."""

    visit: int
    day: int
    cell: int
    pinned: bool
    """Its start is bound to that of the visit before or after it."""
    section: int
    """How many that stand are before it."""


class Field:
    """All that does not depend on which resources a course keeps."""

    def __init__(self, place: Place, wish: Wish, outlined: Outline, now: datetime) -> None:
        self.place, self.wish, self.outline = place, wish, outlined
        template = place.template
        self.types: list[VisitType] = [template.visit_type(phase.visit_type_code) for phase in outlined.phases]
        each_type = {visit_type.code: visit_type for visit_type in self.types}
        self.cells = Cells(place.calendar, wish.earliest, last_day(outlined, wish), each_type.values())
        free = Free(place.calendar, self.cells, now, wish.tastes)
        self._starts = {code: free.starts(visit_type) for code, visit_type in each_type.items()}
        self.tastes, self.costs = DayTastes(self.cells, wish.tastes), DAY_COSTS[wish.emphasis]
        self._standing = Sections(template, outlined, place.calendar, self.cells, self.costs.gap)
        self.sections = [self._standing.of(visit) for visit in range(len(self.types))]
        """Of each visit, by number, in order of time."""
        self.kept = kept_by(template, outlined.standing, place.calendar.resources, self.hard_keys, self.soft_keys)
        """Resources that visits which stand have, and the others are to keep."""
        self.first_days = (wish.latest - wish.earliest).days + 1
        self.chain_days = (last_of_chain(outlined, wish) - wish.earliest).days + 1
        """Those that visits of the chain may be on: what has an anchor may be years later."""
        self.steps = 0
        """How many numbers of rows were reckoned so far."""
        self._inner = [template.phase(phase.code) for phase in outlined.chain]
        self.rests = [
            sum(other.code == phase.code for other in self._inner[i + 1 :]) for i, phase in enumerate(self._inner)
        ]
        """How many visits of its phase come after each."""
        self.windows = [
            min(self.longest(i), phase.window_days - 1) if phase.window_days else self.longest(i)
            for i, phase in enumerate(self._inner)
        ]
        """Days left of its phase's window when a visit is the first of it; or all that the gaps can ever use."""
        self.unbound = [self.longest(i) for i in range(len(self._inner))]
        """The same, had no phase a window."""
        self._owns: dict[tuple[object, ...], Own] = {}
        self._words: dict[tuple[object, ...], Sequence[int]] = {}
        self._coupled = [self._is_coupled(i) for i in range(len(outlined.chain))]
        self._dues = [self._dues_of(phase) for phase in outlined.beside]

    @cached_property
    def hard_keys(self) -> frozenset[str]:
        """For which all visits must keep to one resource."""
        return frozenset().union(*(each.same_keys for each in self.types)) if self.wish.same_across else frozenset()

    @cached_property
    def soft_keys(self) -> frozenset[str]:
        """For which they should."""
        return frozenset(self.wish.same) - self.hard_keys

    def starts(self, visit: int) -> Starts:
        return self._starts[self.types[visit].code]

    def length(self, visit: int) -> int:
        """In cells, until everything it holds is free again."""
        return self.cells.cells(self.types[visit].minutes)

    def own(self, visit: int, mains: Mapping[str, UUID], soft: frozenset[str], without: int) -> Own:
        """`without`: no start in these cells."""
        visit_type = self.types[visit]
        its = {each.key: mains[each.key] for each in visit_type.requirements if each.key in mains}
        key = (visit_type.code, tuple(its.items()), without)
        if key not in self._owns:
            self._owns[key] = own_of(partial(self.words, visit, without=without), its, soft, self.tastes)
            self.steps += len(self.cells.days) * len(self._owns[key].tiers)
        return self._owns[key]

    def words(self, visit: int, fixed: Mapping[str, UUID], without: int = 0) -> Sequence[int]:
        """The visit's starts by day, some requirements being met by one resource only."""
        key = (self.types[visit].code, tuple(fixed.items()), without)
        if key not in self._words:
            self._words[key] = self.cells.by_day(self.starts(visit).given(fixed) & ~without)
        return self._words[key]

    def coupled(self, visit: int) -> bool:
        """Whether the next visit may be so near that its start depends on this one's."""
        return 0 <= visit < len(self._coupled) and self._coupled[visit]

    def due(self, beside: int, last: int) -> Due:
        """Of the n-th visit with an anchor, when the last that is planned of its anchor's phase is on day `last`; if
        none is planned, that is nothing to it."""
        return self._dues[beside][last]

    def due_by(self, beside: int, spots: Sequence[Spot]) -> Due:
        """The same, of a path that begins with these."""
        anchor = self.outline.beside[beside].anchor
        assert anchor
        chain = zip(self.outline.chain, spots, strict=False)
        return self.due(beside, max((spot.day for phase, spot in chain if phase.code == anchor.phase_code), default=0))

    def shortest(self, visit: int) -> int:
        """Days that the rest of its phase takes after a visit, at least and at most."""
        return self.rests[visit] * self._inner[visit].gap_days_min

    def longest(self, visit: int) -> int:
        """Past visits that stand, as long as the window."""
        phase = self._inner[visit]
        if phase.window_days and self._standing.has(phase.code):
            return phase.window_days - 1
        return self.rests[visit] * phase.gap_days_max

    def gap_cost(self, phase: Phase, gap: int) -> int:
        return self.costs.gap * abs(gap - phase.gap_days_preferred)

    def gaps_cost(self, spots: Sequence[Spot], visit: int) -> int:
        """What a visit's gaps cost: to the one before, and to one that stands and is next."""
        chain, spot = spots[: len(self.outline.chain)], spots[visit]
        if visit >= len(chain):
            return self.costs.gap * abs(spot.day - self.due_by(visit - len(chain), chain).best)
        section, cost = self.sections[visit][spot.section], 0
        if visit and chain[visit - 1].section == spot.section:
            cost += self.gap_cost(self.outline.chain[visit], spot.day - chain[visit - 1].day)
        else:
            cost += section.enter[spot.day]
        if visit + 1 == len(chain) or chain[visit + 1].section != spot.section:
            cost += section.leave[spot.day]
        return cost

    def _is_coupled(self, i: int) -> bool:
        chain = self.outline.chain
        if i + 1 == len(chain) or chain[i + 1].gap_days_min > 1:
            return False
        if chain[i + 1].gap_days_min == 0:
            return True
        these, next_ones = (self.words(n, {}) for n in (i, i + 1))
        for day, after in enumerate(self.cells.midnights[1 : len(these)]):
            late, early = these[day], next_ones[day + 1]
            if late and early:
                ends = self.cells.midnights[day] + late.bit_length() - 1 + self.length(i)
                if ends > after + (early & -early).bit_length() - 1:
                    return True
        return False

    def _dues_of(self, phase: Phase) -> list[Due]:
        assert phase.anchor
        days, stood = self.cells.days[: self.chain_days], self._standing.last_date(phase.anchor.phase_code)
        planned = any(each.code == phase.anchor.phase_code for each in self.outline.chain)
        if stood and not planned:
            return [self._due_of(phase.anchor, stood)] * len(days)
        return [self._due_of(phase.anchor, max(day, stood) if stood else day) for day in days]

    def _due_of(self, anchor: Anchor, last: date) -> Due:
        return Due(*((each - self.cells.days[0]).days for each in (*anchor.days(last), anchor.due(last))))


@dataclass(frozen=True, slots=True)
class Level:
    """The starts of one visit on one day, each with what it and all after it cost."""

    cells: Sequence[int]
    totals: Sequence[int]
    minima: Sequence[int]
    """From each start on."""


At = tuple[int, int, int]
"""A visit, days left of its phase's window, a section."""


class Node(NamedTuple):
    """A visit in a section, with so many days left of its phase's window, by day."""

    row: Sequence[int]
    """What it and all after it cost at least."""
    far: Sequence[int]
    """What all after it cost, where its start does not matter for that."""
    levels: Sequence[Level]


class Paths:
    """`mains` are the course's own resources, by requirement key; `without` has starts that a visit may not have.

    They cost at most what those do that keep the phases' windows.
    """

    def __init__(
        self,
        field: Field,
        mains: Mapping[str, UUID],
        soft: frozenset[str],
        without: Mapping[int, int] | None = None,
        *,
        windowed: bool = False,
    ) -> None:
        self._field, self._nodes, self._entries = field, dict[At, Node](), dict[At, list[int]]()
        self._windows, self._windowed = field.windows if windowed else field.unbound, windowed
        self._in_windows = partial(Paths, field, mains, soft, without, windowed=True)
        self._chain, self._count = field.outline.chain, len(field.outline.chain)
        self.owns = {
            (visit, number): field.own(visit, mains, soft, (without or {}).get(visit, 0) | each.closed)
            for visit, sections in enumerate(field.sections)
            for number, each in sections.items()
        }
        """By visit and section."""
        self._anchored = [self._anchored_row(i) for i in range(self._count)]
        root = self._root()
        self.firsts = [
            cost + field.costs.late * day if cost < NEVER else NEVER
            for day, cost in enumerate(root[: field.first_days])
        ]
        """What the cheapest course costs by its first day; NEVER or more: there is none."""
        self.cheapest = min(self.firsts)

    @cached_property
    def in_windows(self) -> "Paths":
        """Those that keep the phases' windows."""
        return self._in_windows()

    def keep_windows(self, spots: Sequence[Spot]) -> bool:
        """Whether the path does."""
        began = dict[str, int]()
        for phase, spot in zip(self._chain, spots, strict=False):
            first = began.setdefault(phase.code, spot.day)
            if phase.window_days and spot.day - first >= phase.window_days:
                return False
        return True

    def path(self, first_day: int) -> list[Spot]:
        """Of the cheapest course that begins on that day."""
        spots, day, left, release = list[Spot](), first_day, self._windows[0], 0
        number = min((row[day], number) for number, row in self._entered(0, left))[1]
        for i in range(self._count):
            cell, pinned = self._start(i, left, number, day, release)
            spots.append(Spot(i, day, cell, pinned, number))
            if i + 1 < self._count:
                gap, onward = self._next(i, left, number, day, cell)
                release = cell + self._field.length(i) if onward == number else 0
                left, number, day = self._left(i, left, gap), onward, day + gap
        return spots + [self._beside(n, spots) for n in range(len(self._field.outline.beside))]

    def _root(self) -> Sequence[int]:
        left = self._windows[0]
        if left < self._field.shortest(0):
            return [NEVER] * self._field.first_days
        return self._least([row for _, row in self._entered(0, left)])

    def _entered(self, i: int, left: int, after: int = -1) -> Iterator[tuple[int, list[int]]]:
        """By section after another: what visit `i` and all after it cost by day, if one that stands is next before."""
        for number, section in self._field.sections[i].items():
            if number > after:
                at = i, left, number
                if at not in self._entries:
                    self._entries[at] = list(map(add, section.enter, self._node(*at).row))
                yield number, self._entries[at]

    def _least(self, rows: Sequence[list[int]]) -> list[int]:
        if not rows:
            return [NEVER] * self._field.chain_days
        return list(map(min, *rows)) if len(rows) > 1 else rows[0]

    def _beside(self, n: int, spots: Sequence[Spot]) -> Spot:
        _, day = min(self._due_costs(n, self._field.due_by(n, spots)))
        cell = self._field.cells.midnights[day] + self.owns[self._count + n, 0].earliest_best(day)
        return Spot(self._count + n, day, cell, False, 0)

    def _start(self, i: int, left: int, number: int, day: int, release: int) -> tuple[int, bool]:
        node = self._node(i, left, number)
        if not node.levels:
            return self._field.cells.midnights[day] + self.owns[i, number].earliest_best(day), False
        level = node.levels[day]
        n = bisect_left(level.cells, release)
        return level.cells[level.totals.index(level.minima[n], n)], True

    def _next(self, i: int, left: int, number: int, day: int, cell: int) -> tuple[int, int]:
        """The gap and the section of the cheapest way on."""
        release, ways = cell + self._field.length(i), list[tuple[int, int, int]]()
        phase = self._chain[i + 1]
        for gap in range(phase.gap_days_min, phase.gap_days_max + 1):
            following = self._left(i, left, gap)
            if following < 0 or day + gap >= self._field.chain_days or number not in self._field.sections[i + 1]:
                continue
            node = self._node(i + 1, following, number)
            cost = node.row[day + gap]
            if self._field.coupled(i) and gap < 2:
                cost = _from(node.levels[day + gap], release)
            ways.append((cost + self._field.gap_cost(phase, gap), gap, number))
        leave = self._field.sections[i][number].leave[day]
        for gap in range(self._field.chain_days - day) if self._passes(i, number) else ():
            following = self._left(i, left, gap)
            if following >= 0:
                ways += ((leave + row[day + gap], gap, to) for to, row in self._entered(i + 1, following, number))
        return min(ways)[1:]

    def _passes(self, i: int, number: int) -> bool:
        """Whether the next visit may be in a later section."""
        return any(to > number for to in self._field.sections[i + 1])

    def _node(self, i: int, left: int, number: int) -> Node:
        if (i, left, number) not in self._nodes:
            self._nodes[i, left, number] = self._reckoned(i, left, number)
        return self._nodes[i, left, number]

    def _reckoned(self, i: int, left: int, number: int) -> Node:
        field, own = self._field, self.owns[i, number]
        far, levels = self._far(i, left, number), list[Level]()
        anchored = self._anchored[i]
        if anchored:
            far = [one + other for one, other in zip(far, anchored, strict=True)]
        if not (field.coupled(i) or field.coupled(i - 1)):
            return Node([one + other for one, other in zip(own.row, far, strict=False)], far, ())
        for day in range(field.chain_days):
            levels.append(self._level((i, left, number), day, far[day], anchored[day] if anchored else 0))
        return Node([level.minima[0] if level.minima else NEVER for level in levels], far, levels)

    def _level(self, at: At, day: int, far: int, anchored: int) -> Level:
        i, _, number = at
        midnight, length = self._field.cells.midnights[day], self._field.length(i)
        cells, totals = list[int](), list[int]()
        for bit, cost in self.owns[i, number].costs(day):
            way = far
            if self._field.coupled(i):
                way = min(way, self._near(at, day, midnight + bit + length) + anchored)
            cells.append(midnight + bit)
            totals.append(cost + way)
        minima, best = list(totals), NEVER
        for n in reversed(range(len(totals))):
            best = minima[n] = min(best, totals[n])
        self._field.steps += len(cells)
        return Level(cells, totals, minima)

    def _far(self, i: int, left: int, number: int) -> list[int]:
        """The cheapest way on from each day, by gaps that leave the time of day free."""
        days, leave = self._field.chain_days, self._field.sections[i][number].leave
        if i + 1 == self._count:
            return list(leave[:days])
        phase, rows = self._chain[i + 1], list[list[int]]()
        for gap in range(
            max(phase.gap_days_min, 2 if self._field.coupled(i) else 0), min(phase.gap_days_max, days - 1) + 1
        ):
            following = self._left(i, left, gap)
            if following >= 0 and number in self._field.sections[i + 1]:
                cost = self._field.gap_cost(phase, gap)
                row = self._node(i + 1, following, number).row[gap:]
                rows.append([each + cost for each in row] + [NEVER] * gap)
        if self._passes(i, number):
            rows += (list(map(add, leave, row)) for row in self._past(i, left, number))
        self._field.steps += days * len(rows)
        return self._least(rows)

    def _past(self, i: int, left: int, number: int) -> Iterator[list[int]]:
        """What the next visit and all after it cost in later sections: by day of this visit if that bears on the
        window, else the same on each."""
        days = self._field.chain_days
        if self._in_window(i):
            for gap in range(min(left, days - 1) + 1):
                if (following := self._left(i, left, gap)) >= 0:
                    yield from (row[gap:] + [NEVER] * gap for _, row in self._entered(i + 1, following, number))
        elif (following := self._left(i, left, 0)) >= 0:
            yield from ([min(row)] * days for _, row in self._entered(i + 1, following, number))

    def _near(self, at: At, day: int, release: int) -> int:
        """The cheapest way to a visit on the same or the next day, not before everything is free again."""
        i, left, number = at
        phase, best = self._chain[i + 1], NEVER
        for gap in range(phase.gap_days_min, min(1, phase.gap_days_max) + 1):
            following = self._left(i, left, gap)
            reached = following >= 0 and day + gap < self._field.chain_days
            if reached and number in self._field.sections[i + 1]:
                cost = _from(self._node(i + 1, following, number).levels[day + gap], release)
                best = min(best, cost + self._field.gap_cost(phase, gap))
        return best

    def _left(self, i: int, left: int, gap: int) -> int:
        """Of the window at visit `i + 1`, if there were `left` at visit `i`; less than 0: the rest does not fit."""
        left = min(left - gap, self._field.longest(i + 1)) if self._in_window(i) else self._windows[i + 1]
        return left if left >= self._field.shortest(i + 1) else -1

    def _in_window(self, i: int) -> bool:
        """Whether the next visit is in the same window as visit `i`."""
        same = self._chain[i].code == self._chain[i + 1].code
        return self._windowed and same and self._chain[i].window_days > 0

    def _anchored_row(self, i: int) -> list[int]:
        """By day of visit `i`: what the visits cost that are due by it."""
        due = [n for n, phase in enumerate(self._field.outline.beside) if phase in self._field.outline.anchors(i)]
        if not due:
            return []
        days = range(self._field.chain_days)
        self._field.steps += len(days) * len(due)
        return [
            sum(min(self._due_costs(n, self._field.due(n, day)), default=(NEVER, 0))[0] for n in due) for day in days
        ]

    def _due_costs(self, n: int, due: Due) -> list[tuple[int, int]]:
        """What the n-th visit with an anchor costs on each day that it may have, and the day."""
        row = self.owns[self._count + n, 0].row
        days = range(max(0, due.first), min(due.last + 1, len(row)))
        return [(row[day] + self._field.costs.gap * abs(day - due.best), day) for day in days]


def _from(level: Level, release: int) -> int:
    """The cheapest of the starts from `release` on."""
    n = bisect_left(level.cells, release)
    return level.minima[n] if n < len(level.minima) else NEVER
