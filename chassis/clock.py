"""Business time. Whatever a rule calls "now" comes from here by way of `Call.now`.

Timeouts, leases, token expiry and housekeeping stay on real time. In development ATOLL_CLOCK may name a file that
drives business time in all processes at once: `2027-03-01T16:00:00+00:00 60` is an instant and a rate, in seconds of
business time per second since the file was written; rate 0 stands still.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from chassis.settings import Settings
from chassis.times import utc_now

Clock = Callable[[], datetime]


def business_clock(settings: Settings) -> Clock:
    if settings.clock is None:
        return utc_now
    if settings.production:
        raise RuntimeError("ATOLL_CLOCK is refused in production mode")
    return FileClock(settings.clock)


class FileClock:
    """Follows the file from one reading to the next: a changed file is seen at once."""

    def __init__(self, path: Path) -> None:
        self._path, self._seen = path, (-1, -1)
        self._instant, self._rate, self._written = utc_now(), 1.0, utc_now()

    def __call__(self) -> datetime:
        status = self._path.stat()
        seen = status.st_mtime_ns, status.st_ino  # A file system's clock may stand still between two changes.
        if seen != self._seen:
            instant, rate = self._path.read_text().split()
            self._instant, self._rate = datetime.fromisoformat(instant), float(rate)
            self._written = datetime.fromtimestamp(status.st_mtime_ns / 1e9, tz=self._instant.tzinfo)
            self._seen = seen
        return self._instant + self._rate * max(utc_now() - self._written, timedelta())


def set_clock(path: Path, instant: datetime, rate: float = 0.0) -> None:
    """Replaces the file in one step, so that no reader sees half of it."""
    draft = path.with_suffix(".draft")
    draft.write_text(f"{instant.isoformat()} {rate}")
    draft.replace(path)
