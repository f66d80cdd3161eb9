"""Letters that come back, by a real SMTP server, days after the next one took them."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email.message import EmailMessage
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
import pytest_asyncio
from pydantic import ValidationError

from atoll.billing.v1.events_pb2 import EstimateIssued
from atoll.notifications.v1.events_pb2 import EstimateEmailReturned, MessageSettled
from chassis.ids import new_id, to_wire
from chassis.money import Money
from chassis.money import to_wire as money_to_wire
from deploy.local.process import free_port
from services.notifications.bounces import Door, take_bounces
from services.notifications.channels.bounces import return_path
from services.notifications.settings import MESSAGE_KEYS, NotificationsSettings
from services.notifications.texting.keys import message_keys
from tests.integration.test_notifications_digests import digests_at, go_to, pay
from tests.support.notifications import Office, open_office
from tests.support.service import NOW
from tests.support.smtp import HOST
from tests.support.texting import write_message_keys

ANA = "ana@example.org"
LATER = timedelta(hours=1)


@pytest_asyncio.fixture
async def office(
    postgres_url: str, issuer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Office]:
    """Letters of its sender come back to a door of their own."""
    write_message_keys(tmp_path / "message-keys.json")
    monkeypatch.setenv(MESSAGE_KEYS, str(tmp_path / "message-keys.json"))
    async with open_office(postgres_url, issuer_folder) as office:
        office.settings = office.settings.model_copy(update={"mail_bounces_listen": "127.0.0.1:1"})
        yield office


@asynccontextmanager
async def door(office: Office) -> AsyncIterator[int]:
    server = await Door(office.svc.db, office.svc.clock, "example.org").open(HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def report(status: str, action: str = "failed") -> bytes:
    """As RFC 3464 has it: words, what a program reads, and the head of what comes back."""
    mail = MIMEMultipart("report")
    mail.set_param("report-type", "delivery-status")
    mail.attach(MIMEText("Your message could not be delivered."))
    told = MIMEBase("message", "delivery-status")
    about_server, about_recipient = EmailMessage(), EmailMessage()
    about_server["Reporting-MTA"] = "dns; mx.example.org"
    about_recipient["Final-Recipient"] = f"rfc822; {ANA}"
    about_recipient["Action"] = action
    about_recipient["Status"] = status
    told.set_payload([about_server, about_recipient])
    mail.attach(told)
    mail.attach(MIMEText("Subject: hello", "rfc822-headers"))
    return mail.as_bytes()


async def bring_back(office: Office, to: str, content: bytes) -> int:
    async with door(office) as port:
        return await hand_in(port, to, content)


async def hand_in(port: int, to: str, content: bytes) -> int:
    """How whoever brings it is answered; 0: not at all."""
    try:
        async with aiosmtplib.SMTP(hostname=HOST, port=port) as smtp:
            await smtp.mail("")
            await smtp.rcpt(to)
            return (await smtp.data(content)).code
    except aiosmtplib.SMTPResponseException as error:
        return error.code
    except aiosmtplib.SMTPConnectError:
        return 0


def lose_keys() -> None:
    Path(os.environ[MESSAGE_KEYS]).write_text("{}")


async def send(office: Office) -> str:
    """Where the last letter comes back to."""
    await office.end_holds()
    await office.sender().drain()
    return office.mailbox.return_paths[-1]


async def said(office: Office) -> list[tuple[str, str, str, list[tuple[str, str, str]]]]:
    return [
        (
            row["status"],
            row["channel"],
            row["reason"] or "",
            [(each["channel"], each["reason"], each["code"]) for each in json.loads(row["passed_over"])],
        )
        for row in await office.rows()
    ]


async def suppressed(office: Office) -> list[tuple[str, str, str]]:
    rows = await office.svc.admin.fetch("SELECT channel, kind, note FROM suppression")
    return [tuple(row) for row in rows]


async def failed(office: Office) -> list[str]:
    published = [event for _, event in await office.svc.published() if isinstance(event, MessageSettled)]
    return [event.message_id for event in published if event.outcome == "FAILED"]


async def test_each_letter_comes_back_to_a_path_of_its_own(office: Office) -> None:
    """Which shows nobody, and is no longer than an address may be; what the recipient sees stays as it was."""
    await pay(office, 100)
    await pay(office, 200)
    await send(office)
    paths = office.mailbox.return_paths
    assert len(set(paths)) == 2
    assert {path.partition("@")[2] for path in paths} == {"example.org"}
    assert {len(path.partition("@")[0]) for path in paths} == {64}
    assert {str(mail["From"]).split()[-1] for mail in office.mailbox.arrived} == {"<notices@example.org>"}


@pytest.mark.parametrize("lacks", ["door", "keys"])
async def test_without_a_door_or_keys_letters_come_back_to_whom_they_are_from(office: Office, lacks: str) -> None:
    if lacks == "door":
        office.settings = office.settings.model_copy(update={"mail_bounces_listen": ""})
    else:
        lose_keys()
    await pay(office, 100)
    assert await send(office) == "notices@example.org"


async def test_a_message_that_came_back_has_failed_and_its_address_is_not_written_to_again(office: Office) -> None:
    await pay(office, 100)
    path = await send(office)
    [row] = await office.rows()
    assert [await bring_back(office, each, report("5.1.1")) for each in (path, path.upper())] == [250, 250]
    assert await said(office) == [("FAILED", "EMAIL", "UNDELIVERED", [("EMAIL", "UNDELIVERED", "DSN_5.1.1")])]
    assert await suppressed(office) == [("EMAIL", "HARD_BOUNCE", "DSN_5.1.1")]
    assert await failed(office) == [to_wire("message", row["id"])]
    office.svc.clock.now = NOW + LATER
    await pay(office, 200)
    await send(office)
    assert len(office.mailbox.arrived) == 1
    assert "ADDRESS_SUPPRESSED" in str((await office.rows())[-1]["passed_over"])


async def test_a_message_that_came_back_goes_by_its_next_channel(office: Office) -> None:
    await office.book()
    await office.svc.admin.execute("DELETE FROM message WHERE kind <> 'VISIT_CONFIRMATION'")
    await office.svc.admin.execute("UPDATE message SET channels = ARRAY['EMAIL', 'IN_APP']")
    path = await send(office)
    assert await bring_back(office, path, report("5.4.4 (no route)")) == 250
    [(status, channel, _, passed_over)] = await said(office)
    assert (status, channel, passed_over) == ("SCHEDULED", "IN_APP", [("EMAIL", "UNDELIVERED", "DSN_5.4.4")])
    await send(office)
    assert [(status, channel) for status, channel, *_ in await said(office)] == [("SENT", "IN_APP")]
    assert (await suppressed(office), await failed(office)) == ([], [])


async def test_each_message_of_a_digest_comes_back_with_it(office: Office) -> None:
    await digests_at(office, 17)
    await pay(office, 100)
    await pay(office, 250)
    await office.sender().drain()
    await go_to(office, NOW + timedelta(hours=8))
    [path] = office.mailbox.return_paths
    assert await bring_back(office, path, report("5.1.10")) == 250
    assert [status for status, *_ in await said(office)] == ["FAILED", "FAILED"]
    assert len(await failed(office)) == 2
    assert len(await suppressed(office)) == 1


async def test_an_estimate_that_came_back_is_told_of_once_and_nothing_else_is(office: Office) -> None:
    estimate_id = to_wire("estimate", new_id())
    ids: dict[str, Any] = {
        "patient_id": to_wire("patient", office.patient_id),
        "site_id": to_wire("site", office.site_id),
    }
    await office.svc.deliver(EstimateIssued(estimate_id=estimate_id, total=money_to_wire(Money(100)), **ids))
    path = await send(office)
    await pay(office, 100)
    for back in (await send(office), path, path):
        assert await bring_back(office, back, report("5.2.2")) == 250
    told = [event for _, event in await office.svc.published() if isinstance(event, EstimateEmailReturned)]
    [row] = await office.rows("ESTIMATE_READY")
    said = [(each.estimate_id, each.message_id, each.patient_id, each.site_id) for each in told]
    assert said == [(estimate_id, to_wire("message", row["id"]), *ids.values())]


@pytest.mark.parametrize(
    "content",
    [
        report("4.4.1", "delayed"),
        report("4.2.2", "failed"),
        report("2.1.5", "delivered"),
        report("5.1.1", "relayed"),
        b"Subject: Out of office\r\n\r\nBack on Monday. Status: 5.1.1\r\nAction: failed\r\n",
        b"Content-Type: message/delivery-status\r\n\r\n\xff\xfe",
        report("=?utf-8?b?NS4xLjE"),
        b"Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\n",
        b"",
    ],
)
async def test_what_is_no_word_of_a_failure_for_good_changes_nothing(office: Office, content: bytes) -> None:
    await pay(office, 100)
    path = await send(office)
    assert await bring_back(office, path, content) == 250
    assert await said(office) == [("SENT", "EMAIL", "", [])]
    assert await suppressed(office) == []


async def test_what_is_brought_to_no_letter_of_ours_is_refused(office: Office) -> None:
    await pay(office, 100)
    path = await send(office)
    local_part, _, domain = path.partition("@")
    forged = f"{local_part[:-1]}{'a' if local_part[-1] != 'a' else 'b'}@{domain}"
    of_another = return_path(new_id(), (await office.rows())[0]["id"], domain, lambda _: bytes(8))
    for to in (forged, of_another, f"notices@{domain}", f"{local_part[1:]}@{domain}", f"{'1' * 64}@{domain}"):
        assert await bring_back(office, to, report("5.1.1")) == 550, to
    unknown = return_path(office.svc.chain_id, new_id(), domain, message_keys().digest)
    assert await bring_back(office, unknown, report("5.1.1")) == 250
    elsewhere = return_path(new_id(), (await office.rows())[0]["id"], domain, message_keys().digest)
    assert await bring_back(office, elsewhere, report("5.1.1")) == 250
    assert await said(office) == [("SENT", "EMAIL", "", [])]


async def test_what_comes_back_before_it_is_settled_is_to_be_brought_again(office: Office) -> None:
    codes = list[int]()

    async def at_once() -> None:
        codes.append(await bring_back(office, office.mailbox.return_paths[-1], report("5.1.1")))

    office.mailbox.on_data = at_once
    await pay(office, 100)
    path = await send(office)
    assert codes == [451]
    assert [status for status, *_ in await said(office)] == ["SENT"]
    assert await bring_back(office, path, report("5.1.1")) == 250
    assert [status for status, *_ in await said(office)] == ["FAILED"]


async def test_while_the_keys_are_gone_it_is_to_be_brought_again(office: Office) -> None:
    await pay(office, 100)
    path = await send(office)
    lose_keys()
    assert await bring_back(office, path, report("5.1.1")) == 451
    write_message_keys(Path(os.environ[MESSAGE_KEYS]))
    assert await bring_back(office, path, report("5.1.1")) == 250


async def test_the_service_takes_mail_back_where_it_is_told_to(office: Office) -> None:
    await pay(office, 100)
    path = await send(office)
    port = free_port()
    settings = office.settings.model_copy(update={"mail_bounces_listen": f"{HOST}:{port}"})
    job = asyncio.create_task(take_bounces(office.svc.db, settings, office.svc.clock))
    for _ in range(100):
        if code := await hand_in(port, path, report("5.1.1")):
            break
        await asyncio.sleep(0.05)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert (code, [status for status, *_ in await said(office)]) == (250, ["FAILED"])
    assert await hand_in(port, path, report("5.1.1")) == 0


@pytest.mark.parametrize(("place", "faulty"), [("mail", True), ("mail:", True), ("127.0.0.1:25", False), ("", False)])
def test_where_mail_comes_back_to_is_a_host_and_a_port(place: str, faulty: bool) -> None:
    with pytest.raises(ValidationError) as refused:  # Other settings are missing.
        NotificationsSettings.model_validate({"mail_bounces_listen": place})
    assert (("mail_bounces_listen",) in [each["loc"] for each in refused.value.errors()]) is faulty


async def test_a_report_that_is_too_large_is_refused(office: Office) -> None:
    await pay(office, 100)
    path = await send(office)
    assert await bring_back(office, path, report("5.1.1") + b"x\r\n" * (2 << 20)) == 552
    assert await said(office) == [("SENT", "EMAIL", "", [])]
