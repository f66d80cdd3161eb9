"""CSV as RFC 4180 has it, in UTF-8 with or without a byte order mark, read one record at a time."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from cli.importing.places import Place

RECORD_BYTES_MAX = 256 << 10
BOM = b"\xef\xbb\xbf"
csv.field_size_limit(RECORD_BYTES_MAX)


class NotCsv(Exception):
    """A record that cannot be read."""

    def __init__(self, rule: str, description: str) -> None:
        super().__init__(description)
        self.rule, self.description = rule, description


@dataclass(frozen=True, slots=True)
class Record:
    """Rows are numbered as a spreadsheet does: the header is row 1, and a field with line breaks is in one row."""

    row: int
    offset: int
    end: int
    content: bytes
    fault: NotCsv | None = None

    @property
    def is_empty(self) -> bool:
        return self.fault is None and not self.content.strip()

    def fields(self) -> list[str]:
        """Raises NotCsv."""
        if self.fault:
            raise self.fault
        try:
            text = self.content.removeprefix(BOM).decode()
        except UnicodeDecodeError:
            raise NotCsv("NOT_UTF8", "is not UTF-8") from None
        if "\0" in text:
            raise NotCsv("NUL_CHARACTER", "holds a NUL character")
        try:
            [fields] = csv.reader([text], strict=True)
        except (csv.Error, ValueError):
            if '"' not in text:  # Nothing else keeps a line from being one record.
                raise NotCsv("LINE_ENDS", "its lines end with a carriage return only, not with a line feed") from None
            raise NotCsv("NOT_CSV", "is not CSV: a quotation mark stands where none may be") from None
        return fields

    def may_be(self, width: int) -> bool:
        """Whether its quotation marks part it as a record of so many fields. 0: of any number."""
        try:
            fields = self.fields()
        except NotCsv as fault:
            return fault.rule != "NOT_CSV"
        return not width or len(fields) == width


def records(path: Path, start: Place | None = None, width: int = 0) -> Iterator[Record]:
    """From the header on, or from `start`; `width`: how many fields the header has, once it is known."""
    start = start or Place()
    with path.open("rb") as file:
        file.seek(start.offset)
        offset, row = start.offset, start.row
        while record := _next(file, offset, row, width):
            yield record
            offset, row = record.end, row + 1


def count_records(path: Path) -> int:
    """Without the header."""
    return max(0, sum(1 for each in records(path) if not each.is_empty) - 1)


def _next(file: BufferedReader, offset: int, row: int, width: int) -> Record | None:
    """A record ends with the line at whose end each quotation mark has its other.

    Of one that does not end within RECORD_BYTES_MAX, or of several lines that are no record together, the first line is
    told, and the next is read for itself: a mark too many costs one row, not all until the next mark, or the end.
    """
    content, quotes, first_end = b"", 0, 0
    while line := file.readline(RECORD_BYTES_MAX + 1):
        content += line
        first_end = first_end or len(line)
        if len(content) > RECORD_BYTES_MAX:
            if not content.endswith(b"\n") and len(line) > RECORD_BYTES_MAX:
                return _too_long(file, offset, row, len(line))
            break
        quotes += line.count(b'"')
        if quotes % 2 == 0:
            record = Record(row, offset, offset + len(content), content)
            if len(content) == first_end or record.may_be(width):
                return record
            break
    if not content:
        return None
    file.seek(offset + first_end)
    fault = NotCsv("QUOTE_NOT_CLOSED", "a quotation mark is opened and not closed")
    return Record(row, offset, offset + first_end, b"", fault)


def _too_long(file: BufferedReader, offset: int, row: int, size: int) -> Record:
    while (line := file.readline(RECORD_BYTES_MAX + 1)) and not line.endswith(b"\n"):
        size += len(line)
    fault = NotCsv("TOO_LARGE", f"is larger than {RECORD_BYTES_MAX >> 10} KiB")
    return Record(row, offset, offset + size + len(line), b"", fault)
