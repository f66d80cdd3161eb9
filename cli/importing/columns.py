"""What the kinds of tables have in common: columns of a name, their values in a row, and what is wrong with them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from google.type.date_pb2 import Date

from cli.fhir.elements import day_of
from cli.readings import Reading, Remark

SOURCE_ID_MAX = 64
COLUMN_SHOWN_MAX = 40


@dataclass(frozen=True, slots=True)
class Columns:
    """A kind of table. Columns may stand in any order."""

    name: str
    needed: tuple[str, ...]
    others: frozenset[str]
    read: Callable[["Values"], Reading]

    def faults_of(self, header: Sequence[str]) -> list[Remark]:
        """Why a table with this header is not read, by column."""
        twice = {name for name in header if header.count(name) > 1}
        unknown = [name for name in header if name not in self.others and name not in self.needed]
        missing = [name for name in self.needed if name not in header]
        return [
            *(Remark(_shown(each), "COLUMN_UNKNOWN", f"is no column of {self.name}") for each in unknown),
            *(Remark(each, "COLUMN_MISSING", f"is needed in {self.name}") for each in missing),
            *(Remark(_shown(each), "COLUMN_TWICE", "stands there twice") for each in sorted(twice)),
        ]


def _shown(name: str) -> str:
    """A header may hold anything, and where there is none it is the first patient."""
    printable = name if name.isprintable() and name.replace("_", "").isalnum() else "?"
    return printable[:COLUMN_SHOWN_MAX] or "(empty)"


@dataclass(slots=True)
class Values:
    """One row, by column, and the reading that is made of it. A column that is not there is empty."""

    values: Mapping[str, str]
    reading: Reading = field(default_factory=Reading)

    def text(self, column: str, ours: str = "") -> str:
        """Without the space around it. `ours`: the part of the row that it becomes."""
        if ours:
            self.reading.paths[ours] = column
        return self.values.get(column, "").strip()

    def list(self, column: str, ours: str = "", sign: str = "|") -> list[str]:
        return [each for part in self.text(column, ours).split(sign) if (each := part.strip())]

    def day(self, column: str, rule: str) -> Date | None:
        """YYYY-MM-DD. Anything else is a fault."""
        if not (text := self.text(column)):
            return None
        if day := day_of(text):
            return day
        self.reading.fault(column, f"{rule}_NOT_A_DAY", "write it as YYYY-MM-DD")
        return None

    def code(self, column: str, codes: Mapping[str, int], rule: str) -> int:
        """0 where nothing is told. What is none of the codes is a fault."""
        text = self.text(column).lower()
        if text and text not in codes:
            self.reading.fault(column, f"{rule}_NOT_KNOWN", f"is none of {', '.join(codes)}")
        return codes.get(text, 0)

    def source_id(self, column: str) -> None:
        """Told in the report, if it looks like an id."""
        text = self.text(column)
        if len(text) <= SOURCE_ID_MAX and text.isascii() and text.replace("-", "").replace(".", "").isalnum():
            self.reading.source_id = text
