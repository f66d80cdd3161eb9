"""What a visit's start costs by itself: its weekday, its time of day, and who is not the one of the other visits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple
from uuid import UUID

from services.scheduling.domain.planning.calendars import Cells, set_bits
from services.scheduling.domain.planning.scores import CHANGE_COST, time_cost, weekday_cost
from services.scheduling.domain.planning.wishes import Tastes

NEVER = 1 << 40
"""More than any plan costs."""


class Tier(NamedTuple):
    """Starts at which some of the course's own resources are there, and what it costs that others are not."""

    cost: int
    fixed: Mapping[str, UUID]
    words: Sequence[int]
    """By day."""


@dataclass(frozen=True, slots=True)
class Own:
    """Of one visit, by day and start. A start is a bit of its day."""

    tiers: Sequence[Tier]
    row: Sequence[int]
    """The cheapest of each day, or NEVER."""
    days: "DayTastes"

    def costs(self, day: int) -> list[tuple[int, int]]:
        """Each start of the day and what it costs, in order of time."""
        found: dict[int, int] = {}
        for tier in self.tiers:
            for bit in set_bits(tier.words[day]):
                found.setdefault(bit, tier.cost + self.days.cost(day, bit))
        return sorted(found.items())

    def best(self, day: int) -> int:
        """All starts of the day that cost no more than the cheapest."""
        lowest, word = self.row[day], 0
        for bit, cost in self.costs(day):
            word |= (cost == lowest) << bit
        return word

    def earliest_best(self, day: int) -> int:
        word = self.best(day)
        return (word & -word).bit_length() - 1

    def tier_of(self, day: int, bit: int) -> Tier:
        return next(tier for tier in self.tiers if tier.words[day] >> bit & 1)


class DayTastes:
    """What a day and a time of it cost."""

    def __init__(self, cells: Cells, tastes: Tastes) -> None:
        self._cells, self._tastes = cells, tastes
        self.weekday = [weekday_cost(tastes, day) for day in cells.days]

    def cost(self, day: int, bit: int) -> int:
        return self.weekday[day] + self.time(day, bit)

    def time(self, day: int, bit: int) -> int:
        if not self._tastes.minutes_of_day:
            return 0
        return time_cost(self._tastes, self._cells.wall_of(day, self._cells.midnights[day] + bit))

    def cheapest(self, day: int, word: int) -> int:
        """Of the starts of a word that is not empty."""
        if not self._tastes.minutes_of_day:
            return self.weekday[day]
        if self._cells.walls[day] is not None:
            return self.weekday[day] + min(self.time(day, bit) for bit in set_bits(word))
        length, best = self._cells.minutes, NEVER
        for wished in self._tastes.minutes_of_day:
            after = wished // length + 1
            if before := word & ((1 << after) - 1):
                best = min(best, wished - (before.bit_length() - 1) * length)
            if later := word >> after:
                best = min(best, (after + (later & -later).bit_length() - 1) * length - wished)
        return self.weekday[day] + best


def own_of(
    words: Callable[[Mapping[str, UUID]], Sequence[int]],
    mains: Mapping[str, UUID],
    soft: frozenset[str],
    days: DayTastes,
) -> Own:
    """Of a visit that should have `mains`; those that are not `soft` it must have.

    `words`: its starts by day, given the resources that it must have.
    """
    waived = [key for key in mains if key in soft]
    tiers = list[Tier]()
    for count in range(len(waived) + 1):
        for left_out in combinations(waived, count):
            fixed = {key: id for key, id in mains.items() if key not in left_out}
            tiers.append(Tier(CHANGE_COST * count, fixed, words(fixed)))
    row = list[int]()
    for day, weekday in enumerate(days.weekday):
        best = NEVER
        for tier in tiers:
            if tier.cost + weekday >= best:
                break  # Those that follow cost no less.
            if word := tier.words[day]:
                best = min(best, tier.cost + days.cheapest(day, word))
        row.append(best)
    return Own(tiers, row, days)
