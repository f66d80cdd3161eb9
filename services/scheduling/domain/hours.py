"""Time as clinics keep it: weekly hours by the wall clock and days off, and what they mean in instants."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind, Violation
from services.scheduling.domain.holidays import Holiday, days_of

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES


class HoursInvalid(DomainError):
    kind, reason = Kind.INVALID, "HOURS_INVALID"
    message = "hours overlap, are no time of day, or end before they start"


class Slot(NamedTuple):
    """Half-open: back-to-back slots do not overlap. A booking makes hundreds: a named tuple takes half the time."""

    start: datetime
    end: datetime

    def overlaps(self, other: "Slot") -> bool:
        return self.start < other.end and other.start < self.end

    def holds(self, other: "Slot") -> bool:
        return self.start <= other.start and other.end <= self.end


@dataclass(frozen=True, slots=True)
class Shift:
    """Once a week, in minutes after local midnight of `weekday`, 0 being Monday. An end beyond 24 h is a day later."""

    weekday: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Days:
    """From the first local day to the last, both included."""

    first: date
    last: date


Off = Slot | Days


@dataclass(frozen=True, slots=True)
class Rotation:
    """A shift of every n-th week only, counted from that of `anchor`; weeks begin on Monday."""

    shift: Shift
    every_weeks: int = 1
    anchor: date = date(1970, 1, 5)
    first: date = date.min
    """The first day on which it may begin, and the last."""
    last: date = date.max

    def begins_on(self, day: date) -> bool:
        if day.weekday() != self.shift.weekday or not self.first <= day <= self.last:
            return False
        return (week_of(day) - week_of(self.anchor)) % self.every_weeks == 0


@dataclass(frozen=True, slots=True)
class DateHours:
    """What one day has instead of the shifts of its weekday, in minutes after its midnight; nothing: closed all day."""

    day: date
    stretches: tuple[tuple[int, int], ...] = ()


KNOWN_MAX = 400
"""So many days' stretches are kept of the same hours."""


@dataclass(frozen=True)
class Hours:
    """When a site is open or a resource at work: weekly shifts, and those of some weeks only, less what is off.

    The stretches of a day that has hours of its own begin on it instead of its shifts, also on a holiday. On other
    holidays it is closed from midnight to midnight. What is off is so whatever else is said.
    """

    zone: ZoneInfo
    shifts: tuple[Shift, ...]
    off: tuple[Off, ...] = ()
    rotations: tuple[Rotation, ...] = ()
    dated: tuple[DateHours, ...] = ()
    holidays: frozenset[Holiday] = frozenset()
    site_id: UUID | None = None
    """Whose hours they are, if a site's."""
    state: str = ""
    """Where it is, if a site's: credentials are valid by state."""

    def hold(self, slot: Slot) -> bool:
        return any(span.holds(slot) for span in self._around(slot))

    def are_off(self, slot: Slot) -> bool:
        """Whether what is off, a holiday or a day's own hours close some of `slot`. What every week has, its nights and
        weekends, does not."""
        first, last = (at.astimezone(self.zone).date() for at in slot)
        off = (*self.off, *self._holidays(first, last))
        if any(span_of(each, self.zone).overlaps(slot) for each in off):
            return True
        return self._weekly.hold(slot) and not self.hold(slot)

    def spans(self, slot: Slot) -> list[Slot]:
        """The open stretches around `slot`, in order and apart. A shift over midnight begins on the day before."""
        return list(self._around(slot))

    def _around(self, slot: Slot) -> Sequence[Slot]:
        days = slot.start.astimezone(self.zone).date() - DAY, slot.end.astimezone(self.zone).date()
        if days not in self._known:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[days] = self._spans(*days)
        return self._known[days]

    @cached_property
    def _known(self) -> dict[tuple[date, date], Sequence[Slot]]:
        """What was reckoned before."""
        return {}

    @cached_property
    def _weekly(self) -> "Hours":
        """As no day differs."""
        return replace(self, off=(), dated=(), holidays=frozenset())

    def _spans(self, first: date, last: date) -> Sequence[Slot]:
        spans = joined(self._shifts(first, last))
        for off in (*self.off, *self._holidays(first, last)):
            spans = list(_without(spans, span_of(off, self.zone)))
        return tuple(spans)

    def _shifts(self, first: date, last: date) -> Iterator[Slot]:
        for n in range((last - first).days + 1):
            day = first + n * DAY
            for stretch in self._stretches(day):
                start, end = (instant(self.zone, day, minute) for minute in stretch)
                if start < end:  # Not so for a shift within a skipped hour.
                    yield Slot(start, end)

    def _stretches(self, day: date) -> Iterable[tuple[int, int]]:
        """Those that begin on the day."""
        if day in self._dated:
            return self._dated[day]
        weekday = day.weekday()
        weekly = [(shift.start, shift.end) for shift in self.shifts if shift.weekday == weekday]
        rotating = ((each.shift.start, each.shift.end) for each in self.rotations if each.begins_on(day))
        return [*weekly, *rotating]

    def _holidays(self, first: date, last: date) -> Iterator[Days]:
        """A shift over midnight may run into the day after `last`."""
        if self.holidays:
            for day, holiday in days_of(range(first.year, last.year + 2)):
                if holiday in self.holidays and first <= day <= last + DAY and day not in self._dated:
                    yield Days(day, day)

    @cached_property
    def _dated(self) -> Mapping[date, tuple[tuple[int, int], ...]]:
        return {each.day: each.stretches for each in self.dated}


@lru_cache(maxsize=100_000)
def instant(zone: ZoneInfo, day: date, minute: int) -> datetime:
    """The instant at which clocks show `minute` minutes after midnight of `day`; beyond 24 h, on the next day.

    Of a doubled hour the first; of a skipped one, the instant at which clocks jump over it.
    """
    wall = datetime.combine(day, time()) + minute * MINUTE
    shown = wall.replace(tzinfo=zone).astimezone(UTC)
    if shown.astimezone(zone).replace(tzinfo=None) == wall:
        return shown
    earlier, offset = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), shown.astimezone(zone).utcoffset()
    steps = (earlier + n * MINUTE for n in range((shown - earlier) // MINUTE + 1))
    return next(step for step in steps if step.astimezone(zone).utcoffset() == offset)


def span_of(off: Off, zone: ZoneInfo) -> Slot:
    if isinstance(off, Slot):
        return off
    return Slot(instant(zone, off.first, 0), instant(zone, off.last, DAY_MINUTES))


def joined(slots: Iterable[Slot]) -> list[Slot]:
    """What touches or overlaps, made one."""
    spans = list[Slot]()
    for slot in sorted(slots, key=lambda slot: slot.start):
        if spans and slot.start <= spans[-1].end:
            spans[-1] = Slot(spans[-1].start, max(spans[-1].end, slot.end))
        else:
            spans.append(slot)
    return spans


def check_shifts(shifts: Sequence[Shift], field: str) -> None:
    """Shifts of one week may touch but not overlap, Sunday's with Monday's included."""
    order = sorted(range(len(shifts)), key=lambda n: _minute_ofweek_of(shifts[n]))
    following = [*pairwise(order), (order[-1], order[0])] if len(order) > 1 else []
    faults = []
    for one, other in following:
        end = _minute_ofweek_of(shifts[one]) + shifts[one].end - shifts[one].start
        next_start = _minute_ofweek_of(shifts[other]) + (WEEK_MINUTES if other == order[0] else 0)
        if end > next_start:
            faults.append(Violation(f"{field}[{other}]", "OVERLAP", "overlaps another stretch of the week"))
    if faults:
        raise HoursInvalid(*faults)


def week_of(day: date) -> int:
    """Weeks, each from a Monday, since the first of them."""
    return (day.toordinal() - 1) // 7


def _minute_ofweek_of(shift: Shift) -> int:
    return shift.weekday * DAY_MINUTES + shift.start


def _without(spans: Iterable[Slot], off: Slot) -> Iterator[Slot]:
    for span in spans:
        if not span.overlaps(off):
            yield span
            continue
        if span.start < off.start:
            yield Slot(span.start, off.start)
        if off.end < span.end:
            yield Slot(off.end, span.end)
