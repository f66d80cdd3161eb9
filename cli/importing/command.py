"""The commands, around the import."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from atoll.scheduling.v1.site_service_pb2 import ListSitesRequest, Site
from atoll.scheduling.v1.site_service_pb2_grpc import SiteServiceStub
from cli import access
from cli.access import Access
from cli.client import Client, Refused, open_channel
from cli.importing import template
from cli.importing.batches import Assign, Assignment, Caller, ImportedPatient, Source, import_source
from cli.importing.display import import_display
from cli.importing.documents import FhirSource
from cli.importing.duplicates import Scored, score_duplicates
from cli.importing.report import Outcome
from cli.importing.state import Run
from cli.importing.tables import CsvSource
from cli.readings import Remark
from deploy.local.process import LocalError

import_app = typer.Typer(no_args_is_help=True)

HomeSite = Annotated[list[str], typer.Option(help="Code or id of a site; given several, patients go round them.")]
TimeZone = Annotated[str, typer.Option(help="IANA zone of the patients. The home site's, if not given.")]
ReportFile = Annotated[
    Path, typer.Option(help="File for what became of each row: CSV if it is so named, else JSON lines.")
]
Restart = Annotated[bool, typer.Option("--restart", help="Begin anew where an import was cut off.")]
REPORT = Path("import-report.jsonl")


@import_app.callback()
def import_() -> None:
    """Bring in patients of another system. An import that was cut off goes on when it is run again."""


@import_app.command()
def fhir(
    paths: Annotated[list[Path], typer.Argument(help="Files of FHIR R4, or folders of them.", exists=True)],
    home_site: HomeSite,
    time_zone: TimeZone = "",
    email_domain: Annotated[
        str, typer.Option(help="Make an address there for who has none, for a demonstration.")
    ] = "",
    report: ReportFile = REPORT,
    restart: Restart = False,
    edge: access.Edge = "",
    token: access.Token = "",
    chain: access.Chain = "",
) -> None:
    """Import bundles, Patient resources and NDJSON. Ends with 1 if anything was refused."""
    rule = Rule(home_site, time_zone, email_domain)
    _import(FhirSource(paths), rule, Access(edge, token, chain), report, restart=restart)


@import_app.command("csv")
def csv_(
    paths: Annotated[list[Path], typer.Argument(help="Files of CSV, or folders of them.", exists=True)],
    home_site: HomeSite,
    time_zone: TimeZone = "",
    source_system: Annotated[
        str, typer.Option(help="URI of the system that gave out the template's source ids.")
    ] = template.SOURCE_SYSTEM,
    report: ReportFile = REPORT,
    restart: Restart = False,
    edge: access.Edge = "",
    token: access.Token = "",
    chain: access.Chain = "",
) -> None:
    """Import tables: of our template, or Synthea's patients.csv. Ends with 1 if anything was refused."""
    rule = Rule(home_site, time_zone, "", source_system)
    _import(CsvSource(paths, source_system), rule, Access(edge, token, chain), report, restart=restart)


@import_app.command("template")
def print_template() -> None:
    """Print the header of our CSV, and a patient as an example. docs/importing.md tells of each column."""
    typer.echo(template.template(), nl=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """What the options say of every patient."""

    home_sites: Sequence[str]
    time_zone: str
    email_domain: str
    source_system: str = ""

    def assignment(self, number: int, patient: ImportedPatient, sites: Mapping[str, Site]) -> Assignment | Remark:
        email = f"patient-{number:06d}@{self.email_domain}" if self.email_domain else ""
        name = patient.home_site or self.home_sites[number % len(self.home_sites)]
        if name not in sites:
            return Remark("home_site", "HOME_SITE_UNKNOWN", "is no site of the chain")
        return Assignment(sites[name].id, self.time_zone, email)


def _import(source: Source, rule: Rule, to: Access, report: Path, *, restart: bool) -> None:
    console = Console(highlight=False)
    if not source.files:
        raise LocalError("there are no files to import in the folder")
    options = {
        "home_site": list(rule.home_sites),
        "time_zone": rule.time_zone,
        "email_domain": rule.email_domain,
        "source_system": rule.source_system,
        "edge": to.url,
        "chain": to.chain,
    }
    run = Run(report, source.files, options)
    if not restart and run.resume():
        console.print(f"Going on at {run.row}, where the import was cut off.")
    try:
        scored = asyncio.run(_run(source, rule, to, run, console))
    except Refused as error:
        raise LocalError(f"the import stopped: {error}; run it again to go on") from error
    except KeyboardInterrupt:
        console.print("The import was cut off. Run it again, and it goes on there.")
        raise
    console.print(run.summary.table())
    console.print(f"Each row: {report}", soft_wrap=True)
    if scored.likely or scored.possible:
        counts = f"{scored.likely:,} likely and {scored.possible:,} possible duplicates"
        console.print(f"{counts}, on the worklist of the sites: {scored.file}", soft_wrap=True)
    if run.summary.count(Outcome.REFUSED):
        raise typer.Exit(1)


async def _run(source: Source, rule: Rule, to: Access, run: Run, console: Console) -> Scored:
    async with open_channel(to.url, to.ca_file) as channel:
        client = to.client(channel, "atoll-import", "ROLE_INTEGRATION")
        sites = await find_sites(client, rule.home_sites)

        def assign(number: int, patient: ImportedPatient) -> Assignment | Remark:
            return rule.assignment(number, patient, sites)

        return await carry_out(client, source, assign, run, console)


async def carry_out(client: Caller, source: Source, assign: Assign, run: Run, console: Console) -> Scored:
    """One that is cut off goes on when it is carried out again, be it among the rows or while duplicates are scored."""
    with import_display(console, run.summary) as progress, run.opened():
        await import_source(
            client,
            source,
            assign=assign,
            report=run.summary,
            progress=progress,
            tell=run.tell,
            start=run.start,
            settled=run.settled,
            run=run.id,
        )
    with import_display(console, run.summary) as progress:
        scored = await score_duplicates(client, run.report, run=run.id, progress=progress)
    run.end()
    return scored


async def find_sites(client: Client, wanted: Sequence[str]) -> dict[str, Site]:
    """All of the chain, by code and by id; those that are `wanted` are among them."""
    pages = client.pages(SiteServiceStub, "ListSites", ListSitesRequest())
    known = {name: site async for page in pages for site in page.sites for name in (site.code, site.id)}
    if missing := [name for name in wanted if name not in known]:
        codes = ", ".join(sorted({site.code for site in known.values()})) or "none"
        raise LocalError(f"no site {missing[0]!r}; by code there are: {codes}")
    return known
