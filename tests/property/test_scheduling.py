"""What holds for every calendar, course and clock change."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
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
