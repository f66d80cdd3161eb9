"""`atoll patients`: what a person asks of patients' records at a terminal, through the public API."""

import csv
import re
import sys
from collections.abc import Iterable
from typing import Annotated, TextIO

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from atoll.patients.v1.access_service_pb2 import Access, AccessKind, ListAccessesRequest
from atoll.patients.v1.access_service_pb2_grpc import AccessServiceStub
from cli import access
from cli.access import ask
from cli.client import Client

PAGE = 200
COLUMNS = ("time", "who", "as", "at", "did", "what", "request")
KINDS = {
    "READ_RECORD": "read",
    "SEARCHED": "found in a search",
    "CHANGED": "changed",
    "IMPORTED": "imported",
    "EXPORTED": "exported",
    "BROKE_GLASS": "broke the glass",
    "READ_CONTACTS": "read to send a message",
    "READ_ACCESSES": "read this report",
}

patients_app = typer.Typer(help="Patients' records.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(patients_app, name="patients")


@patients_app.callback()
def patients() -> None:
    """Patients' records."""


@patients_app.command("access-report")
def access_report(
    patient: Annotated[str, typer.Argument(help="Id of the patient.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated, for a spreadsheet.")] = False,
    edge: access.Edge = "",
    token: access.Token = "",
    chain: access.Chain = "",
    subject: Annotated[str, typer.Option(help="Who asks: the actor on record.")] = "developer",
) -> None:
    """Who saw and who changed a patient's data, the latest first. Asking is on record, too."""
    to = access.Access(edge, token, chain)
    found = ask(to, lambda client: accesses(client, patient), "ROLE_AUDITOR", subject)
    if as_csv:
        write_csv(found, sys.stdout)
    else:
        Console(highlight=False).print(table(found) if found else "Nobody is on record.")


async def accesses(client: Client, patient_id: str) -> list[Access]:
    request = ListAccessesRequest(patient_id=patient_id, page_size=PAGE)
    return [each async for page in client.pages(AccessServiceStub, "ListAccesses", request) for each in page.accesses]


def write_csv(found: Iterable[Access], file: TextIO) -> None:
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    writer.writerows(harmless(cells(each)) for each in found)


def table(found: Iterable[Access]) -> Table:
    shown = Table(*(name.capitalize() for name in COLUMNS), box=None, padding=(0, 2))
    for each in found:
        shown.add_row(*map(escape, cells(each)))
    return shown


def cells(access: Access) -> list[str]:
    """In the order of COLUMNS. Times are UTC."""
    kind = AccessKind.Name(access.kind).removeprefix("ACCESS_KIND_")
    return [
        f"{access.access_time.ToDatetime():%Y-%m-%d %H:%M:%S}",
        access.actor,
        " ".join(role.lower().replace("_", " ") for role in access.roles),
        " ".join(access.site_ids),
        KINDS.get(kind, kind.lower()),
        words(access.method),
        access.cause,
    ]


def words(method: str) -> str:
    """`get patient` of atoll.patients.v1.PatientService.GetPatient."""
    return " ".join(re.findall(r"[A-Z][a-z0-9]*", method.rpartition(".")[2])).lower()


def harmless(row: list[str]) -> list[str]:
    """A spreadsheet takes what begins like this for a formula, and an actor may be called anything."""
    return [f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell for cell in row]
