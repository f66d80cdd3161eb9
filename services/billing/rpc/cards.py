"""Cards. What is asked is committed, then the processor is asked, then what it said is: see `processor.asking`."""

from google.protobuf.message import Message

from atoll.billing.v1 import card_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, some_to_wire, to_wire
from chassis.money import from_wire as money_from_wire
from chassis.money import to_wire as money_to_wire
from chassis.times import to_timestamp
from services.billing.domain.cards import Card, CardCharge, NoProcessor
from services.billing.processor import Processors
from services.billing.processor.asking import Asking
from services.billing.processor.listener import Listener
from services.billing.rpc.common import read_id
from services.billing.store import BillingStore
from services.billing.use_cases import cards


class CardServicer:
    """Listens for webhooks for as long as it answers calls."""

    def __init__(self, db: Database, processors: Processors, listener: Listener) -> None:
        self._db, self._processors, self._listener = db, processors, listener

    async def open(self) -> None:
        await self._listener.open()

    async def close(self) -> None:
        await self._listener.close()

    async def CreatePaymentIntent(
        self, request: pb.CreatePaymentIntentRequest, call: Call
    ) -> pb.CreatePaymentIntentResponse:
        """The secret is in no remembered answer: asked again, the processor gives it again."""

        async def work(store: BillingStore) -> pb.CreatePaymentIntentResponse:
            command = await self._command(store, request, saves_card=request.save_card)
            return pb.CreatePaymentIntentResponse(card_charge=_charge(await cards.ask_card(store, command)))

        locks, answer_type = [from_wire("patient", request.patient_id)], pb.CreatePaymentIntentResponse
        begun = await self._db.once(call, request, answer_type, BillingStore, work, locks=locks)
        charge, secret = await self._asking(call).ask(call.chain_id, from_wire("cardcharge", begun.card_charge.id))
        return pb.CreatePaymentIntentResponse(card_charge=_charge(charge), client_secret=secret)

    async def ChargeCard(self, request: pb.ChargeCardRequest, call: Call) -> pb.ChargeCardResponse:
        async def work(store: BillingStore) -> pb.ChargeCardResponse:
            command = await self._command(store, request, card_id=request.card_id)
            return pb.ChargeCardResponse(card_charge=_charge(await cards.ask_card(store, command)))

        locks = [from_wire("patient", request.patient_id)]
        begun = await self._db.once(call, request, pb.ChargeCardResponse, BillingStore, work, locks=locks)
        charge, _ = await self._asking(call).ask(call.chain_id, from_wire("cardcharge", begun.card_charge.id))
        return pb.ChargeCardResponse(card_charge=_charge(charge))

    async def GetCardCharge(self, request: pb.GetCardChargeRequest, call: Call) -> pb.GetCardChargeResponse:
        charge_id = from_wire("cardcharge", request.card_charge_id)
        charge = await self._db.read(call, request, BillingStore, lambda store: store.card_charge(charge_id))
        return pb.GetCardChargeResponse(card_charge=_charge(charge))

    async def ListCards(self, request: pb.ListCardsRequest, call: Call) -> pb.ListCardsResponse:
        patient_id = from_wire("patient", request.patient_id)
        found = await self._db.read(call, request, BillingStore, lambda store: store.cards(patient_id))
        return pb.ListCardsResponse(cards=map(card_to_wire, found))

    async def DetachCard(self, request: pb.DetachCardRequest, call: Call) -> pb.DetachCardResponse:
        card_id = from_wire("card", request.card_id)

        async def work(store: BillingStore) -> pb.DetachCardResponse:
            await store.card(card_id)
            await store.detach_card(card_id)
            return pb.DetachCardResponse(card=card_to_wire(await store.card(card_id)))

        return await self._db.once(call, request, pb.DetachCardResponse, BillingStore, work)

    def _asking(self, call: Call) -> Asking:
        return Asking(self._db, self._processors, call.now)

    async def _command(
        self, store: BillingStore, request: Message, *, card_id: str = "", saves_card: bool = False
    ) -> cards.AskCard:
        assert isinstance(request, pb.CreatePaymentIntentRequest | pb.ChargeCardRequest)
        site = await store.site(from_wire("site", request.site_id))
        account = self._processors.account_of(store.call.chain_id, site)
        if account is None:
            raise NoProcessor(site_id=request.site_id)
        return cards.AskCard(
            site_id=site.id,
            patient_id=from_wire("patient", request.patient_id),
            course_id=read_id("course", request.course_id),
            invoice_id=read_id("invoice", request.invoice_id),
            amount=money_from_wire(request.amount, "amount"),
            account=account,
            card_id=read_id("card", card_id),
            saves_card=saves_card,
        )


def _charge(charge: CardCharge) -> pb.CardCharge:
    return pb.CardCharge(
        id=to_wire("cardcharge", charge.id),
        site_id=to_wire("site", charge.site_id),
        patient_id=to_wire("patient", charge.patient_id),
        course_id=some_to_wire("course", charge.course_id),
        invoice_id=some_to_wire("invoice", charge.invoice_id),
        amount=money_to_wire(charge.amount),
        state=pb.CardChargeState.ValueType(charge.state),
        payment_id=some_to_wire("payment", charge.payment_id),
        failure_code=charge.failure,
        create_time=to_timestamp(charge.created_at),
        change_time=to_timestamp(charge.changed_at),
        card_id=some_to_wire("card", charge.card_id),
    )


def card_to_wire(card: Card) -> pb.Card:
    return pb.Card(
        id=to_wire("card", card.id),
        patient_id=to_wire("patient", card.patient_id),
        brand=card.brand,
        last4=card.last4,
        expiry_month=card.expiry_month,
        expiry_year=card.expiry_year,
        save_time=to_timestamp(card.saved_at),
        detach_time=to_timestamp(card.detached_at) if card.detached_at else None,
    )
