"""Hours on the wire: google.type.TimeOfDay and DayOfWeek, as minutes of a week."""

from collections.abc import Iterable, Iterator

from google.type.dayofweek_pb2 import DayOfWeek
from google.type.interval_pb2 import Interval
from google.type.timeofday_pb2 import TimeOfDay

from atoll.scheduling.v1.hours_pb2 import DateRange, DayHours, TimeOff
from chassis.errors import Violation
from chassis.times import from_date, to_date, to_instant, to_timestamp
from services.scheduling.domain.hours import DAY_MINUTES, Days, HoursInvalid, Off, Shift, Slot


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


def shifts_from_wire(wire: Iterable[DayHours], field: str) -> tuple[Shift, ...]:
    return tuple(_shift(each, f"{field}[{n}]") for n, each in enumerate(wire))


def shifts_to_wire(shifts: Iterable[Shift]) -> Iterator[DayHours]:
    for shift in shifts:
        end = shift.end if shift.end <= DAY_MINUTES else shift.end - DAY_MINUTES
        yield DayHours(day=DayOfWeek.ValueType(shift.weekday + 1), start_time=_time(shift.start), end_time=_time(end))


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
    start = minute_of_day(wire.start_time, f"{field}.start_time") % DAY_MINUTES
    end = minute_of_day(wire.end_time, f"{field}.end_time")
    return Shift(weekday_of(wire.day), start, end if start < end else end + DAY_MINUTES)


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


def _time(minute: int) -> TimeOfDay:
    return TimeOfDay(hours=minute // 60, minutes=minute % 60)
