"""Calendars of staff as iCalendar (RFC 5545): when somebody is busy, read from one; visits, written as one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import recurring_ical_events
from icalendar import Calendar, Component, Event

from chassis.errors import DomainError, Kind, Violation
from chassis.ids import to_wire
from services.scheduling.domain.hours import DAY, DAY_MINUTES, MINUTE, Slot, instant, joined
from services.scheduling.domain.sites import betrays_health

EVENTS_MAX = 5_000
RECURRING_MAX = 300
HORIZON = timedelta(days=400)
"""So far ahead recurring events are expanded."""
PAST_YEARS_MAX = 30
"""A recurring event began no longer ago: each is counted from its beginning."""
STEP = timedelta(days=20)
FREQUENCIES = frozenset({"DAILY", "WEEKLY", "MONTHLY", "YEARLY"})
TOO_FINE = ("BYHOUR", "BYMINUTE", "BYSECOND")
"""Parts of a rule by which one day may have very many events."""
FEED_DAYS_MAX = 92
FEED_EVENTS_MAX = 1_000
PRODUCT = "-//Atoll//Scheduling//EN"


class ICalendarInvalid(DomainError):
    kind, reason, message = (
        Kind.INVALID,
        "ICALENDAR_INVALID",
        "not an iCalendar text, or one with rules that are not taken",
    )


class ICalendarTooLarge(DomainError):
    kind, reason, message = Kind.INVALID, "ICALENDAR_TOO_LARGE", "the calendar has more events than are taken"


class FeedWindowInvalid(DomainError):
    kind, reason = Kind.INVALID, "FEED_WINDOW_INVALID"
    message = "last_date is before first_date, or more than 92 days are asked for"


class ResourceNotStaff(DomainError):
    kind, reason, message = Kind.INVALID, "RESOURCE_NOT_STAFF", "only staff have calendars of their own"


def busy_times(text: str, zone: ZoneInfo, now: datetime) -> list[Slot]:
    """When the calendar says busy from now on, apart and in order, each a day long at most. `zone` is the home site's.

    What is wrong with a text of somebody else's is whatever its readers raise.
    """
    if text.upper().count("BEGIN:VEVENT") > EVENTS_MAX:
        raise ICalendarTooLarge(_fault("EVENTS", f"has more than {EVENTS_MAX} events"))
    try:
        calendar = Calendar.from_ical(text)
        _check_rules(calendar, now)
        spans = [*_spans(calendar, zone, now), *_periods(calendar, zone)]
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise ICalendarInvalid(_fault("NOT_ICALENDAR", "cannot be read as RFC 5545 has it")) from error
    except recurring_ical_events.InvalidCalendar as error:
        raise ICalendarInvalid(_fault("NOT_ICALENDAR", "cannot be read as RFC 5545 has it")) from error
    return [day for span in joined(_from_now_on(spans, now)) for day in _days(span)]


def _check_rules(calendar: Component, now: datetime) -> None:
    """A rule of few letters may stand for a hundred million events."""
    recurring = 0
    for event in calendar.walk("VEVENT"):
        if "EXRULE" in event:
            raise ICalendarInvalid(_fault("EXRULE", "rules of exception are not taken"))
        rules = event.get("RRULE", [])
        for rule in rules if isinstance(rules, list) else [rules]:
            recurring += 1
            frequency = [str(each).upper() for each in rule.get("FREQ", [])]
            if not FREQUENCIES.issuperset(frequency) or any(rule.get(part) for part in TOO_FINE):
                raise ICalendarInvalid(_fault("TOO_FREQUENT", "an event recurs more often than once a day"))
            if event.decoded("DTSTART").year < now.year - PAST_YEARS_MAX:
                raise ICalendarInvalid(_fault("TOO_OLD", f"an event recurs since over {PAST_YEARS_MAX} years"))
    if recurring > RECURRING_MAX:
        raise ICalendarTooLarge(_fault("RECURRING", f"has more than {RECURRING_MAX} recurring events"))


def _spans(calendar: Component, zone: ZoneInfo, now: datetime) -> Iterator[Slot]:
    query, end, found = recurring_ical_events.of(calendar), now + HORIZON, 0
    start = now - DAY  # Whole days begin earlier or later than UTC's.
    while start < end:
        events = query.between(start, start + STEP)
        found += len(events)
        if found > EVENTS_MAX:
            raise ICalendarTooLarge(_fault("OCCURRENCES", f"has more than {EVENTS_MAX} events with those that recur"))
        for event in events:
            span = _busy(event, zone)
            if span:
                yield span
        start += STEP


def _periods(calendar: Component, zone: ZoneInfo) -> Iterator[Slot]:
    """Of a calendar that tells when somebody is busy, and not by what."""
    found = 0
    for component in calendar.walk("VFREEBUSY"):
        told = component.get("FREEBUSY", [])
        for period in told if isinstance(told, list) else [told]:
            found += 1
            if found > EVENTS_MAX:
                raise ICalendarTooLarge(_fault("PERIODS", f"has more than {EVENTS_MAX} periods"))
            span = Slot(_instant(period.start, zone), _instant(period.end, zone))
            if str(period.params.get("FBTYPE", "BUSY")).upper() != "FREE":
                yield span


def _busy(event: Component, zone: ZoneInfo) -> Slot | None:
    """None for what lasts no time, is transparent or cancelled."""
    if str(event.get("TRANSP", "OPAQUE")).upper() == "TRANSPARENT":
        return None
    if str(event.get("STATUS", "CONFIRMED")).upper() == "CANCELLED":
        return None
    start, end = (_instant(event.decoded(name), zone) for name in ("DTSTART", "DTEND"))
    return Slot(start, end) if start < end else None


def _instant(at: date | datetime, zone: ZoneInfo) -> datetime:
    """A day begins at the zone's midnight; a time without a zone is by its wall clock, whole minutes."""
    if isinstance(at, datetime) and at.tzinfo:
        return at.astimezone(UTC)
    wall = at if isinstance(at, datetime) else datetime.combine(at, time())
    return instant(zone, wall.date(), wall.hour * 60 + wall.minute)


def _from_now_on(spans: Iterable[Slot], now: datetime) -> Iterator[Slot]:
    """As far as they are expanded, in whole minutes: what is planned and booked starts on one."""
    for each in spans:
        start, end = max(each.start, now), min(each.end, now + HORIZON)
        if start < end:
            yield Slot(_minute(start), _minute(end + MINUTE - timedelta.resolution))


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _days(span: Slot) -> Iterator[Slot]:
    start = span.start
    while start < span.end:
        yield Slot(start, min(start + DAY_MINUTES * MINUTE, span.end))
        start += DAY_MINUTES * MINUTE


def _fault(rule: str, text: str) -> Violation:
    return Violation("calendar", rule, text)


@dataclass(frozen=True, slots=True)
class Appointment:
    """What may be told to anybody of a visit."""

    visit_id: UUID
    slot: Slot
    """While the resource is taken, and the patient maybe gone."""
    version: int
    site_name: str
    """The discreet one."""
    room_names: tuple[str, ...]


def feed_window(first: date, last: date, zone: ZoneInfo) -> Slot:
    if not 0 <= (last - first).days < FEED_DAYS_MAX:
        raise FeedWindowInvalid(Violation("last_date", "FEED_WINDOW_INVALID", FeedWindowInvalid.message))
    return Slot(instant(zone, first, 0), instant(zone, last, DAY_MINUTES))


def feed(appointments: Sequence[Appointment], now: datetime) -> str:
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    for each in appointments:
        event = Event()
        event.add("uid", to_wire("visit", each.visit_id))
        event.add("sequence", each.version)
        event.add("dtstamp", now)
        event.add("dtstart", each.slot.start)
        event.add("dtend", each.slot.end)
        event.add("summary", _summary(each))
        event.add("class", "PRIVATE")
        calendar.add_component(event)
    text: str = calendar.to_ical().decode()
    return text


def _summary(appointment: Appointment) -> str:
    """The room's name as well, unless it tells what is done there."""
    rooms = (name for name in appointment.room_names if not betrays_health(name))
    return ", ".join([appointment.site_name, *rooms])
