"""What the provider is asked by notifications, and what a person sees of it: who was told what, and a reply to it."""

import re
import secrets
import threading
from base64 import b64encode
from dataclasses import asdict
from hmac import compare_digest
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from deploy.local.pages import Pages, is_from_here, is_ours, open_pages
from deploy.local.texts.provider import REFUSED, UNDELIVERED, TextProvider, refusal
from deploy.local.texts.telling import Teller

BODY_MAX = 64 << 10
SAID_MAX = 1_600
"""Characters of what a person answers."""
SHOWN_MAX = 200
BUTTONS = ("C", "R", "STOP", "START", "HELP")
CONVERSATION = re.compile(r"/texts/(\+[1-9][0-9]{6,14})/(\+[1-9][0-9]{6,14})")


class TextPages(Pages):
    security = "default-src 'none'"
    provider: TextProvider
    teller: Teller

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        name, _, extension = path.rpartition(".") if path.endswith(".json") else (path, "", "html")
        ends = _ends(name)
        if not is_ours(self.headers):
            self.answer("text/plain", "for this machine only", HTTPStatus.FORBIDDEN)
        elif path == "/healthz":
            self.answer("text/plain", "ok")
        elif name in ("/", "/texts"):
            self._list(extension)
        elif ends and self.provider.conversation(*ends):
            self._conversation(*ends, extension)
        else:
            self.answer("text/plain", "no such conversation", HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        length, path = self.headers.get("Content-Length", ""), unquote(urlsplit(self.path).path)
        if not is_ours(self.headers):
            self.answer("text/plain", "for this machine only", HTTPStatus.FORBIDDEN)
        elif not length.isdecimal() or int(length) > BODY_MAX:
            self.answer("text/plain", "a form is sent, and a small one", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            body = self.rfile.read(int(length)).decode(errors="replace")
            form = dict(parse_qsl(body, keep_blank_values=True))
            if ends := _ends(path):
                self._reply(*ends, form.get("said", "").strip())
            else:
                self._take(path, form)

    def _take(self, path: str, form: dict[str, str]) -> None:
        """As notifications asks: with the account's token."""
        keys = self.provider.keys
        expected = "Basic " + b64encode(f"{keys.account_sid}:{keys.auth_token}".encode()).decode()
        given = self.headers.get("Authorization", "")
        allowed = compare_digest(given.encode(), expected.encode())
        status, answer = self.provider.take(path, form) if allowed else refusal(401, 20003, "no token of this account")
        self.answer_json(answer, HTTPStatus(status))

    def _reply(self, ours: str, theirs: str, said: str) -> None:
        """As a person does who holds the telephone: pages of elsewhere are none."""
        if not is_from_here(self.headers):
            self.answer("text/plain", "for this machine's pages only", HTTPStatus.FORBIDDEN)
        elif not 0 < len(said) <= SAID_MAX:
            self.answer("text/plain", f"1 to {SAID_MAX} characters", HTTPStatus.BAD_REQUEST)
        else:
            self.teller.reply(ours, theirs, said)
            back = f"/texts/{quote(ours)}/{quote(theirs)}"
            self.answer("text/plain", "said", HTTPStatus.SEE_OTHER, {"Location": back})

    def _list(self, extension: str) -> None:
        conversations = self.provider.conversations()
        if extension == "json":
            self.answer_json({"texts": [asdict(each) for said in conversations for each in said]})
        else:
            shown, total = conversations[:SHOWN_MAX], len(conversations)
            refused = {number: why for number, (_, why) in (REFUSED | UNDELIVERED).items()}
            self._show(conversations=shown, total=total, refused=refused)

    def _conversation(self, ours: str, theirs: str, extension: str) -> None:
        said = self.provider.conversation(ours, theirs)
        if extension == "json":
            self.answer_json({"texts": [asdict(each) for each in said]})
        else:
            self._show(ours=ours, theirs=theirs, said=said, buttons=BUTTONS)

    def _show(self, **content: object) -> None:
        """Its one script keeps what is shown up to date."""
        nonce = secrets.token_urlsafe(12)
        self.security = (
            f"default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; connect-src 'self'; "
            "form-action 'self'"
        )
        self.answer_page("texts/page.html.j2", HTTPStatus.OK, nonce=nonce, **content)


def _ends(path: str) -> tuple[str, str] | None:
    """Our number, and theirs."""
    found = CONVERSATION.fullmatch(path)
    return (found[1], found[2]) if found else None


def open_texts(folder: Path, port: int, webhook_url: str, poll_s: float) -> ThreadingHTTPServer:
    """Served by threads of this process until `shutdown`."""
    provider = TextProvider(folder)
    teller = Teller(provider, webhook_url)
    pages = open_pages(port, TextPages, provider=provider, teller=teller)
    threading.Thread(target=pages.serve_forever, args=(poll_s,), daemon=True).start()
    threading.Thread(target=teller.tell_all, daemon=True).start()
    return pages
