"""One day of a site: where each visit stands, and what comes next for whoever it takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import takewhile
from typing import NamedTuple
from uuid import UUID

from chassis.errors import DomainError, Kind
from services.scheduling.domain.hours import MINUTE
from services.scheduling.domain.protocols import Segment, SegmentKind, VisitType
from services.scheduling.domain.resources import ResourceKind
from services.scheduling.domain.visits import BEGINS, Status, Visit, stretches

VISITS_MAX = 500
EXPECTED = frozenset({Status.BOOKED, Status.CONFIRMED})
THERE = frozenset({Status.CHECKED_IN, Status.IN_TREATMENT, Status.IN_OBSERVATION})


class BoardTooLarge(DomainError):
    kind, reason, message = Kind.CONFLICT, "BOARD_TOO_LARGE", "the day has more visits than a board shows"


class Begun(NamedTuple):
    """A segment: planned from and to; recorded from and to, where that is known."""

    segment: Segment
    start: datetime
    end: datetime
    began: datetime | None
    ended: datetime | None


class Standing(NamedTuple):
    """The segment in which a visit is, None if in none, and when that, or the wait for the patient, should end."""

    current: int | None
    due: datetime | None


class Next(NamedTuple):
    visit_id: UUID
    start: datetime


@dataclass(frozen=True, eq=False)
class BoardVisit:
    """One that did not change is the same object on the next board, and keeps what follows from it."""

    visit: Visit
    type: VisitType
    reached: Mapping[Status, datetime]
    next_of_course: Next | None

    @cached_property
    def taken(self) -> Sequence[tuple[UUID, ResourceKind]]:
        """By requirement."""
        chosen = dict(self.visit.resources)
        return [(chosen[wanted.key], wanted.kind) for wanted in self.type.requirements if wanted.key in chosen]

    @cached_property
    def first_uses(self) -> Sequence[tuple[UUID, datetime]]:
        """When the visit is planned to take each of its resources."""
        start, needs = self.visit.slot.start, self.type.needs
        return [(id, start + needs[key][0].start * MINUTE) for key, id in self.visit.resources if needs.get(key)]


@dataclass(frozen=True, slots=True)
class BoardResource:
    id: UUID
    kind: ResourceKind
    display_name: str
    current: Sequence[UUID] = ()
    next: Next | None = None


def segments_of(each: BoardVisit) -> list[Begun]:
    """In order. Check-in, treatment, observation and the end of the visit part what is recorded; turnover follows."""
    begun, ended = _recorded(each)
    found, start = list[Begun](), each.visit.slot.start
    for n, segment in enumerate(each.type.segments):
        end = start + timedelta(minutes=segment.minutes)
        found.append(Begun(segment, start, end, begun.get(n), ended.get(n)))
        start = end
    return found


def standing_of(each: BoardVisit, now: datetime) -> Standing:
    """Segments that one change of status began together are taken to last as long as planned, one after another; what
    another change begins is waited for."""
    if each.visit.status in EXPECTED:
        return Standing(None, each.visit.slot.start)
    if each.visit.status in THERE:
        return _going(each, now)
    completed = each.reached.get(Status.COMPLETED)
    last = each.type.segments[-1]
    if completed and last.kind is SegmentKind.TURNOVER and now < (due := completed + timedelta(minutes=last.minutes)):
        return Standing(len(each.type.segments) - 1, due)
    return Standing(None, None)


def minutes_until(due: datetime, now: datetime) -> int:
    """Rounded up; negative once it is over."""
    return -((now - due) // MINUTE)


def next_visits(visits: Sequence[BoardVisit]) -> dict[UUID, Next]:
    """Of each visit, the patient's next that is to take place: of that day or, if earlier or alone, of the course."""
    following, found = dict[UUID, Next](), dict[UUID, Next]()
    for each in reversed(visits):
        same_day = following.get(each.visit.patient_id)
        choices = [choice for choice in (same_day, each.next_of_course) if choice]
        if choices:
            found[each.visit.id] = min(choices, key=lambda choice: choice.start)
        if each.visit.status in EXPECTED:
            following[each.visit.patient_id] = Next(each.visit.id, each.visit.slot.start)
    return found


def resources_of(
    known: Sequence[BoardResource], visits: Sequence[BoardVisit], standings: Sequence[Standing]
) -> list[BoardResource]:
    """What is known of the site's, and of others what the visits take."""
    rows = {each.id: each for each in known}
    current, following = dict[UUID, list[UUID]](), dict[UUID, Next]()
    for each, standing in zip(visits, standings, strict=True):
        for id, kind in each.taken:
            if id not in rows:
                rows[id] = BoardResource(id, kind, "")
        if standing.current is not None:
            for id in segment_resources(each, each.type.segments[standing.current]):
                current.setdefault(id, []).append(each.visit.id)
        elif each.visit.status in EXPECTED:
            for id, start in each.first_uses:
                if id not in following or start < following[id].start:
                    following[id] = Next(each.visit.id, start)
    return [
        BoardResource(id, row.kind, row.display_name, current.get(id, ()), following.get(id))
        for id, row in rows.items()
    ]


def segment_resources(each: BoardVisit, segment: Segment) -> list[UUID]:
    chosen = dict(each.visit.resources)
    return [chosen[use.requirement_key] for use in segment.uses if use.requirement_key in chosen]


def _recorded(each: BoardVisit) -> tuple[dict[int, datetime], dict[int, datetime]]:
    """By the place of a segment, when it began and when it ended."""
    begun, ended = dict[int, datetime](), dict[int, datetime]()
    if Status.CHECKED_IN not in each.reached:
        return begun, ended
    n, completed = 0, each.reached.get(Status.COMPLETED)
    for status, segments in stretches(each.type, each.reached.keys()):
        if n:
            ended[n - 1] = each.reached[status]
        if segments:
            begun[n] = each.reached[status]
        n += len(segments)
    if completed:
        ended[n - 1] = completed
        if n < len(each.type.segments):
            begun[n] = completed
    return begun, ended


def _going(each: BoardVisit, now: datetime) -> Standing:
    parts = stretches(each.type, each.reached.keys())
    status, segments = parts[-1]
    before, due = sum(len(part) for _, part in parts[:-1]), each.reached[status]
    going = list(takewhile(lambda segment: segment is segments[0] or not _awaits(segment, each.reached), segments))
    for n, segment in enumerate(going):
        due += timedelta(minutes=segment.minutes)
        if now < due or n == len(going) - 1:
            return Standing(before + n, due)
    raise AssertionError("a stretch that is under way has segments")


def _awaits(segment: Segment, reached: Mapping[Status, datetime]) -> bool:
    """Whether somebody has to begin it, and has not yet."""
    return segment.kind in BEGINS and BEGINS[segment.kind] not in reached
