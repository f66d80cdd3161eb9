"""Instants, in UTC inside and Timestamp on the wire; days, as google.type.Date.

Timestamp's own conversions are Python and take five times as long: a booking of six visits makes forty.
"""

from datetime import UTC, date, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from chassis.errors import BadRequest, Violation

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_S, NANOS = 86_400, 1_000_000_000


def utc_now() -> datetime:
    return datetime.now(UTC)


def to_timestamp(instant: datetime) -> Timestamp:
    assert instant.tzinfo, "an instant has a zone"
    since = instant - EPOCH
    return Timestamp(seconds=since.days * DAY_S + since.seconds, nanos=since.microseconds * 1000)


def to_instant(timestamp: Timestamp) -> datetime:
    """Refuses what is no instant between the years 1 and 9999. What is finer than a microsecond is cut off."""
    try:
        if not 0 <= timestamp.nanos < NANOS:
            raise ValueError(timestamp.nanos)
        return EPOCH + timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1000)
    except (ValueError, OverflowError):
        raise BadRequest() from None


def is_instant(timestamp: Timestamp) -> bool:
    try:
        to_instant(timestamp)
    except BadRequest:
        return False
    return True


def to_date(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)


def from_date(wire: Date, field: str) -> date:
    """`field` is named if there is no such day, as 30 February or a month without a day."""
    try:
        return date(wire.year, wire.month, wire.day)
    except ValueError:
        raise BadRequest(Violation(field, "date.exists", "is not a day of the calendar")) from None
