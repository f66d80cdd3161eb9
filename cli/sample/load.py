"""The sample: a chain of five sites, its patients imported, each with a whole course booked. Loaded by the public API.

Loaded once for a home. A load that was cut off is finished when it is run again: the chain is loaded under request ids
that follow from its names, an import adds nobody twice, and a patient who has a course gets no other.
"""

import asyncio
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import grpc
from rich.console import Console, RenderableType
from rich.progress import Progress

from atoll.scheduling.v1.course_service_pb2 import ListCoursesRequest
from atoll.scheduling.v1.course_service_pb2_grpc import CourseServiceStub
from chassis.ids import new_id, to_wire
from chassis.times import utc_now
from cli.client import Client, open_channel
from cli.display import progress_display
from cli.importing import Assignment, ImportedPatient, Report, import_fhir
from cli.sample.chain import SampleChain, SampleSite, load_chain
from cli.sample.consents import load_documents, sign_documents
from cli.sample.courses import Booked, Staff, book
from cli.sample.patients import COUNT, write_patients
from deploy.local.cards.accounts import take_cards
from deploy.local.files import write_whole
from deploy.local.home import Home, StackInfo
from deploy.local.texts.accounts import take_texts

EMAIL_DOMAIN = "example.org"


async def load(home: Home, info: StackInfo, console: Console) -> None:
    """For a stack that goes on serving: the visits lie ahead."""
    async with open_channel(info.edge_url, info.ca_file) as channel:
        sample = Sample(home, info, channel, westernmost_day(utc_now()))
        with progress_display(console) as progress:
            booked = await sample.load(None, progress)
    console.print(f"The sample is loaded: {len(sample.chain.sites)} sites, {len(booked)} courses booked.")


def westernmost_day(now: datetime) -> date:
    """A day that has begun at every site of the sample: prices that hold from it hold now."""
    return now.astimezone(ZoneInfo("America/Los_Angeles")).date()


@dataclass
class Sample:
    home: Home
    info: StackInfo
    channel: grpc.aio.Channel
    today: date
    count: int = COUNT  # Of patients, where they are generated.
    chain: SampleChain = field(init=False)
    staff: Mapping[str, Staff] = field(init=False)
    booked: Sequence[Booked] = ()
    imported: Report = field(init=False)

    def __post_init__(self) -> None:
        """The chain's id and first day are chosen once for a home, before anything is loaded."""
        if not self.home.sites_file.exists():
            self._remember(to_wire("chain", new_id()), {})
        remembered = json.loads(self.home.sites_file.read_text())
        self.chain_id: str = remembered["chain_id"]
        self.today = date.fromisoformat(remembered["opened"])

    @property
    def report(self) -> RenderableType:
        """What the import took and what it did not, and why."""
        return self.imported.table()

    def client(self, subject: str, grants: Mapping[str, Sequence[str]]) -> Client:
        return Client.issued(self.channel, self.home.issuer, subject, self.chain_id, grants)

    async def load(self, patients: Path | None, progress: Progress) -> Sequence[Booked]:
        """`patients`: a file or folder of FHIR resources; generated ones, if None."""
        admin = self.client("sample-admin", {"ROLE_CHAIN_ADMIN": ["*"], "ROLE_BILLING": ["*"]})
        task = progress.add_task("Chain, sites, protocols, prices, consents", total=1)
        self.chain = await load_chain(admin, self.today)
        await load_documents(admin, self.today)
        self._remember(self.chain_id, {site.code: site.id for site in self.chain.sites})
        progress.advance(task)
        self.staff = {
            site.code: Staff.of(self.channel, self.home.issuer, self.chain_id, site) for site in self.chain.sites
        }
        await self._import(admin, patients, progress)
        await self._book(progress)
        self.home.sample_loaded.touch()
        return self.booked

    async def _import(self, admin: Client, patients: Path | None, progress: Progress) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source = patients or write_patients(Path(folder), self.count)
            self.imported = await import_fhir(admin, [source], assign=self._assign, progress=progress)

    def _assign(self, number: int, patient: ImportedPatient) -> Assignment:
        """Round the sites. Each site's second patient is given no email address: the messages say so."""
        sites = self.chain.sites
        site = sites[number % len(sites)]
        email = "" if number // len(sites) == 1 else f"patient-{number:03d}@{EMAIL_DOMAIN}"
        return Assignment(home_site_id=site.id, time_zone=site.time_zone, email=email)

    async def _book(self, progress: Progress) -> None:
        """Sites at the same time, the patients of a site one after another, as at its front desk."""
        patients = defaultdict(list)
        for entry in self.imported.entries:
            if entry.patient_id:
                patients[entry.home_site_id].append(entry.patient_id)
        total = len(self.imported.patient_ids)
        task = progress.add_task("Consents signed, courses cleared, estimated, planned, booked", total=total)
        lines = await asyncio.gather(
            *(self._book_at(site, patients[site.id], lambda: progress.advance(task)) for site in self.chain.sites)
        )
        self.booked = [booked for line in lines for booked in line]

    async def _book_at(
        self, site: SampleSite, patient_ids: Sequence[str], on_booked: Callable[[], None]
    ) -> list[Booked]:
        staff, booked = self.staff[site.code], list[Booked]()
        for turn, patient_id in enumerate(patient_ids):
            await sign_documents(staff.desk, site.id, patient_id, self.today)
            request = ListCoursesRequest(patient_id=patient_id)
            if not (await staff.desk.call(CourseServiceStub, "ListCourses", request)).courses:
                booked.append(await book(staff, self.chain, site, patient_id, turn, self.today))
            on_booked()
        return booked

    def _remember(self, chain_id: str, sites: Mapping[str, str]) -> None:
        remembered = {"chain_id": chain_id, "opened": self.today.isoformat(), "sites": sites}
        write_whole(self.home.sites_file, json.dumps(remembered, indent=2), 0o644)
        take_cards(self.home, self.info.cards_url)
        take_texts(self.home, self.info.texts_url, self.info.texting_url)
