"""Credit that a credit note or a package stopped early gave, paid out."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.billing.v1 import account_service_pb2 as account_pb
from atoll.billing.v1 import credit_note_service_pb2 as note_pb
from atoll.billing.v1 import invoice_service_pb2 as invoice_pb
from atoll.billing.v1 import payment_service_pb2 as payment_pb
from atoll.billing.v1 import refund_service_pb2 as pb
from atoll.billing.v1.refund_service_pb2_grpc import RefundServiceStub
from atoll.patients.v1.events_pb2 import PatientMerged
from chassis.ids import from_wire, new_id, to_wire
from chassis.money import Money
from services.billing.domain.refunds import AskedPart
from services.billing.store import BillingStore
from services.billing.use_cases import invoices, refunds
from tests.support.billing import TODAY, Billing, dollars, open_billing, open_chain, usd
from tests.support.invoicing import Invoicing
from tests.support.packages import Packages
from tests.support.service import Running, refusal

CASH, CHECK, CARD = payment_pb.TENDER_CASH, payment_pb.TENDER_CHECK, payment_pb.TENDER_CARD
HOUR = timedelta(hours=1)
STOPPED = account_pb.DOCUMENT_KIND_PACKAGE_STOP
NOTE = account_pb.DOCUMENT_KIND_CREDIT_NOTE


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> AsyncIterator[Billing]:
    """With prices: 300 for an assessment, 590 for an infusion. Whatever a test does, the books agree after it."""
    billing = await open_chain(service)
    await billing.price()
    yield billing
    await billing.books_agree()


async def paid_for(billing: Billing, **changes: Any) -> invoice_pb.Invoice:
    """Of an assessment."""
    course = await billing.book(**changes)
    await billing.complete(course, 0)
    invoice = await billing.issue(course)
    ids = {name: changes[name] for name in ("patient_id", "site_id") if name in changes}
    await billing.pay(300, invoice_id=invoice.id, **ids)
    return invoice


async def take_back(billing: Billing, invoice: invoice_pb.Invoice, amount: float) -> str:
    """As credit; its id."""
    [line] = invoice.lines
    desk, keeps = Invoicing(billing), note_pb.CREDIT_PURPOSE_CREDIT
    note = await desk.credit(invoice.id, (line.charge_id, amount), purpose=keeps)
    return to_wire("credit", from_wire("creditnote", note.id))


async def credited(billing: Billing, amount: float, **changes: Any) -> str:
    """An assessment of which so much was taken back after it was paid; the id of the credit."""
    invoice = await paid_for(billing, **changes)
    ids = {name: changes[name] for name in ("patient_id", "site_id") if name in changes}
    await take_back(billing, invoice, amount)
    account = await billing.account(**{name: ids[name] for name in ("patient_id",) if name in ids})
    return next(each.credit_id for each in account.documents if each.kind == NOTE)


def request_of(billing: Billing, amount: float, *parts: Any, **changes: Any) -> pb.CreateRefundRequest:
    fields: dict[str, Any] = {"site_id": billing.site_id, "patient_id": billing.patient_id, "reason": "moved away"}
    return pb.CreateRefundRequest(request_id=str(uuid4()), amount=usd(amount), parts=parts, **fields | changes)


async def refund(billing: Billing, amount: float, *parts: Any, token: str | None = None, **changes: Any) -> pb.Refund:
    stub = billing.svc.stub(RefundServiceStub)
    request = request_of(billing, amount, *parts, **changes)
    return (await billing.svc.call(stub.CreateRefund, request, token)).refund  # type: ignore[no-any-return]


def part(credit_id: str, amount: float, **fields: Any) -> pb.CreateRefundRequest.Part:
    return pb.CreateRefundRequest.Part(credit_id=credit_id, amount=usd(amount), **fields)


async def left(billing: Billing) -> list[tuple[float, float]]:
    """What is left of each credit, and what of it is gone, the oldest first."""
    found = await billing.fetch("SELECT left_minor, gone_minor FROM open_item WHERE kind = 3 ORDER BY since, id")
    return [(row["left_minor"] / 100, row["gone_minor"] / 100) for row in found]


async def test_a_package_stopped_early_is_paid_out(billing: Billing) -> None:
    chain = await Packages(billing).open()
    sale = await chain.sold(paid=3500)
    await chain.change("StopPackage", sale, reason="no candidate")
    [document] = [each for each in (await billing.account()).documents if each.kind == STOPPED]
    assert dollars(document.open) == 3500
    made = await refund(billing, 500, part(document.credit_id, 500, tender=CHECK, reference="501"))
    [told] = made.parts
    assert (told.credit_id, told.payment_id, told.tender, told.reference) == (document.credit_id, "", CHECK, "501")
    assert told.state == pb.REFUND_STATE_SUCCEEDED
    balance = await billing.trial_balance()
    assert (balance["PATIENT_CREDIT"], balance["BANK"]) == ((500, 3500), (0, 500))
    fact = await billing.last_fact("refund.succeeded")
    assert (fact.credit_id, fact.payment_id, dollars(fact.amount)) == (document.credit_id, "", 500)
    await refund(billing, 3000, part(document.credit_id, 3000, tender=CASH))
    account = await billing.account()
    [document] = [each for each in account.documents if each.kind == STOPPED]
    assert (document.credit_id, dollars(document.open)) == ("", 0)
    [sums] = account.balances
    assert (dollars(sums.paid), dollars(sums.credit), dollars(sums.balance)) == (0, 0, 0)


async def test_a_refund_of_credit_is_read_and_listed_as_it_was_made(billing: Billing) -> None:
    made = await refund(billing, 60, part(await credited(billing, 100), 60))
    assert made.parts[0].tender == CHECK
    stub = billing.svc.stub(RefundServiceStub)
    assert (await billing.svc.call(stub.GetRefund, pb.GetRefundRequest(refund_id=made.id))).refund == made
    listed = await billing.svc.call(stub.ListRefunds, pb.ListRefundsRequest(patient_id=billing.patient_id))
    assert list(listed.refunds) == [made]


async def test_a_refund_without_parts_takes_credit_after_payments(billing: Billing) -> None:
    first = await credited(billing, 100)
    [line] = await billing.fetch("SELECT invoice_id, charge_id FROM invoice_line")
    invoice_id, charge_id = to_wire("invoice", line["invoice_id"]), to_wire("charge", line["charge_id"])
    note = await Invoicing(billing).credit(invoice_id, (charge_id, 40), purpose=note_pb.CREDIT_PURPOSE_CREDIT)
    second = to_wire("credit", from_wire("creditnote", note.id))
    paid = await billing.pay(30)
    made = await refund(billing, 150)
    told = [(each.payment_id or each.credit_id, dollars(each.amount), each.tender) for each in made.parts]
    assert told == [(paid.id, 30, CASH), (first, 100, CHECK), (second, 20, CHECK)]
    refused = await refusal(refund(billing, 20.01))
    assert (refused.reason, refused.metadata) == ("REFUND_EXCEEDS_BALANCE", {"refundable_minor": "2000"})
    assert await left(billing) == [(0, 100), (20, 20)]


async def test_no_more_of_credit_is_paid_out_than_is_left_of_it(billing: Billing) -> None:
    credit_id = await credited(billing, 100)
    await refund(billing, 60, part(credit_id, 60))
    refused = await refusal(refund(billing, 40.01, part(credit_id, 40.01)))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "REFUND_EXCEEDS_BALANCE")
    assert refused.metadata == {"refundable_minor": "4000"}
    assert await billing.count("refund") == 1
    await refund(billing, 40, part(credit_id, 40))


async def test_credit_that_is_not_the_patients_at_the_site_is_not_paid_out(billing: Billing) -> None:
    credit_id, other = await credited(billing, 100), await billing.register_patient()
    elsewhere = await billing.register_site()
    for changes in ({"patient_id": other}, {"site_id": elsewhere}):
        refused = await refusal(refund(billing, 10, part(credit_id, 10), **changes))
        assert (refused.reason, refused.faults) == (
            "REFUND_MISDIRECTED",
            [("parts[0].credit_id", "REFUND_MISDIRECTED")],
        )
    twice = await refusal(refund(billing, 20, part(credit_id, 10), part(credit_id, 10)))
    assert (twice.reason, twice.faults) == ("REFUND_MISDIRECTED", [("parts[1].credit_id", "REFUND_MISDIRECTED")])
    at_other = await refusal(refund(billing, 10, part(credit_id, 10), token=billing.at(elsewhere), site_id=elsewhere))
    assert (at_other.code, at_other.reason) == (StatusCode.NOT_FOUND, "CREDIT_NOT_FOUND")
    unknown = await refusal(refund(billing, 10, part(to_wire("credit", new_id()), 10)))
    assert (unknown.code, unknown.reason) == (StatusCode.NOT_FOUND, "CREDIT_NOT_FOUND")
    paid = await billing.pay(10)
    as_credit = part(to_wire("credit", from_wire("payment", paid.id)), 10)
    assert (await refusal(refund(billing, 10, as_credit))).reason == "CREDIT_NOT_FOUND"
    assert await billing.count("refund") == 0
    assert await left(billing) == [(100, 0)]


async def test_another_chains_credit_is_unknown(billing: Billing, service: Running) -> None:
    credit_id, stranger = await credited(billing, 100), await open_chain(service)
    assert (await refusal(refund(stranger, 10, part(credit_id, 10)))).reason == "CREDIT_NOT_FOUND"


async def test_credit_goes_out_in_cash_by_cheque_or_to_a_card_that_paid(billing: Billing) -> None:
    credit_id, cash = await credited(billing, 100), await billing.pay(50)
    terminal = await billing.pay(50, tender=payment_pb.TENDER_EXTERNAL_CARD, terminal_reference="T1-42")
    for fields in (
        {"tender": CARD},
        {"tender": payment_pb.TENDER_EXTERNAL_CARD},
        {"payment_id": cash.id},
        {"payment_id": cash.id, "tender": CASH},
        {"payment_id": terminal.id, "tender": CARD},
    ):
        refused = await refusal(refund(billing, 10, part(credit_id, 10, **fields)))
        assert (refused.reason, refused.faults) == (
            "REFUND_TENDER_NOT_ALLOWED",
            [("parts[0].tender", "REFUND_TENDER_NOT_ALLOWED")],
        )
    neither = pb.CreateRefundRequest.Part(amount=usd(10))
    assert (await refusal(refund(billing, 10, neither))).reason == "BAD_REQUEST"
    assert await billing.count("refund") == 0


@pytest.mark.parametrize("invoice_first", [True, False])
async def test_an_invoice_and_a_refund_that_take_the_same_credit_take_it_once(
    billing: Billing, *, invoice_first: bool
) -> None:
    credit_id = await credited(billing, 100)
    course = await billing.book()
    await billing.complete(course, 0)
    if invoice_first:
        course_id = from_wire("course", course.id)
        async with billing.held_open(request_of(billing, 1), lambda store: invoices.issue_invoice(store, course_id)):
            paying_out = asyncio.create_task(refund(billing, 100, part(credit_id, 100)))
            await billing.someone_waits()
        assert (await refusal(paying_out)).reason == "REFUND_EXCEEDS_BALANCE"
        assert await left(billing) == [(0, 0)]
        return
    request = request_of(billing, 100)
    site_id, patient_id = from_wire("site", billing.site_id), from_wire("patient", billing.patient_id)
    command = refunds.CreateRefund(site_id, patient_id, Money(10000), (), "moved away")

    async def work(store: Any) -> None:
        await store.lock([patient_id])
        await refunds.create_refund(store, command)

    async with billing.held_open(request, work):
        billed = asyncio.create_task(billing.issue(course))
        await billing.someone_waits()
    assert dollars((await billed).balance) == 300
    assert await left(billing) == [(0, 100)]


async def test_credit_of_a_merged_patient_is_paid_out_to_the_survivor(billing: Billing) -> None:
    old = await billing.register_patient()
    credit_id = await credited(billing, 100, patient_id=old)
    await billing.svc.deliver(PatientMerged(patient_id=billing.patient_id, merged_patient_id=old), version=1)
    made = await refund(billing, 60, part(credit_id, 60))
    assert made.patient_id == billing.patient_id
    assert [each.credit_id for each in (await refund(billing, 40)).parts] == [credit_id]
    assert await left(billing) == [(0, 100)]


async def test_credit_paid_out_in_cash_leaves_the_drawer(billing: Billing) -> None:
    await refund(billing, 60, part(await credited(billing, 100), 60, tender=CASH))
    assert (await billing.trial_balance())["CASH"] == (300, 60)
    rows = await billing.fetch("SELECT business_date FROM refund")
    assert [row["business_date"] for row in rows] == [TODAY]


async def test_the_database_refuses_a_part_that_comes_from_nowhere(billing: Billing) -> None:
    await refund(billing, 60, part(await credited(billing, 100), 60))
    for change in ("credit_id = NULL", "credit_minor = 1", "tender = 4"):
        with pytest.raises(asyncpg.CheckViolationError):
            await billing.execute(f"UPDATE refund_part SET {change}")


# Credit that pays an invoice.


async def owed(billing: Billing, **changes: Any) -> str:
    """An invoice of 300 that nothing paid; issued before there is credit, which would pay it."""
    course = await billing.book(**changes)
    await billing.complete(course, 0)
    return (await billing.issue(course)).id


async def use(billing: Billing, invoice_id: str, amount: float, token: str | None = None) -> Any:
    request = payment_pb.UseCreditRequest(request_id=str(uuid4()), invoice_id=invoice_id, amount=usd(amount))
    return await billing.svc.call(billing.payments.UseCredit, request, token)


async def due(billing: Billing, invoice_id: str) -> float | None:
    return dollars((await Invoicing(billing).invoice(invoice_id)).balance)


async def test_an_invoice_is_paid_from_all_credit_the_oldest_first(billing: Billing) -> None:
    invoice_id, one, other = await owed(billing), await paid_for(billing), await paid_for(billing)
    note = await take_back(billing, one, 100)
    billing.svc.clock.now += HOUR
    ten = payment_pb.Allocation(invoice_id=invoice_id, amount=usd(10))
    paid = await billing.pay(50, allocations=[ten], excess_to_credit=True)
    billing.svc.clock.now += HOUR
    later = await take_back(billing, other, 60)
    before = await billing.trial_balance()
    for amount, credit, used in ((120, 20, (note, 100, 0)), (45, 0, (later, 25, 35))):
        answer = await use(billing, invoice_id, amount)
        assert [(each.id, dollars(each.credit)) for each in answer.payments] == [(paid.id, credit)]
        assert [(each.credit_id, dollars(each.used), dollars(each.left)) for each in answer.credits] == [used]
    assert await due(billing, invoice_id) == 125
    after = await billing.trial_balance()
    assert (before["PATIENT_CREDIT"], after["PATIENT_CREDIT"]) == ((0, 200), (165, 200))
    assert [dollars(each.credit) for each in (await billing.account()).balances] == [35]


async def test_what_credit_pays_last_is_told_once(billing: Billing) -> None:
    invoice_id = await owed(billing)
    await credited(billing, 300)
    await use(billing, invoice_id, 299.99)
    paid = [each.invoice_id for name, each in await billing.facts() if name == "invoice.paid"]
    assert invoice_id not in paid
    await use(billing, invoice_id, 0.01)
    paid = [each.invoice_id for name, each in await billing.facts() if name == "invoice.paid"]
    assert (paid.count(invoice_id), await due(billing, invoice_id)) == (1, 0)
    refused = await refusal(use(billing, invoice_id, 0.01))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CREDIT_TOO_LOW")


async def test_no_more_given_credit_is_used_than_the_invoice_has_to_pay(billing: Billing) -> None:
    invoice_id = await owed(billing)
    await billing.pay(250, invoice_id=invoice_id)
    await credited(billing, 100)
    assert (await refusal(use(billing, invoice_id, 50.01))).reason == "ALLOCATION_EXCEEDS_INVOICE"
    assert await left(billing) == [(100, 0)]
    await use(billing, invoice_id, 50)
    assert (await due(billing, invoice_id), await left(billing)) == (0, [(50, 0)])


async def test_credit_of_another_site_pays_nothing_here(billing: Billing) -> None:
    invoice_id, elsewhere = await owed(billing), await billing.register_site()
    await billing.price(site_id=elsewhere)
    await credited(billing, 100, site_id=elsewhere)
    refused = await refusal(use(billing, invoice_id, 1))
    assert (refused.reason, refused.metadata) == ("CREDIT_TOO_LOW", {"credit_minor": "0"})


async def test_credit_of_a_stopped_package_pays_an_invoice(billing: Billing) -> None:
    invoice_id, chain = await owed(billing), await Packages(billing).open()
    sold = await chain.sell(await chain.offer())
    await billing.pay(3500, invoice_id=(await Invoicing(billing).issue(sold.charge_id)).id)
    await chain.change("StopPackage", await chain.sale(sold.id), reason="no candidate")
    [used] = (await use(billing, invoice_id, 300)).credits
    [document] = [each for each in (await billing.account()).documents if each.kind == STOPPED]
    assert (used.credit_id, dollars(used.left), dollars(document.open)) == (document.credit_id, 3200, 3200)
    assert await due(billing, invoice_id) == 0


async def test_credit_that_paid_an_invoice_is_credit_again_when_that_is_void(billing: Billing) -> None:
    invoice_id = await owed(billing)
    await credited(billing, 100)
    await use(billing, invoice_id, 70)
    await Invoicing(billing).void(invoice_id, note_pb.CREDIT_PURPOSE_CREDIT)
    assert await left(billing) == [(100, 0)]


async def test_credit_under_any_id_of_a_patient_is_used(billing: Billing) -> None:
    alias = await billing.register_patient()
    await credited(billing, 100, patient_id=alias)
    invoice_id = await owed(billing)
    await billing.svc.deliver(PatientMerged(patient_id=billing.patient_id, merged_patient_id=alias), version=1)
    await use(billing, invoice_id, 100)
    assert (await due(billing, invoice_id), await left(billing)) == (200, [(0, 0)])


async def test_credit_that_is_paid_out_meanwhile_pays_no_invoice(billing: Billing) -> None:
    invoice_id, credit_id = await owed(billing), await credited(billing, 100)
    asked = AskedPart(None, Money(8_000), None, credit_id=from_wire("credit", credit_id))
    ids = from_wire("site", billing.site_id), from_wire("patient", billing.patient_id)
    command = refunds.CreateRefund(*ids, Money(8_000), (asked,), "moved away")
    request = payment_pb.UseCreditRequest(request_id=str(uuid4()))

    async def pay_out(store: BillingStore) -> None:
        await store.lock([ids[1]])
        await refunds.create_refund(store, command)

    async with billing.held_open(request, pay_out):
        using = asyncio.create_task(refusal(use(billing, invoice_id, 30)))
        await billing.someone_waits()
    refused = await using
    assert (refused.reason, refused.metadata) == ("CREDIT_TOO_LOW", {"credit_minor": "2000"})
    assert await left(billing) == [(20, 80)]


async def test_credit_that_is_used_twice_over_is_used_once(billing: Billing) -> None:
    invoice_id = await owed(billing)
    await credited(billing, 100)
    request = payment_pb.UseCreditRequest(request_id=str(uuid4()), invoice_id=invoice_id, amount=usd(40))
    answers = [await billing.svc.call(billing.payments.UseCredit, request) for _ in range(2)]
    assert answers[0] == answers[1]
    assert (await left(billing), await billing.count("credit_use")) == ([(60, 0)], 1)
