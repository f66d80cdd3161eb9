"""Each message goes out once: whatever dies in between, whoever else sends, whatever happens to its visit meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
import structlog

from atoll.patients.v1.patient_pb2 import (
    CONTACT_SYSTEM_EMAIL,
    CONTACT_USE_OLD,
    RELATED_PERSON_ROLE_GUARANTOR,
    ContactPoint,
)
from chassis.ids import new_id, to_wire
from services.notifications import sender
from services.notifications.domain.messages import Status
from services.notifications.domain.sending import Settle, Taken
from services.notifications.sender import Sender
from tests.support.notifications import FIRST, Office, open_office
from tests.support.service import NOW
from tests.support.smtp import HOST

REMINDER_AT = FIRST - timedelta(hours=48)


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Office]:
    async with open_office(postgres_url, issuer_folder) as office:
        yield office


async def only(office: Office, kind: str) -> None:
    """One message, of this kind, due now."""
    await office.book()
    await office.svc.admin.execute("DELETE FROM message WHERE kind <> $1", kind)
    office.svc.clock.now = NOW if kind == "VISIT_CONFIRMATION" else REMINDER_AT


async def test_what_is_due_goes_out_and_what_is_not_waits(office: Office) -> None:
    await office.book()
    assert await office.sender().drain() == 1
    [mail] = office.mailbox.arrived
    assert mail["Subject"] == "Booked: Harbor Lane, Monday, March 8, 2027, 9:00 AM MST"
    assert mail["From"] == "Harbor Lane <notices@example.org>"
    assert mail["To"] == "ana@example.org"
    plain = mail.get_body(("plain",))
    assert plain
    assert "Hello Anahí," in plain.get_content()
    assert await office.ends() == [("CONFIRMATION", "SENT", None), ("REMINDER", "SCHEDULED", None)]


async def test_a_reminder_goes_out_when_its_time_has_come(office: Office) -> None:
    await office.book()
    office.svc.clock.now = REMINDER_AT - timedelta(seconds=1)
    assert await office.sender().drain() == 1
    office.svc.clock.now = REMINDER_AT
    assert await office.sender().drain() == 1
    assert [mail["Subject"].partition(":")[0] for mail in office.mailbox.arrived] == ["Booked", "Reminder"]


async def test_a_sent_message_tells_all_about_itself(office: Office) -> None:
    event = await office.book()
    await office.sender().drain()
    [row] = await office.rows("VISIT_CONFIRMATION")
    assert (row["status"], row["attempts"], row["sent_at"], row["last_error"]) == ("SENT", 1, NOW, None)
    assert (row["template"], row["template_language"]) == ("visit_confirmation", "en")
    [(subject, settled)] = await office.svc.published()
    assert subject == "notifications.v1.message.settled"
    assert (settled.message_id, settled.outcome) == (to_wire("message", row["id"]), "SENT")
    assert (settled.meta.cause, settled.meta.actor) == (event.meta.event_id, "notifications")
    assert office.mailbox.arrived[0]["Message-ID"] == f"<{to_wire('message', row['id'])}@example.org>"


async def test_a_message_is_in_the_language_that_patients_knows_now(office: Office) -> None:
    await office.book()
    office.patients.details[to_wire("patient", office.patient_id)].language = "es-MX"
    await office.sender().drain()
    assert office.mailbox.arrived[0]["Subject"].startswith("Reservado: Harbor Lane, lunes 8 de marzo de 2027")
    assert (await office.rows("VISIT_CONFIRMATION"))[0]["template_language"] == "es"


async def test_patients_is_asked_as_a_service_in_the_name_of_the_chain(office: Office) -> None:
    await office.book()
    await office.sender().drain()
    [asked] = office.patients.asked
    assert asked["atoll-chain"] == to_wire("chain", office.svc.chain_id)
    assert asked["authorization"].startswith("Bearer ey")
    assert asked["traceparent"]


async def test_the_address_that_is_tried_first_gets_it_and_an_old_one_never(office: Office) -> None:
    await office.book()
    details = office.patients.details[to_wire("patient", office.patient_id)]
    del details.contact_points[:]
    for value, rank, use in (
        ("last@example.org", 0, 0),
        ("old@example.org", 1, CONTACT_USE_OLD),
        ("first@example.org", 2, 0),
    ):
        point = ContactPoint(system=CONTACT_SYSTEM_EMAIL, value=value, rank=rank, use=use)  # type: ignore[arg-type]
        details.contact_points.append(point)
    await office.sender().drain()
    assert [mail["To"] for mail in office.mailbox.arrived] == ["first@example.org"]


@pytest.mark.parametrize("emails", [(), ("not an address",)])
async def test_a_patient_without_an_address_is_told_nothing_and_the_message_says_so(
    office: Office, emails: tuple[str, ...]
) -> None:
    await office.register(office.patient_id, *emails)
    await office.book()
    await office.sender().drain()
    assert office.mailbox.arrived == []
    assert (await office.ends())[0] == ("CONFIRMATION", "SUPPRESSED", "NO_EMAIL_ADDRESS")
    assert await office.outcomes() == ["SUPPRESSED"]


async def test_nothing_goes_to_a_dead_person(office: Office) -> None:
    office.patients.details[to_wire("patient", office.patient_id)].deceased = True
    await office.book()
    await office.sender().drain()
    assert office.mailbox.arrived == []
    assert (await office.ends())[0] == ("CONFIRMATION", "SUPPRESSED", "PATIENT_DECEASED")


async def test_what_could_not_go_out_before_the_visit_is_suppressed(office: Office) -> None:
    await office.book()
    office.svc.clock.now = FIRST
    await office.sender().drain()
    assert office.mailbox.arrived == []
    assert {end[1:] for end in await office.ends()} == {("SUPPRESSED", "VISIT_STARTED")}


async def test_a_confirmation_held_up_into_the_night_waits_for_the_morning(office: Office) -> None:
    await only(office, "VISIT_CONFIRMATION")
    office.svc.clock.now = NOW + timedelta(hours=14)  # 23:00 in Denver.
    await office.sender().drain()
    [row] = await office.rows()
    assert office.mailbox.arrived == []
    assert (row["status"], row["due_at"]) == ("SCHEDULED", NOW + timedelta(hours=23))
    office.svc.clock.now = NOW + timedelta(hours=23)
    await office.sender().drain()
    assert len(office.mailbox.arrived) == 1


async def test_a_refusal_for_now_is_tried_again_after_a_while(office: Office) -> None:
    await only(office, "VISIT_REMINDER")
    office.mailbox.rcpt_answer = "451 later"
    assert await office.sender().drain() == 1
    [row] = await office.rows()
    assert (row["status"], row["attempts"], row["last_error"]) == ("SCHEDULED", 1, "SMTP_451")
    office.mailbox.rcpt_answer = "250 OK"
    assert await office.sender().drain() == 0
    await office.end_holds()
    assert await office.sender().drain() == 1
    [row] = await office.rows()
    assert (row["status"], row["attempts"], row["last_error"]) == ("SENT", 2, "SMTP_451")


async def test_a_refusal_for_good_is_the_end(office: Office) -> None:
    await only(office, "VISIT_REMINDER")
    office.mailbox.rcpt_answer = "550 no such mailbox"
    await office.sender().drain()
    [row] = await office.rows()
    assert (row["status"], row["reason"], row["last_error"]) == ("FAILED", "REFUSED", "SMTP_550")
    await office.end_holds()
    assert await office.sender().drain() == 0
    assert await office.outcomes() == ["FAILED"]


async def test_attempts_have_a_bound(office: Office) -> None:
    await only(office, "VISIT_REMINDER")
    office.mailbox.rcpt_answer = "451 later"
    await office.svc.admin.execute("UPDATE message SET attempts = 15, channel_attempts = 15")
    await office.sender().drain()
    [row] = await office.rows()
    assert (row["status"], row["reason"], row["attempts"]) == ("FAILED", "ATTEMPTS_EXHAUSTED", 16)


async def test_with_patients_away_a_message_waits_and_is_not_lost(office: Office) -> None:
    await only(office, "VISIT_REMINDER")
    details = office.patients.details
    office.patients.details = {}
    for _ in range(3):
        await office.sender().drain()
        await office.end_holds()
    [row] = await office.rows()
    assert (row["status"], row["attempts"], row["last_error"]) == ("SCHEDULED", 0, "PATIENTS_NOT_FOUND")
    office.patients.details = details
    await office.sender().drain()
    assert len(office.mailbox.arrived) == 1


@asynccontextmanager
async def mute_server() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """An SMTP server that never greets; and whether somebody waits for it."""
    called = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1], called
    finally:
        server.close()


async def start(starting: Sender) -> "asyncio.Task[object]":
    """A sender that has taken the one message that is due and is about to see to it."""
    [(chain_id, taken)] = await starting.take(10)
    return asyncio.create_task(starting.see_to(chain_id, taken))


async def kill(task: "asyncio.Task[object]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


KINDS = [("VISIT_CONFIRMATION", "SENT", 1), ("VISIT_REMINDER", "UNKNOWN", 0)]


@pytest.mark.parametrize(("kind", "status", "arrived"), KINDS)
async def test_a_sender_that_dies_between_intent_and_sending(
    office: Office, kind: str, status: str, arrived: int
) -> None:
    await only(office, kind)
    async with mute_server() as (port, called):
        dying = await start(office.sender(port))
        await called.wait()
        await asyncio.sleep(0.05)  # The sender waits for the greeting by now.
        await kill(dying)
    assert (await office.rows())[0]["status"] == "SENDING"
    assert await office.sender().drain() == 0  # Its lease still runs.
    await office.end_holds()
    assert await office.sender().drain() == 1
    assert (await office.rows())[0]["status"] == status
    assert len(office.mailbox.arrived) == arrived
    assert await office.outcomes() == [status]


@pytest.mark.parametrize(("kind", "status", "again"), KINDS)
async def test_a_sender_that_dies_between_sending_and_writing_it_down(
    office: Office, kind: str, status: str, again: int
) -> None:
    await only(office, kind)
    dying = await start(office.sender())

    async def die() -> None:
        office.mailbox.on_data = None
        dying.cancel()

    office.mailbox.on_data = die
    with suppress(asyncio.CancelledError):
        await dying
    assert len(office.mailbox.arrived) == 1
    await office.end_holds()
    await office.sender().drain()
    assert (await office.rows())[0]["status"] == status
    assert len(office.mailbox.arrived) == 1 + again
    assert len({mail["Message-ID"] for mail in office.mailbox.arrived}) == 1


@pytest.mark.parametrize("kind", ["VISIT_CONFIRMATION", "VISIT_REMINDER"])
async def test_a_sender_that_dies_before_the_intent_leaves_nothing_in_doubt(office: Office, kind: str) -> None:
    await only(office, kind)
    asked, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        asked.set()
        await never.wait()

    office.patients.before_answer = hang
    dying = await start(office.sender())
    await asked.wait()
    await kill(dying)
    never.set()
    office.patients.before_answer = None
    [row] = await office.rows()
    assert (row["status"], row["attempts"]) == ("SCHEDULED", 0)
    await office.end_holds()
    await office.sender().drain()
    assert (await office.rows())[0]["status"] == "SENT"
    assert len(office.mailbox.arrived) == 1


@pytest.mark.parametrize(
    ("kind", "status", "arrived"), [("VISIT_CONFIRMATION", "SENT", 2), ("VISIT_REMINDER", "UNKNOWN", 1)]
)
async def test_a_line_that_breaks_after_the_content_is_a_doubt_too(
    office: Office, kind: str, status: str, arrived: int
) -> None:
    await only(office, kind)
    office.mailbox.drops = True
    await office.sender().drain()
    office.mailbox.drops = False
    await office.end_holds()
    await office.sender().drain()
    [row] = await office.rows()
    assert (row["status"], row["last_error"]) == (status, "SMTP_NO_ANSWER")
    assert len(office.mailbox.arrived) == arrived


async def test_a_sender_in_the_midst_of_taking_hides_what_it_takes(office: Office) -> None:
    await office.book()
    async with office.svc.db.transaction(office.svc.inside("sender")) as conn:
        assert await conn.fetch("SELECT FROM message FOR UPDATE")
        assert await asyncio.wait_for(office.sender().take(10), timeout=2) == []
    assert len(await office.sender().take(10)) == 1
    assert await office.sender().take(10) == []


async def test_a_sender_that_lost_its_lease_sends_nothing(office: Office) -> None:
    """The first is held up while it looks up the address; the second takes over; then the first goes on."""
    await only(office, "VISIT_CONFIRMATION")
    second = list[tuple[UUID, Taken]]()

    async def take_over() -> None:
        office.patients.before_answer = None
        await office.end_holds()
        second.extend(await office.sender().take(10))

    office.patients.before_answer = take_over
    [(chain_id, taken)] = await office.sender().take(10)
    assert await office.sender().see_to(chain_id, taken) is None
    assert office.mailbox.arrived == []
    [(chain_id, taken)] = second
    assert await office.sender().see_to(chain_id, taken) == Settle(Status.SENT)
    assert len(office.mailbox.arrived) == 1
    assert (await office.rows())[0]["attempts"] == 1
    assert await office.outcomes() == ["SENT"]


async def test_a_sender_that_lost_its_lease_while_it_sent_writes_nothing_down(office: Office) -> None:
    """The first is on the line for too long; the second takes over; then the first hears that it was sent."""
    await only(office, "VISIT_CONFIRMATION")

    async def take_over() -> None:
        office.mailbox.on_data = None
        await office.end_holds()
        assert len(await office.sender().take(10)) == 1

    office.mailbox.on_data = take_over
    await office.sender().drain()
    [row] = await office.rows()
    assert (row["status"], row["attempts"]) == ("SENDING", 1)
    assert await office.outcomes() == []


async def test_a_sender_that_lives_keeps_its_lease_however_long_the_server_takes(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await only(office, "VISIT_CONFIRMATION")
    monkeypatch.setattr(sender, "RENEW_S", 0.1)
    monkeypatch.setattr(sender, "LEASE", timedelta(seconds=1))

    async def take_over() -> None:
        await asyncio.sleep(2)
        assert await office.sender().take(10) == []

    office.mailbox.on_data = take_over
    await office.sender().drain()
    assert (await office.rows())[0]["status"] == "SENT"


async def test_a_visit_cancelled_while_the_address_is_looked_up_is_not_confirmed(office: Office) -> None:
    booked = await office.book()

    async def cancel() -> None:
        await office.svc.deliver(office.cancelled(booked))

    office.patients.before_answer = cancel
    [(chain_id, taken)] = await office.sender().take(10)
    assert await office.sender().see_to(chain_id, taken) is None
    assert office.mailbox.arrived == []
    assert {end[1:] for end in await office.ends()} == {("WITHDRAWN", "VISIT_CANCELLED")}
    assert await office.outcomes() == ["WITHDRAWN", "WITHDRAWN"]


async def test_a_visit_cancelled_while_its_message_is_on_the_line_says_that_it_was_sent(office: Office) -> None:
    booked = await office.book()

    async def cancel() -> None:
        await office.svc.deliver(office.cancelled(booked))

    office.mailbox.on_data = cancel
    [(chain_id, taken)] = await office.sender().take(10)
    assert await office.sender().see_to(chain_id, taken) == Settle(Status.SENT)
    assert await office.ends() == [("CONFIRMATION", "SENT", None), ("REMINDER", "WITHDRAWN", "VISIT_CANCELLED")]
    assert await office.outcomes() == ["WITHDRAWN", "SENT"]


async def test_a_visit_cancelled_between_two_attempts_is_not_tried_again(office: Office) -> None:
    booked = await office.book()
    office.mailbox.rcpt_answer = "451 later"

    async def cancel() -> None:
        await office.svc.deliver(office.cancelled(booked))

    office.mailbox.on_rcpt = cancel
    await office.sender().drain()
    office.mailbox.rcpt_answer, office.mailbox.on_rcpt = "250 OK", None
    await office.end_holds()
    await office.sender().drain()
    assert not any("Booked" in mail["Subject"] for mail in office.mailbox.arrived)
    assert {end[1:] for end in await office.ends()} == {("WITHDRAWN", "VISIT_CANCELLED")}


async def test_messages_of_every_chain_go_out(office: Office) -> None:
    await office.book()
    office.svc.chain_id, office.site_id, office.patient_id = new_id(), new_id(), new_id()
    await office.open()
    await office.book()
    assert await office.sender().drain() == 2
    assert len({asked["atoll-chain"] for asked in office.patients.asked}) == 2


async def test_a_call_of_one_chain_does_not_see_which_others_there_are(office: Office) -> None:
    await office.svc.deliver(office.site_registered(new_id()), chain_id=new_id())
    assert await office.svc.count("chain") == 2
    async with office.svc.db.transaction(office.svc.inside("anything")) as conn:
        assert [row["chain_id"] for row in await conn.fetch("SELECT chain_id FROM chain")] == [office.svc.chain_id]


async def test_the_running_job_sends_so_many_at_a_time_and_finishes_what_it_has_begun(office: Office) -> None:
    more = sender.IN_HAND_MAX + 15
    await office.book(*(FIRST + timedelta(hours=hour) for hour in range(more)))
    waiting, full, go = 0, asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        nonlocal waiting
        waiting += 1
        if waiting == sender.IN_HAND_MAX:
            full.set()
        await go.wait()

    office.mailbox.on_data = wait
    job = asyncio.create_task(office.sender().run())
    await full.wait()
    await asyncio.sleep(0.3)
    job.cancel()
    await asyncio.sleep(0.1)
    go.set()
    await asyncio.wait([job])
    assert waiting == sender.IN_HAND_MAX
    statuses = [row["status"] for row in await office.rows("VISIT_CONFIRMATION")]
    assert (statuses.count("SENT"), statuses.count("SCHEDULED")) == (sender.IN_HAND_MAX, 15)


async def test_no_log_line_holds_a_name_or_an_address(office: Office) -> None:
    with structlog.testing.capture_logs() as lines:
        await office.book(FIRST, FIRST + timedelta(days=1))
        office.mailbox.rcpt_answer = "550 ana@example.org is unknown to Anahí"
        await office.sender().drain()
        office.mailbox.rcpt_answer = "250 OK"
        await office.book(FIRST + timedelta(days=2))
        await office.sender().drain()
    told = [line["end"] for line in lines if line["event"] == "message.seen_to"]
    assert sorted(set(told)) == ["FAILED REFUSED", "NEXT_CHANNEL REFUSED", "SENT"]
    for word in ("ana@", "Anahí", "Harbor", "Booked"):
        assert word not in str(lines)


async def test_on_the_day_that_a_minor_comes_of_age_messages_turn_to_them(office: Office) -> None:
    details = office.patients.details[to_wire("patient", office.patient_id)]
    details.related_persons.add(role=RELATED_PERSON_ROLE_GUARANTOR, name="A parent", email="parent@example.org")
    details.minor = True
    await office.book()
    await office.sender().drain()
    details.minor = False
    office.svc.clock.now = FIRST - timedelta(hours=48)
    await office.sender().drain()
    assert [mail["To"] for mail in office.mailbox.arrived] == ["parent@example.org", "ana@example.org"]


async def test_a_minor_without_a_guarantor_is_not_written_to_and_the_message_says_why(office: Office) -> None:
    office.patients.details[to_wire("patient", office.patient_id)].minor = True
    await office.book()
    await office.sender().drain()
    [message] = await office.rows("VISIT_CONFIRMATION")
    assert (message["status"], message["reason"]) == ("SUPPRESSED", "NO_GUARANTOR")
    assert office.mailbox.arrived == []


async def test_a_minor_who_asked_for_confidence_is_written_to_there(office: Office) -> None:
    details = office.patients.details[to_wire("patient", office.patient_id)]
    details.minor = True
    details.contact_points[0].confidential = True
    await office.book()
    await office.sender().drain()
    assert [mail["To"] for mail in office.mailbox.arrived] == ["ana@example.org"]
