"""US business days: Monday to Friday less federal holidays (5 U.S.C. 6103), on the days on which they are observed,
and less what a site makes of them.

Days are a site's own. Inauguration Day is left out: it is a holiday around Washington only.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
MONDAY, THURSDAY, SATURDAY, SUNDAY = 0, 3, 5, 6


@cache
def federal_holidays(year: int) -> frozenset[date]:
    """Those of `year`, as they are observed: New Year's may be on the last day of the year before."""
    return frozenset(
        {
            _observed(date(year, 1, 1)),
            _nth(3, MONDAY, year, 1),  # Martin Luther King, Jr.
            _nth(3, MONDAY, year, 2),  # Washington's Birthday
            _nth(1, MONDAY, year, 6) - timedelta(days=7),  # Memorial Day: the last Monday of May
            _observed(date(year, 6, 19)),  # Juneteenth
            _observed(date(year, 7, 4)),
            _nth(1, MONDAY, year, 9),  # Labor Day
            _nth(2, MONDAY, year, 10),  # Columbus Day
            _observed(date(year, 11, 11)),  # Veterans Day
            _nth(4, THURSDAY, year, 11),  # Thanksgiving
            _observed(date(year, 12, 25)),
        }
    )


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
        return day in self.open or day not in federal_holidays(day.year) | federal_holidays(day.year + 1)

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


def _nth(n: int, weekday: int, year: int, month: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def _observed(day: date) -> date:
    """A holiday on a Saturday is observed the day before, one on a Sunday the day after."""
    shift = {SATURDAY: -DAY, SUNDAY: DAY}
    return day + shift.get(day.weekday(), timedelta())
