"""Fitting a whole course into the calendars of sites. Pure, so that it can run in any process.

wishes → calendars (bits) → starts (where each visit may be) → owns (what a start costs) → paths (the cheapest way
through the days) → search (which site, whose nurse) → plans; refusals say what is in the way. No solver, no chance.
"""

from collections.abc import Sequence
from datetime import datetime

from chassis.errors import DomainError
from services.scheduling.domain.planning.calendars import Calendar, Place
from services.scheduling.domain.planning.paths import Field
from services.scheduling.domain.planning.plans import Plan, PlannedVisit
from services.scheduling.domain.planning.refusals import Impasse, Obstacle, PlanNotFound, impasse
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
)

__all__ = [
    "PLANS_MAX",
    "Calendar",
    "Emphasis",
    "Found",
    "Impasse",
    "Obstacle",
    "Outline",
    "Place",
    "Plan",
    "PlanNotFound",
    "PlanPreferenceInvalid",
    "PlanTooLong",
    "PlanUndecided",
    "PlanWindowInvalid",
    "PlannedVisit",
    "Tastes",
    "Wish",
    "last_day",
    "outline",
    "plan",
]


def plan(places: Sequence[Place], wish: Wish, now: datetime) -> Found:
    """The best plans at whichever of the places, the best first; or a refusal that says what is in the way.

    A place whose form of the version does not allow the wish is left out, unless none does.
    """
    fields = fields_of(places, wish, now)
    found = Search(fields).found()
    if found.plans:
        return found
    if not found.proven:
        raise PlanUndecided()
    raise impasse(fields[0]).error()


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
