"""One visit: what it is, and how it comes from booked to completed."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.ids import to_wire
from services.scheduling.domain.hours import MINUTE, Slot
from services.scheduling.domain.protocols import Segment, SegmentKind, VisitType
from services.scheduling.domain.resources import ResourceKind

OFFICE, TELEHEALTH_AT_HOME = "11", "10"
"""CMS places of service."""


EARLY_MAX = timedelta(hours=12)
"""How long before its start a visit may be checked in: whoever comes then has come for it, whatever day it is."""


class VisitNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "VISIT_NOT_FOUND", "no such visit"


class VisitStatusConflict(DomainError):
    kind, reason, message = Kind.CONFLICT, "VISIT_STATUS_CONFLICT", "the visit's status does not allow this change"


class VisitNotDue(DomainError):
    kind, reason, message = Kind.CONFLICT, "VISIT_NOT_DUE", "the visit's start is still to come"


class VisitStarted(DomainError):
    kind, reason, message = Kind.CONFLICT, "VISIT_STARTED", "the visit's start is past: only the clinic changes it now"


class SegmentsMismatch(DomainError):
    kind, reason = Kind.INVALID, "SEGMENTS_MISMATCH"
    message = "the segments given are not those of the visit's type"


class Status(StrEnum):
    BOOKED = "VISIT_STATUS_BOOKED"
    CONFIRMED = "VISIT_STATUS_CONFIRMED"
    CHECKED_IN = "VISIT_STATUS_CHECKED_IN"
    IN_TREATMENT = "VISIT_STATUS_IN_TREATMENT"
    IN_OBSERVATION = "VISIT_STATUS_IN_OBSERVATION"
    COMPLETED = "VISIT_STATUS_COMPLETED"
    CANCELLED = "VISIT_STATUS_CANCELLED"
    NO_SHOW = "VISIT_STATUS_NO_SHOW"
    HELD = "VISIT_STATUS_HELD"
    EXPIRED = "VISIT_STATUS_EXPIRED"


BEFORE: Mapping[Status, frozenset[Status]] = {
    Status.BOOKED: frozenset({Status.HELD}),
    Status.EXPIRED: frozenset({Status.HELD}),
    Status.CONFIRMED: frozenset({Status.BOOKED}),
    Status.CHECKED_IN: frozenset({Status.BOOKED, Status.CONFIRMED}),
    Status.IN_TREATMENT: frozenset({Status.CHECKED_IN}),
    Status.IN_OBSERVATION: frozenset({Status.IN_TREATMENT}),
    Status.COMPLETED: frozenset({Status.CHECKED_IN, Status.IN_TREATMENT, Status.IN_OBSERVATION}),
    Status.CANCELLED: frozenset({Status.BOOKED, Status.CONFIRMED, Status.CHECKED_IN}),
    Status.NO_SHOW: frozenset({Status.BOOKED, Status.CONFIRMED}),
}
"""From which statuses each may be reached. No status is reached twice."""
FREEING = frozenset({Status.CANCELLED, Status.NO_SHOW, Status.EXPIRED})
"""Give back what the visit holds."""
OVER = FREEING | {Status.COMPLETED}
STANDING = frozenset(Status) - FREEING
"""The visit took place, or is to."""

BEGINS = {SegmentKind.ADMINISTRATION: Status.IN_TREATMENT, SegmentKind.OBSERVATION: Status.IN_OBSERVATION}
"""Which status the first segment of a kind begins."""

SegmentMinutes = tuple[tuple[SegmentKind, int], ...]


class CancellationReason(StrEnum):
    PATIENT = "CANCELLATION_REASON_PATIENT"
    CLINIC = "CANCELLATION_REASON_CLINIC"
    CLINICAL = "CANCELLATION_REASON_CLINICAL"


@dataclass(frozen=True, slots=True)
class Visit:
    id: UUID
    course_id: UUID
    site_id: UUID
    patient_id: UUID
    phase_code: str
    visit_type_code: str
    route_code: str
    band_code: str
    telehealth: bool
    slot: Slot
    """While the patient is there."""
    resources: tuple[tuple[str, UUID], ...]
    """Requirement key and resource, in the order of the visit type's requirements."""
    status: Status = Status.BOOKED
    segment_minutes: SegmentMinutes = ()
    cancellation_reason: CancellationReason | None = None

    @property
    def place_of_service(self) -> str:
        return TELEHEALTH_AT_HOME if self.telehealth else OFFICE

    def check_not_over(self) -> None:
        if self.status in OVER:
            raise VisitStatusConflict(status=_name(self.status))

    def check_not_started(self, now: datetime) -> None:
        if now >= self.slot.start:
            raise VisitStarted(visit_id=to_wire("visit", self.id))

    def moved_to(self, status: Status) -> "Visit":
        if self.status not in BEFORE[status]:
            raise VisitStatusConflict(**{"from": _name(self.status), "to": _name(status)})
        return replace(self, status=status)

    def cancelled(self, reason: CancellationReason) -> "Visit":
        return replace(self.moved_to(Status.CANCELLED), cancellation_reason=reason)

    def checked_in(self, now: datetime) -> "Visit":
        self._check_due(now + EARLY_MAX)
        return self.moved_to(Status.CHECKED_IN)

    def missed(self, now: datetime) -> "Visit":
        self._check_due(now)
        return self.moved_to(Status.NO_SHOW)

    def _check_due(self, by: datetime) -> None:
        if by < self.slot.start:
            raise VisitNotDue(start_time=self.slot.start.isoformat())

    def completed(
        self, visit_type: VisitType, changes: Sequence["StatusChange"], given: SegmentMinutes, now: datetime
    ) -> "Visit":
        """With the minutes given or, without any, those between the recorded changes."""
        done = self.moved_to(Status.COMPLETED)
        minutes = given_minutes(visit_type, given) if given else recorded_minutes(visit_type, changes, now)
        return replace(done, segment_minutes=minutes, band_code=visit_type.band_code(minutes))

    def rendering_id(self, visit_type: VisitType) -> UUID | None:
        """The staff member in whose name the visit is billed: who meets the first requirement of kind staff."""
        chosen = dict(self.resources)
        staff = (each.key for each in visit_type.requirements if each.kind is ResourceKind.STAFF)
        return next((chosen[key] for key in staff), None)


@dataclass(frozen=True, slots=True)
class StatusChange:
    status: Status
    at: datetime
    actor: str
    reason: str = ""


def given_minutes(visit_type: VisitType, given: SegmentMinutes) -> SegmentMinutes:
    """`given`, if it names the visit type's segments without turnover, one after another."""
    if [kind for kind, _ in given] != [segment.kind for segment in visit_type.attended]:
        raise SegmentsMismatch(Violation("segments", "SEGMENTS_MISMATCH", SegmentsMismatch.message))
    if bad := [n for n, (_, minutes) in enumerate(given) if minutes < 0]:
        raise SegmentsMismatch(
            *(Violation(f"segments[{n}].minutes", "NEGATIVE", "minutes are not negative") for n in bad)
        )
    return given


def recorded_minutes(visit_type: VisitType, changes: Sequence[StatusChange], now: datetime) -> SegmentMinutes:
    """Actual minutes by the instants at which the visit changed status, `now` being its completion.

    Check-in begins what comes before administration, treatment begins administration, observation the rest. Segments
    between two of these instants share the minutes in proportion to the planned ones.
    """
    reached = {change.status: change.at for change in changes}
    parts = stretches(visit_type, reached.keys())
    ends = [*(reached[status] for status, _ in parts[1:]), now]
    minutes = list[tuple[SegmentKind, int]]()
    for (status, segments), end in zip(parts, ends, strict=True):
        whole = max(0, round((end - reached[status]) / MINUTE))
        minutes += zip((segment.kind for segment in segments), _shared(whole, segments), strict=True)
    return tuple(minutes)


def stretches(visit_type: VisitType, reached: Collection[Status]) -> list[tuple[Status, list[Segment]]]:
    """Segments by the status that began them; those of a status never reached go with the one before.

    A visit never goes back to an earlier status, whatever the order of its segments.
    """
    parts: list[tuple[Status, list[Segment]]] = [(Status.CHECKED_IN, [])]
    for segment in visit_type.attended:
        begun, begins = parts[-1][0], BEGINS.get(segment.kind)
        if begins and begins in reached and begun in BEFORE[begins]:
            parts.append((begins, []))
        parts[-1][1].append(segment)
    return parts


def _shared(whole: int, segments: Sequence[Segment]) -> Iterator[int]:
    """Whole minutes that add up to `whole`, in proportion to the planned ones."""
    planned, before, given = sum(segment.minutes for segment in segments), 0, 0
    for segment in segments:
        before += segment.minutes
        upto = whole * before // planned
        yield upto - given
        given = upto


def _name(status: Status) -> str:
    return status.removeprefix("VISIT_STATUS_")
