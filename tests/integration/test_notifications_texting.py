"""What the provider tells, over HTTP: receipts, opt-outs, C and R, and what is answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from chassis.http_door import BODY_MAX
from chassis.ids import new_id, to_wire
from services.notifications.domain.texting import EVERY_SENDER, Method, SuppressionKind
from services.notifications.settings import MESSAGE_KEYS
from services.notifications.store import NotificationsStore
from services.notifications.texting import Texting, keys
from services.notifications.texting.job import Answering, forget_some
from services.notifications.use_cases.texting import AnswerReply, answer_reply
from services.notifications.wording import Templates
from tests.support.notifications import FIRST
from tests.support.service import refusing
from tests.support.texting import OURS, SPARE, THEIRS, TextingOffice, open_texting, write_message_keys
from tests.support.twilio import OLD_TOKEN, signed

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
CANARY = "Zqkanarie"


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[TextingOffice]:
    async with open_texting(postgres_url, issuer_folder) as office:
        yield office


async def sent(office: TextingOffice) -> dict[str, str]:
    """A text of ours that the provider took."""
    number = office.texting.sender_of(office.svc.chain_id, office.site_id)
    assert number
    await office.texting.send(number, THEIRS, "hello", new_id())
    return office.fake.texts[-1]


async def rows(office: TextingOffice, table: str) -> list[Any]:
    return list(await office.svc.admin.fetch(f"SELECT * FROM {table} ORDER BY 1, 2, 3"))


def names(events: list[Any]) -> list[str]:
    return [event.DESCRIPTOR.name for event in events]


# Who may tell.


async def test_only_the_provider_tells_and_a_token_that_is_replaced_still_signs(office: TextingOffice) -> None:
    text = await sent(office)
    good = office.fake.receipt(text, "delivered", token=OLD_TOKEN)
    for bad in (
        office.fake.receipt(text, "delivered", token="other"),
        replace(good, body=good.body + b"&ErrorCode=30005"),
        replace(good, signature=""),
    ):
        assert await office.post(bad) == 403
    elsewhere = good.target.replace("message_id=", "message_id=message_00000000000000000000000000&x=")
    assert await office.post(good, target=elsewhere) == 403
    assert await office.post(good, target=good.target.replace("/main/", "/spare/")) == 403
    assert await office.svc.count("receipt") == 0
    assert await office.post(good) == 200
    assert await office.svc.count("receipt") == 1


async def test_what_is_no_webhook_of_ours_is_not_found(office: TextingOffice) -> None:
    good = office.webhook("STOP")
    for target in ("/", "/v1/textingWebhooks/gone/inbound", "/v1/textingWebhooks/main/else", "/x/main/inbound"):
        assert await office.post(good, target=target) == 404
    assert await office.svc.count("reply") == 0


async def test_what_is_too_large_is_refused_unread(office: TextingOffice) -> None:
    large = replace(office.webhook("x"), body=b"Body=" + b"x" * BODY_MAX)
    assert await office.post(large) == 413


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"MessageSid": "x", "From": THEIRS, "To": OURS, "Body": "STOP"},
        {"MessageSid": "SM" + "0" * 32, "From": "nobody", "To": OURS, "Body": "STOP"},
        {"MessageSid": "SM" + "0" * 32, "From": THEIRS, "To": "+15055559999", "Body": "STOP"},
        {"MessageSid": "SM" + "0" * 32, "From": THEIRS, "To": OURS},
    ],
)
async def test_what_is_signed_and_malformed_is_refused(office: TextingOffice, fields: dict[str, str]) -> None:
    assert await office.post(signed("https://hooks.example.org/v1/textingWebhooks/main/inbound", fields)) == 400
    assert await office.svc.count("reply") == 0


async def test_it_is_told_to_come_again_while_the_keys_are_away(office: TextingOffice) -> None:
    stop, kept = office.webhook("STOP"), office.keys_file.read_text()
    office.keys_file.write_text("{}")
    assert await office.post(stop) == 503
    office.keys_file.write_text(kept)
    assert not await office.suppressed()
    assert await office.post(stop) == 200
    assert await office.suppressed()


# Receipts.


async def test_receipts_count_once_each_however_often_and_in_whatever_order_they_come(office: TextingOffice) -> None:
    text = await sent(office)
    for status in ("delivered", "sent", "delivered", "queued", "sent"):
        assert await office.post(office.fake.receipt(text, status)) == 200
    [message_id] = {row["message_id"] for row in await rows(office, "receipt")}
    assert to_wire("message", message_id) in text["StatusCallback"]
    found = await office.job(lambda store: store.receipts_of_messages([message_id]))
    assert [(each.account, each.provider_id) for each in found] == [("main", text["sid"])] * 3
    assert {each.status for each in found} == {"delivered", "sent", "queued"}


async def test_a_receipt_that_comes_again_does_not_undo_what_was_lifted_meanwhile(office: TextingOffice) -> None:
    told = office.fake.receipt(await sent(office), "undelivered", "30005")
    assert await office.post(told) == 200
    await office.svc.admin.execute("UPDATE suppression SET lifted_at = now(), lifted_by = 'ann'")
    assert await office.post(told) == 200
    assert not await office.suppressed()


async def test_a_call_has_receipts_too(office: TextingOffice) -> None:
    number = office.texting.sender_of(office.svc.chain_id, office.site_id)
    assert number
    await office.texting.call(number, THEIRS, "hello", "en", new_id())
    [call] = office.fake.calls
    assert await office.post(office.fake.receipt(call, "no-answer", "30005")) == 200
    [found] = await rows(office, "receipt")
    assert (found["provider_id"], found["status"]) == (call["sid"], "no-answer")
    assert not await office.suppressed()


@pytest.mark.parametrize(
    ("code", "kind", "by_spare"),
    [("30005", "UNREACHABLE", True), ("30006", "UNREACHABLE", True), ("21610", "OPT_OUT", True)],
)
async def test_a_number_that_no_text_reaches_is_texted_no_more(
    office: TextingOffice, code: str, kind: str, by_spare: bool
) -> None:
    text = await sent(office)
    for _ in range(2):
        assert await office.post(office.fake.receipt(text, "undelivered", code)) == 200
    found = await rows(office, "suppression")
    assert {(row["kind"], row["method"], row["note"]) for row in found} == {(kind, "RECEIPT", code)}
    assert await office.suppressed()
    assert await office.suppressed(sender=SPARE) is by_spare
    assert not await office.suppressed(channel="EMAIL")
    assert not await office.suppressed(phone="+15055550178")


@pytest.mark.parametrize("code", ["30003", "30004", "30007", ""])
async def test_what_may_pass_keeps_nobody_from_being_texted(office: TextingOffice, code: str) -> None:
    assert await office.post(office.fake.receipt(await sent(office), "undelivered", code)) == 200
    assert not await office.suppressed()


async def test_what_standing_suppressions_are_of_another_kind_hold_beside_each_other(office: TextingOffice) -> None:
    key = office.key()
    for _ in range(2):
        for kind in (SuppressionKind.UNREACHABLE, SuppressionKind.OPT_OUT):
            await office.job(lambda store, kind=kind: store.suppress("SMS", key, kind, Method.RECEIPT))
    assert [(row["kind"], row["sender"]) for row in await rows(office, "suppression")] != []
    assert await office.svc.count("suppression") == 2
    await office.say("START")
    assert await office.suppressed()  # Nobody reaches it still.


# Opt-outs.


async def test_stop_holds_at_once_and_is_confirmed_once(office: TextingOffice) -> None:
    visit_id = await office.book()
    await office.texted(visit_id)
    stop = office.webhook("Stop.")
    for _ in range(3):  # The provider delivers again what it is not sure of.
        assert await office.post(stop) == 200
    assert await office.suppressed()
    assert not await office.suppressed(phone="+15055550178")
    await office.say("STOP")  # And who said it says it again.
    [event] = await office.told()
    assert event.DESCRIPTOR.name == "ChannelOptedOut"
    assert (event.patient_id, event.site_id) == (
        to_wire("patient", office.patient_id),
        to_wire("site", office.site_id),
    )
    assert (event.channel, event.giver, event.method) == ("SMS", "PATIENT", "REPLY")
    await office.answer()
    [text] = office.fake.texts
    assert (text["To"], text["From"]) == (THEIRS, OURS)
    assert (
        text["Body"]
        == "Harbor Lane: you will get no more texts from us. Reply START to get them again. Questions: 505-555-0199"
    )
    assert [row["state"] for row in await rows(office, "reply")] == ["CLOSED", "CLOSED"]


async def test_an_opt_out_holds_for_all_that_the_same_sites_text_from_and_for_no_other(office: TextingOffice) -> None:
    await office.say("STOP")
    assert [await office.suppressed(sender=sender) for sender in (OURS, SPARE, "+15055550102")] == [True, True, False]
    assert {row["sender"] for row in await rows(office, "suppression")} == {OURS, SPARE}


async def test_an_opt_out_of_a_number_that_nobody_is_known_by_holds_too(office: TextingOffice) -> None:
    await office.say("ALTO")
    [event] = await office.told()
    assert (event.patient_id, event.site_id) == ("", to_wire("site", office.site_id))
    await office.answer()
    assert office.fake.texts[0]["Body"].startswith("Harbor Lane: no le enviaremos")


async def test_a_companion_who_opts_out_does_so_for_themself(office: TextingOffice) -> None:
    await office.texted(to_companion=True)
    await office.say("STOP")
    assert [event.giver for event in await office.told()] == ["COMPANION"]


async def test_an_opt_out_is_confirmed_within_five_minutes_or_not_at_all(office: TextingOffice) -> None:
    await office.say("STOP")
    office.svc.clock.now += 5 * MINUTE
    await office.answer()
    assert office.fake.texts == []
    [row] = await rows(office, "answer")
    assert (row["state"], row["code"]) == ("FAILED", "TOO_LATE")


async def test_words_of_their_own_suppress_first_and_a_person_asks_after(office: TextingOffice) -> None:
    await office.texted()
    await office.say("please stop texting me " + CANARY)
    assert await office.suppressed()
    assert names(await office.told()) == ["ChannelOptedOut"]
    [row] = await rows(office, "reply")
    assert (row["meaning"], row["state"]) == ("OPT_OUT_LIKELY", "OPEN")
    await office.answer()
    assert len(office.fake.texts) == 1


async def test_start_takes_it_back_once(office: TextingOffice) -> None:
    await office.texted()
    await office.say("STOP")
    for _ in range(2):
        await office.say("START")
    assert not await office.suppressed()
    assert not await office.suppressed(sender=SPARE)
    assert names(await office.told()) == ["ChannelOptedOut", "ChannelOptedIn"]
    assert {(row["lifted_by"], row["lift_method"]) for row in await rows(office, "suppression")} == {
        ("notifications", "REPLY")
    }
    await office.say("STOP")  # It holds again, in a row of its own.
    assert await office.suppressed()


async def test_whoever_opted_out_is_told_nothing_more_but_where_to_find_help(office: TextingOffice) -> None:
    visit_id = await office.book()
    await office.texted(visit_id)
    await office.say("STOP")
    await office.answer()
    await office.say("C")
    await office.say("who are you?")
    await office.say("HELP")
    await office.answer()  # Apart from the first: answers that wait together go out side by side, in any order.
    said = [text["Body"] for text in office.fake.texts]
    assert len(said) == 2
    assert said[1] == "Harbor Lane: for help call 505-555-0199. STOP to opt out. Msg&data rates may apply."
    assert names(await office.told()) == ["ChannelOptedOut", "VisitConfirmationReceived"]
    assert {row["kind"] for row in await rows(office, "answer")} == {"OPT_OUT_CONFIRMED", "HELP"}


async def test_an_answer_that_waits_is_not_sent_to_who_opts_out_meanwhile(office: TextingOffice) -> None:
    await office.say("hello?")
    await office.say("STOP")
    await office.answer()
    assert {row["kind"]: row["state"] for row in await rows(office, "answer")} == {
        "REPLY_RECEIVED": "SUPPRESSED",
        "OPT_OUT_CONFIRMED": "SENT",
    }


# C and R.


async def test_c_confirms_the_visit_that_the_last_text_was_about(office: TextingOffice) -> None:
    first, second = await office.book(), await office.book(start=FIRST + DAY)
    await office.texted(second)
    office.svc.clock.now += MINUTE
    await office.texted(first)
    await office.say("C")
    [event] = await office.told()
    assert event.DESCRIPTOR.name == "VisitConfirmationReceived"
    assert (event.visit_id, event.patient_id, event.site_id) == (
        to_wire("visit", first),
        to_wire("patient", office.patient_id),
        to_wire("site", office.site_id),
    )
    await office.answer()
    assert (
        office.fake.texts[0]["Body"]
        == "Harbor Lane: thank you, confirmed. For another time reply R or call 505-555-0199."
    )
    [row] = await rows(office, "reply")
    assert (row["state"], row["visit_id"]) == ("CLOSED", first)


async def test_an_older_text_that_is_noted_late_does_not_become_the_last(office: TextingOffice) -> None:
    first, second = await office.book(), await office.book(start=FIRST + DAY)
    office.svc.clock.now += MINUTE
    await office.texted(first)
    office.svc.clock.now -= MINUTE
    await office.texted(second)
    office.svc.clock.now += MINUTE
    await office.say("C")
    assert [event.visit_id for event in await office.told()] == [to_wire("visit", first)]


async def test_after_a_text_about_no_visit_c_confirms_the_next_one(office: TextingOffice) -> None:
    await office.book(start=FIRST + DAY)
    next_one = await office.book()
    await office.book(start=office.svc.now - DAY)
    await office.texted(None)
    await office.say("C")
    assert [event.visit_id for event in await office.told()] == [to_wire("visit", next_one)]


async def test_what_is_delivered_again_has_had_its_effect(office: TextingOffice) -> None:
    await office.texted(await office.book())
    stop, confirm = office.webhook("STOP"), office.webhook("C")
    assert [await office.post(stop), await office.post(confirm)] == [200, 200]
    await office.say("START")
    assert [await office.post(stop), await office.post(confirm)] == [200, 200]
    assert not await office.suppressed()
    assert names(await office.told()) == ["ChannelOptedOut", "VisitConfirmationReceived", "ChannelOptedIn"]


async def test_r_asks_for_another_time_in_the_language_of_the_text(office: TextingOffice) -> None:
    visit_id = await office.book()
    await office.texted(visit_id, language="es")
    await office.say("R")
    [event] = await office.told()
    assert (event.DESCRIPTOR.name, event.visit_id) == ("RescheduleRequested", to_wire("visit", visit_id))
    await office.answer()
    assert office.fake.texts[0]["Body"].startswith("Harbor Lane: le llamaremos")


@pytest.mark.parametrize("named", [True, False])
async def test_after_a_c_an_r_moves_the_visit_that_was_confirmed_and_no_later_one(
    office: TextingOffice, named: bool
) -> None:
    visit_id, _ = await office.book(), await office.book(start=FIRST + timedelta(days=7))
    await office.texted(visit_id if named else None)
    await office.svc.admin.execute("UPDATE visit SET status = 'CONFIRMED' WHERE id = $1", visit_id)
    await office.say("R")
    [event] = await office.told()
    assert (event.DESCRIPTOR.name, event.visit_id) == ("RescheduleRequested", to_wire("visit", visit_id))


async def test_where_mother_and_child_have_a_number_and_a_visit_each_a_person_asks(office: TextingOffice) -> None:
    child = new_id()
    await office.register(child)
    await office.texted(await office.book())
    office.svc.clock.now += MINUTE
    await office.texted(await office.book(patient_id=child, start=FIRST + DAY), patient_id=child)
    await office.say("C")
    assert await office.told() == []
    [row] = await rows(office, "reply")
    assert (row["patient_id"], row["visit_id"], row["state"]) == (child, None, "OPEN")
    await office.answer()
    assert "a person will read this" in office.fake.texts[0]["Body"]
    office.svc.clock.now = FIRST + MINUTE  # The mother's is over: one is left.
    await office.say("C")
    assert [event.patient_id for event in await office.told()] == [to_wire("patient", child)]


async def test_a_visit_that_is_off_or_over_is_not_confirmed(office: TextingOffice) -> None:
    await office.texted(await office.book(start=office.svc.now))
    await office.say("C")
    assert await office.told() == []
    [row] = await rows(office, "reply")
    assert row["state"] == "OPEN"


async def test_a_visit_that_is_confirmed_is_not_confirmed_again(office: TextingOffice) -> None:
    await office.texted(await office.book())
    await office.svc.admin.execute("UPDATE visit SET status = 'CONFIRMED'")
    await office.say("C")
    assert await office.told() == []
    [row] = await rows(office, "reply")
    assert row["state"] == "OPEN"


# Everything else.


async def test_anything_else_waits_for_a_person_and_is_acknowledged_once_a_day(office: TextingOffice) -> None:
    await office.texted()
    for _ in range(3):
        await office.say("Is there parking?")
    await office.answer()
    assert len(office.fake.texts) == 1
    office.svc.clock.now += DAY
    await office.say("Hello?")
    await office.answer()
    assert len(office.fake.texts) == 2
    assert [row["state"] for row in await rows(office, "reply")] == ["OPEN"] * 4


async def say_while(office: TextingOffice, monkeypatch: pytest.MonkeyPatch, first: str, second: str) -> None:
    """`second` comes when `first` has had its effect and is not committed: it waits for that, or is done before."""
    settle, reached, done = NotificationsStore.settle_job, asyncio.Event(), asyncio.Event()

    async def slowly(store: NotificationsStore) -> None:
        if not reached.is_set():
            reached.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), 0.5)
        await settle(store)

    monkeypatch.setattr(NotificationsStore, "settle_job", slowly)
    saying = asyncio.create_task(office.say(first))
    await reached.wait()
    await office.say(second)
    done.set()
    await saying


async def test_two_texts_at_once_are_acknowledged_once(office: TextingOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    await say_while(office, monkeypatch, "I have a question", "about tomorrow")
    assert len(await rows(office, "reply")) == 2
    assert [row["kind"] for row in await rows(office, "answer")] == ["REPLY_RECEIVED"]


async def test_a_start_that_comes_while_a_stop_is_taken_in_takes_it_back(
    office: TextingOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    await say_while(office, monkeypatch, "STOP", "START")
    assert not await office.suppressed()
    assert names(await office.told()) == ["ChannelOptedOut", "ChannelOptedIn"]


async def test_nothing_that_came_in_stands_anywhere_in_clear(
    office: TextingOffice, capsys: pytest.CaptureFixture[str]
) -> None:
    await office.texted(await office.book())
    await office.say(f"stop texting {CANARY}")
    await office.say(f"{CANARY}?")
    await office.answer()
    await office.post(office.fake.receipt(office.fake.texts[0], "undelivered", "30005"))
    for table in ("reply", "answer", "texted", "suppression", "receipt", "outbox", "audit"):
        for row in await office.svc.admin.fetch(f"SELECT {table}::text AS row, to_jsonb({table}) AS json FROM {table}"):
            for secret in (CANARY, CANARY.encode().hex(), THEIRS, THEIRS[1:], THEIRS.encode().hex()):
                assert secret not in row["row"], table
    for row in await office.svc.admin.fetch("SELECT payload FROM outbox"):
        assert CANARY.encode() not in row["payload"]
        assert THEIRS[1:].encode() not in row["payload"]
    said = "".join(capsys.readouterr())
    assert CANARY not in said
    assert THEIRS[1:] not in said


def test_a_number_has_another_digest_in_another_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_message_keys(tmp_path / "keys.json")
    monkeypatch.setenv(MESSAGE_KEYS, str(tmp_path / "keys.json"))
    one, other = new_id(), new_id()
    assert keys.address_key(one, " Ana@Example.org") == keys.address_key(one, "ana@example.org")
    assert keys.address_key(one, THEIRS) != keys.address_key(other, THEIRS)
    assert len(keys.address_key(one, THEIRS)) == 32


async def test_what_is_old_is_forgotten_and_what_holds_is_not(office: TextingOffice) -> None:
    await office.texted(await office.book())
    await office.say("please stop texting me")
    office.svc.clock.now += 10 * DAY
    await office.say("hello?")
    await office.texted(patient_id=office.patient_id, phone="+15055550178")
    assert await forget_some(office.svc.db, 5 * DAY, office.svc.clock) == 1
    assert await forget_some(office.svc.db, 5 * DAY, office.svc.clock) == 0
    kept = [(row["key_id"], row["phone"] is None, row["said"] is None) for row in await rows(office, "reply")]
    assert sorted(kept, key=str) == [("1", False, False), (None, True, True)]
    assert await office.svc.count("texted") == 1
    assert await office.suppressed()


async def test_what_staff_answers_while_a_reply_is_to_be_forgotten_is_forgotten_with_it(office: TextingOffice) -> None:
    await office.say("hello?")
    [reply] = await rows(office, "reply")
    answer_id, answered, commit = new_id(), asyncio.Event(), asyncio.Event()
    command = AnswerReply(reply["id"], answer_id, keys.message_keys().seal(CANARY.encode(), "said", answer_id))

    async def answer(store: NotificationsStore) -> None:
        await answer_reply(store, command)
        answered.set()
        await commit.wait()

    answering = asyncio.create_task(office.job(answer))
    await answered.wait()
    office.svc.clock.now += 10 * DAY
    forgetting = asyncio.create_task(forget_some(office.svc.db, 5 * DAY, office.svc.clock))
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(forgetting), 0.5)
    commit.set()
    await asyncio.gather(answering, forgetting)
    await forget_some(office.svc.db, 5 * DAY, office.svc.clock)
    assert {row["said"] for table in ("reply", "answer") for row in await rows(office, table)} == {None}


async def test_a_chain_whose_replies_cannot_be_forgotten_now_holds_up_no_other(office: TextingOffice) -> None:
    first = UUID(int=1)
    await office.svc.admin.execute("INSERT INTO chain VALUES ($1)", first)
    await office.say("please stop texting me")
    office.svc.clock.now += 10 * DAY
    await forget_some(refusing(office.svc.db, first), 5 * DAY, office.svc.clock)
    assert await office.svc.admin.fetchval("SELECT said IS NULL FROM reply")


# How answers go out.


async def test_a_chain_whose_answers_cannot_be_taken_now_holds_up_no_other(office: TextingOffice) -> None:
    accounts, first = dict(office.texting._accounts.now), UUID(int=1)
    other = accounts["main"].model_copy(update={"chain_id": to_wire("chain", first)})
    await office.say("STOP")
    texting = Texting({"first": other} | accounts)
    await Answering(refusing(office.svc.db, first), texting, office.svc.clock, Templates()).look()
    assert len(office.fake.texts) == 1
    await texting.close()


async def test_an_answer_is_tried_again_while_the_provider_refuses_and_goes_out_once(office: TextingOffice) -> None:
    await office.say("STOP")
    office.fake.breaks = ["503", "429"]
    for state in ("PENDING", "PENDING", "SENT"):
        await Answering(office.svc.db, office.texting, office.svc.clock, Templates()).look()
        assert [row["state"] for row in await rows(office, "answer")] == [state]
        await office.svc.admin.execute("UPDATE answer SET held_until = NULL")
    await office.answer()
    assert len(office.fake.texts) == 1


async def test_an_answer_that_may_have_gone_out_is_not_sent_again(office: TextingOffice) -> None:
    await office.say("STOP")
    office.fake.breaks = ["after"]
    await office.answer()
    await office.svc.admin.execute("UPDATE answer SET held_until = NULL")
    await office.answer()
    assert [(row["state"], row["code"]) for row in await rows(office, "answer")] == [("UNKNOWN", "TWILIO_NO_ANSWER")]
    assert len(office.fake.texts) == 1


async def test_one_whose_sender_died_after_it_began_is_not_sent_again(office: TextingOffice) -> None:
    await office.say("STOP")
    [row] = await office.job(lambda store: store.take_answers(10, timedelta()))
    assert await office.job(lambda store: store.begin_answer(row["id"]))
    await office.answer()
    assert [(row["state"], row["code"]) for row in await rows(office, "answer")] == [("UNKNOWN", "NO_ANSWER")]
    assert office.fake.texts == []


async def test_two_that_look_at_once_do_not_send_one_answer_twice(office: TextingOffice) -> None:
    await office.say("STOP")
    first = await office.job(lambda store: store.take_answers(10, timedelta(minutes=1)))
    second = await office.job(lambda store: store.take_answers(10, timedelta(minutes=1)))
    assert (len(first), second) == (1, [])
    assert await office.job(lambda store: store.begin_answer(first[0]["id"]))
    assert not await office.job(lambda store: store.begin_answer(first[0]["id"]))


async def test_a_number_that_refuses_the_answer_for_good_is_unreachable(office: TextingOffice) -> None:
    office.fake.refuses[THEIRS] = 21614
    await office.say("hello?")
    await office.answer()
    [row] = await rows(office, "suppression")
    assert (row["kind"], row["sender"], row["note"]) == ("UNREACHABLE", EVERY_SENDER, "TWILIO_21614")
    assert [(row["state"], row["code"]) for row in await rows(office, "answer")] == [("FAILED", "TWILIO_21614")]
