"""What a plan costs, in minutes of inconvenience, and for what. The cheapest plan is the best."""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from services.scheduling.domain.planning.wishes import Emphasis, Tastes


class CostKind(StrEnum):
    LATE_START = "PLAN_COST_KIND_LATE_START"
    GAP = "PLAN_COST_KIND_GAP"
    WEEKDAY = "PLAN_COST_KIND_WEEKDAY"
    TIME_OF_DAY = "PLAN_COST_KIND_TIME_OF_DAY"
    CHANGE = "PLAN_COST_KIND_CHANGE"


class Cost(NamedTuple):
    kind: CostKind
    minutes: int


WEEKDAY_COST = 480
"""For each visit on another weekday than wished for. One at another time of day costs the minutes in between."""
CHANGE_COST = 300
"""For each visit and requirement that another resource meets than at the others, where it should be the same."""


class DayCosts(NamedTuple):
    late: int
    """For each day that the first visit is after the window's first."""
    gap: int
    """For each day that a gap is off the preferred one, or a visit with an anchor off the day on which it is due."""


DAY_COSTS: Mapping[Emphasis, DayCosts] = {
    Emphasis.BALANCED: DayCosts(60, 240),
    Emphasis.SOONEST: DayCosts(480, 60),
    Emphasis.REGULAR: DayCosts(15, 960),
}


def weekday_cost(tastes: Tastes, day: date) -> int:
    return WEEKDAY_COST if tastes.weekdays and day.weekday() not in tastes.weekdays else 0


def time_cost(tastes: Tastes, minute_of_day: int) -> int:
    """To the nearest of the preferred times, by the wall clock of the same day."""
    return min((abs(minute_of_day - wished) for wished in tastes.minutes_of_day), default=0)
