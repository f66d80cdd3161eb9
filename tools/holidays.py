"""Writes chassis/federal_holidays.csv from the package `holidays`: `python -m tools.holidays`, when the law changes."""

import csv
import sys
from collections.abc import Iterator
from typing import TextIO

from holidays import country_holidays

from chassis.federal_holidays import DAYS_FILE, FIRST_YEAR, LAST_YEAR, FederalHoliday

OBSERVED = " (observed)"
"""Stands behind the package's name for the weekday that is observed instead."""


def holidays_of(year: int) -> Iterator[FederalHoliday]:
    for day, names in sorted(country_holidays("US", years=year).items()):
        for name in sorted(each.removesuffix(OBSERVED) for each in names.split("; ")):
            yield FederalHoliday(day, name)


def write(file: TextIO) -> None:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(FederalHoliday._fields)
    rows.writerows(each for year in range(FIRST_YEAR, LAST_YEAR + 1) for each in holidays_of(year))


if __name__ == "__main__":
    with DAYS_FILE.open("w", newline="") as file:
        write(file)
    sys.stdout.write(f"{DAYS_FILE}\n")
