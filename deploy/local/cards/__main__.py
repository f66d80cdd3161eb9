"""`python -m deploy.local.cards FOLDER PORT WEBHOOK_URL`; runs until SIGTERM, and not at all in production mode.

Billing asks with the secret key, a page of this machine with the publishable one. What it has is one file, written
whole with each change, so that payments outlive a restart of the stack.
"""

import json
import os
import sys
import threading
import time
from dataclasses import asdict
from hmac import compare_digest
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from deploy.local.cards.keys import CardKeys
from deploy.local.cards.processor import ACCEPTED, REFUSED, Answer, CardProcessor, Object, nested, real_now
from deploy.local.cards.telling import told
from deploy.local.pages import Pages, is_ours, open_pages, shared
from deploy.local.process import HOST

BODY_MAX = 64 << 10
SHOWN_MAX = 100
AGAIN_S, IDLE_S = 2.0, 0.1
"""How long it waits after a webhook that nobody took in, and while there is none to send."""
PUBLIC = ("payment_intents",)
"""What a publishable key opens, with the secret of the object."""


class Books:
    """The processor, its file, and the lock under which either changes."""

    def __init__(self, folder: Path) -> None:
        self.keys = CardKeys.of(folder)
        self._file, self.lock = folder / "processor.json", threading.Lock()
        self.processor = CardProcessor()
        if self._file.exists():
            kept = json.loads(self._file.read_text())
            keys = {name: (status, answer) for name, (status, answer) in kept.pop("keys").items()}
            self.processor = CardProcessor(**kept, keys=keys)

    def save(self) -> None:
        draft = self._file.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self.processor)))
        draft.replace(self._file)

    def tell_all(self, url: str) -> None:
        """Until the process ends; one after another, each until it is taken in."""
        while True:
            with self.lock:
                event = self.processor.told[0] if self.processor.told else None
            if event is None:
                time.sleep(IDLE_S)
            elif told(event, self.keys.webhook, url):
                with self.lock:
                    self.processor.told.pop(0)
                    self.save()
            else:
                time.sleep(AGAIN_S)


class CardPages(Pages):
    security = "default-src 'none'; style-src 'unsafe-inline'"
    books: Books
    url: str

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not is_ours(self.headers):
            self.answer("text/plain", "for this machine only", HTTPStatus.FORBIDDEN)
        elif path == "/healthz":
            self.answer("text/plain", "ok")
        elif path == "/config.json":
            config = {"publishable_key": self.books.keys.publishable, "api_url": self.url}
            self.answer_json(config, headers=shared(self.headers))
        elif path == "/":
            self._page()
        else:
            self._ask("GET", nested(parse_qsl(urlsplit(self.path).query)))

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not is_ours(self.headers):
            self.answer("text/plain", "for this machine only", HTTPStatus.FORBIDDEN)
        elif not length.isdecimal() or int(length) > BODY_MAX:
            self.answer("text/plain", "a form is sent, and a small one", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            self._ask("POST", nested(parse_qsl(self.rfile.read(int(length)).decode(errors="replace"))))

    def do_OPTIONS(self) -> None:
        """A page's browser asks before the page may."""
        allowed = {
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": "authorization, content-type",
            "Access-Control-Max-Age": "600",
        }
        self.answer("text/plain", "", headers=shared(self.headers) | allowed)

    def _ask(self, method: str, params: Object) -> None:
        with self.books.lock:
            try:
                status, answer = self._answer(method, params)
            except (KeyError, ValueError, TypeError, AttributeError):  # Not asked as Stripe is.
                error = {"type": "invalid_request_error", "code": "parameter_missing", "message": "incomplete"}
                status, answer = HTTPStatus.BAD_REQUEST, {"error": error}
            if method == "POST":
                self.books.save()
        self.answer_json(answer, HTTPStatus(status), shared(self.headers))

    def _answer(self, method: str, params: Object) -> Answer:
        processor, keys = self.books.processor, self.books.keys
        path = unquote(urlsplit(self.path).path)
        given = self.headers.get("Authorization", "").removeprefix("Bearer ") or str(params.pop("key", ""))
        if compare_digest(given.encode(), keys.secret.encode()):
            return processor.once(self.headers.get("Idempotency-Key", ""), method, path, params)
        if not compare_digest(given.encode(), keys.publishable.encode()):
            return _denied(HTTPStatus.UNAUTHORIZED, "no key of this processor")
        secret = str(params.get("client_secret", ""))
        match method, path.removeprefix("/v1/").split("/"):
            case "GET", [kind, id] if kind in PUBLIC:
                return processor.show(id, secret)
            case "POST", [kind, id, "confirm"] if kind in PUBLIC:
                return processor.confirm(id, secret, params["payment_method_data"]["card"], real_now())
        return _denied(HTTPStatus.FORBIDDEN, "not with a publishable key")

    def _page(self) -> None:
        with self.books.lock:
            intents = [dict(each) for each in reversed(self.books.processor.of_kind("payment_intent")[-SHOWN_MAX:])]
            waiting = len(self.books.processor.told)
        self.answer_page(
            "cards/page.html.j2",
            intents=intents,
            waiting=waiting,
            accepted=ACCEPTED,
            refused={number: decline or code for number, (code, decline, _) in REFUSED.items()},
            publishable_key=self.books.keys.publishable,
        )


def _denied(status: HTTPStatus, message: str) -> Answer:
    return status, {"error": {"type": "invalid_request_error", "code": "api_key_invalid", "message": message}}


def main() -> None:
    if os.environ.get("ATOLL_MODE") == "production":
        sys.exit("the local card processor takes no cards in production mode (ATOLL_MODE)")
    folder, port, webhook_url = sys.argv[1:]
    books = Books(Path(folder))
    threading.Thread(target=books.tell_all, args=(webhook_url,), daemon=True).start()
    open_pages(int(port), CardPages, books=books, url=f"http://{HOST}:{port}").serve_forever()


if __name__ == "__main__":
    main()
