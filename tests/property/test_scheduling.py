"""What holds for every calendar, course and clock change."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, permutations
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.scheduling.domain.courses import Choice, Clearance, Taken, Terms, VisitsConflict
from services.scheduling.domain.holidays import Holiday
from services.scheduling.domain.hours import (
    DAY,
    MINUTE,
    DateHours,
    Days,
    Hours,
    Off,
    Rotation,
    Shift,
    Slot,
    instant,
)
from services.scheduling.domain.planning import (
    GAP_DAY_COST,
    LATE_DAY_COST,
    PLANS_MAX,
    WEEKDAY_COST,
    Calendar,
    Plan,
    PlanNotFound,
    Wish,
    plan,
)
from services.scheduling.domain.protocols import Template
from services.scheduling.domain.resources import Resource, ResourceKind
from tests.support.scheduling import TEMPLATE, bands, domain_template, phase, requirement, segment

ZONES = [
    "America/New_York",
    "America/Phoenix",
    "America/St_Johns",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
]
SITE, PATIENT, NURSE, ROOM = (UUID(int=n) for n in range(1, 5))
ALWAYS = tuple(Shift(day, 0, 24 * 60) for day in range(7))
zones = st.sampled_from(ZONES).map(ZoneInfo)
days = st.dates(date(2027, 1, 1), date(2028, 12, 31))  # With 29 February 2028.


@given(zones, days, st.integers(0, 24 * 60))
def test_an_instant_shows_the_wall_time_asked_for_or_ends_the_hour_that_is_skipped(
    zone: ZoneInfo, day: date, minute: int
) -> None:
    wall = datetime.combine(day, datetime.min.time()) + minute * MINUTE
    shown = instant(zone, day, minute).astimezone(zone).replace(tzinfo=None)
    before = (instant(zone, day, minute) - MINUTE).astimezone(zone).replace(tzinfo=None)
    assert shown == wall or before < wall < shown
    assert before < wall  # The first of a doubled hour.


@given(zones, days, st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 23))
def test_the_same_hour_n_days_later_is_n_days_apart(zone: ZoneInfo, day: date, gaps: list[int], hour: int) -> None:
    """At any hour that exists on both days, in any zone, whatever clocks do in between."""
    for gap in gaps:
        starts = [instant(zone, each, hour * 60 + 30) for each in (day, day + gap * DAY)]
        assume(all(start.astimezone(zone).hour == hour for start in starts))
        exactly = [phase("talk", "FOLLOW_UP", "talk", (1, 2, 2), (gap, gap, gap))]
        terms = terms_of(zone, domain_template({**TEMPLATE, "phases": exactly}))
        layouts = terms.lay_out("iv", [Choice("talk", start, (("prescriber", NURSE),)) for start in starts], starts[0])
        assert len(layouts) == 2
        day += gap * DAY


def terms_of(zone: ZoneInfo, template: Template, lanes: int = 1) -> Terms:
    nurse = Resource(NURSE, SITE, ResourceKind.STAFF, "", frozenset({"prescriber"}), lanes)
    cleared = Clearance(frozenset({"iv"}), date(2027, 1, 1), date(2028, 12, 31))
    return Terms(Hours(zone, ALWAYS), UUID(int=9), template, {NURSE: nurse}, [cleared], PATIENT, frozenset({PATIENT}))


shifts = st.builds(
    lambda day, start, length: Shift(day, start, start + length),
    st.integers(0, 6),
    st.integers(0, 1439),
    st.integers(1, 1440),
)
offs = st.one_of(
    st.builds(
        lambda first, length: Days(first, first + length * DAY),
        st.dates(date(2027, 3, 10), date(2027, 3, 18)),
        st.integers(0, 2),
    ),
    st.builds(
        lambda start, length: Slot(start, start + length * MINUTE),
        st.integers(0, 8 * 24 * 60).map(lambda minute: datetime(2027, 3, 10, tzinfo=UTC) + minute * MINUTE),
        st.integers(1, 3000),
    ),
)


@settings(max_examples=60)
@given(
    zones,
    st.lists(shifts, min_size=1, max_size=4),
    st.lists(offs, max_size=2),
    st.integers(0, 6 * 24 * 60),
    st.integers(1, 600),
)
def test_hours_hold_a_slot_exactly_when_they_hold_each_of_its_minutes(
    zone: ZoneInfo, weekly: list[Shift], off: list[Off], start: int, length: int
) -> None:
    """Against a model that asks for each minute what the wall clock shows: across clock changes, midnight, closures."""
    hours = Hours(zone, tuple(weekly), tuple(off))
    begin = datetime(2027, 3, 11, tzinfo=UTC) + start * MINUTE  # Clocks change in America on the 14th.
    slot = Slot(begin, begin + length * MINUTE)
    minutes = (begin + n * MINUTE for n in range(length))
    assert hours.hold(slot) == all(is_open(zone, weekly, off, at) for at in minutes)


def is_open(zone: ZoneInfo, weekly: Sequence[Shift], off: Sequence[Off], at: datetime) -> bool:
    day = at.astimezone(zone).date()
    at_work = any(
        shift.weekday == each.weekday() and instant(zone, each, shift.start) <= at < instant(zone, each, shift.end)
        for each in (day - 2 * DAY, day - DAY, day)
        for shift in weekly
    )
    away = any(one.first <= day <= one.last if isinstance(one, Days) else one.start <= at < one.end for one in off)
    return at_work and not away


NOVEMBER = st.dates(date(2027, 11, 3), date(2027, 11, 14))
"""Clocks go back in America on the 7th, and Veterans Day is on the 11th."""
rotations = st.builds(
    lambda shift, weeks, anchor, first, days: Rotation(shift, weeks, anchor, first, first + days * DAY),
    shifts,
    st.integers(1, 3),
    st.dates(date(2027, 1, 1), date(2027, 12, 31)),
    NOVEMBER,
    st.integers(0, 12),
)
stretches = st.lists(
    st.builds(lambda start, length: (start, start + length), st.integers(0, 1439), st.integers(1, 1440)), max_size=2
)
own_days = st.dictionaries(NOVEMBER, stretches.map(tuple), max_size=3)


@settings(max_examples=60)
@given(
    zones,
    st.lists(shifts, max_size=3),
    st.lists(rotations, max_size=3),
    own_days,
    st.booleans(),
    st.integers(0, 9 * 24 * 60),
    st.integers(1, 600),
)
def test_days_with_hours_of_their_own_holidays_and_rotating_shifts_hold_a_slot_as_their_minutes_do(
    zone: ZoneInfo,
    weekly: list[Shift],
    rotating: list[Rotation],
    own: dict[date, tuple[tuple[int, int], ...]],
    observed: bool,
    start: int,
    length: int,
) -> None:
    """Against a model that asks of each minute which stretches of the days before hold it."""
    dated = tuple(DateHours(day, each) for day, each in own.items())
    kept = frozenset({Holiday.VETERANS_DAY} if observed else set())
    hours = Hours(zone, tuple(weekly), rotations=tuple(rotating), dated=dated, holidays=kept)
    begin = datetime(2027, 11, 4, tzinfo=UTC) + start * MINUTE

    def begin_on(day: date) -> Iterable[tuple[int, int]]:
        if day in own:
            return own[day]
        weeks = [each for each in rotating if (day - monday(each.anchor)).days // 7 % each.every_weeks == 0]
        named = [each.shift for each in weeks if each.first <= day <= each.last]
        return [(shift.start, shift.end) for shift in (*weekly, *named) if shift.weekday == day.weekday()]

    def open_at(at: datetime) -> bool:
        day = at.astimezone(zone).date()
        if observed and day == date(2027, 11, 11) and day not in own:
            return False
        return any(
            instant(zone, each, first) <= at < instant(zone, each, last)
            for each in (day - 2 * DAY, day - DAY, day)
            for first, last in begin_on(each)
        )

    slot = Slot(begin, begin + length * MINUTE)
    assert hours.hold(slot) == all(open_at(begin + n * MINUTE) for n in range(length))


def monday(day: date) -> date:
    return day - day.weekday() * DAY


START = datetime(2027, 3, 1, 8, tzinfo=UTC)
DOSING = {
    "code": "talk",
    "display_name": "Dosing",
    "requirements": [requirement("prescriber", "STAFF", "prescriber")],
    "segments": [
        segment("PREPARATION", 60, prescriber=1),
        segment("ADMINISTRATION", 60, prescriber=2),
        segment("OBSERVATION", 60, prescriber=1),
    ],
    "bands": bands(any=0),
}
BUSY = {**TEMPLATE, "visit_types": [DOSING, TEMPLATE["visit_types"][1]]}


@given(st.integers(2, 4), st.lists(st.integers(0, 12), max_size=25))
def test_whatever_is_booked_no_lane_is_taken_twice_at_once(lanes: int, wishes: list[int]) -> None:
    terms, taken = terms_of(ZoneInfo("UTC"), domain_template(BUSY), lanes), list[Taken]()
    for n, hour in enumerate(wishes):
        choices = [Choice("assessment", START + hour * timedelta(hours=1), (("prescriber", NURSE),))]
        layouts = terms.lay_out("iv", choices, START)
        try:
            [placed] = terms.place(UUID(int=100 + n), choices, layouts, taken)
        except VisitsConflict:
            assert any(free_lanes(lanes, taken, hour + part) < need for part, need in enumerate((1, 2, 1)))
            continue
        assert all(free_lanes(lanes, taken, hour + part) >= need for part, need in enumerate((1, 2, 1)))
        assert not any(one.lane == two.lane and one.slot.overlaps(two.slot) for one in placed for two in taken)
        assert sum((each.slot.end - each.slot.start) // timedelta(hours=1) for each in placed) == 4
        taken += placed


def free_lanes(lanes: int, taken: Sequence[Taken], hour: int) -> int:
    slot = Slot(START + hour * timedelta(hours=1), START + (hour + 1) * timedelta(hours=1))
    return lanes - len({each.lane for each in taken if each.slot.overlaps(slot)})


# A planner that is slow and obviously right, for clinics so small that every course can be tried.
ORIGIN = datetime(2027, 3, 11, tzinfo=UTC)
STAFF = [UUID(int=10 + n) for n in range(3)]
SMALL = {
    "routes": TEMPLATE["routes"],
    "visit_types": [
        {
            "code": "pair",
            "display_name": "Two people",
            "requirements": [requirement("nurse", "STAFF", "infusion"), requirement("doctor", "STAFF", "prescriber")],
            "segments": [
                segment("PREPARATION", 30, nurse=1),
                segment("ADMINISTRATION", 60, nurse=2, doctor=1),
                segment("TURNOVER", 10, nurse=1),
            ],
            "bands": bands(any=0),
        }
    ],
    "phases": [phase("induction", "INDUCTION", "pair", (1, 2, 3), (0, 1, 3))],
}


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    """Open two or three hours a day around the change of clocks, with few people who are often taken."""
    zone = draw(zones)
    opens = draw(st.integers(0, 21 * 60))
    weekly = tuple(Shift(day, opens, opens + draw(st.integers(100, 240))) for day in range(7))
    abilities = st.sets(st.sampled_from(["infusion", "prescriber"]), min_size=1)
    staff = [
        Resource(id, SITE, ResourceKind.STAFF, "", frozenset(draw(abilities)), draw(st.integers(1, 2))) for id in STAFF
    ]
    spans = st.lists(
        st.tuples(st.integers(0, 6 * 1440), st.integers(1, 900)).map(lambda each: (each[0], sum(each))), max_size=4
    )
    taken = {(each.id, lane): draw(spans) for each in staff for lane in range(each.lane_count)}
    return Calendar(Hours(zone, weekly), tuple(staff), ORIGIN, taken, draw(spans))


@settings(max_examples=60, deadline=None)
@given(calendars(), st.sampled_from([None, 0, 700]), st.sets(st.integers(0, 6), max_size=2), st.integers(1, 3))
def test_the_planner_finds_what_trying_everything_finds(
    calendar: Calendar, minute_of_day: int | None, weekdays: set[int], visits: int
) -> None:
    template = domain_template(SMALL)
    wish = Wish(
        "iv", (("induction", visits),), date(2027, 3, 12), date(2027, 3, 13), minute_of_day, frozenset(weekdays)
    )
    expected = sorted(cheapest_by_first_day(template, calendar, wish, visits))[:PLANS_MAX]
    try:
        found = plan(template, calendar, wish, ORIGIN)
    except PlanNotFound:
        assert expected == []
        return
    assert [cost_of(template, calendar, wish, [visit.slot.start for visit in each]) for each in found] == expected
    for each in found:
        check_can_be_booked(template, calendar, each)


def cheapest_by_first_day(template: Template, calendar: Calendar, wish: Wish, visits: int) -> Iterator[int]:
    zone, minutes = calendar.site.zone, template.visit_types[0].minutes
    horizon = [wish.earliest + n * DAY for n in range((wish.latest - wish.earliest).days + 1 + 3 * (visits - 1))]
    starts = {
        day: [
            start
            for quarter in range(-4, 104)
            if (start := instant(zone, day, 0) + quarter * 15 * MINUTE).astimezone(zone).date() == day
            and can_start(template, calendar, start)
        ]
        for day in horizon
    }

    def onwards(day: date, before: datetime, left: int, cost: list[datetime]) -> Iterator[list[datetime]]:
        if not left:
            yield cost
            return
        for gap in range(4):
            for start in starts.get(day + gap * DAY, ()):
                if start >= before:
                    yield from onwards(day + gap * DAY, start + minutes * MINUTE, left - 1, [*cost, start])

    for first in horizon[: (wish.latest - wish.earliest).days + 1]:
        courses = [c for s in starts[first] for c in onwards(first, s + minutes * MINUTE, visits - 1, [s])]
        if courses:
            yield min(cost_of(template, calendar, wish, course) for course in courses)


def cost_of(template: Template, calendar: Calendar, wish: Wish, starts: Sequence[datetime]) -> int:
    walls = [start.astimezone(calendar.site.zone) for start in starts]
    cost = LATE_DAY_COST * (walls[0].date() - wish.earliest).days
    cost += sum(WEEKDAY_COST for wall in walls if wish.weekdays and wall.weekday() not in wish.weekdays)
    if wish.minute_of_day is not None:
        cost += sum(abs(wall.hour * 60 + wall.minute - wish.minute_of_day) for wall in walls)
    gaps = [(two.date() - one.date()).days for one, two in pairwise(walls)]
    return cost + sum(GAP_DAY_COST * abs(gap - template.phases[0].gap_days_preferred) for gap in gaps)


def can_start(template: Template, calendar: Calendar, start: datetime) -> bool:
    visit_type = template.visit_types[0]
    hold = Slot(start, start + visit_type.minutes * MINUTE)
    stay = Slot(start, start + visit_type.stay_minutes * MINUTE)
    if not calendar.site.hold(hold) or any(slot.overlaps(stay) for slot in slots(calendar.patient)):
        return False
    keys = [(each.key, each.capability) for each in visit_type.requirements]
    return any(
        all(
            capability in resource.capabilities and can_serve(template, calendar, resource, key, start)
            for (key, capability), resource in zip(keys, chosen, strict=True)
        )
        for chosen in permutations(calendar.resources, len(keys))
    )


def can_serve(template: Template, calendar: Calendar, resource: Resource, key: str, start: datetime) -> bool:
    for need in template.visit_types[0].needs[key]:
        slot = Slot(start + need.start * MINUTE, start + need.end * MINUTE)
        lanes = range(resource.lane_count)
        free = [n for n in lanes if not any(each.overlaps(slot) for each in slots(calendar.taken[resource.id, n]))]
        if len(free) < need.lane_count:
            return False
    return True


def slots(spans: Sequence[tuple[int, int]]) -> list[Slot]:
    return [Slot(ORIGIN + start * MINUTE, ORIGIN + end * MINUTE) for start, end in spans]


def check_can_be_booked(template: Template, calendar: Calendar, found: Plan) -> None:
    """BookCourse takes the plan as it is."""
    resources = {each.id: each for each in calendar.resources}
    terms = Terms(calendar.site, UUID(int=9), template, resources, None, PATIENT, frozenset({PATIENT}))
    choices = [Choice(each.phase_code, each.slot.start, each.resources) for each in found]
    layouts = terms.lay_out("iv", choices, ORIGIN)
    assert [layout.stay for layout in layouts] == [each.slot for each in found]
    taken = [Taken(id, lane, slot) for (id, lane), spans in calendar.taken.items() for slot in slots(spans)]
    taken += [Taken(PATIENT, 0, slot) for slot in slots(calendar.patient)]
    assert len(terms.place(PATIENT, choices, layouts, taken)) == len(found)


@settings(max_examples=30, deadline=None)
@given(calendars(), st.integers(0, 2))
def test_a_plan_is_worth_the_same_whatever_the_order_of_the_resources(calendar: Calendar, turn: int) -> None:
    template, wish = domain_template(SMALL), Wish("iv", (), date(2027, 3, 12), date(2027, 3, 13))
    turned = replace(calendar, resources=calendar.resources[turn:] + calendar.resources[:turn])
    try:
        found = plan(template, calendar, wish, ORIGIN)
    except PlanNotFound:
        return
    again = plan(template, turned, wish, ORIGIN)
    assert [[visit.slot for visit in each] for each in found] == [[visit.slot for visit in each] for each in again]
