"""Email: composed here, handed over by SMTP. Knows nothing of who is a patient."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from functools import partial

import aiosmtplib
from icalendar import Calendar, Event, vCalAddress

from services.notifications.domain.sending import Answer

TIMEOUT_S = 30.0
"""Of each answer of the server."""
QUIT_S = 1.0
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
"""As HTML has it: what every server carries, none of the RFC's rarer forms."""
POLICY = SMTP.clone(cte_type="7bit")
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
    unsubscribe: str | None = None
    """Where nobody needs the letter: the https: or mailto: address by which no more of its kind come."""


class AddressUnusable(Exception):
    """The recipient's address is none that SMTP could carry. Does not repeat it."""


def compose(letter: Letter) -> EmailMessage:
    """Plain text, HTML and invitation as alternatives. ValueError where something cannot be a line of the head."""
    mail = EmailMessage(policy=POLICY)
    mail["From"] = Address(letter.sender_name, addr_spec=letter.sender)
    if not ADDRESS.fullmatch(letter.recipient):
        raise AddressUnusable()
    mail["To"] = letter.recipient
    mail["Subject"] = letter.subject
    mail["Date"] = letter.written
    mail["Message-ID"] = f"<{letter.message_id}@{domain_of(letter.sender)}>"
    mail["Auto-Submitted"] = "auto-generated"
    if letter.unsubscribe:
        mail["List-Unsubscribe"] = _unsubscribe(letter.unsubscribe)
    mail.set_content(letter.text)
    if letter.html:
        mail.add_alternative(letter.html, subtype="html")
    if letter.invitation:
        content = _calendar(letter, letter.invitation).to_ical().decode()
        mail.add_alternative(content, subtype="calendar", params={"method": letter.invitation.method})
    mail["Content-Language"] = letter.language  # Last: each alternative takes what is known of the content along.
    return mail


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

    async def send(self, mail: EmailMessage) -> tuple[Answer, str]:
        """What came of it, and a code that tells more."""
        sender, recipient = (mail[name].addresses[0].addr_spec for name in ("From", "To"))
        smtp = aiosmtplib.SMTP(
            hostname=self._host, port=self._port, timeout=self._timeout_s, local_hostname=domain_of(sender)
        )
        # What a refusal for good means, and what a broken line. A server that refuses us before it has heard of a
        # recipient refuses every letter: that is its trouble, not the letter's, and may pass.
        steps = (
            (smtp.connect, Answer.NOT_NOW, Answer.NOT_NOW),
            (partial(smtp.mail, sender), Answer.NOT_NOW, Answer.NOT_NOW),
            (partial(smtp.rcpt, recipient), Answer.NEVER, Answer.NOT_NOW),
            (partial(smtp.data, mail.as_bytes()), Answer.NEVER, Answer.NONE),
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
