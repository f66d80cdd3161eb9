"""The adapter beside another's likeness of Stripe, where that and ours overlap: it knows neither keys nor disputes,
finds nothing by metadata, and does not say what it received."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from chassis.money import Money
from services.billing.domain.cards import CardCharge, CardChargeState
from services.billing.domain.ledger import Tender
from services.billing.domain.refunds import RefundPart, RefundState
from services.billing.processor import Declined, ProcessorAccount
from services.billing.processor.stripe import Stripe

HOST, STARTS_S = "127.0.0.1", 20.0
GOOD, EMPTY = "4242424242424242", "4000000000000341"
SERVE = """
from aiohttp import web
from localstripe.resources import Store
from localstripe.server import app
Store.dump_to_disk = lambda store: None
web.run_app(app, host={host!r}, port={port})
"""
NOW = datetime(2027, 3, 1, tzinfo=UTC)
NOBODY = UUID(int=0)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    serve = SERVE.format(host=HOST, port=port)
    server = subprocess.Popen([sys.executable, "-c", serve], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://{HOST}:{port}"
    finally:
        server.terminate()
        server.wait(timeout=STARTS_S)


@pytest_asyncio.fixture
async def stripe(address: str) -> AsyncIterator[Stripe]:
    async with asyncio.timeout(STARTS_S), httpx.AsyncClient() as client:
        while True:
            try:
                await client.get(address)
                break
            except httpx.TransportError:
                await asyncio.sleep(0.1)
    yield Stripe(ProcessorAccount(chain_id="chain", secret_key=SecretStr("sk_test_12345"), api_url=address))


async def saved_card(address: str, customer: str, number: str) -> str:
    """As a browser makes one: our side never sees a number."""
    card = {"number": number, "exp_month": 12, "exp_year": 2035, "cvc": "123"}
    fields = {"type": "card", **{f"card[{name}]": str(value) for name, value in card.items()}}
    async with httpx.AsyncClient(base_url=address, auth=("sk_test_12345", "")) as client:
        made = (await client.post("/v1/payment_methods", data=fields)).json()
        await client.post(f"/v1/payment_methods/{made['id']}/attach", data={"customer": customer})
    return str(made["id"])


def charge(customer: str, payment_method: str = "", cents: int = 59_000) -> CardCharge:
    return CardCharge(
        uuid4(),
        NOBODY,
        NOBODY,
        None,
        None,
        None,
        "main",
        customer,
        payment_method,
        Money(cents),
        False,
        CardChargeState.REQUESTED,
        NOW,
        NOW,
    )


def refund_of(cents: int) -> RefundPart:
    part, refund = uuid4(), uuid4()
    state = RefundState.REQUESTED
    return RefundPart(part, refund, NOBODY, NOBODY, NOBODY, Tender.CARD, "", Money(cents), Money(0), state, NOW)


async def test_a_card_on_file_is_charged_and_given_back_in_parts(address: str, stripe: Stripe) -> None:
    customer = await stripe.create_customer(uuid4())
    asked = charge(customer, await saved_card(address, customer, GOOD))
    intent = await stripe.create_intent(asked, customer)
    assert (intent.our_id, intent.status) == (asked.id, "succeeded")
    assert intent.token is not None
    assert (intent.token.customer, intent.token.last4) == (customer, "4242")
    assert await stripe.intent(intent.id) == intent
    part = refund_of(20_000)
    told = await stripe.create_refund(part, intent.id)
    assert (told.our_id, told.state) == (part.id, RefundState.SUCCEEDED)
    assert await stripe.refund(told.id) == told
    assert await stripe.find_refund(part.id, intent.id) == told
    assert await stripe.find_refund(uuid4(), intent.id) is None


async def test_a_card_without_money_is_declined(address: str, stripe: Stripe) -> None:
    customer = await stripe.create_customer(uuid4())
    card = await saved_card(address, customer, EMPTY)
    with pytest.raises(Declined) as declined:
        await stripe.create_intent(charge(customer, card), customer)
    assert declined.value.code == "card_declined"


async def test_a_charge_that_waits_for_its_card_can_be_cancelled_once(stripe: Stripe) -> None:
    customer = await stripe.create_customer(uuid4())
    waiting = await stripe.create_intent(charge(customer), customer)
    assert (waiting.status, waiting.received, bool(waiting.client_secret)) == (
        "requires_payment_method",
        Money(0),
        True,
    )
    cancelled = await stripe.cancel_intent(waiting.id)
    assert cancelled.status == "canceled"
    assert (await stripe.cancel_intent(waiting.id)).status == "canceled"


async def test_a_card_is_detached_however_often_that_is_asked(address: str, stripe: Stripe) -> None:
    customer = await stripe.create_customer(uuid4())
    card = await saved_card(address, customer, GOOD)
    for _ in range(2):
        await stripe.detach(card)
    async with httpx.AsyncClient(base_url=address, auth=("sk_test_12345", "")) as client:
        assert (await client.get(f"/v1/payment_methods/{card}")).json()["customer"] is None
