"""Holds: what may be kept free for somebody who has not booked yet, how much of it, and until when."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.ids import to_wire
from services.scheduling.domain.courses import Course, Taken, Terms
from services.scheduling.domain.hours import DAY_MINUTES, MINUTE, Slot, instant
from services.scheduling.domain.resources import Resource

HOLD_MINUTES = 15
"""Of a hold that asks for none."""
HOLDS_OF_CALLER_MAX = 50
HELD_PERCENT_MAX = 50
"""Of a resource's time on one day."""
OWN_HOLD_MINUTES_MAX, OWN_HOLDS_MAX, OWN_COURSES_MAX = 30, 10, 3
"""Of patients who hold and book by themselves: minutes of a hold, holds in 24 hours, courses ahead."""


class HoldOver(DomainError):
    kind, reason, message = Kind.CONFLICT, "HOLD_OVER", "the hold was booked or given up, or has ended"


class HoldLimit(DomainError):
    kind, reason, message = Kind.CONFLICT, "HOLD_LIMIT", "more would be held than may be held at once"


class BookingLimit(DomainError):
    kind, reason, message = Kind.CONFLICT, "BOOKING_LIMIT", "there are as many courses ahead as one may book by oneself"


@dataclass(frozen=True, slots=True)
class OwnBookings:
    """What a patient who calls for themselves has held and booked."""

    holds: int
    """Theirs in the last 24 hours, whatever became of them."""
    courses_ahead: int
    """With visits that are booked, or that they hold, and still to come."""

    def check_one_more_hold(self, minutes: int) -> None:
        """So that nobody keeps a clinic empty by holding again and again."""
        if minutes > OWN_HOLD_MINUTES_MAX:
            raise HoldLimit(limit="MINUTES", max=OWN_HOLD_MINUTES_MAX)
        if self.holds >= OWN_HOLDS_MAX:
            raise HoldLimit(limit="DAY", max=OWN_HOLDS_MAX)

    def check_one_more_course(self) -> None:
        if self.courses_ahead >= OWN_COURSES_MAX:
            raise BookingLimit(max=OWN_COURSES_MAX)


@dataclass(frozen=True, slots=True)
class Held:
    """What holds now, of those whom one more would concern."""

    course_of_patient: UUID | None
    """What the patient holds, at whatever site."""
    of_caller: int

    def check_one_more(self) -> None:
        self.check_patient()
        if self.of_caller >= HOLDS_OF_CALLER_MAX:
            raise HoldLimit(limit="CALLER", max=HOLDS_OF_CALLER_MAX)

    def check_patient(self) -> None:
        if self.course_of_patient:
            raise HoldLimit(limit="PATIENT", course_id=to_wire("course", self.course_of_patient))


def check_hold(course: Course, now: datetime, present: int) -> None:
    """`present`: how many of its visits nobody has cleared away, as whoever wants their time may once it has ended."""
    held = course.held_visits
    if not held or course.hold_until is None or course.hold_until <= now or present < len(held):
        raise HoldOver(course_id=to_wire("course", course.id))


def check_share(terms: Terms, placed: Sequence[Sequence[Taken]], held: Iterable[Taken]) -> None:
    """Of each resource at most so much of a day is held, whoever holds it; or a single visit, however long it is."""
    if faults := list(_share_faults(terms, placed, _minutes_by_day(terms, held))):
        raise HoldLimit(*faults, limit="SITE", percent_max=HELD_PERCENT_MAX)


def _share_faults(
    terms: Terms, placed: Sequence[Sequence[Taken]], held: Counter[tuple[UUID, date]]
) -> Iterator[Violation]:
    """What one of the visits takes is held when it comes to those behind it."""
    for i, lanes in enumerate(placed):
        more = _minutes_by_day(terms, lanes)
        for (resource_id, day), minutes in more.items():
            before = held[resource_id, day]
            there = _minutes_at_work(terms, terms.resources[resource_id], day)
            if before and (before + minutes) * 100 > there * HELD_PERCENT_MAX:
                id = to_wire("resource", resource_id)
                text = f"of {id}, {before + minutes} of {there} minutes would be held on {day}"
                yield Violation(f"visits[{i}]", "TOO_MUCH_HELD", text)
        held.update(more)


def _minutes_by_day(terms: Terms, taken: Iterable[Taken]) -> Counter[tuple[UUID, date]]:
    """Of each resource, on each day of the site."""
    minutes = Counter[tuple[UUID, date]]()
    for each in taken:
        minutes[each.holder_id, terms.day(each.slot)] += _minutes(each.slot)
    return minutes


def _minutes_at_work(terms: Terms, resource: Resource, day: date) -> int:
    """Of all its lanes together."""
    zone = terms.site.zone
    whole = Slot(instant(zone, day, 0), instant(zone, day, DAY_MINUTES))
    spans = resource.hours(terms.site).spans(whole)
    there = (Slot(max(span.start, whole.start), min(span.end, whole.end)) for span in spans if span.overlaps(whole))
    return resource.lane_count * sum(map(_minutes, there))


def _minutes(slot: Slot) -> int:
    return (slot.end - slot.start) // MINUTE
