"""The provider of texts of the local stack: what it takes and tells, who may answer, what outlives a restart."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from twilio.request_validator import RequestValidator
from typer.testing import CliRunner

from chassis.ids import new_id, to_wire
from cli.app import build
from deploy.local.home import Home, ProcessInfo, StackInfo
from deploy.local.pages import open_pages
from deploy.local.process import PYTHON, LocalError, free_ports
from deploy.local.texts.accounts import take_texts
from deploy.local.texts.pages import TextPages
from deploy.local.texts.provider import REFUSED, UNDELIVERED, TextProvider
from deploy.local.texts.telling import Teller
from services.notifications.texting import Texting, TextingSettings

OURS, THEIRS = "+15055570100", "+15055550101"
TWIML = "<Response><Say>Sandia: your visit.</Say><Pause/><Say>Sandia: your visit.</Say></Response>"


@dataclass
class Heard:
    """What a listener was told: path, fields, signature. It takes nothing in while it is away."""

    url: str = ""
    told: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    away: bool = False


@dataclass
class Door:
    provider: TextProvider
    teller: Teller
    url: str
    heard: Heard

    def ask(self, to: str = THEIRS, token: str = "", resource: str = "Messages", **form: str) -> httpx.Response:
        """As notifications asks."""
        keys = self.provider.keys
        said = {"Twiml": TWIML} if resource == "Calls" else {"Body": "Sandia: your visit."}
        fields = {"To": to, "From": OURS, "StatusCallback": f"{self.heard.url}/status?message_id=1#rc=5"} | said | form
        path = f"/2010-04-01/Accounts/{keys.account_sid}/{resource}.json"
        return httpx.post(self.url + path, data=fields, auth=(keys.account_sid, token or keys.auth_token))

    def reply(self, said: str, **headers: str) -> httpx.Response:
        return httpx.post(f"{self.url}/texts/{OURS}/{THEIRS}", data={"said": said}, headers=headers)

    def statuses(self) -> list[str]:
        return [each.status for each in self.provider.conversation(OURS, THEIRS)]

    def tell(self) -> None:
        while self.teller.tell_some():
            pass


@contextmanager
def listening() -> Iterator[Heard]:
    heard = Heard()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            heard.told.append((self.path, dict(parse_qsl(body)), self.headers["X-Twilio-Signature"]))
            self.send_response(503 if heard.away else 200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    heard.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield heard
    server.shutdown()
    server.server_close()


@contextmanager
def opened(folder: Path) -> Iterator[Door]:
    with listening() as heard:
        [port], provider = free_ports(1), TextProvider(folder)
        teller = Teller(provider, heard.url)
        server = open_pages(port, TextPages, provider=provider, teller=teller)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield Door(provider, teller, f"http://127.0.0.1:{port}", heard)
        server.shutdown()
        server.server_close()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with opened(tmp_path) as door:
        yield door


def test_a_text_is_taken_shown_and_told_to_have_arrived(door: Door) -> None:
    taken = door.ask()
    assert (taken.status_code, taken.json()["status"]) == (201, "queued")
    door.tell()
    sid, validator = taken.json()["sid"], RequestValidator(door.provider.keys.auth_token)
    assert [(path, told["MessageSid"], told["MessageStatus"]) for path, told, _ in door.heard.told] == [
        ("/status?message_id=1", sid, "sent"),
        ("/status?message_id=1", sid, "delivered"),
    ]
    assert all(validator.validate(door.heard.url + path, told, given) for path, told, given in door.heard.told)
    assert "Sandia: your visit." in httpx.get(f"{door.url}/").text
    page = httpx.get(f"{door.url}/texts/{OURS}/{THEIRS}")
    assert ("Sandia: your visit." in page.text, "delivered" in page.text) == (True, True)
    assert "script-src 'nonce-" in page.headers["content-security-policy"]


def test_a_call_is_shown_as_what_it_says_once(door: Door) -> None:
    assert door.ask(resource="Calls").status_code == 201
    door.tell()
    [shown] = httpx.get(f"{door.url}/texts.json").json()["texts"]
    assert (shown["kind"], shown["body"], shown["status"]) == ("call", "Sandia: your visit.", "completed")
    assert [told["CallStatus"] for _, told, _ in door.heard.told] == ["in-progress", "completed"]


@pytest.mark.parametrize(("to", "code"), [(to, code) for to, (code, _) in REFUSED.items()] + [("5550101", 21211)])
def test_a_text_to_a_number_of_twilios_that_takes_none_is_refused_by_its_code(door: Door, to: str, code: int) -> None:
    refused = door.ask(to)
    assert (refused.status_code, refused.json()["code"]) == (403 if code == 21408 else 400, code)
    assert door.provider.conversations() == []


@pytest.mark.parametrize("to", UNDELIVERED)
def test_a_text_that_does_not_arrive_is_told_with_its_code(door: Door, to: str) -> None:
    door.ask(to)
    door.tell()
    assert [(told["MessageStatus"], told.get("ErrorCode")) for _, told, _ in door.heard.told] == [
        ("sent", None),
        ("undelivered", str(UNDELIVERED[to][0])),
    ]


@pytest.mark.parametrize(
    ("form", "code"), [({"Body": ""}, 21602), ({"Body": "x" * 1601}, 21617), ({"From": "me"}, 21603)]
)
def test_what_is_no_text_is_refused(door: Door, form: dict[str, str], code: int) -> None:
    assert door.ask(**form).json()["code"] == code


def test_only_who_has_the_accounts_token_texts(door: Door) -> None:
    assert door.ask(token="another").json()["code"] == 20003
    assert door.ask(resource="Lookups").status_code == 404
    assert door.provider.conversations() == []


def test_a_reply_is_told_signed_and_shown_as_taken_in(door: Door) -> None:
    door.ask()
    assert door.reply(" STOP ").headers["location"] == "/texts/%2B15055570100/%2B15055550101"
    [(path, told, signature)] = door.heard.told
    assert (path, told["From"], told["To"], told["Body"]) == (
        "/v1/textingWebhooks/local/inbound", THEIRS, OURS, "STOP"
    )  # fmt: skip
    assert RequestValidator(door.provider.keys.auth_token).validate(door.heard.url + path, told, signature)
    assert door.statuses() == ["queued", "received"]


def test_a_reply_that_nobody_takes_in_says_so(door: Door) -> None:
    door.heard.away = True
    door.reply("C")
    assert door.statuses() == ["not taken in"]


def test_pages_of_elsewhere_neither_see_nor_answer(door: Door) -> None:
    for origin in ("https://pages.example", "null", ""):
        assert door.reply("STOP", Origin=origin).status_code == 403
    assert door.reply("STOP", Host="pages.example").status_code == 403
    assert httpx.get(f"{door.url}/", headers={"Host": "pages.example"}).status_code == 403
    assert (door.reply("").status_code, door.reply("x" * 1601).status_code) == (400, 400)
    assert httpx.post(f"{door.url}/", content=b"x" * (70 << 10)).status_code == 413
    assert httpx.get(f"{door.url}/texts/{OURS}/{THEIRS}").status_code == 404
    assert door.heard.told == []
    assert door.reply("C", Origin=door.url).status_code == 303


def test_a_receipt_that_nobody_takes_in_is_told_five_times(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.texts.telling.AGAIN_S", 0.0)
    door.heard.away = True
    door.ask()
    door.tell()
    assert [told["MessageStatus"] for _, told, _ in door.heard.told] == ["sent"] * 5 + ["delivered"] * 5


def test_a_receipt_that_nobody_takes_in_holds_up_no_other(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.texts.telling.AGAIN_S", 60.0)
    door.ask(StatusCallback="nowhere")
    door.ask(StatusCallback=f"{door.heard.url}/status", To="+15055550102")
    assert [door.teller.tell_some() for _ in range(3)] == [2, 1, 0]
    assert [told["MessageStatus"] for _, told, _ in door.heard.told] == ["sent", "delivered"]


def test_receipts_go_on_after_one_that_could_not_be_kept(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.texts.telling.AGAIN_S", 0.0)
    mark, marked = door.provider.mark, threading.Event()

    def fail_once(sid: str, status: str) -> None:
        monkeypatch.setattr(door.provider, "mark", note)
        raise OSError("no space left on device")

    def note(sid: str, status: str) -> None:
        mark(sid, status)
        marked.set()

    monkeypatch.setattr(door.provider, "mark", fail_once)
    door.ask()
    threading.Thread(target=door.teller.tell_all, daemon=True).start()
    assert marked.wait(10)


def test_what_was_said_outlives_a_restart_and_receipts_go_on(tmp_path: Path) -> None:
    with opened(tmp_path) as door:
        door.ask()
        door.reply("hello")
        door.heard.told.clear()
        door.teller.tell_some()
        keys = door.provider.keys
    with opened(tmp_path) as door:
        assert (door.provider.keys, door.statuses()) == (keys, ["sent", "received"])
        assert len((tmp_path / "said.jsonl").read_text().splitlines()) == 2
        assert [each.next_status for each in door.provider.unfinished()] == ["delivered"]


def test_it_does_not_run_in_production_mode(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.local.mail", str(tmp_path), "1", "1", str(tmp_path), "1", "http://x"]
    environment = {**os.environ, **PYTHON, "ATOLL_MODE": "production"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert (ended.returncode, "production" in ended.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_notifications_is_told_of_a_number_for_every_site_that_the_home_remembers(tmp_path: Path) -> None:
    home, chain_id, sites = Home(tmp_path), new_id(), [new_id(), new_id()]
    take_texts(home, "http://127.0.0.1:1", "http://127.0.0.1:2")
    assert json.loads(home.text_accounts.read_text()) == {}
    texting = Texting.told(TextingSettings(mode="development", texting_accounts_file=home.text_accounts))
    assert texting.sender_of(chain_id, sites[0]) is None
    remembered = {
        "chain_id": to_wire("chain", chain_id),
        "sites": {str(n): to_wire("site", id) for n, id in enumerate(sites)},
    }
    home.sites_file.write_text(json.dumps(remembered))
    take_texts(home, "http://127.0.0.1:1", "http://127.0.0.1:2")
    numbers = [texting.sender_of(chain_id, id) for id in sites]
    assert [number and number.sender for number in numbers] == ["+15055570100", "+15055570101"]
    assert home.text_accounts.stat().st_mode & 0o077 == 0
    assert (home.texts / "keys.json").stat().st_mode & 0o077 == 0


def test_a_terminal_shows_a_conversation_and_answers_it(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATOLL_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    described: dict[str, Any] = {name: "" for name in StackInfo.__dataclass_fields__}
    described |= {"supervisor": ProcessInfo.of(os.getpid()), "services": {}, "processes": {}, "texts_url": door.url}
    Home.default().record(StackInfo(**described))
    door.ask()

    def atoll(*arguments: str) -> str:
        ended = CliRunner().invoke(build(), ["texts", *arguments])
        assert ended.exit_code == 0, ended.exception
        return ended.output

    assert f"{THEIRS} said to {OURS}: STOP" in atoll("reply", THEIRS, "STOP")
    assert "Sandia: your visit." in atoll("show", THEIRS)
    heads = [line for line in atoll("list").splitlines() if " UTC " in line]
    assert [head.partition("UTC  ")[2] for head in heads] == [
        f"{THEIRS} to {OURS}, received",
        f"{OURS} to {THEIRS}, queued",
    ]
    assert [each["kind"] for each in json.loads(atoll("list", "--json", "--limit", "1"))] == ["reply"]
    with pytest.raises(LocalError, match="nothing was said"):
        CliRunner().invoke(build(), ["texts", "show", "+15055550999"], catch_exceptions=False)
    refused = CliRunner().invoke(build(), ["texts", "reply", THEIRS, "x" * 1601])
    assert str(refused.exception) == "the provider of texts answered 400 Bad Request: 1 to 1600 characters"
