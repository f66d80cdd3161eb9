"""Whatever names an amount: one in another currency, or beyond what anybody means, is refused with where it stands, and
changes nothing."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.type.money_pb2 import Money
from grpc import StatusCode

from atoll.billing.v1 import (
    cash_count_service_pb2,
    charge_service_pb2,
    credit_note_service_pb2,
    estimate_service_pb2,
    invoice_service_pb2,
    ledger_service_pb2,
    payment_service_pb2,
    refund_service_pb2,
)
from atoll.billing.v1.cash_count_service_pb2_grpc import CashCountServiceStub
from atoll.billing.v1.charge_pb2 import CORRECTION_REASON_PRICING_ERROR
from atoll.billing.v1.refund_service_pb2_grpc import RefundServiceStub
from chassis import money
from chassis.times import to_date
from tests.support.billing import TODAY, Billing, open_billing, open_chain, usd
from tests.support.invoicing import Invoicing
from tests.support.service import Running, refusal

STATE = """
    SELECT (SELECT count(*) FROM entry) AS entries, (SELECT count(*) FROM estimate_approval) AS approvals,
        (SELECT count(*) FROM invoice_draft) AS drafts, (SELECT count(*) FROM cash_count) AS counts,
        (SELECT sum(hashtextextended((id, left_minor, credit_minor, gone_minor)::text, 0)) FROM open_item) AS items
"""
Ids = dict[str, str]


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    billing = await open_chain(service)
    await billing.price()
    return billing


async def everything(billing: Billing) -> Ids:
    """A charge and another that is on an invoice of 300, a payment half of which is credit, a deposit."""
    course = await billing.book()
    await billing.complete(course, 0)
    invoice = await billing.issue(course)
    await billing.complete(course, 1)
    [charge] = await Invoicing(billing).uninvoiced()
    payment = await billing.pay(200, course_id=(await billing.book()).id)
    move = payment_service_pb2.MoveToCreditRequest(request_id=str(uuid4()), payment_id=payment.id, amount=usd(100))
    await billing.svc.call(billing.payments.MoveToCredit, move)
    return {
        "course": payment.course_id,
        "invoice": invoice.id,
        "line": invoice.lines[0].charge_id,
        "charge": charge.id,
        "payment": payment.id,
        "site": billing.site_id,
        "patient": billing.patient_id,
    }


def correct(ids: Ids, amount: Money) -> Any:
    fields: dict[str, Any] = {"charge_id": ids["charge"], "reason": CORRECTION_REASON_PRICING_ERROR}
    return charge_service_pb2.CorrectChargeRequest(amount=amount, **fields)


def credit(ids: Ids, amount: Money) -> Any:
    return credit_note_service_pb2.CreateCreditNoteRequest(
        invoice_id=ids["invoice"],
        lines=[credit_note_service_pb2.CreateCreditNoteRequest.Line(charge_id=ids["line"], amount=amount)],
        reason=credit_note_service_pb2.CREDIT_REASON_PRICING_ERROR,
        purpose=credit_note_service_pb2.CREDIT_PURPOSE_OFFSET,
    )


def draft(ids: Ids, amount: Money) -> Any:
    discount = invoice_service_pb2.Discount(amount=amount, reason=invoice_service_pb2.DISCOUNT_REASON_STAFF)
    return invoice_service_pb2.CreateInvoiceDraftRequest(charge_ids=[ids["charge"]], discount=discount)


def allocation(ids: Ids, amount: Money) -> Any:
    return payment_service_pb2.Allocation(invoice_id=ids["invoice"], amount=amount)


def pay(ids: Ids, amount: Money) -> Any:
    return payment_service_pb2.RecordPaymentRequest(
        site_id=ids["site"],
        patient_id=ids["patient"],
        amount=usd(100),
        tender=payment_service_pb2.TENDER_CASH,
        allocations=[allocation(ids, amount)],
    )


def apply(ids: Ids, amount: Money) -> Any:
    return payment_service_pb2.ApplyPaymentRequest(payment_id=ids["payment"], allocations=[allocation(ids, amount)])


def move(ids: Ids, amount: Money) -> Any:
    return payment_service_pb2.MoveToCreditRequest(payment_id=ids["payment"], amount=amount)


def use(ids: Ids, amount: Money) -> Any:
    return payment_service_pb2.UseCreditRequest(invoice_id=ids["invoice"], amount=amount)


def forfeit(ids: Ids, amount: Money) -> Any:
    return payment_service_pb2.ForfeitDepositRequest(course_id=ids["course"], amount=amount, reason="no show")


def refund(ids: Ids, amount: Money) -> Any:
    fields: dict[str, Any] = {"site_id": ids["site"], "patient_id": ids["patient"], "reason": "moved away"}
    return refund_service_pb2.CreateRefundRequest(amount=amount, **fields)


def refund_part(ids: Ids, amount: Money) -> Any:
    request = refund(ids, usd(10))
    request.parts.add(payment_id=ids["payment"], amount=amount)
    return request


def refund_all_in(ids: Ids, amount: Money) -> Any:
    """The whole and its part."""
    request = refund_part(ids, amount)
    request.amount.CopyFrom(amount)
    return request


def adjust(ids: Ids, amount: Money) -> Any:
    bank, cash = ledger_service_pb2.LEDGER_ACCOUNT_BANK, ledger_service_pb2.LEDGER_ACCOUNT_CASH
    posting = ledger_service_pb2.Entry.Posting
    postings = [posting(account=bank, amount=usd(1)), posting(account=cash, amount=amount)]
    return ledger_service_pb2.PostAdjustmentRequest(site_id=ids["site"], reason="slip", postings=postings)


def count(ids: Ids, amount: Money) -> Any:
    return cash_count_service_pb2.RecordCashCountRequest(site_id=ids["site"], date=to_date(TODAY), counted=amount)


def approve(ids: Ids, amount: Money) -> Any:
    return estimate_service_pb2.ApproveBeyondEstimateRequest(course_id=ids["course"], up_to=amount, reason="agreed")


REQUESTS: dict[Callable[[Ids, Money], Any], str] = {
    correct: "amount",
    credit: "lines[0].amount",
    draft: "discount.amount",
    pay: "allocations[0].amount",
    apply: "allocations[0].amount",
    move: "amount",
    use: "amount",
    forfeit: "amount",
    refund: "amount",
    refund_part: "parts[0].amount",
    adjust: "postings[1].amount",
    count: "counted",
    approve: "up_to",
}
"""And where the amount stands in them."""


def method_of(billing: Billing, request: Any) -> Any:
    desk = Invoicing(billing)
    refunds, drawers = billing.svc.stub(RefundServiceStub), billing.svc.stub(CashCountServiceStub)
    stubs = (desk.charges, desk.credit_notes, desk.invoices, billing.payments, billing.ledger, billing.estimates)
    name = type(request).__name__.removesuffix("Request")
    return next(getattr(stub, name) for stub in (*stubs, refunds, drawers) if hasattr(stub, name))


@pytest.mark.parametrize("make", REQUESTS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("currency", ["CAD", "USD"])
async def test_an_amount_is_in_the_currency_of_what_it_belongs_to_and_not_huge(
    billing: Billing, monkeypatch: pytest.MonkeyPatch, make: Callable[[Ids, Money], Any], currency: str
) -> None:
    monkeypatch.setitem(money.MINOR_DIGITS, "CAD", 2)
    ids = await everything(billing)
    huge, foreign = usd(1_000_000.01), Money(currency_code="CAD", units=10)
    request = make(ids, foreign if currency == "CAD" else huge)
    request.request_id = str(uuid4())
    before = await billing.fetch(STATE)
    refused = await refusal(billing.svc.call(method_of(billing, request), request))
    reason = "CURRENCY_MISMATCH" if currency == "CAD" else "AMOUNT_OUT_OF_RANGE"
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, reason)
    assert refused.faults == [(REQUESTS[make], reason)]
    assert await billing.fetch(STATE) == before


async def test_a_refund_is_in_the_currency_of_its_payment(billing: Billing, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a site that has no prices, and so no currency, yet."""
    monkeypatch.setitem(money.MINOR_DIGITS, "CAD", 2)
    elsewhere = await billing.register_site()
    payment = await billing.pay(100, site_id=elsewhere)
    ids = {"site": elsewhere, "patient": billing.patient_id, "payment": payment.id}
    request = refund_all_in(ids, Money(currency_code="CAD", units=10))
    request.request_id = str(uuid4())
    refused = await refusal(billing.svc.call(method_of(billing, request), request))
    assert (refused.reason, refused.faults) == ("CURRENCY_MISMATCH", [("parts[0].amount", "CURRENCY_MISMATCH")])
    assert await billing.count("refund") == 0
