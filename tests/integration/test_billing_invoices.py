"""Payments and invoices: what is taken, what is billed, and which pays which."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.type.money_pb2 import Money
from grpc import StatusCode

from atoll.billing.v1 import invoice_service_pb2 as pb
from atoll.billing.v1 import payment_service_pb2 as payment_pb
from chassis import money
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_date
from services.billing.store import BillingStore
from services.billing.use_cases import invoices
from tests.support.billing import TODAY, Billing, BookedCourse, dollars, open_billing, open_chain, usd
from tests.support.service import NOW, Running, refusal

DAY = timedelta(days=1)


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    """With prices: 300 for an assessment, 590 for an infusion, deposit 150."""
    billing = await open_chain(service)
    await billing.price()
    return billing


async def treated(billing: Billing, *numbers: int, **changes: Any) -> BookedCourse:
    """A course whose visits took place: 300 and twice 590, or those that are named."""
    course = await billing.book(**changes)
    await billing.complete(course, *numbers)
    return course


async def read_payment(billing: Billing, payment_id: str, token: str | None = None) -> payment_pb.Payment:
    request = payment_pb.GetPaymentRequest(payment_id=payment_id)
    answer = await billing.svc.call(billing.payments.GetPayment, request, token)
    return answer.payment  # type: ignore[no-any-return]


async def read_invoice(billing: Billing, invoice_id: str, token: str | None = None) -> pb.Invoice:
    request = pb.GetInvoiceRequest(invoice_id=invoice_id)
    answer = await billing.svc.call(billing.invoices.GetInvoice, request, token)
    return answer.invoice  # type: ignore[no-any-return]


async def list_payments(billing: Billing, token: str | None = None, **request: Any) -> list[payment_pb.Payment]:
    answer = await billing.svc.call(billing.payments.ListPayments, payment_pb.ListPaymentsRequest(**request), token)
    return list(answer.payments)


def applied(payment: payment_pb.Payment) -> list[tuple[str, float | None]]:
    return [(each.invoice_id, dollars(each.amount)) for each in payment.applications]


async def test_a_payment_is_the_patients_until_an_invoice_takes_it(billing: Billing) -> None:
    payment = await billing.pay(100)
    assert (dollars(payment.amount), dollars(payment.unapplied), applied(payment)) == (100, 100, [])
    assert (payment.kind, payment.tender) == (payment_pb.PAYMENT_KIND_PAYMENT, payment_pb.TENDER_CASH)
    assert (payment.business_date, payment.course_id) == (to_date(TODAY), "")
    assert await read_payment(billing, payment.id) == payment
    assert await billing.trial_balance() == {"CASH": (100, 0), "CUSTOMER_DEPOSITS": (0, 100)}
    received = await billing.last_fact("payment.received")
    assert (received.payment_id, received.patient_id, received.course_id) == (payment.id, billing.patient_id, "")
    assert (dollars(received.amount), received.deposit_covered) == (100, False)


async def test_a_card_on_a_terminal_stands_on_clearing_and_names_the_terminals_reference(billing: Billing) -> None:
    card: dict[str, Any] = {"tender": payment_pb.TENDER_EXTERNAL_CARD, "terminal_reference": "T1-000042"}
    payment = await billing.pay(100, **card)
    assert payment.terminal_reference == "T1-000042"
    assert await billing.trial_balance() == {"CARD_CLEARING": (100, 0), "CUSTOMER_DEPOSITS": (0, 100)}


@pytest.mark.parametrize(
    "changes",
    [
        {"tender": payment_pb.TENDER_EXTERNAL_CARD},
        {"tender": payment_pb.TENDER_CASH, "terminal_reference": "T1-000042"},
        {"tender": payment_pb.TENDER_UNSPECIFIED},
        {"tender": payment_pb.TENDER_EXTERNAL_CARD, "terminal_reference": "4111 1111 1111 1111"},
    ],
)
async def test_a_tender_and_its_reference_belong_together(billing: Billing, changes: dict[str, Any]) -> None:
    assert (await refusal(billing.pay(100, **changes))).reason == "BAD_REQUEST"
    assert await billing.count("payment") == 0


async def test_payments_for_a_course_are_deposits_until_the_deposit_is_covered(billing: Billing) -> None:
    course = await billing.book()
    kinds, covered = list[str](), list[bool]()
    for amount in (100, 50, 20):
        payment = await billing.pay(amount, course_id=course.id)
        kinds.append(payment_pb.PaymentKind.Name(payment.kind).removeprefix("PAYMENT_KIND_"))
        covered.append((await billing.last_fact("payment.received")).deposit_covered)
    assert kinds == ["DEPOSIT", "DEPOSIT", "PAYMENT"]
    assert covered == [False, True, True]
    account = await billing.course_account(course)
    assert (dollars(account.deposit_due), account.deposit_covered, dollars(account.paid)) == (150, True, 170)


async def test_what_becomes_credit_at_once_covers_no_deposit(billing: Billing) -> None:
    """It pays for anything."""
    course = await billing.book()
    await billing.pay(150, course_id=course.id, excess_to_credit=True)
    assert not (await billing.last_fact("payment.received")).deposit_covered
    assert not (await billing.course_account(course)).deposit_covered
    await billing.pay(150, course_id=course.id)
    assert (await billing.last_fact("payment.received")).deposit_covered


async def test_a_payment_that_is_sent_again_is_taken_once(billing: Billing) -> None:
    request = billing.payment_request(100)
    answers = [await billing.svc.call(billing.payments.RecordPayment, request) for _ in range(2)]
    assert answers[0] == answers[1]
    assert await billing.count("payment") == 1
    changed = payment_pb.RecordPaymentRequest.FromString(request.SerializeToString())
    changed.amount.CopyFrom(usd(200))
    refused = await refusal(billing.svc.call(billing.payments.RecordPayment, changed))
    assert refused.reason == "REQUEST_ID_REUSED"
    assert await billing.fact_names() == ["price_book.published", "payment.received"]


@pytest.mark.parametrize("amount", [0, -1, 1_000_000.01])
async def test_a_payment_is_above_zero_and_not_huge(billing: Billing, amount: float) -> None:
    refused = await refusal(billing.pay(amount))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "AMOUNT_OUT_OF_RANGE")
    assert refused.faults == [("amount", "AMOUNT_OUT_OF_RANGE")]
    assert await billing.count("payment") == 0


async def test_a_payment_is_in_the_sites_currency(billing: Billing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(money.MINOR_DIGITS, "CAD", 2)
    request = billing.payment_request(1)
    request.amount.CopyFrom(Money(currency_code="CAD", units=1))
    refused = await refusal(billing.svc.call(billing.payments.RecordPayment, request))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CURRENCY_MISMATCH")


@pytest.mark.parametrize("what", ["site", "patient", "course"])
async def test_a_payment_waits_for_what_it_names(billing: Billing, what: str) -> None:
    unknown = to_wire(what, new_id())
    refused = await refusal(billing.svc.call(billing.payments.RecordPayment, _payment_naming(billing, what, unknown)))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "NOT_YET_KNOWN")
    assert (refused.metadata, refused.retry) == ({"waits_for": unknown}, True)


def _payment_naming(billing: Billing, what: str, id: str) -> payment_pb.RecordPaymentRequest:
    request = billing.payment_request(1)
    setattr(request, f"{what}_id", id)
    return request


async def test_a_payment_is_for_a_course_or_an_invoice_of_its_patient_at_its_site(billing: Billing) -> None:
    course = await treated(billing)
    invoice = await billing.issue(course)
    elsewhere = {"site_id": await billing.register_site()}
    somebody = {"patient_id": await billing.register_patient()}
    for purpose in ({"course_id": course.id}, {"invoice_id": invoice.id}):
        for changes in (elsewhere, somebody):
            refused = await refusal(billing.pay(1, **purpose, **changes))
            assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "PAYMENT_MISDIRECTED")
            assert refused.faults == [(*purpose, "PAYMENT_MISDIRECTED")]
    refused = await refusal(billing.pay(1, invoice_id=to_wire("invoice", new_id())))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "INVOICE_NOT_FOUND")
    assert await billing.count("payment") == 0


async def test_an_invoice_takes_every_charge_that_is_on_none(billing: Billing) -> None:
    course = await treated(billing, 0, 1)
    invoice = await billing.issue(course)
    assert [(each.description, dollars(each.amount)) for each in invoice.charges] == [
        ("Evaluation", 300),
        ("IV infusion", 590),
    ]
    assert (invoice.number, dollars(invoice.total), dollars(invoice.balance)) == (1, 890, 890)
    assert (invoice.course_id, invoice.patient_id, invoice.site_id) == (course.id, course.patient_id, course.site_id)
    assert invoice.legal_entity_id == billing.legal_entity_id
    assert await read_invoice(billing, invoice.id) == invoice
    issued = await billing.last_fact("invoice.issued")
    assert (issued.invoice_id, issued.number, issued.legal_entity_id) == (invoice.id, 1, billing.legal_entity_id)
    assert (dollars(issued.total), dollars(issued.balance)) == (890, 890)

    await billing.complete(course, 2)
    second = await billing.issue(course)
    assert [charge.visit_id for charge in second.charges] == [course.visits[2].visit_id]
    assert (second.number, dollars(second.total)) == (2, 590)


async def test_an_invoice_over_nothing_is_refused_and_takes_no_number(billing: Billing) -> None:
    course = await billing.book()
    refused = await refusal(billing.issue(course))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "INVOICE_EMPTY")
    await billing.complete(course)
    assert (await billing.issue(course)).number == 1
    assert (await refusal(billing.issue(course))).reason == "INVOICE_EMPTY"
    assert await billing.count("invoice") == 1


async def test_an_invoice_of_an_unknown_course_waits_for_it(billing: Billing) -> None:
    event = billing.course_event()
    refused = await refusal(billing.issue(BookedCourse(event.course_id, event.site_id, event.patient_id, event)))
    assert (refused.reason, refused.metadata) == ("NOT_YET_KNOWN", {"waits_for": event.course_id})


async def test_an_invoice_that_is_sent_again_is_issued_once(billing: Billing) -> None:
    course = await treated(billing)
    request = pb.IssueInvoiceRequest(request_id=str(uuid4()), course_id=course.id)
    answers = [await billing.svc.call(billing.invoices.IssueInvoice, request) for _ in range(2)]
    assert answers[0] == answers[1]
    assert await billing.count("invoice") == 1


async def test_the_deposit_pays_the_first_invoice_of_its_course(billing: Billing) -> None:
    course = await billing.book()
    deposit = await billing.pay(150, course_id=course.id)
    await billing.complete(course)
    invoice = await billing.issue(course)
    assert (dollars(invoice.total), dollars(invoice.balance)) == (1480, 1330)
    assert applied(await read_payment(billing, deposit.id)) == [(invoice.id, 150)]
    assert dollars((await billing.last_fact("invoice.issued")).balance) == 1330
    assert "invoice.paid" not in await billing.fact_names()

    rest = await billing.pay(1330, course_id=course.id)
    assert (applied(rest), dollars(rest.unapplied)) == ([(invoice.id, 1330)], 0)
    assert dollars((await read_invoice(billing, invoice.id)).balance) == 0
    paid = await billing.last_fact("invoice.paid")
    assert (paid.invoice_id, paid.patient_id, paid.site_id) == (invoice.id, course.patient_id, course.site_id)
    assert await billing.trial_balance() == {
        "CASH": (1480, 0),
        "ACCOUNTS_RECEIVABLE": (1480, 1480),
        "CUSTOMER_DEPOSITS": (1480, 1480),
        "REVENUE": (0, 1480),
    }
    await billing.books_agree()


async def test_an_invoice_that_is_paid_before_is_paid_when_issued(billing: Billing) -> None:
    course = await billing.book()
    await billing.pay(2000, course_id=course.id)
    await billing.complete(course)
    invoice = await billing.issue(course)
    assert dollars(invoice.balance) == 0
    assert (await billing.fact_names())[-2:] == ["invoice.issued", "invoice.paid"]
    account = await billing.course_account(course)
    assert (dollars(account.paid), dollars(account.due)) == (2000, 0)
    await billing.books_agree()


async def test_an_invoice_takes_its_courses_money_first_then_the_oldest_for_none(billing: Billing) -> None:
    course, other = await billing.book(), await billing.book()
    payments = []
    for minutes, (amount, purpose) in enumerate(
        [(100, {}), (200, {"course_id": other.id}), (300, {"course_id": course.id}), (1000, {})]
    ):
        billing.svc.clock.now = NOW + timedelta(minutes=minutes)
        payments.append(await billing.pay(amount, **purpose))
    await billing.complete(course)
    invoice = await billing.issue(course)
    assert dollars(invoice.balance) == 80
    taken = [applied(await read_payment(billing, payment.id)) for payment in payments]
    assert taken == [[(invoice.id, 100)], [], [(invoice.id, 300)], [(invoice.id, 1000)]]
    await billing.books_agree()


async def test_a_payment_for_nothing_named_pays_the_oldest_invoices(billing: Billing) -> None:
    bills = []
    for minutes in range(3):
        billing.svc.clock.now = NOW + timedelta(minutes=minutes)
        bills.append(await billing.issue(await treated(billing, 1)))
    payment = await billing.pay(1000)
    assert applied(payment) == [(bills[0].id, 590), (bills[1].id, 410)]
    assert [(await read_invoice(billing, bill.id)).balance for bill in bills] == [usd(0), usd(180), usd(590)]
    assert (await billing.fact_names()).count("invoice.paid") == 1
    await billing.books_agree()


async def test_a_payment_pays_the_invoice_that_it_names_and_then_the_oldest(billing: Billing) -> None:
    bills = []
    for minutes in range(2):
        billing.svc.clock.now = NOW + timedelta(minutes=minutes)
        bills.append(await billing.issue(await treated(billing, 1)))
    payment = await billing.pay(600, invoice_id=bills[1].id)
    assert applied(payment) == [(bills[1].id, 590), (bills[0].id, 10)]
    await billing.books_agree()


async def test_money_for_a_course_pays_no_other_course(billing: Billing) -> None:
    invoice = await billing.issue(await treated(billing, 1))
    planned = await billing.book()
    deposit = await billing.pay(150, course_id=planned.id)
    assert (dollars(deposit.unapplied), applied(deposit)) == (150, [])
    assert dollars((await read_invoice(billing, invoice.id)).balance) == 590


async def test_money_of_one_site_pays_no_invoice_of_another(billing: Billing) -> None:
    elsewhere = await billing.register_site()
    await billing.price(site_id=elsewhere)
    await billing.pay(1000)
    invoice = await billing.issue(await treated(billing, 1, site_id=elsewhere))
    assert dollars(invoice.balance) == 590
    await billing.books_agree()


async def test_numbers_run_per_legal_entity(billing: Billing) -> None:
    same_entity = await billing.register_site()
    other_entity = await billing.register_site(legal_entity_id=to_wire("legalentity", new_id()))
    for site_id in (same_entity, other_entity):
        await billing.price(site_id=site_id)
    sites = (billing.site_id, same_entity, other_entity)
    numbers = [(await billing.issue(await treated(billing, 1, site_id=site_id))).number for site_id in sites]
    assert numbers == [1, 2, 1]


def issuing(course: BookedCourse) -> tuple[pb.IssueInvoiceRequest, Callable[[BillingStore], Awaitable[object]]]:
    """A request, and the work that it asks for, to be held open."""
    request = pb.IssueInvoiceRequest(request_id=str(uuid4()), course_id=course.id)
    return request, lambda store: invoices.issue_invoice(store, from_wire("course", course.id))


async def test_numbers_have_no_gap_when_an_issue_is_rolled_back_while_another_waits_for_it(billing: Billing) -> None:
    first, second = await treated(billing), await treated(billing, patient_id=await billing.register_patient())
    async with billing.held_open(*issuing(first), rolled_back=True):
        waiting = asyncio.create_task(billing.issue(second))
        await billing.someone_waits()
    assert (await waiting).number == 1
    assert (await billing.issue(first)).number == 2


async def test_many_invoices_at_once_get_numbers_without_gap_or_double(billing: Billing) -> None:
    courses = [await treated(billing, 0, patient_id=await billing.register_patient()) for _ in range(12)]
    issued = await asyncio.gather(*(billing.issue(course) for course in courses))
    assert sorted(invoice.number for invoice in issued) == list(range(1, 13))
    await billing.books_agree()


async def test_two_invoices_of_one_course_at_once_share_no_charge(billing: Billing) -> None:
    """The second waits for the first, and then finds the charges gone."""
    course = await treated(billing)
    async with billing.held_open(*issuing(course)):
        second = asyncio.create_task(refusal(billing.issue(course)))
        await billing.someone_waits()
    assert (await second).reason == "INVOICE_EMPTY"
    assert await billing.count("invoice") == 1


async def test_two_payments_at_once_pay_an_invoice_once(billing: Billing) -> None:
    """Both wait for the patient; the one that comes second is left over."""
    invoice = await billing.issue(await treated(billing, 1))
    patient_id = from_wire("patient", billing.patient_id)
    async with billing.held_open(billing.payment_request(1), lambda store: store.lock([patient_id])):
        both = [asyncio.create_task(billing.pay(590)) for _ in range(2)]
        await billing.someone_waits()
    assert sorted(dollars(payment.unapplied) or 0 for payment in await asyncio.gather(*both)) == [0, 590]
    assert dollars((await read_invoice(billing, invoice.id)).balance) == 0
    await billing.books_agree()


async def test_a_payment_waits_while_an_invoice_of_its_patient_is_issued(billing: Billing) -> None:
    course = await treated(billing, 1)
    async with billing.held_open(*issuing(course)):
        paying = asyncio.create_task(billing.pay(590))
        await billing.someone_waits()
    assert dollars((await paying).unapplied) == 0


async def test_the_days_takings_of_a_site_are_a_list(billing: Billing) -> None:
    morning = await billing.pay(10)
    await billing.pay(20, site_id=await billing.register_site())
    billing.svc.clock.now = NOW + timedelta(hours=14, minutes=59)  # 23:59 in Denver, the next day in UTC.
    night = await billing.pay(30)
    billing.svc.clock.now = NOW + timedelta(hours=15)
    await billing.pay(40)
    day = to_date(TODAY)
    assert await list_payments(billing, site_id=billing.site_id, date=day) == [morning, night]


async def test_a_patients_payments_come_in_pages_in_the_order_of_time(billing: Billing) -> None:
    made = [(await billing.pay(n)).id for n in range(1, 6)]
    await billing.pay(1, patient_id=await billing.register_patient())
    seen, token = list[str](), ""
    for _ in range(3):
        request = payment_pb.ListPaymentsRequest(patient_id=billing.patient_id, page_size=2, page_token=token)
        page = await billing.svc.call(billing.payments.ListPayments, request)
        seen += [payment.id for payment in page.payments]
        token = page.next_page_token
    assert (seen, token) == (made, "")


async def test_a_list_of_payments_is_about_a_day_of_a_site_or_a_patient(billing: Billing) -> None:
    day = to_date(TODAY)
    for request in (
        {},
        {"site_id": billing.site_id},
        {"date": day},
        {"site_id": billing.site_id, "date": day, "patient_id": billing.patient_id},
    ):
        assert (await refusal(list_payments(billing, **request))).reason == "BAD_REQUEST"


async def test_invoices_are_listed_by_patient_course_and_site_the_newest_first(billing: Billing) -> None:
    course = await treated(billing, 0)
    first = await billing.issue(course)
    await billing.complete(course, 1)
    second = await billing.issue(course)
    third = await billing.issue(await treated(billing, 0))
    for request, expected in (
        (pb.ListInvoicesRequest(patient_id=billing.patient_id), [third, second, first]),
        (pb.ListInvoicesRequest(course_id=course.id), [second, first]),
        (pb.ListInvoicesRequest(site_id=billing.site_id), [third, second, first]),
    ):
        answer = await billing.svc.call(billing.invoices.ListInvoices, request)
        assert [invoice.number for invoice in answer.invoices] == [invoice.number for invoice in expected]
        assert not any(invoice.charges for invoice in answer.invoices)
    page = await billing.svc.call(
        billing.invoices.ListInvoices, pb.ListInvoicesRequest(patient_id=billing.patient_id, page_size=2)
    )
    rest = pb.ListInvoicesRequest(patient_id=billing.patient_id, page_size=2, page_token=page.next_page_token)
    assert [each.id for each in (await billing.svc.call(billing.invoices.ListInvoices, rest)).invoices] == [first.id]


async def test_what_does_not_exist_is_not_found(billing: Billing) -> None:
    refused = await refusal(read_payment(billing, to_wire("payment", new_id())))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PAYMENT_NOT_FOUND")
    refused = await refusal(read_invoice(billing, to_wire("invoice", new_id())))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "INVOICE_NOT_FOUND")


async def test_another_site_and_another_chain_see_nothing_of_it(billing: Billing) -> None:
    course = await treated(billing, 1)
    payment, invoice = await billing.pay(10, course_id=course.id), await billing.issue(course)
    await billing.complete(course, 0)
    elsewhere = await billing.register_site()
    for token in (billing.at(elsewhere), billing.svc.token(chain_id=new_id())):
        assert (await refusal(read_payment(billing, payment.id, token))).reason == "PAYMENT_NOT_FOUND"
        assert (await refusal(read_invoice(billing, invoice.id, token))).reason == "INVOICE_NOT_FOUND"
        assert (await refusal(billing.issue(course, token))).reason == "NOT_YET_KNOWN"
        assert await list_payments(billing, token, patient_id=billing.patient_id) == []
    at_other_site = await refusal(billing.pay(1, billing.at(elsewhere)))
    assert (at_other_site.code, at_other_site.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    assert await billing.count("payment") == 1


async def test_the_front_desk_takes_money_and_reads_and_bills_nobody(billing: Billing) -> None:
    desk, auditor = (billing.at(billing.site_id, role) for role in ("ROLE_FRONT_DESK", "ROLE_AUDITOR"))
    course = await treated(billing, 1)
    payment = await billing.pay(10, desk)
    for token in (desk, auditor):
        assert (await read_payment(billing, payment.id, token)).id == payment.id
        assert (await refusal(billing.issue(course, token))).code == StatusCode.PERMISSION_DENIED
    assert (await refusal(billing.pay(10, auditor))).code == StatusCode.PERMISSION_DENIED
    invoice = await billing.issue(course, billing.at(billing.site_id))
    assert (await read_invoice(billing, invoice.id, desk)).number == 1


async def test_a_change_and_a_read_leave_audit_rows_of_ids_only(billing: Billing) -> None:
    payment = await billing.pay(10)
    await read_payment(billing, payment.id)
    rows = await billing.fetch("SELECT kind, ids::text FROM audit ORDER BY position DESC LIMIT 2")
    assert [row["kind"] for row in rows] == ["AUDIT_PHI_READ", "AUDIT_CHANGE"]
    assert payment.id in rows[0]["ids"]
    assert billing.patient_id in rows[1]["ids"]
