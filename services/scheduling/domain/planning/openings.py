"""Where one visit could be: openings in order of time, by preference, or the nearest to a start that was asked for."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind, Violation
from services.scheduling.domain.courses import (
    PhasesOutsideProtocol,
    ResourceUnsuitable,
    VisitTypeNotFound,
    refuse,
    unsuitable,
)
from services.scheduling.domain.hours import DAY, Slot
from services.scheduling.domain.planning.calendars import Cells, Place, set_bits
from services.scheduling.domain.planning.owns import DayTastes
from services.scheduling.domain.planning.scores import Cost, CostKind
from services.scheduling.domain.planning.starts import Free, Starts
from services.scheduling.domain.planning.wishes import (
    PlanPreferenceInvalid,
    PlanWindowInvalid,
    Tastes,
    taste_faults,
    window_faults,
)
from services.scheduling.domain.protocols import Phase, Template, VisitType
from services.scheduling.domain.resources import Resource, ResourceNotFound, leaving
from services.scheduling.domain.visits import FREEING, Visit

ANY = Tastes()


class OpeningCourseMismatch(DomainError):
    kind, reason = Kind.INVALID, "OPENING_COURSE_MISMATCH"
    message = "the course is another patient's, is at another site, or runs by another version"


@dataclass(frozen=True, slots=True)
class Opening:
    site_id: UUID
    slot: Slot
    resources: tuple[tuple[str, UUID], ...]
    costs: tuple[Cost, ...] = ()
    """What speaks against it; nothing that is 0."""

    @property
    def cost(self) -> int:
        return sum(each.minutes for each in self.costs)


@dataclass(frozen=True, slots=True)
class Between:
    """The days on which a visit may be, both included."""

    first: date
    last: date

    def and_(self, first: date, last: date) -> "Between":
        return Between(max(self.first, first), min(self.last, last))

    @property
    def empty(self) -> bool:
        return self.last < self.first


class Finder:
    """Openings of one visit type at one place. `fixed` are resources that must meet some requirements."""

    def __init__(
        self,
        place: Place,
        visit_type: VisitType,
        days: Between,
        now: datetime,
        tastes: Tastes = ANY,
        fixed: Mapping[str, UUID] | None = None,
    ) -> None:
        self._place, self._visit_type, self._tastes, self._fixed = place, visit_type, tastes, fixed or {}
        self._cells = Cells(place.calendar, days.first, days.last, [visit_type])
        self._starts: Starts = Free(place.calendar, self._cells, now, tastes).starts(visit_type)
        self._words = self._cells.by_day(self._starts.given(self._fixed))
        self._days = DayTastes(self._cells, tastes)

    def starts(self) -> Iterator[tuple[int, datetime, int]]:
        """What each costs, when it is and its cell, in order of time."""
        for day, word in enumerate(self._words):
            for bit in set_bits(word):
                cell = self._cells.midnights[day] + bit
                yield self._days.cost(day, bit), self._cells.instant(cell), cell

    def opening(self, cell: int, rather: Mapping[str, UUID] | None = None) -> Opening:
        """With those of `rather` that are free then."""
        day = next(n for n, midnight in enumerate(self._cells.midnights[1:]) if cell < midnight)
        time = self._days.time(day, cell - self._cells.midnights[day])
        costs = (Cost(CostKind.WEEKDAY, self._days.weekday[day]), Cost(CostKind.TIME_OF_DAY, time))
        start = self._cells.instant(cell)
        return Opening(
            self._place.site_id,
            Slot(start, start + self._visit_type.stay),
            tuple(self._starts.match(cell, self._fixed, rather or {}).items()),
            tuple(each for each in costs if each.minutes),
        )


After = tuple[int, datetime, UUID]
"""What an opening costs (0 where the order is that of time), when it is, where: the key by which they are listed."""


@dataclass(frozen=True, slots=True)
class OpeningsWish:
    """Of one visit, alone, the next of a course, or beside its phases."""

    phase_code: str
    """Empty: it is beside the phases."""
    days: Between
    visits: tuple[Visit, ...]
    """Of the course."""
    tastes: Tastes
    fixed: tuple[tuple[str, UUID], ...]
    count: int
    after: After | None
    by_preference: bool
    visit_type_code: str = ""
    """Of a visit beside the phases."""

    def check(self) -> None:
        """That it may be asked for, whatever the place."""
        refuse(PlanWindowInvalid, window_faults(self.days.first, self.days.last))
        refuse(PlanPreferenceInvalid, [*taste_faults(self.tastes), *self._no_day(), *self._twice()])

    def _no_day(self) -> Iterator[Violation]:
        """Weekdays repeat after seven days."""
        wanted, count = self.tastes.weekdays, min(7, (self.days.last - self.days.first).days + 1)
        there = ((self.days.first + n * DAY).weekday() for n in range(count))
        if self.tastes.weekdays_only and wanted and wanted.isdisjoint(there):
            yield Violation("preferred_weekdays", "NOT_AMONG_DAYS", "none is among the days, and no other is allowed")

    def _twice(self) -> Iterator[Violation]:
        keys, ids = [key for key, _ in self.fixed], [id for _, id in self.fixed]
        for n, (key, id) in enumerate(self.fixed):
            if key in keys[:n]:
                yield Violation(f"resources[{n}].requirement_key", "REQUIREMENT_TWICE", "stands above already")
            elif id in ids[:n]:
                yield Violation(f"resources[{n}].resource_id", "RESOURCE_TWICE", "meets another requirement already")


@dataclass(frozen=True, slots=True)
class FoundOpenings:
    openings: Sequence[Opening]
    visit_type_code: str
    days: Between | None


def openings(
    finders: Mapping[UUID, Finder], count: int, after: After | None = None, *, by_preference: bool = False
) -> list[Opening]:
    """The first so many, by site: in order of time, or the cheapest first."""
    found = [
        ((cost if by_preference else 0, start, site_id), cell)
        for site_id, finder in finders.items()
        for cost, start, cell in finder.starts()
    ]
    wanted = sorted(each for each in found if after is None or each[0] > after)
    return [finders[site_id].opening(cell) for (_, _, site_id), cell in islice(wanted, count)]


def find_openings(places: Sequence[Place], wish: OpeningsWish, now: datetime) -> FoundOpenings:
    """At whichever of the places. Each reckons the spacing in its own days."""
    refuse(PlanWindowInvalid, _past(places, wish.days.last, now))
    finders, looked_at, code = dict[UUID, Finder](), list[Between](), ""
    for place in places:
        visit_type, days, same = _next_of(place, wish) if wish.phase_code else _beside(place, wish)
        _check_fixed(place, visit_type, wish.fixed, same)
        code = visit_type.code
        if days.empty:
            continue
        looked_at.append(days)
        finders[place.site_id] = Finder(place, visit_type, days, now, wish.tastes, dict(wish.fixed) | same)
    refuse(ResourceNotFound, _absent(places, wish.fixed))
    found = openings(finders, wish.count, wish.after, by_preference=wish.by_preference)
    searched = (
        Between(min(each.first for each in looked_at), max(each.last for each in looked_at)) if looked_at else None
    )
    return FoundOpenings(found, code, searched)


def _next_of(place: Place, wish: OpeningsWish) -> tuple[VisitType, Between, dict[str, UUID]]:
    """Of the phase: its type, the days that its spacing leaves, and whom and what it has to have."""
    template = place.template
    its = spacing(template, wish.phase_code, wish.visits, place.calendar.site.zone)
    refuse(PhasesOutsideProtocol, _not_next(template, wish.phase_code, wish.visits))
    visit_type = template.visit_type(template.phase(wish.phase_code).visit_type_code)
    same = same_resources(template, visit_type, wish.visits, place.calendar.resources)
    return visit_type, wish.days.and_(its.first, its.last), same


def _beside(place: Place, wish: OpeningsWish) -> tuple[VisitType, Between, dict[str, UUID]]:
    """Beside the phases it keeps no gap, and to nobody."""
    if place.template.beside(wish.visit_type_code) is None:
        raise VisitTypeNotFound(Violation("visit_type_code", "VISIT_TYPE_NOT_FOUND", VisitTypeNotFound.message))
    return place.template.visit_type(wish.visit_type_code), wish.days, {}


def _past(places: Sequence[Place], last: date, now: datetime) -> Iterator[Violation]:
    """A day is over where it is last over."""
    if all(last < now.astimezone(place.calendar.site.zone).date() for place in places):
        yield Violation("latest_date", "IN_PAST", "is past")


def _not_next(template: Template, phase_code: str, visits: Sequence[Visit]) -> Iterator[Violation]:
    """Why no next visit of a course with these can be of the phase, whenever it is."""
    there, order = Counter(each.phase_code for each in visits if each.phase_code in template.order), template.order
    phase = template.phase(phase_code)
    if there[phase_code] >= phase.visits_max:
        text = f"the course has {there[phase_code]} visits of it already, and at most {phase.visits_max} are allowed"
        yield Violation("phase_code", "VISIT_COUNT", text)
    if phase.anchor:
        if there and phase.anchor.phase_code not in there:
            text = f"is due by {phase.anchor.phase_code}, of which the course has no visit"
            yield Violation("phase_code", "ANCHOR_MISSING", text)
        return
    later = [code for code in there if order[code] > order[phase_code] and not template.phase(code).anchor]
    if later:
        yield Violation(
            "phase_code", "OUT_OF_ORDER", f"the course has come to {max(later, key=order.__getitem__)} already"
        )


def _check_fixed(
    place: Place, visit_type: VisitType, fixed: Sequence[tuple[str, UUID]], same: Mapping[str, UUID]
) -> None:
    """That they can be those of the visit, as far as the place has them."""
    wanted, there = {each.key: each for each in visit_type.requirements}, place.calendar.resources
    refuse(PlanPreferenceInvalid, _unknown_keys(fixed, wanted.keys()))
    refuse(
        ResourceUnsuitable,
        (
            fault
            for n, (key, id) in enumerate(fixed)
            for each in there
            if each.id == id
            if (fault := unsuitable(_resource(n), each, wanted[key], visit_type.lane_counts[key]))
        ),
    )
    others = (n for n, (key, id) in enumerate(fixed) if same.get(key, id) != id)
    text = "another visit of the course has another"
    refuse(ResourceUnsuitable, (Violation(_resource(n), "NOT_THE_SAME", text) for n in others))


def _absent(places: Sequence[Place], fixed: Sequence[tuple[str, UUID]]) -> Iterator[Violation]:
    there = {each.id for place in places for each in place.calendar.resources}
    for n, (_, id) in enumerate(fixed):
        if id not in there:
            yield Violation(_resource(n), "RESOURCE_NOT_FOUND", ResourceNotFound.message)


def _resource(n: int) -> str:
    return f"resources[{n}].resource_id"


def _unknown_keys(fixed: Sequence[tuple[str, UUID]], keys: Collection[str]) -> Iterator[Violation]:
    for n, (key, _) in enumerate(fixed):
        if key not in keys:
            text = "the visit has no such requirement"
            yield Violation(f"resources[{n}].requirement_key", "REQUIREMENT_UNKNOWN", text)


def nearest_openings(
    place: Place,
    visit_type: VisitType,
    around: datetime,
    days: Between,
    now: datetime,
    count: int = 3,
    rather: Mapping[str, UUID] | None = None,
    within: tuple[datetime | None, datetime | None] = (None, None),
    fixed: Mapping[str, UUID] | None = None,
) -> list[Opening]:
    """Where else a visit could be that was to start at `around`: the nearest first, the earlier of two as near.

    `days` are those inside the spacing, as the caller reckons it; `rather` names resources to keep where they are free,
    `fixed` those that it has to have; `within` is from when to when other visits that are asked for leave time.
    The calendar of `place` must reach a day beyond `days` on both sides. Nothing within the notice, off the grid, or
    while patient or resources are taken is found.
    """
    if days.empty:
        return []
    finder = Finder(place, visit_type, days, now, fixed=fixed)
    release, until = within
    nearest = sorted(
        (abs(start - around), start, cell)
        for _, start, cell in finder.starts()
        if (release is None or release <= start) and (until is None or start + visit_type.length <= until)
    )
    return [finder.opening(cell, rather) for _, _, cell in nearest[:count]]


def same_resources(
    template: Template, visit_type: VisitType, visits: Sequence[Visit], there: Iterable[Resource]
) -> dict[str, UUID]:
    """Whom and what a visit of a phase shares with those that its course has, where both want the same at each. Those
    `there` at the site that are to leave are left out."""
    keys, found, gone = visit_type.same_keys, dict[str, UUID](), leaving(there)
    for visit in sorted(visits, key=lambda each: each.slot.start):
        if visit.phase_code in template.order:
            shared = keys & template.visit_type(template.phase(visit.phase_code).visit_type_code).same_keys
            found = {key: id for key, id in visit.resources if key in shared and id not in gone} | found
    return found


def spacing(template: Template, phase_code: str, visits: Sequence[Visit], zone: ZoneInfo) -> Between:
    """The days that a course's next visit of a phase may have, by those of its phases that were not called off. What is
    due by its phase is due by that visit then, and keeps its distance from it."""
    if phase_code not in template.order:
        raise PhasesOutsideProtocol(Violation("phase_code", "UNKNOWN", "the version has no such phase"))
    standing = [each for each in visits if each.status not in FREEING and each.phase_code in template.order]
    phase = template.phase(phase_code)
    days = [(each.phase_code, each.slot.start.astimezone(zone).date()) for each in standing]
    if phase.anchor:
        due = [day for code, day in days if code == phase.anchor.phase_code]
        return Between(*phase.anchor.days(max(due))) if due else Between(date.min, date.max)
    found = _following(template, phase, days)
    for code, day in days:
        anchor = template.phase(code).anchor
        if anchor and anchor.phase_code == phase_code:
            found = found.and_(*anchor.last_visit_days(day))
    return found


def _following(template: Template, phase: Phase, days: Sequence[tuple[str, date]]) -> Between:
    """Those that keep the gap from the last visit and the window, by the phases and days of visits."""
    beside = {each.code for each in template.phases if each.anchor}
    chain = [(code, day) for code, day in days if code not in beside]
    if not chain:
        return Between(date.min, date.max)
    code, last = max(chain, key=lambda each: each[1])
    gaps = phase if code == phase.code else phase.entered
    found = Between(last + timedelta(days=gaps.gap_days_min), last + timedelta(days=gaps.gap_days_max))
    own = [day for each, day in chain if each == phase.code]
    if phase.window_days and own:
        return found.and_(date.min, min(own) + timedelta(days=phase.window_days - 1))
    return found
