"""Days of a room, a staff member or a piece of equipment at a site."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind, Violation
from services.scheduling.domain.hours import DAY_MINUTES, MINUTE, Hours, Slot, instant, span_of
from services.scheduling.domain.protocols import SegmentKind, VisitType
from services.scheduling.domain.resources import Resource
from services.scheduling.domain.visits import Status

ONE_DAYS_MAX, ALL_DAYS_MAX = 42, 7
ALLOCATIONS_MAX = 5_000
"""Of one answer."""


class CalendarWindowInvalid(DomainError):
    kind, reason = Kind.INVALID, "CALENDAR_WINDOW_INVALID"
    message = "last_date is before first_date, or too far from it"


class CalendarTooLarge(DomainError):
    kind, reason = Kind.CONFLICT, "CALENDAR_TOO_LARGE"
    message = "there is more than one answer shows: ask for fewer days or smaller pages"


@dataclass(frozen=True, slots=True)
class Window:
    """Days, both included."""

    first: date
    last: date

    def check(self, days_max: int) -> None:
        if not 0 <= (self.last - self.first).days < days_max:
            text = f"is not within {days_max} days from first_date"
            raise CalendarWindowInvalid(Violation("last_date", "CALENDAR_WINDOW_INVALID", text))

    def slot(self, zone: ZoneInfo) -> Slot:
        """From the first day's midnight to the last one's, by the site's clock."""
        return Slot(instant(zone, self.first, 0), instant(zone, self.last, DAY_MINUTES))


@dataclass(frozen=True, slots=True)
class Allocation:
    visit_id: UUID
    patient_id: UUID
    site_id: UUID
    status: Status
    lane: int
    slot: Slot
    segment_kinds: tuple[SegmentKind, ...]


@dataclass(frozen=True, slots=True)
class Calendar:
    resource: Resource
    working: Sequence[Slot]
    off: Sequence[Slot]
    allocations: Sequence[Allocation]


def working(resource: Resource, site: Hours, window: Slot) -> list[Slot]:
    """When it can be had within the window."""
    return list(_within(resource.hours(site).spans(window), window))


def off(resource: Resource, zone: ZoneInfo, window: Slot) -> list[Slot]:
    spans = (span_of(each, zone) for each in resource.time_off)
    return sorted((span for span in spans if span.overlaps(window)), key=lambda span: (span.start, span.end))


def kinds_taken(
    visit_type: VisitType, chosen: Sequence[tuple[str, UUID]], resource_id: UUID, visit: Slot, taken: Slot
) -> tuple[SegmentKind, ...]:
    """The segments of a visit that take the resource in that stretch."""
    keys = {key for key, id in chosen if id == resource_id}
    return tuple(_kinds(visit_type, keys, visit, taken))


def _kinds(visit_type: VisitType, keys: set[str], visit: Slot, taken: Slot) -> Iterator[SegmentKind]:
    start = visit.start
    for segment in visit_type.segments:
        slot = Slot(start, start + segment.minutes * MINUTE)
        if slot.overlaps(taken) and not keys.isdisjoint(use.requirement_key for use in segment.uses):
            yield segment.kind
        start = slot.end


def _within(spans: Sequence[Slot], window: Slot) -> Iterator[Slot]:
    for span in spans:
        if span.overlaps(window):
            yield Slot(max(span.start, window.start), min(span.end, window.end))
