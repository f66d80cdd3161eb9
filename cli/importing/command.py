"""The command, around the import."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TextIO

import grpc
import typer
from rich.console import Console

from atoll.scheduling.v1.site_service_pb2 import ListSitesRequest, Site
from atoll.scheduling.v1.site_service_pb2_grpc import SiteServiceStub
from cli.client import Client, Refused, open_channel
from cli.display import progress_display
from cli.importing.batches import Assignment, ImportedPatient, import_fhir
from cli.importing.report import Entry, Outcome, Report
from cli.token import Sample
from deploy.local.home import Home
from deploy.local.process import LocalError

import_app = typer.Typer(no_args_is_help=True)


@import_app.callback()
def import_() -> None:
    """Bring in patients of another system."""


@import_app.command()
def fhir(
    paths: Annotated[list[Path], typer.Argument(help="Files of FHIR R4, or folders of them.", exists=True)],
    home_site: Annotated[list[str], typer.Option(help="Code or id of a site; given several, patients go round them.")],
    time_zone: Annotated[str, typer.Option(help="IANA zone of the patients. The home site's, if not given.")] = "",
    email_domain: Annotated[
        str, typer.Option(help="Make an address there for who has none, for a demonstration.")
    ] = "",
    report: Annotated[Path, typer.Option(help="File for what became of each row, as JSON lines.")] = Path(
        "import-report.jsonl"
    ),
    edge: Annotated[str, typer.Option(help="URL of the API. Of the stack on this machine, if not given.")] = "",
    token: Annotated[str, typer.Option(envvar="ATOLL_TOKEN", help="Made for the stack here, if not given.")] = "",
    chain: Annotated[str, typer.Option(help="Id of the chain a token is made for. The sample's, if not given.")] = "",
) -> None:
    """Import bundles, Patient resources and NDJSON. Ends with 1 if anything was refused."""
    console = Console(highlight=False)
    source = Source(edge or Home.default().running().edge_url, token, chain)
    rule = Rule(home_site, time_zone, email_domain)
    report.touch(mode=0o600)  # Names of files may be names of patients.
    try:
        with report.open("w") as file:
            imported = asyncio.run(_run(source, paths, rule, file, console))
    except Refused as error:
        raise LocalError(f"the import stopped: {error}; run it again to go on") from error
    console.print(imported.table())
    console.print(f"Each row: {report}")
    if imported.count(Outcome.REFUSED):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the API is, and as whom it is called."""

    edge: str
    token: str
    chain: str

    def client(self, channel: grpc.aio.Channel) -> Client:
        if self.token:
            return TokenClient(channel, self.token)
        home = Home.default()
        chain = self.chain or Sample(home).chain_id
        return Client(channel, home.issuer, "atoll-import", chain, {"ROLE_INTEGRATION": ["*"]})


class TokenClient(Client):
    """Calls with a token that somebody else made."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._channel, self._token, self._renew_at = channel, token, math.inf


@dataclass(frozen=True, slots=True)
class Rule:
    """What the options say of every patient."""

    home_sites: Sequence[str]
    time_zone: str
    email_domain: str

    def assignment(self, number: int, sites: Sequence[Site]) -> Assignment:
        email = f"patient-{number:06d}@{self.email_domain}" if self.email_domain else ""
        return Assignment(sites[number % len(sites)].id, self.time_zone, email)


async def _run(source: Source, paths: Sequence[Path], rule: Rule, report: TextIO, console: Console) -> Report:
    async with open_channel(source.edge) as channel:
        client = source.client(channel)
        sites = await find_sites(client, rule.home_sites)

        def assign(number: int, patient: ImportedPatient) -> Assignment:
            return rule.assignment(number, sites)

        def tell(entry: Entry) -> None:
            report.write(entry.line())

        with progress_display(console) as progress:
            return await import_fhir(client, paths, assign=assign, progress=progress, tell=tell)


async def find_sites(client: Client, wanted: Sequence[str]) -> list[Site]:
    """By code or id."""
    known, page_token = dict[str, Site](), ""
    while True:
        page = await client.call(SiteServiceStub, "ListSites", ListSitesRequest(page_token=page_token))
        known |= {name: site for site in page.sites for name in (site.code, site.id)}
        page_token = page.next_page_token
        if not page_token:
            break
    if missing := [name for name in wanted if name not in known]:
        codes = ", ".join(sorted({site.code for site in known.values()})) or "none"
        raise LocalError(f"no site {missing[0]!r}; by code there are: {codes}")
    return [known[name] for name in wanted]
