"""Where visits may start at a place: from shifts and ANDs of what is free, exactly, whatever the lanes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from itertools import combinations, pairwise
from operator import and_, or_
from uuid import UUID

from services.scheduling.domain.hours import Hours
from services.scheduling.domain.planning.calendars import Calendar, Cells, at_least, mask, runs
from services.scheduling.domain.planning.wishes import Tastes
from services.scheduling.domain.protocols import Requirement, VisitType
from services.scheduling.domain.resources import Resource

Rows = Mapping[UUID, int]
"""The starts at which each resource could serve."""


@dataclass(frozen=True)
class Starts:
    """Where visits of a type may start. Bit n: in cell n."""

    visit_type: VisitType
    possible: int
    """On the grid and where the wish allows, whoever is there."""
    by_need: Mapping[str, int]
    """For each of its needs alone, the site's hours and the patient among them."""
    by_resource: Mapping[str, Rows]
    """Of each requirement."""
    together: int
    """Where all needs are met, each requirement by a resource of its own."""

    def given(self, fixed: Mapping[str, UUID]) -> int:
        """Where all are met, some requirements by one resource only."""
        if not fixed:
            return self.together
        bits = self.possible
        for need, starts in self.by_need.items():
            bits &= self.by_resource[need].get(fixed[need], 0) if need in fixed else starts
        return bits & self._their_own(fixed)

    def match(self, cell: int, fixed: Mapping[str, UUID], before: Mapping[str, UUID]) -> dict[str, UUID]:
        """One resource for each requirement; that of the visit before, where it can be had."""
        keys, free = [each.key for each in self.visit_type.requirements], []
        for key in keys:
            rows = self.by_resource[key]
            ids = [fixed[key]] if key in fixed else [id for id, starts in rows.items() if starts >> cell & 1]
            free.append(sorted(ids, key=lambda id, key=key: id != before.get(key)))  # type: ignore[misc]
        return dict(zip(keys, _distinct(free, ()) or (), strict=True))

    def _their_own(self, fixed: Mapping[str, UUID]) -> int:
        bits = -1
        for crowd in crowds(self.visit_type.requirements):
            rows = [
                {fixed[key]: self.by_resource[key].get(fixed[key], 0)} if key in fixed else self.by_resource[key]
                for key in crowd
            ]
            bits &= each_their_own(rows)
        return bits


class Free:
    """What is free at a place, as far as visits of some types ask for it."""

    def __init__(self, calendar: Calendar, cells: Cells, now: datetime, tastes: Tastes) -> None:
        self._calendar, self._cells, self._now = calendar, cells, now
        self._liked = cells.liked(tastes)
        self._patient = cells.all & ~cells.touched(calendar.patient)
        self._open: dict[Hours, int] = {}
        self._lanes: dict[UUID, list[int]] = {}

    def starts(self, visit_type: VisitType) -> Starts:
        cells = self._cells
        by_need = {
            "start_time": cells.since(self._now + visit_type.notice),
            "patient": runs(self._patient, cells.cells(visit_type.stay_minutes)),
        }
        if not visit_type.telehealth:
            by_need["site"] = runs(self._hours(self._calendar.site), cells.cells(visit_type.minutes))
        by_resource = {each.key: dict(self._rows(visit_type, each)) for each in visit_type.requirements}
        by_need |= {key: reduce(or_, rows.values(), 0) for key, rows in by_resource.items()}
        possible = cells.grid(visit_type.grid) & self._liked
        together = reduce(and_, by_need.values(), possible)
        for crowd in crowds(visit_type.requirements):
            together &= each_their_own([by_resource[key] for key in crowd])
        return Starts(visit_type, possible, by_need, by_resource, together)

    def _rows(self, visit_type: VisitType, requirement: Requirement) -> Iterator[tuple[UUID, int]]:
        for resource in self._calendar.resources:
            if may_serve(resource, requirement):
                bits = self._cells.all
                for need in visit_type.needs[requirement.key]:
                    start, length = self._cells.cells(need.start), self._cells.cells(need.end - need.start)
                    free = [runs(lane, length) >> start for lane in self._free_lanes(resource)]
                    bits &= at_least(need.lane_count, free) if len(free) > 1 or need.lane_count > 1 else free[0]
                yield resource.id, bits & self._entitled(resource, requirement)

    def _entitled(self, resource: Resource, requirement: Requirement) -> int:
        """The days on which a credential that is wanted is valid."""
        codes, state, cells = requirement.credential_codes, self._calendar.site.state, self._cells
        if not codes:
            return cells.all
        bits = 0
        for day, (midnight, end) in zip(cells.days, pairwise(cells.midnights), strict=True):
            if resource.has_credential(codes, state, day):
                bits |= mask(midnight, end)
        return bits

    def _free_lanes(self, resource: Resource) -> list[int]:
        if resource.id not in self._lanes:
            there, taken = self._hours(resource.hours(self._calendar.site)), self._calendar.taken
            self._lanes[resource.id] = [
                there & ~self._cells.touched(taken.get((resource.id, lane), ())) for lane in range(resource.lane_count)
            ]
        return self._lanes[resource.id]

    def _hours(self, hours: Hours) -> int:
        if hours not in self._open:
            self._open[hours] = self._cells.covered(hours)
        return self._open[hours]


def may_serve(resource: Resource, requirement: Requirement) -> bool:
    return resource.kind is requirement.kind and requirement.capability in resource.capabilities | {""}


def crowds(requirements: Iterable[Requirement]) -> list[list[str]]:
    """Requirements that could get the same resource: those of one kind."""
    by_kind: dict[str, list[str]] = {}
    for each in requirements:
        by_kind.setdefault(each.kind, []).append(each.key)
    return [keys for keys in by_kind.values() if len(keys) > 1]


def each_their_own(requirements: Sequence[Rows]) -> int:
    """Where each requirement can have a resource of its own.

    By Hall's theorem: where any so many of them have, taken together, at least so many to choose from.
    """
    together = -1
    for size in range(2, len(requirements) + 1):
        for some in combinations(requirements, size):
            ids = {id for each in some for id in each}
            together &= at_least(size, (reduce(or_, (each.get(id, 0) for each in some)) for id in sorted(ids)))
    return together


def _distinct(choices: Sequence[Sequence[UUID]], taken: tuple[UUID, ...]) -> tuple[UUID, ...] | None:
    """One of each, none twice: the first such in the order of the choices."""
    if len(taken) == len(choices):
        return taken
    for id in choices[len(taken)]:
        if id not in taken and (found := _distinct(choices, (*taken, id))) is not None:
            return found
    return None
