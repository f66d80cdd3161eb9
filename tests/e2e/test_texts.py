"""Texts through the whole stack: out to the local provider, back by its page, and what follows from what was said."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import pytest
import pytest_asyncio
from rich.progress import Progress

from atoll.notifications.v1.message_pb2 import CHANNEL_SMS, MESSAGE_STATUS_SENT, Message
from atoll.notifications.v1.message_service_pb2 import ListMessagesRequest
from atoll.notifications.v1.message_service_pb2_grpc import MessageServiceStub
from atoll.patients.v1.permission_service_pb2 import ListPermissionsRequest
from atoll.patients.v1.permission_service_pb2_grpc import PermissionServiceStub
from atoll.scheduling.v1.visit_pb2 import VISIT_STATUS_CONFIRMED
from atoll.scheduling.v1.visit_service_pb2 import GetVisitRequest
from atoll.scheduling.v1.visit_service_pb2_grpc import VisitServiceStub
from chassis.clock import set_clock
from cli.client import Client, open_channel
from cli.sample.load import Sample
from deploy.local.stack import Options, Stack

NOON = datetime(2027, 2, 8, 19, tzinfo=UTC)
"""In New Mexico: an hour at which texts may come."""
PATIENTS = 6
"""The last is the first site's second, who has no email address."""
SOON_S = 60.0
T = TypeVar("T")


@dataclass
class Telephone:
    page: httpx.AsyncClient
    desk: Client
    patient_id: str
    path: str = ""

    async def said(self) -> list[dict[str, Any]]:
        texts: list[dict[str, Any]] = (await self.page.get(f"{self.path}.json")).json()["texts"]
        return texts

    async def reply(self, text: str) -> str:
        """What is answered to it."""
        before = len(await self.said())
        assert (await self.page.post(self.path, data={"said": text})).status_code == 303
        return await eventually(lambda: self._answered(before + 2))

    async def _answered(self, count: int) -> str | None:
        said = await self.said()
        return str(said[-1]["body"]) if len(said) >= count and said[-1]["status"] == "delivered" else None

    async def texted(self) -> Message | None:
        """The first that it was sent and that arrived, as the front desk sees it."""
        request = ListMessagesRequest(patient_id=self.patient_id, status=MESSAGE_STATUS_SENT)
        sent = (await self.desk.call(MessageServiceStub, "ListMessages", request)).messages
        return next((each for each in sent if each.channel == CHANNEL_SMS and each.HasField("deliver_time")), None)


async def eventually(found: Callable[[], Awaitable[T | None]]) -> T:
    until = time.monotonic() + SOON_S
    while (answer := await found()) is None:
        assert time.monotonic() < until
        await asyncio.sleep(0.2)
    return answer


@pytest_asyncio.fixture(scope="module")
async def telephone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Telephone]:
    home = tmp_path_factory.mktemp("texts")
    set_clock(home / "clock", NOON)
    async with Stack(Options.anywhere(home / "home", home / "clock")) as stack, open_channel(stack.info.edge_url) as to:
        sample = Sample(stack.home, stack.info, to, NOON.date(), PATIENTS)
        await sample.load(None, Progress(disable=True))
        site = sample.chain.sites[0]
        texted = [each.patient_id for each in sample.booked if each.site.code == site.code][-1]
        async with httpx.AsyncClient(base_url=stack.info.texts_url) as page:
            found = Telephone(page, sample.staff[site.code].desk, texted)
            await eventually(found.texted)
            [text] = [each for each in (await page.get("/texts.json")).json()["texts"] if each["kind"] == "text"]
            found.path = f"/texts/{text['ours']}/{text['theirs']}"
            yield found


async def test_whoever_has_no_email_address_is_texted_from_the_sites_number(telephone: Telephone) -> None:
    [text] = await telephone.said()
    assert (text["ours"], text["status"]) == ("+15055570100", "delivered")
    assert text["body"].startswith("Sandia Suite 200: ")
    assert "C" in text["body"]


async def test_a_c_confirms_the_visit_that_was_texted_about(telephone: Telephone) -> None:
    assert "confirm" in await telephone.reply("C")
    message = await telephone.texted()
    assert message

    async def confirmed() -> bool | None:
        request = GetVisitRequest(visit_id=message.visit_id)
        visit = (await telephone.desk.call(VisitServiceStub, "GetVisit", request)).visit
        return visit.status == VISIT_STATUS_CONFIRMED or None

    assert await eventually(confirmed)


async def test_help_names_the_site_and_a_stop_is_confirmed_once_and_reaches_the_record(telephone: Telephone) -> None:
    assert "Sandia Suite 200" in await telephone.reply("HELP")
    assert "Sandia Suite 200" in await telephone.reply("stop")

    async def refused() -> bool | None:
        request = ListPermissionsRequest(patient_id=telephone.patient_id)
        permissions = (await telephone.desk.call(PermissionServiceStub, "ListPermissions", request)).permissions
        return any(not each.permitted for each in permissions) or None

    assert await eventually(refused)
