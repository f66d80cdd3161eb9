"""Weekly hours by the wall clock, and what they are in instants."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from google.type.dayofweek_pb2 import DayOfWeek
from google.type.timeofday_pb2 import TimeOfDay

from atoll.scheduling.v1.hours_pb2 import DayHours
from chassis.federal_holidays import FIRST_YEAR, LAST_YEAR
from services.scheduling.domain.holidays import Holiday, days_of
from services.scheduling.domain.hours import (
    DateHours,
    Days,
    Hours,
    HoursInvalid,
    Rotation,
    Shift,
    Slot,
    check_shifts,
    instant,
)
from services.scheduling.rpc.hours import minute_of_day, shifts_from_wire, shifts_to_wire
from tests.support.scheduling import DENVER, local

NINE_TO_FIVE = tuple(Shift(day, 9 * 60, 17 * 60) for day in range(5))
NIGHT = (Shift(5, 22 * 60, 30 * 60),)  # Saturday 22:00 to Sunday 6:00.


def utc(day: int, hour: int, minute: int = 0, month: int = 3) -> datetime:
    return datetime(2027, month, day, hour, minute, tzinfo=UTC)


def test_a_slot_is_held_up_to_both_ends_of_a_shift_and_not_a_minute_beyond() -> None:
    clinic = Hours(DENVER, NINE_TO_FIVE)
    assert clinic.hold(Slot(local(3, 2, 9), local(3, 2, 17)))
    assert not clinic.hold(Slot(local(3, 2, 8, 59), local(3, 2, 10)))
    assert not clinic.hold(Slot(local(3, 2, 16), local(3, 2, 17, 1)))
    assert not clinic.hold(Slot(local(3, 6, 9), local(3, 6, 10)))  # A Saturday.


def test_nine_o_clock_stays_nine_o_clock_when_clocks_change() -> None:
    clinic = Hours(DENVER, NINE_TO_FIVE)
    before, after = (clinic.spans(Slot(local(3, day, 12), local(3, day, 13)))[-1] for day in (12, 15))
    assert (before.start, after.start) == (utc(12, 16), utc(15, 15))


def test_a_shift_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    night = Hours(DENVER, NIGHT)
    assert night.hold(Slot(local(3, 6, 23), local(3, 7, 5)))
    assert night.hold(Slot(local(3, 7, 0), local(3, 7, 6)))
    assert not night.hold(Slot(local(3, 7, 23), local(3, 8, 1)))


def test_a_night_in_which_clocks_change_is_an_hour_shorter_or_longer() -> None:
    night = Hours(DENVER, NIGHT)
    [spring] = night.spans(Slot(local(3, 13, 23), local(3, 14, 1)))
    [autumn] = night.spans(Slot(local(11, 6, 23), local(11, 7, 0)))
    assert (spring.end - spring.start).total_seconds() / 3600 == 7
    assert (autumn.end - autumn.start).total_seconds() / 3600 == 9


def test_shifts_that_touch_at_midnight_are_one_stretch() -> None:
    always = Hours(DENVER, tuple(Shift(day, 0, 24 * 60) for day in range(7)))
    assert always.hold(Slot(local(3, 2, 22), local(3, 3, 3)))


@pytest.mark.parametrize(
    ("wall", "expected"),
    [
        (1 * 60 + 59, utc(14, 8, 59)),
        (2 * 60, utc(14, 9)),  # Skipped: clocks jump from 2:00 to 3:00.
        (2 * 60 + 30, utc(14, 9)),
        (3 * 60, utc(14, 9)),
        (24 * 60, utc(15, 6)),
    ],
)
def test_a_skipped_time_is_the_instant_at_which_clocks_jump_over_it(wall: int, expected: datetime) -> None:
    assert instant(DENVER, date(2027, 3, 14), wall) == expected


def test_a_doubled_time_is_the_first_of_the_two() -> None:
    assert instant(DENVER, date(2027, 11, 7), 90) == utc(7, 7, 30, month=11)


def test_a_skipped_half_hour_is_found_too() -> None:
    lord_howe = ZoneInfo("Australia/Lord_Howe")  # 2:00 to 2:30 on 3 October 2027.
    assert instant(lord_howe, date(2027, 10, 3), 2 * 60 + 10) == utc(2, 15, 30, month=10)


def test_a_shift_within_a_skipped_hour_does_not_take_place() -> None:
    skipped = Hours(DENVER, (Shift(6, 2 * 60 + 10, 2 * 60 + 50),))
    assert skipped.spans(Slot(local(3, 14, 1), local(3, 14, 4))) == []


def test_a_leap_day_is_a_day_like_any_other() -> None:
    clinic = Hours(DENVER, NINE_TO_FIVE)  # 29 February 2028 is a Tuesday.
    assert clinic.hold(Slot(local(2, 29, 9, year=2028), local(2, 29, 10, year=2028)))
    closed = Hours(DENVER, NINE_TO_FIVE, (Days(date(2028, 2, 29), date(2028, 2, 29)),))
    assert not closed.hold(Slot(local(2, 29, 9, year=2028), local(2, 29, 10, year=2028)))
    assert closed.hold(Slot(local(3, 1, 9, year=2028), local(3, 1, 10, year=2028)))


def test_days_off_are_whole_local_days_and_cut_a_shift_over_midnight() -> None:
    night = Hours(DENVER, NIGHT, (Days(date(2027, 3, 7), date(2027, 3, 7)),))
    assert night.hold(Slot(local(3, 6, 22), local(3, 7, 0)))
    assert not night.hold(Slot(local(3, 6, 22), local(3, 7, 0, 1)))


def test_time_off_leaves_what_is_before_and_after_it() -> None:
    clinic = Hours(DENVER, NINE_TO_FIVE, (Slot(local(3, 2, 12), local(3, 2, 13)),))
    spans = clinic.spans(Slot(local(3, 2, 9), local(3, 2, 17)))
    assert spans[-2:] == [Slot(local(3, 2, 9), local(3, 2, 12)), Slot(local(3, 2, 13), local(3, 2, 17))]


@pytest.mark.parametrize(
    ("shifts", "at_fault"),
    [
        ((Shift(0, 540, 720), Shift(0, 700, 800)), 1),
        ((Shift(0, 60, 120), Shift(6, 1380, 1530)), 0),  # Sunday night runs into Monday's.
        ((Shift(2, 0, 1440), Shift(2, 0, 60)), 1),
    ],
)
def test_overlapping_shifts_are_refused(shifts: tuple[Shift, ...], at_fault: int) -> None:
    with pytest.raises(HoursInvalid) as refused:
        check_shifts(shifts, "opening_hours")
    assert [each.field for each in refused.value.violations] == [f"opening_hours[{at_fault}]"]


def test_shifts_may_touch() -> None:
    check_shifts((Shift(0, 540, 720), Shift(0, 720, 800), Shift(6, 1380, 1440), Shift(0, 0, 60)), "opening_hours")


def test_hours_survive_the_wire_over_midnight_and_up_to_it() -> None:
    shifts = (Shift(0, 540, 1440), Shift(4, 1320, 1800), Shift(6, 0, 1440))
    wire = list(shifts_to_wire(shifts))
    assert [(each.start_time.hours, each.end_time.hours) for each in wire] == [(9, 24), (22, 6), (0, 24)]
    assert shifts_from_wire(wire, "opening_hours") == shifts


def test_nothing_begins_at_24_which_would_be_taken_for_the_midnight_before() -> None:
    late = DayHours(day=DayOfWeek.MONDAY, start_time=TimeOfDay(hours=24), end_time=TimeOfDay(hours=2))
    with pytest.raises(HoursInvalid) as refused:
        shifts_from_wire([late], "opening_hours")
    assert [each.field for each in refused.value.violations] == ["opening_hours[0].start_time"]


@pytest.mark.parametrize("time", [{"hours": 24, "minutes": 1}, {"hours": 9, "seconds": 1}, {"minutes": 60}])
def test_what_is_no_whole_minute_of_a_day_is_refused(time: dict[str, int]) -> None:
    with pytest.raises(HoursInvalid):
        minute_of_day(TimeOfDay(**time), "start_time")


def test_a_day_with_hours_of_its_own_has_them_instead_of_its_shifts_and_whatever_the_holiday() -> None:
    """Monday the 5th is when Independence Day of 2027, a Sunday, is observed."""
    clinic = Hours(
        DENVER,
        NINE_TO_FIVE,
        dated=(DateHours(date(2027, 7, 5), ((10 * 60, 12 * 60),)), DateHours(date(2027, 7, 10), ((9 * 60, 13 * 60),))),
        holidays=frozenset({Holiday.INDEPENDENCE_DAY}),
    )
    around = clinic.spans(Slot(local(7, 4, 0), local(7, 11, 12)))
    assert around[0] == Slot(local(7, 5, 10), local(7, 5, 12))
    assert around[1] == Slot(local(7, 6, 9), local(7, 6, 17))
    assert around[-1] == Slot(local(7, 10, 9), local(7, 10, 13))  # A Saturday.


@pytest.mark.parametrize(
    ("day", "open_"),
    [
        (date(2027, 7, 5), False),  # Observed for Sunday the 4th.
        (date(2027, 7, 6), True),
        (date(2027, 6, 18), True),  # Juneteenth is not among those that the clinic observes.
        (date(2027, 12, 24), False),  # Christmas is a Saturday.
        (date(2027, 12, 31), False),  # New Year's Day of 2028 is a Saturday: observed in the year before.
        (date(2028, 1, 3), True),
        (date(2028, 2, 29), True),
    ],
)
def test_a_holiday_is_kept_on_the_day_itself_and_on_the_weekday_observed_instead(day: date, open_: bool) -> None:
    kept = frozenset({Holiday.INDEPENDENCE_DAY, Holiday.CHRISTMAS_DAY, Holiday.NEW_YEARS_DAY})
    clinic = Hours(DENVER, NINE_TO_FIVE, holidays=kept)
    assert clinic.hold(Slot(instant(DENVER, day, 600), instant(DENVER, day, 660))) is open_


def test_every_federal_holiday_has_a_name_here() -> None:
    """The package may word one anew, or the law name another."""
    assert {holiday for _, holiday in days_of(range(FIRST_YEAR, LAST_YEAR + 1))} == set(Holiday)
    assert len({day for day, _ in days_of([2027])}) == 11 + 4  # Observed too: of Saturdays two, a Sunday, and of 2028.


def test_a_night_shift_ends_at_midnight_before_a_holiday_and_may_go_on_into_a_day_with_hours_of_its_own() -> None:
    nights, fifth = tuple(Shift(day, 22 * 60, 30 * 60) for day in range(7)), date(2027, 7, 5)
    night = Hours(DENVER, nights, holidays=frozenset({Holiday.INDEPENDENCE_DAY}))
    assert not night.hold(Slot(local(7, 5, 1), local(7, 5, 2)))
    assert night.hold(Slot(local(7, 3, 22), local(7, 4, 0)))
    own = replace(night, dated=(DateHours(fifth, ((8 * 60, 9 * 60),)),))
    assert own.spans(Slot(local(7, 5, 1), local(7, 5, 12)))[-1] == Slot(local(7, 5, 8), local(7, 5, 9))
    last = replace(night, holidays=frozenset({Holiday.MEMORIAL_DAY}))
    assert not last.hold(Slot(local(5, 30, 23), local(5, 31, 1)))  # The shift begins before, and is cut.


def test_a_shift_of_every_third_week_counts_weeks_from_its_anchors_across_clock_changes() -> None:
    third = Rotation(Shift(2, 540, 1020), 3, date(2027, 2, 26))  # The Friday of a week whose Wednesday is the 24th.
    days = [date(2027, 2, 1) + n * timedelta(days=1) for n in range(80)]
    found = [day.isoformat() for day in days if third.begins_on(day)]
    assert found == ["2027-02-03", "2027-02-24", "2027-03-17", "2027-04-07"]
    clinic = Hours(DENVER, (), rotations=(replace(third, first=date(2027, 2, 24), last=date(2027, 3, 17)),))
    assert clinic.spans(Slot(local(2, 1, 0), local(4, 20, 0))) == [
        Slot(local(2, 24, 9), local(2, 24, 17)),
        Slot(local(3, 17, 9), local(3, 17, 17)),
    ]


def test_a_night_shift_of_new_years_eve_is_known_to_end_at_midnight() -> None:
    nights = tuple(Shift(day, 22 * 60, 30 * 60) for day in range(7))
    night = Hours(DENVER, nights, holidays=frozenset({Holiday.NEW_YEARS_DAY}))
    evening = Slot(local(12, 31, 22, year=2028), local(12, 31, 23, year=2028))
    assert night.spans(evening)[-1].end == local(1, 1, 0, year=2029)
