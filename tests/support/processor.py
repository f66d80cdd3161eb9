"""A card processor of ours for tests: Stripe's shapes over HTTP, its keys, its webhooks; it fails as it is told to.

It remembers what it did under which idempotency key, so that a test can count how often money moved. Webhooks are kept
in `told`, signed, and handed out in whatever order a test wants, as often as it wants.
"""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

SECRET, OLD_SECRET = "whsec_new", "whsec_old"
FEE_PERCENT = 3
Object = dict[str, Any]


@dataclass
class FakeProcessor:
    port: int = 0
    objects: dict[str, Object] = field(default_factory=dict)
    keys: dict[str, tuple[int, Object]] = field(default_factory=dict)
    """What was answered under each idempotency key."""
    asked: list[str] = field(default_factory=list)
    """Method and path of each request that had an effect or was answered."""
    told: list[Object] = field(default_factory=list)
    """Events, in the order in which they came about."""
    breaks: list[str] = field(default_factory=list)
    """For the next requests that ask for something: "before" or "after" their effect the connection breaks, "" not."""
    declines: str = ""
    """The code by which charges of cards on file are declined."""
    refund_status: str = "succeeded"
    away: bool = False
    count: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def new(self, prefix: str, kind: str, **fields: Any) -> Object:
        self.count += 1
        made = {"id": f"{prefix}_{self.count:06d}", "object": kind, "metadata": {}} | fields
        self.objects[made["id"]] = made
        return made

    def of_kind(self, kind: str) -> list[Object]:
        return [each for each in self.objects.values() if each["object"] == kind]

    def tell(self, type: str, about: Object) -> Object:
        self.count += 1
        event = {"id": f"evt_{self.count:06d}", "object": "event", "type": type, "data": {"object": dict(about)}}
        self.told.append(event)
        return event

    # What happens at the processor's.

    def enter_card(self, intent_id: str, card: str = "4242") -> None:
        """A patient enters a card in their browser."""
        intent = self.objects[intent_id]
        intent["payment_method"] = self.method(intent.get("customer"), card)["id"]
        self._succeed(intent)

    def fail_card(self, intent_id: str) -> None:
        intent = self.objects[intent_id]
        intent["last_payment_error"] = {"code": "card_declined"}
        self.tell("payment_intent.payment_failed", intent)

    def method(self, customer: str | None = None, last4: str = "4242") -> Object:
        card = {"brand": "visa", "last4": last4, "exp_month": 12, "exp_year": 2030}
        return self.new("pm", "payment_method", card=card, customer=customer)

    def open_dispute(self, intent_id: str, amount: int, status: str = "needs_response") -> str:
        fields = {"payment_intent": intent_id, "amount": amount, "currency": "usd", "reason": "fraudulent"}
        dispute = self.new("dp", "dispute", status=status, **fields)
        self._transaction("adjustment", dispute["id"], -amount, 1500)
        self.tell("charge.dispute.created", dispute)
        return str(dispute["id"])

    def close_dispute(self, dispute_id: str, status: str) -> None:
        dispute = self.objects[dispute_id]
        dispute["status"] = status
        if status == "won":
            self._transaction("adjustment", dispute_id, dispute["amount"], 0)
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
        self._transaction("stripe_fee", "fee_1", -amount, 0)

    def _succeed(self, intent: Object) -> None:
        intent |= {"status": "succeeded", "amount_received": intent["amount"], "last_payment_error": None}
        charge = self.new("ch", "charge", payment_intent=intent["id"])
        self._transaction("charge", charge["id"], intent["amount"], intent["amount"] * FEE_PERCENT // 100)
        self.tell("payment_intent.succeeded", intent)

    def _transaction(self, type: str, source: str, amount: int, fee: int) -> None:
        fields = {"type": type, "source": source, "amount": amount, "fee": fee, "currency": "usd", "payout": ""}
        self.new("txn", "balance_transaction", **fields)

    # What is asked of it.

    def answer(self, method: str, path: str, params: Object) -> tuple[int, Object]:
        match method, path.removeprefix("/v1/").split("/"):
            case "POST", ["customers"]:
                return 200, self.new("cus", "customer", metadata=params["metadata"])
            case "POST", ["payment_intents"]:
                return self._create_intent(params)
            case "POST", ["payment_intents", id, "cancel"]:
                return self._cancel(self.objects[id])
            case "GET", ["payment_intents", "search"]:
                found = [each for each in self.of_kind("payment_intent") if _found_by(params["query"], each)]
                return 200, {"object": "search_result", "data": found, "has_more": False}
            case "POST", ["refunds"]:
                return self._create_refund(params)
            case "GET", ["refunds"]:
                found = [each for each in self.of_kind("refund") if each["payment_intent"] == params["payment_intent"]]
                return 200, {"object": "list", "data": found, "has_more": False}
            case "GET", ["balance_transactions"]:
                found = [each for each in self.of_kind("balance_transaction") if each["payout"] == params["payout"]]
                ids = [each["id"] for each in found]
                after = ids.index(params["starting_after"]) + 1 if "starting_after" in params else 0
                page = found[after : after + int(params["limit"])]
                data = [each | {"source": self.objects.get(each["source"], each["source"])} for each in page]
                return 200, {"object": "list", "data": data, "has_more": len(found) > after + len(page)}
            case "POST", ["payment_methods", id, "detach"]:
                self.objects[id]["customer"] = None
                return 200, self.objects[id]
            case "GET", [_, id] if id in self.objects:
                found_one = self.objects[id]
                if isinstance(method_id := found_one.get("payment_method"), str):
                    return 200, found_one | {"payment_method": self.objects[method_id]}
                return 200, found_one
        error = {"type": "invalid_request_error", "code": "resource_missing", "message": "none"}
        return 404, {"error": error}

    def _create_intent(self, params: Object) -> tuple[int, Object]:
        intent = self.new(
            "pi",
            "payment_intent",
            amount=int(params["amount"]),
            amount_received=0,
            currency=params["currency"],
            customer=params.get("customer"),
            metadata=params["metadata"],
            payment_method=params.get("payment_method"),
            status="requires_payment_method",
            last_payment_error=None,
        )
        intent["client_secret"] = f"{intent['id']}_secret"
        if params.get("confirm") != "true":
            return 200, intent
        if self.declines:
            self.fail_card(intent["id"])
            error = {"type": "card_error", "code": self.declines, "message": "no", "payment_intent": dict(intent)}
            return 402, {"error": error}
        self._succeed(intent)
        return 200, intent | {"payment_method": self.objects[intent["payment_method"]]}

    def _cancel(self, intent: Object) -> tuple[int, Object]:
        if intent["status"] == "succeeded":
            error = {"type": "invalid_request_error", "code": "payment_intent_unexpected_state", "message": "paid"}
            return 400, {"error": error}
        intent["status"] = "canceled"
        return 200, intent

    def _create_refund(self, params: Object) -> tuple[int, Object]:
        intent, amount = self.objects[params["payment_intent"]], int(params["amount"])
        made = [each for each in self.of_kind("refund") if each["payment_intent"] == intent["id"]]
        if sum(each["amount"] for each in made if each["status"] != "failed") + amount > intent["amount"]:
            error = {"type": "invalid_request_error", "code": "charge_already_refunded", "message": "no"}
            return 400, {"error": error}
        refund = self.new(
            "re",
            "refund",
            amount=amount,
            currency="usd",
            payment_intent=intent["id"],
            metadata=params["metadata"],
            status=self.refund_status,
            failure_reason=None,
        )
        self._transaction("refund", refund["id"], -amount, 0)
        self.tell("refund.created", refund)
        return 200, refund

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
        params = _nested(parse_qsl(body or parts.query))
        broken = self.breaks.pop(0) if method == "POST" and self.breaks else ""
        if self.away or broken == "before":
            return False
        status, answer = self._once(headers.get("idempotency-key", ""), method, unquote(parts.path), params)
        if broken == "after":
            return False
        text = json.dumps(answer).encode()
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(text)}\r\n\r\n".encode() + text)
        await writer.drain()
        return True

    def _once(self, key: str, method: str, path: str, params: Object) -> tuple[int, Object]:
        if method == "POST" and key in self.keys:
            return self.keys[key]
        self.asked.append(f"{method} {path}")
        status, answer = self.answer(method, path, params)
        if method == "POST" and key:
            self.keys[key] = status, json.loads(json.dumps(answer))
        return status, answer


def signed(event: Object, secret: str = SECRET, *, age_s: int = 0) -> tuple[bytes, str]:
    """Its body, and the header that it comes with."""
    body, at = json.dumps(event).encode(), int(time.time()) - age_s
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return body, f"t={at},v1={mac}"


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


def _nested(pairs: list[tuple[str, str]]) -> Object:
    """`metadata[a]=b`"""
    found: Object = {}
    for name, value in pairs:
        outer, _, inner = name.partition("[")
        if inner:
            found.setdefault(outer, {})[inner.rstrip("]")] = value
        else:
            found[outer] = value
    return found


def _found_by(query: str, found: Object) -> bool:
    return query == f"metadata['atoll_id']:'{found['metadata'].get('atoll_id')}'"
