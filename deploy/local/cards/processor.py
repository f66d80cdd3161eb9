"""What a card processor has and does: Stripe's objects, keys that it knows again, events. No I/O.

Objects are plain dictionaries in the shapes of Stripe's API (https://docs.stripe.com/api), with the fields that anybody
here uses.
"""

import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

FEE_PERCENT = 3
Object = dict[str, Any]
Answer = tuple[int, Object]

# https://docs.stripe.com/testing: what each test card comes to, and its brand.
ACCEPTED = {
    "4242424242424242": "visa",
    "4000056655665556": "visa",
    "5555555555554444": "mastercard",
    "378282246310005": "amex",
    "6011111111111117": "discover",
}
REFUSED = {
    "4000000000000002": ("card_declined", "generic_decline", "Your card was declined."),
    "4000000000009995": ("card_declined", "insufficient_funds", "Your card has insufficient funds."),
    "4000000000009987": ("card_declined", "lost_card", "Your card was declined."),
    "4000000000000069": ("expired_card", "", "Your card has expired."),
    "4000000000000127": ("incorrect_cvc", "", "Your card's security code is incorrect."),
    "4000000000000119": ("processing_error", "", "An error occurred while processing your card. Try again."),
}
NOT_A_TEST_CARD = ("card_declined", "test_mode_live_card", "Only test cards are taken here, and no other.")
"""A real number that somebody enters by mistake goes no further, and is kept nowhere."""
SHOWN = ("id", "object", "amount", "currency", "status", "client_secret", "last_payment_error")
"""What a patient's browser is told of an intent."""


@dataclass
class CardProcessor:
    objects: dict[str, Object] = field(default_factory=dict)
    keys: dict[str, Answer] = field(default_factory=dict)
    """What was answered under each idempotency key."""
    told: list[Object] = field(default_factory=list)
    """Events, in the order in which they came about."""
    count: int = 0
    declines: str = ""
    """The code by which charges of cards on file are declined."""
    refund_status: str = "succeeded"

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

    # What a patient's browser asks, by an intent's secret.

    def show(self, intent_id: str, secret: str) -> Answer:
        intent = self._by_secret(intent_id, secret)
        return (200, _shown(intent)) if intent else _missing()

    def confirm(self, intent_id: str, secret: str, card: Object, now: datetime) -> Answer:
        """With the card that was entered: number, exp_month, exp_year and cvc, as text."""
        intent = self._by_secret(intent_id, secret)
        if intent is None:
            return _missing()
        if intent["status"] != "requires_payment_method":
            return _refusal(400, "invalid_request_error", "payment_intent_unexpected_state", "It is not to be paid.")
        number = "".join(filter(str.isdecimal, str(card.get("number", ""))))
        code, decline, message = _fault(number, card, now)
        if code:
            error = {"type": "card_error", "code": code, "decline_code": decline or None, "message": message}
            intent["last_payment_error"] = error
            self.tell("payment_intent.payment_failed", intent)
            return 402, {"error": error | {"payment_intent": _shown(intent)}}
        brand, month, year = ACCEPTED[number], int(card["exp_month"]), _year(card)
        method = self.method(intent.get("customer"), number[-4:], brand=brand, exp_month=month, exp_year=year)
        intent["payment_method"] = method["id"]
        self.succeed(intent)
        return 200, _shown(intent)

    def method(self, customer: str | None = None, last4: str = "4242", **changes: Any) -> Object:
        card = {"brand": "visa", "last4": last4, "exp_month": 12, "exp_year": 2030} | changes
        return self.new("pm", "payment_method", card=card, customer=customer)

    def succeed(self, intent: Object) -> None:
        intent |= {"status": "succeeded", "amount_received": intent["amount"], "last_payment_error": None}
        charge = self.new("ch", "charge", payment_intent=intent["id"])
        self.transaction("charge", charge["id"], intent["amount"], intent["amount"] * FEE_PERCENT // 100)
        self.tell("payment_intent.succeeded", intent)

    def fail(self, intent: Object, code: str = "card_declined") -> None:
        intent["last_payment_error"] = {"code": code}
        self.tell("payment_intent.payment_failed", intent)

    def transaction(self, type: str, source: str, amount: int, fee: int) -> None:
        fields = {"type": type, "source": source, "amount": amount, "fee": fee, "currency": "usd", "payout": ""}
        self.new("txn", "balance_transaction", **fields)

    def _by_secret(self, intent_id: str, secret: str) -> Object | None:
        intent = self.objects.get(intent_id)
        if intent is None or intent["object"] != "payment_intent":
            return None
        return intent if secrets.compare_digest(intent["client_secret"].encode(), secret.encode()) else None

    # What billing asks, by the account's secret key.

    def once(self, key: str, method: str, path: str, params: Object) -> Answer:
        """The answer before, where something is asked under a key that was asked under before."""
        if method == "POST" and key in self.keys:
            return self.keys[key]
        status, answer = self.answer(method, path, params)
        if method == "POST" and key:
            self.keys[key] = status, json.loads(json.dumps(answer))
        return status, answer

    def answer(self, method: str, path: str, params: Object) -> Answer:
        match method, path.removeprefix("/v1/").split("/"):
            case "POST", ["customers"]:
                return 200, self.new("cus", "customer", metadata=params["metadata"])
            case "POST", ["payment_intents"]:
                return self._create_intent(params)
            case "POST", ["payment_intents", id, "cancel"] if id in self.objects:
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
            case "POST", ["payment_methods", id, "detach"] if id in self.objects:
                self.objects[id]["customer"] = None
                return 200, self.objects[id]
            case "GET", [_, id] if id in self.objects:
                found_one = self.objects[id]
                if isinstance(method_id := found_one.get("payment_method"), str):
                    return 200, found_one | {"payment_method": self.objects[method_id]}
                return 200, found_one
        return _missing()

    def secret_of(self, intent_id: str) -> str:
        return f"{intent_id}_secret_{secrets.token_hex(12)}"

    def _create_intent(self, params: Object) -> Answer:
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
        intent["client_secret"] = self.secret_of(intent["id"])
        if params.get("confirm") != "true":
            return 200, intent
        if self.declines:
            self.fail(intent)
            error = {"type": "card_error", "code": self.declines, "message": "no", "payment_intent": dict(intent)}
            return 402, {"error": error}
        self.succeed(intent)
        return 200, intent | {"payment_method": self.objects[intent["payment_method"]]}

    def _cancel(self, intent: Object) -> Answer:
        if intent["status"] == "succeeded":
            return _refusal(400, "invalid_request_error", "payment_intent_unexpected_state", "It is paid.")
        intent["status"] = "canceled"
        return 200, intent

    def _create_refund(self, params: Object) -> Answer:
        intent, amount = self.objects[params["payment_intent"]], int(params["amount"])
        made = [each for each in self.of_kind("refund") if each["payment_intent"] == intent["id"]]
        if sum(each["amount"] for each in made if each["status"] != "failed") + amount > intent["amount"]:
            return _refusal(400, "invalid_request_error", "charge_already_refunded", "So much was not paid.")
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
        self.transaction("refund", refund["id"], -amount, 0)
        self.tell("refund.created", refund)
        return 200, refund


def nested(pairs: list[tuple[str, str]]) -> Object:
    """Of a form: `payment_method_data[card][number]` stands three deep."""
    found: Object = {}
    for name, value in pairs:
        outer, *inner = name.replace("]", "").split("[")
        place = found
        for each in inner:
            place = place.setdefault(outer, {})
            outer = each
        place[outer] = value
    return found


def _fault(number: str, card: Object, now: datetime) -> tuple[str, str, str]:
    if number in REFUSED:
        return REFUSED[number]
    if number not in ACCEPTED:
        return NOT_A_TEST_CARD
    month, year = str(card.get("exp_month", "")), _year(card)
    if not month.isdecimal() or not 1 <= int(month) <= 12:
        return "invalid_expiry_month", "", "Your card's expiration month is invalid."
    if (year, int(month)) < (now.year, now.month):
        return "invalid_expiry_year", "", "Your card's expiration year is invalid."
    if not str(card.get("cvc", "")).isdecimal():
        return "incorrect_cvc", "", "Your card's security code is incorrect."
    return "", "", ""


def _year(card: Object) -> int:
    """Of two digits or four; 0: none that could be one."""
    text = str(card.get("exp_year", ""))
    if not text.isdecimal() or len(text) not in (2, 4):
        return 0
    return int(text) + (2000 if len(text) == 2 else 0)


def _shown(intent: Object) -> Object:
    return {name: intent[name] for name in SHOWN}


def _missing() -> Answer:
    return _refusal(404, "invalid_request_error", "resource_missing", "There is none.")


def _refusal(status: int, type: str, code: str, message: str) -> Answer:
    return status, {"error": {"type": type, "code": code, "message": message}}


def _found_by(query: str, found: Object) -> bool:
    return query == f"metadata['atoll_id']:'{found['metadata'].get('atoll_id')}'"


def real_now() -> datetime:
    """Cards expire by the calendar, whatever business time is."""
    return datetime.now(UTC)
