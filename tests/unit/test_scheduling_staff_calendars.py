"""When a calendar says busy, and what a feed tells."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar

from chassis.errors import DomainError
from services.scheduling.domain.hours import Slot
from services.scheduling.domain.staff_calendars import (
    EVENTS_MAX,
    Appointment,
    FeedWindowInvalid,
    ICalendarInvalid,
    ICalendarTooLarge,
    busy_times,
    feed,
    feed_window,
)
from tests.support.scheduling import DENVER, local

NOW = local(3, 1, 9)


def calendar(*events: str, before: str = "") -> str:
    bodies = "".join(
        f"BEGIN:VEVENT\r\nUID:{n}\r\nDTSTAMP:20270101T000000Z\r\n{each}\r\nEND:VEVENT\r\n"
        for n, each in enumerate(events)
    )
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{before}{bodies}END:VCALENDAR\r\n"


def event(start: str, end: str, *more: str) -> str:
    return "\r\n".join([f"DTSTART{start}", f"DTEND{end}", *more])


def read(*events: str, zone: ZoneInfo = DENVER, now: datetime = NOW, before: str = "") -> list[Slot]:
    return busy_times(calendar(*events, before=before), zone, now)


def test_a_time_of_utc_of_a_zone_and_of_none_are_three_instants() -> None:
    events = (
        event(":20270302T160000Z", ":20270302T170000Z"),
        event(";TZID=America/New_York:20270303T110000", ";TZID=America/New_York:20270303T120000"),
        event(":20270304T090000", ":20270304T100000"),
    )
    assert read(*events) == [Slot(local(3, day, 9), local(3, day, 10)) for day in (2, 3, 4)]


def test_a_whole_day_is_the_sites_day_and_is_as_long_as_the_clocks_make_it() -> None:
    spring = read(event(";VALUE=DATE:20270314", ";VALUE=DATE:20270315"))
    assert spring == [Slot(local(3, 14, 0), local(3, 15, 0))]
    assert spring[0].end - spring[0].start == timedelta(hours=23)
    autumn = read(event(";VALUE=DATE:20271107", ";VALUE=DATE:20271108"))
    assert [span.end - span.start for span in autumn] == [timedelta(hours=24), timedelta(hours=1)]
    assert (autumn[0].start, autumn[-1].end) == (local(11, 7, 0), local(11, 8, 0))
    without_end = read("DTSTART;VALUE=DATE:20270302")
    assert without_end == [Slot(local(3, 2, 0), local(3, 3, 0))]


def test_a_weekly_event_keeps_its_wall_clock_and_leaves_out_what_it_excludes_and_moves_what_it_moves() -> None:
    zone = ";TZID=America/Denver"
    weekly = event(
        f"{zone}:20270301T100000",
        f"{zone}:20270301T110000",
        "RRULE:FREQ=WEEKLY;COUNT=4",
        f"EXDATE{zone}:20270308T100000",
    )
    moved = event(f"{zone}:20270322T140000", f"{zone}:20270322T150000", f"RECURRENCE-ID{zone}:20270322T100000")
    text = calendar(weekly, moved).replace("UID:1", "UID:0")
    assert busy_times(text, DENVER, NOW) == [
        Slot(local(3, 1, 10), local(3, 1, 11)),
        Slot(local(3, 15, 10), local(3, 15, 11)),  # Clocks went forward the day before.
        Slot(local(3, 22, 14), local(3, 22, 15)),
    ]


@pytest.mark.parametrize("more", ["TRANSP:TRANSPARENT", "STATUS:CANCELLED"])
def test_what_is_transparent_or_cancelled_is_not_busy(more: str) -> None:
    assert read(event(":20270302T160000Z", ":20270302T170000Z", more)) == []


def test_what_is_over_or_lasts_no_time_is_left_out_and_what_goes_on_is_cut() -> None:
    events = (
        event(":20270301T100000Z", ":20270301T110000Z"),
        event(":20270301T150000Z", ":20270301T170000Z"),
        event(":20270302T150000Z", ":20270302T150000Z"),
        "DTSTART:20270302T150000Z",
    )
    assert read(*events) == [Slot(NOW, local(3, 1, 10))]


def test_events_that_touch_or_overlap_are_one_and_what_is_longer_than_a_day_is_cut_into_days() -> None:
    events = (
        event(":20270302T160000Z", ":20270302T170000Z"),
        event(":20270302T163000Z", ":20270302T180000Z"),
        event(":20270302T180000Z", ":20270304T160000Z"),
    )
    spans = read(*events)
    assert spans == [Slot(local(3, 2, 9), local(3, 3, 9)), Slot(local(3, 3, 9), local(3, 4, 9))]


def free_busy(*lines: str) -> str:
    return "\r\n".join(["BEGIN:VFREEBUSY", "UID:f", "DTSTAMP:20270101T000000Z", *lines, "END:VFREEBUSY", ""])


def test_a_calendar_that_tells_only_when_somebody_is_busy_is_read_as_events_are() -> None:
    told = free_busy(
        "FREEBUSY;FBTYPE=BUSY-UNAVAILABLE:20270302T160000Z/20270302T170000Z,20270303T160000Z/PT1H",
        "FREEBUSY;FBTYPE=FREE:20270304T160000Z/PT1H",
        "FREEBUSY:20270301T150000Z/20270301T170000Z",
        "FREEBUSY:20270201T150000Z/20270201T170000Z,20290201T150000Z/20290201T170000Z",
    )
    wanted = [Slot(local(3, 1, 9), local(3, 1, 10)), *(Slot(local(3, day, 9), local(3, day, 10)) for day in (2, 3))]
    assert read(before=told) == wanted
    alone = free_busy("FREEBUSY:20270302T160000Z/20270302T170000Z")
    assert read(before=alone) == [Slot(local(3, 2, 9), local(3, 2, 10))]
    many = free_busy(*["FREEBUSY:20270302T160000Z/20270302T170000Z"] * (EVENTS_MAX + 1))
    with pytest.raises(ICalendarTooLarge) as refused:
        read(before=many)
    assert [each.rule for each in refused.value.violations] == ["PERIODS"]


def test_a_minute_that_has_begun_is_busy_as_a_whole() -> None:
    told = event(":20270302T160040Z", ":20270302T170020Z"), event(":20270302T170030Z", ":20270302T172940Z")
    assert read(*told) == [Slot(local(3, 2, 9), local(3, 2, 10, 30))]


def test_a_daily_event_without_an_end_is_expanded_for_four_hundred_days() -> None:
    spans = read(event(":20200101T200000Z", ":20200101T210000Z", "RRULE:FREQ=DAILY"))
    assert len(spans) == 400
    assert spans[-1].start == datetime(2028, 4, 3, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "NOT_ICALENDAR"),
        ("hello", "NOT_ICALENDAR"),
        ("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VCALENDAR", "NOT_ICALENDAR"),
        (calendar("DTSTART:20271301T000000Z"), "NOT_ICALENDAR"),
        (calendar("SUMMARY:no start"), "NOT_ICALENDAR"),
        (calendar(event(":20270301T100000Z", ":20270301T110000Z", "RRULE:FREQ=NEVER")), "NOT_ICALENDAR"),
        (calendar(event(":20270301T100000Z", ":20270301T110000Z", "RRULE:FREQ=SECONDLY")), "TOO_FREQUENT"),
        (calendar(event(":20270301T100000Z", ":20270301T110000Z", "RRULE:FREQ=HOURLY;COUNT=3")), "TOO_FREQUENT"),
        (
            calendar(event(":20270301T100000Z", ":20270301T110000Z", "RRULE:FREQ=YEARLY;BYSECOND=1,2,3")),
            "TOO_FREQUENT",
        ),
        (
            calendar(event(":20270301T100000Z", ":20270301T110000Z", "RRULE:FREQ=DAILY", "EXRULE:FREQ=DAILY")),
            "EXRULE",
        ),
        (calendar(event(":19700301T100000Z", ":19700301T110000Z", "RRULE:FREQ=DAILY")), "TOO_OLD"),
    ],
)
def test_what_is_no_calendar_or_has_rules_that_cost_too_much_is_refused_by_name(text: str, rule: str) -> None:
    assert refused(text, ICalendarInvalid) == [("calendar", rule)]


def test_a_calendar_of_too_many_events_is_refused_by_name() -> None:
    one = event(":20270302T160000Z", ":20270302T170000Z")
    assert refused(calendar(*[one] * (EVENTS_MAX + 1)), ICalendarTooLarge) == [("calendar", "EVENTS")]
    weekly = event(":20270302T160000Z", ":20270302T170000Z", "RRULE:FREQ=WEEKLY")
    assert refused(calendar(*[weekly] * 301), ICalendarTooLarge) == [("calendar", "RECURRING")]
    daily = event(":20270302T160000Z", ":20270302T170000Z", "RRULE:FREQ=DAILY")
    assert refused(calendar(*[daily] * 20), ICalendarTooLarge) == [("calendar", "OCCURRENCES")]


def refused(text: str, error: type[DomainError]) -> list[tuple[str, str]]:
    with pytest.raises(error) as caught:
        busy_times(text, DENVER, NOW)
    return [(fault.field, fault.rule) for fault in caught.value.violations]


def test_a_feed_names_the_site_discreetly_and_the_room_unless_that_betrays_what_is_done_there() -> None:
    visit_id, slot = UUID(int=1), Slot(local(3, 2, 9), local(3, 2, 10, 30))
    appointment = Appointment(visit_id, slot, 3, "Suite 200", ("Infusion room", "Room; 1, é"))
    text = feed([appointment], NOW)
    [told] = Calendar.from_ical(text).walk("VEVENT")
    assert str(told["SUMMARY"]) == "Suite 200, Room; 1, é"
    assert (str(told["UID"]), told["SEQUENCE"]) == ("visit_00000000000000000000000001", 3)
    assert (told.decoded("DTSTART"), told.decoded("DTEND"), told.decoded("DTSTAMP")) == (slot.start, slot.end, NOW)
    assert "nfusion" not in text
    assert busy_times(text, DENVER, NOW) == [slot]


def test_a_feeds_window_is_of_the_sites_days_and_of_three_months_at_most() -> None:
    assert feed_window(date(2027, 3, 14), date(2027, 3, 14), DENVER) == Slot(local(3, 14, 0), local(3, 15, 0))
    feed_window(date(2027, 3, 1), date(2027, 5, 31), DENVER)
    for last in (date(2027, 2, 28), date(2027, 6, 1)):
        with pytest.raises(FeedWindowInvalid):
            feed_window(date(2027, 3, 1), last, DENVER)
