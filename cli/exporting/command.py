"""The command, around the export."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from atoll.patients.v1.export_service_pb2 import ExportPatientRequest
from atoll.patients.v1.export_service_pb2_grpc import ExportServiceStub
from cli import access
from cli.access import Access
from cli.client import Refused, open_channel
from cli.exporting.chain import ChainExport, Streams
from cli.exporting.resources import resources_of
from cli.private import open_private
from deploy.local.process import LocalError

SUBJECT = "atoll-export"

export_app = typer.Typer(no_args_is_help=True)


@export_app.callback()
def export_() -> None:
    """Take records away, as FHIR R4."""


@export_app.command()
def fhir(
    patient: Annotated[str, typer.Option(help="Id of the patient whose record is exported.")] = "",
    whole_chain: Annotated[bool, typer.Option("--chain", help="Every record of the chain, into a folder.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="File of the patient, standard output if not given; folder of the chain.")
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew where an export was cut off.")] = False,
    edge: access.Edge = "",
    token: access.Token = "",
    chain_id: access.Chain = "",
) -> None:
    """Export one patient, or the chain, as NDJSON. One of a chain that was cut off goes on when it is run again."""
    if bool(patient) == whole_chain:
        raise LocalError("name a --patient, or say --chain")
    to = Access(edge, token, chain_id)
    try:
        if whole_chain:
            if out is None:
                raise LocalError("an export of a chain needs a folder: --out")
            _export_chain(to, out, restart=restart)
        else:
            asyncio.run(_export_patient(to, patient, out))
    except Refused as error:
        again = "; run it again to go on" if whole_chain else ""
        raise LocalError(f"the export stopped: {error}{again}") from error


async def _export_patient(to: Access, patient_id: str, out: Path | None) -> None:
    if out:
        _check(out)
    async with open_channel(to.url, to.ca_file) as channel:
        client = to.client(channel, SUBJECT, "ROLE_CHAIN_ADMIN")
        lines = [line async for line in patient_lines(client, patient_id)]
    with _written(out) as file:
        file.writelines(lines)


def _check(out: Path) -> None:
    """Before the record is read: that is audited, and would be for nothing."""
    if out.is_dir():
        raise LocalError(f"--out {out} is a folder: name a file")
    if not out.parent.is_dir():
        raise LocalError(f"--out {out}: there is no folder {out.parent}")


async def patient_lines(client: Streams, patient_id: str) -> AsyncIterator[str]:
    request = ExportPatientRequest(patient_id=patient_id)
    async for answer in client.stream(ExportServiceStub, "ExportPatient", request):
        for resource in resources_of(answer.patient_export):
            yield json.dumps(resource, ensure_ascii=False) + "\n"


@contextmanager
def _written(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    with open_private(out) as file:
        yield file


def _export_chain(to: Access, folder: Path, *, restart: bool) -> None:
    console, export = Console(highlight=False), ChainExport(folder, {"edge": to.url, "chain": to.chain})
    if not restart and export.resume():
        console.print(f"Going on after {export.records:,} records, where the export was cut off.")
    try:
        asyncio.run(_run(to, export, console))
    except KeyboardInterrupt:
        console.print("The export was cut off. Run it again, and it goes on there.")
        raise
    table = Table("Resources", "File", title="Export")
    table.add_column("Count", justify="right")
    for type_, count in export.counts.items():
        table.add_row(type_, f"{type_}.ndjson", f"{count:,}")
    console.print(table)
    console.print(f"{export.records:,} records in {folder}", soft_wrap=True)


async def _run(to: Access, export: ChainExport, console: Console) -> None:
    count = TextColumn("{task.completed:,.0f}")
    columns = SpinnerColumn(), TextColumn("{task.description}"), count, TimeElapsedColumn()
    async with open_channel(to.url, to.ca_file) as channel:
        client = to.client(channel, SUBJECT, "ROLE_CHAIN_ADMIN")
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("Records exported", total=None)
            await export.run(client, lambda records: progress.update(task, completed=records))
