"""Fitting a whole course into a calendar. Pure, so that it can run in any process.

Free time is one integer for each lane of each resource: bit n is minute n of the calendar. Where a visit may start
follows from shifts and ANDs of these, exactly: to the minute, across clock changes, whatever the lanes. Which starts to
take is then a shortest path over days, from the last visit to the first. No solver, no chance.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import combinations
from typing import NamedTuple
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from services.scheduling.domain.courses import PhasesOutsideProtocol, RouteUnknown, refuse
from services.scheduling.domain.hours import DAY, DAY_MINUTES, MINUTE, Hours, Slot, instant
from services.scheduling.domain.protocols import GRID_MINUTES, VISITS_MAX, Phase, Requirement, Template, VisitType
from services.scheduling.domain.resources import Resource, ResourceKind

WINDOW_DAYS_MAX = 92
HORIZON_DAYS_MAX = 400
"""From the window's first day to the course's last."""
PLANS_MAX = 3
DAYS_NAMED_MAX = 10

# What a plan costs, in minutes of inconvenience; the cheapest is the best.
GAP_DAY_COST = 240
"""For each day that a gap is off the preferred one."""
WEEKDAY_COST = 480
"""For each visit on another weekday than wished for. One at another time of day costs the minutes in between."""
LATE_DAY_COST = 60
"""For each day that the first visit is after the window's first."""


class PlanWindowInvalid(DomainError):
    kind, reason = Kind.INVALID, "PLAN_WINDOW_INVALID"
    message = "latest_date is before earliest_date, or too far from it"


class PlanTooLong(DomainError):
    kind, reason, message = Kind.INVALID, "PLAN_TOO_LONG", "the course is longer than can be planned at once"


class PlanNotFound(DomainError):
    kind, reason, message = Kind.CONFLICT, "PLAN_NOT_FOUND", "the course does not fit into the calendar"


@dataclass(frozen=True, slots=True)
class Wish:
    route_code: str
    phases: tuple[tuple[str, int], ...]
    """Code, and how many visits or 0 for the default. None: every phase."""
    earliest: date
    latest: date
    minute_of_day: int | None = None
    weekdays: frozenset[int] = frozenset()
    """0 is Monday. None: any."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """A site as far ahead as a course can reach. Minutes count from `origin`."""

    site: Hours
    resources: tuple[Resource, ...]
    origin: datetime
    taken: Mapping[tuple[UUID, int], Sequence[tuple[int, int]]]
    """From and to, by resource and lane."""
    patient: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class PlannedVisit:
    phase_code: str
    visit_type_code: str
    slot: Slot
    resources: tuple[tuple[str, UUID], ...]


Plan = tuple[PlannedVisit, ...]


class Step(NamedTuple):
    """A start of one visit and the cheapest way on from it."""

    start: int
    cost: int
    next: "Step | None"


@dataclass(frozen=True, slots=True)
class Starts:
    """Where a visit type may start. Bit n: at minute n."""

    all: int
    by_need: Mapping[str, int]
    """For each of its needs alone, the site's hours and the patient among them."""
    by_resource: Mapping[str, Mapping[UUID, int]]
    """For each resource that may meet a requirement."""


def visits_of(template: Template, wish: Wish) -> list[Phase]:
    """The phase of each visit in turn; refuses a wish that the version does not allow, whatever the calendar."""
    if wish.route_code not in template.route_codes:
        raise RouteUnknown(Violation("route_code", "ROUTE_UNKNOWN", RouteUnknown.message))
    if not timedelta(0) <= wish.latest - wish.earliest <= timedelta(days=WINDOW_DAYS_MAX):
        raise PlanWindowInvalid(Violation("latest_date", "PLAN_WINDOW_INVALID", PlanWindowInvalid.message))
    refuse(PhasesOutsideProtocol, _phase_faults(template, wish.phases))
    wanted = wish.phases or tuple((phase.code, 0) for phase in template.phases)
    phases = [
        template.phase(code) if n else template.phase(code).entered
        for code, count in wanted
        for n in range(count or template.phase(code).visits_default)
    ]
    if len(phases) > VISITS_MAX or sum(phase.gap_days_min for phase in phases[1:]) > HORIZON_DAYS_MAX:
        raise PlanTooLong(visits_max=VISITS_MAX, days_max=HORIZON_DAYS_MAX)
    return phases


def last_day(phases: Sequence[Phase], wish: Wish) -> date:
    """Of the course at its longest, as far as is planned."""
    days = (wish.latest - wish.earliest).days + sum(phase.gap_days_max for phase in phases[1:])
    return wish.earliest + min(days, HORIZON_DAYS_MAX) * DAY


def plan(template: Template, calendar: Calendar, wish: Wish, now: datetime) -> list[Plan]:
    """The best plans, each with another first day, the best first; or a refusal that says what is in the way."""
    phases = visits_of(template, wish)
    return _Planner(template, calendar, wish, phases, now).plans()


@dataclass(frozen=True, slots=True)
class Wanted:
    """One visit that wants another place: not before `release`, and over by `until`, where other visits are."""

    phase: Phase
    start: datetime
    """As near to it as can be."""
    resources: Mapping[str, UUID]
    """Those where they can be had."""
    first: date
    last: date
    release: datetime | None = None
    until: datetime | None = None


def nearest(template: Template, calendar: Calendar, wanted: Wanted, now: datetime, limit: int) -> list[PlannedVisit]:
    """The places of one visit that are nearest to where it is wanted, the nearest first."""
    wish = Wish("", ((wanted.phase.code, 1),), wanted.first, wanted.last)
    return _Planner(template, calendar, wish, [wanted.phase], now).nearest(wanted, limit)


class _Planner:
    def __init__(
        self, template: Template, calendar: Calendar, wish: Wish, phases: Sequence[Phase], now: datetime
    ) -> None:
        self._calendar, self._wish, self._phases, self._now = calendar, wish, phases, now
        self._types = [template.visit_type(phase.visit_type_code) for phase in phases]
        zone, count = calendar.site.zone, (last_day(phases, wish) - wish.earliest).days + 1
        self._days = [wish.earliest + n * DAY for n in range(count)]
        self._midnights = [self._minute(instant(zone, day, 0)) for day in [*self._days, self._days[-1] + DAY]]
        self._minutes = self._midnights[-1] + DAY_MINUTES  # A visit may run over the last midnight.
        self._hours: dict[Hours, int] = {}
        needed = {each.kind for visit_type in self._types for each in visit_type.requirements}
        self._lanes = {each.id: list(self._free(each)) for each in calendar.resources if each.kind in needed}
        self._starts = {each.code: self._starts_of(each) for each in set(self._types)}
        self._by_day = {code: self._split(starts.all) for code, starts in self._starts.items()}

    def plans(self) -> list[Plan]:
        days = self._paths()
        best = sorted((_cheapest(steps) for steps in days.values()), key=lambda step: (step.cost, step.start))
        if not best:
            raise self._refusal()
        return [self._plan(step) for step in best[:PLANS_MAX]]

    def nearest(self, wanted: Wanted, limit: int) -> list[PlannedVisit]:
        [visit_type] = self._types
        start, release = self._minute(wanted.start), self._minute(wanted.release) if wanted.release else 0
        until = self._minute(wanted.until) if wanted.until else self._minutes
        found = [
            minute
            for day in self._by_day[visit_type.code]
            for minute in day
            if release <= minute and minute + visit_type.minutes <= until
        ]
        found.sort(key=lambda minute: (abs(minute - start), minute))
        return [self._visit(wanted.phase, visit_type, minute, wanted.resources) for minute in found[:limit]]

    def _paths(self) -> dict[int, list[Step]]:
        """Each day's starts of the first visit from which the course can be finished."""
        steps = dict[int, list[Step]]()
        for i in reversed(range(len(self._phases))):
            steps = dict(self._steps(i, steps))
        return steps

    def _steps(self, i: int, following: Mapping[int, Sequence[Step]]) -> Iterator[tuple[int, list[Step]]]:
        """Of visit `i` by day, given those of the visit after it."""
        visit_type = self._types[i]
        after_next_day = {day: _cheapest(steps) for day, steps in following.items()}
        onward = {day: _suffix_minima(steps) for day, steps in following.items()}
        latest = (self._wish.latest - self._wish.earliest).days if i == 0 else len(self._days) - 1
        for day, starts in enumerate(self._by_day[visit_type.code][: latest + 1]):
            found = []
            late = LATE_DAY_COST * day if i == 0 else 0
            far = None if i + 1 == len(self._phases) else self._far(i + 1, day, after_next_day)
            for start in starts:
                cost = late + self._cost(start, day)
                if i + 1 == len(self._phases):
                    found.append(Step(start, cost, None))
                    continue
                way = self._near(i + 1, day, start + visit_type.minutes, onward)
                if way is None or (far and far[0] < way[0]):
                    way = far
                if way:
                    found.append(Step(start, cost + way[0], way[1]))
            if found:
                yield day, found

    def _far(self, i: int, day: int, cheapest: Mapping[int, Step]) -> tuple[int, Step] | None:
        """The cheapest way to visit `i` two or more days on, where the time of day is free."""
        phase = self._phases[i]
        gaps = range(max(2, phase.gap_days_min), phase.gap_days_max + 1)
        ways = (
            (_gap_cost(phase, gap) + cheapest[day + gap].cost, cheapest[day + gap])
            for gap in gaps
            if day + gap in cheapest
        )
        return min(ways, key=lambda way: way[0], default=None)

    def _near(
        self, i: int, day: int, release: int, onward: Mapping[int, tuple[Sequence[int], Sequence[Step]]]
    ) -> tuple[int, Step] | None:
        """The cheapest way to visit `i` on the same or the next day, not before everything is free again."""
        phase = self._phases[i]
        best: tuple[int, Step] | None = None
        for gap in range(phase.gap_days_min, min(1, phase.gap_days_max) + 1):
            starts, minima = onward.get(day + gap, ((), ()))
            n = bisect_left(starts, release)
            if n < len(starts):
                cost = _gap_cost(phase, gap) + minima[n].cost
                best = min(best or (cost, minima[n]), (cost, minima[n]), key=lambda way: way[0])
        return best

    def _cost(self, start: int, day: int) -> int:
        cost = 0
        if self._wish.weekdays and self._days[day].weekday() not in self._wish.weekdays:
            cost += WEEKDAY_COST
        if self._wish.minute_of_day is not None:
            local = self._instant(start).astimezone(self._calendar.site.zone)
            cost += abs(local.hour * 60 + local.minute - self._wish.minute_of_day)
        return cost

    def _plan(self, step: Step | None) -> Plan:
        visits, chosen = list[PlannedVisit](), dict[str, UUID]()
        for phase, visit_type in zip(self._phases, self._types, strict=True):
            assert step
            visits.append(self._visit(phase, visit_type, step.start, chosen))
            chosen |= dict(visits[-1].resources)
            step = step.next
        return tuple(visits)

    def _visit(self, phase: Phase, visit_type: VisitType, minute: int, before: Mapping[str, UUID]) -> PlannedVisit:
        start, resources = self._instant(minute), self._match(visit_type, minute, before)
        return PlannedVisit(phase.code, visit_type.code, Slot(start, start + visit_type.stay), tuple(resources.items()))

    def _match(self, visit_type: VisitType, start: int, before: Mapping[str, UUID]) -> dict[str, UUID]:
        """One resource for each requirement; that of the visit before, where it can be had."""
        by_resource = self._starts[visit_type.code].by_resource
        free = [
            sorted(
                (id for id, starts in by_resource[each.key].items() if starts >> start & 1),
                key=lambda id, key=each.key: id != before.get(key),  # type: ignore[misc]
            )
            for each in visit_type.requirements
        ]
        return dict(zip((each.key for each in visit_type.requirements), _distinct(free, ()) or (), strict=True))

    def _free(self, resource: Resource) -> Iterator[int]:
        """Each lane's free minutes."""
        there = self._open(resource.hours(self._calendar.site))
        for lane in range(resource.lane_count):
            yield there & ~self._bits(self._calendar.taken.get((resource.id, lane), ()))

    def _open(self, hours: Hours) -> int:
        if hours not in self._hours:
            spans = hours.spans(Slot(self._instant(0), self._instant(self._minutes)))
            self._hours[hours] = self._bits((self._minute(span.start), self._minute(span.end)) for span in spans)
        return self._hours[hours]

    def _starts_of(self, visit_type: VisitType) -> Starts:
        everywhere = (1 << self._minutes) - 1
        patient = everywhere & ~self._bits(self._calendar.patient)
        past = max(0, -((self._instant(0) - self._now) // MINUTE))
        by_need = {
            "start_time": everywhere >> past << past,
            "patient": _runs(patient, visit_type.stay_minutes),
        }
        if not visit_type.telehealth:
            by_need["site"] = _runs(self._open(self._calendar.site), visit_type.minutes)
        by_resource = {each.key: self._starts_by_resource(visit_type, each) for each in visit_type.requirements}
        by_need |= {key: _at_least(1, starts.values()) for key, starts in by_resource.items()}
        together = self._grid()
        for starts in by_need.values():
            together &= starts
        for kind in ResourceKind:
            together &= _each_their_own(
                [by_resource[each.key] for each in visit_type.requirements if each.kind is kind]
            )
        return Starts(together, by_need, by_resource)

    def _starts_by_resource(self, visit_type: VisitType, requirement: Requirement) -> dict[UUID, int]:
        starts = dict[UUID, int]()
        for resource in self._calendar.resources:
            if resource.kind is requirement.kind and requirement.capability in resource.capabilities | {""}:
                free = (1 << self._minutes) - 1
                for need in visit_type.needs[requirement.key]:
                    runs = (_runs(lane, need.end - need.start) >> need.start for lane in self._lanes[resource.id])
                    free &= _at_least(need.lane_count, runs)
                starts[resource.id] = free & self._entitled(resource, requirement)
        return starts

    def _entitled(self, resource: Resource, requirement: Requirement) -> int:
        """The days on which a credential that is wanted is valid."""
        codes, state = requirement.credential_codes, self._calendar.site.state
        if not codes:
            return -1
        days = zip(self._days, self._midnights, self._midnights[1:], strict=False)
        return self._bits((start, end) for day, start, end in days if resource.has_credential(codes, state, day))

    def _refusal(self) -> PlanNotFound:
        """Follows the course as far as it goes, and tells what each day lacks on which the next visit might be."""
        reached, days = dict[int, int](), list(range((self._wish.latest - self._wish.earliest).days + 1))
        for i, phase in enumerate(self._phases):
            if i:
                gaps = range(phase.gap_days_min, phase.gap_days_max + 1)
                days = sorted({day + gap for day in reached for gap in gaps if day + gap < len(self._days)})
            reached = dict(self._reach(i, reached, days))
            if not reached:
                break
        ends = {"first_day": self._days[days[0]], "last_day": self._days[days[-1]]} if days else {}
        return PlanNotFound(*self._lacking(phase, self._types[i], days), visit=i, **ends)

    def _reach(self, i: int, before: Mapping[int, int], days: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Days that visit `i` can be on, each with its earliest start."""
        phase, by_day = self._phases[i], self._by_day[self._types[i].code]
        for day in days:
            gaps = range(phase.gap_days_min, phase.gap_days_max + 1)
            release = min((before[day - gap] for gap in gaps if day - gap in before), default=0) if i else 0
            release += self._types[i - 1].minutes if i else 0
            if starts := [start for start in by_day[day] if start >= release]:
                yield day, starts[0]

    def _lacking(self, phase: Phase, visit_type: VisitType, days: Sequence[int]) -> Iterator[Violation]:
        """What each day lacks while the site is open, most days first; then the days that lack nothing but one time."""
        by_need = dict(self._starts[visit_type.code].by_need)
        during = self._grid() & by_need.pop("site", -1)
        open_days = self._found(during, days)
        lacking = {"site": sorted(set(days) - open_days)}
        lacking |= {need: sorted(open_days - self._found(bits & during, days)) for need, bits in by_need.items()}
        rules = {"start_time": "IN_PAST", "patient": "PATIENT_TAKEN", "site": "SITE_CLOSED"}
        for need, without in sorted(lacking.items(), key=lambda each: -len(each[1])):
            if without:
                yield Violation(f"{phase.code}.{need}", rules.get(need, "NOBODY_FREE"), self._named(without))
        if together := sorted(set(days).difference(*lacking.values())):
            yield Violation(phase.code, "NO_COMMON_TIME", self._named(together))

    def _found(self, bits: int, days: Sequence[int]) -> set[int]:
        """Those of `days` on which a bit is set."""
        by_day = self._split(bits)
        return {day for day in days if by_day[day]}

    def _named(self, days: Sequence[int]) -> str:
        names = ", ".join(self._days[day].isoformat() for day in days[:DAYS_NAMED_MAX])
        return f"on {names}" + (f" and {len(days) - DAYS_NAMED_MAX} more days" if len(days) > DAYS_NAMED_MAX else "")

    def _split(self, bits: int) -> list[list[int]]:
        """The minutes of set bits, by day."""
        text = f"{bits:b}"[::-1]
        by_day = []
        for midnight, end in zip(self._midnights, self._midnights[1:], strict=False):
            found, minute = list[int](), text.find("1", midnight, end)
            while minute >= 0:
                found.append(minute)
                minute = text.find("1", minute + 1, end)
            by_day.append(found)
        return by_day

    def _bits(self, spans: Iterable[tuple[int, int]]) -> int:
        """An integer with the minutes of `spans` set. As text first: setting them one by one costs a copy each."""
        text = bytearray(b"0") * self._minutes
        for start, end in spans:
            start, end = max(0, start), min(self._minutes, end)
            if start < end:
                text[self._minutes - end : self._minutes - start] = b"1" * (end - start)
        return int(text, 2)

    def _grid(self) -> int:
        """Starts are on quarters of an hour. Every zone's offset is a multiple of them, so that they stay so."""
        grid, width = 1, GRID_MINUTES
        while width < self._minutes:
            grid, width = grid | grid << width, 2 * width
        return grid

    def _instant(self, minute: int) -> datetime:
        return self._calendar.origin + minute * MINUTE

    def _minute(self, at: datetime) -> int:
        return (at - self._calendar.origin) // MINUTE


def _phase_faults(template: Template, wanted: Sequence[tuple[str, int]]) -> Iterator[Violation]:
    before = -1
    for n, (code, count) in enumerate(wanted):
        if code not in template.order:
            yield Violation(f"phases[{n}].phase_code", "UNKNOWN", "the version has no such phase")
            continue
        if template.order[code] <= before:
            yield Violation(f"phases[{n}].phase_code", "OUT_OF_ORDER", "stands before a phase above it, or twice")
        before, phase = template.order[code], template.phase(code)
        if count and not phase.visits_min <= count <= phase.visits_max:
            text = f"{count} visits, not {phase.visits_min} to {phase.visits_max}"
            yield Violation(f"phases[{n}].visit_count", "VISIT_COUNT", text)


def _runs(bits: int, length: int) -> int:
    """Where `length` set bits begin."""
    have = 1
    while have < length:
        step = min(have, length - have)
        bits, have = bits & bits >> step, have + step
    return bits


def _at_least(count: int, rows: Iterable[int]) -> int:
    """Bits that are set in `count` or more rows."""
    reached = [0] * count
    for row in rows:
        for n in range(count - 1, 0, -1):
            reached[n] |= reached[n - 1] & row
        reached[0] |= row
    return reached[-1]


def _each_their_own(requirements: Sequence[Mapping[UUID, int]]) -> int:
    """Where each requirement can have a resource of its own.

    By Hall's theorem: where any so many of them have, taken together, at least so many to choose from.
    """
    together = -1
    for size in range(2, len(requirements) + 1):
        for some in combinations(requirements, size):
            ids = {id for each in some for id in each}
            together &= _at_least(size, (_any(each.get(id, 0) for each in some) for id in sorted(ids)))
    return together


def _any(rows: Iterable[int]) -> int:
    return _at_least(1, rows)


def _distinct(choices: Sequence[Sequence[UUID]], taken: tuple[UUID, ...]) -> tuple[UUID, ...] | None:
    """One of each, none twice: the first such in the order of the choices."""
    if len(taken) == len(choices):
        return taken
    for id in choices[len(taken)]:
        if id not in taken and (found := _distinct(choices, (*taken, id))) is not None:
            return found
    return None


def _gap_cost(phase: Phase, gap: int) -> int:
    return GAP_DAY_COST * abs(gap - phase.gap_days_preferred)


def _cheapest(steps: Sequence[Step]) -> Step:
    """The earliest of the cheapest."""
    return min(steps, key=lambda step: step.cost)


def _suffix_minima(steps: Sequence[Step]) -> tuple[list[int], list[Step]]:
    """Starts, and the cheapest step from each on."""
    minima = list(steps)
    for n in range(len(minima) - 2, -1, -1):
        minima[n] = min(minima[n], minima[n + 1], key=lambda step: step.cost)
    return [step.start for step in steps], minima
