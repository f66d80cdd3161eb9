"""Webhooks: what a processor tells, over HTTP, on a port of its own, to be reached by the processor through an ingress.

Whoever sends one proves by its signature that they are the processor: it has no token of ours. It is stored, once by
its id, before it is answered; the job applies it. Only ids and the type are kept: a body may hold a patient's name.
"""

import json
from collections.abc import Sequence
from uuid import UUID

import structlog

from chassis.clock import Clock
from chassis.db import Database
from chassis.errors import DomainError
from chassis.http_door import HttpAnswer, HttpDoor, HttpRequest
from chassis.jobs import job_call
from services.billing.processor import Processors
from services.billing.store import BillingStore

log = structlog.get_logger()

PATH = "/v1/processorWebhooks/"
TEXT_MAX = 200
"""Of an id or a type."""


class Listener:
    def __init__(self, db: Database, processors: Processors, clock: Clock, listen: str) -> None:
        """The clock is of real time: nothing of business rests on when a webhook came."""
        self._db, self._processors, self._clock = db, processors, clock
        self._door = HttpDoor(listen, self._answer)

    @property
    def port(self) -> int:
        return self._door.port

    async def open(self) -> None:
        await self._door.open()

    async def close(self) -> None:
        await self._door.close()

    async def _answer(self, request: HttpRequest) -> HttpAnswer:
        account = request.target.removeprefix(PATH)
        if request.method != "POST" or account not in self._processors:
            return HttpAnswer(404)
        signature = request.headers.get("stripe-signature", "")
        return HttpAnswer(await self.receive(account, request.body, signature))

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
        call = job_call("billing", "webhooks", chain_id, self._clock())
        await self._db.job(call, BillingStore, lambda store: store.keep_event(account, event_id, type, object_id))
        log.info("webhook.kept", account=account, event_id=event_id)
