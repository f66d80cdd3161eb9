"""The digest of a day: what waits for its hour, what stands in one letter, and what becomes of each message in it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.type.timeofday_pb2 import TimeOfDay
from grpc import StatusCode

from atoll.billing.v1.events_pb2 import PaymentReceived
from atoll.notifications.v1 import cadence_service_pb2 as cadence_pb
from atoll.notifications.v1 import message_service_pb2 as message_pb
from atoll.notifications.v1.cadence_service_pb2_grpc import CadenceServiceStub
from atoll.patients.v1.patient_pb2 import RELATED_PERSON_ROLE_GUARANTOR
from atoll.scheduling.v1.events_pb2 import CourseBooked
from chassis.ids import new_id, to_wire
from chassis.money import Money
from chassis.money import to_wire as money_to_wire
from tests.support.notifications import Office, open_office
from tests.support.service import refusal

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FIVE = datetime(2027, 3, 2, 0, tzinfo=UTC)
"""17:00 in Denver on 1 March, when digests go out; it is 9:00 at first."""

"""Of a visit's start: its reminder is wanted at 17:00 two days before."""


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Office]:
    async with open_office(postgres_url, issuer_folder) as office:
        await digests_at(office, 17)
        yield office


async def digests_at(office: Office, hour: int | None) -> None:
    stub = office.svc.stub(CadenceServiceStub)
    found = await office.svc.call(stub.GetSendingPolicy, cadence_pb.GetSendingPolicyRequest())
    policy = found.sending_policy
    if hour is None:
        policy.ClearField("digest_time")
    else:
        policy.digest_time.CopyFrom(TimeOfDay(hours=hour))
    request = cadence_pb.UpdateSendingPolicyRequest(request_id=str(uuid4()), sending_policy=policy)
    await office.svc.call(stub.UpdateSendingPolicy, request)


async def pay(office: Office, units: int) -> None:
    event = PaymentReceived(
        payment_id=to_wire("payment", new_id()),
        site_id=to_wire("site", office.site_id),
        patient_id=to_wire("patient", office.patient_id),
        amount=money_to_wire(Money(units * 100, "USD")),
    )
    await office.svc.deliver(event)


async def remind(office: Office, *starts: datetime) -> CourseBooked:
    """Of visits that were booked: nothing but their reminders."""
    booked = await office.book(*starts)
    await office.svc.admin.execute("DELETE FROM message WHERE kind IN ('VISIT_CONFIRMATION', 'VISIT_PREPARATION')")
    return booked


async def go_to(office: Office, at: datetime) -> None:
    office.svc.clock.now = at
    await office.sender().drain()


async def ends(office: Office) -> list[tuple[str, str, bool]]:
    """Of each message its kind, what became of it, and whether it stood in a digest."""
    return [(row["kind"], row["status"], row["digest_id"] is not None) for row in await office.rows()]


def text_of(mail: Any) -> str:
    return str(mail.get_body(("plain",)).get_content())


async def test_what_waits_for_the_hour_stands_in_one_letter_and_each_message_says_so(office: Office) -> None:
    await pay(office, 100)
    await office.sender().drain()
    await go_to(office, FIVE - HOUR)
    await pay(office, 250)
    await office.sender().drain()
    assert office.mailbox.arrived == []
    assert {row["due_at"] for row in await office.rows()} == {FIVE}
    await go_to(office, FIVE)
    [mail] = office.mailbox.arrived
    assert mail["Subject"] == "News from Harbor Lane"
    assert "$100.00" in text_of(mail)
    assert "$250.00" in text_of(mail)
    rows = await office.rows()
    assert {(row["status"], row["template"], row["sent_at"]) for row in rows} == {("SENT", "daily_digest", FIVE)}
    assert [row["attempts"] for row in rows] == [1, 1]
    [of_letter] = {row["digest_id"] for row in rows}
    assert mail["Message-ID"].startswith(f"<{to_wire('message', of_letter)}@")
    told = await office.svc.call(
        office.stub.GetMessage, message_pb.GetMessageRequest(message_id=to_wire("message", rows[1]["id"]))
    )
    assert told.message.digest_message_id == to_wire("message", of_letter)
    assert await office.outcomes() == ["SENT", "SENT"]
    assert await office.svc.admin.fetchval("SELECT count(*) FROM attempt") == 1


async def test_what_several_say_alike_stands_once(office: Office) -> None:
    await pay(office, 100)
    await pay(office, 250)
    await office.sender().drain()
    await go_to(office, FIVE)
    [mail] = office.mailbox.arrived
    assert text_of(mail).count("505-555-0100.") == 1


async def test_a_message_that_waits_alone_goes_out_as_itself(office: Office) -> None:
    await pay(office, 100)
    await office.sender().drain()
    await go_to(office, FIVE)
    [mail] = office.mailbox.arrived
    assert mail["Subject"] != "News from Harbor Lane"
    assert await ends(office) == [("PAYMENT_RECEIVED", "SENT", False)]


async def test_without_a_rule_of_the_chain_nothing_waits(office: Office) -> None:
    await digests_at(office, None)
    await pay(office, 100)
    await pay(office, 250)
    await office.sender().drain()
    assert len(office.mailbox.arrived) == 2


async def test_what_a_patient_has_to_act_on_or_to_prepare_for_never_waits(office: Office) -> None:
    await office.book(FIVE + 10 * DAY)
    await office.sender().drain()
    assert [mail["Subject"].split(":")[0] for mail in office.mailbox.arrived] == ["Booked"]


async def test_a_reminder_that_the_digest_would_bring_late_goes_out_by_itself(office: Office) -> None:
    await remind(office, FIVE + DAY - HOUR)
    await office.sender().drain()
    assert len(office.mailbox.arrived) == 1
    await remind(office, FIVE + DAY)
    await office.sender().drain()
    assert len(office.mailbox.arrived) == 1
    await go_to(office, FIVE)
    assert len(office.mailbox.arrived) == 2


async def test_a_visit_that_is_called_off_leaves_the_digest(office: Office) -> None:
    booked = await remind(office, FIVE + 30 * HOUR, FIVE + 31 * HOUR, FIVE + 32 * HOUR)
    await office.sender().drain()
    await office.svc.deliver(office.cancelled(booked, 1))
    await office.svc.admin.execute("DELETE FROM message WHERE kind = 'VISIT_CANCELLED'")
    await go_to(office, FIVE)
    assert [end[1:] for end in await ends(office)].count(("SENT", True)) == 2
    assert ("VISIT_REMINDER", "WITHDRAWN", False) in await ends(office)


async def test_a_visit_that_is_called_off_while_the_letter_is_written_is_not_in_it(office: Office) -> None:
    booked = await remind(office, FIVE + 30 * HOUR, FIVE + 31 * HOUR, FIVE + 32 * HOUR)
    await office.sender().drain()
    office.svc.clock.now = FIVE
    sender = office.sender()
    [(chain_id, first), *_] = await sender.take(1)

    mail: Any = sender._carriers[first.channels[0]]
    pack = mail.pack

    async def packed_too_early(*args: Any) -> Any:
        parcel = await pack(*args)
        await office.svc.deliver(office.cancelled(booked, 1))
        return parcel

    mail.pack = packed_too_early
    await sender.see_to(chain_id, first)
    assert office.mailbox.arrived == []
    await office.svc.admin.execute("DELETE FROM message WHERE kind = 'VISIT_CANCELLED'")
    await office.end_holds()
    await office.sender().drain()
    assert len(office.mailbox.arrived) == 1
    assert sorted(end[1:] for end in await ends(office)) == [("SENT", True), ("SENT", True), ("WITHDRAWN", False)]


async def test_bills_of_a_guarantor_stand_in_a_letter_of_their_own(office: Office) -> None:
    details = office.patients.details[to_wire("patient", office.patient_id)]
    details.related_persons.add(role=RELATED_PERSON_ROLE_GUARANTOR, name="A payer", email="payer@example.org")
    await remind(office, FIVE + 30 * HOUR, FIVE + 31 * HOUR)
    await pay(office, 100)
    await pay(office, 250)
    await office.sender().drain()
    await go_to(office, FIVE)
    assert sorted(mail["To"] for mail in office.mailbox.arrived) == ["ana@example.org", "payer@example.org"]


async def test_what_comes_after_the_hour_waits_for_the_next_day(office: Office) -> None:
    office.svc.clock.now = FIVE + HOUR
    await pay(office, 100)
    await office.sender().drain()
    assert [row["due_at"] for row in await office.rows()] == [FIVE + DAY]


async def test_a_server_that_cannot_take_the_letter_gets_it_again_whole(office: Office) -> None:
    await pay(office, 100)
    await pay(office, 250)
    await office.sender().drain()
    office.mailbox.data_answer = "451 later"
    await go_to(office, FIVE)
    assert await ends(office) == [("PAYMENT_RECEIVED", "SCHEDULED", False)] * 2
    office.mailbox.data_answer = "250 OK"
    await office.end_holds()
    await office.sender().drain()
    assert len(office.mailbox.arrived) == 1
    assert await ends(office) == [("PAYMENT_RECEIVED", "SENT", True)] * 2


async def test_a_letter_that_is_refused_for_good_has_failed_for_each_message(office: Office) -> None:
    await pay(office, 100)
    await pay(office, 250)
    await office.sender().drain()
    office.mailbox.data_answer = "554 no"
    await go_to(office, FIVE)
    assert {(row["status"], row["reason"]) for row in await office.rows()} == {("FAILED", "REFUSED")}


async def test_a_letter_in_doubt_is_sent_again_under_its_id_with_all_that_stood_in_it(office: Office) -> None:
    booked = await remind(office, FIVE + 30 * HOUR, FIVE + 31 * HOUR)
    await office.sender().drain()
    office.mailbox.drops = True
    await go_to(office, FIVE)
    assert await ends(office) == [("VISIT_REMINDER", "SENDING", True)] * 2
    office.mailbox.drops = False
    for visit in (0, 1):
        await office.svc.deliver(office.cancelled(booked, visit))
    await office.svc.admin.execute("DELETE FROM message WHERE kind = 'VISIT_CANCELLED'")
    await office.end_holds()
    assert len(await office.sender().take(2)) == 1
    await office.end_holds()
    await office.sender().drain()
    first, second = office.mailbox.arrived
    assert first["Message-ID"] == second["Message-ID"]
    assert text_of(first) == text_of(second)
    assert await ends(office) == [("VISIT_REMINDER", "SENT", True)] * 2


async def test_a_letter_in_doubt_to_somebody_who_died_leaves_each_message_in_doubt(office: Office) -> None:
    await pay(office, 100)
    await pay(office, 250)
    await office.sender().drain()
    office.mailbox.drops = True
    await go_to(office, FIVE)
    office.patients.details[to_wire("patient", office.patient_id)].deceased = True
    await office.end_holds()
    await office.sender().drain()
    assert await ends(office) == [("PAYMENT_RECEIVED", "UNKNOWN", True)] * 2
    assert await office.outcomes() == ["UNKNOWN", "UNKNOWN"]


async def test_two_senders_at_once_make_one_letter(office: Office) -> None:
    for units in (100, 200, 300, 400):
        await pay(office, units)
    await office.sender().drain()
    office.svc.clock.now = FIVE
    one, other = office.sender(), office.sender()
    first, second = await one.take(2), await other.take(2)
    await asyncio.gather(*(one.see_to(chain_id, taken) for chain_id, taken in [*first, *second]))
    assert len(office.mailbox.arrived) == 1
    assert await ends(office) == [("PAYMENT_RECEIVED", "SENT", True)] * 4


async def test_what_is_paused_is_not_told_in_a_digest(office: Office) -> None:
    await remind(office, FIVE + 30 * HOUR)
    await pay(office, 100)
    await pay(office, 250)
    await office.sender().drain()
    await office.svc.admin.execute(
        "INSERT INTO pause (chain_id, id, scope, kind, reason, begin_at)"
        " VALUES ($1, $2, 'KIND', 'VISIT_REMINDER', 'x', now())",
        office.svc.chain_id,
        new_id(),
    )
    await go_to(office, FIVE)
    assert sorted(await ends(office)) == [
        ("PAYMENT_RECEIVED", "SENT", True),
        ("PAYMENT_RECEIVED", "SENT", True),
        ("VISIT_REMINDER", "SCHEDULED", False),
    ]


@pytest.mark.parametrize("hour", [7, 20])
async def test_a_digest_goes_out_within_the_chains_hours(office: Office, hour: int) -> None:
    refused = await refusal(digests_at(office, hour))
    assert (refused.code, refused.faults) == (StatusCode.INVALID_ARGUMENT, [("digest_time", "POLICY_REFUSED")])
