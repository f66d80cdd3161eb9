"""A busy clinic as planning sees it: its rooms are taken for four fifths of the day, as far as there are nurses and
doctors for so many visits; each lane of the staff is taken for a stretch of other work."""

from array import array
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

from services.scheduling.domain.hours import DAY, MINUTE, Hours, Shift, instant
from services.scheduling.domain.planning import Calendar, Place, Wish
from services.scheduling.domain.protocols import (
    DurationBand,
    Phase,
    PhaseKind,
    Requirement,
    Route,
    Segment,
    SegmentKind,
    Template,
    Use,
    VisitType,
)
from services.scheduling.domain.resources import Resource, ResourceKind

ZONE = ZoneInfo("America/Denver")
FIRST = date(2030, 3, 4)
"""A Monday; clocks change on the Sunday after."""
NOW = datetime(2030, 3, 1, 15, tzinfo=UTC)
WINDOW_DAYS = 60
OPENS, CLOSES = 8 * 60, 18 * 60
SITE = UUID(int=1)
OTHER_WORK = 60
"""Minutes of it a day, of each lane where it fits."""


def template() -> Template:
    """Six visits of a nurse, a doctor and a room, two to five days apart."""
    requirements = (
        Requirement("nurse", ResourceKind.STAFF, "infusion"),
        Requirement("doctor", ResourceKind.STAFF, "prescriber"),
        Requirement("room", ResourceKind.ROOM, ""),
    )
    segments = (
        Segment(SegmentKind.PREPARATION, 10, (Use("nurse", 1), Use("room", 1))),
        Segment(SegmentKind.ADMINISTRATION, 40, (Use("nurse", 2), Use("doctor", 1), Use("room", 1))),
        Segment(SegmentKind.OBSERVATION, 30, (Use("nurse", 1), Use("room", 1))),
        Segment(SegmentKind.TURNOVER, 10, (Use("room", 1),)),
    )
    visit_type = VisitType("treatment", "Treatment", requirements, segments, (DurationBand("any", 0),), False)
    phase = Phase("induction", PhaseKind.INDUCTION, "treatment", 1, 6, 6, 2, 3, 5, False, 21)
    return Template((Route("iv", "Infusion"),), (visit_type,), (phase,))


def place(rooms: int, staff: int, days: int = WINDOW_DAYS + 30, seed: int = 0, first_id: int = 100) -> Place:
    """Of the staff one in three is a doctor; the others are nurses with two lanes."""
    resources = [Resource(UUID(int=first_id + n), SITE, ResourceKind.ROOM, "", frozenset(), 1) for n in range(rooms)]
    for n in range(staff):
        able, lanes = ("prescriber", 1) if n % 3 == 0 else ("infusion", 2)
        resources.append(
            Resource(UUID(int=first_id + rooms + n), SITE, ResourceKind.STAFF, "", frozenset({able}), lanes)
        )
    origin = datetime.combine(FIRST - DAY, time(), UTC)
    taken: dict[tuple[UUID, int], array[int]] = {
        (each.id, lane): array("i") for each in resources for lane in range(each.lane_count)
    }
    random = Random(seed)  # noqa: S311
    for day in (FIRST + n * DAY for n in range(days)):
        if day.weekday() < 5:
            midnight = (instant(ZONE, day, 0) - origin) // MINUTE
            for key, spans in _day(random, resources).items():
                taken[key].extend(midnight + minute for span in spans for minute in span)
    week = tuple(Shift(day, OPENS, CLOSES) for day in range(5))
    return Place(SITE, template(), Calendar(Hours(ZONE, week), tuple(resources), origin, taken, ()))


def wish() -> Wish:
    return Wish("iv", (), FIRST, FIRST + timedelta(days=WINDOW_DAYS))


Spans = dict[tuple[UUID, int], list[tuple[int, int]]]


def _day(random: Random, resources: Sequence[Resource]) -> Spans:
    spans: Spans = {(each.id, lane): [] for each in resources for lane in range(each.lane_count)}
    staff = {able: [each for each in resources if able in each.capabilities] for able in ("infusion", "prescriber")}
    for room in (each for each in resources if each.kind is ResourceKind.ROOM):
        for start in _starts(random):
            nurse = _free(random, spans, staff["infusion"], start, start + 80)
            doctor = _free(random, spans, staff["prescriber"], start + 10, start + 50)
            if nurse and doctor:
                spans[room.id, 0].append((start, start + 90))
                spans[nurse.id, 0].append((start, start + 80))
                spans[nurse.id, 1].append((start + 10, start + 50))
                spans[doctor.id, 0].append((start + 10, start + 50))
    rooms = {each.id for each in resources if each.kind is ResourceKind.ROOM}
    for (id, _), held in spans.items():
        start = OPENS + 5 * random.randrange(100)
        if id not in rooms and not any(of < start + OTHER_WORK and start < to for of, to in held):
            held.append((start, start + OTHER_WORK))
        held.sort()
    return spans


def _starts(random: Random) -> list[int]:
    """Of a room's five or six visits of a day."""
    count = random.choice((5, 5, 6))
    spare = (CLOSES - OPENS - 90 * count) // 5
    pauses = sorted(random.randrange(spare + 1) for _ in range(count))
    return [OPENS + 90 * n + 5 * pause for n, pause in enumerate(pauses)]


def _free(random: Random, spans: Spans, staff: Sequence[Resource], start: int, end: int) -> Resource | None:
    free = [
        each
        for each in staff
        if not any(of < end and start < to for lane in range(each.lane_count) for of, to in spans[each.id, lane])
    ]
    return random.choice(free) if free else None
