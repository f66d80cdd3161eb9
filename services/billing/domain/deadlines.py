"""By when which version of an estimate has to be with the patient, and which version bills are measured by.

A booking has its own clock, and so has a request; a hold has none. What changes an estimate asks for a new one no later
than 1 business day before the first visit that changed; of visits that will not take place, before the next one that it
can still come before. What changes after that cannot be estimated any more, and the version before stays the measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import IntEnum
from uuid import UUID

from services.billing.domain.business_days import end_of
from services.billing.domain.estimates import Estimate, Trigger, due, trigger_of_booking
from services.billing.domain.sites import Site

LAST = datetime(9999, 12, 31, tzinfo=UTC)
"""Comes after every instant."""


class Standing(IntEnum):
    """What is still to do until the patient has an estimate in writing; numbered as in the proto."""

    UNPRICED = 1
    UNDELIVERED = 2
    ORAL_ONLY = 3


class Wanted(IntEnum):
    """Which duties a worklist shows; numbered as in the proto."""

    ALL = 0
    DUE_TODAY = 1
    LATE = 2
    UNPRICED = 3
    ORAL_ONLY = 4

    @property
    def standings(self) -> frozenset[Standing]:
        narrowed = {Wanted.UNPRICED: Standing.UNPRICED, Wanted.ORAL_ONLY: Standing.ORAL_ONLY}
        return frozenset({narrowed[self]}) if self in narrowed else frozenset(Standing)

    @property
    def legal_only(self) -> bool:
        return self in (Wanted.ALL, Wanted.DUE_TODAY, Wanted.LATE)

    def until(self, site: Site, now: datetime) -> datetime:
        """What is due after it is not shown."""
        if self is Wanted.LATE:
            return now
        return end_of(site.day(now), site.zone) if self is Wanted.DUE_TODAY else LAST


@dataclass(frozen=True, slots=True)
class Clock:
    trigger: Trigger
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Duty:
    """To bring the latest version of an estimate to its patient."""

    id: UUID
    """Of the course, or of the estimate that was asked for."""
    site_id: UUID
    patient_id: UUID
    course_id: UUID | None
    estimate_id: UUID
    clock: Clock
    standing: Standing
    act_by: datetime
    closed_at: datetime | None = None


HOLD = Clock(Trigger.HOLD, None)


def is_too_late(today: date, service_day: date, site: Site) -> bool:
    """To estimate a change anew: the last business day before the service is over."""
    return today > site.calendar.before(service_day, 1)


def first_reachable(today: date, service_days: Sequence[date], site: Site) -> date:
    """Of several, in the order in which they count, the first that a new estimate can still come before. The first of
    all, if it is too late for each."""
    return next((day for day in service_days if not is_too_late(today, day, site)), service_days[0])


def clock_of_booking(booked_day: date, service_day: date, site: Site) -> Clock:
    trigger = trigger_of_booking(booked_day, service_day, site.calendar)
    return Clock(trigger, due(trigger, booked_day, site.zone, site.calendar))


def clock_of_request(day: date, site: Site) -> Clock:
    return Clock(Trigger.REQUEST, due(Trigger.REQUEST, day, site.zone, site.calendar))


def clock_of_change(today: date, service_day: date, site: Site) -> Clock:
    if is_too_late(today, service_day, site):
        return Clock(Trigger.CHANGE, None)
    return Clock(Trigger.CHANGE, end_of(site.calendar.before(service_day, 1), site.zone))


def clock_of_more(booked_day: date, service_day: date, site: Site) -> Clock:
    """Of further visits for a course that has an estimate: booked at short notice they still change it."""
    clock = clock_of_booking(booked_day, service_day, site)
    return clock if clock.due_at else clock_of_change(booked_day, service_day, site)


def sooner(clock: Clock, before: Duty | None) -> Clock:
    """A new version does not put off what was due, and is not with the patient yet."""
    if before is None or before.closed_at or before.clock.due_at is None:
        return clock
    if clock.due_at is None or before.clock.due_at <= clock.due_at:
        return before.clock
    return clock


def standing_of(estimate: Estimate) -> Standing:
    if estimate.total is None:
        return Standing.UNPRICED
    return Standing.ORAL_ONLY if estimate.standing_deliveries else Standing.UNDELIVERED
