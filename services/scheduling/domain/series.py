"""Visits that recur by the wall clock: on which days, and when that is."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind, Violation
from services.scheduling.domain.courses import OutsideHours, refuse
from services.scheduling.domain.hours import DAY, MINUTE, Hours, Slot

SERIES_DAYS_MAX = 400
"""From the first day to the last: no more than 58 visits, one a week."""


class SeriesInvalid(DomainError):
    kind, reason = Kind.INVALID, "SERIES_INVALID"
    message = "the series has no visit, or goes on for more than 400 days"


class LocalTimeUnclear(DomainError):
    kind, reason = Kind.INVALID, "LOCAL_TIME_UNCLEAR"
    message = "on a day of the series clocks show its time twice, or not at all"


@dataclass(frozen=True, slots=True)
class Series:
    first: date
    minute_of_day: int
    interval_weeks: int
    count: int | None
    """None: until the last day."""
    last: date | None
    skip_closed_days: bool

    def starts(self, site: Hours, length: timedelta) -> tuple[datetime, ...]:
        """The instants at which its visits, of this length, start. What is closed is the site's: closures, holidays and
        days with hours of their own, not nights and weekends, which every week has."""
        end = self.first + SERIES_DAYS_MAX * DAY
        if self.last is not None and not self.first <= self.last <= end:
            text = f"is before first_date, or more than {SERIES_DAYS_MAX} days after it"
            raise SeriesInvalid(Violation("until_date", "SERIES_INVALID", text))
        chosen = list[date]()
        closed = list[date]()
        for day in self._days(self.last or end):
            off = _is_closed(site, day, self.minute_of_day, length)
            if off:
                closed.append(day)
            if not (off and self.skip_closed_days):
                chosen.append(day)
            if len(chosen) == self.count:
                break
        if self.count is not None and len(chosen) < self.count:
            text = f"only {len(chosen)} visits are on open days within {SERIES_DAYS_MAX} days"
            raise SeriesInvalid(Violation("visit_count", "SERIES_INVALID", text))
        if not chosen:
            raise SeriesInvalid(Violation("until_date", "SERIES_INVALID", "the site is closed on each day until then"))
        if not self.skip_closed_days:
            refuse(OutsideHours, (_fault("SITE_CLOSED", day) for day in closed))
        refuse(LocalTimeUnclear, _unclear(site.zone, chosen, self.minute_of_day))
        return tuple(_instant(site.zone, day, self.minute_of_day) for day in chosen)

    def _days(self, last: date) -> Iterator[date]:
        day = self.first
        while day <= last:
            yield day
            day += self.interval_weeks * 7 * DAY


def _wall(day: date, minute: int) -> datetime:
    return datetime.combine(day, time()) + minute * MINUTE


def _instant(zone: ZoneInfo, day: date, minute: int) -> datetime:
    return _wall(day, minute).replace(tzinfo=zone).astimezone(UTC)


def _is_closed(site: Hours, day: date, minute: int, length: timedelta) -> bool:
    start = _instant(site.zone, day, minute)
    return site.are_off(Slot(start, start + length))


def _unclear(zone: ZoneInfo, days: list[date], minute: int) -> Iterator[Violation]:
    """Clocks jump over a skipped time; of a doubled one nobody knows which is meant."""
    for day in days:
        wall = _wall(day, minute)
        one, other = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
        if one.utcoffset() == other.utcoffset():
            continue
        is_shown = one.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall
        yield _fault("DOUBLED_HOUR" if is_shown else "SKIPPED_HOUR", day)


def _fault(rule: str, day: date) -> Violation:
    return Violation("start_time_of_day", rule, f"on {day}")
