"""The hours of the day in which a message may reach somebody, and those that are quiet."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

EVENING = time(19)
"""No later is what moves to the evening before, however long the hours are."""


@dataclass(frozen=True, slots=True)
class SendingHours:
    """The hours of the day in which a message may reach its recipient; all others are quiet."""

    begin: time = time(8)
    end: time = time(20)

    @property
    def evening(self) -> time:
        """Where a message goes that moves to the evening before: time is left for attempts, an hour where there is."""
        last = self.end.replace(hour=self.end.hour - 1)
        return max(self.begin, min(EVENING, last))

    def allow(self, instant: datetime, zone: ZoneInfo) -> bool:
        return self.begin <= instant.astimezone(zone).time() < self.end

    def next(self, instant: datetime, zone: ZoneInfo) -> datetime:
        """`instant`, or when sending begins again after it."""
        local = instant.astimezone(zone)
        if self.allow(instant, zone):
            return instant
        day = local.date() if local.time() < self.begin else local.date() + timedelta(days=1)
        return at(day, self.begin, zone)

    def previous(self, instant: datetime, zone: ZoneInfo) -> datetime:
        """`instant`, or the evening before it, within these hours."""
        local = instant.astimezone(zone)
        if self.allow(instant, zone):
            return instant
        day = local.date() - timedelta(days=1) if local.time() < self.begin else local.date()
        return at(day, self.evening, zone)


HOURS = SendingHours()


def at(day: date, wall: time, zone: ZoneInfo) -> datetime:
    """The instant of a wall time: of one that occurs twice the first, of one that is skipped as much later as the gap
    is long."""
    return datetime.combine(day, wall, zone).astimezone(UTC)
