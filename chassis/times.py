"""Instants, in UTC inside and Timestamp on the wire; days, as google.type.Date.

Timestamp's own conversions are Python and take five times as long: a booking of six visits makes forty.
"""

from datetime import UTC, date, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from chassis.errors import BadRequest, NoInstant, Violation

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_S, NANOS = 86_400, 1_000_000_000
YEARS = range(2, 9999)
"""Of days and instants that are taken from outside: with a year at either end of the calendar to reckon in, for zones,
shifts over midnight and windows."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def to_timestamp(instant: datetime) -> Timestamp:
    assert instant.tzinfo, "an instant has a zone"
    since = instant - EPOCH
    return Timestamp(seconds=since.days * DAY_S + since.seconds, nanos=since.microseconds * 1000)


def to_instant(timestamp: Timestamp) -> datetime:
    """Refuses what is no instant of YEARS. What is finer than a microsecond is cut off."""
    try:
        if not 0 <= timestamp.nanos < NANOS:
            raise ValueError(timestamp.nanos)
        instant = EPOCH + timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1000)
        if instant.year not in YEARS:
            raise ValueError(instant.year)
    except (ValueError, OverflowError):
        raise NoInstant() from None
    return instant


def is_instant(timestamp: Timestamp) -> bool:
    try:
        to_instant(timestamp)
    except NoInstant:
        return False
    return True


def to_date(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)


def from_date(wire: Date, field: str) -> date:
    """`field` is named if there is no such day, as 30 February or a month without a day, or none of YEARS."""
    try:
        day = date(wire.year, wire.month, wire.day)
    except ValueError:
        raise BadRequest(Violation(field, "date.exists", "is not a day of the calendar")) from None
    if day.year not in YEARS:
        raise BadRequest(Violation(field, "date.years", f"is not of the years {YEARS[0]} to {YEARS[-1]}"))
    return day
