"""Python's own values where a message has google.type's or google.protobuf's, and back."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID, uuid5

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from google.type.money_pb2 import Money
from google.type.timeofday_pb2 import TimeOfDay

InstantLike: TypeAlias = datetime | Timestamp
"""A datetime needs a zone: without one nobody knows which instant it is."""
DateLike: TypeAlias = date | Date
TimeLike: TypeAlias = time | TimeOfDay
DurationLike: TypeAlias = timedelta | Duration
MaskLike: TypeAlias = Iterable[str] | FieldMask

MINOR_DIGITS: Mapping[str, int] = {"USD": 2}
"""ISO 4217 exponents of the currencies that the API handles."""
NANOS = 1_000_000_000
NAMES = UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 9562's namespace for names that are URLs.


def to_wire(value: Any) -> Any:
    """An argument of a call as protobuf takes it; what protobuf takes by itself is left as it is."""
    match value:
        case datetime():
            return to_timestamp(value)
        case date():
            return to_date(value)
        case time():
            return TimeOfDay(hours=value.hour, minutes=value.minute, seconds=value.second)
        case timedelta():
            duration = Duration()
            duration.FromTimedelta(value)
            return duration
        case str() | bytes() | Mapping() | Message():
            return value
        case Iterable():
            return [to_wire(each) for each in value]
        case _:
            return value


def to_mask(paths: MaskLike | None) -> FieldMask | None:
    """Of an update: the names of the fields that it changes."""
    if paths is None or isinstance(paths, FieldMask):
        return paths
    if isinstance(paths, str):
        raise TypeError('an update_mask is a list of names: ["language"]')
    return FieldMask(paths=paths)


def to_timestamp(instant: datetime) -> Timestamp:
    if instant.tzinfo is None:
        raise ValueError("an instant needs a zone: datetime(..., tzinfo=ZoneInfo(site.time_zone))")
    timestamp = Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp


def from_timestamp(timestamp: Timestamp, zone: tzinfo = UTC) -> datetime:
    """`zone`: ZoneInfo(site.time_zone), to show what clocks at the site show."""
    return timestamp.ToDatetime(tzinfo=UTC).astimezone(zone)


def to_date(day: date) -> Date:
    """For messages inside of a request; an argument of a call takes a date as it is."""
    return Date(year=day.year, month=day.month, day=day.day)


def from_date(day: Date) -> date:
    return date(day.year, day.month, day.day)


def to_money(amount: Decimal | str | int, currency: str = "USD") -> Money:
    """From "150.00" or Decimal("150.00"); an int is whole units. Refuses floats, and fractions of a minor unit."""
    if isinstance(amount, float):
        raise TypeError("money is no float: give a string or a Decimal")
    minor = Decimal(amount).scaleb(MINOR_DIGITS[currency])
    if minor != minor.to_integral_value():
        raise ValueError(f"{amount} is not a whole number of {currency}'s minor units")
    return from_minor(int(minor), currency)


def from_minor(minor: int, currency: str = "USD") -> Money:
    """From cents: 15000 is 150.00."""
    per_unit, sign = 10 ** MINOR_DIGITS[currency], -1 if minor < 0 else 1
    units, rest = divmod(abs(minor), per_unit)
    return Money(currency_code=currency, units=sign * units, nanos=sign * rest * (NANOS // per_unit))


def to_minor(money: Money) -> int:
    """In cents, to reckon with: integers add up exactly."""
    return int(to_decimal(money).scaleb(MINOR_DIGITS[money.currency_code]))


def to_decimal(money: Money) -> Decimal:
    """To show: Decimal("150.00")."""
    exact = Decimal(money.units) + Decimal(money.nanos) / NANOS
    return exact.quantize(Decimal(1).scaleb(-MINOR_DIGITS[money.currency_code]))


def request_id_for(*names: object) -> str:
    """The same id for the same names, as `request_id_for("order", 17, "book")`: a program that crashed and runs again
    sends what it sent before, and is answered what it was answered before, for seven days."""
    return str(uuid5(NAMES, "/".join(str(name) for name in names)))
