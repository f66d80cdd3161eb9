"""One service in this process, on a database of its own, called through its gRPC door."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from grpc_status import rpc_status
from joserfc import jwt

from atoll.common.v1.access_pb2 import AUDIT_CHANGE, AUDIT_PHI_READ, access
from atoll.common.v1.event_meta_pb2 import EventMeta
from atoll.common.v1.event_meta_pb2 import subject as subject_option
from chassis.auth import Tokens
from chassis.call import Call, Sites
from chassis.consumer import Consumer, Letter, fact_of
from chassis.db import Database
from chassis.errors import TryAgain
from chassis.ids import ids_of_kind, new_id, to_wire
from chassis.issuers import TrustedIssuer
from chassis.pool import Pool
from chassis.provision import DatabaseUrls
from chassis.server import Server
from chassis.service import Service
from chassis.times import to_timestamp
from deploy.local.issuer import AUDIENCE, NAME, TYPE, Issuer
from tests.support.databases import test_database

NOW = datetime(2027, 3, 1, 16, tzinfo=UTC)  # A Monday, 9:00 in Denver; clocks change on Sunday the 14th.


@dataclass
class Clock:
    now: datetime

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Running:
    """A service under test. Another chain and other sites are a `token` away."""

    service: Service
    urls: DatabaseUrls
    admin: "asyncpg.Connection[asyncpg.Record]"  # A superuser, who sees past row-level security.
    pool: Pool
    db: Database
    issuer: Issuer
    clock: Clock
    server: Server
    channel: grpc.aio.Channel
    ports: tuple[int, int]
    chain_id: UUID = field(default_factory=new_id)
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def now(self) -> datetime:
        return self.clock.now

    def token(
        self,
        role: str = "ROLE_CHAIN_ADMIN",
        *,
        sites: Iterable[UUID] | None = None,
        chain_id: UUID | None = None,
        subject: str = "user",
        typ: str = TYPE,
        **changes: Any,
    ) -> str:
        """`sites` None: every site. `changes` go into the claims."""
        at = ["*"] if sites is None else [to_wire("site", site) for site in sites]
        claims = {"iss": NAME, "aud": AUDIENCE, "sub": subject, "exp": int(time.time()) + 3600}
        claims |= {"chain": to_wire("chain", chain_id or self.chain_id), "grants": {role: at}} | changes
        return jwt.encode({"alg": "ES256", "typ": typ, "kid": self.issuer.key.kid}, claims, self.issuer.key)

    def stub(self, stub_type: Any) -> Any:
        return stub_type(self.channel)

    async def call(
        self, method: Any, request: Message, token: str | None = None, *, within_s: float = 10, **metadata: str
    ) -> Any:
        """`token` '' sends none."""
        token = self.token() if token is None else token
        pairs = [("authorization", f"Bearer {token}")] if token else []
        pairs += [(name.replace("_", "-"), value) for name, value in metadata.items()]
        answer = await method(request, metadata=pairs, timeout=within_s)
        if kind := self.service.store_type.subject_kind:
            await self._check_noted(method._method.decode().lstrip("/").replace("/", "."), answer, kind)
        return answer

    async def _check_noted(self, name: str, answer: Any, kind: str) -> None:
        """The audit row of a read names whoever its answer shows: looked at after each call of each test."""
        shown = sorted({str(id) for id in ids_of_kind(answer, kind)}) if isinstance(answer, Message) else []
        rpc = descriptor_pool.Default().FindMethodByName(name)
        if shown and rpc.GetOptions().Extensions[access].audit == AUDIT_PHI_READ:
            noted = "SELECT ids->'subjects' ?& $2 FROM audit WHERE method = $1 ORDER BY position DESC LIMIT 20"
            async with self.looking:
                rows = await self.admin.fetch(noted, name, shown)
            assert any(row[0] for row in rows), f"{name} shows {kind}s that its audit row does not name: see Store.saw"

    def inside(self, method: str, request_id: str = "", *, audit: int = AUDIT_CHANGE, sites: Sites = None) -> Call:
        """What the door would make of a call, for tests that go round it to force an interleaving."""
        return Call(self.chain_id, sites, "user", method, request_id or str(uuid4()), audit, self.now)  # type: ignore[arg-type]

    async def deliver(self, event: Any, *, chain_id: UUID | None = None, event_id: str = "", version: int = 0) -> None:
        """Hands `event` to the service's own handler, as if it had come over NATS; errors come out."""
        chain = to_wire("chain", chain_id or self.chain_id)
        if not event.HasField("meta"):
            event.meta.CopyFrom(
                EventMeta(
                    event_id=event_id or str(uuid4()),
                    occur_time=to_timestamp(self.now),
                    chain_id=chain,
                    site_id=getattr(event, "site_id", ""),
                    actor="user",
                    cause=str(uuid4()),
                    aggregate_version=version,
                )
            )
        letter = Letter(event.meta.event_id, f"{fact_of(type(event))}.{chain}", event.SerializeToString())
        for reads in self.service.reads.values():
            if type(event) in reads:
                consumer = Consumer(self.db, self.service.name, self.service.store_type, reads, self.clock)
                await consumer.handle(letter)
                return
        raise LookupError(f"{self.service.name} does not read {event.DESCRIPTOR.full_name}")

    async def published(self) -> list[tuple[str, Any]]:
        """What stands in the outbox, in its order: subject without the chain, and the event."""
        rows = await self.admin.fetch("SELECT subject, payload FROM outbox ORDER BY position")
        return [(row["subject"].rpartition(".")[0], _event(row["subject"], row["payload"])) for row in rows]

    async def count(self, table: str) -> int:
        return int(await self.admin.fetchval(f"SELECT count(*) FROM {table}"))


def tokens_of(issuer: Issuer, **changes: Any) -> Tokens:
    """What a service trusts that trusts this one; `changes` as its settings name them."""
    return Tokens([TrustedIssuer.model_validate({"issuer": issuer.name, "jwks": str(issuer.jwks)} | changes)])


@asynccontextmanager
async def running(
    service: Service, server_url: str, folder: Path, *, now: datetime = NOW, pool_size: int = 8, new: bool = False
) -> AsyncIterator[Running]:
    """`folder` holds the issuer's keys: the test's tmp_path, or one of the session. `new`: no test had the database."""
    issuer, clock = Issuer.open(folder), Clock(now)
    async with test_database(server_url, service.name, pool_size, new=new) as database:
        db = Database(database.pool)
        server = Server(tokens_of(issuer), clock)
        for descriptor, servicer in service.servicers(db).items():
            server.add(descriptor, servicer)
        ports = await server.start("127.0.0.1:0", "127.0.0.1:0")
        urls, admin, pool = database.urls, database.admin, database.pool
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
            yield Running(service, urls, admin, pool, db, issuer, clock, server, channel, ports)
        await server.stop()


class Refusing:
    """A database in which no step of one chain succeeds, as while somebody has something of it locked for long."""

    def __init__(self, db: Database, chain_id: UUID) -> None:
        self._db, self._chain_id = db, chain_id

    async def job(self, call: Call, *work: Any) -> Any:
        if call.chain_id == self._chain_id:
            raise TryAgain()
        return await self._db.job(call, *work)


def refusing(db: Database, chain_id: UUID) -> Any:
    return Refusing(db, chain_id)


@dataclass(frozen=True)
class Refusal:
    code: grpc.StatusCode
    message: str | None
    reason: str
    faults: list[tuple[str, str]]  # Field and rule of each violation.
    metadata: dict[str, str]
    retry: bool  # Whether it says when to ask again.
    details: list[AnyMessage] = field(default_factory=list)


async def refusal(answer: Awaitable[object]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer
    return read_refusal(caught.value)


def read_refusal(error: grpc.aio.AioRpcError) -> Refusal:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # The stubs know the blocking client only.
    info, faults, retry = ErrorInfo(), list[tuple[str, str]](), False
    for detail in status.details if status else ():
        bad, failed = BadRequest(), PreconditionFailure()
        retry |= detail.Is(RetryInfo.DESCRIPTOR)
        detail.Unpack(info)
        if detail.Unpack(bad):
            faults += [(each.field, each.reason) for each in bad.field_violations]
        if detail.Unpack(failed):
            faults += [(each.subject, each.type) for each in failed.violations]
    details = list(status.details) if status else []
    return Refusal(error.code(), error.details(), info.reason, faults, dict(info.metadata), retry, details)


def _event(subject: str, payload: bytes) -> Any:
    """The message whose subject it is, of those that the service's events.proto has."""
    fact = subject.rpartition(".")[0]
    events = descriptor_pool.Default().FindFileByName(f"atoll/{fact.partition('.')[0]}/v1/events.proto")
    for descriptor in events.message_types_by_name.values():
        event_type: Any = GetMessageClass(descriptor)
        if descriptor.GetOptions().Extensions[subject_option] == fact:
            return event_type.FromString(payload)
    raise LookupError(subject)
