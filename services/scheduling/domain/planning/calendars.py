"""A site's calendar as bits of integers: bit n is the n-th cell, a few minutes long.

A cell is as long as the common divisor of the lengths of segments, the grids of starts and the site's midnights. What a
visit holds is then whole cells: what is taken or closed for part of a cell spoils it whole, and nothing is lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from itertools import pairwise
from math import gcd
from uuid import UUID

from services.scheduling.domain.hours import DAY, DAY_MINUTES, MINUTE, Hours, Slot, instant
from services.scheduling.domain.planning.wishes import Tastes
from services.scheduling.domain.protocols import Template, VisitType
from services.scheduling.domain.resources import Resource

HOUR_MINUTES = 60


@dataclass(frozen=True, slots=True)
class Calendar:
    """A site as far ahead as a course can reach. Plain numbers, since it goes from process to process."""

    site: Hours
    resources: tuple[Resource, ...]
    origin: datetime
    """Before the first day; minutes count from it."""
    taken: Mapping[tuple[UUID, int], Sequence[int]]
    """By resource and lane: from, to, from, to …"""
    patient: Sequence[int]
    """The same, of the patient."""


@dataclass(frozen=True, slots=True)
class Place:
    """A site that a course may be at, and its own form of the version."""

    site_id: UUID
    template: Template
    calendar: Calendar


class Cells:
    """The days that are planned, cell by cell."""

    def __init__(self, calendar: Calendar, first: date, last: date, types: Iterable[VisitType]) -> None:
        self.origin, self._zone = calendar.origin, calendar.site.zone
        self.days = [first + n * DAY for n in range((last - first).days + 1)]
        minutes = [self._minute(instant(self._zone, day, 0)) for day in [*self.days, self.days[-1] + DAY]]
        lengths = (number for each in types for number in (each.grid, *(part.minutes for part in each.segments)))
        self.minutes = gcd(HOUR_MINUTES, *minutes, *lengths)
        self.midnights = [minute // self.minutes for minute in minutes]
        self.count = self.midnights[-1] + DAY_MINUTES // self.minutes  # A visit may run over the last midnight.
        self.all = (1 << self.count) - 1

    def instant(self, cell: int) -> datetime:
        return self.origin + cell * self.minutes * MINUTE

    def cells(self, minutes: int) -> int:
        return minutes // self.minutes

    def touched(self, spans: Sequence[int]) -> int:
        """Cells of which a minute is in a span.

        A run of set bits is a power of two less another: all ends less all starts, once no run overlaps another.
        """
        starts, ends, before = bytearray((self.count >> 3) + 1), bytearray((self.count >> 3) + 1), 0
        count, length = self.count, self.minutes
        for start, end in sorted(zip(spans[::2], spans[1::2], strict=True)):
            first, after = start // length, -(-end // length)
            if first < before:
                first = before
            if after > count:
                after = count
            if first < after:
                starts[first >> 3] |= 1 << (first & 7)
                ends[after >> 3] |= 1 << (after & 7)
                before = after
        return int.from_bytes(ends, "little") - int.from_bytes(starts, "little")

    def covered(self, hours: Hours) -> int:
        """Cells that are open throughout. Open stretches are apart, so that one holds each run of such cells."""
        spans = list[int]()
        for each in hours.spans(Slot(self.instant(0), self.instant(self.count))):
            first, after = self._from(each.start), (each.end - self.origin) // (self.minutes * MINUTE)
            if first < after:
                spans += (first * self.minutes, after * self.minutes)
        return self.touched(spans)

    def since(self, at: datetime) -> int:
        """Cells that begin then or later."""
        past = max(0, self._from(at))
        return self.all >> past << past

    def grid(self, minutes: int) -> int:
        """Cells that begin on a multiple of so many minutes after the full hour, by the wall clock."""
        step, text = minutes // self.minutes, bytearray(b"0") * self.count
        for first, after, walls in zip(self.midnights, self.midnights[1:], self.walls, strict=False):
            if walls is None:
                text[first:after:step] = b"1" * len(range(first, after, step))
                continue
            for n, wall in enumerate(walls):
                if wall % minutes == 0:
                    text[first + n] = 49
        return int(text[::-1], 2)

    @cached_property
    def walls(self) -> list[list[int] | None]:
        """Of each day on which clocks change, what they show when each cell begins, in minutes of the day."""
        normal = DAY_MINUTES // self.minutes
        return [
            None if after - first == normal else [self.wall(cell) for cell in range(first, after)]
            for first, after in pairwise(self.midnights)
        ]

    def wall(self, cell: int) -> int:
        local = self.instant(cell).astimezone(self._zone)
        return local.hour * 60 + local.minute

    def wall_of(self, day: int, cell: int) -> int:
        """The same, of a cell known to be of the day."""
        n, walls = cell - self.midnights[day], self.walls[day]
        return n * self.minutes if walls is None else walls[n]

    def of_days(self, days: Iterable[int]) -> int:
        """All cells of some days."""
        bits = 0
        for day in days:
            bits |= (1 << self.midnights[day + 1]) - (1 << self.midnights[day])
        return bits

    def liked(self, tastes: Tastes) -> int:
        """Cells in which a visit may start, whatever the calendar."""
        bits = self.all
        if tastes.weekdays_only:
            bits &= self.of_days(n for n, day in enumerate(self.days) if day.weekday() in tastes.weekdays)
        if tastes.start_from > 0 or tastes.start_until < DAY_MINUTES:
            bits &= self._between(tastes.start_from, tastes.start_until)
        return bits

    def _between(self, start: int, until: int) -> int:
        text = bytearray(b"0") * self.count
        for first, after, walls in zip(self.midnights, self.midnights[1:], self.walls, strict=False):
            if walls is None:
                low, high = -(-start // self.minutes), min(until // self.minutes + 1, after - first)
                text[first + low : first + max(low, high)] = b"1" * max(0, high - low)
                continue
            for n, wall in enumerate(walls):
                if start <= wall <= until:
                    text[first + n] = 49
        return int(text[::-1], 2)

    def by_day(self, bits: int) -> list[int]:
        """The bits of each day, from its midnight on."""
        raw, words = (bits & self.all).to_bytes((self.count >> 3) + 1, "little"), []
        for first, after in pairwise(self.midnights):
            word = int.from_bytes(raw[first >> 3 : (after + 7) >> 3], "little") >> (first & 7)
            words.append(word & ((1 << after - first) - 1))
        return words

    def _minute(self, at: datetime) -> int:
        return (at - self.origin) // MINUTE

    def _from(self, at: datetime) -> int:
        """The first cell that begins then or later."""
        return -((self.origin - at) // (self.minutes * MINUTE))


def runs(bits: int, length: int) -> int:
    """Where `length` set bits begin."""
    have = 1
    while have < length:
        step = min(have, length - have)
        bits, have = bits & bits >> step, have + step
    return bits


def at_least(count: int, rows: Iterable[int]) -> int:
    """Bits that are set in `count` or more rows."""
    reached = [0] * count
    for row in rows:
        for n in range(count - 1, 0, -1):
            reached[n] |= reached[n - 1] & row
        reached[0] |= row
    return reached[-1]


def mask(first: int, after: int) -> int:
    """Bits from the first on, before the other."""
    return (1 << after - first) - 1 << first


def set_bits(word: int) -> list[int]:
    """From the lowest."""
    found = []
    while word:
        lowest = word & -word
        found.append(lowest.bit_length() - 1)
        word ^= lowest
    return found
