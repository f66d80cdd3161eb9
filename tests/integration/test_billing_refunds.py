"""What becomes of payments: allocated by hand, taken off, reversed, made credit or a fee, released, given back."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode

from atoll.billing.v1 import account_service_pb2 as account_pb
from atoll.billing.v1 import cash_count_service_pb2 as cash_pb
from atoll.billing.v1 import invoice_service_pb2 as invoice_pb
from atoll.billing.v1 import payment_service_pb2 as pb
from atoll.billing.v1 import refund_service_pb2 as refund_pb
from atoll.billing.v1.cash_count_service_pb2_grpc import CashCountServiceStub
from atoll.billing.v1.credit_note_service_pb2 import CREDIT_PURPOSE_CREDIT
from atoll.billing.v1.refund_service_pb2_grpc import RefundServiceStub
from atoll.patients.v1.events_pb2 import PatientMerged
from atoll.scheduling.v1.events_pb2 import CourseHeld, CourseHoldExpired
from chassis.ids import from_wire, new_id, to_wire
from chassis.money import Money
from chassis.times import to_date
from services.billing.domain.ledger import Tender
from services.billing.use_cases import cash as cash_use_cases
from services.billing.use_cases import payments, refunds
from tests.support.billing import INFUSION, TODAY, Billing, BookedCourse, dollars, open_billing, open_chain, usd
from tests.support.invoicing import Invoicing
from tests.support.service import NOW, Running, refusal

CHECK: dict[str, Any] = {"tender": pb.TENDER_CHECK, "check_number": "101"}
TERMINAL: dict[str, Any] = {"tender": pb.TENDER_EXTERNAL_CARD, "terminal_reference": "T1-42"}


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> AsyncIterator[Billing]:
    """Whatever a test does, the books agree with the documents after it."""
    billing = await open_chain(service)
    await billing.price()
    yield billing
    await billing.books_agree()


async def billed(billing: Billing, *numbers: int, **changes: Any) -> tuple[BookedCourse, invoice_pb.Invoice]:
    """A course whose visits took place (300 and twice 590, or those named), and its invoice."""
    course = await billing.book(**changes)
    await billing.complete(course, *numbers)
    return course, await billing.issue(course)


async def change(billing: Billing, rpc: str, token: str | None = None, **fields: Any) -> Any:
    request = getattr(pb, f"{rpc}Request")(request_id=str(uuid4()), **fields)
    return await billing.svc.call(getattr(billing.payments, rpc), request, token)


async def read(billing: Billing, payment_id: str) -> pb.Payment:
    request = pb.GetPaymentRequest(payment_id=payment_id)
    return (await billing.svc.call(billing.payments.GetPayment, request)).payment  # type: ignore[no-any-return]


async def due(billing: Billing, invoice_id: str) -> float | None:
    request = invoice_pb.GetInvoiceRequest(invoice_id=invoice_id)
    return dollars((await billing.svc.call(billing.invoices.GetInvoice, request)).invoice.balance)


def refund_request(billing: Billing, amount: float, *parts: Any, **changes: Any) -> refund_pb.CreateRefundRequest:
    fields = {
        "request_id": str(uuid4()),
        "site_id": billing.site_id,
        "patient_id": billing.patient_id,
        "amount": usd(amount),
        "parts": parts,
        "reason": "moved away",
    }
    return refund_pb.CreateRefundRequest(**fields | changes)


async def refund(billing: Billing, amount: float, *parts: Any, token: str | None = None, **changes: Any) -> Any:
    request = refund_request(billing, amount, *parts, **changes)
    stub = billing.svc.stub(RefundServiceStub)
    return (await billing.svc.call(stub.CreateRefund, request, token)).refund


def part(payment: pb.Payment, amount: float, **fields: Any) -> refund_pb.CreateRefundRequest.Part:
    return refund_pb.CreateRefundRequest.Part(payment_id=payment.id, amount=usd(amount), **fields)


def parts(payment: pb.Payment) -> tuple[float | None, ...]:
    """What is applied, left, credit and gone."""
    applied = sum(dollars(each.amount) or 0 for each in payment.applications)
    return applied, dollars(payment.unapplied), dollars(payment.credit), dollars(payment.gone)


# Tenders.


async def test_a_cheque_stands_on_its_account_until_it_is_handed_in(billing: Billing) -> None:
    payment = await billing.pay(100, **CHECK, benefit_account=pb.BENEFIT_ACCOUNT_HSA)
    assert (payment.check_number, payment.benefit_account) == ("101", pb.BENEFIT_ACCOUNT_HSA)
    assert await read(billing, payment.id) == payment
    assert await billing.trial_balance() == {"CHECKS": (100, 0), "CUSTOMER_DEPOSITS": (0, 100)}


@pytest.mark.parametrize(
    "changes",
    [
        {"tender": pb.TENDER_CHECK},
        {"tender": pb.TENDER_CASH, "check_number": "101"},
        {"tender": pb.TENDER_CARD},
        {"benefit_account": 9},
    ],
)
async def test_a_tender_has_what_belongs_to_it_and_no_more(billing: Billing, changes: dict[str, Any]) -> None:
    assert (await refusal(billing.pay(100, **changes))).reason == "BAD_REQUEST"
    assert await billing.count("payment") == 0


@pytest.mark.parametrize("tender", [CHECK, TERMINAL])
async def test_a_reference_is_recorded_once_a_day(billing: Billing, tender: dict[str, Any]) -> None:
    first = await billing.pay(100, **tender)
    refused = await refusal(billing.pay(100, **tender))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PAYMENT_REPEATED")
    assert refused.metadata == {"payment_id": first.id}
    assert await billing.count("payment") == 1
    billing.svc.clock.now = datetime(2027, 3, 2, 6, 59, tzinfo=UTC)  # 23:59 in Denver: the same day.
    assert (await refusal(billing.pay(100, **tender))).reason == "PAYMENT_REPEATED"
    billing.svc.clock.now = datetime(2027, 3, 2, 7, tzinfo=UTC)
    assert (await billing.pay(100, **tender)).business_date == to_date(TODAY + timedelta(days=1))


async def test_a_cheques_number_is_its_patients_and_a_terminals_reference_the_sites(billing: Billing) -> None:
    await billing.pay(100, **CHECK)
    await billing.pay(100, **TERMINAL)
    other = await billing.register_patient()
    await billing.pay(100, patient_id=other, **CHECK)
    assert (await refusal(billing.pay(100, patient_id=other, **TERMINAL))).reason == "PAYMENT_REPEATED"
    await billing.pay(100, patient_id=other, site_id=await billing.register_site(), **TERMINAL)


async def test_a_reference_that_was_reversed_may_be_recorded_again(billing: Billing) -> None:
    payment = await billing.pay(1000, **CHECK)
    await change(billing, "ReversePayment", payment_id=payment.id, reason="a nought too many")
    assert dollars((await billing.pay(100, **CHECK)).amount) == 100


async def test_two_who_record_one_reference_at_once_leave_one_payment(billing: Billing) -> None:
    others = [await billing.register_patient() for _ in range(2)]
    requests = [billing.payment_request(100, patient_id=other, **TERMINAL) for other in others]
    commands = [
        payments.RecordPayment(
            from_wire("site", each.site_id), from_wire("patient", each.patient_id), None, None,
            Money(10000), Tender.EXTERNAL_CARD, "T1-42",
        )
        for each in requests
    ]  # fmt: skip
    async with billing.held_open(requests[0], lambda store: payments.record_payment(store, commands[0])):
        second = asyncio.create_task(billing.svc.call(billing.payments.RecordPayment, requests[1]))
        await billing.someone_waits()
    assert (await refusal(second)).reason == "PAYMENT_REPEATED"


# Which invoices a payment pays.


async def test_a_caller_says_which_invoices_a_payment_pays(billing: Billing) -> None:
    _, older = await billed(billing, 0)
    _, newer = await billed(billing, 0)
    allocations = [
        pb.Allocation(invoice_id=newer.id, amount=usd(300)),
        pb.Allocation(invoice_id=older.id, amount=usd(50)),
    ]
    payment = await billing.pay(400, allocations=allocations)
    assert [(each.invoice_id, dollars(each.amount)) for each in payment.applications] == [
        (newer.id, 300),
        (older.id, 50),
    ]
    assert (dollars(payment.unapplied), await due(billing, older.id), await due(billing, newer.id)) == (50, 250, 0)


@pytest.mark.parametrize(
    ("amounts", "reason"),
    [
        ((301,), "ALLOCATION_EXCEEDS_INVOICE"),
        ((200, 101), "ALLOCATION_EXCEEDS_INVOICE"),
        ((300, 200.01), "ALLOCATION_EXCEEDS_PAYMENT"),
        ((0,), "AMOUNT_OUT_OF_RANGE"),
        ((-1,), "AMOUNT_OUT_OF_RANGE"),
    ],
)
async def test_an_allocation_is_within_its_payment_and_its_invoice(
    billing: Billing, amounts: tuple[float, ...], reason: str
) -> None:
    _, invoice = await billed(billing, 0)
    allocations = [pb.Allocation(invoice_id=invoice.id, amount=usd(each)) for each in amounts]
    refused = await refusal(billing.pay(500, allocations=allocations))
    assert refused.reason == reason
    assert (await billing.count("payment"), await due(billing, invoice.id)) == (0, 300)


async def test_nobody_pays_anothers_invoice_by_an_allocation(billing: Billing) -> None:
    _, invoice = await billed(billing, 0)
    other = await billing.register_patient()
    allocations = [pb.Allocation(invoice_id=invoice.id, amount=usd(10))]
    refused = await refusal(billing.pay(10, patient_id=other, allocations=allocations))
    assert (refused.reason, refused.faults) == (
        "ALLOCATION_EXCEEDS_INVOICE",
        [("allocations[0]", "ALLOCATION_EXCEEDS_INVOICE")],
    )


async def test_a_payment_is_taken_off_an_invoice_and_applied_to_another(billing: Billing) -> None:
    _, first = await billed(billing, 0)
    payment = await billing.pay(200)
    _, second = await billed(billing, 0)
    taken_off = (
        await change(billing, "UnapplyPayment", payment_id=payment.id, invoice_id=first.id, reason="meant the other")
    ).payment
    assert (list(taken_off.applications), dollars(taken_off.unapplied)) == ([], 200)
    assert await due(billing, first.id) == 300
    allocations = [pb.Allocation(invoice_id=second.id, amount=usd(150))]
    applied = (await change(billing, "ApplyPayment", payment_id=payment.id, allocations=allocations)).payment
    assert parts(applied) == (150, 50, 0, 0)
    applied = (await change(billing, "ApplyPayment", payment_id=payment.id)).payment
    assert (parts(applied), await due(billing, first.id), await due(billing, second.id)) == ((200, 0, 0, 0), 250, 150)
    refused = await refusal(change(billing, "ApplyPayment", payment_id=payment.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "NOTHING_UNAPPLIED")


async def test_what_pays_nothing_of_an_invoice_is_not_taken_off_it(billing: Billing) -> None:
    payment = await billing.pay(200)
    fields = {"payment_id": payment.id, "invoice_id": to_wire("invoice", new_id()), "reason": "x"}
    assert (await refusal(change(billing, "UnapplyPayment", **fields))).reason == "NOTHING_APPLIED"
    fields["payment_id"] = to_wire("payment", new_id())
    assert (await refusal(change(billing, "UnapplyPayment", **fields))).reason == "PAYMENT_NOT_FOUND"


# Reversals.


async def test_a_reversed_payment_was_never_taken(billing: Billing) -> None:
    course, invoice = await billed(billing, 0)
    payment = await billing.pay(400, course_id=course.id, excess_to_credit=True)
    assert parts(payment) == (300, 0, 100, 0)
    reversed_ = (await change(billing, "ReversePayment", payment_id=payment.id, reason="wrong patient")).payment
    assert (parts(reversed_), reversed_.HasField("reverse_time")) == ((0, 0, 0, 400), True)
    assert await due(billing, invoice.id) == 300
    balance = await billing.trial_balance()
    assert {name: balance[name] for name in ("CASH", "CUSTOMER_DEPOSITS", "PATIENT_CREDIT")} == {
        "CASH": (400, 400),
        "CUSTOMER_DEPOSITS": (800, 800),
        "PATIENT_CREDIT": (100, 100),
    }
    paid, reopened = [await billing.last_fact(f"invoice.{name}") for name in ("paid", "reopened")]
    assert (reopened.invoice_id, reopened.display_number) == (invoice.id, invoice.display_number)
    assert (dollars(reopened.balance), reopened.due_date) == (300, invoice.due_date)
    assert [each.meta.aggregate_version for each in (paid, reopened)] == [2, 3]
    fact = await billing.last_fact("payment.reversed")
    assert (fact.payment_id, dollars(fact.amount), fact.deposit_uncovered) == (payment.id, 400, True)
    assert "wrong patient" not in str(await billing.facts())
    account = await billing.course_account(course)
    assert (account.deposit_covered, dollars(account.paid), dollars(account.due)) == (False, 0, 300)
    refused = await refusal(change(billing, "ReversePayment", payment_id=payment.id, reason="again"))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PAYMENT_REVERSED")
    refused = await refusal(refund(billing, 10, part(payment, 10)))
    assert refused.reason == "PAYMENT_REVERSED"


async def test_what_was_partly_given_back_is_not_reversed(billing: Billing) -> None:
    payment = await billing.pay(100)
    await refund(billing, 10)
    refused = await refusal(change(billing, "ReversePayment", payment_id=payment.id, reason="x"))
    assert (refused.reason, refused.metadata) == ("PAYMENT_PARTLY_GONE", {"gone_minor": "1000"})
    assert await billing.count("reversal") == 0


async def test_what_a_credit_note_made_credit_of_its_own_is_not_reversed(billing: Billing) -> None:
    _, invoice = await billed(billing, 0)
    payment = await billing.pay(300)
    await Invoicing(billing).void(invoice.id, CREDIT_PURPOSE_CREDIT)
    refused = await refusal(change(billing, "ReversePayment", payment_id=payment.id, reason="x"))
    assert (refused.reason, refused.metadata) == ("PAYMENT_PARTLY_GONE", {"gone_minor": "30000"})
    assert await billing.count("reversal") == 0


async def test_a_reversal_and_a_refund_at_once_give_money_back_once(billing: Billing) -> None:
    payment = await billing.pay(100)
    request = refund_request(billing, 100)
    command = refunds.CreateRefund(
        from_wire("site", billing.site_id), from_wire("patient", billing.patient_id), Money(10000), (), "x"
    )

    async def work(store: Any) -> None:
        await store.lock([command.patient_id])
        await refunds.create_refund(store, command)

    async with billing.held_open(request, work):
        reversal = asyncio.create_task(change(billing, "ReversePayment", payment_id=payment.id, reason="x"))
        await billing.someone_waits()
    assert (await refusal(reversal)).reason == "PAYMENT_PARTLY_GONE"


# Credit.


async def test_credit_is_used_for_any_invoice_of_the_site_when_asked(billing: Billing) -> None:
    payment = await billing.pay(200)
    moved = (await change(billing, "MoveToCredit", payment_id=payment.id, amount=usd(150))).payment
    assert parts(moved) == (0, 50, 150, 0)
    _, invoice = await billed(billing, 0)
    assert await due(billing, invoice.id) == 250  # Credit waits to be asked for.
    [used] = (await change(billing, "UseCredit", invoice_id=invoice.id, amount=usd(120))).payments
    assert (parts(used), await due(billing, invoice.id)) == ((170, 0, 30, 0), 130)
    refused = await refusal(change(billing, "UseCredit", invoice_id=invoice.id, amount=usd(30.01)))
    assert (refused.reason, refused.metadata) == ("CREDIT_TOO_LOW", {"credit_minor": "3000"})
    refused = await refusal(change(billing, "MoveToCredit", payment_id=payment.id))
    assert refused.reason == "NOTHING_UNAPPLIED"


async def test_no_more_credit_is_used_than_an_invoice_has_left_to_pay(billing: Billing) -> None:
    _, invoice = await billed(billing, 0)
    await billing.pay(290, invoice_id=invoice.id)
    other = await billing.pay(100, allocations=[pb.Allocation(invoice_id=invoice.id, amount=usd(5))])
    await change(billing, "MoveToCredit", payment_id=other.id)
    refused = await refusal(change(billing, "UseCredit", invoice_id=invoice.id, amount=usd(6)))
    assert refused.reason == "ALLOCATION_EXCEEDS_INVOICE"
    await change(billing, "UseCredit", invoice_id=invoice.id, amount=usd(5))
    assert await due(billing, invoice.id) == 0


@pytest.mark.parametrize("amount", [0, -5, 2_000_000])
async def test_what_becomes_credit_is_above_zero_and_not_huge(billing: Billing, amount: float) -> None:
    payment = await billing.pay(200)
    refused = await refusal(change(billing, "MoveToCredit", payment_id=payment.id, amount=usd(amount)))
    assert refused.reason == "AMOUNT_OUT_OF_RANGE"


# Deposits.


async def test_a_deposit_is_forfeited_up_to_the_fee(billing: Billing) -> None:
    course = await billing.book()
    first, second = [await billing.pay(amount, course_id=course.id) for amount in (60, 90)]
    answer = await change(billing, "ForfeitDeposit", course_id=course.id, amount=usd(100), reason="no show")
    assert (dollars(answer.forfeited), [parts(each) for each in answer.payments]) == (
        100,
        [(0, 0, 0, 60), (0, 50, 0, 40)],
    )
    assert [each.id for each in answer.payments] == [first.id, second.id]
    assert (await billing.trial_balance())["FEE_REVENUE"] == (0, 100)
    facts = [event for name, event in await billing.facts() if name == "deposit.forfeited"]
    assert [(each.payment_id, dollars(each.amount)) for each in facts] == [(first.id, 60), (second.id, 40)]
    assert (await billing.course_account(course)).deposit_covered is False
    answer = await change(billing, "ForfeitDeposit", course_id=course.id, amount=usd(100), reason="no show")
    assert dollars(answer.forfeited) == 50
    fields = {"course_id": course.id, "amount": usd(1), "reason": "no show"}
    assert (await refusal(change(billing, "ForfeitDeposit", **fields))).reason == "DEPOSIT_EMPTY"


async def held(billing: Billing) -> BookedCourse:
    event = billing.course_event()
    fields = {name: getattr(event, name) for name in ("course_id", "site_id", "patient_id", "protocol_version_id")}
    expires = Timestamp()
    expires.FromDatetime(NOW + timedelta(hours=1))
    await billing.svc.deliver(CourseHeld(**fields, route_code="iv", visits=event.visits, expire_time=expires))
    return BookedCourse(event.course_id, event.site_id, event.patient_id, event)


def expired(course: BookedCourse) -> CourseHoldExpired:
    ids: dict[str, Any] = {"course_id": course.id, "site_id": course.site_id, "patient_id": course.patient_id}
    return CourseHoldExpired(visit_ids=[visit.visit_id for visit in course.visits], **ids)


async def test_the_deposit_of_an_expired_hold_is_the_patients_at_the_site(billing: Billing) -> None:
    course = await held(billing)
    payment = await billing.pay(150, course_id=course.id)
    _, invoice = await billed(billing, 0)
    assert await due(billing, invoice.id) == 300  # Kept for its course.
    await billing.svc.deliver(expired(course))
    released = await billing.last_fact("deposit.released")
    assert (released.payment_id, released.course_id, dollars(released.amount)) == (payment.id, course.id, 150)
    assert (parts(await read(billing, payment.id)), await due(billing, invoice.id)) == ((150, 0, 0, 0), 150)
    assert (await read(billing, payment.id)).course_id == course.id


async def test_a_deposit_that_comes_after_its_hold_expired_is_the_patients_at_the_site(billing: Billing) -> None:
    course = await held(billing)
    await billing.svc.deliver(expired(course))
    payment = await billing.pay(150, course_id=course.id)
    released = await billing.last_fact("deposit.released")
    assert (released.payment_id, (await billing.last_fact("payment.received")).deposit_covered) == (payment.id, False)
    assert (await billing.pay(1, course_id=course.id)).kind == pb.PAYMENT_KIND_DEPOSIT  # Nothing is kept for it.
    _, invoice = await billed(billing, 0)
    assert await due(billing, invoice.id) == 149


async def test_a_deposit_stays_with_a_course_of_which_something_is_to_come(billing: Billing) -> None:
    course = await held(billing)
    await billing.pay(150, course_id=course.id)
    event = expired(course)
    del event.visit_ids[0]
    await billing.svc.deliver(event)
    assert "deposit.released" not in await billing.fact_names()
    assert (await billing.course_account(course)).deposit_covered is True


async def drop(billing: Billing, course: BookedCourse, n: int, how: str) -> None:
    await (billing.miss(course, n) if how == "missed" else billing.cancel(course, n))


@pytest.mark.parametrize("how", ["missed", "cancelled"])
async def test_the_deposit_of_a_course_whose_last_visit_is_dropped_is_the_patients_at_the_site(
    billing: Billing, how: str
) -> None:
    course = await billing.book()
    payment = await billing.pay(150, course_id=course.id)
    _, invoice = await billed(billing, 0)
    for n in (0, 2):
        await drop(billing, course, n, how)
    assert "deposit.released" not in await billing.fact_names()
    for _ in range(2):
        await drop(billing, course, 1, how)
    released = [event for name, event in await billing.facts() if name == "deposit.released"]
    assert [(each.payment_id, each.course_id, dollars(each.amount)) for each in released] == [
        (payment.id, course.id, 150)
    ]
    assert (parts(await read(billing, payment.id)), await due(billing, invoice.id)) == ((150, 0, 0, 0), 150)
    assert (await billing.course_account(course)).deposit_covered is False


async def test_a_deposit_stays_with_a_course_of_which_a_visit_took_place(billing: Billing) -> None:
    course = await billing.book()
    await billing.pay(500, course_id=course.id)
    await billing.complete(course, 0)
    for n in (1, 2):
        await billing.cancel(course, n)
    assert "deposit.released" not in await billing.fact_names()
    assert dollars((await billing.issue(course)).balance) == 0


async def test_a_deposit_of_a_course_that_is_cancelled_is_forfeited_by_hand_all_the_same(billing: Billing) -> None:
    """Also what came after its last visit was cancelled."""
    course = await billing.book([INFUSION])
    before = await billing.pay(60, course_id=course.id)
    await billing.cancel(course, 0)
    after = await billing.pay(90, course_id=course.id)
    elsewhere = await billing.pay(500)
    answer = await change(billing, "ForfeitDeposit", course_id=course.id, amount=usd(1_000), reason="too late")
    assert (dollars(answer.forfeited), [each.id for each in answer.payments]) == (150, [before.id, after.id])
    assert parts(await read(billing, elsewhere.id)) == (0, 500, 0, 0)


async def test_what_was_paid_for_a_hold_that_ended_is_not_forfeited(billing: Billing) -> None:
    course = await held(billing)
    await billing.pay(150, course_id=course.id)
    await billing.svc.deliver(expired(course))
    fields = {"course_id": course.id, "amount": usd(75), "reason": "no show"}
    assert (await refusal(change(billing, "ForfeitDeposit", **fields))).reason == "DEPOSIT_EMPTY"


# Refunds.


async def test_a_refund_takes_the_newest_payment_first_and_each_goes_back_as_it_was_paid(billing: Billing) -> None:
    cash = await billing.pay(100)
    billing.svc.clock.now += timedelta(minutes=1)
    cheque = await billing.pay(50, **CHECK)
    refunded = await refund(billing, 70)
    told = [(each.payment_id, dollars(each.amount), each.tender, each.state) for each in refunded.parts]
    succeeded = refund_pb.REFUND_STATE_SUCCEEDED
    assert told == [(cheque.id, 50, pb.TENDER_CHECK, succeeded), (cash.id, 20, pb.TENDER_CASH, succeeded)]
    balance = await billing.trial_balance()
    assert (balance["CASH"], balance["BANK"], balance["CUSTOMER_DEPOSITS"]) == ((100, 20), (0, 50), (70, 150))
    assert parts(await read(billing, cash.id)) == (0, 80, 0, 20)
    stub = billing.svc.stub(RefundServiceStub)
    got = await billing.svc.call(stub.GetRefund, refund_pb.GetRefundRequest(refund_id=refunded.id))
    assert got.refund == refunded
    for about in ({"patient_id": billing.patient_id}, {"site_id": billing.site_id, "date": to_date(TODAY)}):
        listed = await billing.svc.call(stub.ListRefunds, refund_pb.ListRefundsRequest(**about))
        assert list(listed.refunds) == [refunded]
    assert [dollars(event.amount) for name, event in await billing.facts() if name == "refund.succeeded"] == [50, 20]


async def test_a_refund_is_sent_again_and_made_once(billing: Billing) -> None:
    await billing.pay(100)
    request, stub = refund_request(billing, 60), billing.svc.stub(RefundServiceStub)
    answers = [await billing.svc.call(stub.CreateRefund, request) for _ in range(2)]
    assert answers[0] == answers[1]
    assert await billing.count("refund") == 1


async def test_a_refund_pages_and_tells_one_site_from_another(billing: Billing) -> None:
    await billing.pay(100)
    made = [await refund(billing, 10) for _ in range(3)]
    stub, request = billing.svc.stub(RefundServiceStub), refund_pb.ListRefundsRequest(patient_id=billing.patient_id)
    request.page_size = 2
    first = await billing.svc.call(stub.ListRefunds, request)
    request.page_token = first.next_page_token
    second = await billing.svc.call(stub.ListRefunds, request)
    assert [each.id for each in (*first.refunds, *second.refunds)] == [each.id for each in made]
    elsewhere = billing.at(await billing.register_site())
    get = refund_pb.GetRefundRequest(refund_id=made[0].id)
    assert (await refusal(billing.svc.call(stub.GetRefund, get, elsewhere))).reason == "REFUND_NOT_FOUND"
    assert (await refusal(refund(billing, 10, token=elsewhere))).reason == "ACCESS_DENIED"


async def test_credit_is_given_back_after_what_is_left(billing: Billing) -> None:
    payment = await billing.pay(100)
    await change(billing, "MoveToCredit", payment_id=payment.id, amount=usd(60))
    await refund(billing, 70)
    assert parts(await read(billing, payment.id)) == (0, 0, 30, 70)
    assert (await billing.trial_balance())["PATIENT_CREDIT"] == (30, 60)


@pytest.mark.parametrize("amount", [100.01, 300])
async def test_no_more_is_given_back_than_pays_nothing(billing: Billing, amount: float) -> None:
    await billed(billing, 0)
    payment = await billing.pay(400)
    for asked in ((), (part(payment, amount),)):
        refused = await refusal(refund(billing, amount, *asked))
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "REFUND_EXCEEDS_BALANCE")
        assert refused.metadata == {"refundable_minor": "10000"}
    assert await billing.count("refund") == 0


@pytest.mark.parametrize("amount", [0, -1, 1_000_000.01])
async def test_a_refund_is_above_zero_and_not_huge(billing: Billing, amount: float) -> None:
    await billing.pay(100)
    assert (await refusal(refund(billing, amount))).reason == "AMOUNT_OUT_OF_RANGE"


async def test_a_refunds_parts_are_its_sum_and_the_patients_own(billing: Billing) -> None:
    payment, other = await billing.pay(100), await billing.register_patient()
    theirs = await billing.pay(100, patient_id=other)
    assert (await refusal(refund(billing, 30, part(payment, 20)))).reason == "AMOUNT_OUT_OF_RANGE"
    assert (await refusal(refund(billing, 20, part(theirs, 20)))).reason == "REFUND_MISDIRECTED"
    twice = await refusal(refund(billing, 20, part(payment, 10), part(payment, 10)))
    assert (twice.reason, twice.faults) == ("REFUND_MISDIRECTED", [("parts[1].payment_id", "REFUND_MISDIRECTED")])
    unknown = refund_pb.CreateRefundRequest.Part(payment_id=to_wire("payment", new_id()), amount=usd(20))
    assert (await refusal(refund(billing, 20, unknown))).reason == "PAYMENT_NOT_FOUND"
    assert await billing.count("refund") == 0


async def test_what_a_card_paid_is_not_given_back_in_cash(billing: Billing) -> None:
    payment = await billing.pay(100, **TERMINAL)
    refused = await refusal(refund(billing, 20, part(payment, 20, tender=pb.TENDER_CASH)))
    assert (refused.reason, refused.faults) == (
        "REFUND_TENDER_NOT_ALLOWED",
        [("parts[0].tender", "REFUND_TENDER_NOT_ALLOWED")],
    )
    made = await refund(billing, 20, part(payment, 20, reference="T1-43"))
    assert (made.parts[0].tender, made.parts[0].reference) == (pb.TENDER_EXTERNAL_CARD, "T1-43")
    assert (await billing.trial_balance())["CARD_CLEARING"] == (100, 20)


ROLES = {
    "UnapplyPayment": "ROLE_FRONT_DESK",
    "ReversePayment": "ROLE_FRONT_DESK",
    "ForfeitDeposit": "ROLE_FRONT_DESK",
    "ApplyPayment": "ROLE_NURSE",
    "MoveToCredit": "ROLE_AUDITOR",
    "UseCredit": "ROLE_CLINICIAN",
}


@pytest.mark.parametrize("rpc", list(ROLES))
async def test_changes_of_payments_are_for_some_roles_only(billing: Billing, rpc: str) -> None:
    refused = await refusal(change(billing, rpc, billing.svc.token(ROLES[rpc])))
    assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")


@pytest.mark.parametrize("rpc", ["ReversePayment", "MoveToCredit", "ApplyPayment", "UnapplyPayment"])
async def test_another_sites_and_another_chains_payment_is_unknown(
    billing: Billing, service: Running, rpc: str
) -> None:
    payment = await billing.pay(100)
    fields: dict[str, Any] = {"payment_id": payment.id}
    if rpc in ("ReversePayment", "UnapplyPayment"):
        fields["reason"] = "x"
    if rpc == "UnapplyPayment":
        fields["invoice_id"] = to_wire("invoice", new_id())
    elsewhere = billing.at(await billing.register_site())
    assert (await refusal(change(billing, rpc, elsewhere, **fields))).reason == "PAYMENT_NOT_FOUND"
    stranger = await open_chain(service)
    assert (await refusal(change(stranger, rpc, **fields))).reason == "PAYMENT_NOT_FOUND"


# The account.


async def test_an_account_tells_what_became_of_payments(billing: Billing) -> None:
    course, invoice = await billed(billing, 0)
    kept = await billing.pay(400, course_id=course.id)
    minute = timedelta(minutes=1)
    billing.svc.clock.now += minute
    await change(billing, "MoveToCredit", payment_id=kept.id, amount=usd(40))
    billing.svc.clock.now += minute
    given_back = await refund(billing, 25)
    billing.svc.clock.now += minute
    wrong = await billing.pay(70)
    billing.svc.clock.now += minute
    await change(billing, "ReversePayment", payment_id=wrong.id, reason="wrong patient")
    account = await billing.account()
    kinds = account_pb.DocumentKind
    told = [(kinds.Name(each.kind).removeprefix("DOCUMENT_KIND_"), dollars(each.amount)) for each in account.documents]
    assert told[:5] == [("REVERSAL", 70), ("PAYMENT", 70), ("REFUND", 25), ("CREDIT", 40), ("PAYMENT", 400)]
    assert (account.documents[0].id, account.documents[2].id) == (wrong.id, given_back.parts[0].id)
    [sums] = account.balances
    names = ("charged", "invoiced", "paid", "unapplied", "due", "credit", "balance")
    assert [dollars(getattr(sums, name)) for name in names] == [300, 300, 375, 35, 0, 40, -75]
    [at_site] = account.site_balances
    assert (at_site.site_id, at_site.balance) == (billing.site_id, sums)
    assert [each.amount for each in account.documents if each.id == invoice.id] == [usd(300)]


async def test_a_long_account_is_read_page_by_page(billing: Billing) -> None:
    """Also where documents are of one instant."""
    paid = [await billing.pay(amount) for amount in (1, 2, 3, 4, 5)]
    request = account_pb.GetAccountRequest(patient_id=billing.patient_id, page_size=2)
    found = list[str]()
    for _ in range(3):
        answer = await billing.svc.call(billing.accounts.GetAccount, request)
        found += [each.id for each in answer.account.documents]
        assert [dollars(each.paid) for each in answer.account.balances] == [15]
        request.page_token = answer.next_page_token
    assert (found, request.page_token) == ([each.id for each in reversed(paid)], "")


async def test_an_account_tells_sites_apart(billing: Billing) -> None:
    other = await billing.register_site()
    await billing.pay(10)
    await billing.pay(20, site_id=other)
    found = {each.site_id: dollars(each.balance.paid) for each in (await billing.account()).site_balances}
    assert found == {billing.site_id: 10, other: 20}


# What only the database sees.


async def test_what_is_kept_for_another_course_pays_no_invoice_even_if_asked(billing: Billing) -> None:
    _, invoice = await billed(billing, 0)
    other = await billing.book()
    allocations = [pb.Allocation(invoice_id=invoice.id, amount=usd(10))]
    refused = await refusal(billing.pay(10, course_id=other.id, allocations=allocations))
    assert refused.reason == "ALLOCATION_EXCEEDS_INVOICE"


async def test_the_database_refuses_what_no_rule_let_through(billing: Billing) -> None:
    payment = await billing.pay(100)
    payment_id = from_wire("payment", payment.id)
    site = (await billing.fetch("SELECT site_id FROM payment"))[0]["site_id"]
    for column in ("left_minor", "credit_minor", "gone_minor"):
        with pytest.raises(asyncpg.CheckViolationError):
            await billing.execute(f"UPDATE open_item SET {column} = -1 WHERE id = $1", payment_id)
    again = """
        INSERT INTO reversal (chain_id, payment_id, site_id, patient_id, currency, amount_minor, reason, actor,
            business_date, reversed_at)
        VALUES ($1, $2, $3, $2, 'USD', 1, '', '', '2027-03-01', clock_timestamp())
    """
    await change(billing, "ReversePayment", payment_id=payment.id, reason="x")
    with pytest.raises(asyncpg.UniqueViolationError):
        await billing.execute(again, billing.svc.chain_id, payment_id, site)
    for table in ("reversal", "unapplication", "credit_transfer", "forfeiture", "refund", "payout", "cash_count"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await billing.execute(f"DELETE FROM {table}")


# The drawer.


async def count_cash(billing: Billing, counted: float, day: date = TODAY, token: str | None = None) -> Any:
    fields: dict[str, Any] = {"site_id": billing.site_id, "date": to_date(day), "counted": usd(counted)}
    request = cash_pb.RecordCashCountRequest(request_id=str(uuid4()), note="all there", **fields)
    stub = billing.svc.stub(CashCountServiceStub)
    return (await billing.svc.call(stub.RecordCashCount, request, token)).cash_count


async def test_a_drawer_is_counted_beside_what_should_be_in_it(billing: Billing) -> None:
    await billing.pay(100)
    await billing.pay(30, **CHECK)
    await change(billing, "ReversePayment", payment_id=(await billing.pay(55)).id, reason="x")
    cash = await billing.pay(20)
    await refund(billing, 15, part(cash, 15))
    counted = await count_cash(billing, 104.5)
    assert (dollars(counted.expected), dollars(counted.counted), dollars(counted.over)) == (105, 104.5, -0.5)
    assert (await billing.trial_balance())["CASH_OVER_SHORT"] == (0.5, 0)
    stub = billing.svc.stub(CashCountServiceStub)
    listed = await billing.svc.call(stub.ListCashCounts, cash_pb.ListCashCountsRequest(site_id=billing.site_id))
    assert list(listed.cash_counts) == [counted]


async def test_cash_of_a_counted_day_belongs_to_the_next(billing: Billing) -> None:
    before = await billing.pay(100)
    await count_cash(billing, 100)
    tomorrow = TODAY + timedelta(days=1)
    after, cheque = await billing.pay(40), await billing.pay(40, **CHECK)
    assert (after.business_date, cheque.business_date) == (to_date(tomorrow), to_date(TODAY))
    assert (await refund(billing, 10, part(before, 10))).business_date == to_date(tomorrow)
    assert (await refusal(count_cash(billing, 100))).reason == "CASH_COUNTED"
    refused = await refusal(count_cash(billing, 30, tomorrow))
    assert (refused.reason, refused.faults) == ("CASH_DAY_TO_COME", [("date", "CASH_DAY_TO_COME")])
    billing.svc.clock.now += timedelta(days=1)
    assert dollars((await count_cash(billing, 30, tomorrow)).expected) == 30


async def test_cash_that_is_taken_while_the_drawer_is_counted_belongs_to_the_next_day(billing: Billing) -> None:
    command = cash_use_cases.RecordCashCount(from_wire("site", billing.site_id), TODAY, Money(0), "")
    request = cash_pb.RecordCashCountRequest(request_id=str(uuid4()))
    async with billing.held_open(request, lambda store: cash_use_cases.count_cash(store, command)):
        paying = asyncio.create_task(billing.pay(40))
        await billing.someone_waits()
    assert (await paying).business_date == to_date(TODAY + timedelta(days=1))


async def test_a_day_on_which_more_was_given_back_than_taken_is_counted_below_zero(billing: Billing) -> None:
    before = await billing.pay(100)
    await count_cash(billing, 100)
    billing.svc.clock.now += timedelta(days=1)
    await refund(billing, 60, part(before, 60))
    counted = await count_cash(billing, -60, TODAY + timedelta(days=1))
    assert (dollars(counted.expected), dollars(counted.counted), dollars(counted.over)) == (-60, -60, 0)
    assert "CASH_OVER_SHORT" not in await billing.trial_balance()


@pytest.mark.parametrize("counted", [-1_000_000.01, 1_000_000.01])
async def test_what_is_counted_is_not_huge(billing: Billing, counted: float) -> None:
    assert (await refusal(count_cash(billing, counted))).reason == "AMOUNT_OUT_OF_RANGE"
    assert (await refusal(count_cash(billing, 1, token=billing.svc.token("ROLE_NURSE")))).reason == "ACCESS_DENIED"
    assert await billing.count("cash_count") == 0


# Merged patients.


async def test_what_was_paid_under_another_id_is_given_back_and_used_as_the_survivors(billing: Billing) -> None:
    old = await billing.register_patient()
    paid = await billing.pay(100, patient_id=old)
    await change(billing, "MoveToCredit", payment_id=paid.id, amount=usd(60))
    merged = PatientMerged(patient_id=billing.patient_id, merged_patient_id=old)
    await billing.svc.deliver(merged, version=1)
    _, invoice = await billed(billing, 0)
    assert await due(billing, invoice.id) == 260
    await change(billing, "UseCredit", invoice_id=invoice.id, amount=usd(10))
    given_back = await refund(billing, 50)
    assert (given_back.patient_id, parts(await read(billing, paid.id))) == (billing.patient_id, (50, 0, 0, 50))
    listed = refund_pb.ListRefundsRequest(patient_id=old)
    answer = await billing.svc.call(billing.svc.stub(RefundServiceStub).ListRefunds, listed)
    assert [each.id for each in answer.refunds] == [given_back.id]
