"""Files of FHIR, read one document at a time, as rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from cli.fhir import Found, NotFhir, Reading, Remark, read_document, read_patient
from cli.importing.report import Entry, Outcome

DOCUMENT_BYTES_MAX = 32 << 20
SUFFIXES, LINED_SUFFIXES = (".json",), (".ndjson", ".jsonl")


@dataclass(frozen=True, slots=True)
class Document:
    """A file, or one line of it."""

    file: Path
    row: int
    content: bytes
    """Cut off where it is too large."""


@dataclass(slots=True)
class Row:
    """A patient that was read, or an entry that stands already."""

    entry: Entry
    reading: Reading | None = None


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The files, and those of FHIR in the folders, in the order of their names."""
    found = list[Path]()
    for path in paths:
        if path.is_dir():
            found += sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES + LINED_SUFFIXES)
        else:
            found.append(path)
    return found


def count_documents(path: Path) -> int:
    if path.suffix not in LINED_SUFFIXES:
        return 1
    with path.open("rb") as file:
        return sum(1 for line in _lines(file) if line.strip())


def documents(path: Path) -> Iterator[Document]:
    """One at a time, however large the file."""
    with path.open("rb") as file:
        if path.suffix not in LINED_SUFFIXES:
            yield Document(path, 1, file.read(DOCUMENT_BYTES_MAX + 1))
            return
        for row, line in enumerate(_lines(file), start=1):
            if line.strip():
                yield Document(path, row, line)


def _lines(file: BufferedReader) -> Iterator[bytes]:
    """Of a line that is too large, the beginning."""
    while line := file.readline(DOCUMENT_BYTES_MAX + 1):
        yield line
        while len(line) > DOCUMENT_BYTES_MAX and not line.endswith(b"\n"):
            line = file.readline(DOCUMENT_BYTES_MAX + 1)


def rows_of(document: Document) -> Iterator[Row]:
    """A row for each patient, or one that says why there is none."""
    file = str(document.file)
    try:
        if len(document.content) > DOCUMENT_BYTES_MAX:
            raise NotFhir("TOO_LARGE", f"is larger than {DOCUMENT_BYTES_MAX >> 20} MiB")
        found = read_document(document.content)
    except NotFhir as error:
        fault = Remark("", error.rule, error.description)
        yield Row(Entry(file, document.row, Outcome.REFUSED, faults=(fault,)))
        return
    if not found.patients:
        yield Row(Entry(file, document.row, Outcome.SKIPPED, others=found.others))
    yield from _rows_of_patients(document, file, found)


def _rows_of_patients(document: Document, file: str, found: Found) -> Iterator[Row]:
    for place, (resource, uri) in enumerate(found.patients):
        reading = read_patient(resource, uri)
        entry = Entry(
            file,
            document.row + place,
            Outcome.REFUSED,
            faults=reading.faults,
            notes=reading.notes,
            others=found.others if place == 0 else {},
        )
        yield Row(entry, None if reading.faults else reading)
