"""The job that takes letters back: mail that could not be delivered comes by SMTP to the return path of its letter.

Nothing is kept of it but the code that it gives. It is answered once what it says is committed, so that whoever brings
it tries again when we could not; one that comes again has no effect.
"""

import asyncio
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session

from chassis.clock import Clock
from chassis.db import Database
from chassis.errors import DomainError
from chassis.ids import to_wire
from chassis.jobs import job_call
from chassis.keyring import KeyMissing
from services.notifications.channels.bounces import failure_in, returned_to
from services.notifications.channels.email import domain_of
from services.notifications.settings import NotificationsSettings
from services.notifications.store import NotificationsStore
from services.notifications.texting.keys import message_keys
from services.notifications.use_cases.bounces import take_back

log = structlog.get_logger()

SIZE_MAX = 4 << 20
"""Bytes; a report may bring the whole letter with it."""
IDLE_S = 60.0
TAKEN, NOBODY, LATER = "250 2.0.0 taken", "550 5.1.1 no such mailbox", "451 4.3.0 not now, send it again"


async def take_bounces(db: Database, settings: NotificationsSettings, clock: Clock) -> None:
    """Until cancelled."""
    if not settings.mail_bounces_listen:
        await asyncio.Event().wait()
    host, _, port = settings.mail_bounces_listen.rpartition(":")
    server = await Door(db, clock, domain_of(settings.mail_from)).open(host, int(port))
    try:
        await server.serve_forever()
    finally:
        server.close()


class Door:
    """aiosmtpd calls its methods by their names."""

    def __init__(self, db: Database, clock: Clock, domain: str) -> None:
        self._db, self._clock, self._domain = db, clock, domain

    async def open(self, host: str, port: int) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(self._session, host, port, reuse_port=True)

    def _session(self) -> SMTP:
        return SMTP(self, hostname=self._domain, data_size_limit=SIZE_MAX, timeout=IDLE_S, ident="notifications")

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        try:
            letter = returned_to(address, message_keys().digest)
        except KeyMissing:
            return LATER
        if letter is None:
            return NOBODY
        envelope.rcpt_tos.append(address)
        return TAKEN

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content: Any = envelope.content
        if not (status := await asyncio.to_thread(failure_in, content)):
            return TAKEN
        try:
            letters = [returned_to(address, message_keys().digest) for address in envelope.rcpt_tos]
            taken = [await self._take(*letter, f"DSN_{status}") for letter in letters if letter]
        except (DomainError, KeyMissing) as error:
            log.error("bounce.not_taken", error=getattr(error, "reason", type(error).__name__))
            return LATER
        return TAKEN if all(taken) else LATER

    async def _take(self, chain_id: UUID, message_id: UUID, code: str) -> bool:
        call = job_call("notifications", "bounces", chain_id, self._clock())
        work = partial(take_back, message_id=message_id, code=code)
        taken = await self._db.job(call, NotificationsStore, work)
        log.info("bounce.taken" if taken else "bounce.early", message_id=to_wire("message", message_id), code=code)
        return taken
