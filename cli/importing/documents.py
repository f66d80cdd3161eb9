"""Files of FHIR, read one document at a time, as rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any

from cli.fhir import Found, NotFhir, read_document, read_patient
from cli.fhir.elements import text_of
from cli.fhir.links import MARK, Replaced, is_replaced, take_in
from cli.fhir.periods import as_of
from cli.importing.places import Place, Row
from cli.importing.report import Entry, Outcome
from cli.readings import Remark

DOCUMENT_BYTES_MAX = 32 << 20
SUFFIXES, LINED_SUFFIXES = (".json",), (".ndjson", ".jsonl")


@dataclass(frozen=True, slots=True)
class Document:
    """A file, or one line of it."""

    file: Path
    row: int
    content: bytes
    """Cut off where it is too large."""
    offset: int = 0
    end: int = 0


class FhirSource:
    """Files and folders of FHIR R4. What was true until before `today` is read as what was."""

    def __init__(self, paths: Sequence[Path], today: date | None = None) -> None:
        self.files = files_of(paths)
        self._today = today or datetime.now(UTC).date()

    def count(self) -> int:
        return sum(map(count_documents, self.files))

    def rows(self, start: Place) -> Iterator[Row]:
        for number in range(start.file, len(self.files)):
            place = start if number == start.file else Place(number)
            for document in documents(self.files[number], place):
                done = place.done if document.offset == place.offset else 0
                yield from rows_of(document, self._replaced, self._today, number, done)

    @cached_property
    def _replaced(self) -> Replaced:
        """Of all the files: whichever of two records comes first, the one that is replaced is taken into the other."""
        return Replaced(resource for file in self.files for resource in _linked(file))


def files_of(paths: Sequence[Path], suffixes: Sequence[str] = SUFFIXES + LINED_SUFFIXES) -> list[Path]:
    """The files, and in the folders those with a suffix, in the order of their names."""
    found = list[Path]()
    for path in paths:
        if path.is_dir():
            found += sorted(each for each in path.rglob("*") if each.suffix in suffixes)
        else:
            found.append(path)
    return found


def count_documents(path: Path) -> int:
    if path.suffix not in LINED_SUFFIXES:
        return 1
    with path.open("rb") as file:
        return sum(1 for line, _ in _lines(file) if line.strip())


def documents(path: Path, start: Place | None = None) -> Iterator[Document]:
    """One at a time, however large the file."""
    start = start or Place()
    with path.open("rb") as file:
        if path.suffix not in LINED_SUFFIXES:
            if not start.offset:
                content = file.read(DOCUMENT_BYTES_MAX + 1)
                yield Document(path, 1, content, 0, max(1, path.stat().st_size))
            return
        file.seek(start.offset)
        offset = start.offset
        for row, (line, size) in enumerate(_lines(file), start=start.row):
            if line.strip():
                yield Document(path, row, line, offset, offset + size)
            offset += size


def _lines(file: BufferedReader) -> Iterator[tuple[bytes, int]]:
    """Each with its size; of a line that is too large, the beginning."""
    while line := file.readline(DOCUMENT_BYTES_MAX + 1):
        rest, size = line, len(line)
        while len(rest) > DOCUMENT_BYTES_MAX and not rest.endswith(b"\n"):
            rest = file.readline(DOCUMENT_BYTES_MAX + 1)
            size += len(rest)
        yield line, size


def _linked(file: Path) -> Iterator[Mapping[str, Any]]:
    """Patients of a file who may be linked to others."""
    for document in documents(file):
        if MARK in document.content and len(document.content) <= DOCUMENT_BYTES_MAX:
            with suppress(NotFhir):
                yield from (resource for resource, _ in read_document(document.content).patients)


def rows_of(document: Document, replaced: Replaced, today: date, file_number: int = 0, done: int = 0) -> Iterator[Row]:
    """A row for each patient after the first `done`, or one that says why there is none."""
    file = str(document.file)
    at, after = _places(document, file_number)
    try:
        if len(document.content) > DOCUMENT_BYTES_MAX:
            raise NotFhir("TOO_LARGE", f"is larger than {DOCUMENT_BYTES_MAX >> 20} MiB")
        found = read_document(document.content)
    except NotFhir as error:
        fault = Remark("", error.rule, error.description)
        yield Row(Entry(file, document.row, Outcome.REFUSED, faults=(fault,)), at, after)
        return
    if not found.patients:
        yield Row(Entry(file, document.row, Outcome.SKIPPED, others=found.others), at, after)
    found = replace(found, patients=tuple((as_of(resource, today), uri) for resource, uri in found.patients))
    for row in _rows_of_patients(document, file, found, file_number, done):
        yield _joined(row, found.patients[row.at.done][0], replaced, today)


def _rows_of_patients(document: Document, file: str, found: Found, file_number: int, done: int) -> Iterator[Row]:
    at, end = _places(document, file_number)
    for place in range(done, len(found.patients)):
        reading = read_patient(*found.patients[place])
        entry = Entry(
            file,
            document.row + place,
            Outcome.REFUSED,
            source_id=reading.source_id,
            faults=reading.faults,
            notes=reading.notes,
            others=found.others if place == 0 else {},
        )
        after = end if place + 1 == len(found.patients) else replace(at, done=place + 1)
        yield Row(entry, replace(at, done=place), after, None if reading.faults else reading)


def _joined(row: Row, resource: Mapping[str, Any], replaced: Replaced, today: date) -> Row:
    """The row, with what is taken into it; or the row of a record that is taken into another."""
    if is_replaced(resource):
        row.reading = None
        row.entry = replace(row.entry, **_replaced_entry(resource, replaced))
    elif row.reading:
        for other in replaced.of(text_of(resource.get("id"))):
            take_in(row.reading, as_of(other, today))
    return row


def _replaced_entry(resource: Mapping[str, Any], replaced: Replaced) -> dict[str, Any]:
    if replaced.survivor(text_of(resource.get("id"))):
        return {"outcome": Outcome.REPLACED, "faults": (), "notes": ()}
    why = "another record replaces it, which is not among these, or does not say so"
    return {"outcome": Outcome.REFUSED, "faults": (Remark("link", "SURVIVOR_MISSING", why),), "notes": ()}


def _places(document: Document, file_number: int) -> tuple[Place, Place]:
    return Place(file_number, document.offset, document.row), Place(file_number, document.end, document.row + 1)
