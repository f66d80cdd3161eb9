"""What a file tells, as it tells it now: read anew when it has changed, as secrets are that stand in no table."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger()
T = TypeVar("T")


class WatchedFile(Generic[T]):
    """One that cannot be read, or that holds what is refused, changes nothing."""

    def __init__(self, path: Path, parse: Callable[[bytes], T], first: T) -> None:
        """`parse` may raise ValueError; `first` is what holds until the file was read."""
        self._path, self._parse, self._seen = path, parse, 0
        self.content = first

    def changed(self) -> bool:
        """Whether it tells something else than it did; looks at the file's time."""
        try:
            if (seen := self._path.stat().st_mtime_ns) == self._seen:
                return False
            self._seen = seen
            self.content = self._parse(self._path.read_bytes())
        except (OSError, ValueError) as error:
            log.error("file.unreadable", file=self._path.name, error=type(error).__name__)
            return False
        return True
