"""Where an import is in its files, and what is read there."""

from dataclasses import dataclass

from cli.importing.report import Entry
from cli.readings import Reading


@dataclass(frozen=True, slots=True)
class Place:
    """Before a row: where to go on from."""

    file: int = 0  # Its number among the files.
    offset: int = 0  # Of the document or record in bytes.
    row: int = 1  # Number of the document or record.
    done: int = 0  # Rows of the document that are behind.


@dataclass(slots=True)
class Row:
    """A patient that was read, or an entry that stands already."""

    entry: Entry
    at: Place
    after: Place
    reading: Reading | None = None
