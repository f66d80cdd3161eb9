"""`atoll codes`: code sets as CSV files, into the system through the public API, and shown. `docs/codes.md` has the
columns."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.message import Message
from google.type.date_pb2 import Date
from rich.console import Console
from rich.table import Table

from atoll.billing.v1.code_service_pb2 import (
    DiagnosisCode,
    ListDiagnosisCodesRequest,
    ListServiceCodesRequest,
    LoadDiagnosisCodesRequest,
    LoadServiceCodesRequest,
    ServiceCodeRow,
)
from atoll.billing.v1.code_service_pb2_grpc import CodeServiceStub
from cli import access
from cli.access import Access, ask
from cli.client import Client, Refused
from deploy.local.process import LocalError

BATCH, PAGE = 1000, 200
SERVICE_COLUMNS = (
    "visit_type_code",
    "route_code",
    "band_code",
    "code",
    "units",
    "modifiers",
    "effective_date",
    "end_date",
)
DIAGNOSIS_COLUMNS = ("code", "effective_date", "end_date")
FIRST_ROW = 2
"""Rows are numbered as a spreadsheet does: the header is row 1."""

Day = Annotated[str, typer.Option("--date", help="Only what is valid on this day of service: YYYY-MM-DD.")]
Diagnoses = Annotated[bool, typer.Option("--diagnoses", help="ICD-10-CM codes instead of service codes.")]

codes_app = typer.Typer(help="Service codes and diagnosis codes.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(codes_app, name="codes")


@codes_app.callback()
def codes() -> None:
    """Service codes and diagnosis codes."""


@codes_app.command()
def load(
    file: Annotated[Path, typer.Argument(help="CSV, as docs/codes.md describes it.")],
    diagnoses: Diagnoses = False,
    edge: access.Edge = "",
    token: access.Token = "",
    chain: access.Chain = "",
) -> None:
    """Loads a file: up to 1,000 rows whole or not at all, more in such parts. Loaded again, nothing changes."""
    rows = read_diagnoses(file) if diagnoses else read_services(file)
    Console(highlight=False).print(ask(Access(edge, token, chain), lambda client: loaded(client, rows)))


@codes_app.command("list")
def list_codes(
    diagnoses: Diagnoses = False,
    day: Day = "",
    visit_type: Annotated[str, typer.Option(help="Only those of visits of this type.")] = "",
    edge: access.Edge = "",
    token: access.Token = "",
    chain: access.Chain = "",
) -> None:
    """The chain's codes."""
    on = _date(day, "--date") if day else None
    Console(highlight=False).print(
        _diagnosis_table(ask(Access(edge, token, chain), lambda client: all_diagnoses(client, on)))
        if diagnoses
        else _service_table(ask(Access(edge, token, chain), lambda client: all_services(client, on, visit_type)))
    )


def read_services(path: Path) -> list[LoadServiceCodesRequest.Row]:
    """Refused in a line that names the row where the file is wrong."""
    return [
        LoadServiceCodesRequest.Row(
            visit_type_code=row["visit_type_code"],
            route_code=row["route_code"],
            band_code=row["band_code"],
            code=row["code"],
            units=_number(row["units"] or "1", f"{path}: row {number}: units"),
            modifiers=[each.strip() for each in row["modifiers"].split("|") if each.strip()],
            **_days(row, f"{path}: row {number}"),
        )
        for number, row in _rows(path, SERVICE_COLUMNS)
    ]


def read_diagnoses(path: Path) -> list[DiagnosisCode]:
    """Refused in a line that names the row where the file is wrong."""
    return [
        DiagnosisCode(code=row["code"], **_days(row, f"{path}: row {number}"))
        for number, row in _rows(path, DIAGNOSIS_COLUMNS)
    ]


async def loaded(client: Client, rows: Sequence[LoadServiceCodesRequest.Row] | Sequence[DiagnosisCode]) -> str:
    """What was done, in a line. A file of more rows than are loaded at once goes in several parts, in its order."""
    counts = [0, 0, 0]
    for first in range(0, len(rows), BATCH):
        request, method = _load_of(rows[first : first + BATCH])
        try:
            answer = await client.call(CodeServiceStub, method, request)
        except Refused as error:
            raise LocalError(_in_rows(str(error), first)) from error
        for n, count in enumerate((answer.added_count, answer.changed_count, answer.unchanged_count)):
            counts[n] += count
    return f"{counts[0]} codes added, {counts[1]} changed, {counts[2]} there already"


async def all_services(client: Client, day: Date | None = None, visit_type: str = "") -> list[ServiceCodeRow]:
    request = ListServiceCodesRequest(page_size=PAGE, date=day, visit_type_code=visit_type)
    return await _every_page(client, "ListServiceCodes", request, "service_code_rows")


async def all_diagnoses(client: Client, day: Date | None = None) -> list[DiagnosisCode]:
    request = ListDiagnosisCodesRequest(page_size=PAGE, date=day)
    return await _every_page(client, "ListDiagnosisCodes", request, "diagnosis_codes")


async def _every_page(client: Client, method: str, request: Any, field: str) -> list[Any]:
    return [each async for page in client.pages(CodeServiceStub, method, request) for each in getattr(page, field)]


def _load_of(rows: Sequence[Any]) -> tuple[Message, str]:
    if isinstance(rows[0], DiagnosisCode):
        return LoadDiagnosisCodesRequest(rows=rows), "LoadDiagnosisCodes"
    return LoadServiceCodesRequest(rows=rows), "LoadServiceCodes"


def _in_rows(text: str, first: int) -> str:
    """`rows[3]` of a request, as the row of the file."""
    return re.sub(r"rows\[(\d+)\]", lambda found: f"row {int(found[1]) + first + FIRST_ROW}", text)


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = [*csv.reader(file, strict=True)] or [[]]
    except OSError as error:
        raise LocalError(f"{path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise LocalError(f"{path}: is no CSV in UTF-8: {error}") from error
    named = [name.strip() for name in header]
    if sorted(named) != sorted(columns):
        raise LocalError(f"{path}: the columns are {', '.join(named) or 'none'}, not {', '.join(columns)}")
    while rows and not rows[-1]:
        rows.pop()
    if not rows:
        raise LocalError(f"{path}: has no rows")
    for number, row in enumerate(rows, FIRST_ROW):
        if len(row) != len(columns):
            raise LocalError(f"{path}: row {number}: has not {len(columns)} fields")
        yield number, {name: value.strip() for name, value in zip(named, row, strict=True)}


def _days(row: Mapping[str, str], place: str) -> dict[str, Date]:
    days = {"effective_date": _date(row["effective_date"], f"{place}: effective_date")}
    if row["end_date"]:
        days["end_date"] = _date(row["end_date"], f"{place}: end_date")
    return days


def _date(text: str, place: str) -> Date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise LocalError(f"{place}: {text or 'nothing'} is no day: YYYY-MM-DD") from error
    return Date(year=day.year, month=day.month, day=day.day)


def _number(text: str, place: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise LocalError(f"{place}: {text} is no number")
    return int(text)


def _service_table(rows: Sequence[ServiceCodeRow]) -> Table:
    shown = Table("Code", "Units", "Modifiers", "Visit type", "Route", "Band", "From", "To", box=None, padding=(0, 2))
    for row in rows:
        kind = (row.visit_type_code, row.route_code or "any", row.band_code or "any")
        days = (_day(row.effective_date), _day(row.end_date) if row.HasField("end_date") else "")
        shown.add_row(row.code, str(row.units), " ".join(row.modifiers), *kind, *days)
    return shown


def _diagnosis_table(rows: Sequence[DiagnosisCode]) -> Table:
    shown = Table("Code", "From", "To", box=None, padding=(0, 2))
    for row in rows:
        shown.add_row(row.code, _day(row.effective_date), _day(row.end_date) if row.HasField("end_date") else "")
    return shown


def _day(day: Date) -> str:
    return date(day.year, day.month, day.day).isoformat()
