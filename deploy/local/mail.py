"""An SMTP server that delivers to nobody: it keeps each message as a file and shows what arrived on a page.

`python -m deploy.local.mail FOLDER SMTP_PORT PAGE_PORT TEXTS_FOLDER TEXTS_PORT WEBHOOK_URL`; runs until SIGTERM, and
not at all in production mode. The pages have a JSON twin: /messages.json and /messages/<id>.json. The last three are of
deploy.local.texts, which has no process of its own: both wait nearly all the time.
"""

import asyncio
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart
from functools import lru_cache
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.local.pages import Pages, open_pages
from deploy.local.process import HOST, PYTHON, Program, answers_http
from deploy.local.texts.pages import open_texts

MESSAGE_MAX = 4 << 20
SHOWN_MAX = 500
PAGE_POLL_S = 0.05
ATTACHED = re.compile(r"/messages/(?P<id>[^/]+)/attachments/(?P<number>[0-9]{1,3})")
ENVELOPE = ("X-Received-Time", "X-Sender", "X-Recipients")
SECURITY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; img-src data:"


@dataclass(frozen=True, slots=True)
class Texts:
    """What deploy.local.texts serves beside the mail."""

    folder: Path
    port: int
    webhook_url: str
    """Scheme and host of notifications' listener."""


def mail(folder: Path, smtp_port: int, page_port: int, texts: Texts) -> Program:
    told = (folder, smtp_port, page_port, texts.folder, texts.port, texts.webhook_url)
    pages = [f"http://{HOST}:{port}/healthz" for port in (page_port, texts.port)]
    return Program(
        name="mail",
        command=(sys.executable, "-m", "deploy.local.mail", *map(str, told)),
        environment=PYTHON,
        ready=lambda pid: all(map(answers_http, pages)),
        fault=lambda log: log.strip().rpartition("\n")[2] or None,
    )


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    received_time: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    text: str
    html: str
    headers: tuple[tuple[str, str], ...]
    attachments: tuple[tuple[str, str, str], ...]
    """Name, type and, of what is text, the text of each."""

    @property
    def summary(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in ("id", "received_time", "sender", "recipients", "subject")}


@dataclass(frozen=True, slots=True)
class Attachment:
    name: str
    type: str
    content: bytes


class Mailbox:
    """A folder with one .eml file for each message. Files never change, and their names sort by arrival."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, sender: str, recipients: list[str], content: bytes) -> None:
        """On the disk, whole or not at all, before the sender is told that it arrived."""
        now = datetime.now(UTC)
        envelope = (
            f"X-Received-Time: {now.isoformat()}\r\nX-Sender: {sender}\r\nX-Recipients: {', '.join(recipients)}\r\n"
        )
        name = f"{now:%Y%m%dT%H%M%S%f}-{uuid4().hex[:8]}"
        unfinished = self.folder / f"{name}.part"
        with unfinished.open("wb") as file:
            file.write(envelope.encode() + content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self.folder / f"{name}.eml")

    def messages(self) -> Iterator[Message]:
        """The latest first."""
        for path in sorted(self.folder.glob("*.eml"), reverse=True):
            yield read(path)

    def message(self, id: str) -> Message | None:
        path = self.folder / f"{id}.eml"
        return read(path) if path.parent == self.folder and path.is_file() else None

    def attachment(self, id: str, number: int) -> Attachment | None:
        """Of a message that is kept, by its place, from 0."""
        if self.message(id) is None:
            return None
        found = list(_parsed(self.folder / f"{id}.eml").iter_attachments())
        if number >= len(found):
            return None
        content = found[number].get_payload(decode=True)
        assert isinstance(content, bytes)
        return Attachment(_name_of(found[number]), found[number].get_content_type(), content)

    def __len__(self) -> int:
        return sum(1 for _ in self.folder.glob("*.eml"))


@lru_cache(maxsize=2_000)
def read(path: Path) -> Message:
    parsed = _parsed(path)
    recipients = tuple(part for part in str(parsed["X-Recipients"]).split(", ") if part)
    attachments = tuple(
        (_name_of(part), part.get_content_type(), _text(part) if part.get_content_maintype() == "text" else "")
        for part in parsed.iter_attachments()
    )
    return Message(
        id=path.stem,
        received_time=str(parsed["X-Received-Time"]),
        sender=str(parsed["X-Sender"]),
        recipients=recipients,
        subject=str(parsed["Subject"] or ""),
        text=_text(parsed.get_body(("plain",))),
        html=_text(parsed.get_body(("html",))),
        headers=tuple((name, str(value)) for name, value in parsed.items() if name not in ENVELOPE),
        attachments=attachments,
    )


def _parsed(path: Path) -> EmailMessage:
    parsed = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def _name_of(part: Any) -> str:
    return part.get_filename() or "unnamed"


def _text(part: MIMEPart | None) -> str:
    if part is None or part.get_content_maintype() not in ("text", "application"):
        return ""
    content = part.get_content()
    return content if isinstance(content, str) else bytes(content).decode(errors="replace")


class Door:
    """aiosmtpd calls it by this name for each message."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        try:
            await asyncio.to_thread(self._mailbox.keep, envelope.mail_from or "", envelope.rcpt_tos, content)
        except OSError:
            return "451 4.3.0 could not be stored; send it again"
        return "250 2.0.0 kept"


class MailPages(Pages):
    mailbox: Mailbox
    security = SECURITY

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        name, _, extension = path.rpartition(".") if path.endswith(".json") else (path, "", "html")
        if path == "/healthz":
            self.answer("text/plain", "ok")
        elif name in ("/", "/messages"):
            self._list(extension)
        elif attached := ATTACHED.fullmatch(path):
            self._attachment(self.mailbox.attachment(attached["id"], int(attached["number"])))
        elif message := self.mailbox.message(name.removeprefix("/messages/")):
            self._message(message, extension)
        else:
            self.answer("text/plain", "no such message", HTTPStatus.NOT_FOUND)

    def _list(self, extension: str) -> None:
        if extension == "json":
            self.answer_json({"messages": [message.summary for message in self.mailbox.messages()]})
        else:
            shown = list(islice(self.mailbox.messages(), SHOWN_MAX))
            self.answer_page("mail.html.j2", messages=shown, total=len(self.mailbox))

    def _attachment(self, attachment: Attachment | None) -> None:
        """To be kept as a file, whatever it is: never shown as a page of this host."""
        if attachment is None:
            self.answer("text/plain", "no such attachment", HTTPStatus.NOT_FOUND)
            return
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(attachment.name, safe='')}",
            "X-Content-Type-Options": "nosniff",
        }
        self.answer_bytes(attachment.type, attachment.content, headers=headers)

    def _message(self, message: Message, extension: str) -> None:
        if extension == "json":
            self.answer_json(asdict(message))
        else:
            self.answer_page("mail.html.j2", message=message)


async def serve(folder: Path, smtp_port: int, page_port: int, texts: Texts) -> None:
    mailbox, stopped, loop = Mailbox(folder), asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    pages = open_pages(page_port, MailPages, mailbox=mailbox)
    threading.Thread(target=pages.serve_forever, args=(PAGE_POLL_S,), daemon=True).start()
    text_pages = open_texts(texts.folder, texts.port, texts.webhook_url, PAGE_POLL_S)
    door = Door(mailbox)
    server = await loop.create_server(
        lambda: SMTP(door, data_size_limit=MESSAGE_MAX, enable_SMTPUTF8=True, hostname="mail.atoll.test", loop=loop),
        HOST,
        smtp_port,
    )
    await stopped.wait()
    server.close()
    await server.wait_closed()
    pages.shutdown()
    text_pages.shutdown()


def main() -> None:
    if os.environ.get("ATOLL_MODE") == "production":
        sys.exit("the local mail and texts reach nobody: not in production mode (ATOLL_MODE)")
    folder, smtp_port, page_port, texts_folder, texts_port, webhook_url = sys.argv[1:]
    texts = Texts(Path(texts_folder), int(texts_port), webhook_url)
    asyncio.run(serve(Path(folder), int(smtp_port), int(page_port), texts))


if __name__ == "__main__":
    main()
