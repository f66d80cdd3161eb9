"""A provider of texts and calls of ours for tests: Twilio's shapes over HTTP, its errors, its signed webhooks; it fails
as it is told to.

What it took is kept in `texts` and `calls`. Receipts and replies are made, signed as Twilio signs, and handed out in
whatever order a test wants, as often as it wants.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

ACCOUNT_SID, TOKEN, OLD_TOKEN = "AC" + "1" * 32, "token-new", "token-old"
STATUSES = {
    20003: 401, 20429: 429, 21211: 400, 21212: 400, 21265: 400, 21266: 400, 21408: 403, 21606: 400, 21610: 400,
    21612: 400, 21614: 400, 21635: 400, 21659: 400,
}  # fmt: skip
"""Of each error that is answered to a request."""


@dataclass(frozen=True)
class Webhook:
    """A request that the provider makes: address, form and signature."""

    url: str
    body: bytes
    signature: str

    @property
    def headers(self) -> dict[str, str]:
        return {"content-type": "application/x-www-form-urlencoded", "x-twilio-signature": self.signature}

    @property
    def target(self) -> str:
        """Path and query: the host is another in tests, as it is behind an ingress."""
        return "/" + self.url.split("/", 3)[3]


@dataclass
class FakeTwilio:
    port: int = 0
    texts: list[dict[str, str]] = field(default_factory=list)
    """What was asked for, with the `sid` that it was given."""
    calls: list[dict[str, str]] = field(default_factory=list)
    refuses: dict[str, int] = field(default_factory=dict)
    """Error codes by the number that a text or call goes to."""
    breaks: list[str] = field(default_factory=list)
    """For the next requests: "before" or "after" they are taken the connection breaks, "429", "500" and "503" refuse,
    "slow" takes it and does not answer, "garbled" takes it and answers no JSON, "" answers."""
    away: bool = False
    on_taken: Callable[[], Awaitable[object]] | None = None
    """What happens before it answers what it took."""
    asked: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def receipt(self, taken: dict[str, str], status: str, error_code: str = "", token: str = TOKEN) -> Webhook:
        """Of a text or a call in `texts` or `calls`."""
        url = taken["StatusCallback"].partition("#")[0]
        named = "Call" if taken["sid"].startswith("CA") else "Message"
        fields = {f"{named}Sid": taken["sid"], f"{named}Status": status, "To": taken["To"], "AccountSid": ACCOUNT_SID}
        if error_code:
            fields["ErrorCode"] = error_code
        return signed(url, fields, token)

    def reply(
        self, base_url: str, account: str, text: str, *, sender: str, to: str, token: str = TOKEN, service: str = ""
    ) -> Webhook:
        """A text from the number `sender` to ours."""
        self.asked += 1
        fields = {"MessageSid": f"SM{self.asked:032x}", "From": sender, "To": to, "Body": text, "NumMedia": "0"}
        if service:
            fields["MessagingServiceSid"] = service
        return signed(f"{base_url}/v1/textingWebhooks/{account}/inbound", fields, token)

    def answer(self, method: str, path: str, authorization: str, form: dict[str, str]) -> tuple[int, object]:
        expected = base64.b64encode(f"{ACCOUNT_SID}:{TOKEN}".encode()).decode()
        if authorization != f"Basic {expected}":
            return _refusal(20003)
        base = f"/2010-04-01/Accounts/{ACCOUNT_SID}"
        kept = {f"{base}/Messages.json": self.texts, f"{base}/Calls.json": self.calls}.get(path)
        if method != "POST" or kept is None:
            return 404, {"code": 20404, "message": "not found", "status": 404}
        if code := self.refuses.get(form["To"]):
            return _refusal(code, form["To"])
        sid = f"{'SM' if kept is self.texts else 'CA'}{len(kept) + 1:032x}"
        kept.append({**form, "sid": sid})
        return 201, {"sid": sid, "status": "queued", "to": form["To"], "error_code": None}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            await self._serve_one(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        form = dict(parse_qsl((await reader.readexactly(int(headers.get("content-length", 0)))).decode()))
        self.asked += 1
        how = self.breaks.pop(0) if self.breaks else ""
        if self.away or how == "before":
            return
        if how.isdecimal():
            await _write(writer, int(how), {"message": f"to {form.get('To')}", "status": int(how)})
            return
        status, answer = self.answer(method, target, headers.get("authorization", ""), form)
        if self.on_taken:
            await self.on_taken()
        if how == "slow":
            await reader.read()
        elif how == "garbled":
            await _write(writer, status, None)
        elif how != "after":
            await _write(writer, status, answer)


async def _write(writer: asyncio.StreamWriter, status: int, answer: object) -> None:
    text = json.dumps(answer).encode() if answer is not None else b"<html>"
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
    writer.write(head.encode() + text)
    await writer.drain()


def _refusal(code: int, to: str = "") -> tuple[int, object]:
    status = STATUSES.get(code, 400)
    return status, {"code": code, "message": f"The number {to} cannot be", "more_info": "", "status": status}


def signed(url: str, fields: dict[str, str], token: str = TOKEN) -> Webhook:
    """As twilio.com/docs/usage/security has it: SHA-1 over the address and the sorted fields, keyed by the token."""
    text = url + "".join(name + fields[name] for name in sorted(fields))
    mac = hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()
    return Webhook(url, urlencode(fields).encode(), base64.b64encode(mac).decode())


@asynccontextmanager
async def fake_twilio() -> AsyncIterator[FakeTwilio]:
    fake = FakeTwilio()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    yield fake
    server.close()
    for writer in fake.writers:
        writer.close()
    await asyncio.sleep(0)
