"""Where visits that are planned may be among those of their course that stand.

Visits that stand and keep gaps cut the days into sections. In which of them a visit is says which of those that stand
are next to it; what a gap to one of these costs is a row by day, so that a path goes from section to section at no
more work than from day to day.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple
from uuid import UUID

from services.scheduling.domain.hours import MINUTE
from services.scheduling.domain.planning.calendars import Calendar, Cells, mask
from services.scheduling.domain.planning.owns import NEVER
from services.scheduling.domain.planning.starts import may_serve
from services.scheduling.domain.planning.wishes import Outline
from services.scheduling.domain.protocols import Phase, Template
from services.scheduling.domain.resources import Resource, leaving
from services.scheduling.domain.spacing import gap_of
from services.scheduling.domain.visits import Visit


class Stand(NamedTuple):
    """A visit that stands, as those that are planned see it."""

    phase: Phase
    date: date
    day: int
    """From the first that is planned; less than 0: before it."""
    after: int
    """The first cell that begins after its start."""
    until: int
    """The first cell that does not end by its end."""


@dataclass(frozen=True, slots=True)
class Section:
    """Between two visits that stand, for one visit that is planned."""

    number: int
    """How many that stand and keep gaps are before it."""
    cells: int
    """Bits: where the visit may start."""
    closed: int
    """Where it may not."""
    enter: Sequence[int]
    """By day: what its gap to the one before costs if no other that is planned is in between, or NEVER."""
    leave: Sequence[int]
    """The same, to the one after."""


class Sections:
    """`gap` is what a day off the preferred gap costs."""

    def __init__(self, template: Template, outlined: Outline, calendar: Calendar, cells: Cells, gap: int) -> None:
        self._template, self._outline, self._cells, self._gap = template, outlined, cells, gap
        self._free = [0] * len(cells.days)
        self.stands = [_stand(template.phase(each.phase_code), each, calendar, cells) for each in outlined.standing]
        self._chain = [each for each in self.stands if not each.phase.anchor]

    def of(self, visit: int) -> dict[int, Section]:
        """Those that a visit may be in, by number, in order of time."""
        phase = self._outline.phases[visit]
        if phase.anchor:
            enter = self._due_row(phase) if visit == 0 else self._free
            return {0: Section(0, self._cells.all, 0, enter, self._free)}
        phase = self._template.phase(phase.code)
        bound = self._bound(visit, phase)
        found = (self._section(visit, phase, number, bound) for number in range(len(self._chain) + 1))
        return {each.number: each for each in found if each and each.cells}

    def has(self, code: str) -> bool:
        return any(each.phase.code == code for each in self._chain)

    def last_date(self, code: str) -> date | None:
        """Of the visits that stand of a phase."""
        return max((each.date for each in self.stands if each.phase.code == code), default=None)

    def _section(self, visit: int, phase: Phase, number: int, bound: int) -> Section | None:
        order, cells = self._template.order, self._cells
        before = self._chain[number - 1] if number else None
        after = self._chain[number] if number < len(self._chain) else None
        if before and order[before.phase.code] > order[phase.code]:
            return None
        if after and order[after.phase.code] < order[phase.code]:
            return None
        first, until = before.after if before else 0, after.after if after else cells.count
        if after and visit + 1 < len(self._outline.chain):
            # What it holds is free again by the end of the next, so that it is by the start of whatever comes then.
            until = min(until, after.until - cells.cells(self._template.visit_type(phase.visit_type_code).minutes) + 1)
        first = max(0, first)
        its = mask(first, max(first, until)) & bound & self._not_past_due(visit, phase, number) & cells.all
        return Section(
            number,
            its,
            cells.all & ~its,
            self._gaps(gap_of(before.phase, phase), (day - before.day for day in self._days)) if before else self._free,
            self._gaps(gap_of(phase, after.phase), (after.day - day for day in self._days)) if after else self._free,
        )

    @property
    def _days(self) -> range:
        return range(len(self._cells.days))

    def _gaps(self, phase: Phase, gaps: Iterable[int]) -> list[int]:
        least, most, preferred = phase.gap_days_min, phase.gap_days_max, phase.gap_days_preferred
        return [self._gap * abs(gap - preferred) if least <= gap <= most else NEVER for gap in gaps]

    def _bound(self, visit: int, phase: Phase) -> int:
        """Cells of days on which the visit is in its phase's window, as far as visits that stand have opened it."""
        own = [each.day for each in self._chain if each.phase.code == phase.code]
        if not phase.window_days or not own:
            return self._cells.all
        if max(own) - min(own) >= phase.window_days:
            return 0
        return self._of_days(max(own) - phase.window_days + 1, min(own) + phase.window_days - 1)

    def _not_past_due(self, visit: int, phase: Phase, number: int) -> int:
        """Cells of days by which visits that stand are due, if they keep their distance from this one then."""
        later = [each.code for each in self._outline.chain[visit + 1 :]]
        later += [each.phase.code for each in self._chain[number:]]
        due = [each for each in self.stands if each.phase.anchor and each.phase.anchor.phase_code == phase.code]
        if phase.code in later or not due:
            return self._cells.all
        return self._cells.of_days(
            n for n, day in enumerate(self._cells.days) if all(_keeps(each, day) for each in due)
        )

    def _due_row(self, phase: Phase) -> list[int]:
        assert phase.anchor
        last = self.last_date(phase.anchor.phase_code)
        assert last
        (first, until), due = phase.anchor.days(last), phase.anchor.due(last)
        return [self._gap * abs((day - due).days) if first <= day <= until else NEVER for day in self._cells.days]

    def _of_days(self, first: int, last: int) -> int:
        return self._cells.of_days(range(max(0, first), min(last + 1, len(self._cells.days))))


def _stand(phase: Phase, visit: Visit, calendar: Calendar, cells: Cells) -> Stand:
    day, length = visit.slot.start.astimezone(calendar.site.zone).date(), cells.minutes * MINUTE
    start, end = ((at - calendar.origin) // length for at in (visit.slot.start, visit.slot.end))
    return Stand(phase, day, (day - cells.days[0]).days, start + 1, end)


def _keeps(stand: Stand, anchoring: date) -> bool:
    assert stand.phase.anchor
    first, last = stand.phase.anchor.days(anchoring)
    return first <= stand.date <= last


def kept_by(
    template: Template, standing: Sequence[Visit], there: Sequence[Resource], hard: Set[str], soft: Set[str]
) -> dict[str, UUID]:
    """Resources that visits which stand have, and those that are planned are to keep, by requirement key.

    A `hard` key keeps to that of the first for which it must be the same, and to nobody else, unless that is to leave;
    a `soft` one to that of the last, if the site has it yet.
    """
    kept, gone = dict[str, UUID](), leaving(there)
    for visit in standing:
        requirements = template.visit_type(template.phase(visit.phase_code).visit_type_code).requirements
        by_key, its = {each.key: each for each in requirements}, dict(visit.resources)
        for key in by_key.keys() & its.keys():
            if key in hard and by_key[key].same_across_visits:
                if its[key] not in gone:
                    kept.setdefault(key, its[key])
            elif key in soft and any(each.id == its[key] and may_serve(each, by_key[key]) for each in there):
                kept[key] = its[key]
    return kept
