"""Money: integer minor units and a currency inside, google.type.Money on the wire. No floats anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import total_ordering
from typing import Self

from google.type import money_pb2

from chassis.errors import BadRequest, Violation

NANOS = 1_000_000_000
MINOR_DIGITS = {"USD": 2}
"""ISO 4217 exponents of the currencies that are handled."""
MINOR_MAX = 10**14
"""Above it no sum is taken from outside: far above any price, far below what a column holds."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Money:
    minor: int
    currency: str = "USD"

    def __add__(self, other: Self) -> Self:
        self._same_currency(other)
        return type(self)(self.minor + other.minor, self.currency)

    def __sub__(self, other: Self) -> Self:
        return self + -other

    def __neg__(self) -> Self:
        return type(self)(-self.minor, self.currency)

    def __mul__(self, count: int) -> Self:
        return type(self)(self.minor * count, self.currency)

    def __lt__(self, other: Self) -> bool:
        self._same_currency(other)
        return self.minor < other.minor

    def split(self, weights: Sequence[int]) -> list[Self]:
        """Parts in proportion to `weights` that add up to this exactly; a negative amount mirrors the positive one.

        Each part is rounded towards zero; what is left goes, a minor unit each, to those that rounding took most from,
        the first of equal ones. A weight of zero gets nothing. ValueError: a weight is negative, or none is above zero.
        """
        whole = sum(weights)
        if whole <= 0 or min(weights) < 0:
            raise ValueError("weights are zero or more, and one at least is more")
        sign = -1 if self.minor < 0 else 1
        shares = [divmod(abs(self.minor) * weight, whole) for weight in weights]
        left = abs(self.minor) - sum(minor for minor, _ in shares)
        most_cut = set(sorted(range(len(shares)), key=lambda place: -shares[place][1])[:left])
        parts = [minor + (place in most_cut) for place, (minor, _) in enumerate(shares)]
        return [type(self)(sign * minor, self.currency) for minor in parts]

    def _same_currency(self, other: Self) -> None:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} have no common measure")


def to_wire(money: Money) -> money_pb2.Money:
    units, rest = divmod(abs(money.minor), _minor_per_unit(money.currency))
    sign = -1 if money.minor < 0 else 1
    nanos = rest * (NANOS // _minor_per_unit(money.currency))
    return money_pb2.Money(currency_code=money.currency, units=sign * units, nanos=sign * nanos)


def from_wire(wire: money_pb2.Money, field: str) -> Money:
    """Refuses, naming `field`: an unknown currency, fractions of a minor unit, units and nanos of different signs."""
    if wire.currency_code not in MINOR_DIGITS:
        raise BadRequest(Violation(f"{field}.currency_code", "money.currency", "is not a currency handled here"))
    per_unit = _minor_per_unit(wire.currency_code)
    minor, fraction = divmod(abs(wire.nanos), NANOS // per_unit)
    if fraction or abs(wire.nanos) >= NANOS:
        raise BadRequest(Violation(f"{field}.nanos", "money.minor_units", "is not a whole number of minor units"))
    if wire.units * wire.nanos < 0:
        raise BadRequest(Violation(f"{field}.nanos", "money.sign", "has another sign than units"))
    sign, total = -1 if wire.units < 0 or wire.nanos < 0 else 1, abs(wire.units) * per_unit + minor
    if total > MINOR_MAX:
        raise BadRequest(Violation(f"{field}.units", "money.max", "is more than is handled here"))
    return Money(sign * total, wire.currency_code)


def _minor_per_unit(currency: str) -> int:
    return int(10 ** MINOR_DIGITS[currency])
