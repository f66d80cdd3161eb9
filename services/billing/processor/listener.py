"""Webhooks: what a processor tells, over HTTP, on a port of its own, to be reached by the processor through an ingress.

Whoever sends one proves by its signature that they are the processor: it has no token of ours. It is stored, once by
its id, before it is answered; the job applies it. Only ids and the type are kept: a body may hold a patient's name.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import h11
import structlog

from atoll.common.v1.access_pb2 import AUDIT_NONE
from chassis.call import Call
from chassis.clock import Clock
from chassis.db import Database
from chassis.errors import DomainError
from chassis.tracing import traceparent_of
from services.billing.processor import Processors
from services.billing.store import BillingStore

log = structlog.get_logger()

PATH = "/v1/processorWebhooks/"
BODY_MAX = 256 << 10
REQUEST_S = 10.0
CHUNK = 64 << 10
TEXT_MAX = 200
"""Of an id or a type."""


class Listener:
    def __init__(self, db: Database, processors: Processors, clock: Clock, listen: str) -> None:
        """The clock is of real time: nothing of business rests on when a webhook came."""
        self._db, self._processors, self._clock, self._listen = db, processors, clock, listen
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        """Without an address nothing is listened for. Several workers share the port."""
        if self._listen:
            host, _, port = self._listen.rpartition(":")
            self._server = await asyncio.start_server(self._serve, host, int(port), reuse_port=True)
            self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of a connection."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=CHUNK)
        try:
            async with asyncio.timeout(REQUEST_S):
                status = await self._answer(connection, reader)
                headers = [("content-length", "0"), ("connection", "close")]
                with suppress(h11.LocalProtocolError):
                    writer.write(connection.send(h11.Response(status_code=status, headers=headers)) or b"")
                    writer.write(connection.send(h11.EndOfMessage()) or b"")
                await writer.drain()
        except (TimeoutError, OSError, h11.RemoteProtocolError) as error:
            log.info("webhook.broken_off", error=type(error).__name__)
        finally:
            writer.close()

    async def _answer(self, connection: h11.Connection, reader: asyncio.StreamReader) -> int:
        request, body = None, bytearray()
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(CHUNK))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > BODY_MAX:
                    return 413
            else:
                raise ConnectionResetError
        assert request
        signature = dict(request.headers).get(b"stripe-signature", b"").decode("latin-1")
        account = request.target.decode("latin-1").removeprefix(PATH)
        if request.method != b"POST" or account not in self._processors:
            return 404
        return await self.receive(account, bytes(body), signature)

    async def receive(self, account: str, payload: bytes, signature: str) -> int:
        """The status of the answer: the processor sends again what gets another than 200."""
        if not self._processors[account].verified(payload, signature):
            log.info("webhook.refused", account=account, reason="BAD_SIGNATURE")
            return 400
        try:
            told = json.loads(payload)
            named = [told["id"], told["type"], told["data"]["object"].get("id") or ""]
        except (ValueError, KeyError, TypeError, AttributeError):
            return 400
        if not all(isinstance(each, str) and len(each) <= TEXT_MAX and each.isprintable() for each in named):
            return 400
        chain_id = self._processors.chain_of(account)
        assert chain_id
        try:
            await self._keep(chain_id, account, named)
        except DomainError:
            return 503
        return 200

    async def _keep(self, chain_id: UUID, account: str, named: Sequence[str]) -> None:
        event_id, type, object_id = named
        call = Call(chain_id, None, "billing", "billing.webhooks", "", AUDIT_NONE, self._clock(), traceparent_of(""))
        await self._db.job(call, BillingStore, lambda store: store.keep_event(account, event_id, type, object_id))
        log.info("webhook.kept", account=account, event_id=event_id)
