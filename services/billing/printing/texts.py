"""Amounts and days as documents show them."""

from datetime import date
from fractions import Fraction

from chassis.money import Money

MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905
PPM_PER_PERCENT = 10_000


def money(amount: Money) -> str:
    """`-$1,234.50`"""
    dollars, cents = divmod(abs(amount.minor), 100)
    return f"{'-' if amount.minor < 0 else ''}${dollars:,}.{cents:02}"


def day(shown: date) -> str:
    """`March 1, 2027`"""
    return f"{MONTHS[shown.month - 1]} {shown.day}, {shown.year}"


def percent(rate_ppm: int) -> str:
    """`7.625%`, without zeros at its end."""
    whole, rest = divmod(Fraction(rate_ppm), PPM_PER_PERCENT)
    return f"{whole}.{int(rest):04}".rstrip("0").rstrip(".") + "%"
