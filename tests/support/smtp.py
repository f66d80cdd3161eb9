"""A real SMTP server in this process, which shows what arrived and misbehaves as it is told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"


@dataclass
class Mailbox:
    port: int = 0
    arrived: list[EmailMessage] = field(default_factory=list)
    return_paths: list[str] = field(default_factory=list)
    """Of each that arrived."""
    rcpt_answer: str = "250 OK"
    data_answer: str = "250 OK"
    drops: bool = False
    """Takes the next message and breaks the line without a word."""
    on_data: Callable[[], Awaitable[object]] | None = None
    """Awaited when a message has arrived, before it is answered."""
    on_rcpt: Callable[[], Awaitable[object]] | None = None
    """Awaited before a recipient is answered."""

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, _: list[str]) -> str:
        if self.on_rcpt:
            await self.on_rcpt()
        if self.rcpt_answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt_answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content: Any = envelope.content
        mail: Any = message_from_bytes(content, policy=default)
        if not self.data_answer.startswith("250"):
            return self.data_answer
        self.arrived.append(mail)
        self.return_paths.append(envelope.mail_from or "")
        if self.on_data:
            await self.on_data()
        if self.drops:
            assert server.transport
            server.transport.close()
        return self.data_answer

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail in self.arrived if mail["To"] == address]


@asynccontextmanager
async def smtp_server() -> AsyncIterator[Mailbox]:
    mailbox, loop = Mailbox(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox, hostname="mail.example.org", loop=loop), HOST, 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
