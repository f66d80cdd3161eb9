"""The local card processor as tests want it: it fails as it is told to, and they hand out what it tells.

It remembers what it did under which idempotency key, so that a test can count how often money moved. Webhooks are kept
in `told`, signed, and handed out in whatever order a test wants, as often as it wants.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from deploy.local.cards.processor import Answer, CardProcessor, Object, nested
from deploy.local.cards.telling import signed as signed_with

SECRET, OLD_SECRET = "whsec_new", "whsec_old"


@dataclass
class FakeProcessor(CardProcessor):
    port: int = 0
    asked: list[str] = field(default_factory=list)
    """Method and path of each request that had an effect or was answered."""
    breaks: list[str] = field(default_factory=list)
    """For the next requests that ask for something: "before" or "after" their effect the connection breaks, "" not."""
    away: bool = False
    hidden: set[str] = field(default_factory=set)
    """Objects of which it says that there are none."""
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def secret_of(self, intent_id: str) -> str:
        return f"{intent_id}_secret"

    # What happens at the processor's.

    def enter_card(self, intent_id: str, card: str = "4242") -> None:
        """A patient enters a card in their browser."""
        intent = self.objects[intent_id]
        intent["payment_method"] = self.method(intent.get("customer"), card)["id"]
        self.succeed(intent)

    def fail_card(self, intent_id: str) -> None:
        self.fail(self.objects[intent_id])

    def open_dispute(self, intent_id: str, amount: int, status: str = "needs_response") -> str:
        fields = {"payment_intent": intent_id, "amount": amount, "currency": "usd", "reason": "fraudulent"}
        dispute = self.new("dp", "dispute", status=status, **fields)
        self.transaction("adjustment", dispute["id"], -amount, 1500)
        self.tell("charge.dispute.created", dispute)
        return str(dispute["id"])

    def close_dispute(self, dispute_id: str, status: str) -> None:
        dispute = self.objects[dispute_id]
        dispute["status"] = status
        if status == "won":
            self.transaction("adjustment", dispute_id, dispute["amount"], 0)
        self.tell("charge.dispute.closed", dispute)

    def change_refund(self, refund_id: str, status: str, failure: str = "") -> None:
        refund = self.objects[refund_id]
        refund |= {"status": status, "failure_reason": failure or None}
        self.tell("refund.updated", refund)

    def pay_out(self) -> str:
        """All that was not paid out before."""
        waiting = [each for each in self.of_kind("balance_transaction") if not each["payout"]]
        amount = sum(each["amount"] - each["fee"] for each in waiting)
        fields = {"amount": amount, "currency": "usd", "status": "paid", "arrival_date": 1804032000}
        payout = self.new("po", "payout", **fields)
        for each in waiting:
            each["payout"] = payout["id"]
        self.tell("payout.paid", payout)
        return str(payout["id"])

    def charge_fee(self, amount: int) -> None:
        """For what is no document of ours."""
        self.transaction("stripe_fee", "fee_1", -amount, 0)

    # What is asked of it.

    def answer(self, method: str, path: str, params: Object) -> Answer:
        self.asked.append(f"{method} {path}")
        if path.rpartition("/")[2] in self.hidden:
            return 404, {"error": {"type": "invalid_request_error", "code": "resource_missing"}}
        return super().answer(method, path, params)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
        parts = urlsplit(target)
        params = nested(parse_qsl(body or parts.query))
        broken = self.breaks.pop(0) if method == "POST" and self.breaks else ""
        if self.away or broken == "before":
            return False
        status, answer = self.once(headers.get("idempotency-key", ""), method, unquote(parts.path), params)
        if broken == "after":
            return False
        text = json.dumps(answer).encode()
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(text)}\r\n\r\n".encode() + text)
        await writer.drain()
        return True


def signed(event: Object, secret: str = SECRET, *, age_s: int = 0) -> tuple[bytes, str]:
    """Its body, and the header that it comes with."""
    return signed_with(event, secret, age_s=age_s)


@asynccontextmanager
async def fake_processor() -> AsyncIterator[FakeProcessor]:
    fake = FakeProcessor()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    yield fake
    server.close()
    for writer in fake.writers:
        writer.close()
    await asyncio.sleep(0)
