"""Notifications with a provider of texts: two sites that text from one number, one of which has a spare account."""

import base64
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from google.protobuf.descriptor import ServiceDescriptor

from atoll.notifications.v1.reply_service_pb2_grpc import ReplyServiceStub
from atoll.notifications.v1.suppression_service_pb2_grpc import SuppressionServiceStub
from atoll.patients.v1.events_pb2 import PatientRegistered
from atoll.scheduling.v1.events_pb2 import BookedVisit, CourseBooked, SiteRegistered
from chassis.call import Call
from chassis.db import Database
from chassis.ids import new_id, to_wire
from chassis.times import to_timestamp
from services.notifications.__main__ import SERVICE
from services.notifications.rpc import servicers_with
from services.notifications.settings import MESSAGE_KEYS
from services.notifications.store import NotificationsStore
from services.notifications.texting import Texting, TextingAccount
from services.notifications.texting.job import Answering
from services.notifications.texting.keys import address_key
from services.notifications.texting.listener import Listener
from services.notifications.webhooks import WebhookSettings
from services.notifications.wording import Templates
from tests.support.notifications import FIRST
from tests.support.service import Running, running
from tests.support.twilio import ACCOUNT_SID, OLD_TOKEN, TOKEN, FakeTwilio, Webhook, fake_twilio

HOOKS = "https://hooks.example.org"
OURS, SPARE, THEIRS = "+15055550100", "+15055550101", "+15055550177"


@dataclass
class TextingOffice:
    svc: Running
    fake: FakeTwilio
    texting: Texting
    listener: Listener
    keys_file: Path
    site_id: UUID
    other_site_id: UUID
    patient_id: UUID = field(default_factory=new_id)

    async def open(self) -> None:
        for site_id, name in ((self.site_id, "Harbor Lane"), (self.other_site_id, "Juniper Row")):
            event = SiteRegistered(
                site_id=to_wire("site", site_id),
                display_name="Albuquerque Ketamine Clinic",
                discreet_name=name,
                time_zone="America/Denver",
                address="1 Main St",
                phone="+15055550199",
            )
            await self.svc.deliver(event)
        await self.register(self.patient_id)

    async def register(self, patient_id: UUID) -> None:
        home = to_wire("site", self.site_id)
        event = PatientRegistered(
            patient_id=to_wire("patient", patient_id), home_site_id=home, time_zone="America/Denver", language="en"
        )
        await self.svc.deliver(event, version=1)

    async def book(self, *, patient_id: UUID | None = None, start: Any = FIRST) -> UUID:
        visit_id = new_id()
        event = CourseBooked(
            course_id=to_wire("course", new_id()),
            site_id=to_wire("site", self.site_id),
            patient_id=to_wire("patient", patient_id or self.patient_id),
            visits=[BookedVisit(visit_id=to_wire("visit", visit_id), start_time=to_timestamp(start))],
        )
        await self.svc.deliver(event)
        return visit_id

    async def texted(
        self, visit_id: UUID | None = None, *, patient_id: UUID | None = None, phone: str = THEIRS, **more: Any
    ) -> None:
        """As the sender notes with each text that goes out."""
        values = {"language": "en", "site_id": self.site_id, "sender": OURS} | more
        key, about = self.key(phone), patient_id or self.patient_id
        await self.job(lambda store: store.note_texted(key, patient_id=about, visit_id=visit_id, **values))

    def key(self, phone: str = THEIRS) -> bytes:
        return address_key(self.svc.chain_id, phone)

    async def job(self, work: Any) -> Any:
        call: Call = self.svc.inside("notifications.sender")
        return await self.svc.db.job(call, NotificationsStore, work)

    async def suppressed(self, phone: str = THEIRS, sender: str = OURS, channel: str = "SMS") -> bool:
        key = self.key(phone)
        return bool(await self.job(lambda store: store.suppressed(channel, [key], sender)))

    async def post(self, webhook: Webhook, *, target: str = "") -> int:
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{self.listener.port}{target or webhook.target}"
            return (await client.post(url, content=webhook.body, headers=webhook.headers)).status_code

    def webhook(self, text: str, *, phone: str = THEIRS, to: str = OURS, account: str = "main") -> Webhook:
        return self.fake.reply(HOOKS, account, text, sender=phone, to=to)

    async def say(self, text: str, *, phone: str = THEIRS, to: str = OURS) -> None:
        """Somebody texts us."""
        assert await self.post(self.webhook(text, phone=phone, to=to)) == 200

    async def answer(self) -> None:
        while await Answering(self.svc.db, self.texting, self.svc.clock, Templates()).look():
            pass

    async def told(self) -> list[Any]:
        """Events that were emitted, but for those of messages."""
        return [event for _, event in await self.svc.published() if not event.DESCRIPTOR.name.startswith("Message")]

    @property
    def replies(self) -> Any:
        return self.svc.stub(ReplyServiceStub)

    @property
    def suppressions(self) -> Any:
        return self.svc.stub(SuppressionServiceStub)


def accounts(url: str, chain_id: UUID, site_id: UUID, other_site_id: UUID) -> dict[str, TextingAccount]:
    fields = {
        "chain_id": to_wire("chain", chain_id),
        "account_sid": ACCOUNT_SID,
        "auth_tokens": [TOKEN, OLD_TOKEN],
        "webhook_url": HOOKS,
        "api_url": url,
        "per_second": 1000,
        "account_per_second": 1000,
    }
    one, other = to_wire("site", site_id), to_wire("site", other_site_id)
    return {
        "main": TextingAccount.model_validate(fields | {"sites": {one: {"sender": OURS}, other: {"sender": OURS}}}),
        "spare": TextingAccount.model_validate(fields | {"sites": {one: {"sender": SPARE}}}),
    }


def write_message_keys(path: Path) -> None:
    key, digest = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
    path.write_text(json.dumps({"current": "1", "keys": {"1": key}, "digest": digest}))


@asynccontextmanager
async def open_texting(server_url: str, folder: Path) -> AsyncIterator[TextingOffice]:
    chain_id, site_id, other_site_id, clocks = new_id(), new_id(), new_id(), list[Running]()
    keys_file = folder / f"message-keys-{uuid4().hex}.json"
    write_message_keys(keys_file)
    before = os.environ.get(MESSAGE_KEYS)
    os.environ[MESSAGE_KEYS] = str(keys_file)
    async with fake_twilio() as fake:
        texting, listeners = Texting(accounts(fake.url, chain_id, site_id, other_site_id)), list[Listener]()

        def servicers(db: Database) -> Mapping[ServiceDescriptor, object]:
            listeners.append(Listener(db, texting, lambda: clocks[0].now, "127.0.0.1:0"))
            return servicers_with(db, texting, listeners[0], WebhookSettings())

        service = SERVICE.__class__(**SERVICE.__dict__ | {"servicers": servicers})
        async with running(service, server_url, folder) as svc:
            clocks.append(svc)
            svc.chain_id = chain_id
            office = TextingOffice(svc, fake, texting, listeners[0], keys_file, site_id, other_site_id)
            await office.open()
            yield office
    os.environ.pop(MESSAGE_KEYS)
    if before is not None:
        os.environ[MESSAGE_KEYS] = before
