"""US business days: Monday to Friday less federal holidays (5 U.S.C. 6103), on the days on which they are observed,
as the package `holidays` reckons them, and less what a site makes of them.

Days are a site's own. Inauguration Day is left out: it is a holiday around Washington only.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from holidays import country_holidays

DAY = timedelta(days=1)
SATURDAY = 5
OBSERVED = " (observed)"
"""Stands behind the name on the weekday that federal offices observe instead of a day of the weekend."""
NAMES = frozenset(
    {
        "New Year's Day",
        "Martin Luther King Jr. Day",
        "Washington's Birthday",
        "Memorial Day",
        "Juneteenth National Independence Day",
        "Independence Day",
        "Labor Day",
        "Columbus Day",
        "Veterans Day",
        "Thanksgiving Day",
        "Christmas Day",
    }
)
"""The package's own names."""


@cache
def federal_holidays(year: int) -> frozenset[date]:
    """The days of `year`, Monday to Friday, on which one is observed: New Year's may be on the last of December."""
    return frozenset(
        day
        for day, names in country_holidays("US", years=year).items()
        if day.weekday() < SATURDAY and any(name.removesuffix(OBSERVED) in NAMES for name in names.split("; "))
    )


federal_holidays(2000)  # The package loads what it knows of a country when first asked, for a second: not in a call.


@dataclass(frozen=True, slots=True)
class BusinessCalendar:
    """Of a site: Monday to Friday less federal holidays, with its own exceptions."""

    closed: frozenset[date] = frozenset()
    """Days that would be business days, and are none here."""
    open: frozenset[date] = frozenset()
    """Federal holidays on which the site does business."""

    def is_business_day(self, day: date) -> bool:
        if day.weekday() >= SATURDAY or day in self.closed:
            return False
        return day in self.open or day not in federal_holidays(day.year)

    def after(self, day: date, count: int) -> date:
        """The last of the first `count` business days after `day`, which itself does not count."""
        return self._last(count, day, DAY)

    def before(self, day: date, count: int) -> date:
        """The first of the last `count` business days before `day`, which itself does not count."""
        return self._last(count, day, -DAY)

    def _last(self, count: int, day: date, step: timedelta) -> date:
        while count:
            day += step
            count -= self.is_business_day(day)
        return day


def end_of(day: date, zone: ZoneInfo) -> datetime:
    """The first instant that is no longer `day` in the zone. Where clocks skip midnight, that is when they do."""
    return datetime.combine(day + DAY, time(), zone).astimezone(UTC)
