"""The card processor of the local stack: which cards pay, who may ask for what, and what outlives a restart."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from deploy.local.cards.__main__ import Books, CardPages
from deploy.local.cards.accounts import take_cards
from deploy.local.cards.processor import ACCEPTED, REFUSED
from deploy.local.cards.telling import told
from deploy.local.home import Home
from deploy.local.pages import open_pages
from deploy.local.process import PYTHON, free_ports

PAYS = next(iter(ACCEPTED))
HERE = "http://localhost:5173"
CARD = {"number": PAYS, "exp_month": "12", "exp_year": "2099", "cvc": "123"}


@dataclass
class Door:
    books: Books
    url: str

    def ask(self, method: str, path: str, key: str, form: Any = None, **headers: str) -> httpx.Response:
        content = {"data": form} if method == "POST" else {"params": form}
        return httpx.request(method, self.url + path, headers={"Authorization": f"Bearer {key}"} | headers, **content)

    def intent(self, amount: int = 15000, **fields: str) -> dict[str, Any]:
        """As billing asks for one."""
        form = {"amount": str(amount), "currency": "usd", "metadata[atoll_id]": "1"} | fields
        answer: dict[str, Any] = self.ask("POST", "/v1/payment_intents", self.books.keys.secret, form).json()
        return answer

    def confirm(self, intent: dict[str, Any], secret: str = "", key: str = "", **changes: str) -> httpx.Response:
        """As a patient's browser does."""
        form = {f"payment_method_data[card][{name}]": value for name, value in (CARD | changes).items()}
        form |= {"client_secret": secret or intent["client_secret"], "payment_method_data[type]": "card"}
        path = f"/v1/payment_intents/{intent['id']}/confirm"
        return self.ask("POST", path, key or self.books.keys.publishable, form, Origin=HERE)

    def told(self) -> list[str]:
        return [each["type"] for each in self.books.processor.told]


@contextmanager
def opened(folder: Path) -> Iterator[Door]:
    [port], books = free_ports(1), Books(folder)
    server = open_pages(port, CardPages, books=books, url=f"http://127.0.0.1:{port}")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield Door(books, f"http://127.0.0.1:{port}")
    server.shutdown()
    server.server_close()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with opened(tmp_path) as door:
        yield door


def test_a_test_card_pays_an_intent_from_a_page_of_this_machine(door: Door) -> None:
    intent = door.intent()
    answer = door.confirm(intent, number="4242 4242 4242 4242", exp_year="99")
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    assert answer.headers["access-control-allow-origin"] == HERE
    assert door.told() == ["payment_intent.succeeded"]
    kept = door.ask("GET", f"/v1/payment_intents/{intent['id']}", door.books.keys.secret).json()
    assert (kept["status"], kept["payment_method"]["card"]["last4"]) == ("succeeded", "4242")
    assert PAYS not in json.dumps(door.books.processor.objects)


@pytest.mark.parametrize("number", [*REFUSED, "4111111111111111", "4012888888881881", "", "1"])
def test_a_card_that_does_not_pay_says_why_and_leaves_the_intent_to_another(door: Door, number: str) -> None:
    intent = door.intent()
    refused = door.confirm(intent, number=number)
    code = REFUSED.get(number, ("card_declined", "", ""))[0]
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, code)
    assert refused.json()["error"]["payment_intent"]["status"] == "requires_payment_method"
    assert door.told() == ["payment_intent.payment_failed"]
    assert door.confirm(intent).json()["status"] == "succeeded"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"exp_month": "13"}, "invalid_expiry_month"),
        ({"exp_month": "x"}, "invalid_expiry_month"),
        ({"exp_year": "2020"}, "invalid_expiry_year"),
        ({"exp_year": "2"}, "invalid_expiry_year"),
        ({"cvc": ""}, "incorrect_cvc"),
    ],
)
def test_a_card_without_an_expiry_to_come_or_a_code_does_not_pay(door: Door, change: dict[str, str], code: str) -> None:
    assert door.confirm(door.intent(), **change).json()["error"]["code"] == code


def test_only_who_has_an_intents_secret_sees_and_pays_it(door: Door) -> None:
    one, other = door.intent(), door.intent()
    path = f"/v1/payment_intents/{one['id']}"
    assert door.confirm(one, secret=other["client_secret"]).status_code == 404
    assert door.confirm({"id": "pi_none"}, secret=one["client_secret"]).status_code == 404
    assert door.confirm({"id": "cus_1"}, secret=one["client_secret"]).status_code == 404
    for secret in ("", other["client_secret"]):
        assert door.ask("GET", path, door.books.keys.publishable, {"client_secret": secret}).status_code == 404
    shown = door.ask("GET", path, door.books.keys.publishable, {"client_secret": one["client_secret"]})
    assert (shown.status_code, "metadata" in shown.json(), "customer" in shown.json()) == (200, False, False)
    assert door.told() == []


def test_a_publishable_key_opens_nothing_else(door: Door) -> None:
    intent = door.intent()
    for method, path in (
        ("POST", "/v1/payment_intents"),
        ("POST", "/v1/refunds"),
        ("POST", f"/v1/payment_intents/{intent['id']}/cancel"),
        ("GET", "/v1/payment_intents/search"),
        ("GET", "/v1/balance_transactions"),
    ):
        assert door.ask(method, path, door.books.keys.publishable, {}).status_code in (403, 404), path
    for key in ("", "sk_test_other", door.books.keys.webhook):
        assert door.confirm(intent, key=key or "none").status_code == 401
        assert door.ask("POST", "/v1/customers", key or "none", {}).status_code == 401
    assert len(door.books.processor.objects) == 1


def test_a_paid_intent_is_paid_once(door: Door) -> None:
    intent = door.intent()
    answers = [door.confirm(intent) for _ in range(2)]
    assert [each.status_code for each in answers] == [200, 400]
    assert len(door.books.processor.of_kind("charge")) == 1


def test_whatever_is_asked_otherwise_than_of_stripe_is_refused(door: Door) -> None:
    for path, form in (("/v1/payment_intents", {}), ("/v1/refunds", {"amount": "x"}), ("/v1/nothing", {})):
        assert door.ask("POST", path, door.books.keys.secret, form).status_code in (400, 404)
    missing = door.ask("POST", "/v1/payment_intents/pi_1/confirm", door.books.keys.publishable, {"client_secret": "x"})
    assert missing.status_code == 400


def test_pages_of_elsewhere_are_not_let_read_and_other_names_are_not_answered(door: Door) -> None:
    config = httpx.get(f"{door.url}/config.json", headers={"Origin": HERE})
    assert config.json() == {"publishable_key": door.books.keys.publishable, "api_url": door.url}
    assert config.headers["access-control-allow-origin"] == HERE
    elsewhere = httpx.get(f"{door.url}/config.json", headers={"Origin": "https://pages.example"})
    assert "access-control-allow-origin" not in elsewhere.headers
    assert httpx.get(f"{door.url}/config.json", headers={"Host": "pages.example"}).status_code == 403
    asked = httpx.options(f"{door.url}/v1/payment_intents/pi_1/confirm", headers={"Origin": HERE})
    assert "authorization" in asked.headers["access-control-allow-headers"]


def test_the_page_names_the_cards_and_no_secret(door: Door) -> None:
    door.confirm(door.intent())
    page = httpx.get(door.url).text
    assert all(number in page for number in (*ACCEPTED, *REFUSED))
    assert "150.00 USD" in page
    assert door.books.keys.publishable in page
    assert door.books.keys.secret not in page
    assert "secret_" not in page


def test_what_was_paid_outlives_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as door:
        intent = door.intent(idempotency="none")
        door.confirm(intent)
        secret, untold = door.books.keys, door.told()
    with opened(tmp_path) as door:
        assert (door.books.keys, door.told()) == (secret, untold)
        again = door.ask("GET", f"/v1/payment_intents/{intent['id']}", secret.secret).json()
        assert again["status"] == "succeeded"
        assert door.intent()["id"] not in {intent["id"]}


class Hearing(BaseHTTPRequestHandler):
    heard: list[tuple[bytes, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append((body, self.headers["Stripe-Signature"]))
        self.send_response(503 if len(self.heard) == 1 else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def test_a_webhook_is_signed_and_told_until_it_is_taken_in(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.cards.__main__.AGAIN_S", 0.01)
    heard = list[tuple[bytes, str]]()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Hearing,), {"heard": heard}))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    threading.Thread(target=door.books.tell_all, args=(url,), daemon=True).start()
    door.confirm(door.intent())
    for _ in range(200):
        if len(heard) == 2 and not door.told():
            break
        time.sleep(0.02)
    server.shutdown()
    server.server_close()
    assert [json.loads(body)["type"] for body, _ in heard] == ["payment_intent.succeeded"] * 2
    for body, signature in heard:
        stripe.WebhookSignature.verify_header(body, signature, door.books.keys.webhook, 300)
    assert json.loads((door.books._file).read_text())["told"] == []


def test_it_does_not_run_in_production_mode(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.local.cards", str(tmp_path), "1", "http://127.0.0.1:1/"]
    environment = {**os.environ, **PYTHON, "ATOLL_MODE": "production"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 1
    assert "production" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_billing_is_told_of_an_account_for_every_site_that_the_home_remembers(tmp_path: Path) -> None:
    home = Home(tmp_path)
    take_cards(home, "http://127.0.0.1:1")
    assert json.loads(home.card_accounts.read_text()) == {}
    home.sites_file.write_text(json.dumps({"chain_id": "chain_1", "sites": {"abq": "site_1", "den": "site_2"}}))
    take_cards(home, "http://127.0.0.1:1")
    [(name, account)] = json.loads(home.card_accounts.read_text()).items()
    assert (name, account["chain_id"], account["site_ids"]) == ("local", "chain_1", ["site_1", "site_2"])
    assert home.card_accounts.stat().st_mode & 0o077 == 0
    assert (home.cards / "keys.json").stat().st_mode & 0o077 == 0


def test_whoever_answers_no_http_has_taken_nothing_in() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

        def answer() -> None:
            line, _ = server.accept()
            with line:
                line.recv(4096)
                line.sendall(b"220 mail.example.org ESMTP\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        assert not told({"type": "payment_intent.succeeded"}, "whsec_test", url)
