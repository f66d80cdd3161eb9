"""Messages that go out as texts and calls: capped, never to whom asked for none, by the next channel when one fails."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from atoll.billing.v1.events_pb2 import PaymentReceived, RefundSucceeded
from atoll.notifications.v1 import cadence_service_pb2 as cadence_pb
from atoll.notifications.v1 import link_service_pb2 as link_pb
from atoll.notifications.v1 import message_pb2
from atoll.notifications.v1.cadence_service_pb2_grpc import CadenceServiceStub
from atoll.notifications.v1.link_service_pb2_grpc import LinkServiceStub
from atoll.notifications.v1.pause_service_pb2 import CreatePauseRequest, EndPauseRequest
from atoll.notifications.v1.pause_service_pb2_grpc import PauseServiceStub
from atoll.patients.v1 import patient_pb2, permission_pb2
from atoll.patients.v1.events_pb2 import ConsentOutdated
from atoll.patients.v1.patient_service_pb2 import ContactDetails
from chassis.ids import new_id, to_wire
from chassis.money import Money
from chassis.money import to_wire as to_money
from services.notifications.domain.caps import since
from services.notifications.domain.kinds import Channel
from services.notifications.domain.messages import TemplateRef
from services.notifications.domain.replies import understand
from services.notifications.domain.texting import Method, Receipt, SendingNumber, SuppressionKind
from services.notifications.sender import send_messages
from services.notifications.settings import MESSAGE_KEYS
from services.notifications.store import NotificationsStore
from services.notifications.texting import IN_PROCESS, Texting, TextingAccount, pacing
from services.notifications.texting.job import answer_replies
from services.notifications.texting.keys import address_key, message_keys
from services.notifications.use_cases.texting import ReceiveReply, receive_receipt, receive_reply
from tests.support.notifications import FIRST, Office, open_office
from tests.support.service import NOW, refusal
from tests.support.texting import write_message_keys
from tests.support.twilio import ACCOUNT_SID, TOKEN, FakeTwilio, fake_twilio

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OURS, PHONE = "+15055550100", "+15055550142"
SMS_FIRST = "ARRAY['SMS', 'EMAIL']"


@pytest.fixture(autouse=True)
def keys_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "message-keys.json"
    write_message_keys(path)
    monkeypatch.setenv(MESSAGE_KEYS, str(path))


@pytest_asyncio.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with fake_twilio() as fake:
        yield fake


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path, twilio: FakeTwilio) -> AsyncIterator[Office]:
    async with open_office(postgres_url, issuer_folder) as office:
        account = TextingAccount(
            chain_id=to_wire("chain", office.svc.chain_id),
            account_sid=ACCOUNT_SID,
            auth_tokens=(TOKEN,),
            sites={to_wire("site", office.site_id): {"sender": OURS}},
            webhook_url="https://hooks.example.org",
            api_url=twilio.url,
            per_second=1000,
        )
        office.texting = Texting({"main": account})
        details(office).contact_points.add(
            system=patient_pb2.CONTACT_SYSTEM_PHONE, value=PHONE, use=patient_pb2.CONTACT_USE_MOBILE
        )
        yield office
        await office.texting.close()


def details(office: Office) -> ContactDetails:
    return office.patients.details[to_wire("patient", office.patient_id)]


def permit(office: Office, channel: int, purpose: int, permitted: bool = True) -> None:
    details(office).permissions.add(channel=channel, purpose=purpose, permitted=permitted)


def permit_texts(office: Office) -> None:
    permit(office, permission_pb2.MESSAGE_CHANNEL_SMS, permission_pb2.MESSAGE_PURPOSE_APPOINTMENT)


async def texts_first(office: Office, channels: str = SMS_FIRST) -> None:
    await office.svc.admin.execute(f"UPDATE message SET channels = {channels}, channel = ({channels})[1]")


async def confirm(office: Office, *starts: Any, channels: str = SMS_FIRST) -> None:
    """Confirmations of visits that are booked now, by text first; nothing else."""
    await office.book(*starts)
    await office.svc.admin.execute("DELETE FROM message WHERE kind <> 'VISIT_CONFIRMATION'")
    await office.svc.admin.execute(
        f"UPDATE message SET channels = {channels}, channel = ({channels})[1] WHERE status = 'SCHEDULED'"
    )


async def ways(office: Office) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Of each message its channel, what became of it, and what was passed over why."""
    return [
        (row["channel"], row["status"], [(each["channel"], each["reason"]) for each in json.loads(row["passed_over"])])
        for row in await office.rows()
    ]


async def test_a_text_goes_out_and_tells_how_it_is_answered(office: Office, twilio: FakeTwilio) -> None:
    await confirm(office)
    await office.sender().drain()
    [text] = twilio.texts
    assert (text["From"], text["To"]) == (OURS, PHONE)
    assert text["Body"].startswith("Harbor Lane: ")
    assert len(text["Body"]) <= 160
    assert "Anah" not in text["Body"]
    assert await ways(office) == [("SMS", "SENT", [])]
    assert office.mailbox.arrived == []
    [row] = await office.rows()
    assert row["provider_id"] == text["sid"]
    [texted] = await office.svc.admin.fetch("SELECT patient_id, visit_id FROM texted")
    assert (texted["patient_id"], texted["visit_id"]) == (office.patient_id, row["visit_id"])


async def test_no_number_stands_in_the_database(office: Office) -> None:
    await confirm(office)
    await office.sender().drain()
    for table in ("message", "attempt", "texted", "outbox"):
        rows = await office.svc.admin.fetch(f"SELECT t::text FROM {table} t")
        assert not any(PHONE in row[0] or PHONE.encode().hex() in row[0] for row in rows), table


async def test_under_the_exemption_one_text_a_day_goes_out_and_the_next_by_email(
    office: Office, twilio: FakeTwilio
) -> None:
    await confirm(office, FIRST, FIRST + DAY)
    for _ in range(2):
        await office.sender().drain()
    assert sorted(await ways(office)) == [("EMAIL", "SENT", [("SMS", "CAP_REACHED")]), ("SMS", "SENT", [])]
    assert (len(twilio.texts), len(office.mailbox.arrived)) == (1, 1)


async def test_the_next_day_is_another_and_the_fourth_text_of_a_week_is_too_many(
    office: Office, twilio: FakeTwilio
) -> None:
    for day in range(4):
        office.svc.clock.now = NOW + day * DAY
        await confirm(office, FIRST + day * DAY)
        await office.sender().drain()
    assert [channel for channel, _, _ in await ways(office)] == ["SMS", "SMS", "SMS", "EMAIL"]
    office.svc.clock.now = NOW + 7 * DAY
    await confirm(office, FIRST + 20 * DAY)
    await office.sender().drain()
    assert len(twilio.texts) == 4


async def test_who_permitted_texts_gets_as_many_as_the_chain_says(office: Office, twilio: FakeTwilio) -> None:
    permit_texts(office)
    await confirm(office, FIRST, FIRST + DAY, FIRST + 2 * DAY)
    await office.sender().drain()
    assert (len(twilio.texts), len(office.mailbox.arrived)) == (2, 1)


@pytest.mark.parametrize("broken", ["429", "503", "before"])
async def test_a_text_that_was_not_taken_uses_up_no_cap_and_goes_out_later(
    office: Office, twilio: FakeTwilio, broken: str
) -> None:
    await confirm(office, channels="ARRAY['SMS']")
    twilio.breaks = [broken]
    await office.sender().drain()
    await office.end_holds()
    await office.sender().drain()
    assert (await ways(office), len(twilio.texts)) == ([("SMS", "SENT", [])], 1)


async def test_a_call_goes_out_where_the_number_takes_no_texts(office: Office, twilio: FakeTwilio) -> None:
    await confirm(office, channels="ARRAY['SMS', 'VOICE']")
    twilio.breaks = ["400"]
    await office.sender().drain()
    assert (await ways(office), len(twilio.calls)) == ([("VOICE", "SENT", [("SMS", "REFUSED")])], 1)


async def test_a_text_that_may_be_out_uses_up_the_cap_though_another_try_was_not_taken(
    office: Office, twilio: FakeTwilio
) -> None:
    await confirm(office, FIRST)
    for broken in ("after", "429"):
        twilio.breaks = [broken]
        await office.sender().drain()
        await office.end_holds()
    await office.svc.admin.execute("UPDATE message SET held_until = 'infinity'")
    await confirm(office, FIRST + DAY)
    await office.sender().drain()
    assert ("EMAIL", "SENT", [("SMS", "CAP_REACHED")]) in await ways(office)


async def test_whoever_lost_a_text_to_another_sender_says_nothing_of_its_attempt(office: Office) -> None:
    await confirm(office)
    [(_, taken)] = await office.sender().take(10)
    key, template = address_key(office.svc.chain_id, PHONE), TemplateRef("visit_confirmation", "1", "en")
    late = replace(taken, lease_id=new_id())

    async def begun_by_another(store: NotificationsStore) -> tuple[int, int]:
        await store.begin(taken, Channel.SMS, [], template, HOUR, key, counts=True)
        await store.note_not_taken(late)
        return await store.texts_to(key, since(NOW, taken.zone))

    call = office.svc.inside("two-senders")
    assert await office.svc.db.job(call, NotificationsStore, begun_by_another) == (1, 1)


async def test_two_at_once_make_no_third(office: Office, twilio: FakeTwilio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would find room if it counted before the other has begun: whoever counts gives the other time to."""
    await confirm(office, FIRST, FIRST + DAY)
    count, both, counted = NotificationsStore.texts_to, asyncio.Event(), list[Any]()

    async def slowly(store: NotificationsStore, *of: Any) -> Any:
        found = await count(store, *of)
        counted.append(found)
        if len(counted) == 2:
            both.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(both.wait(), 0.5)
        return found

    monkeypatch.setattr(NotificationsStore, "texts_to", slowly)
    await office.sender().drain()
    assert counted == [(0, 0), (1, 1)]
    assert len(twilio.texts) == 1


async def test_what_prepares_a_patient_comes_before_a_reminder_of_the_same_day(
    office: Office, twilio: FakeTwilio
) -> None:
    """The reminder is due first, and leaves the one text of the day to the preparation."""
    await office.book(FIRST)
    await office.svc.admin.execute("DELETE FROM message WHERE kind = 'VISIT_CONFIRMATION'")
    await office.svc.admin.execute(
        "INSERT INTO message (chain_id, id, site_id, patient_id, visit_id, for_start, kind, rule, cadence_version,"
        " anchor, anchor_at, offset_minutes, until_at, channel, channels, due_at, status, event_id)"
        " SELECT chain_id, gen_random_uuid(), site_id, patient_id, visit_id, for_start, 'VISIT_PREPARATION', 'prepare',"
        " 0, anchor, anchor_at, offset_minutes + 60, until_at, channel, channels, due_at + interval '1 hour',"
        " 'SCHEDULED', event_id FROM message"
    )
    await texts_first(office)
    office.svc.clock.now = FIRST - 48 * HOUR
    await office.sender().drain()
    office.svc.clock.now = FIRST - 47 * HOUR
    await office.sender().drain()
    found = {row["kind"]: row["channel"] for row in await office.rows()}
    assert found == {"VISIT_REMINDER": "EMAIL", "VISIT_PREPARATION": "SMS"}


async def test_a_companions_text_takes_none_of_the_patients(office: Office, twilio: FakeTwilio) -> None:
    await confirm(office)
    await office.svc.admin.execute(
        "INSERT INTO message SELECT (jsonb_populate_record(m, jsonb_build_object("
        "'id', gen_random_uuid(), 'kind', 'COMPANION_PICK_UP', 'rule', 'pick_up', 'anchor', 'END',"
        " 'due_at', m.due_at + interval '1 hour'))).* FROM message m"
    )
    await office.sender().drain()
    assert len(twilio.texts) == 1
    assert ("SMS", "SENT", []) in await ways(office)


async def test_what_falls_through_to_a_paused_channel_waits_for_it(office: Office, twilio: FakeTwilio) -> None:
    del details(office).contact_points[0]  # The mailbox.
    stub = office.svc.stub(PauseServiceStub)
    made = await office.svc.call(
        stub.CreatePause,
        CreatePauseRequest(request_id=str(uuid4()), reason="Provider trouble", channel=message_pb2.CHANNEL_SMS),
    )
    await confirm(office, channels="ARRAY['IN_APP', 'EMAIL', 'SMS', 'VOICE']")
    permit(office, permission_pb2.MESSAGE_CHANNEL_PORTAL, permission_pb2.MESSAGE_PURPOSE_APPOINTMENT, False)
    await office.sender().drain()
    passed_over = [("IN_APP", "NOT_PERMITTED"), ("EMAIL", "NO_EMAIL_ADDRESS")]
    assert (await ways(office), twilio.texts) == ([("SMS", "SCHEDULED", passed_over)], [])
    await office.svc.call(stub.EndPause, EndPauseRequest(request_id=str(uuid4()), pause_id=made.pause.id))
    await office.sender().drain()
    assert (await ways(office), len(twilio.texts)) == ([("SMS", "SENT", passed_over)], 1)


async def test_whoever_opted_out_gets_no_text_and_hears_by_email(office: Office, twilio: FakeTwilio) -> None:
    key = address_key(office.svc.chain_id, PHONE)

    async def opt_out(store: NotificationsStore) -> object:
        return await store.suppress("SMS", key, SuppressionKind.OPT_OUT, Method.REPLY, senders=(OURS,))

    await office.svc.db.job(office.svc.inside("opt-out"), NotificationsStore, opt_out)
    await confirm(office)
    await office.sender().drain()
    assert await ways(office) == [("EMAIL", "SENT", [("SMS", "ADDRESS_SUPPRESSED")])]
    assert twilio.texts == []


@pytest.mark.parametrize(
    ("kind", "method", "calls"),
    [
        (SuppressionKind.OPT_OUT, Method.REPLY, 0),
        (SuppressionKind.OPT_OUT, Method.RECEIPT, 0),
        (SuppressionKind.OPT_OUT, Method.VERBAL, 1),  # It was texts that they wanted no more of.
        (SuppressionKind.UNREACHABLE, Method.RECEIPT, 1),
    ],
)
async def test_whoever_texted_stop_is_not_called_instead(
    office: Office, twilio: FakeTwilio, kind: SuppressionKind, method: Method, calls: int
) -> None:
    key = address_key(office.svc.chain_id, PHONE)

    async def suppress(store: NotificationsStore) -> object:
        return await store.suppress("SMS", key, kind, method, senders=(OURS,))

    await office.svc.db.job(office.svc.inside("stop"), NotificationsStore, suppress)
    await confirm(office, channels="ARRAY['SMS', 'VOICE', 'EMAIL']")
    await office.sender().drain()
    assert (len(twilio.texts), len(twilio.calls), len(office.mailbox.arrived)) == (0, calls, 1 - calls)

    async def start(store: NotificationsStore) -> set[bytes]:
        await store.lift_opt_outs("SMS", key, [OURS], Method.REPLY)
        return await store.suppressed("VOICE", [key], OURS)

    assert await office.svc.db.job(office.svc.inside("start"), NotificationsStore, start) == set()


async def test_a_site_without_a_number_texts_nobody(office: Office, twilio: FakeTwilio) -> None:
    office.texting = Texting({})
    await confirm(office)
    await office.sender().drain()
    assert await ways(office) == [("EMAIL", "SENT", [("SMS", "NO_SENDING_NUMBER")])]


async def test_a_call_reads_the_text_out(office: Office, twilio: FakeTwilio) -> None:
    await confirm(office, channels="ARRAY['VOICE', 'EMAIL']")
    await office.sender().drain()
    [call] = twilio.calls
    assert call["To"] == PHONE
    assert "Harbor Lane" in call["Twiml"]
    assert await ways(office) == [("VOICE", "SENT", [])]


async def test_a_line_in_the_inbox_is_there_once_though_the_sender_dies_on_the_way(office: Office) -> None:
    await confirm(office, channels="ARRAY['IN_APP', 'EMAIL']")
    await office.svc.admin.execute("UPDATE message SET kind = 'VISIT_REMINDER'")  # By email it would be in doubt.
    [(chain_id, taken)] = await office.sender().take(10)
    begun = await office.svc.db.job(
        office.svc.inside("dying"),
        NotificationsStore,
        lambda store: store.begin(taken, Channel.IN_APP, [], TemplateRef("visit_confirmation", "1", "en"), HOUR),
    )
    assert begun == 1
    await office.end_holds()
    await office.sender().drain()
    assert await ways(office) == [("IN_APP", "SENT", [])]
    [line] = await office.svc.admin.fetch("SELECT * FROM inbox_item")
    assert (line["patient_id"], line["kind"]) == (office.patient_id, "VISIT_REMINDER")
    assert "Monday, March 8" in line["subject"]
    assert (chain_id, len(office.mailbox.arrived)) == (office.svc.chain_id, 0)


async def lead_to(office: Office, base: str) -> None:
    stub = office.svc.stub(CadenceServiceStub)
    policy = (await office.svc.call(stub.GetSendingPolicy, cadence_pb.GetSendingPolicyRequest())).sending_policy
    policy.link_base_url = base
    request = cadence_pb.UpdateSendingPolicyRequest(request_id=str(uuid4()), sending_policy=policy)
    await office.svc.call(stub.UpdateSendingPolicy, request)


async def use(office: Office, token: str, purpose: Any) -> link_pb.UseLinkResponse:
    request = link_pb.UseLinkRequest(request_id=str(uuid4()), token=token, purpose=purpose)
    caller = office.svc.token("ROLE_INTEGRATION")
    return await office.svc.call(office.svc.stub(LinkServiceStub).UseLink, request, caller)  # type: ignore[no-any-return]


async def test_a_letter_leads_to_where_its_visit_is_confirmed_once(office: Office) -> None:
    await lead_to(office, "https://visits.example.org/")
    await confirm(office, channels="ARRAY['EMAIL']")
    office.mailbox.rcpt_answer = "451 later"
    await office.sender().drain()
    office.mailbox.rcpt_answer = "250 OK"
    await office.end_holds()
    await office.sender().drain()  # Another attempt makes no other link.
    [mail] = office.mailbox.arrived
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    [token] = re.findall(r"https://visits\.example\.org/confirm/([A-Za-z0-9_-]{43})\b", text)
    [row] = await office.rows()
    used = await use(office, token, link_pb.LINK_PURPOSE_CONFIRM_VISIT)
    assert used.about_id == to_wire("visit", row["visit_id"])
    assert (await refusal(use(office, token, link_pb.LINK_PURPOSE_CONFIRM_VISIT))).reason == "LINK_USED"
    assert (await refusal(use(office, token, link_pb.LINK_PURPOSE_PAY))).reason == "LINK_NOT_FOUND"


@pytest.mark.parametrize(
    ("event_type", "id_field", "path", "purpose"),
    [
        (PaymentReceived, "payment_id", "receipt", link_pb.LINK_PURPOSE_READ_RECEIPT),
        (RefundSucceeded, "refund_id", "refund", link_pb.LINK_PURPOSE_READ_REFUND),
    ],
)
async def test_a_letter_leads_to_the_document_of_what_it_tells_of(
    office: Office, event_type: Any, id_field: str, path: str, purpose: link_pb.LinkPurpose
) -> None:
    await lead_to(office, "https://visits.example.org/")
    about_id = to_wire(id_field.removesuffix("_id"), new_id())
    whose = {"patient_id": to_wire("patient", office.patient_id), "site_id": to_wire("site", office.site_id)}
    await office.svc.deliver(event_type(**{id_field: about_id}, **whose, amount=to_money(Money(100))))
    await office.sender().drain()
    [mail] = office.mailbox.arrived
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    [token] = re.findall(rf"https://visits\.example\.org/{path}/([A-Za-z0-9_-]{{43}})\b", text)
    assert (await use(office, token, purpose)).about_id == about_id


async def test_a_letter_leads_to_where_a_form_is_signed(office: Office) -> None:
    await lead_to(office, "https://visits.example.org/")
    await office.book()
    await office.svc.admin.execute("DELETE FROM message")
    version_id = to_wire("consentdocumentversion", new_id())
    outdated = ConsentOutdated(
        patient_id=to_wire("patient", office.patient_id),
        consent_document_id=to_wire("consentdocument", new_id()),
        consent_document_version_id=version_id,
        version_number=2,
        site_ids=[to_wire("site", office.site_id)],
    )
    await office.svc.deliver(outdated)
    await office.sender().drain()
    [mail] = office.mailbox.arrived
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    [token] = re.findall(r"https://visits\.example\.org/sign/([A-Za-z0-9_-]{43})\b", text)
    assert (await use(office, token, link_pb.LINK_PURPOSE_SIGN_CONSENT)).about_id == version_id


async def test_without_a_site_of_the_chains_own_letters_have_no_link(office: Office) -> None:
    await confirm(office, channels="ARRAY['EMAIL']")
    await office.sender().drain()
    assert "https://" not in office.mailbox.arrived[0].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert await office.svc.admin.fetchval("SELECT count(*) FROM link") == 0


async def receipt(office: Office, status: str, code: str = "", provider_id: str = "") -> None:
    [row] = await office.rows()
    told = Receipt(
        "main", provider_id or row["provider_id"] or "SM" + "0" * 32, status, row["id"], code, office.svc.clock.now
    )
    await office.svc.db.job(
        office.svc.inside("receipts"),
        NotificationsStore,
        lambda store: receive_receipt(store, told, address_key(office.svc.chain_id, PHONE), [OURS]),
    )


@pytest.mark.parametrize("doubled", [1, 2])
async def test_what_did_not_arrive_goes_by_the_next_channel(office: Office, twilio: FakeTwilio, doubled: int) -> None:
    await confirm(office)
    await office.sender().drain()
    for _ in range(doubled):
        await receipt(office, "undelivered", "30003")
    [row] = await office.rows()
    assert (row["status"], row["channel"], row["sent_at"], row["last_error"]) == ("SCHEDULED", "EMAIL", None, "30003")
    await office.sender().drain()
    assert await ways(office) == [("EMAIL", "SENT", [("SMS", "UNDELIVERED")])]
    assert len(office.mailbox.arrived) == 1


async def test_what_arrived_arrived_in_whatever_order_that_is_heard_of(office: Office) -> None:
    await confirm(office)
    await office.sender().drain()
    for status in ("delivered", "sent", "delivered"):
        await receipt(office, status)
    [row] = await office.rows()
    assert (row["status"], row["delivered_at"]) == ("SENT", NOW)


async def test_without_a_next_channel_it_has_failed(office: Office) -> None:
    await confirm(office, channels="ARRAY['SMS']")
    await office.sender().drain()
    await receipt(office, "undelivered", "30003")
    [row] = await office.rows()
    assert (row["status"], row["reason"]) == ("FAILED", "UNDELIVERED")
    assert await office.outcomes() == ["SENT", "FAILED"]


async def test_a_receipt_of_another_attempt_changes_nothing(office: Office) -> None:
    await confirm(office)
    await office.sender().drain()
    await receipt(office, "undelivered", "30003", provider_id="SM" + "f" * 32)
    assert await ways(office) == [("SMS", "SENT", [])]


async def test_a_receipt_that_is_faster_than_we_are_is_not_lost(office: Office, twilio: FakeTwilio) -> None:
    """It comes while the text is being handed over."""
    await confirm(office)

    async def tell() -> None:
        [text] = twilio.texts
        await receipt(office, "undelivered", "30003", provider_id=text["sid"])

    twilio.on_taken = tell
    [(chain_id, taken)] = await office.sender().take(10)
    await office.sender().see_to(chain_id, taken)
    [row] = await office.rows()
    assert (row["status"], row["channel"]) == ("SCHEDULED", "EMAIL")


async def test_a_receipt_that_comes_while_the_text_is_settled_is_not_lost(
    office: Office, twilio: FakeTwilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks at the message before that is settled, and is committed after: each would leave it to the other."""
    await confirm(office)
    look, looked, seen_to, told = NotificationsStore.sent_by_phone, asyncio.Event(), asyncio.Event(), list[Any]()

    async def slowly(store: NotificationsStore, *of: Any) -> Any:
        found = await look(store, *of)
        if not looked.is_set():
            looked.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(seen_to.wait(), 0.5)
        return found

    async def tell() -> None:
        told.append(asyncio.create_task(receipt(office, "delivered", provider_id=twilio.texts[0]["sid"])))
        await looked.wait()

    monkeypatch.setattr(NotificationsStore, "sent_by_phone", slowly)
    twilio.on_taken = tell
    [(chain_id, taken)] = await office.sender().take(10)
    await office.sender().see_to(chain_id, taken)
    seen_to.set()
    await asyncio.gather(*told)
    [row] = await office.rows()
    assert (row["status"], row["delivered_at"]) == ("SENT", NOW)


async def test_a_mailbox_that_does_not_exist_is_not_written_to_again(office: Office) -> None:
    del details(office).contact_points[1]
    office.mailbox.rcpt_answer = "550 5.1.1 no such user"
    await confirm(office, FIRST, channels="ARRAY['EMAIL']")
    await office.sender().drain()
    office.mailbox.rcpt_answer = "250 OK"
    await confirm(office, FIRST + DAY, channels="ARRAY['EMAIL']")
    await office.sender().drain()
    assert office.mailbox.arrived == []
    ends = sorted((row["status"], row["reason"], row["last_error"]) for row in await office.rows())
    assert ends == [("FAILED", "REFUSED", "SMTP_550_5.1.1"), ("SUPPRESSED", "ADDRESS_SUPPRESSED", None)]


async def test_a_mailbox_that_refuses_what_we_say_is_written_to_again(office: Office) -> None:
    office.mailbox.rcpt_answer = "550 5.7.1 rejected"
    await confirm(office, FIRST, channels="ARRAY['EMAIL']")
    await office.sender().drain()
    office.mailbox.rcpt_answer = "250 OK"
    await confirm(office, FIRST + DAY, channels="ARRAY['EMAIL']")
    await office.sender().drain()
    assert len(office.mailbox.arrived) == 1


@asynccontextmanager
async def busy_number(office: Office, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Somebody else in this process has just texted from it, and nobody waits for the next turn."""
    told = office.texting._accounts.now["main"]
    account = told.model_dump(mode="json") | {"auth_tokens": [TOKEN], "per_second": 0.01}
    monkeypatch.setenv("ATOLL_MODE", "development")  # Its provider is one of this machine, in the clear.
    monkeypatch.setenv("ATOLL_TEXTING", json.dumps({"main": account}))
    monkeypatch.setattr(pacing, "WAIT_MAX_S", 0.0)
    async with IN_PROCESS.held() as texting:
        await texting.send(SendingNumber("main", OURS, ""), "+15055550143", "hello", new_id())
        yield


async def test_the_sender_waits_for_a_number_that_others_of_its_process_text_from(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await confirm(office, channels="ARRAY['SMS']")
    async with busy_number(office, monkeypatch):
        job = asyncio.create_task(send_messages(office.svc.db, office.settings, office.svc.clock))
        async with asyncio.timeout(10):
            while [row["last_error"] for row in await office.rows()] != ["TEXTING_TOO_FAST"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        job.cancel()
        await asyncio.wait([job])


async def test_an_answer_waits_for_a_number_that_others_of_its_process_text_from(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, keys, id = address_key(office.svc.chain_id, PHONE), message_keys(), new_id()
    asked = ReceiveReply(
        id=id,
        account="main",
        provider_id="SM1",
        sender=OURS,
        senders=(OURS,),
        site_id=office.site_id,
        address_key=key,
        understood=understand("HELP"),
        phone=keys.seal(PHONE.encode(), "phone", id),
        said=keys.seal(b"HELP", "said", id),
    )
    await office.svc.db.job(office.svc.inside("replies"), NotificationsStore, lambda store: receive_reply(store, asked))
    async with busy_number(office, monkeypatch):
        job = asyncio.create_task(answer_replies(office.svc.db, office.settings, office.svc.clock))
        async with asyncio.timeout(10):
            while await office.svc.admin.fetchval("SELECT code FROM answer") != "TEXTING_TOO_FAST":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        job.cancel()
        await asyncio.wait([job])


async def test_a_doubt_that_comes_into_the_night_stays_one_until_the_morning_settles_it(
    office: Office, twilio: FakeTwilio
) -> None:
    """The provider may have taken it. Nobody is told that it waits as if it had not been tried, and no email goes."""
    permit_texts(office)
    await confirm(office)
    twilio.breaks = ["after"]
    await office.sender().drain()
    assert [row["status"] for row in await office.rows()] == ["SENDING"]
    office.svc.clock.now = NOW + 12 * HOUR
    await office.end_holds()
    await office.sender().drain()
    [row] = await office.rows()
    assert (row["status"], row["due_at"], row["last_error"]) == ("SENDING", NOW + 23 * HOUR, "TWILIO_NO_ANSWER")
    assert (len(twilio.texts), office.mailbox.arrived) == (1, [])
    office.svc.clock.now = NOW + 23 * HOUR
    await office.sender().drain()
    [row] = await office.rows()
    assert (row["status"], row["attempts"], len(twilio.texts), office.mailbox.arrived) == ("SENT", 2, 2, [])


@pytest.mark.parametrize("ended", ["cancelled", "over"])
async def test_a_doubt_of_the_night_whose_visit_is_off_or_over_by_the_morning_ends_unknown(
    office: Office, twilio: FakeTwilio, ended: str
) -> None:
    permit_texts(office)
    booked = await office.book()
    await office.svc.admin.execute("DELETE FROM message WHERE kind <> 'VISIT_CONFIRMATION'")
    await texts_first(office)
    twilio.breaks = ["after"]
    await office.sender().drain()
    office.svc.clock.now = NOW + 12 * HOUR
    await office.end_holds()
    await office.sender().drain()
    if ended == "cancelled":
        await office.svc.deliver(office.cancelled(booked))
    office.svc.clock.now = NOW + 23 * HOUR if ended == "cancelled" else FIRST
    await office.sender().drain()
    [row] = await office.rows("VISIT_CONFIRMATION")
    assert (row["status"], row["reason"], len(twilio.texts)) == ("UNKNOWN", "NO_ANSWER", 1)
