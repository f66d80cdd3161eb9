"""Receivers of webhooks, over real HTTP on this machine, and the notifications service that sends to them."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import h11
from asyncpg import Record
from standardwebhooks import Webhook

from atoll.notifications.v1 import webhook_service_pb2 as pb
from atoll.notifications.v1.webhook_service_pb2_grpc import WebhookServiceStub
from atoll.scheduling.v1.events_pb2 import SiteRegistered, VisitConfirmed
from chassis.ids import from_wire, new_id, to_wire
from services.notifications.__main__ import SERVICE
from services.notifications.rpc import servicers
from services.notifications.webhooks import WebhookSettings
from services.notifications.webhooks.posting import Poster, Resolve
from services.notifications.webhooks.secrets import SecretKeeper
from services.notifications.webhooks.sender import WebhookSender
from tests.support.billing_estimates import write_keys
from tests.support.service import Running, running

HOST = "127.0.0.1"
CONFIRMED = "scheduling.v1.visit.confirmed"


@dataclass(frozen=True)
class Got:
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def said(self) -> Any:
        return json.loads(self.body)

    def verified(self, secret: str) -> Any:
        """By the convention's own library, which raises for what is not signed by `secret`."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """Shows what came, and answers as it is told."""

    port: int = 0
    status: int = 204
    answer_headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    on_request: Callable[[], Awaitable[object]] | None = None
    """Awaited when a request has come, before it is answered."""
    drops: bool = False
    """Breaks the line without a word."""
    got: list[Got] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    """That TLS clients asked for."""
    at_once: int = 0
    most_at_once: int = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/hooks?from=atoll"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self._serve(reader, writer)
        finally:
            self.at_once -= 1
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection, request, body = h11.Connection(h11.SERVER), None, b""
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                return
        assert request
        headers = {name.decode(): value.decode() for name, value in request.headers}
        self.got.append(Got(request.target.decode(), headers, body))
        if self.on_request:
            await self.on_request()
        if self.drops:
            return
        answer = h11.Response(
            status_code=self.status, headers=[*self.answer_headers, ("content-length", str(len(self.body)))]
        )
        writer.write(connection.send(answer) or b"")
        if self.body:
            writer.write(connection.send(h11.Data(self.body)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()


@asynccontextmanager
async def receiving(context: ssl.SSLContext | None = None, host: str = HOST) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    if context:
        context.sni_callback = lambda _, name, __: receiver.names.append(name)
    server = await asyncio.start_server(receiver.serve, host, 0, ssl=context)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


@dataclass
class Hooks:
    """A chain, one of its sites, and its systems that are told."""

    svc: Running
    keys_file: Path
    site_id: UUID = field(default_factory=new_id)
    poster: Poster = field(default_factory=lambda: Poster(loopback=True))

    @property
    def stub(self) -> Any:
        return self.svc.stub(WebhookServiceStub)

    @property
    def keeper(self) -> SecretKeeper:
        return SecretKeeper(self.keys_file)

    async def call(self, name: str, token: str | None = None, **fields: Any) -> Any:
        """With a request_id of its own, where one is asked for and none given."""
        request_type = getattr(pb, f"{name}Request")
        if "request_id" in request_type.DESCRIPTOR.fields_by_name:
            fields.setdefault("request_id", str(uuid4()))
        return await self.svc.call(getattr(self.stub, name), request_type(**fields), token)

    async def endpoint(self, url: str, *event_types: str, token: str | None = None, **fields: Any) -> Any:
        """The answer: the endpoint and its secret."""
        return await self.call(
            "CreateWebhookEndpoint", token, url=url, event_types=event_types or [CONFIRMED], **fields
        )

    async def add_site(self, site_id: UUID) -> None:
        event = SiteRegistered(site_id=to_wire("site", site_id), discreet_name="Harbor Lane", time_zone="UTC")
        await self.svc.deliver(event, version=1)

    async def confirmed(self, site_id: UUID | None = None, chain_id: UUID | None = None) -> VisitConfirmed:
        """Of a visit that is booked."""
        visit_id, patient_id, site_id = new_id(), new_id(), site_id or self.site_id
        columns = "chain_id, id, site_id, patient_id, start_at, status"
        values = chain_id or self.svc.chain_id, visit_id, site_id, patient_id, self.svc.now
        await self.svc.admin.execute(f"INSERT INTO visit ({columns}) VALUES ($1, $2, $3, $4, $5, 'BOOKED')", *values)
        return VisitConfirmed(
            visit_id=to_wire("visit", visit_id),
            course_id=to_wire("course", new_id()),
            site_id=to_wire("site", site_id),
            patient_id=to_wire("patient", patient_id),
        )

    async def confirm(self, site_id: UUID | None = None) -> VisitConfirmed:
        event = await self.confirmed(site_id)
        await self.svc.deliver(event)
        return event

    def sender(self, poster: Poster | None = None) -> WebhookSender:
        return WebhookSender(self.svc.db, self.keeper, poster or self.poster, self.svc.clock, chance=lambda: 0.0)

    async def rows(self) -> list[Record]:
        return await self.svc.admin.fetch("SELECT * FROM webhook_delivery ORDER BY created_at, id")

    async def states(self) -> list[tuple[str, int, str | None]]:
        return [(row["status"], row["attempts"], row["last_code"]) for row in await self.rows()]

    async def hasten(self) -> None:
        """As if every lease and every delay had run out."""
        await self.svc.admin.execute("UPDATE webhook_delivery SET due_at = clock_timestamp() - interval '1 second'")

    async def waits(self) -> timedelta:
        """Of the only delivery."""
        waits: timedelta = await self.svc.admin.fetchval("SELECT due_at - clock_timestamp() FROM webhook_delivery")
        return waits

    async def status_of(self, endpoint_id: str) -> str:
        status: str = await self.svc.admin.fetchval(
            "SELECT status FROM webhook_endpoint WHERE id = $1", from_wire("webhookendpoint", endpoint_id)
        )
        return status

    def resolving(self, *answers: Sequence[str]) -> tuple[Poster, list[str]]:
        """A sender's poster for which names are found at one answer after another, and the names that it asked for."""
        asked = list[str]()

        async def resolve(host: str, port: int) -> Sequence[str]:
            asked.append(host)
            return answers[min(len(asked), len(answers)) - 1]

        look_up: Resolve = resolve
        return Poster(loopback=True, resolve=look_up), asked


async def until(met: Callable[[], bool], within_s: float = 15.0) -> None:
    """Waits for what others bring about."""
    for _ in range(round(within_s / 0.05)):
        if met():
            return
        await asyncio.sleep(0.05)
    raise TimeoutError


@asynccontextmanager
async def open_hooks(server_url: str, folder: Path, *, loopback: bool = True) -> AsyncIterator[Hooks]:
    keys_file = folder / f"message-keys-{uuid4().hex}.json"
    write_keys(keys_file, "1")
    told = WebhookSettings(mode="development", message_keys_file=keys_file, webhook_allow_loopback=loopback)
    service = replace(SERVICE, servicers=partial(servicers, webhooks=told))
    async with running(service, server_url, folder) as svc:
        hooks = Hooks(svc, keys_file)
        async with hooks.poster:
            await hooks.add_site(hooks.site_id)
            yield hooks
