"""The days that the package of all the world's holidays knows, as they are written down here."""

import io
from datetime import date

from chassis.federal_holidays import DAYS_FILE, FIRST_YEAR, LAST_YEAR, FederalHoliday, federal_holidays
from tools.holidays import write


def test_the_file_is_what_the_package_says() -> None:
    said = io.StringIO()
    write(said)
    assert DAYS_FILE.read_text() == said.getvalue(), "write it anew by `python -m tools.holidays`"


def test_a_holiday_stands_on_its_day_and_on_the_weekday_observed_instead() -> None:
    late = [each for each in federal_holidays(2027) if each.day >= date(2027, 12, 1)]
    christmas, new_year = "Christmas Day", "New Year's Day"
    assert late == [
        FederalHoliday(date(2027, 12, 24), christmas),
        FederalHoliday(date(2027, 12, 25), christmas),
        FederalHoliday(date(2027, 12, 31), new_year),  # Of 2028, which begins on a Saturday.
    ]


def test_of_years_beyond_the_file_none_are_known() -> None:
    assert federal_holidays(FIRST_YEAR - 1) == federal_holidays(LAST_YEAR + 1) == ()
