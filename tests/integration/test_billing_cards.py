"""Cards through a processor: money moves once and is never lost, whoever is killed between the processor and us."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from grpc import StatusCode
from structlog.testing import capture_logs

from atoll.billing.v1 import card_service_pb2 as pb
from atoll.billing.v1 import credit_note_service_pb2 as note_pb
from atoll.billing.v1 import dispute_service_pb2 as dispute_pb
from atoll.billing.v1 import estimate_service_pb2 as estimate_pb
from atoll.billing.v1 import invoice_service_pb2 as invoice_pb
from atoll.billing.v1 import ledger_service_pb2 as ledger_pb
from atoll.billing.v1 import payment_service_pb2 as payment_pb
from atoll.billing.v1 import payout_service_pb2 as payout_pb
from atoll.billing.v1 import refund_service_pb2 as refund_pb
from atoll.billing.v1.credit_note_service_pb2 import CREDIT_PURPOSE_CREDIT
from chassis.ids import from_wire, new_id, to_wire
from chassis.watched import Named
from services.billing.processor.asking import Asking
from services.billing.store import BillingStore
from services.billing.use_cases import cards as use_cases
from tests.support.billing import dollars, open_chain, usd
from tests.support.billing_till import ACCOUNT, House, Till, open_house, open_till
from tests.support.invoicing import Invoicing
from tests.support.processor import OLD_SECRET, signed
from tests.support.service import refusal, refusing


@pytest_asyncio.fixture(scope="module")
async def house(postgres_url: str, issuer_folder: Path) -> AsyncIterator[House]:
    async with open_house(postgres_url, issuer_folder) as house:
        yield house


@pytest_asyncio.fixture
async def till(house: House) -> AsyncIterator[Till]:
    async with open_till(house) as till:
        yield till


# A card that the patient enters.


async def test_a_card_that_a_patient_enters_pays_their_invoice(till: Till) -> None:
    course = await till.billing.book()
    await till.billing.complete(course, 0)
    invoice = await till.billing.issue(course)
    begun = await till.intend(300, invoice_id=invoice.id)
    assert begun.card_charge.state == pb.CARD_CHARGE_STATE_REQUESTED
    assert begun.client_secret == "pi_000001_secret"
    assert await till.billing.count("payment") == 0
    till.fake.enter_card("pi_000001")
    await till.hear()
    charge = await till.charge(begun.card_charge.id)
    payment = await till.payment(charge.payment_id)
    assert (charge.state, payment.tender) == (pb.CARD_CHARGE_STATE_SUCCEEDED, payment_pb.TENDER_CARD)
    assert [(each.invoice_id, dollars(each.amount)) for each in payment.applications] == [(invoice.id, 300)]
    assert payment.card_charge_id == charge.id
    assert (await till.billing.trial_balance())["PROCESSOR_CLEARING"] == (300, 0)
    assert (await till.billing.last_fact("payment.received")).payment_id == payment.id
    assert await till.list_cards() == []


async def test_the_same_request_gives_the_same_intent_and_its_secret_is_kept_nowhere(till: Till) -> None:
    request = till.request(300)
    answers = [await till.billing.svc.call(till.cards.CreatePaymentIntent, request) for _ in range(2)]
    assert [each.client_secret for each in answers] == ["pi_000001_secret"] * 2
    assert len(till.fake.of_kind("payment_intent")) == 1
    kept = "SELECT count(*) FROM idempotency WHERE position('secret'::bytea IN response) > 0"
    assert [row[0] for row in await till.billing.fetch(kept)] == [0]


async def test_a_patient_whose_card_is_declined_may_enter_another(till: Till) -> None:
    begun = await till.intend(300)
    till.fake.fail_card("pi_000001")
    await till.hear()
    assert (await till.charge(begun.card_charge.id)).state == pb.CARD_CHARGE_STATE_REQUESTED
    till.fake.enter_card("pi_000001")
    await till.hear()
    assert (await till.charge(begun.card_charge.id)).state == pb.CARD_CHARGE_STATE_SUCCEEDED
    assert await till.billing.count("payment") == 1


async def aged(till: Till) -> None:
    await till.billing.execute("UPDATE card_charge SET asked_at = now() - interval '25 hours'")


async def test_an_intent_that_nobody_pays_is_cancelled_after_a_day(till: Till) -> None:
    begun = await till.intend(300)
    await till.look()
    assert till.fake.objects["pi_000001"]["status"] == "requires_payment_method"
    await aged(till)
    await till.look()
    assert till.fake.objects["pi_000001"]["status"] == "canceled"
    assert (await till.charge(begun.card_charge.id)).state == pb.CARD_CHARGE_STATE_CANCELLED
    assert (await till.billing.last_fact("card_charge.failed")).card_charge_id == begun.card_charge.id


async def test_money_that_is_taken_as_its_intent_is_to_be_cancelled_is_a_payment(till: Till) -> None:
    begun = await till.intend(300)
    till.fake.enter_card("pi_000001")
    till.fake.told.clear()  # The processor's word is lost.
    await aged(till)
    await till.look()
    assert (await till.charge(begun.card_charge.id)).state == pb.CARD_CHARGE_STATE_SUCCEEDED
    assert await till.taken() == (30000, 30000)


@pytest.mark.parametrize("amount", [0, -1, 1_000_000.01])
async def test_money_asked_of_a_card_is_above_zero_and_not_huge(till: Till, amount: float) -> None:
    assert (await refusal(till.intend(amount))).reason == "AMOUNT_OUT_OF_RANGE"
    assert (await till.billing.count("card_charge"), till.fake.asked) == (0, [])


async def test_a_site_without_an_account_charges_no_cards(till: Till) -> None:
    other = to_wire("legalentity", new_id())
    await till.billing.register_legal_entity(other)
    site_id = await till.billing.register_site(legal_entity_id=other)
    refused = await refusal(till.intend(10, site_id=site_id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "NO_PROCESSOR")


async def test_a_processor_that_is_away_is_asked_again(till: Till) -> None:
    till.fake.away = True
    request = till.request(300)
    refused = await refusal(till.billing.svc.call(till.cards.CreatePaymentIntent, request))
    assert (refused.code, refused.reason, refused.retry) == (StatusCode.UNAVAILABLE, "PROCESSOR_AWAY", True)
    till.fake.away = False
    answer = await till.billing.svc.call(till.cards.CreatePaymentIntent, request)
    assert answer.client_secret == "pi_000001_secret"


# Cards on file.


async def test_a_card_on_file_is_charged_without_its_patient_and_taken_off(till: Till) -> None:
    card = await till.save_card()
    assert (card.brand, card.last4, card.expiry_month, card.expiry_year) == ("visa", "4242", 12, 2030)
    answer = await till.billing.svc.call(till.cards.ChargeCard, till.on_file(590, card.id))
    assert answer.card_charge.state == pb.CARD_CHARGE_STATE_SUCCEEDED
    assert dollars((await till.payment(answer.card_charge.payment_id)).amount) == 590
    detach = pb.DetachCardRequest(request_id=str(uuid4()), card_id=card.id)
    assert (await till.billing.svc.call(till.cards.DetachCard, detach)).card.HasField("detach_time")
    await till.look()
    assert [each["customer"] for each in till.fake.of_kind("payment_method")] == [None]
    assert await till.list_cards() == []
    refused = await refusal(till.billing.svc.call(till.cards.ChargeCard, till.on_file(1, card.id)))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "CARD_NOT_FOUND")
    assert await till.taken() == (59100, 59100)


async def test_a_card_that_is_declined_is_not_charged_later(till: Till) -> None:
    card = await till.save_card()
    till.fake.declines = "insufficient_funds"
    answer = await till.billing.svc.call(till.cards.ChargeCard, till.on_file(590, card.id))
    assert answer.card_charge.state == pb.CARD_CHARGE_STATE_FAILED
    assert answer.card_charge.failure_code == "insufficient_funds"
    assert [each["status"] for each in till.fake.of_kind("payment_intent")] == ["succeeded", "canceled"]
    await till.hear()
    assert await till.billing.count("payment") == 1


async def test_a_patients_card_pays_for_nobody_else(till: Till) -> None:
    card = await till.save_card()
    other = await till.billing.register_patient()
    request = till.on_file(590, card.id, patient_id=other)
    assert (await refusal(till.billing.svc.call(till.cards.ChargeCard, request))).reason == "CARD_NOT_FOUND"
    assert await till.billing.count("card_charge") == 1


async def test_no_card_on_file_pays_for_a_course_while_its_patient_disputes_the_bills(till: Till) -> None:
    card, billing = await till.save_card(), till.billing
    course = await billing.book()
    await billing.complete(course)
    invoice = await billing.issue(course)
    disputing = estimate_pb.OpenEstimateDisputeRequest(request_id=str(uuid4()), course_id=course.id)
    await billing.svc.call(billing.estimates.OpenEstimateDispute, disputing)
    for purpose in ({"course_id": course.id}, {"invoice_id": invoice.id}):
        refused = await refusal(billing.svc.call(till.cards.ChargeCard, till.on_file(590, card.id, **purpose)))
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "ESTIMATE_DISPUTE_OPEN")
    assert await till.taken() == (100, 100)
    await till.pay(10, invoice_id=invoice.id)  # The patient may.
    answer = await billing.svc.call(till.cards.ChargeCard, till.on_file(5, card.id))  # For something else.
    assert answer.card_charge.state == pb.CARD_CHARGE_STATE_SUCCEEDED


# Whoever is killed, between whichever steps: no money twice, none lost.


class Killed(BaseException):
    """The process is no more: nothing catches it."""


class Killing:
    """A database of a process that is killed at its n-th step: before it is committed, or after."""

    def __init__(self, db: Any, at: int, *, committed: bool) -> None:
        self._db, self._left, self._committed = db, at, committed

    async def job(self, *args: Any) -> Any:
        self._left -= 1
        if self._left == 0 and not self._committed:
            raise Killed
        done = await self._db.job(*args)
        if self._left == 0:
            raise Killed
        return done


def kills(steps: int) -> list[tuple[int, bool]]:
    """At each step, before it is committed or after."""
    return [(step, committed) for step in range(1, steps + 1) for committed in (False, True)]


async def interrupted(till: Till, charge_id: str, step: int, *, committed: bool) -> None:
    db: Any = Killing(till.billing.svc.db, step, committed=committed)
    asking = Asking(db, till.house.processors, till.billing.svc.now)
    with pytest.raises(Killed):
        await asking.ask(till.billing.svc.chain_id, from_wire("cardcharge", charge_id))


async def begun(till: Till, card: pb.Card) -> str:
    """A charge that is committed, and of which the processor has not been asked."""
    till.fake.away = True
    await refusal(till.billing.svc.call(till.cards.ChargeCard, till.on_file(590, card.id)))
    till.fake.away = False
    [row] = await till.billing.fetch("SELECT id FROM card_charge ORDER BY id DESC LIMIT 1")
    return to_wire("cardcharge", row["id"])


@pytest.mark.parametrize(("step", "committed"), kills(2))
async def test_a_charge_is_made_once_whenever_its_process_is_killed(till: Till, step: int, committed: bool) -> None:
    charge_id = await begun(till, await till.save_card())
    await interrupted(till, charge_id, step, committed=committed)
    await till.look()
    assert (await till.charge(charge_id)).state == pb.CARD_CHARGE_STATE_SUCCEEDED
    assert await till.taken() == (59100, 59100)
    await till.hear()
    assert (await till.taken(), await till.billing.count("payment")) == ((59100, 59100), 2)


@pytest.mark.parametrize(("step", "committed"), kills(4))
async def test_an_intent_is_made_once_whenever_its_process_is_killed(till: Till, step: int, committed: bool) -> None:
    request = till.request(300, save_card=True)
    till.fake.away = True
    await refusal(till.billing.svc.call(till.cards.CreatePaymentIntent, request))
    till.fake.away = False
    [row] = await till.billing.fetch("SELECT id FROM card_charge")
    await interrupted(till, to_wire("cardcharge", row["id"]), step, committed=committed)
    answer = await till.billing.svc.call(till.cards.CreatePaymentIntent, request)
    assert [len(till.fake.of_kind(kind)) for kind in ("customer", "payment_intent")] == [1, 1]
    till.fake.enter_card(answer.client_secret.removesuffix("_secret"))
    await till.hear()
    assert (await till.taken(), len(await till.list_cards())) == ((30000, 30000), 1)


@pytest.mark.parametrize("breaks", [["before"], ["after"], ["after", "after"], ["before", "after", "before"]])
async def test_a_charge_is_made_once_however_the_connection_breaks(till: Till, breaks: list[str]) -> None:
    card = await till.save_card()
    till.fake.breaks = breaks
    refused = await refusal(till.billing.svc.call(till.cards.ChargeCard, till.on_file(590, card.id)))
    assert refused.reason == "PROCESSOR_AWAY"
    await till.look()
    assert (await till.taken(), await till.billing.count("payment")) == ((59100, 59100), 2)


async def test_a_charge_of_which_nothing_was_heard_for_a_day_is_looked_for_and_not_made_again(till: Till) -> None:
    card = await till.save_card()
    till.fake.breaks = ["after"]
    await refusal(till.billing.svc.call(till.cards.ChargeCard, till.on_file(590, card.id)))
    till.fake.keys.clear()  # The processor forgets its keys after a day.
    await aged(till)
    await till.look()
    assert (await till.taken(), await till.billing.count("payment")) == ((59100, 59100), 2)


async def test_a_charge_that_was_never_made_is_not_made_a_day_late(till: Till) -> None:
    charge_id = await begun(till, await till.save_card())
    await aged(till)
    await till.look()
    charge = await till.charge(charge_id)
    assert (charge.state, charge.failure_code) == (pb.CARD_CHARGE_STATE_FAILED, "never_asked")
    assert await till.taken() == (100, 100)


@pytest.mark.parametrize("forgotten", [False, True])
@pytest.mark.parametrize(("step", "committed"), kills(4))
async def test_a_refund_is_made_once_whenever_its_process_is_killed(
    till: Till, step: int, committed: bool, forgotten: bool
) -> None:
    """Also if the next one looks a day later, when the processor has forgotten its keys."""
    payment = await till.pay(100)
    refund = await till.refund(payment, 60)
    assert [part.state for part in refund.parts] == [refund_pb.REFUND_STATE_REQUESTED]
    db: Any = Killing(till.billing.svc.db, step, committed=committed)
    with pytest.raises(Killed):
        await Asking(db, till.house.processors, till.billing.svc.now).look()
    if forgotten:
        till.fake.keys.clear()
    await till.look()
    assert [part.state for part in (await till.read_refund(refund.id)).parts] == [refund_pb.REFUND_STATE_SUCCEEDED]
    assert await till.taken() == (4000, 4000)


@pytest.mark.parametrize("forgotten", [False, True])
@pytest.mark.parametrize("breaks", [["before"], ["after"], ["after", "before"]])
async def test_a_refund_is_made_once_however_the_connection_breaks(
    till: Till, breaks: list[str], forgotten: bool
) -> None:
    payment = await till.pay(100)
    refund = await till.refund(payment, 60)
    till.fake.breaks = breaks
    await Asking(till.billing.svc.db, till.house.processors, till.billing.svc.now).look()
    if forgotten:
        till.fake.keys.clear()
    await till.look()
    assert [part.state for part in (await till.read_refund(refund.id)).parts] == [refund_pb.REFUND_STATE_SUCCEEDED]
    assert await till.taken() == (4000, 4000)


async def test_a_chain_whose_payments_cannot_be_looked_at_now_holds_up_no_other(till: Till) -> None:
    refund = await till.refund(await till.pay(100), 60)
    accounts, first = till.house.processors._accounts.now, UUID(int=1)
    theirs = accounts[ACCOUNT].model_copy(update={"chain_id": to_wire("chain", first)})
    till.house.processors._accounts = Named({"first": theirs, **accounts})
    await Asking(refusing(till.billing.svc.db, first), till.house.processors, till.billing.svc.now).look()
    assert [part.state for part in (await till.read_refund(refund.id)).parts] == [refund_pb.REFUND_STATE_SUCCEEDED]


@pytest.mark.parametrize("garbled", [False, True])
async def test_a_charge_that_the_processor_refuses_to_show_is_put_off_and_holds_up_nothing(
    till: Till, garbled: bool
) -> None:
    """Also if what it shows is none that we can read."""
    refund = await till.refund(await till.pay(100), 60)
    begun = await till.intend(300)
    intent_id = begun.client_secret.removesuffix("_secret")
    if garbled:
        status = till.fake.objects[intent_id].pop("status")
    else:
        till.fake.hidden.add(intent_id)
    await till.billing.execute("UPDATE card_charge SET look_at = now() - interval '1 hour' WHERE look_at IS NOT NULL")
    asking = Asking(till.billing.svc.db, till.house.processors, till.billing.svc.now)
    assert (await asking.look(), await asking.look()) == (2, 0)
    assert [part.state for part in (await till.read_refund(refund.id)).parts] == [refund_pb.REFUND_STATE_SUCCEEDED]
    assert (await till.charge(begun.card_charge.id)).state == pb.CARD_CHARGE_STATE_REQUESTED
    if garbled:
        till.fake.objects[intent_id]["status"] = status
    till.fake.hidden.clear()
    till.fake.enter_card(intent_id)
    await till.look()
    assert await till.taken() == (34000, 34000)


async def test_what_the_processor_refuses_before_a_charge_is_asked_again(till: Till) -> None:
    till.fake.hidden.add("customers")
    request = till.request(300, save_card=True)
    refused = await refusal(till.billing.svc.call(till.cards.CreatePaymentIntent, request))
    assert (refused.code, refused.reason, refused.retry) == (StatusCode.UNAVAILABLE, "PROCESSOR_AWAY", True)
    [kept] = await till.billing.fetch("SELECT tries FROM card_charge")
    assert kept["tries"] == 1
    till.fake.hidden.clear()
    till.fake.keys.clear()
    answer = await till.billing.svc.call(till.cards.CreatePaymentIntent, request)
    assert answer.client_secret.removesuffix("_secret") in till.fake.objects


async def test_what_an_account_is_asked_that_went_from_the_settings_waits_for_it(till: Till) -> None:
    payment = await till.pay(100)
    refund = await till.refund(payment, 60)
    [mine] = till.house.processors._accounts.now.values()
    till.house.processors.give("another", mine)
    asking = Asking(till.billing.svc.db, till.house.processors, till.billing.svc.now)
    with capture_logs() as logged:
        assert (await asking.look(), await asking.look()) == (1, 0)  # It is put off: whoever asks does not spin.
    assert "processor.unknown_account" in [line["event"] for line in logged]
    till.house.processors.give(ACCOUNT, mine)
    await till.look()
    assert [part.state for part in (await till.read_refund(refund.id)).parts] == [refund_pb.REFUND_STATE_SUCCEEDED]


# Refunds.


async def test_a_refund_that_fails_gives_the_money_back_to_the_payment(till: Till) -> None:
    payment = await till.pay(100)
    till.fake.refund_status = "pending"
    refund = await till.refund(payment, 60)
    await till.look()
    assert dollars((await till.payment(payment.id)).unapplied) == 40
    [told] = till.fake.of_kind("refund")
    till.fake.change_refund(told["id"], "failed", "expired_or_canceled_card")
    await till.hear()
    [part] = (await till.read_refund(refund.id)).parts
    assert (part.state, part.failure_code) == (refund_pb.REFUND_STATE_FAILED, "expired_or_canceled_card")
    assert dollars((await till.payment(payment.id)).unapplied) == 100
    assert (await till.billing.last_fact("refund.failed")).payment_id == payment.id
    cheque = await till.refund(payment, 60, tender=payment_pb.TENDER_CHECK, reference="501")
    assert [part.state for part in cheque.parts] == [refund_pb.REFUND_STATE_SUCCEEDED]


async def test_a_refund_of_another_account_is_not_ours_whatever_id_it_names(till: Till) -> None:
    payment = await till.pay(100)
    till.fake.refund_status = "pending"
    refund = await till.refund(payment, 60)
    await till.look()
    [told] = till.fake.of_kind("refund")
    [mine] = till.house.processors._accounts.now.values()
    till.house.processors.give("another", mine)
    till.fake.told.clear()
    till.fake.change_refund(told["id"], "failed", "expired_or_canceled_card")
    assert await till.post(*signed(till.fake.told.pop()), account="another") == 200
    await till.look()
    request = payout_pb.ListUnmatchedEventsRequest()
    [event] = (await till.billing.svc.call(till.payouts.ListUnmatchedEvents, request)).events
    assert (event.type, event.account) == ("refund.updated", "another")
    [part] = (await till.read_refund(refund.id)).parts
    assert (part.state, dollars((await till.payment(payment.id)).gone)) == (refund_pb.REFUND_STATE_REQUESTED, 60)
    till.house.processors.give(ACCOUNT, mine)
    await till.look()
    [part] = (await till.read_refund(refund.id)).parts
    assert part.state == refund_pb.REFUND_STATE_FAILED


async def test_a_refund_that_was_made_and_is_not_shown_has_not_failed(till: Till) -> None:
    """Its money went back: a payment that had it again would give it twice."""
    payment = await till.pay(100)
    refund = await till.refund(payment, 60)
    till.fake.breaks = ["after"]
    await Asking(till.billing.svc.db, till.house.processors, till.billing.svc.now).look()
    till.fake.keys.clear()
    till.fake.hidden.add("refunds")
    await till.billing.execute("UPDATE refund_part SET look_at = now() - interval '1 hour' WHERE look_at IS NOT NULL")
    await Asking(till.billing.svc.db, till.house.processors, till.billing.svc.now).look()
    assert [part.state for part in (await till.read_refund(refund.id)).parts] == [refund_pb.REFUND_STATE_REQUESTED]
    assert dollars((await till.payment(payment.id)).unapplied) == 40
    till.fake.hidden.clear()
    await till.look()
    assert [part.state for part in (await till.read_refund(refund.id)).parts] == [refund_pb.REFUND_STATE_SUCCEEDED]
    assert await till.taken() == (4000, 4000)


async def test_a_refund_that_the_processor_refuses_has_failed(till: Till) -> None:
    payment = await till.pay(100)
    intent = till.fake.of_kind("payment_intent")[0]
    till.fake.answer("POST", "/v1/refunds", {"payment_intent": intent["id"], "amount": "10000", "metadata": {}})
    refund = await till.refund(payment, 60)
    await till.look()
    [part] = (await till.read_refund(refund.id)).parts
    assert (part.state, part.failure_code) == (refund_pb.REFUND_STATE_FAILED, "charge_already_refunded")
    await till.hear()
    request = payout_pb.ListUnmatchedEventsRequest()
    [event] = (await till.billing.svc.call(till.payouts.ListUnmatchedEvents, request)).events
    assert event.type == "refund.created"


async def test_what_a_processor_took_is_not_reversed(till: Till) -> None:
    payment = await till.pay(100)
    request = payment_pb.ReversePaymentRequest(request_id=str(uuid4()), payment_id=payment.id, reason="x")
    refused = await refusal(till.billing.svc.call(till.billing.payments.ReversePayment, request))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PAYMENT_NOT_REVERSIBLE")


# Webhooks.


async def test_webhooks_may_come_late_doubled_and_in_any_order(till: Till) -> None:
    payment = await till.pay(100)
    refund = await till.refund(payment, 60)
    till.fake.refund_status = "pending"
    await till.look()
    [told] = till.fake.of_kind("refund")
    till.fake.change_refund(told["id"], "succeeded")
    intent_id = till.fake.of_kind("payment_intent")[0]["id"]
    dispute_id = till.fake.open_dispute(intent_id, 4000)
    till.fake.close_dispute(dispute_id, "won")
    events = till.fake.told * 2
    random.Random(7).shuffle(events)  # noqa: S311
    for event in events:
        assert await till.post(*signed(event)) == 200
        if random.Random(event["id"]).random() < 0.5:  # noqa: S311
            await till.look()
    await till.look()
    assert [part.state for part in (await till.read_refund(refund.id)).parts] == [refund_pb.REFUND_STATE_SUCCEEDED]
    assert (await till.taken(), await till.billing.count("dispute")) == ((4000, 4000), 1)
    names = await till.billing.fact_names()
    counted = {name: names.count(name) for name in ("refund.succeeded", "dispute.opened", "dispute.closed")}
    assert counted == {"refund.succeeded": 1, "dispute.opened": 1, "dispute.closed": 1}


async def test_a_webhook_proves_who_sent_it(till: Till) -> None:
    event = till.fake.tell("payment_intent.succeeded", {"id": "pi_1"})
    body, signature = signed(event)
    assert await till.post(body + b" ", signature) == 400
    assert await till.post(*signed(event, "whsec_other")) == 400
    assert await till.post(*signed(event, age_s=400)) == 400
    assert await till.post(body, "") == 400
    assert await till.post(body, signature, "other") == 404
    assert await till.post(*signed({"id": 5})) == 400
    assert await till.billing.count("processor_event") == 0
    assert await till.post(*signed(event, OLD_SECRET)) == 200
    assert await till.post(*signed(event)) == 200
    assert await till.billing.count("processor_event") == 1


async def test_a_webhook_that_is_too_large_or_no_webhook_is_refused(till: Till) -> None:
    assert await till.post(b"x" * 300_000, "") == 413
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{till.house.listener.port}/")).status_code == 404


async def test_an_event_of_an_unknown_type_is_kept_and_ignored(till: Till) -> None:
    event = till.fake.tell("invoice.finalized", {"id": "in_1", "customer_email": "canary@example.org"})
    assert await till.post(*signed(event)) == 200
    await till.look()
    [row] = await till.billing.fetch("SELECT * FROM processor_event")
    assert (row["type"], row["outcome"], row["look_at"]) == ("invoice.finalized", 2, None)
    assert "canary" not in str(dict(row))


async def test_an_event_about_what_is_not_ours_is_listed(till: Till) -> None:
    stranger = till.fake.new("pi", "payment_intent", status="succeeded", currency="usd", amount_received=5)
    till.fake.tell("payment_intent.succeeded", stranger)
    till.fake.tell("payment_intent.succeeded", {"id": "pi_gone"})
    await till.hear()
    request = payout_pb.ListUnmatchedEventsRequest(page_size=1)
    first = await till.billing.svc.call(till.payouts.ListUnmatchedEvents, request)
    request.page_token = first.next_page_token
    second = await till.billing.svc.call(till.payouts.ListUnmatchedEvents, request)
    assert [each.object_code for each in (*first.events, *second.events)] == [stranger["id"], "pi_gone"]


# Disputes.


async def invoiced(till: Till) -> tuple[invoice_pb.Invoice, payment_pb.Payment, str]:
    """An invoice of 300 that a card paid, and the dispute of it."""
    course = await till.billing.book()
    await till.billing.complete(course, 0)
    invoice = await till.billing.issue(course)
    payment = await till.pay(350, invoice_id=invoice.id)
    dispute_id = till.fake.open_dispute(till.fake.of_kind("payment_intent")[0]["id"], 35000)
    await till.hear()
    return invoice, payment, dispute_id


async def owed(till: Till, invoice: invoice_pb.Invoice) -> float | None:
    request = invoice_pb.GetInvoiceRequest(invoice_id=invoice.id)
    return dollars((await till.billing.svc.call(till.billing.invoices.GetInvoice, request)).invoice.balance)


async def unheard(till: Till) -> int:
    """What the processor told that waits for another try."""
    waiting: int = await till.billing.svc.admin.fetchval(
        "SELECT count(*) FROM processor_event WHERE look_at IS NOT NULL AND chain_id = $1", till.billing.svc.chain_id
    )
    return waiting


async def list_disputes(till: Till, token: str | None = None) -> list[dispute_pb.Dispute]:
    request = dispute_pb.ListDisputesRequest(site_id=till.billing.site_id)
    return list((await till.billing.svc.call(till.disputes.ListDisputes, request, token)).disputes)


async def decide(till: Till, decision: int) -> Any:
    [dispute] = await list_disputes(till)
    fields: dict[str, Any] = {"dispute_id": dispute.id, "decision": decision, "reason": "no proof"}
    request = dispute_pb.DecideDisputeRequest(request_id=str(uuid4()), **fields)
    return (await till.billing.svc.call(till.disputes.DecideDispute, request)).dispute


async def test_a_disputed_payment_stands_apart_and_is_not_given_back(till: Till) -> None:
    invoice, payment, dispute_id = await invoiced(till)
    [dispute] = await list_disputes(till)
    assert (dispute.state, dispute.reason_code) == (dispute_pb.DISPUTE_STATE_OPEN, "fraudulent")
    assert ((await till.payment(payment.id)).disputed, await owed(till, invoice)) == (True, 0)
    balance = await till.billing.trial_balance()
    assert (balance["PROCESSOR_CLEARING"], balance["DISPUTED_RECEIVABLE"]) == ((350, 350), (350, 0))
    assert (await refusal(till.refund(payment, 50))).reason == "PAYMENT_DISPUTED"
    assert (await refusal(decide(till, dispute_pb.DISPUTE_DECISION_WRITTEN_OFF))).reason == "DISPUTE_NOT_LOST"
    till.fake.close_dispute(dispute_id, "won")
    await till.hear()
    assert not (await till.payment(payment.id)).disputed
    assert (await till.billing.trial_balance())["DISPUTED_RECEIVABLE"] == (350, 350)
    assert (await till.billing.last_fact("dispute.closed")).won


async def test_a_dispute_that_is_told_of_again_when_it_was_won_is_not_won_twice(till: Till) -> None:
    _, _, dispute_id = await invoiced(till)
    till.fake.close_dispute(dispute_id, "won")
    till.fake.tell("charge.dispute.closed", till.fake.objects[dispute_id])
    await till.hear()
    assert (await till.billing.trial_balance())["DISPUTED_RECEIVABLE"] == (350, 350)
    assert (await till.billing.fact_names()).count("dispute.closed") == 1
    assert await unheard(till) == 0


async def test_a_dispute_that_is_lost_is_owed_again(till: Till) -> None:
    invoice, payment, dispute_id = await invoiced(till)
    till.fake.close_dispute(dispute_id, "lost")
    await till.hear()
    assert (await till.payment(payment.id)).disputed
    decided = await decide(till, dispute_pb.DISPUTE_DECISION_OWED_AGAIN)
    assert (decided.state, await owed(till, invoice)) == (dispute_pb.DISPUTE_STATE_OWED_AGAIN, 300)
    reopened = await till.billing.last_fact("invoice.reopened")
    assert (reopened.invoice_id, dollars(reopened.balance)) == (invoice.id, 300)
    after = await till.payment(payment.id)
    assert (dollars(after.gone), dollars(after.unapplied), after.disputed) == (350, 0, False)
    balance = await till.billing.trial_balance()
    assert (balance["DISPUTED_RECEIVABLE"], balance["ACCOUNTS_RECEIVABLE"]) == ((350, 350), (600, 300))
    assert (await refusal(decide(till, dispute_pb.DISPUTE_DECISION_OWED_AGAIN))).reason == "DISPUTE_NOT_LOST"


async def test_a_dispute_that_is_lost_may_be_written_off(till: Till) -> None:
    invoice, _, dispute_id = await invoiced(till)
    till.fake.close_dispute(dispute_id, "lost")
    await till.hear()
    decided = await decide(till, dispute_pb.DISPUTE_DECISION_WRITTEN_OFF)
    assert (decided.state, await owed(till, invoice)) == (dispute_pb.DISPUTE_STATE_WRITTEN_OFF, 0)
    assert (await till.billing.trial_balance())["WRITE_OFFS"] == (350, 0)


async def test_of_a_lost_dispute_what_a_credit_note_made_credit_of_its_own_is_written_off(till: Till) -> None:
    invoice, payment, dispute_id = await invoiced(till)
    await Invoicing(till.billing).void(invoice.id, CREDIT_PURPOSE_CREDIT)
    till.fake.close_dispute(dispute_id, "lost")
    await till.hear()
    await decide(till, dispute_pb.DISPUTE_DECISION_OWED_AGAIN)
    after = await till.payment(payment.id)
    assert (dollars(after.gone), dollars(after.unapplied), after.disputed) == (50, 0, False)
    assert (await till.billing.trial_balance())["WRITE_OFFS"] == (300, 0)


async def test_an_inquiry_moves_no_money(till: Till) -> None:
    await till.pay(100)
    till.fake.open_dispute(till.fake.of_kind("payment_intent")[0]["id"], 10000, "warning_needs_response")
    await till.hear()
    assert await list_disputes(till) == []


# Credit that goes back to a card.


async def credited(till: Till, paid: float, amount: float) -> tuple[payment_pb.Payment, str]:
    """What a card paid of an assessment of 300, and credit of what was taken back of it."""
    billing = till.billing
    course = await billing.book()
    await billing.complete(course, 0)
    invoice = await billing.issue(course)
    payment = await till.pay(paid, invoice_id=invoice.id)
    if paid < 300:
        await billing.pay(300 - paid, invoice_id=invoice.id)
    note = await Invoicing(billing).credit(
        invoice.id, (invoice.lines[0].charge_id, amount), purpose=note_pb.CREDIT_PURPOSE_CREDIT
    )
    return payment, to_wire("credit", from_wire("creditnote", note.id))


async def credit_left(till: Till) -> list[float]:
    rows = await till.billing.fetch("SELECT left_minor FROM open_item WHERE kind = 3 ORDER BY id")
    return [row["left_minor"] / 100 for row in rows]


async def test_credit_goes_back_to_a_card_that_paid(till: Till) -> None:
    payment, credit_id = await credited(till, 300, 100)
    refund = await till.refund(payment, 60, credit_id=credit_id)
    [part] = refund.parts
    requested = refund_pb.REFUND_STATE_REQUESTED
    told = (part.payment_id, part.credit_id, part.tender, part.state)
    assert told == (payment.id, credit_id, payment_pb.TENDER_CARD, requested)
    assert await credit_left(till) == [40]
    await till.look()
    assert [each.state for each in (await till.read_refund(refund.id)).parts] == [refund_pb.REFUND_STATE_SUCCEEDED]
    [told_refund] = till.fake.of_kind("refund")
    assert (told_refund["amount"], told_refund["payment_intent"]) == (
        6000,
        till.fake.of_kind("payment_intent")[0]["id"],
    )
    assert await till.taken() == (24000, 24000)
    assert (await till.payment(payment.id)).gone == usd(0)
    assert (await till.billing.trial_balance())["PATIENT_CREDIT"] == (60, 100)


async def test_credit_that_no_card_takes_comes_back(till: Till) -> None:
    payment, credit_id = await credited(till, 100, 100)
    till.fake.refund_status = "pending"
    await till.refund(payment, 100, credit_id=credit_id)
    await till.look()
    [told] = till.fake.of_kind("refund")
    till.fake.change_refund(told["id"], "failed", "expired_or_canceled_card")
    await till.hear()
    assert await credit_left(till) == [100]
    fact = await till.billing.last_fact("refund.failed")
    assert (fact.credit_id, fact.payment_id) == (credit_id, payment.id)
    await till.refund(payment, 100, credit_id=credit_id)
    assert await credit_left(till) == [0]


async def test_no_more_than_a_card_paid_goes_back_to_it(till: Till) -> None:
    payment, credit_id = await credited(till, 100, 300)
    await till.refund(payment, 70, credit_id=credit_id)
    refused = await refusal(till.refund(payment, 30.01, credit_id=credit_id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "REFUND_EXCEEDS_BALANCE")
    assert refused.metadata == {"refundable_minor": "3000"}
    await till.refund(payment, 30, credit_id=credit_id)
    assert await credit_left(till) == [200]


async def test_all_parts_together_give_no_more_than_a_card_paid(till: Till) -> None:
    payment, credit_id = await credited(till, 250, 150)
    [line] = await till.billing.fetch("SELECT invoice_id, charge_id FROM invoice_line")
    invoice_id, charge_id = to_wire("invoice", line["invoice_id"]), to_wire("charge", line["charge_id"])
    purpose = note_pb.CREDIT_PURPOSE_CREDIT
    note = await Invoicing(till.billing).credit(invoice_id, (charge_id, 150), purpose=purpose)
    credit_ids = credit_id, to_wire("credit", from_wire("creditnote", note.id))

    async def refund(*amounts: float) -> Any:
        make = refund_pb.CreateRefundRequest.Part
        pairs = zip(credit_ids, amounts, strict=True)
        parts = [make(payment_id=payment.id, credit_id=id, amount=usd(amount)) for id, amount in pairs]
        request = refund_pb.CreateRefundRequest(**till._fields(sum(amounts)), parts=parts, reason="moved away")
        return await till.billing.svc.call(till.refunds.CreateRefund, request)

    refused = await refusal(refund(150, 100.01))
    assert (refused.reason, refused.faults) == (
        "REFUND_EXCEEDS_BALANCE",
        [("parts[1].amount", "REFUND_EXCEEDS_BALANCE")],
    )
    assert await till.billing.count("refund") == 0
    await refund(150, 100)
    await till.look()
    assert await till.taken() == (0, 0)


async def test_credit_does_not_go_to_a_card_whose_payment_is_disputed(till: Till) -> None:
    payment, credit_id = await credited(till, 300, 100)
    till.fake.open_dispute(till.fake.of_kind("payment_intent")[0]["id"], 30000)
    await till.hear()
    assert (await refusal(till.refund(payment, 10, credit_id=credit_id))).reason == "PAYMENT_DISPUTED"
    assert await credit_left(till) == [100]


# Payouts.


async def test_a_payout_is_matched_with_what_it_is_made_of(till: Till) -> None:
    payment = await till.pay(100)
    await till.refund(payment, 60)
    await till.look()
    till.fake.charge_fee(200)
    payout_id = till.fake.pay_out()
    told = [*till.fake.told]
    await till.hear()
    till.fake.told += [event | {"id": f"{event['id']}_again"} for event in told]
    await till.hear()
    [listed] = (await till.billing.svc.call(till.payouts.ListPayouts, payout_pb.ListPayoutsRequest())).payouts
    got = await till.billing.svc.call(till.payouts.GetPayout, payout_pb.GetPayoutRequest(payout_id=listed.id))
    lines = [(each.type, dollars(each.amount), dollars(each.fee), each.site_id) for each in got.payout.lines]
    site_id = till.billing.site_id
    assert lines == [("charge", 100, 3, site_id), ("refund", -60, 0, site_id), ("stripe_fee", -2, 0, "")]
    assert (got.payout.processor_id, dollars(got.payout.amount)) == (payout_id, 35)
    balance = await till.billing.trial_balance()
    assert {name: balance[name] for name in ("BANK", "PROCESSOR_FEES", "PROCESSOR_CLEARING")} == {
        "BANK": (37, 0),
        "PROCESSOR_FEES": (3, 0),
        "PROCESSOR_CLEARING": (100, 100),
    }


async def test_a_payout_of_more_lines_than_a_processor_lists_at_once_is_taken_in_whole(till: Till) -> None:
    """A thousand and some: eleven pages of the processor's."""
    for _ in range(1_001):
        till.fake.charge_fee(1)
    payment = await till.pay(100)
    till.fake.pay_out()
    await till.hear()
    assert await till.billing.count("payout_line") == 1_002
    assert (await till.billing.trial_balance())["BANK"] == (97, 0)  # The payment's line is the last.
    [listed] = (await till.billing.svc.call(till.payouts.ListPayouts, payout_pb.ListPayoutsRequest())).payouts
    request, found = payout_pb.GetPayoutRequest(payout_id=listed.id, page_size=200), list[Any]()
    for _ in range(6):
        answer = await till.billing.svc.call(till.payouts.GetPayout, request)
        found += answer.payout.lines
        request.page_token = answer.next_page_token
    assert (len(found), found[-1].type, dollars(found[-1].amount)) == (1_002, "charge", 100)
    assert (request.page_token, payment.amount) == ("", usd(100))


async def test_a_line_without_a_document_is_settled_by_an_adjustment_once(till: Till) -> None:
    billing = till.billing
    await till.pay(100)
    till.fake.charge_fee(200)
    till.fake.pay_out()
    await till.hear()
    [listed] = (await billing.svc.call(till.payouts.ListPayouts, payout_pb.ListPayoutsRequest())).payouts
    get = payout_pb.GetPayoutRequest(payout_id=listed.id)
    paid, fee = (await billing.svc.call(till.payouts.GetPayout, get)).payout.lines
    entry_id = await adjustment(till, 2)

    async def settle(line_id: str, token: str | None = None, entry_id: str = entry_id) -> payout_pb.Payout.Line:
        fields = {"payout_line_id": line_id, "entry_id": entry_id, "note": "monthly fee"}
        request = payout_pb.SettlePayoutLineRequest(request_id=str(uuid4()), **fields)
        return (await billing.svc.call(till.payouts.SettlePayoutLine, request, token)).line  # type: ignore[no-any-return]

    [payment_entry] = await billing.fetch("SELECT id FROM entry WHERE source = 2")
    for other in (to_wire("entry", new_id()), to_wire("entry", payment_entry["id"])):
        assert (await refusal(settle(fee.id, entry_id=other))).reason == "ADJUSTMENT_NOT_FOUND"
    assert (await refusal(settle(to_wire("payoutline", new_id())))).reason == "PAYOUT_LINE_NOT_FOUND"
    assert (await refusal(settle(fee.id, billing.svc.token("ROLE_FRONT_DESK")))).reason == "ACCESS_DENIED"
    matched = await refusal(settle(paid.id))
    assert (matched.code, matched.reason) == (StatusCode.FAILED_PRECONDITION, "PAYOUT_LINE_SETTLED")
    assert await billing.count("payout_line_settlement") == 0
    settled = await settle(fee.id)
    assert (settled.id, settled.entry_id, settled.note) == (fee.id, entry_id, "monthly fee")
    assert list((await billing.svc.call(till.payouts.GetPayout, get)).payout.lines) == [paid, settled]
    assert (await refusal(settle(fee.id))).reason == "PAYOUT_LINE_SETTLED"


async def test_a_payout_asks_the_processor_only_for_what_nobody_heard_of(till: Till) -> None:
    for amount in (100, 50):
        await till.pay(amount)
    begun = await till.intend(20)
    till.fake.enter_card(unheard := begun.client_secret.removesuffix("_secret"))
    till.fake.told.clear()
    till.fake.pay_out()
    till.fake.asked.clear()
    await till.hear()
    asked = [each for each in till.fake.asked if "payment_intents" in each]
    assert asked[0] == f"GET /v1/payment_intents/{unheard}"
    assert not [each for each in asked if unheard not in each]
    assert (await till.billing.trial_balance())["BANK"] == (164.9, 0)


async def test_a_payout_of_another_account_has_nothing_of_ours(till: Till) -> None:
    payment = await till.pay(100)
    await till.refund(payment, 60)
    await till.look()
    [mine] = till.house.processors._accounts.now.values()
    till.house.processors.give("another", mine)
    till.fake.told.clear()
    till.fake.pay_out()
    assert await till.post(*signed(till.fake.told.pop()), account="another") == 200
    await till.look()
    lines = await till.billing.fetch("SELECT type, site_id, matched_id FROM payout_line ORDER BY type")
    assert [tuple(each) for each in lines] == [("charge", None, None), ("refund", None, None)]
    assert "BANK" not in await till.billing.trial_balance()


async def test_a_payout_for_two_sites_is_in_the_books_of_both(till: Till) -> None:
    """Those of two legal entities: each balances by itself."""
    billing, other = till.billing, to_wire("legalentity", new_id())
    await billing.register_legal_entity(other)
    elsewhere = await billing.register_site(legal_entity_id=other)
    await billing.price(site_id=elsewhere)
    [mine] = till.house.processors._accounts.now.values()
    till.house.processors.give(ACCOUNT, mine.model_copy(update={"site_ids": frozenset({elsewhere})}))
    await till.pay(100)
    await till.pay(50, site_id=elsewhere)
    till.fake.pay_out()
    await till.hear()
    found = await billing.fetch(
        "SELECT legal_entity_id, site_id, account, amount_minor FROM posting WHERE account IN (8, 9)"
    )
    here = (from_wire("legalentity", billing.legal_entity_id), from_wire("site", billing.site_id))
    there = (from_wire("legalentity", other), from_wire("site", elsewhere))
    assert {tuple(row) for row in found} == {
        (*here, 8, 9_700),
        (*here, 9, 300),
        (*there, 8, 4_850),
        (*there, 9, 150),
    }
    shares = await billing.fetch("SELECT site_id, amount_minor, fee_minor FROM payout_share")
    assert {tuple(row) for row in shares} == {(here[1], 10_000, 300), (there[1], 5_000, 150)}
    assert (
        await billing.fetch("SELECT FROM posting GROUP BY entry_id, legal_entity_id HAVING sum(amount_minor) <> 0")
        == []
    )


async def test_a_payout_that_comes_before_its_payments_finds_them(till: Till) -> None:
    begun = await till.intend(100)
    till.fake.enter_card("pi_000001")
    till.fake.pay_out()
    till.fake.told.reverse()
    await till.hear()
    assert (await till.charge(begun.card_charge.id)).state == pb.CARD_CHARGE_STATE_SUCCEEDED
    assert (await till.billing.trial_balance())["BANK"] == (97, 0)
    assert await till.billing.count("payout") == 1


async def all_is_paid_out(till: Till) -> None:
    """Nothing of what the processor had is left with it, by our books; the bank has it, less the fees."""
    books = await till.billing.trial_balance()
    clearing, bank, fees = (books[name] for name in ("PROCESSOR_CLEARING", "BANK", "PROCESSOR_FEES"))
    lines = till.fake.of_kind("balance_transaction")
    assert clearing[0] == clearing[1]
    assert round(100 * ((bank[0] or 0) - (bank[1] or 0))) == sum(each["amount"] - each["fee"] for each in lines)
    assert round(100 * ((fees[0] or 0) - (fees[1] or 0))) == sum(each["fee"] for each in lines)


async def test_a_payout_finds_its_dispute_in_whatever_order_the_processor_tells(till: Till) -> None:
    for order in itertools.permutations(range(3)):
        begun = await till.intend(100)
        till.fake.enter_card(intent := begun.client_secret.removesuffix("_secret"))
        till.fake.open_dispute(intent, 10_000)
        till.fake.pay_out()
        till.fake.told = [till.fake.told[n] for n in order]
        while till.fake.told:
            assert await till.post(*signed(till.fake.told.pop(0))) == 200
            await till.look()
        await all_is_paid_out(till)
    assert await till.billing.count("dispute") == 6
    assert await till.billing.fetch("SELECT FROM payout_line WHERE site_id IS NULL") == []


@pytest.mark.parametrize("status", ["pending", "succeeded"])
async def test_a_payout_finds_a_refund_whose_answer_died_with_its_process(till: Till, status: str) -> None:
    await till.refund(await till.pay(100), 60)
    db: Any = Killing(till.billing.svc.db, 4, committed=False)
    with pytest.raises(Killed):
        await Asking(db, till.house.processors, till.billing.svc.now).look()
    [made] = till.fake.of_kind("refund")
    made["status"] = status
    till.fake.pay_out()
    assert await till.post(*signed(till.fake.told[-1])) == 200
    await till.billing.execute("UPDATE refund_part SET look_at = now() + interval '1 hour'")
    await Asking(till.billing.svc.db, till.house.processors, till.billing.svc.now).look()
    await all_is_paid_out(till)
    made["status"] = "succeeded"
    await till.hear()
    await all_is_paid_out(till)
    assert (len(till.fake.of_kind("refund")), await till.billing.count("payout")) == (1, 1)
    assert [row["state"] for row in await till.billing.fetch("SELECT state FROM refund_part")] == [2]


async def waiting(till: Till) -> tuple[str, Any]:
    """The payout of a dispute of which the processor did not say anything then; its line."""
    await till.pay(100)
    dispute_id = till.fake.open_dispute("pi_000001", 10_000)
    till.fake.hidden.add(dispute_id)
    till.fake.told.clear()
    till.fake.pay_out()
    await till.hear()
    till.fake.hidden.clear()
    [listed] = (await till.billing.svc.call(till.payouts.ListPayouts, payout_pb.ListPayoutsRequest())).payouts
    got = await till.billing.svc.call(till.payouts.GetPayout, payout_pb.GetPayoutRequest(payout_id=listed.id))
    [line] = [each for each in got.payout.lines if not each.site_id]
    assert (line.source, dollars(line.amount)) == (dispute_id, -100)
    till.fake.tell("charge.dispute.created", till.fake.objects[dispute_id])
    return listed.id, line


async def adjustment(till: Till, amount: float) -> str:
    """Of fees that the bank has less; its entry."""
    bank, fees = ledger_pb.LEDGER_ACCOUNT_BANK, ledger_pb.LEDGER_ACCOUNT_PROCESSOR_FEES
    postings = [
        ledger_pb.Entry.Posting(account=account, amount=usd(minor))
        for account, minor in ((fees, amount), (bank, -amount))
    ]
    request = ledger_pb.PostAdjustmentRequest(
        request_id=str(uuid4()), site_id=till.billing.site_id, reason="processor's fee", postings=postings
    )
    answer = await till.billing.svc.call(till.billing.ledger.PostAdjustment, request)
    return answer.entry.id  # type: ignore[no-any-return]


@pytest.mark.parametrize(("step", "committed"), [(0, True), *kills(5)])
async def test_a_line_that_waits_is_in_the_books_once_its_document_comes(
    till: Till, step: int, committed: bool
) -> None:
    """Whenever whoever makes it known is killed."""
    payout_id, line = await waiting(till)
    if step:
        assert await till.post(*signed(till.fake.told.pop())) == 200
        db: Any = Killing(till.billing.svc.db, step, committed=committed)
        with suppress(Killed):
            await Asking(db, till.house.processors, till.billing.svc.now).look()
    for _ in range(2):
        await till.hear()
        till.fake.tell("charge.dispute.updated", till.fake.objects[line.source])
    await till.hear()
    assert await unheard(till) == 0
    await all_is_paid_out(till)
    got = await till.billing.svc.call(till.payouts.GetPayout, payout_pb.GetPayoutRequest(payout_id=payout_id))
    [matched] = [each for each in got.payout.lines if each.id == line.id]
    assert (matched.site_id, dollars(matched.fee)) == (till.billing.site_id, 15)
    fields = {"payout_line_id": line.id, "entry_id": to_wire("entry", new_id()), "note": "a dispute"}
    settle = payout_pb.SettlePayoutLineRequest(request_id=str(uuid4()), **fields)
    assert (await refusal(till.billing.svc.call(till.payouts.SettlePayoutLine, settle))).reason == "PAYOUT_LINE_SETTLED"


async def test_a_line_that_somebody_settled_is_not_in_the_books_again_when_its_document_comes(till: Till) -> None:
    _, line = await waiting(till)
    fields = {"payout_line_id": line.id, "entry_id": await adjustment(till, 115), "note": "unknown"}
    settle = payout_pb.SettlePayoutLineRequest(request_id=str(uuid4()), **fields)
    await till.billing.svc.call(till.payouts.SettlePayoutLine, settle)
    await till.hear()
    assert await till.billing.count("payout_line_match") == 0
    assert (await till.billing.trial_balance())["BANK"] == (97, 115)


async def test_a_document_waits_for_who_settles_its_line(till: Till) -> None:
    _, line = await waiting(till)
    line_id = from_wire("payoutline", line.id)
    entry_id = from_wire("entry", await adjustment(till, 115))

    async def settle(store: BillingStore) -> None:
        await store.lock([line_id])
        await use_cases.settle_payout_line(store, line_id, entry_id, "unknown")

    async with till.billing.held_open(payout_pb.SettlePayoutLineRequest(request_id=str(uuid4())), settle):
        hearing = asyncio.create_task(till.hear())
        await till.billing.someone_waits("advisory")
    await hearing
    assert await till.billing.count("payout_line_match") == 0
    assert (await till.billing.trial_balance())["BANK"] == (97, 115)


# Who may.


async def test_cards_are_charged_by_some_roles_at_their_own_sites(till: Till) -> None:
    for role in ("ROLE_NURSE", "ROLE_AUDITOR", "ROLE_PATIENT"):
        assert (await refusal(till.intend(10, till.billing.svc.token(role)))).reason == "ACCESS_DENIED"
    elsewhere = till.billing.at(await till.billing.register_site())
    assert (await refusal(till.intend(10, elsewhere))).reason == "ACCESS_DENIED"
    begun = await till.intend(10)
    request = pb.GetCardChargeRequest(card_charge_id=begun.card_charge.id)
    refused = await refusal(till.billing.svc.call(till.cards.GetCardCharge, request, elsewhere))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "CARD_CHARGE_NOT_FOUND")
    stranger = await open_chain(till.house.svc)
    refused = await refusal(stranger.svc.call(till.cards.GetCardCharge, request))
    assert refused.reason == "CARD_CHARGE_NOT_FOUND"


async def test_an_invoice_whose_payment_is_disputed_is_flagged_and_stays_paid(till: Till) -> None:
    invoice, payment, dispute_id = await invoiced(till)
    flagged = {each.id for each in (await till.billing.account()).documents if each.disputed}
    get = invoice_pb.GetInvoiceRequest(invoice_id=invoice.id)
    assert (await till.billing.svc.call(till.billing.invoices.GetInvoice, get)).invoice.disputed
    assert (flagged, await owed(till, invoice)) == ({invoice.id, payment.id}, 0)
    till.fake.close_dispute(dispute_id, "won")
    await till.hear()
    assert not any(each.disputed for each in (await till.billing.account()).documents)
    assert not (await till.billing.svc.call(till.billing.invoices.GetInvoice, get)).invoice.disputed


async def test_an_invoice_is_not_flagged_for_a_payment_that_was_taken_off_it(till: Till) -> None:
    course = await till.billing.book()
    await till.billing.complete(course, 0)
    invoice = await till.billing.issue(course)
    payment = await till.pay(350, invoice_id=invoice.id)
    off = payment_pb.UnapplyPaymentRequest(
        request_id=str(uuid4()), payment_id=payment.id, invoice_id=invoice.id, reason="meant another"
    )
    await till.billing.svc.call(till.billing.payments.UnapplyPayment, off)
    till.fake.open_dispute(till.fake.of_kind("payment_intent")[0]["id"], 35000)
    await till.hear()
    get = invoice_pb.GetInvoiceRequest(invoice_id=invoice.id)
    assert not (await till.billing.svc.call(till.billing.invoices.GetInvoice, get)).invoice.disputed
    assert [each.id for each in (await till.billing.account()).documents if each.disputed] == [payment.id]


async def test_disputes_are_decided_by_some_roles_and_seen_at_their_site(till: Till) -> None:
    _, _, dispute_id = await invoiced(till)
    till.fake.close_dispute(dispute_id, "lost")
    await till.hear()
    [dispute] = await list_disputes(till)
    fields: dict[str, Any] = {"dispute_id": dispute.id, "decision": 1, "reason": "x"}
    request = dispute_pb.DecideDisputeRequest(request_id=str(uuid4()), **fields)
    desk = till.billing.svc.token("ROLE_FRONT_DESK")
    assert (await refusal(till.billing.svc.call(till.disputes.DecideDispute, request, desk))).reason == "ACCESS_DENIED"
    elsewhere = till.billing.at(await till.billing.register_site())
    refused = await refusal(till.billing.svc.call(till.disputes.DecideDispute, request, elsewhere))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "DISPUTE_NOT_FOUND")
    unknown = payout_pb.GetPayoutRequest(payout_id=to_wire("payout", new_id()))
    assert (await refusal(till.billing.svc.call(till.payouts.GetPayout, unknown))).reason == "PAYOUT_NOT_FOUND"
    assert (await refusal(till.billing.svc.call(till.payouts.GetPayout, unknown, desk))).reason == "ACCESS_DENIED"
