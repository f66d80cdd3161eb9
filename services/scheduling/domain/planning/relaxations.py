"""What could be given up so that a course that does not fit would."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from chassis.errors import DomainError
from services.scheduling.domain.hours import DAY_MINUTES
from services.scheduling.domain.planning.calendars import Place
from services.scheduling.domain.planning.paths import Field
from services.scheduling.domain.planning.plans import Plan
from services.scheduling.domain.planning.search import Search
from services.scheduling.domain.planning.wishes import (
    STRETCH_DAYS_MAX,
    WINDOW_DAYS_MAX,
    Tastes,
    Wish,
    last_day,
    outline,
    wanted,
)
from services.scheduling.domain.protocols import Template

STRETCHES = (7, 14, STRETCH_DAYS_MAX)
RELAXED_STEPS_MAX = 300_000
"""Of each that is tried."""


class RelaxationKind(StrEnum):
    """From what is given up most easily."""

    ANY_WEEKDAY = "RELAXATION_KIND_ANY_WEEKDAY"
    ANY_TIME = "RELAXATION_KIND_ANY_TIME"
    LONGER_WINDOW = "RELAXATION_KIND_LONGER_WINDOW"
    FEWER_VISITS = "RELAXATION_KIND_FEWER_VISITS"
    MORE_VISITS = "RELAXATION_KIND_MORE_VISITS"
    OTHER_RESOURCES = "RELAXATION_KIND_OTHER_RESOURCES"


@dataclass(frozen=True, slots=True)
class Relaxation:
    kind: RelaxationKind
    wish: Wish
    days: int = 0
    """By which the window is longer."""
    phase_code: str = ""
    visit_count: int = 0


@dataclass(frozen=True, slots=True)
class Relaxed:
    relaxation: Relaxation
    plan: Plan
    """The best that there would be."""


def relaxations(template: Template, wish: Wish) -> Iterator[Relaxation]:
    """One thing at a time, the easiest first; all but the last stay within the version."""
    tastes = wish.tastes
    if tastes.weekdays_only:
        yield Relaxation(RelaxationKind.ANY_WEEKDAY, replace(wish, tastes=replace(tastes, weekdays_only=False)))
    if tastes.start_from > 0 or tastes.start_until < DAY_MINUTES:
        any_time: Tastes = replace(tastes, start_from=0, start_until=DAY_MINUTES)
        yield Relaxation(RelaxationKind.ANY_TIME, replace(wish, tastes=any_time))
    for days in STRETCHES:
        longer = replace(wish, latest=wish.latest + timedelta(days=days))
        if (longer.latest - longer.earliest).days <= WINDOW_DAYS_MAX:
            yield Relaxation(RelaxationKind.LONGER_WINDOW, longer, days=days)
    for step, kind in ((-1, RelaxationKind.FEWER_VISITS), (1, RelaxationKind.MORE_VISITS)):
        yield from _other_counts(template, wish, step, kind)
    if wish.same_across and template.same_keys:
        yield Relaxation(RelaxationKind.OTHER_RESOURCES, replace(wish, same_across=False))


def _other_counts(template: Template, wish: Wish, step: int, kind: RelaxationKind) -> Iterator[Relaxation]:
    phases, there = wanted(template, wish), Counter(visit.phase_code for visit in wish.visits)
    for n, (phase, given) in enumerate(phases):
        count = given + step
        if count and phase.visits_min <= there[phase.code] + count <= phase.visits_max:
            other = [(each.code, count if k == n else its) for k, (each, its) in enumerate(phases)]
            yield Relaxation(kind, replace(wish, phases=tuple(other)), phase_code=phase.code, visit_count=count)


def last_day_relaxed(template: Template, wish: Wish) -> date:
    """As far as a calendar must reach for all that may be tried."""
    days = [last_day(outline(template, wish), wish)]
    for each in relaxations(template, wish):
        try:
            days.append(last_day(outline(template, each.wish), each.wish))
        except DomainError:
            continue
    return max(days)


def relaxed(places: Sequence[Place], wish: Wish, now: datetime) -> list[Relaxed]:
    """Those that give a plan; of several of a kind and phase, the smallest."""
    found = list[Relaxed]()
    for place in places:
        for each in relaxations(place.template, wish):
            done = {(one.relaxation.kind, one.relaxation.phase_code) for one in found}
            if (each.kind, each.phase_code) in done:
                continue
            try:
                field = Field(place, each.wish, outline(place.template, each.wish), now)
            except DomainError:
                continue
            plans = Search([field], 1, RELAXED_STEPS_MAX).found().plans
            if plans:
                found.append(Relaxed(each, plans[0]))
    order = list(RelaxationKind)
    return sorted(found, key=lambda each: order.index(each.relaxation.kind))
