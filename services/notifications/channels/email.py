"""Email: composed here, handed over by SMTP. Knows nothing of who is a patient."""

import re
from binascii import b2a_qp
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.message import Message
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import compat32
from email.utils import format_datetime, formataddr
from functools import partial

import aiosmtplib
from icalendar import Calendar, Event, vCalAddress

from services.notifications.domain.documents import Document
from services.notifications.domain.sending import Answer

TIMEOUT_S = 30.0
"""Of each answer of the server."""
QUIT_S = 1.0
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
"""As HTML has it: what every server carries, none of the RFC's rarer forms."""
POLICY = compat32.clone(linesep="\r\n")
BOUNDARY = "=_"
"""With it no line of quoted-printable text begins."""
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
TAKEN, LINE_BROKE = "SMTP_250", "SMTP_NO_ANSWER"
PRODUCT = "-//Atoll//Notifications//EN"
UNSUBSCRIBE = re.compile(r"(?:https://|mailto:)[^\s<>,]+")


@dataclass(frozen=True, slots=True)
class Invitation:
    """A visit as calendars keep it (RFC 5545). One of the same `uid` and a higher `sequence` replaces the earlier."""

    uid: str
    sequence: int
    start: datetime
    end: datetime
    summary: str  # The site's discreet name and nothing else: calendars are shared, and shown on locked screens.
    location: str
    cancelled: bool = False

    @property
    def method(self) -> str:
        return "CANCEL" if self.cancelled else "REQUEST"


@dataclass(frozen=True, slots=True)
class Letter:
    sender: str
    sender_name: str
    recipient: str
    subject: str
    text: str
    message_id: str  # Its own, whatever the attempt: a reader's mail program drops the second copy.
    language: str
    written: datetime
    html: str | None = None
    invitation: Invitation | None = None
    attachments: Sequence[Document] = ()
    unsubscribe: str | None = None
    """Where nobody needs the letter: the https: or mailto: address by which no more of its kind come."""


class AddressUnusable(Exception):
    """The recipient's address is none that SMTP could carry. Does not repeat it."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A letter as it goes over the line."""

    sender: str
    recipient: str
    content: bytes


def compose(letter: Letter) -> Mail:
    """Plain text, HTML and invitation as alternatives; beside them what is attached. ValueError where something cannot
    be a line of the head.

    By the old classes of the email package: the new ones read back each header that they are given, which costs more
    than all else that a message needs.
    """
    if not ADDRESS.fullmatch(letter.recipient):
        raise AddressUnusable()
    parts = [_part(letter.text, "plain")]
    if letter.html:
        parts.append(_part(letter.html, "html"))
    if letter.invitation:
        content = _calendar(letter, letter.invitation).to_ical().decode()
        parts.append(_part(content, "calendar", method=letter.invitation.method))
    mail = parts[0]
    if len(parts) > 1:
        mail = MIMEMultipart("alternative", boundary=f"{BOUNDARY}{letter.message_id}", _subparts=parts)
    if letter.attachments:
        attached = map(_attachment, letter.attachments)
        mail = MIMEMultipart("mixed", boundary=f"{BOUNDARY}{letter.message_id}.whole", _subparts=[mail, *attached])
    for name, value in _head(letter):
        if CONTROL.search(value):
            raise ValueError(name)
        mail[name] = value if value.isascii() else Header(value, "utf-8", header_name=name).encode()
    return Mail(letter.sender, letter.recipient, mail.as_bytes(policy=POLICY))


def _head(letter: Letter) -> Iterator[tuple[str, str]]:
    if CONTROL.search(letter.sender_name):
        raise ValueError("From")
    yield "From", formataddr((letter.sender_name, letter.sender))
    yield "To", letter.recipient
    yield "Subject", letter.subject
    yield "Date", format_datetime(letter.written)
    yield "Message-ID", f"<{letter.message_id}@{domain_of(letter.sender)}>"
    yield "Auto-Submitted", "auto-generated"
    if letter.unsubscribe:
        yield "List-Unsubscribe", _unsubscribe(letter.unsubscribe)
    yield "Content-Language", letter.language


def _part(text: str, subtype: str, method: str = "") -> Message:
    """Quoted-printable: readable where a program shows the source, and short enough in each line."""
    part = MIMENonMultipart("text", subtype, charset="utf-8")
    if method:
        part.set_param("method", method)
    part["Content-Transfer-Encoding"] = "quoted-printable"
    part.set_payload(b2a_qp(text.encode(), istext=True).decode("ascii"))
    return part


def _attachment(document: Document) -> Message:
    part = MIMEApplication(document.pdf, "pdf", name=document.name)
    part.add_header("Content-Disposition", "attachment", filename=document.name)
    return part


def _unsubscribe(address: str) -> str:
    if not UNSUBSCRIBE.fullmatch(address):
        raise ValueError("not an address by which to unsubscribe")
    return f"<{address}>"


def _calendar(letter: Letter, invitation: Invitation) -> Calendar:
    """RFC 5546 wants an attendee: it is the address that the letter goes to, without a name, and no answer is asked."""
    calendar, event = Calendar(), Event()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", invitation.method)
    event.add("uid", invitation.uid)
    event.add("sequence", invitation.sequence)
    event.add("dtstamp", letter.written.astimezone(UTC))
    event.add("dtstart", invitation.start.astimezone(UTC))  # Each calendar shows it in its owner's zone.
    event.add("dtend", invitation.end.astimezone(UTC))
    event.add("summary", invitation.summary)
    event.add("location", invitation.location)
    event.add("status", "CANCELLED" if invitation.cancelled else "CONFIRMED")
    event.add("class", "PRIVATE")
    organizer, attendee = vCalAddress(f"mailto:{letter.sender}"), vCalAddress(f"mailto:{letter.recipient}")
    organizer.params["CN"] = letter.sender_name
    attendee.params["RSVP"] = "FALSE"
    event.add("organizer", organizer)
    event.add("attendee", attendee)
    calendar.add_component(event)
    return calendar


class Mailer:
    """One conversation per letter: one that breaks takes no other with it."""

    def __init__(self, host: str, port: int, timeout_s: float = TIMEOUT_S) -> None:
        self._host, self._port, self._timeout_s = host, port, timeout_s

    async def send(self, mail: Mail) -> tuple[Answer, str]:
        """What came of it, and a code that tells more."""
        smtp = aiosmtplib.SMTP(
            hostname=self._host, port=self._port, timeout=self._timeout_s, local_hostname=domain_of(mail.sender)
        )
        # What a refusal for good means, and what a broken line. A server that refuses us before it has heard of a
        # recipient refuses every letter: that is its trouble, not the letter's, and may pass.
        steps = (
            (smtp.connect, Answer.NOT_NOW, Answer.NOT_NOW),
            (partial(smtp.mail, mail.sender), Answer.NOT_NOW, Answer.NOT_NOW),
            (partial(smtp.rcpt, mail.recipient), Answer.NEVER, Answer.NOT_NOW),
            (partial(smtp.data, mail.content), Answer.NEVER, Answer.NONE),
        )
        try:
            for step, refused, broken in steps:
                try:
                    await step()
                except aiosmtplib.SMTPResponseException as error:
                    return _meaning(error.code, refused, broken), _code(error)
                except (aiosmtplib.SMTPException, OSError):
                    return broken, LINE_BROKE
            with suppress(aiosmtplib.SMTPException, OSError):
                await smtp.quit(timeout=QUIT_S)
            return Answer.TAKEN, TAKEN
        finally:
            smtp.close()


def _code(error: aiosmtplib.SMTPResponseException) -> str:
    """With the enhanced status code of RFC 3463 where the server gave one: SMTP_550_5.1.1."""
    enhanced = ENHANCED.match(error.message)
    return f"SMTP_{error.code}" + (f"_{enhanced.group()}" if enhanced else "")


def _meaning(code: int, refused: Answer, broken: Answer) -> Answer:
    """RFC 5321: 5xx is for good, 4xx for now; anything else is no answer."""
    return refused if code >= 500 else Answer.NOT_NOW if code >= 400 else broken


def domain_of(address: str) -> str:
    return address.rpartition("@")[2]
