"""Fitting a whole course into the calendars of sites. Pure, so that it can run in any process.

wishes → calendars (bits) → starts (where each visit may be) → owns (what a start costs) → paths (the cheapest way
through the days) → search (which site, whose nurse) → plans; refusals say what is in the way. No solver, no chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.errors import DomainError
from services.scheduling.domain.planning.calendars import Calendar, Place
from services.scheduling.domain.planning.openings import (
    Between,
    Opening,
    OpeningCourseMismatch,
    OpeningsWish,
    find_openings,
    nearest_openings,
    same_resources,
    spacing,
)
from services.scheduling.domain.planning.paths import Field
from services.scheduling.domain.planning.plans import Plan, PlannedVisit
from services.scheduling.domain.planning.refusals import Impasse, Obstacle, PlanNotFound, impasse
from services.scheduling.domain.planning.relaxations import Relaxed, last_day_relaxed, relaxed
from services.scheduling.domain.planning.scores import Cost, CostKind
from services.scheduling.domain.planning.search import PLANS_MAX, Found, PlanUndecided, Search
from services.scheduling.domain.planning.wishes import (
    Emphasis,
    Outline,
    PlanPreferenceInvalid,
    PlanTooLong,
    PlanWindowInvalid,
    Tastes,
    Wish,
    last_day,
    outline,
    taste_faults,
)

__all__ = [
    "PLANS_MAX",
    "Answer",
    "Between",
    "Calendar",
    "Cost",
    "CostKind",
    "Emphasis",
    "Found",
    "Impasse",
    "Obstacle",
    "Opening",
    "OpeningCourseMismatch",
    "OpeningsWish",
    "Outline",
    "Place",
    "Plan",
    "PlanNotFound",
    "PlanPreferenceInvalid",
    "PlanTooLong",
    "PlanUndecided",
    "PlanWindowInvalid",
    "PlannedVisit",
    "Relaxed",
    "Tastes",
    "Wish",
    "answer",
    "fields_of",
    "find_openings",
    "last_day",
    "last_day_relaxed",
    "nearest_openings",
    "outline",
    "plan",
    "relaxed",
    "same_resources",
    "spacing",
    "taste_faults",
]


@dataclass(frozen=True, slots=True)
class Answer:
    """Plans or, if there are none, why not and what could be given up to have one."""

    found: Found
    impasses: Sequence[tuple[UUID, Impasse]] = ()
    """By site."""
    relaxed: Sequence[Relaxed] = ()


def plan(places: Sequence[Place], wish: Wish, now: datetime) -> Found:
    """The best plans at whichever of the places, the best first; or a refusal that says what is in the way.

    A place whose form of the version does not allow the wish is left out, unless none does.
    """
    return answer(places, wish, now, explain=False).found


def answer(places: Sequence[Place], wish: Wish, now: datetime, *, explain: bool) -> Answer:
    """As `plan`; but, if it is to explain, no refusal where a course does not fit."""
    fields = fields_of(places, wish, now)
    found = Search(fields).found()
    if found.plans:
        return Answer(found)
    if not found.proven:
        raise PlanUndecided()
    if not explain:
        raise impasse(fields[0]).error(fields[0].place.site_id)
    impasses = [(each.place.site_id, impasse(each)) for each in fields]
    return Answer(found, impasses, relaxed(places, wish, now))


def fields_of(places: Sequence[Place], wish: Wish, now: datetime) -> list[Field]:
    fields, refused = list[Field](), list[DomainError]()
    for place in places:
        try:
            fields.append(Field(place, wish, outline(place.template, wish), now))
        except DomainError as error:
            refused.append(error)
    if not fields:
        raise refused[0]
    return fields
