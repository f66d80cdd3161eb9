"""What somebody wishes of a course's plan, and what a version makes of it before any calendar is looked at."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from chassis.errors import DomainError, Kind, Violation
from services.scheduling.domain.courses import PhasesOutsideProtocol, RouteUnknown, refuse
from services.scheduling.domain.hours import DAY, DAY_MINUTES
from services.scheduling.domain.protocols import VISITS_MAX, Phase, Template
from services.scheduling.domain.spacing import count_faults
from services.scheduling.domain.visits import Visit

WINDOW_DAYS_MAX = 92
HORIZON_DAYS_MAX = 400
"""From the window's first day to the last of the course's visits that keep gaps. Those with anchors may be as
much later as their version says."""
MONTH_DAYS_MAX = 31
STRETCH_DAYS_MAX = 28
"""By how much the window is made longer when nothing else fits."""


class PlanWindowInvalid(DomainError):
    kind, reason = Kind.INVALID, "PLAN_WINDOW_INVALID"
    message = "latest_date is past, before earliest_date, or too far from it"


class PlanTooLong(DomainError):
    kind, reason, message = Kind.INVALID, "PLAN_TOO_LONG", "the course is longer than can be planned at once"


class PlanPreferenceInvalid(DomainError):
    kind, reason = Kind.INVALID, "PLAN_PREFERENCE_INVALID"
    message = "a preference names what no visit needs, or leaves no time at all"


class Emphasis(StrEnum):
    """What weighs more: an early first visit, or preferred gaps."""

    BALANCED = "PLAN_EMPHASIS_UNSPECIFIED"
    SOONEST = "PLAN_EMPHASIS_SOONEST"
    REGULAR = "PLAN_EMPHASIS_REGULAR"


@dataclass(frozen=True, slots=True)
class Tastes:
    """When visits should start, by the site's wall clock. A doubled hour has its times twice, a skipped one never: what
    is nearest by the clock is best."""

    minutes_of_day: tuple[int, ...] = ()
    """The nearest counts. None: any."""
    weekdays: frozenset[int] = frozenset()
    """0 is Monday. None: any."""
    weekdays_only: bool = False
    """On no other weekday."""
    start_from: int = 0
    """Minutes of the day before which no visit starts, and after which none does."""
    start_until: int = 24 * 60


@dataclass(frozen=True, slots=True)
class Wish:
    route_code: str
    phases: tuple[tuple[str, int], ...]
    """Code, and how many visits or 0 for what the default leaves, at least one. None: all that the defaults leave."""
    earliest: date
    latest: date
    tastes: Tastes = Tastes()
    same: tuple[str, ...] = ()
    """Keys of requirements that one resource should meet at every visit."""
    emphasis: Emphasis = Emphasis.BALANCED
    same_across: bool = True
    """Whether requirements that the version wants met by one resource are."""
    visits: tuple[Visit, ...] = ()
    """Of the course that goes on, those that stand. None: a new course."""


@dataclass(frozen=True, slots=True)
class Outline:
    """The phase of each visit."""

    chain: tuple[Phase, ...]
    """One after another, each at its gap from the one before."""
    beside: tuple[Phase, ...] = ()
    """Due so long after another phase, whatever else there is meanwhile."""
    standing: tuple[Visit, ...] = ()
    """Of the phases, in order of time."""
    days_max: int = 0
    """From the first visit of the chain, or from the last that stands, to the last of the chain."""
    stood: Mapping[str, date] = field(default_factory=dict)
    """By phase without an anchor, the day after the last visit that stands, in UTC: by then it was on any clock."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        return self.chain + self.beside

    def anchors(self, i: int) -> tuple[Phase, ...]:
        """Phases due by visit `i` of the chain, the last of its own; with the first, those due by what stands."""
        lasts = {phase.code: n for n, phase in enumerate(self.chain)}
        return tuple(each for each in self.beside if each.anchor and lasts.get(each.anchor.phase_code, 0) == i)


def outline(template: Template, wish: Wish) -> Outline:
    """Refuses a wish that the version does not allow, whatever the calendar."""
    if wish.route_code not in template.route_codes:
        raise RouteUnknown(Violation("route_code", "ROUTE_UNKNOWN", "the version has no such route"))
    refuse(PlanWindowInvalid, window_faults(wish.earliest, wish.latest))
    standing = tuple(sorted((each for each in wish.visits if each.phase_code in template.order), key=_start))
    refuse(PhasesOutsideProtocol, _phase_faults(template, wish, Counter(each.phase_code for each in standing)))
    counted = wanted(template, wish)
    chain = tuple(phase if n else phase.entered for phase, count in counted if not phase.anchor for n in range(count))
    stood = {
        each.phase_code: each.slot.start.date() + DAY for each in standing if not template.phase(each.phase_code).anchor
    }
    anchored = [phase for phase, _ in counted if phase.anchor]
    if not chain:
        # The one that is due first stands for the first visit.
        anchored.sort(key=lambda phase: phase.anchor.due(stood[phase.anchor.phase_code]) if phase.anchor else date.min)
        chain, anchored = tuple(anchored[:1]), anchored[1:]
    days_max = sum(max(each.gap_days_max, template.phase(each.code).gap_days_max if stood else 0) for each in chain[1:])
    outlined = Outline(chain, tuple(anchored), standing, days_max, stood)
    if faults := list(_length_faults(outlined)):
        raise PlanTooLong(*faults, visits_max=VISITS_MAX, days_max=HORIZON_DAYS_MAX)
    refuse(PlanPreferenceInvalid, _preference_faults(template, outlined, wish))
    return outlined


def wanted(template: Template, wish: Wish) -> list[tuple[Phase, int]]:
    """The phases that are planned, and how many visits of each.

    Where none is named: of the phase that the course has come to and those after it, what their defaults leave.
    """
    there = Counter(visit.phase_code for visit in wish.visits)
    if wish.phases:
        phases = ((template.phase(code), count) for code, count in wish.phases)
        return [(phase, count or max(1, phase.visits_default - there[phase.code])) for phase, count in phases]
    come_to = max((n for n, phase in enumerate(template.phases) if there[phase.code] and not phase.anchor), default=0)
    left, codes = list[tuple[Phase, int]](), {code for code in there if code in template.order}
    for n, phase in enumerate(template.phases):
        count = phase.visits_default - there[phase.code]
        if count > 0 and (phase.anchor.phase_code in codes if phase.anchor else n >= come_to):
            left.append((phase, count))
            codes.add(phase.code)
    return left


def last_of_chain(outlined: Outline, wish: Wish) -> date:
    """The last day that a visit of the chain may have, as far as is planned."""
    last = max(wish.latest, *outlined.stood.values()) if outlined.stood else wish.latest
    return min(last + outlined.days_max * DAY, wish.earliest + HORIZON_DAYS_MAX * DAY)


def last_day(outlined: Outline, wish: Wish) -> date:
    """Of the course at its longest, as far as is planned."""
    end = last_of_chain(outlined, wish)
    ends, days = dict.fromkeys((phase.code for phase in outlined.chain), end), [end]
    for each in outlined.phases:
        if each.anchor:
            code = each.anchor.phase_code
            anchored = max(day for day in (ends.get(code), outlined.stood.get(code)) if day)
            days.append(anchored + (each.anchor.months * MONTH_DAYS_MAX + each.anchor.tolerance_days) * DAY)
    return max(days)


def _phase_faults(template: Template, wish: Wish, there: Counter[str]) -> Iterator[Violation]:
    before, codes = -1, {*there, *(code for code, _ in wish.phases)}
    for n, (code, asked) in enumerate(wish.phases):
        if code not in template.order:
            yield Violation(f"phases[{n}].phase_code", "UNKNOWN", "the version has no such phase")
            continue
        if template.order[code] <= before:
            yield Violation(f"phases[{n}].phase_code", "OUT_OF_ORDER", "stands before a phase above it, or twice")
        before, phase = template.order[code], template.phase(code)
        count = asked or max(1, phase.visits_default - there[code])
        yield from count_faults(f"phases[{n}].visit_count", phase, count, there[code])
        if phase.anchor and phase.anchor.phase_code not in codes:
            text = f"is due by {phase.anchor.phase_code}, which is not planned"
            yield Violation(f"phases[{n}].phase_code", "ANCHOR_NOT_PLANNED", text)
    if not wish.phases and not wanted(template, wish):
        yield Violation("phases", "NONE_LEFT", "the course has all visits of its phases by their default numbers")


def _length_faults(outlined: Outline) -> Iterator[Violation]:
    visits, days = len(outlined.phases), sum(phase.gap_days_min for phase in outlined.chain[1:])
    if visits > VISITS_MAX:
        yield Violation("phases", "TOO_MANY_VISITS", f"{visits} visits, at most {VISITS_MAX} are planned at once")
    if days > HORIZON_DAYS_MAX:
        text = f"their gaps take at least {days} days, at most {HORIZON_DAYS_MAX} are planned at once"
        yield Violation("phases", "TOO_MANY_DAYS", text)


def _start(visit: Visit) -> datetime:
    return visit.slot.start


def _preference_faults(template: Template, outlined: Outline, wish: Wish) -> Iterator[Violation]:
    types = (template.visit_type(phase.visit_type_code) for phase in outlined.phases)
    keys = {requirement.key for visit_type in types for requirement in visit_type.requirements}
    for n, key in enumerate(wish.same):
        if key not in keys:
            text = "no visit that is planned has such a requirement"
            yield Violation(f"same_requirement_keys[{n}]", "REQUIREMENT_UNKNOWN", text)
    yield from taste_faults(wish.tastes)


def taste_faults(tastes: Tastes) -> Iterator[Violation]:
    """What leaves no time at all, whatever the calendar."""
    if tastes.start_until < tastes.start_from:
        yield Violation("start_until", "BEFORE_START", "is before start_from")
    if tastes.start_from >= DAY_MINUTES:
        yield Violation("start_from", "END_OF_DAY", "leaves nothing of a day")
    if tastes.weekdays_only and not tastes.weekdays:
        yield Violation("preferred_weekdays", "MISSING", "names no weekday, and no other is allowed")


def window_faults(first: date, last: date) -> Iterator[Violation]:
    days = (last - first).days
    if days < 0:
        yield Violation("latest_date", "PLAN_WINDOW_INVALID", "is before earliest_date")
    elif days > WINDOW_DAYS_MAX:
        text = f"is {days} days after earliest_date, not at most {WINDOW_DAYS_MAX}"
        yield Violation("latest_date", "PLAN_WINDOW_INVALID", text)
