"""What one letter's conversation with a real SMTP server comes to."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from services.notifications.channels.email import AddressUnusable, Letter, Mailer, compose
from services.notifications.domain.sending import Answer
from tests.support.smtp import HOST, Mailbox, smtp_server

LETTER = Letter(
    sender="notices@example.org",
    sender_name="Harbor Lane",
    recipient="ana@example.org",
    subject="Recordatorio: Harbor Lane, miércoles",
    text="Hola, Ana:\n\nEl miércoles.\n",
    message_id="message_01",
    language="es",
    written=datetime(2027, 3, 1, 16, tzinfo=UTC),
)


@pytest_asyncio.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with smtp_server() as mailbox:
        yield mailbox


async def send(mailbox: Mailbox, timeout_s: float = 5.0) -> tuple[Answer, str]:
    return await Mailer(HOST, mailbox.port, timeout_s).send(compose(LETTER))


async def test_a_letter_arrives_whole(mailbox: Mailbox) -> None:
    assert await send(mailbox) == (Answer.TAKEN, "SMTP_250")
    [mail] = mailbox.arrived
    assert (mail["From"], mail["To"]) == ("Harbor Lane <notices@example.org>", "ana@example.org")
    assert mail["Subject"] == "Recordatorio: Harbor Lane, miércoles"
    assert mail["Message-ID"] == "<message_01@example.org>"
    assert mail["Date"].datetime == datetime(2027, 3, 1, 16, tzinfo=UTC)
    assert (mail["Auto-Submitted"], mail["Content-Language"]) == ("auto-generated", "es")
    assert mail.get_content().splitlines() == ["Hola, Ana:", "", "El miércoles."]


@pytest.mark.parametrize(("answer", "meaning"), [("451 later", Answer.NOT_NOW), ("550 no such mailbox", Answer.NEVER)])
async def test_a_recipient_is_refused(mailbox: Mailbox, answer: str, meaning: Answer) -> None:
    mailbox.rcpt_answer = answer
    assert await send(mailbox) == (meaning, f"SMTP_{answer[:3]}")
    assert mailbox.arrived == []


@pytest.mark.parametrize(("answer", "meaning"), [("452 full", Answer.NOT_NOW), ("554 spam", Answer.NEVER)])
async def test_the_content_is_refused(mailbox: Mailbox, answer: str, meaning: Answer) -> None:
    mailbox.data_answer = answer
    assert await send(mailbox) == (meaning, f"SMTP_{answer[:3]}")


async def test_a_server_that_is_away_has_not_taken_it(mailbox: Mailbox) -> None:
    async with smtp_server() as gone:
        pass
    assert await send(gone) == (Answer.NOT_NOW, "SMTP_NO_ANSWER")


async def test_a_server_that_refuses_everybody_has_not_refused_this_letter_for_good() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"554 no service here\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, HOST, 0)
    async with server:
        assert await send(Mailbox(server.sockets[0].getsockname()[1])) == (Answer.NOT_NOW, "SMTP_554")


async def test_a_line_that_breaks_after_the_content_leaves_it_open(mailbox: Mailbox) -> None:
    mailbox.drops = True
    assert await send(mailbox) == (Answer.NONE, "SMTP_NO_ANSWER")
    assert len(mailbox.arrived) == 1


async def test_a_server_that_takes_too_long_to_answer_leaves_it_open(mailbox: Mailbox) -> None:
    mailbox.on_data = lambda: asyncio.sleep(1)
    assert await send(mailbox, timeout_s=0.2) == (Answer.NONE, "SMTP_NO_ANSWER")


@pytest.mark.parametrize(
    "address", ["ana", "ana@", "a b@example.org", "ana@example.org\r\nBcc: x@example.org", "aña@example.org", ""]
)
def test_what_is_no_address_is_refused_before_anything_is_sent(address: str) -> None:
    with pytest.raises(AddressUnusable):
        compose(replace(LETTER, recipient=address))


def test_a_subject_cannot_smuggle_in_a_header() -> None:
    with pytest.raises(ValueError, match="Subject"):
        compose(replace(LETTER, subject="Reminder\r\nBcc: x@example.org"))
