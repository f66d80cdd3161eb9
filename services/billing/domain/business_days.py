"""US business days: Monday to Friday less federal holidays (5 U.S.C. 6103), on the days on which they are observed,
and less what a site makes of them. Days are a site's own.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from chassis.federal_holidays import federal_holidays

DAY = timedelta(days=1)
SATURDAY = 5


@cache
def federal_days_off(year: int) -> frozenset[date]:
    """The days of `year`, Monday to Friday, on which one is observed: New Year's may be on the last of December."""
    return frozenset(each.day for each in federal_holidays(year) if each.day.weekday() < SATURDAY)


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
        return day in self.open or day not in federal_days_off(day.year)

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
