"""What became of each row of an import, for files and for the screen."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from cli.fhir import Remark

REFUSED_SHOWN_MAX = 20


class Outcome(StrEnum):
    CREATED = "created"
    ALREADY_THERE = "already there"
    REFUSED = "refused"
    SKIPPED = "skipped"
    """A resource that is no patient."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one row, or of a document of which nothing could be read."""

    file: str
    row: int
    outcome: Outcome
    patient_id: str = ""
    home_site_id: str = ""
    faults: Sequence[Remark] = ()
    notes: Sequence[Remark] = ()
    others: Mapping[str, int] = field(default_factory=dict)  # Resources of other types in the document.

    def line(self) -> str:
        """For the report file."""
        told = asdict(replace(self, others=dict(self.others)))
        return json.dumps({name: value for name, value in told.items() if value}, ensure_ascii=False) + "\n"


@dataclass
class Report:
    entries: list[Entry] = field(default_factory=list)

    @property
    def patient_ids(self) -> list[str]:
        """Of the rows that are there now, in their order."""
        return [entry.patient_id for entry in self.entries if entry.patient_id]

    def count(self, outcome: Outcome) -> int:
        return sum(entry.outcome is outcome for entry in self.entries)

    def table(self) -> RenderableType:
        counts = Table("Patients", "Count", title="Import")
        for outcome in Outcome:
            if outcome is not Outcome.SKIPPED:
                counts.add_row(outcome.value, str(self.count(outcome)))
        others = Counter[str]()
        for entry in self.entries:
            others.update(entry.others)
        counts.add_row("resources of other types, skipped", str(others.total()))
        return Group(counts, *self._remarks("Not taken, or kept otherwise", "notes"), *self._refused())

    def _remarks(self, title: str, name: str) -> Iterator[Table]:
        found = Counter((each.rule, each.description) for entry in self.entries for each in getattr(entry, name))
        if found:
            table = Table("Why", "Rule", "Count", title=title)
            for (rule, description), count in sorted(found.items()):
                table.add_row(description, rule, str(count))
            yield table

    def _refused(self) -> Iterator[Table]:
        refused = [entry for entry in self.entries if entry.outcome is Outcome.REFUSED]
        if refused:
            table = Table("File", "Row", "Field", "Why", title="Refused")
            for entry in refused[:REFUSED_SHOWN_MAX]:
                for fault in entry.faults:
                    table.add_row(escape(Path(entry.file).name), str(entry.row), fault.field, fault.description)
            if len(refused) > REFUSED_SHOWN_MAX:
                table.add_row("…", "", "", f"and {len(refused) - REFUSED_SHOWN_MAX} more: see the report file")
            yield table
