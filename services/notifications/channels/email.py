"""Email: composed here, handed over by SMTP. Knows nothing of who is a patient."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from functools import partial

import aiosmtplib

from services.notifications.domain.sending import Answer

TIMEOUT_S = 30.0
"""Of each answer of the server."""
QUIT_S = 1.0
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
"""As HTML has it: what every server carries, none of the RFC's rarer forms."""
POLICY = SMTP.clone(cte_type="7bit")
TAKEN, LINE_BROKE = "SMTP_250", "SMTP_NO_ANSWER"


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


class AddressUnusable(Exception):
    """The recipient's address is none that SMTP could carry. Does not repeat it."""


def compose(letter: Letter) -> EmailMessage:
    """ValueError where something in it cannot be a line of the head."""
    mail = EmailMessage(policy=POLICY)
    mail["From"] = Address(letter.sender_name, addr_spec=letter.sender)
    if not ADDRESS.fullmatch(letter.recipient):
        raise AddressUnusable()
    mail["To"] = letter.recipient
    mail["Subject"] = letter.subject
    mail["Date"] = letter.written
    mail["Message-ID"] = f"<{letter.message_id}@{domain_of(letter.sender)}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(letter.text)
    mail["Content-Language"] = letter.language
    return mail


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
                    return _meaning(error.code, refused, broken), f"SMTP_{error.code}"
                except (aiosmtplib.SMTPException, OSError):
                    return broken, LINE_BROKE
            with suppress(aiosmtplib.SMTPException, OSError):
                await smtp.quit(timeout=QUIT_S)
            return Answer.TAKEN, TAKEN
        finally:
            smtp.close()


def _meaning(code: int, refused: Answer, broken: Answer) -> Answer:
    """RFC 5321: 5xx is for good, 4xx for now; anything else is no answer."""
    return refused if code >= 500 else Answer.NOT_NOW if code >= 400 else broken


def domain_of(address: str) -> str:
    return address.rpartition("@")[2]
