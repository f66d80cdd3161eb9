"""Texts and calls by Twilio's own library, against an HTTP server with its shapes: what each outcome is taken for."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import pytest
import pytest_asyncio
from pydantic import ValidationError

from chassis.ids import new_id, to_wire
from services.notifications.channels import twilio
from services.notifications.domain.sending import Answer
from services.notifications.domain.texting import SendingNumber
from services.notifications.texting import PlainProvider, Texting, TextingAccount, TextingSettings, pacing
from tests.support.twilio import ACCOUNT_SID, OLD_TOKEN, TOKEN, FakeTwilio, fake_twilio

CHAIN, SITE, OTHER_SITE, MESSAGE = (UUID(int=n) for n in range(1, 5))
OURS, THEIRS, SERVICE_SID = "+15055550100", "+15055550177", "MG" + "a" * 32
OTHER = "+15055550101"
NUMBER = SendingNumber("main", OURS, OURS)


class Watch:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeTwilio]:
    async with fake_twilio() as fake:
        yield fake


def account(url: str, sender: str = OURS, **more: Any) -> TextingAccount:
    fields = {
        "chain_id": to_wire("chain", CHAIN),
        "account_sid": ACCOUNT_SID,
        "auth_tokens": [TOKEN, OLD_TOKEN],
        "sites": {to_wire("site", SITE): {"sender": sender}},
        "webhook_url": "https://hooks.example.org",
        "api_url": url,
        "per_second": 1000,
        "account_per_second": 1000,
    }
    return TextingAccount.model_validate(fields | more)


@pytest_asyncio.fixture
async def texting(fake: FakeTwilio) -> AsyncIterator[Texting]:
    texting = Texting({"main": account(fake.url)})
    yield texting
    await texting.close()


async def test_a_text_goes_out_from_the_sites_number_and_asks_for_receipts_by_our_id(
    texting: Texting, fake: FakeTwilio
) -> None:
    number = texting.sender_of(CHAIN, SITE)
    assert number == NUMBER
    sent = await texting.send(number, THEIRS, "Harbor Lane: 9:00 ✓", MESSAGE)
    [text] = fake.texts
    assert (sent.answer, sent.code, sent.provider_id) == (Answer.TAKEN, "TWILIO_TAKEN", text["sid"])
    assert (text["From"], text["To"], text["Body"]) == (OURS, THEIRS, "Harbor Lane: 9:00 ✓")
    assert text["StatusCallback"] == (
        f"https://hooks.example.org/v1/textingWebhooks/main/status?message_id={to_wire('message', MESSAGE)}"
        "#rc=5&rp=ct,rt,5xx"
    )


async def test_accounts_of_a_file_are_those_that_stand_in_it_now(fake: FakeTwilio, tmp_path: Path) -> None:
    file = tmp_path / "accounts.json"
    texting = Texting.told(TextingSettings(mode="development", texting_accounts_file=file))
    assert (texting.idle, texting.sender_of(CHAIN, SITE), texting.chains) == (False, None, frozenset())
    for second, tokens in enumerate((["wrong"], [TOKEN]), start=1):
        told = account(fake.url).model_dump(mode="json") | {"auth_tokens": tokens}
        file.write_text(json.dumps({"main": told}))
        os.utime(file, (second, second))  # Clocks of files are coarse.
        assert texting.sender_of(CHAIN, SITE) == NUMBER
        await texting.send(NUMBER, THEIRS, "hello", MESSAGE)
    assert (len(fake.texts), texting.chains) == (1, frozenset({CHAIN}))
    file.write_text("{")
    assert "main" in texting
    file.write_text("{}")
    os.utime(file, (9, 9))
    assert (await texting.send(NUMBER, THEIRS, "hello", MESSAGE)).code == "TEXTING_NO_ACCOUNT"
    await texting.close()


def tell(file: Path, second: int, **accounts: TextingAccount) -> None:
    """Clocks of files are coarse."""
    told = {name: each.model_dump(mode="json") | {"auth_tokens": [TOKEN]} for name, each in accounts.items()}
    file.write_text(json.dumps(told))
    os.utime(file, (second, second))


async def test_accounts_that_are_told_anew_are_asked_at_the_pace_of_before(
    fake: FakeTwilio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "WAIT_MAX_S", 0.0)
    file, slow = tmp_path / "accounts.json", account(fake.url, per_second=1e-3)
    texting = Texting.told(TextingSettings(mode="development", texting_accounts_file=file))
    codes, faster = list[str](), {"per_second": 2e-3}
    changes: list[dict[str, Any]] = [{}, {"webhook_url": "https://other.example.org"}, faster, faster]
    for second, change in enumerate(changes, start=1):
        tell(file, second, main=slow.model_copy(update=change))
        codes.append((await texting.send(NUMBER, THEIRS, "hello", MESSAGE)).code)
    assert codes == ["TWILIO_TAKEN", "TEXTING_TOO_FAST", "TWILIO_TAKEN", "TEXTING_TOO_FAST"]
    await texting.close()


async def test_an_account_that_is_told_anew_closes_once_nobody_is_answered_by_it_any_more(
    fake: FakeTwilio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, closed = tmp_path / "accounts.json", list[twilio.Twilio]()
    close = twilio.Twilio.close

    async def noted(provider: twilio.Twilio) -> None:
        await close(provider)
        closed.append(provider)

    monkeypatch.setattr(twilio.Twilio, "close", noted)
    texting = Texting.told(TextingSettings(mode="development", texting_accounts_file=file))
    urls = "https://one.example.org", "https://two.example.org", "https://three.example.org"
    for second, url in enumerate(urls, start=1):
        tell(file, second, main=account(fake.url, webhook_url=url), other=account(fake.url, OTHER))
        for name, sender in ("main", OURS), ("other", OTHER):
            await texting.send(SendingNumber(name, sender, ""), THEIRS, "hello", MESSAGE)
        assert closed == []
    await texting.close()
    assert len(set(closed)) == len(closed) == 4
    closed.clear()
    monkeypatch.setattr("services.notifications.texting.KEPT_S", 0.01)
    texting = Texting.told(TextingSettings(mode="development", texting_accounts_file=file))
    await texting.send(NUMBER, THEIRS, "hello", MESSAGE)
    tell(file, 9)
    assert "main" not in texting
    await asyncio.gather(*texting._closing)
    assert (len(closed), texting._closing) == (1, set())
    await texting.close()
    assert len(closed) == 1


async def test_in_production_a_provider_is_asked_over_tls_only() -> None:
    plain, safe = account("http://127.0.0.1:8026"), account("https://texts.example.org")
    with pytest.raises(PlainProvider):
        Texting.told(TextingSettings(mode="production", texting={"main": plain}))
    assert "main" in Texting.told(TextingSettings(mode="development", texting={"main": plain}))
    assert "main" in Texting.told(TextingSettings(mode="production", texting={"main": safe}))


async def test_a_messaging_service_sends_where_the_site_has_one(fake: FakeTwilio) -> None:
    texting = Texting({"main": account(fake.url, SERVICE_SID)})
    number = texting.sender_of(CHAIN, SITE)
    assert number
    assert (await texting.send(number, THEIRS, "hello", MESSAGE)).answer is Answer.TAKEN
    assert fake.texts[0]["MessagingServiceSid"] == SERVICE_SID
    assert "From" not in fake.texts[0]
    refused = await texting.call(number, THEIRS, "hello", "en", MESSAGE)
    assert (refused.answer, refused.code, fake.calls) == (Answer.NEVER, "TEXTING_NO_VOICE", [])
    await texting.close()


@pytest.mark.parametrize(
    ("language", "tag", "voice"),
    [("en", "en-US", "Polly.Joanna"), ("es-MX", "es-US", "Polly.Lupe"), ("de", "en-US", "Polly.Joanna")],
)
async def test_a_call_says_its_text_twice_in_the_language(
    texting: Texting, fake: FakeTwilio, language: str, tag: str, voice: str
) -> None:
    sent = await texting.call(NUMBER, THEIRS, "Tom & Ana <9:00>", language, MESSAGE)
    [call] = fake.calls
    assert (sent.answer, sent.provider_id, call["From"]) == (Answer.TAKEN, call["sid"], OURS)
    first, pause, second = ElementTree.fromstring(call["Twiml"])  # noqa: S314  # Written by us.
    assert (pause.tag, pause.get("length")) == ("Pause", "1")
    for say in (first, second):
        assert (say.tag, say.text, say.get("language"), say.get("voice")) == ("Say", "Tom & Ana <9:00>", tag, voice)


@pytest.mark.parametrize(
    ("how", "answer", "code", "taken"),
    [
        ("429", Answer.NOT_NOW, "TWILIO_429", 0),
        ("500", Answer.NOT_NOW, "TWILIO_500", 0),
        ("503", Answer.NOT_NOW, "TWILIO_503", 0),
        ("before", Answer.NONE, "TWILIO_NO_ANSWER", 0),
        ("after", Answer.NONE, "TWILIO_NO_ANSWER", 1),
        ("garbled", Answer.NONE, "TWILIO_NO_ANSWER", 1),
    ],
)
async def test_what_may_have_been_taken_is_no_answer(
    texting: Texting, fake: FakeTwilio, how: str, answer: Answer, code: str, taken: int
) -> None:
    fake.breaks = [how]
    sent = await texting.send(NUMBER, THEIRS, "hello", MESSAGE)
    assert (sent.answer, sent.code, sent.provider_id) == (answer, code, None)
    assert (len(fake.texts), fake.asked) == (taken, 1)


async def test_an_answer_that_does_not_come_is_waited_for_so_long(
    fake: FakeTwilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio, "ANSWER_S", 0.2)
    texting = Texting({"main": account(fake.url)})
    fake.breaks = ["slow"]
    sent = await texting.send(NUMBER, THEIRS, "hello", MESSAGE)
    assert (sent.answer, sent.code, len(fake.texts)) == (Answer.NONE, "TWILIO_NO_ANSWER", 1)
    await texting.close()


async def test_where_no_connection_is_had_nothing_was_taken() -> None:
    async with fake_twilio() as gone:
        url = gone.url
    texting = Texting({"main": account(url)})
    sent = await texting.send(NUMBER, THEIRS, "hello", MESSAGE)
    assert (sent.answer, sent.code) == (Answer.NOT_NOW, "TWILIO_NO_CONNECTION")
    await texting.close()


@pytest.mark.parametrize("code", [21211, 21265, 21266, 21408, 21610, 21612, 21614, 21635, 30003, 30004, 30005, 30006])
async def test_what_is_about_the_recipient_is_refused_for_good(texting: Texting, fake: FakeTwilio, code: int) -> None:
    fake.refuses[THEIRS] = code
    sent = await texting.send(NUMBER, THEIRS, "hello", MESSAGE)
    assert (sent.answer, sent.code) == (Answer.NEVER, f"TWILIO_{code}")


@pytest.mark.parametrize("code", [20003, 20429, 21212, 21606, 21659])
async def test_what_is_about_us_may_pass(texting: Texting, fake: FakeTwilio, code: int) -> None:
    fake.refuses[THEIRS] = code
    sent = await texting.send(NUMBER, THEIRS, "hello", MESSAGE)
    assert (sent.answer, sent.code) == (Answer.NOT_NOW, f"TWILIO_{code}")


async def test_a_wrong_token_is_our_trouble(fake: FakeTwilio) -> None:
    texting = Texting({"main": account(fake.url, auth_tokens=["wrong"])})
    sent = await texting.send(NUMBER, THEIRS, "hello", MESSAGE)
    assert (sent.answer, sent.code, fake.texts) == (Answer.NOT_NOW, "TWILIO_20003", [])
    await texting.close()


async def test_neither_number_nor_text_is_logged(
    texting: Texting, fake: FakeTwilio, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    for how in ("", "500", "after"):
        fake.breaks = [how]
        await texting.send(NUMBER, THEIRS, "Zqkanarie", MESSAGE)
    fake.refuses[THEIRS] = 21211
    await texting.call(NUMBER, THEIRS, "Zqkanarie", "en", MESSAGE)
    said = caplog.text + "".join(capsys.readouterr())
    assert "Zqkanarie" not in said
    assert THEIRS[1:] not in said


def test_a_site_without_a_number_and_another_chain_do_not_text() -> None:
    texting = Texting({"main": account("http://127.0.0.1:1")})
    assert texting.sender_of(CHAIN, OTHER_SITE) is None
    assert texting.sender_of(new_id(), SITE) is None


async def test_another_account_is_tried_while_the_first_refuses_again_and_again(fake: FakeTwilio) -> None:
    watch, other = Watch(), "+15055550101"
    texting = Texting({"main": account(fake.url), "spare": account(fake.url, other)}, watch)

    def chosen() -> str:
        number = texting.sender_of(CHAIN, SITE)
        assert number
        return number.account

    fake.breaks = ["503"] * (pacing.BREAK_AFTER - 1)
    for _ in range(pacing.BREAK_AFTER - 1):
        await texting.send(NUMBER, THEIRS, "hello", MESSAGE)
    assert chosen() == "main"
    fake.breaks = ["", *["503"] * pacing.BREAK_AFTER]
    for _ in range(pacing.BREAK_AFTER):
        await texting.send(NUMBER, THEIRS, "hello", MESSAGE)
    assert chosen() == "main"  # One was taken between.
    await texting.send(NUMBER, THEIRS, "hello", MESSAGE)
    assert chosen() == "spare"
    watch.now += pacing.BREAK_S
    assert chosen() == "main"
    fake.breaks = ["503"]
    await texting.send(NUMBER, THEIRS, "hello", MESSAGE)
    assert chosen() == "spare"
    for _ in range(pacing.BREAK_AFTER):
        fake.breaks = ["503"]
        await texting.send(SendingNumber("spare", other, other), THEIRS, "hello", MESSAGE)
    assert chosen() == "main"  # Where none answers the first is asked.
    await texting.close()


async def test_a_refusal_of_one_number_says_nothing_of_the_account(texting: Texting, fake: FakeTwilio) -> None:
    fake.refuses[THEIRS] = 21610
    for _ in range(pacing.BREAK_AFTER + 1):
        await texting.send(NUMBER, THEIRS, "hello", MESSAGE)
    assert not texting._breakers["main"].open


async def test_a_number_texts_so_fast_and_no_faster_and_nobody_waits_for_long(fake: FakeTwilio) -> None:
    watch = Watch()
    pace = pacing.Pace(1.0, watch)
    assert [pace.reserve() for _ in range(6)] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    with pytest.raises(pacing.TooFast):
        pace.reserve()
    watch.now += 1.0
    assert pace.reserve() == 5.0
    watch.now += 60.0
    assert [pace.reserve() for _ in range(2)] == [0.0, 1.0]  # What was not used is not saved up.
    quick = pacing.Pace(10.0, watch)
    watch.now += 60.0
    assert [round(quick.reserve(), 3) for _ in range(12)] == [0.0] * 10 + [0.1, 0.2]


async def test_who_would_wait_too_long_comes_again_and_other_numbers_do_not_wait(
    fake: FakeTwilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "WAIT_MAX_S", 0.0)
    watch, other = Watch(), "+15055550102"
    texting = Texting({"main": account(fake.url, per_second=1)}, watch)
    assert (await texting.send(NUMBER, THEIRS, "1", MESSAGE)).answer is Answer.TAKEN
    late = await texting.send(NUMBER, THEIRS, "2", MESSAGE)
    assert (late.answer, late.code) == (Answer.NOT_NOW, "TEXTING_TOO_FAST")
    assert (await texting.send(SendingNumber("main", other, ""), THEIRS, "3", MESSAGE)).answer is Answer.TAKEN
    assert not texting._breakers["main"].open
    assert [text["Body"] for text in fake.texts] == ["1", "3"]
    await texting.close()


async def test_the_whole_account_is_asked_so_fast_and_no_faster(
    fake: FakeTwilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "WAIT_MAX_S", 0.0)
    texting = Texting({"main": account(fake.url, account_per_second=1)}, Watch())
    sent = [
        (await texting.send(SendingNumber("main", f"+1505555020{n}", ""), THEIRS, "x", MESSAGE)).code for n in range(2)
    ]
    assert sent == ["TWILIO_TAKEN", "TEXTING_TOO_FAST"]
    await texting.close()


async def test_an_account_that_went_from_the_settings_is_away(texting: Texting) -> None:
    sent = await texting.send(SendingNumber("gone", OURS, OURS), THEIRS, "hello", MESSAGE)
    assert (sent.answer, sent.code) == (Answer.NOT_NOW, "TEXTING_NO_ACCOUNT")


@pytest.mark.parametrize(
    "wrong",
    [
        {"account_sid": "AC1"},
        {"auth_tokens": []},
        {"webhook_url": "https://hooks.example.org/path"},
        {"sites": {"site_1": {"sender": "5055550100x"}}},
        {"per_second": 0},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        account("http://127.0.0.1:1", **wrong)


def test_the_providers_library_is_loaded_for_those_who_have_an_account_only() -> None:
    asked = "import sys, services.notifications.__main__; print('twilio' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False"]
