"""Hours on the wire: google.type.TimeOfDay and DayOfWeek, as minutes of a week."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from google.type.dayofweek_pb2 import DayOfWeek
from google.type.interval_pb2 import Interval
from google.type.timeofday_pb2 import TimeOfDay

from atoll.scheduling.v1 import hours_pb2 as pb
from atoll.scheduling.v1.hours_pb2 import DateRange, DayHours, TimeOff
from chassis.errors import BadRequest, Violation
from chassis.ids import from_wire, to_wire
from chassis.times import from_date, to_date, to_instant, to_timestamp
from services.scheduling.domain.hours import (
    DAY_MINUTES,
    DateHours,
    Days,
    HoursInvalid,
    Off,
    Rotation,
    Shift,
    Slot,
)
from services.scheduling.domain.resources import NO_SITE, WorkingShift

LAST_YEAR = 9990
"""In which a visit can be asked for. Gaps, windows and anchors are reckoned from it, some years ahead."""


def day_of_visit(wire: Date, field: str) -> date:
    """Or the first of days that visits may have; refused after LAST_YEAR."""
    day = from_date(wire, field)
    _check_year(day, field)
    return day


def start_of_visit(wire: Timestamp, field: str) -> datetime:
    """Refused after LAST_YEAR."""
    start = to_instant(wire)
    _check_year(start, field)
    return start


def _check_year(day: date, field: str) -> None:
    if day.year > LAST_YEAR:
        raise BadRequest(Violation(field, "date.years", f"is after the year {LAST_YEAR}"))


def weekday_of(day: DayOfWeek.ValueType) -> int:
    """0 is Monday, 1 on the wire."""
    return int(day) - 1


def minute_of_day(time: TimeOfDay, field: str) -> int:
    """0 to 1440: 24:00 is midnight at the day's end."""
    minute = int(time.hours * 60 + time.minutes)
    in_range = time.hours >= 0 and 0 <= time.minutes < 60 and minute <= DAY_MINUTES
    if not in_range or time.seconds or time.nanos:
        raise HoursInvalid(Violation(field, "TIME_OF_DAY", "is not a whole minute of a day"))
    return minute


def minute_of_start(time: TimeOfDay, field: str) -> int:
    """Of what begins on a day: not at 24:00."""
    minute = minute_of_day(time, field)
    if minute == DAY_MINUTES:
        raise HoursInvalid(Violation(field, "TIME_OF_DAY", "is where a day ends: the next begins at 00:00"))
    return minute


def bound_of_day(request: Any, field: str, default: int) -> int:
    """Of a field that may be unset."""
    return minute_of_day(getattr(request, field), field) if request.HasField(field) else default


def shifts_from_wire(wire: Iterable[DayHours], field: str) -> tuple[Shift, ...]:
    return tuple(_shift(each, f"{field}[{n}]") for n, each in enumerate(wire))


def shifts_to_wire(shifts: Iterable[Shift]) -> Iterator[DayHours]:
    for shift in shifts:
        day = DayOfWeek.ValueType(shift.weekday + 1)
        yield DayHours(day=day, start_time=time_of_day(shift.start), end_time=_end(shift.end))


def dated_from_wire(wire: Iterable[pb.DateHours], field: str) -> tuple[DateHours, ...]:
    return tuple(
        DateHours(
            from_date(each.date, f"{field}[{n}].date"),
            tuple(_stretch(part, f"{field}[{n}].stretches[{k}]") for k, part in enumerate(each.stretches)),
        )
        for n, each in enumerate(wire)
    )


def dated_to_wire(dated: Iterable[DateHours]) -> Iterator[pb.DateHours]:
    for each in dated:
        stretches = (pb.TimeStretch(start_time=time_of_day(start), end_time=_end(end)) for start, end in each.stretches)
        yield pb.DateHours(date=to_date(each.day), stretches=stretches)


def working_shifts_from_wire(wire: Iterable[pb.WorkingShift], field: str) -> tuple[WorkingShift, ...]:
    return tuple(_working_shift(each, f"{field}[{n}]") for n, each in enumerate(wire))


def working_shifts_to_wire(shifts: Iterable[WorkingShift]) -> Iterator[pb.WorkingShift]:
    for each in shifts:
        rotation = each.rotation
        [hours] = shifts_to_wire([rotation.shift])
        yield pb.WorkingShift(
            hours=hours,
            site_id=to_wire("site", each.site_id),
            every_weeks=rotation.every_weeks,
            anchor_date=to_date(rotation.anchor) if rotation.every_weeks > 1 else None,
            first_date=bound_to_wire(rotation.first),
            last_date=bound_to_wire(rotation.last),
        )


def bound_to_wire(day: date) -> Date | None:
    """Of days that have no first or last one: None."""
    return None if day in (date.min, date.max) else to_date(day)


def days_given(wire: Any, field: str, *names: str) -> dict[str, date]:
    """By name, those of the fields `<name>_date` that are set."""
    given = (name for name in names if wire.HasField(f"{name}_date"))
    return {name: from_date(getattr(wire, f"{name}_date"), f"{field}.{name}_date") for name in given}


def _working_shift(wire: pb.WorkingShift, field: str) -> WorkingShift:
    if wire.every_weeks > 1 and not wire.HasField("anchor_date"):
        text = "a shift of every n-th week needs a day of such a week"
        raise HoursInvalid(Violation(f"{field}.anchor_date", "MISSING", text))
    days = days_given(wire, field, "anchor", "first", "last")
    rotation = Rotation(_shift(wire.hours, f"{field}.hours"), max(1, wire.every_weeks), **days)
    return WorkingShift(from_wire("site", wire.site_id) if wire.site_id else NO_SITE, rotation)


def offs_from_wire(wire: Iterable[TimeOff], field: str) -> tuple[Off, ...]:
    return tuple(_off(each, f"{field}[{n}]") for n, each in enumerate(wire))


def offs_to_wire(offs: Iterable[Off]) -> Iterator[TimeOff]:
    for off in offs:
        if isinstance(off, Days):
            yield TimeOff(dates=DateRange(first_date=to_date(off.first), last_date=to_date(off.last)))
        else:
            start, end = to_timestamp(off.start), to_timestamp(off.end)
            yield TimeOff(interval=Interval(start_time=start, end_time=end))


def _shift(wire: DayHours, field: str) -> Shift:
    return Shift(weekday_of(wire.day), *_stretch(wire, field))


def _stretch(wire: DayHours | pb.TimeStretch, field: str) -> tuple[int, int]:
    start = minute_of_start(wire.start_time, f"{field}.start_time")
    end = minute_of_day(wire.end_time, f"{field}.end_time")
    return start, end if start < end else end + DAY_MINUTES


def _off(wire: TimeOff, field: str) -> Off:
    if wire.HasField("dates"):
        first = from_date(wire.dates.first_date, f"{field}.dates.first_date")
        last = from_date(wire.dates.last_date, f"{field}.dates.last_date")
        if last < first:
            raise HoursInvalid(Violation(f"{field}.dates.last_date", "BEFORE_START", "is before first_date"))
        return Days(first, last)
    slot = Slot(to_instant(wire.interval.start_time), to_instant(wire.interval.end_time))
    if slot.end <= slot.start:
        raise HoursInvalid(Violation(f"{field}.interval.end_time", "BEFORE_START", "is not after start_time"))
    return slot


def _end(minute: int) -> TimeOfDay:
    return time_of_day(minute if minute <= DAY_MINUTES else minute - DAY_MINUTES)


def time_of_day(minute: int) -> TimeOfDay:
    return TimeOfDay(hours=minute // 60, minutes=minute % 60)
