"""Files of CSV as rows: our template, or Synthea's patients, told apart by the header."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.importing import synthea, template
from cli.importing.columns import Columns, Values
from cli.importing.documents import files_of
from cli.importing.places import Place, Row
from cli.importing.records import NotCsv, Record, count_records, records
from cli.importing.report import Entry, Outcome
from cli.readings import Remark

SUFFIXES = (".csv",)


@dataclass(frozen=True, slots=True)
class Header:
    names: list[str]
    columns: Columns


class CsvSource:
    """`source_system`: the URI of whoever gives out the template's source ids."""

    def __init__(self, paths: Sequence[Path], source_system: str = template.SOURCE_SYSTEM) -> None:
        self.files = files_of(paths, SUFFIXES)
        self._template = template.columns(source_system)

    def count(self) -> int:
        return sum(map(count_records, self.files))

    def rows(self, start: Place) -> Iterator[Row]:
        for number in range(start.file, len(self.files)):
            yield from self._rows_of(number, start if number == start.file else Place(number))

    def _rows_of(self, number: int, start: Place) -> Iterator[Row]:
        file = self.files[number]
        first = next(records(file), None)
        header = self._header(first, file) if first else []
        if not isinstance(header, Header):
            # Nothing of the file is read: whoever goes on goes on behind it.
            faults = header or [Remark("", "EMPTY_FILE", "is empty")]
            entry = Entry(str(file), 1, Outcome.REFUSED, faults=faults)
            if not start.offset:
                yield Row(entry, start, Place(number + 1))
            return
        assert first
        for record in records(file, start if start.offset else Place(number, first.end, 2), len(header.names)):
            if not record.is_empty:
                yield _row(record, header, file, number)

    def _header(self, record: Record, file: Path) -> Header | list[Remark]:
        try:
            names = [name.strip() for name in record.fields()]
        except NotCsv as fault:
            return [Remark("", fault.rule, fault.description)]
        if len(names) == 1 and any(sign in names[0] for sign in ";\t"):
            return [Remark("", "NOT_PARTED_BY_COMMAS", "its columns are not parted by commas")]
        columns = synthea.COLUMNS if {"Id", "BIRTHDATE"} <= set(names) else self._template
        return columns.faults_of(names) or Header(names, columns)


def _row(record: Record, header: Header, file: Path, number: int) -> Row:
    at, after = Place(number, record.offset, record.row), Place(number, record.end, record.row + 1)
    try:
        fields = record.fields()
        if len(fields) != len(header.names):
            raise NotCsv("FIELDS_COUNT", f"has {len(fields)} fields where the header has {len(header.names)}")
    except NotCsv as fault:
        faults = [Remark("", fault.rule, fault.description)]
        return Row(Entry(str(file), record.row, Outcome.REFUSED, faults=faults), at, after)
    reading = header.columns.read(Values(dict(zip(header.names, fields, strict=True))))
    entry = Entry(
        str(file),
        record.row,
        Outcome.REFUSED,
        source_id=reading.source_id,
        faults=reading.faults,
        notes=reading.notes,
    )
    return Row(entry, at, after, None if reading.faults else reading)
