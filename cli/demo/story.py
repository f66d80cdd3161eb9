"""The story from an empty folder to checked books: a fresh stack, the sample, its visits, and what must hold."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from atoll.notifications.v1.message_pb2 import (
    CHANNEL_EMAIL,
    CHANNEL_IN_APP,
    CHANNEL_SMS,
    CHANNEL_VOICE,
    MESSAGE_STATUS_SENT,
    Message,
    MessageReason,
    MessageStatus,
)
from atoll.notifications.v1.message_service_pb2 import ListMessagesRequest
from atoll.notifications.v1.message_service_pb2_grpc import MessageServiceStub
from chassis.clock import set_clock
from cli.client import open_channel
from cli.demo.checks import Check, run_checks
from cli.demo.life import Life, Step, settle, steps_of
from cli.demo.queues import Queues, open_queues
from cli.demo.tables import checks_table, courses_table, messages_table, money_table
from cli.display import Display, progress_display
from cli.sample.load import Sample
from cli.up import stop_on_signals
from deploy.local.home import Home
from deploy.local.stack import Options, Stack

OPENING = datetime(2027, 2, 8, 15, tzinfo=UTC)  # A Monday. Clocks change on 14 March, in the midst of the courses.
SEALED_S = 10.0
WAYS = {CHANNEL_EMAIL: "email", CHANNEL_SMS: "text", CHANNEL_VOICE: "call", CHANNEL_IN_APP: "inbox"}


async def run(console: Console, folder: Path, patients: Path | None, count: int) -> bool:
    started = time.monotonic()
    stop_on_signals()
    clock = Home(folder).clock
    set_clock(clock, OPENING)
    display = Display(console)
    stack = Stack(Options.anywhere(folder, clock), display.report)
    display.expect(stack.names)
    with display:
        await stack.__aenter__()
    try:
        async with open_channel(stack.info.edge_url, stack.info.ca_file) as channel, open_queues(stack.info) as queues:
            sample = Sample(stack.home, stack.info, channel, OPENING.date(), count)
            story = Story(console, sample, queues, clock)
            checks = await story.tell(patients)
            story.end()
    finally:
        await stack.__aexit__(None, None, None)
    console.print(checks_table(checks))
    console.print(f"{time.monotonic() - started:.0f} s")
    return all(check.holds for check in checks)


class Story:
    def __init__(self, console: Console, sample: Sample, queues: Queues, clock: Path) -> None:
        self._console, self._sample, self._queues = console, sample, queues
        watcher = sample.client("demo-watcher", {"ROLE_CHAIN_ADMIN": ["*"]})
        self._life, self._watcher = Life(clock, OPENING, queues, watcher), watcher

    async def tell(self, patients: Path | None) -> list[Check]:
        with progress_display(self._console) as progress:
            booked = await self._sample.load(patients, progress)
            await self._life.messages_out()
            await self._live(progress)
            settling = progress.add_task("Invoices and payments", total=len(booked))
            settled = {}
            for each in booked:
                settled[each.course.id] = await settle(each, self._sample.staff[each.site.code])
                progress.advance(settling)
            await self._queues.drained()
        self._console.print(self._sample.report)
        self._console.print(courses_table(booked))
        self._console.print(money_table(booked, settled))
        self._console.print(messages_table(await self._messages()))
        return await self._checked()

    def end(self) -> None:
        """What is kept of it goes on from here, as time does."""
        self._life.let_go()

    async def _live(self, progress: Progress) -> None:
        """At each site one patient calls off the last visit."""
        steps, cancels = list[Step](), set[str]()
        for each in self._sample.booked:
            template = each.protocol.template
            cancels_last = each.site.code not in cancels
            cancels.add(each.site.code)
            steps += steps_of(each, template, self._sample.staff[each.site.code], cancels_last=cancels_last)
        task = progress.add_task("Visits", total=len(steps))

        def on_step(at: datetime) -> None:
            progress.update(task, advance=1, description=f"Visits, {at:%d %B %Y}")

        await self._life.play(steps, on_step)

    async def _messages(self) -> list[tuple[str, str, str, int]]:
        rows = []
        for site in self._sample.chain.sites:
            counts = Counter[tuple[str, str]]()
            request = ListMessagesRequest(site_id=site.id, page_size=200)
            async for page in self._watcher.pages(MessageServiceStub, "ListMessages", request):
                counts.update((_outcome(message), _why(message)) for message in page.messages)
            rows += [(site.code, outcome, why, count) for (outcome, why), count in sorted(counts.items())]
        return rows

    async def _checked(self) -> list[Check]:
        """The audit trail is sealed every second: what was written last may take so long."""
        until = time.monotonic() + SEALED_S
        while True:
            checks = await run_checks(self._sample.info, self._sample.chain.id, self._sample.booked)
            if all(check.holds for check in checks) or time.monotonic() > until:
                return checks
            await asyncio.sleep(0.5)


def _outcome(message: Message) -> str:
    outcome = MessageStatus.Name(message.status).removeprefix("MESSAGE_STATUS_").lower()
    return f"{outcome} by {WAYS[message.channel]}" if message.status == MESSAGE_STATUS_SENT else outcome


def _why(message: Message) -> str:
    name = MessageReason.Name(message.reason).removeprefix("MESSAGE_REASON_")
    return "" if name == "UNSPECIFIED" else name.lower().replace("_", " ")
