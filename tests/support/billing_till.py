"""A till for tests of billing: a chain whose legal entity has an account with a card processor of ours."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from pydantic import SecretStr

from atoll.billing.v1 import card_service_pb2 as pb
from atoll.billing.v1 import payment_service_pb2 as payment_pb
from atoll.billing.v1 import refund_service_pb2 as refund_pb
from atoll.billing.v1.card_service_pb2_grpc import CardServiceStub
from atoll.billing.v1.dispute_service_pb2_grpc import DisputeServiceStub
from atoll.billing.v1.payout_service_pb2_grpc import PayoutServiceStub
from atoll.billing.v1.refund_service_pb2_grpc import RefundServiceStub
from chassis.ids import to_wire
from chassis.times import utc_now
from chassis.watched import Named
from services.billing.__main__ import SERVICE
from services.billing.processor import ProcessorAccount, Processors
from services.billing.processor.asking import Asking
from services.billing.processor.listener import Listener
from services.billing.rpc import servicers_with
from tests.support.billing import Billing, open_chain, usd
from tests.support.processor import OLD_SECRET, SECRET, FakeProcessor, fake_processor, signed
from tests.support.service import Running, running

ACCOUNT = "main"


class Known(Processors):
    """Accounts that a test gives to its own chain."""

    def __init__(self) -> None:
        super().__init__({})

    def give(self, name: str, account: ProcessorAccount) -> None:
        self._made.clear()
        self._accounts = Named({name: account})


@dataclass
class House:
    svc: Running
    processors: Known
    listener: Listener


@dataclass
class Till:
    """A chain whose legal entity has an account with the fake processor."""

    billing: Billing
    house: House
    fake: FakeProcessor

    def __post_init__(self) -> None:
        svc = self.billing.svc
        self.cards, self.refunds = svc.stub(CardServiceStub), svc.stub(RefundServiceStub)
        self.disputes, self.payouts = svc.stub(DisputeServiceStub), svc.stub(PayoutServiceStub)

    def request(self, amount: float, **changes: Any) -> pb.CreatePaymentIntentRequest:
        return pb.CreatePaymentIntentRequest(**self._fields(amount) | changes)

    def on_file(self, amount: float, card_id: str, **changes: Any) -> pb.ChargeCardRequest:
        return pb.ChargeCardRequest(**self._fields(amount) | {"card_id": card_id} | changes)

    def _fields(self, amount: float) -> dict[str, Any]:
        ids = {"site_id": self.billing.site_id, "patient_id": self.billing.patient_id}
        return {"request_id": str(uuid4()), "amount": usd(amount), **ids}

    async def intend(self, amount: float, token: str | None = None, **changes: Any) -> Any:
        request = self.request(amount, **changes)
        return await self.billing.svc.call(self.cards.CreatePaymentIntent, request, token)

    async def pay(self, amount: float, **changes: Any) -> payment_pb.Payment:
        """By a card that the patient enters."""
        begun = await self.intend(amount, **changes)
        self.fake.enter_card(begun.client_secret.removesuffix("_secret"))
        await self.hear()
        return await self.payment((await self.charge(begun.card_charge.id)).payment_id)

    async def save_card(self) -> pb.Card:
        await self.pay(1, save_card=True)
        [card] = await self.list_cards()
        return card

    async def list_cards(self) -> list[pb.Card]:
        request = pb.ListCardsRequest(patient_id=self.billing.patient_id)
        return list((await self.billing.svc.call(self.cards.ListCards, request)).cards)

    async def charge(self, charge_id: str) -> pb.CardCharge:
        request = pb.GetCardChargeRequest(card_charge_id=charge_id)
        return (await self.billing.svc.call(self.cards.GetCardCharge, request)).card_charge  # type: ignore[no-any-return]

    async def payment(self, payment_id: str) -> payment_pb.Payment:
        request = payment_pb.GetPaymentRequest(payment_id=payment_id)
        return (await self.billing.svc.call(self.billing.payments.GetPayment, request)).payment  # type: ignore[no-any-return]

    async def refund(self, payment: payment_pb.Payment, amount: float, **fields: Any) -> refund_pb.Refund:
        part = refund_pb.CreateRefundRequest.Part(payment_id=payment.id, amount=usd(amount), **fields)
        request = refund_pb.CreateRefundRequest(**self._fields(amount), parts=[part], reason="moved away")
        return (await self.billing.svc.call(self.refunds.CreateRefund, request)).refund  # type: ignore[no-any-return]

    async def read_refund(self, refund_id: str) -> refund_pb.Refund:
        request = refund_pb.GetRefundRequest(refund_id=refund_id)
        return (await self.billing.svc.call(self.refunds.GetRefund, request)).refund  # type: ignore[no-any-return]

    # What goes on between the processor and us.

    async def post(self, body: bytes, signature: str, account: str = ACCOUNT) -> int:
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{self.house.listener.port}/v1/processorWebhooks/{account}"
            return (await client.post(url, content=body, headers={"Stripe-Signature": signature})).status_code

    async def hear(self) -> None:
        """All that the processor tells, in its order, and what follows from it."""
        while self.fake.told:
            assert await self.post(*signed(self.fake.told.pop(0))) == 200
        await self.look()

    async def look(self) -> None:
        """As the job does, until nothing is due; whoever waits for a try waits no longer."""
        for _ in range(3):
            for table in ("card_charge", "refund_part", "processor_event", "card"):
                await self.billing.execute(f"UPDATE {table} SET look_at = now() WHERE look_at IS NOT NULL")
            svc = self.billing.svc
            await Asking(svc.db, self.house.processors, svc.now).look()

    async def taken(self) -> tuple[int, int]:
        """What the processor took and holds, less what it gave back; and what our books say that it holds."""
        intents = self.fake.of_kind("payment_intent")
        refunds = [each for each in self.fake.of_kind("refund") if each["status"] != "failed"]
        held = sum(each["amount_received"] for each in intents) - sum(each["amount"] for each in refunds)
        [row] = await self.billing.fetch("SELECT coalesce(sum(amount_minor), 0) FROM posting WHERE account = 7")
        return held, int(row[0])


@asynccontextmanager
async def open_house(server_url: str, folder: Path) -> AsyncIterator[House]:
    processors, listeners = Known(), list[Listener]()

    def servicers(db: Any) -> Any:
        listeners.append(Listener(db, processors, utc_now, "127.0.0.1:0"))
        return servicers_with(db, processors, listeners[0])

    async with running(replace(SERVICE, servicers=servicers), server_url, folder) as svc:
        yield House(svc, processors, listeners[0])


@asynccontextmanager
async def open_till(house: House) -> AsyncIterator[Till]:
    """Whatever a test does, the books agree with the documents after it."""
    billing = await open_chain(house.svc)
    await billing.price()
    async with fake_processor() as fake:
        account = ProcessorAccount(
            chain_id=to_wire("chain", billing.svc.chain_id),
            secret_key=SecretStr("sk_test_1"),
            webhook_secrets=(SecretStr(OLD_SECRET), SecretStr(SECRET)),
            legal_entity_ids=frozenset({billing.legal_entity_id}),
            api_url=fake.url,
        )
        house.processors.give(ACCOUNT, account)
        yield Till(billing, house, fake)
    await billing.books_agree()
