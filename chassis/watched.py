"""What a file tells, as it tells it now: read anew when it has changed, as secrets are that stand in no table."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger()
T = TypeVar("T")


class WatchedFile(Generic[T]):
    """One that cannot be read, or that holds what is refused, changes nothing, and is tried again at the next look: it
    may have been half written."""

    def __init__(self, path: Path, parse: Callable[[bytes], T], first: T) -> None:
        """`parse` may raise ValueError; `first` is what holds until the file was read."""
        self._path, self._parse = path, parse
        self._read_at: int | None = None
        self._trouble: tuple[str, int | None] | None = None
        self.content = first

    def changed(self) -> bool:
        """Whether it tells something else than it did; looks at the file's time."""
        written_at = None
        try:
            written_at = self._path.stat().st_mtime_ns
            as_it_was = written_at == self._read_at
            if not as_it_was:
                self.content = self._parse(self._path.read_bytes())
        except (OSError, ValueError) as error:
            self._tell(type(error).__name__, written_at)
            return False
        self._read_at, self._trouble = written_at, None
        return not as_it_was

    def _tell(self, error: str, written_at: int | None) -> None:
        """Once, until it changes: whoever sends looks many times a second."""
        if (trouble := (error, written_at)) != self._trouble:
            log.error("file.unreadable", file=self._path.name, error=error)
        self._trouble = trouble


class Named(Generic[T]):
    """What is told by name: what is given, and what a file tells beside it, as it tells it now."""

    def __init__(
        self,
        given: Mapping[str, T],
        file: WatchedFile[dict[str, T]] | None = None,
        let_go: Callable[[str], object] = lambda name: None,
    ) -> None:
        """`let_go` hears of each name that tells something else than it did, or nothing any more."""
        self._given, self._told, self._file, self._let_go = given, given, file, let_go

    @property
    def now(self) -> Mapping[str, T]:
        if self._file and self._file.changed():
            before, self._told = self._told, {**self._given, **self._file.content}
            for name, told in before.items():
                if self._told.get(name) != told:
                    self._let_go(name)
        return self._told

    @property
    def none_ever(self) -> bool:
        """Whether there is none, and never will be one."""
        return self._file is None and not self._given
