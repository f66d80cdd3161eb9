"""What the pages for integrators show is run, on the whole stack with the sample chain, and prints what they show."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from rich.progress import Progress

from atoll_client import Atoll, Retry, scheduling
from chassis.times import utc_now
from cli.client import open_channel
from cli.demo.queues import open_queues
from cli.sample.load import Sample, westernmost_day
from deploy.local.stack import Options, Stack
from tests.support.snippets import DOCS, PAGES, Block, Session, blocks, is_as_shown, run_program, run_typescript
from tools.gen import ROOT

PATIENTS = 5
TYPESCRIPT_PAGES = [page for page in PAGES if any(each.language == "ts" for each in blocks(DOCS / f"{page}.md"))]
CODE_PATHS = ("gen", ".", "clients/python/src")


@dataclass
class Sampled:
    stack: Stack
    sample: Sample

    async def heard_of_all(self) -> None:
        """Who reads takes longer to type than an event to arrive."""
        async with open_queues(self.stack.info) as queues:
            await queues.drained()

    def token(self) -> str:
        """As docs/try.sh makes it."""
        [site] = [each.id for each in self.sample.chain.sites if each.code == "abq"]
        roles = ("ROLE_FRONT_DESK", "ROLE_CLINICIAN", "ROLE_BILLING")
        return self.stack.home.issuer.token("developer", self.sample.chain_id, {role: [site] for role in roles})

    def environment(self) -> dict[str, str]:
        """Instead of the address that the pages name, which is `make run`'s."""
        home = str(self.stack.home.folder)
        return {"ATOLL": self.stack.info.edge_url, "ATOLL_HOME": home, "PYTHONPATH": ":".join(CODE_PATHS)}


@pytest_asyncio.fixture(scope="module")
async def sampled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sampled]:
    home = tmp_path_factory.mktemp("docs")
    async with Stack(Options.anywhere(home)) as stack, open_channel(stack.info.edge_url) as channel:
        sample = Sample(stack.home, stack.info, channel, westernmost_day(utc_now()), PATIENTS)
        await sample.load(None, Progress(disable=True))
        yield Sampled(stack, sample)


@pytest.mark.parametrize("page", PAGES)
async def test_what_a_page_shows_is_what_happens(sampled: Sampled, page: str, tmp_path: Path) -> None:
    ran = 0
    with Session(tmp_path, sampled.environment()) as session:
        for block in blocks(DOCS / f"{page}.md"):
            if block.language in ("bash", "python") and block.run:
                await sampled.heard_of_all()
                is_shown(block, await asyncio.to_thread(session.run, block))
                ran += 1
    assert ran


@pytest.mark.parametrize("page", TYPESCRIPT_PAGES)
async def test_what_a_page_shows_in_typescript_is_what_happens(sampled: Sampled, page: str, tmp_path: Path) -> None:
    environment = {**sampled.environment(), "TOKEN": sampled.token()}
    for block, printed in await asyncio.to_thread(run_typescript, DOCS / f"{page}.md", tmp_path, environment):
        is_shown(block, printed)


def is_shown(block: Block, printed: str) -> None:
    assert block.prints is None or is_as_shown(printed, block.prints), (
        f"{block.page}:{block.line}\n{block.text}\n\nprinted\n{printed}\n\nand not\n{block.prints}"
    )


async def test_the_quick_start_of_the_python_package_is_a_program(sampled: Sampled, tmp_path: Path) -> None:
    [block] = [each for each in blocks(ROOT / "clients" / "python" / "README.md") if each.language == "python"]
    environment = {**sampled.environment(), "TOKEN": sampled.token()}
    is_shown(block, await asyncio.to_thread(run_program, block, tmp_path, environment))


async def test_the_python_client_watches_and_changes_through_the_death_of_a_service(sampled: Sampled) -> None:
    [visit] = [booked.course.visits[0] for booked in sampled.sample.booked if booked.site.code == "abq"]
    async with Atoll(sampled.stack.info.edge_url, sampled.token(), timeout_s=120, retry=Retry(attempts=100)) as atoll:
        changes = atoll.scheduling.boards.watch_site(site_id=visit.site_id)
        async with aclosing(changes):
            assert not (await anext(changes)).HasField("visit_change")  # The first heartbeat: it is open.
            os.kill(sampled.stack.home.running().processes["scheduling"].pid, signal.SIGKILL)
            await atoll.scheduling.visits.confirm(visit_id=visit.id)
            async with asyncio.timeout(120):
                while (change := (await anext(changes)).visit_change).visit_id != visit.id:
                    pass
    assert change.visit.status == scheduling.VISIT_STATUS_CONFIRMED
