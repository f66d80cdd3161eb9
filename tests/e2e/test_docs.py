"""What the pages for integrators show is run, on the whole stack with the sample chain, and prints what they show."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from rich.progress import Progress

from chassis.times import utc_now
from cli.client import open_channel
from cli.demo.queues import open_queues
from cli.sample.load import Sample, westernmost_day
from deploy.local.stack import Options, Stack
from tests.support.snippets import DOCS, PAGES, RUN, Session, blocks, is_as_shown

PATIENTS = 5
CODE_PATHS = ("gen", ".", "clients/python/src")


@dataclass
class Sampled:
    stack: Stack

    async def heard_of_all(self) -> None:
        """Who reads takes longer to type than an event to arrive."""
        async with open_queues(self.stack.info) as queues:
            await queues.drained()

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
        yield Sampled(stack)


@pytest.mark.parametrize("page", PAGES)
async def test_what_a_page_shows_is_what_happens(sampled: Sampled, page: str, tmp_path: Path) -> None:
    ran = 0
    with Session(tmp_path, sampled.environment()) as session:
        for block in blocks(DOCS / f"{page}.md"):
            if block.language not in RUN or not block.run:
                continue
            await sampled.heard_of_all()
            printed = await asyncio.to_thread(session.run, block)
            ran += 1
            assert block.prints is None or is_as_shown(printed, block.prints), (
                f"{block.page}:{block.line}\n{block.text}\n\nprinted\n{printed}\n\nand not\n{block.prints}"
            )
    assert ran
