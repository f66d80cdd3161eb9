"""What became of each row of an import, for files and for the screen."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from cli.readings import Remark

REFUSED_SHOWN_MAX = 20
COLUMNS = ("file", "row", "source_id", "outcome", "patient_id", "home_site_id", "faults", "notes")


class Outcome(StrEnum):
    CREATED = "created"
    ALREADY_THERE = "already there"
    REFUSED = "refused"
    REPLACED = "taken into another"
    """A record that another one of the files replaces, and is told with that."""
    SKIPPED = "skipped"
    """A resource that is no patient."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one row, or of a document of which nothing could be read. Holds nothing of what a row told."""

    file: str
    row: int
    outcome: Outcome
    patient_id: str = ""
    home_site_id: str = ""
    source_id: str = ""
    faults: Sequence[Remark] = ()
    notes: Sequence[Remark] = ()
    others: Mapping[str, int] = field(default_factory=dict)  # Resources of other types in the document.

    def line(self) -> str:
        """For a report in JSON lines."""
        told = {name: value for name in _NAMES if (value := getattr(self, name))}
        return _encode(told) + "\n"

    def csv_line(self) -> str:
        """For a report that a spreadsheet opens."""
        lists = (_told(self.faults), _told(self.notes))
        named = self.file, self.row, self.source_id, self.outcome.value, self.patient_id, self.home_site_id
        return csv_line((*named, *lists))


_NAMES = [each.name for each in fields(Entry)]
_encode = json.JSONEncoder(
    ensure_ascii=False, default=lambda told: dict(told) if isinstance(told, Mapping) else asdict(told)
).encode
"""Made once, and of an entry takes what it has: an import leaves a line for each row."""


def csv_line(values: Sequence[object]) -> str:
    text = StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue()


def _told(remarks: Sequence[Remark]) -> str:
    return "; ".join(f"{each.field} {each.rule}: {each.description}".strip() for each in remarks)


@dataclass
class Summary:
    """As much of an import as is kept of it however many rows it has."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    notes: Counter[tuple[str, str]] = field(default_factory=Counter)  # By rule and description.
    refused: list[tuple[str, int, str, str]] = field(default_factory=list)  # The first: file, row, field, why.

    def add(self, entry: Entry) -> None:
        self.outcomes[entry.outcome] += 1
        self.others.update(entry.others)
        for each in entry.notes:
            self.notes[each.rule, each.description] += 1
        if entry.outcome is Outcome.REFUSED and self.outcomes[Outcome.REFUSED] <= REFUSED_SHOWN_MAX:
            name = Path(entry.file).name
            self.refused += ((name, entry.row, each.field, each.description) for each in entry.faults)

    def count(self, outcome: Outcome) -> int:
        return self.outcomes[outcome]

    def table(self) -> RenderableType:
        counts = Table("Patients", title="Import")
        counts.add_column("Count", justify="right")
        for outcome in Outcome:
            if outcome is not Outcome.SKIPPED:
                counts.add_row(outcome.value, f"{self.count(outcome):,}")
        counts.add_row("resources of other types, skipped", f"{self.others.total():,}")
        return Group(counts, *self._notes(), *self._refused())

    def _notes(self) -> Iterator[Table]:
        if self.notes:
            table = Table("Why", "Rule", title="Not taken, or kept otherwise")
            table.add_column("Count", justify="right")
            for (rule, description), count in sorted(self.notes.items()):
                table.add_row(description, rule, f"{count:,}")
            yield table

    def _refused(self) -> Iterator[Table]:
        if self.refused:
            table = Table("File", "Row", "Field", "Why", title="Refused")
            for file, row, name, why in self.refused:
                table.add_row(escape(file), str(row), name, why)
            if (more := self.count(Outcome.REFUSED) - REFUSED_SHOWN_MAX) > 0:
                table.add_row("…", "", "", f"and {more:,} more: see the report file")
            yield table

    def as_json(self) -> dict[str, Any]:
        return {
            "outcomes": dict(self.outcomes),
            "others": dict(self.others),
            "notes": [[*key, count] for key, count in self.notes.items()],
            "refused": self.refused,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Summary":
        return cls(
            Counter({Outcome(name): count for name, count in told["outcomes"].items()}),
            Counter(told["others"]),
            Counter({(rule, description): count for rule, description, count in told["notes"]}),
            [(file, row, name, why) for file, row, name, why in told["refused"]],
        )


@dataclass
class Report(Summary):
    """With each entry: for an import of a size that fits into memory."""

    entries: list[Entry] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        super().add(entry)
        self.entries.append(entry)

    @property
    def patient_ids(self) -> list[str]:
        """Of the rows that are there now, in their order."""
        return [entry.patient_id for entry in self.entries if entry.patient_id]
