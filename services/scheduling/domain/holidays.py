"""Federal holidays of the United States, as sites name those that they observe."""

from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from functools import cache

from chassis.federal_holidays import federal_holidays


class Holiday(StrEnum):
    NEW_YEARS_DAY = "HOLIDAY_NEW_YEARS_DAY"
    MARTIN_LUTHER_KING_JR_DAY = "HOLIDAY_MARTIN_LUTHER_KING_JR_DAY"
    WASHINGTONS_BIRTHDAY = "HOLIDAY_WASHINGTONS_BIRTHDAY"
    MEMORIAL_DAY = "HOLIDAY_MEMORIAL_DAY"
    JUNETEENTH = "HOLIDAY_JUNETEENTH"
    INDEPENDENCE_DAY = "HOLIDAY_INDEPENDENCE_DAY"
    LABOR_DAY = "HOLIDAY_LABOR_DAY"
    COLUMBUS_DAY = "HOLIDAY_COLUMBUS_DAY"
    VETERANS_DAY = "HOLIDAY_VETERANS_DAY"
    THANKSGIVING_DAY = "HOLIDAY_THANKSGIVING_DAY"
    CHRISTMAS_DAY = "HOLIDAY_CHRISTMAS_DAY"


NAMES = {
    "New Year's Day": Holiday.NEW_YEARS_DAY,
    "Martin Luther King Jr. Day": Holiday.MARTIN_LUTHER_KING_JR_DAY,
    "Washington's Birthday": Holiday.WASHINGTONS_BIRTHDAY,
    "Memorial Day": Holiday.MEMORIAL_DAY,
    "Juneteenth National Independence Day": Holiday.JUNETEENTH,
    "Independence Day": Holiday.INDEPENDENCE_DAY,
    "Labor Day": Holiday.LABOR_DAY,
    "Columbus Day": Holiday.COLUMBUS_DAY,
    "Veterans Day": Holiday.VETERANS_DAY,
    "Thanksgiving Day": Holiday.THANKSGIVING_DAY,
    "Christmas Day": Holiday.CHRISTMAS_DAY,
}


def days_of(years: Iterable[int]) -> Iterable[tuple[date, Holiday]]:
    """The days of these years that are holidays, or observed instead of one: New Year's Day may be in December."""
    return [each for year in years for each in _days_of(year)]


@cache
def _days_of(year: int) -> tuple[tuple[date, Holiday], ...]:
    return tuple((day, NAMES[name]) for day, name in federal_holidays(year))
