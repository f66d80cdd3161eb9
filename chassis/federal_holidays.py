"""Federal holidays of the United States (5 U.S.C. 6103): each on its day, and on the weekday that federal offices
observe instead of a day of the weekend.

The days stand in federal_holidays.csv, written by `python -m tools.holidays` from the package `holidays`, and a test
holds the file to it. The package itself loads every country of the world before it answers for one: 10 MB and a second
in each process that asks.
"""

import csv
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import NamedTuple

DAYS_FILE = Path(__file__).with_suffix(".csv")
FIRST_YEAR, LAST_YEAR = 2000, 2100
"""Of other years none are known; the package ends there as well."""


class FederalHoliday(NamedTuple):
    day: date
    name: str
    """As the package has it, less " (observed)". Inauguration Day is none: it is a holiday around Washington only."""


def federal_holidays(year: int) -> Sequence[FederalHoliday]:
    """The days of `year`, the earliest first: New Year's Day may be observed on the last of December."""
    return _by_year().get(year, ())


@cache
def _by_year() -> Mapping[int, Sequence[FederalHoliday]]:
    with DAYS_FILE.open(newline="") as file:
        holidays = [FederalHoliday(date.fromisoformat(row["day"]), row["name"]) for row in csv.DictReader(file)]
    years = range(FIRST_YEAR, LAST_YEAR + 1)
    return {year: tuple(each for each in holidays if each.day.year == year) for year in years}
