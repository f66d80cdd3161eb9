"""Stripe, by its own library.

A request that asks for something carries an idempotency key, made of our id: Stripe answers the same key with the same
result for a day. Each object carries our id in its metadata, by which it is found after that.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import stripe

from chassis.money import Money
from services.billing.domain.cards import CardCharge
from services.billing.domain.refunds import RefundPart, RefundState
from services.billing.processor import (
    Away,
    CardToken,
    Declined,
    DisputeTold,
    Intent,
    PayoutLineTold,
    PayoutTold,
    ProcessorAccount,
    RefundTold,
)

ANSWER_S = 10.0
OUR_ID = "atoll_id"
TOLERANCE_S = 300
"""How old a webhook may be when it comes: against those who send one again."""
PAGE_MAX = 100
"""So many the processor lists at once."""
STATES = {"succeeded": RefundState.SUCCEEDED, "failed": RefundState.FAILED, "canceled": RefundState.FAILED}
KINDS = {"charge": "intent", "payment": "intent", "refund": "refund", "payment_refund": "refund", "dispute": "dispute"}


class Stripe:
    def __init__(self, account: ProcessorAccount) -> None:
        addresses: Any = {"api": account.api_url} if account.api_url else {}
        client = stripe.StripeClient(
            account.secret_key.get_secret_value(),
            base_addresses=addresses,
            http_client=stripe.HTTPXClient(timeout=ANSWER_S),
            max_network_retries=0,  # Ours know what they repeat.
        )
        self._api: Any = client.v1
        self._secrets = [secret.get_secret_value() for secret in account.webhook_secrets]

    async def create_customer(self, our_id: UUID) -> str:
        params = {"metadata": {OUR_ID: str(our_id)}}
        return str((await _asked(self._api.customers.create_async(params, _key("customer", our_id))))["id"])

    async def create_intent(self, charge: CardCharge, customer: str) -> Intent:
        params: dict[str, Any] = {
            "amount": charge.amount.minor,
            "currency": charge.amount.currency.lower(),
            "metadata": {OUR_ID: str(charge.id)},
            "payment_method_types": ["card"],
            "expand": ["payment_method"],
        }
        if customer:
            params["customer"] = customer
        if charge.saves_card:
            params["setup_future_usage"] = "off_session"
        if charge.payment_method:
            params |= {"payment_method": charge.payment_method, "off_session": True, "confirm": True}
        return _intent(await _asked(self._api.payment_intents.create_async(params, _key("charge", charge.id))))

    async def intent(self, intent_id: str) -> Intent:
        asked = self._api.payment_intents.retrieve_async(intent_id, {"expand": ["payment_method"]})
        return _intent(await _asked(asked))

    async def find_intent(self, our_id: UUID) -> Intent | None:
        query = f"metadata['{OUR_ID}']:'{our_id}'"
        found = await _asked(self._api.payment_intents.search_async({"query": query, "limit": 1}))
        return await self.intent(found["data"][0]["id"]) if found["data"] else None

    async def cancel_intent(self, intent_id: str) -> Intent:
        """Or what it is, if it can be cancelled no longer."""
        try:
            return _intent(await _asked(self._api.payment_intents.cancel_async(intent_id)))
        except Declined:
            return await self.intent(intent_id)

    async def create_refund(self, part: RefundPart, intent_id: str) -> RefundTold:
        params = {"payment_intent": intent_id, "amount": part.amount.minor, "metadata": {OUR_ID: str(part.id)}}
        return _refund(await _asked(self._api.refunds.create_async(params, _key("refund", part.id))))

    async def refund(self, refund_id: str) -> RefundTold:
        return _refund(await _asked(self._api.refunds.retrieve_async(refund_id)))

    async def find_refund(self, our_id: UUID, intent_id: str) -> RefundTold | None:
        listed = await _asked(self._api.refunds.list_async({"payment_intent": intent_id, "limit": 100}))
        return next((each for each in map(_refund, listed["data"]) if each.our_id == our_id), None)

    async def dispute(self, dispute_id: str) -> DisputeTold:
        told = await _asked(self._api.disputes.retrieve_async(dispute_id))
        amount = Money(told["amount"], told["currency"].upper())
        return DisputeTold(told["id"], told["payment_intent"] or "", told["status"], told["reason"], amount)

    async def payout(self, payout_id: str) -> PayoutTold:
        told = await _asked(self._api.payouts.retrieve_async(payout_id))
        params: dict[str, Any] = {"payout": payout_id, "limit": PAGE_MAX, "expand": ["data.source"]}
        lines, more = list[Any](), True
        while more:
            page = await _asked(self._api.balance_transactions.list_async(params))
            lines += page["data"]
            if more := page["has_more"]:
                params["starting_after"] = lines[-1]["id"]
        arrival = datetime.fromtimestamp(told["arrival_date"], UTC).date()
        amount = Money(told["amount"], told["currency"].upper())
        made_of = [_line(each) for each in lines if each["type"] != "payout"]
        return PayoutTold(told["id"], told["status"], amount, arrival, made_of)

    async def detach(self, payment_method: str) -> None:
        """Done as well if it was done before."""
        try:
            await _asked(self._api.payment_methods.detach_async(payment_method))
        except Declined:
            return

    def verified(self, payload: bytes, signature: str) -> bool:
        for secret in self._secrets:
            try:
                stripe.WebhookSignature.verify_header(payload, signature, secret, TOLERANCE_S)
            except (stripe.SignatureVerificationError, UnicodeDecodeError):
                continue
            return True
        return False


async def _asked(asking: Any) -> dict[str, Any]:
    """An answer that does not say what happened is as good as none."""
    try:
        answer: dict[str, Any] = (await asking)._to_dict_recursive()
    except stripe.CardError as error:
        body: Any = error.json_body
        told = ((body or {}).get("error") or {}).get("payment_intent") or {}
        raise Declined(error.code or "card_declined", told.get("id")) from error
    except (stripe.InvalidRequestError, stripe.PermissionError) as error:
        raise Declined(error.code or "invalid_request") from error
    except stripe.StripeError as error:  # Connection, rate, authentication, a key in use, a fault of theirs.
        raise Away from error
    return answer


def _key(what: str, our_id: UUID) -> Any:
    return {"idempotency_key": f"{what}-{our_id}"}


def _ours(told: dict[str, Any]) -> UUID | None:
    try:
        return UUID((told.get("metadata") or {}).get(OUR_ID, ""))
    except ValueError:
        return None


def _intent(told: dict[str, Any]) -> Intent:
    method, failure = told.get("payment_method"), told.get("last_payment_error") or {}
    token = None
    if isinstance(method, dict) and (card := method.get("card")) and told.get("customer"):
        token = CardToken(
            told["customer"], method["id"], card["brand"], card["last4"], card["exp_month"], card["exp_year"]
        )
    return Intent(
        id=told["id"],
        our_id=_ours(told),
        status=told["status"],
        received=Money(told.get("amount_received", 0), told["currency"].upper()),
        client_secret=told.get("client_secret") or "",
        failure=failure.get("code") or "",
        token=token,
    )


def _refund(told: dict[str, Any]) -> RefundTold:
    state = STATES.get(told["status"], RefundState.REQUESTED)
    return RefundTold(told["id"], _ours(told), state, told.get("failure_reason") or "")


def _line(told: dict[str, Any]) -> PayoutLineTold:
    source, currency = told.get("source"), told["currency"].upper()
    found = source if isinstance(source, dict) else {"id": source or "", "object": ""}
    kind = KINDS.get(found["object"], "")
    about = found.get("payment_intent") if kind == "intent" else found["id"]
    amount, fee = Money(told["amount"], currency), Money(told["fee"], currency)
    return PayoutLineTold(told["id"], told["type"], kind, about or "", amount, fee)
