"""A run of an import on disk: its report, and where it is, so that one that was cut off goes on.

The state stands beside the report. It names its files by what is in them: one that changed is not gone on with.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

from cli.importing.batches import Settled
from cli.importing.places import Place
from cli.importing.report import COLUMNS, Entry, Summary, csv_line
from cli.private import open_private
from deploy.local.files import write_whole
from deploy.local.process import LocalError


@dataclass
class Run:
    """`options` are what must be the same when it goes on."""

    report: Path
    files: Sequence[Path]
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.id, self.summary = str(uuid4()), Summary()
        self.start: Settled | None = None
        self._state = self.report.with_name(f"{self.report.name}.state")
        self._hashes = [[str(file), _hash(file)] for file in self.files]
        self._report: TextIO | None = None

    @property
    def row(self) -> str:
        """Where it goes on, for a person."""
        assert self.start
        after = self.start.after
        return f"row {after.row:,} of {self.files[after.file]}" if after.file < len(self.files) else "the end"

    def resume(self) -> bool:
        """Goes on where an earlier run was cut off, if one was."""
        if not self._state.exists():
            return False
        try:
            told = json.loads(self._state.read_text())
            self.id, self.start = told["run"], Settled(Place(**told["after"]), told["assigned"])
            self.summary = Summary.from_json(told["summary"])
            hashes, options, size = told["files"], told["options"], told["report_bytes"]
        except (ValueError, KeyError, TypeError) as error:
            raise LocalError(f"{self._state} is no state of an import: {HOW_TO_RESTART}") from error
        self._check(hashes, options)
        if not self.report.exists() or self.report.stat().st_size < size:
            raise LocalError(f"{self.report} is not the report of the import that was cut off: {HOW_TO_RESTART}")
        os.truncate(self.report, size)
        return True

    def _check(self, hashes: Sequence[Sequence[str]], options: Mapping[str, Any]) -> None:
        where = f"since the import was cut off at {self.row}" if self.start else ""
        before, now = ({name: hash_ for name, hash_ in each} for each in (hashes, self._hashes))
        changed = [name for name in now if name in before and before[name] != now[name]]
        if changed:
            raise LocalError(f"{changed[0]} changed {where}: {HOW_TO_RESTART}")
        if list(before) != list(now):
            raise LocalError(f"there are other files {where}: {HOW_TO_RESTART}")
        if different := sorted(name for name in self.options if self.options[name] != options.get(name)):
            raise LocalError(f"--{different[0].replace('_', '-')} is not as it was {where}: {HOW_TO_RESTART}")

    @contextmanager
    def opened(self) -> Iterator["Run"]:
        """Names of files may be names of patients: only whoever imports reads the report."""
        with open_private(self.report, "a" if self.start else "w") as file:
            self._report = file
            if not self.start and self._is_csv:
                file.write(csv_line(COLUMNS))
            yield self

    def end(self) -> None:
        """It is through: there is nothing to go on with."""
        self._state.unlink(missing_ok=True)

    @property
    def _is_csv(self) -> bool:
        return self.report.suffix == ".csv"

    def tell(self, entry: Entry) -> None:
        assert self._report
        self._report.write(entry.csv_line() if self._is_csv else entry.line())

    def settled(self, settled: Settled) -> None:
        assert self._report
        self._report.flush()
        told = {
            "run": self.id,
            "options": self.options,
            "files": self._hashes,
            "after": asdict(settled.after),
            "assigned": settled.assigned,
            "report_bytes": os.fstat(self._report.fileno()).st_size,
            "summary": self.summary.as_json(),
        }
        write_whole(self._state, json.dumps(told))


HOW_TO_RESTART = "import from the beginning with --restart; nobody is added twice"


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
