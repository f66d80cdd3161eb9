"""Another place for one booked visit that cannot stay where it is: with others at its time, or at another time.

Small and exact: it tries starts on the visit type's grid, on the days that the course's other visits leave free, the
nearest first. To plan a whole course is `planning`'s.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from itertools import islice
from uuid import UUID

from services.scheduling.domain.courses import Taken, lane_stretches
from services.scheduling.domain.hours import DAY, DAY_MINUTES, MINUTE, Hours, Slot, instant
from services.scheduling.domain.planning import same_resources
from services.scheduling.domain.protocols import Phase, Requirement, Template
from services.scheduling.domain.resources import Resource
from services.scheduling.domain.visits import Visit

DAYS_AROUND = 7
"""Other times are looked for so many days before and after the visit's own."""
OTHER_TIMES_MAX = 3

Chosen = tuple[tuple[str, UUID], ...]
Stay = tuple[str, date]
"""Phase and day of a visit."""


@dataclass(frozen=True, slots=True)
class Offer:
    start: datetime
    resources: Chosen


@dataclass(frozen=True)
class Surroundings:
    """What there is around a visit: its site, whoever is there, and what other visits have taken."""

    site: Hours
    resources: tuple[Resource, ...]
    taken: Mapping[UUID, Sequence[Taken]]
    """By resource, without what the visit has taken itself."""
    patient: Sequence[Slot]
    """When the patient is somewhere, but for the visit itself."""
    span: Slot
    """As far as it is known."""

    @cached_property
    def open(self) -> Sequence[Slot]:
        return self.site.spans(self.span)

    @cached_property
    def at_work(self) -> Mapping[UUID, Sequence[Slot]]:
        return {each.id: each.hours(self.site).spans(self.span) for each in self.resources}


def span_around(visit: Visit) -> Slot:
    """What has to be known to make offers."""
    margin = (DAYS_AROUND + 2) * DAY
    return Slot(visit.slot.start - margin, visit.slot.end + margin)


def offers(
    template: Template, visit: Visit, course: Sequence[Visit], around: Surroundings, now: datetime
) -> list[Offer]:
    """At its time, if that can be had; then other times. `course`: its visits that stand, in order, `visit` too."""
    search = _Search(template, visit, course, around, now)
    at_its_time = search.at(visit.slot.start) if visit.slot.start >= now else None
    others = (found for day in _days(template, visit, course, around.site) if (found := search.on(day)))
    return [*([at_its_time] if at_its_time else []), *islice(others, OTHER_TIMES_MAX)]


def _days(template: Template, visit: Visit, course: Sequence[Visit], site: Hours) -> Iterator[date]:
    """Its own day first, then the nearest that keep the distances to the other visits of the phases.

    A distance that is not kept as it is, since a visit in between was cancelled, need not be kept. A visit beside the
    phases keeps none, and none is kept to it.
    """
    of_phases = [each for each in course if each.phase_code]
    stays = [(each.phase_code, each.slot.start.astimezone(site.zone).date()) for each in of_phases]
    own, broken = visit.slot.start.astimezone(site.zone).date(), set(_broken(template, stays))
    n = next((n for n, each in enumerate(of_phases) if each.id == visit.id), None)
    for step in sorted(range(-DAYS_AROUND, DAYS_AROUND + 1), key=lambda step: (abs(step), -step)):
        day = own + step * DAY
        moved = stays if n is None else [*stays[:n], (visit.phase_code, day), *stays[n + 1 :]]
        if broken.issuperset(_broken(template, moved)):
            yield day


def _broken(template: Template, stays: Sequence[Stay]) -> Iterator[tuple[str, int]]:
    """The distances that are not kept, by rule and visit. Gaps skip what has an anchor, as those of a booking do."""
    before: Stay | None = None
    for n, (code, day) in enumerate(stays):
        phase = template.phase(code)
        if phase.anchor:
            last = max((each for other, each in stays if other == phase.anchor.phase_code), default=None)
            first_day, last_day = phase.anchor.days(last) if last else (day, day)
            if not first_day <= day <= last_day:
                yield "ANCHOR", n
        else:
            if before and not _keeps_gap(phase, before, day):
                yield "GAP", n
            before = code, day
        own = [each for other, each in stays if other == code]
        if phase.window_days and (max(own) - min(own)).days >= phase.window_days:
            yield "WINDOW", template.order[code]


def _keeps_gap(phase: Phase, before: Stay, day: date) -> bool:
    gap = phase if before[0] == phase.code else phase.entered
    return gap.gap_days_min <= (day - before[1]).days <= gap.gap_days_max


class _Search:
    def __init__(
        self, template: Template, visit: Visit, course: Sequence[Visit], around: Surroundings, now: datetime
    ) -> None:
        self._type = template.visit_type(visit.visit_type_code)
        self._visit, self._around, self._now = visit, around, now
        self._current, others = dict(visit.resources), [each for each in course if each.id != visit.id]
        self._same = same_resources(template, self._type, others, around.resources) if visit.phase_code else {}
        self._resources = {each.id: each for each in around.resources}

    def on(self, day: date) -> Offer | None:
        """On this day, as near to the visit's own time of day as can be."""
        zone = self._around.site.zone
        wall = self._visit.slot.start.astimezone(zone)
        minutes = sorted(
            range(0, DAY_MINUTES, self._type.grid), key=lambda each: abs(each - wall.hour * 60 - wall.minute)
        )
        starts = (instant(zone, day, minute) for minute in minutes)
        earliest = self._now + self._type.notice
        found = (self.at(start) for start in starts if start >= earliest and start != self._visit.slot.start)
        return next((each for each in found if each), None)

    def at(self, start: datetime) -> Offer | None:
        stay, hold = Slot(start, start + self._type.stay), Slot(start, start + self._type.length)
        if any(each.overlaps(stay) for each in self._around.patient):
            return None
        if not self._type.telehealth and not _holds(self._around.open, hold):
            return None
        choices = list[list[UUID]]()
        for wanted in self._type.requirements:
            choices.append([id for id in self._may_meet(wanted, start) if self._is_free(id, wanted.key, start)])
            if not choices[-1]:
                return None
        chosen = _distinct(choices, ())
        keys = [each.key for each in self._type.requirements]
        return Offer(start, tuple(zip(keys, chosen, strict=True))) if chosen is not None else None

    def _may_meet(self, wanted: Requirement, start: datetime) -> list[UUID]:
        """Whoever meets the requirement, who does now before others."""
        current, site = self._current.get(wanted.key), self._around.site
        day = start.astimezone(site.zone).date()
        suitable = (
            each.id
            for each in self._around.resources
            if each.kind is wanted.kind
            and wanted.capability in each.capabilities | {""}
            and each.lane_count >= self._type.lane_counts[wanted.key]
            and each.has_credential(wanted.credential_codes, site.state, day)
            and self._same.get(wanted.key, each.id) == each.id
        )
        return sorted(suitable, key=lambda id: id != current)

    def _is_free(self, id: UUID, key: str, start: datetime) -> bool:
        needs = self._type.needs[key]
        at_work = self._around.at_work[id]
        if not all(_holds(at_work, Slot(start + need.start * MINUTE, start + need.end * MINUTE)) for need in needs):
            return False
        hold = Slot(start, start + self._type.length)
        busy = tuple(
            (each.lane, (each.slot.start - start) // MINUTE, -((start - each.slot.end) // MINUTE))
            for each in self._around.taken.get(id, ())
            if each.slot.overlaps(hold)
        )
        return lane_stretches(needs, self._resources[id].lane_count, busy) is not None


def _holds(spans: Sequence[Slot], slot: Slot) -> bool:
    return any(span.holds(slot) for span in spans)


def _distinct(choices: Sequence[Sequence[UUID]], taken: tuple[UUID, ...]) -> tuple[UUID, ...] | None:
    """One of each, none twice: the first such in the order of the choices."""
    if len(taken) == len(choices):
        return taken
    for id in choices[len(taken)]:
        if id not in taken and (found := _distinct(choices, (*taken, id))) is not None:
            return found
    return None
