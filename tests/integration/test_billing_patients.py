"""Patients who call for themselves: what they owe and pay, and that nobody else's is there."""

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from google.protobuf.message import Message
from grpc import StatusCode
from sqlalchemy import Table

from atoll.billing.v1 import account_service_pb2 as account_pb
from atoll.billing.v1 import card_service_pb2 as card_pb
from atoll.billing.v1 import document_service_pb2 as document_pb
from atoll.billing.v1 import estimate_service_pb2 as estimate_pb
from atoll.billing.v1 import invoice_service_pb2 as invoice_pb
from atoll.billing.v1 import payment_service_pb2 as payment_pb
from atoll.billing.v1.document_service_pb2_grpc import DocumentServiceStub
from atoll.common.v1.access_pb2 import AUDIT_PHI_READ
from atoll.patients.v1.events_pb2 import PatientMerged, PatientUnmerged
from chassis.call import Call
from chassis.ids import from_wire, new_id, to_wire
from services.billing.tables import metadata
from tests.support.billing import Billing, BookedCourse, dollars, open_billing, open_chain
from tests.support.billing_rows import fill
from tests.support.billing_till import House, Till, open_house, open_till
from tests.support.service import refusal

CARD = "4242"


@pytest_asyncio.fixture(scope="module")
async def house(postgres_url: str, issuer_folder: Path) -> AsyncIterator[House]:
    async with open_house(postgres_url, issuer_folder) as house:
        yield house


@pytest_asyncio.fixture
async def till(house: House) -> AsyncIterator[Till]:
    async with open_till(house) as till:
        yield till


@dataclass
class Patient:
    """Somebody at their own screen."""

    till: Till
    id: str
    seen: list[Message] = field(default_factory=list)
    """Every answer."""

    @property
    def billing(self) -> Billing:
        return self.till.billing

    @property
    def token(self) -> str:
        return self.billing.svc.token("ROLE_PATIENT", subject=self.id, patient=self.id)

    async def ask(self, method: Any, request: Message) -> Any:
        answer = await self.billing.svc.call(method, request, self.token)
        self.seen.append(answer)
        return answer

    async def account(self, patient_id: str = "") -> account_pb.Account:
        request = account_pb.GetAccountRequest(patient_id=patient_id or self.id)
        answer: account_pb.Account = (await self.ask(self.billing.accounts.GetAccount, request)).account
        return answer

    async def course_account(self, course_id: str) -> account_pb.CourseAccount:
        request = account_pb.GetCourseAccountRequest(course_id=course_id)
        answer: account_pb.CourseAccount = (
            await self.ask(self.billing.accounts.GetCourseAccount, request)
        ).course_account
        return answer

    async def intend(self, amount: float, **changes: Any) -> card_pb.CreatePaymentIntentResponse:
        request = self.till.request(amount, **{"patient_id": self.id} | changes)
        answer: card_pb.CreatePaymentIntentResponse = await self.ask(self.till.cards.CreatePaymentIntent, request)
        return answer

    async def pay(self, amount: float, **changes: Any) -> card_pb.CardCharge:
        begun = await self.intend(amount, **changes)
        self.till.fake.enter_card(begun.client_secret.partition("_secret")[0], CARD)
        await self.till.hear()
        return await self.charge(begun.card_charge.id)

    async def charge(self, charge_id: str) -> card_pb.CardCharge:
        request = card_pb.GetCardChargeRequest(card_charge_id=charge_id)
        charge: card_pb.CardCharge = (await self.ask(self.till.cards.GetCardCharge, request)).card_charge
        return charge

    async def cards(self, patient_id: str = "") -> list[card_pb.Card]:
        request = card_pb.ListCardsRequest(patient_id=patient_id or self.id)
        return list((await self.ask(self.till.cards.ListCards, request)).cards)

    async def detach(self, card_id: str) -> card_pb.Card:
        request = card_pb.DetachCardRequest(request_id=str(uuid4()), card_id=card_id)
        card: card_pb.Card = (await self.ask(self.till.cards.DetachCard, request)).card
        return card

    async def estimates(self, **about: Any) -> list[estimate_pb.Estimate]:
        request = estimate_pb.ListEstimatesRequest(**about)
        return list((await self.ask(self.billing.estimates.ListEstimates, request)).estimates)

    async def estimate(self, estimate_id: str) -> estimate_pb.Estimate:
        request = estimate_pb.GetEstimateRequest(estimate_id=estimate_id)
        estimate: estimate_pb.Estimate = (await self.ask(self.billing.estimates.GetEstimate, request)).estimate
        return estimate

    async def acknowledge(self, estimate_id: str) -> estimate_pb.Estimate:
        request = estimate_pb.AcknowledgeEstimateRequest(request_id=str(uuid4()), estimate_id=estimate_id)
        answer = await self.ask(self.billing.estimates.AcknowledgeEstimate, request)
        estimate: estimate_pb.Estimate = answer.estimate
        return estimate

    async def invoice(self, invoice_id: str) -> invoice_pb.Invoice:
        request = invoice_pb.GetInvoiceRequest(invoice_id=invoice_id)
        invoice: invoice_pb.Invoice = (await self.ask(self.billing.invoices.GetInvoice, request)).invoice
        return invoice

    async def payment(self, payment_id: str) -> payment_pb.Payment:
        request = payment_pb.GetPaymentRequest(payment_id=payment_id)
        payment: payment_pb.Payment = (await self.ask(self.billing.payments.GetPayment, request)).payment
        return payment

    async def document(self, **about: str) -> document_pb.PrintedDocument:
        stub: Any = self.billing.svc.stub(DocumentServiceStub)
        answer = await self.ask(stub.GetDocument, document_pb.GetDocumentRequest(**about))
        document: document_pb.PrintedDocument = answer.document
        return document

    async def booked(self) -> BookedCourse:
        return await self.billing.book(patient_id=self.id)


async def patient_of(till: Till) -> Patient:
    return Patient(till, await till.billing.register_patient())


async def billed(patient: Patient) -> tuple[BookedCourse, invoice_pb.Invoice]:
    """A course with its first visit done, and the invoice for it."""
    course = await patient.booked()
    await patient.billing.complete(course, 0)
    return course, await patient.billing.issue(course)


async def delivered(till: Till, estimate: estimate_pb.Estimate) -> None:
    """Handed over at the desk."""
    delivery = estimate_pb.RecordEstimateDeliveryRequest(
        request_id=str(uuid4()), estimate_id=estimate.id, method=estimate_pb.ESTIMATE_DELIVERY_METHOD_PAPER
    )
    await till.billing.svc.call(till.billing.estimates.RecordEstimateDelivery, delivery)


async def test_a_patient_sees_the_price_of_their_course_and_pays_its_deposit_by_card(till: Till) -> None:
    me = await patient_of(till)
    course = await me.booked()
    before = await me.course_account(course.id)
    assert (dollars(before.estimated), dollars(before.deposit_due), before.deposit_covered) == (1480, 150, False)
    charge = await me.pay(150, course_id=course.id)
    assert charge.state == card_pb.CARD_CHARGE_STATE_SUCCEEDED
    assert (await me.course_account(course.id)).deposit_covered
    payment = await me.payment(charge.payment_id)
    assert (payment.course_id, dollars(payment.unapplied)) == (course.id, 150)


async def test_a_patient_sees_and_pays_their_invoice(till: Till) -> None:
    me = await patient_of(till)
    _, invoice = await billed(me)
    assert (await me.account()).next_due.invoice_id == invoice.id
    seen = await me.invoice(invoice.id)
    assert (dollars(seen.balance), len(seen.lines), len(seen.charges)) == (300, 1, 1)
    await me.pay(300, invoice_id=invoice.id)
    assert dollars((await me.invoice(invoice.id)).balance) == 0
    account = await me.account()
    assert not account.HasField("next_due")
    assert [dollars(each.due) for each in account.balances] == [0]


async def test_a_patient_keeps_a_card_on_file_and_takes_it_off(till: Till) -> None:
    me = await patient_of(till)
    await me.pay(10, save_card=True)
    [card] = await me.cards()
    assert card.last4 == CARD
    assert (await me.detach(card.id)).HasField("detach_time")
    assert await me.cards() == []


async def test_a_patient_reads_and_acknowledges_the_estimate_of_their_course(till: Till) -> None:
    me = await patient_of(till)
    course = await me.booked()
    [estimate] = await me.estimates(course_id=course.id)
    assert await me.estimates(patient_id=me.id) == [estimate]
    assert await me.estimate(estimate.id) == estimate
    assert dollars(estimate.total) == 1480
    await delivered(till, estimate)
    assert (await me.acknowledge(estimate.id)).HasField("acknowledge_time")


async def test_a_patient_is_not_told_who_at_the_clinic_did_something(till: Till) -> None:
    me = await patient_of(till)
    course = await me.booked()
    [estimate] = await me.estimates(course_id=course.id)
    await delivered(till, estimate)
    [shown] = (await me.estimate(estimate.id)).deliveries
    assert (shown.method, shown.recorded_by) == (estimate_pb.ESTIMATE_DELIVERY_METHOD_PAPER, "")
    terminal = await me.billing.pay(
        5, patient_id=me.id, tender=payment_pb.TENDER_EXTERNAL_CARD, terminal_reference="T-1"
    )
    assert (terminal.terminal_reference, (await me.payment(terminal.id)).terminal_reference) == ("T-1", "")


async def test_another_patient_in_a_request_is_denied_before_anything_is_looked_up(till: Till) -> None:
    me, other = await patient_of(till), await patient_of(till)
    for id in (other.id, to_wire("patient", new_id())):
        for answer in (me.account(id), me.intend(10, patient_id=id), me.cards(id), me.estimates(patient_id=id)):
            refused = await refusal(answer)
            assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    assert till.fake.asked == []


@pytest.mark.parametrize("whose", ["another patient's", "another chain's"])
async def test_what_is_anothers_is_answered_just_as_what_is_not_there(till: Till, whose: str) -> None:
    me, other = await patient_of(till), await patient_of(till)
    course, invoice = await billed(other)
    charge = await other.pay(20, save_card=True)
    [card], [estimate] = await other.cards(), await other.estimates(course_id=course.id)
    own_chain = me.billing.svc.chain_id
    if whose == "another chain's":
        me.billing.svc.chain_id = new_id()
    answers: list[tuple[Awaitable[object], str]] = [
        (me.course_account(course.id), "NOT_YET_KNOWN"),
        (me.invoice(invoice.id), "INVOICE_NOT_FOUND"),
        (me.payment(charge.payment_id), "PAYMENT_NOT_FOUND"),
        (me.charge(charge.id), "CARD_CHARGE_NOT_FOUND"),
        (me.detach(card.id), "CARD_NOT_FOUND"),
        (me.estimate(estimate.id), "ESTIMATE_NOT_FOUND"),
        (me.acknowledge(estimate.id), "ESTIMATE_NOT_FOUND"),
        (me.document(estimate_id=estimate.id), "DOCUMENT_NOT_FOUND"),
        (me.document(invoice_id=invoice.id), "DOCUMENT_NOT_FOUND"),
        (me.document(payment_id=charge.payment_id), "DOCUMENT_NOT_FOUND"),
    ]
    for answer, reason in answers:
        assert (await refusal(answer)).reason == reason
    if whose == "another patient's":
        assert (await refusal(me.intend(10, course_id=course.id))).reason == "NOT_YET_KNOWN"
        assert (await refusal(me.intend(10, invoice_id=invoice.id))).reason == "INVOICE_NOT_FOUND"
        assert await me.estimates(course_id=course.id) == []
        assert not (await me.account()).documents
    me.billing.svc.chain_id = own_chain
    assert len(await other.cards()) == 1
    said = b"".join(each.SerializeToString() for each in me.seen)
    assert not [id for id in (other.id, course.id, invoice.id, charge.id, card.id) if id.encode() in said]


async def test_patients_ask_for_estimates_by_patient_or_course_only(till: Till) -> None:
    me = await patient_of(till)
    refused = await refusal(me.estimates(site_id=till.billing.site_id))
    assert (refused.code, refused.faults) == (StatusCode.INVALID_ARGUMENT, [("site_id", "OF_STAFF_ONLY")])


async def test_a_patient_sees_and_pays_what_is_theirs_under_any_of_their_ids(till: Till) -> None:
    before, me, stranger = [await patient_of(till) for _ in range(3)]
    course, invoice = await billed(before)
    await before.pay(7, save_card=True)
    merge = PatientMerged(patient_id=me.id, merged_patient_id=before.id)
    await till.billing.svc.deliver(merge, version=1)
    for each in (me, before):
        assert (await each.invoice(invoice.id)).id == invoice.id
        assert len((await each.account()).documents) == 3
        assert len(await each.cards()) == 1
    assert (await me.pay(293, invoice_id=invoice.id)).state == card_pb.CARD_CHARGE_STATE_SUCCEEDED
    assert [len((await each.account()).documents) for each in (me, before)] == [4, 4]
    assert not (await stranger.account()).documents
    unmerge = PatientUnmerged(patient_id=me.id, merged_patient_id=before.id)
    await till.billing.svc.deliver(unmerge, version=2)
    assert (await refusal(me.invoice(invoice.id))).reason == "INVOICE_NOT_FOUND"
    assert await before.course_account(course.id)


async def test_whoever_works_at_the_clinic_may_do_what_they_could(till: Till) -> None:
    me = await patient_of(till)
    course, invoice = await billed(me)
    grants = {"ROLE_BILLING": [till.billing.site_id], "ROLE_PATIENT": ["*"]}
    token = till.billing.svc.token(grants=grants, patient=to_wire("patient", new_id()))
    request = invoice_pb.GetInvoiceRequest(invoice_id=invoice.id)
    assert (await till.billing.svc.call(till.billing.invoices.GetInvoice, request, token)).invoice.id == invoice.id
    listed = estimate_pb.ListEstimatesRequest(site_id=till.billing.site_id)
    assert (await till.billing.svc.call(till.billing.estimates.ListEstimates, listed, token)).estimates
    assert course


# What the database itself shows.

OF_THE_CHAIN = frozenset(
    {
        "diagnosis_code",
        "document_work",
        "legal_entity",
        "legal_entity_billing",
        "package",
        "package_item",
        "package_price",
        "price_book",
        "price_item",
        "publication",
        "service_code",
        "site",
        "site_billing",
        "staff",
        "tax_rule",
        "visit_type",
    }
)
"""What a chain treats by and for what money; which documents are to be written."""
CHASSIS = frozenset({"audit", "dead_letter", "idempotency", "inbox", "outbox"})
NO_ROW_SEEN = frozenset({"audit_seal", "served_chain", "package_chain"})


async def seen_rows(billing: Billing, table: Table, patient_id: UUID) -> list[Any]:
    """As a statement of theirs that forgot its WHERE."""
    call = Call(billing.svc.chain_id, None, "own", "own", "", AUDIT_PHI_READ, billing.svc.now, patient_id=patient_id)
    async with billing.svc.db.transaction(call, read_only=True) as conn:
        return list(await conn.fetch(f"SELECT * FROM {table}"))


async def test_the_database_shows_a_patient_their_own_rows_only_whatever_a_statement_asks_for(
    postgres_url: str, issuer_folder: Path
) -> None:
    """Every table is filled; somebody who has nothing sees no row of any but those of the chain."""
    async with open_billing(postgres_url, issuer_folder) as svc:
        billing = await open_chain(svc)
        await fill(billing, 50)
        looked_at = set(metadata.tables) - OF_THE_CHAIN - CHASSIS - NO_ROW_SEEN
        for name in sorted(looked_at):
            assert await seen_rows(billing, metadata.tables[name], new_id()) == [], name
        [got] = await billing.fetch("SELECT patient_id FROM package_transfer LIMIT 1")
        assert await seen_rows(billing, metadata.tables["package_transfer"], got["patient_id"]) == []


async def test_the_database_shows_a_patient_the_parts_of_their_own_documents(till: Till) -> None:
    me, other = await patient_of(till), await patient_of(till)
    for each in (me, other):
        _, invoice = await billed(each)
        await each.pay(300, invoice_id=invoice.id)
    own = from_wire("patient", me.id)
    for table in ("invoice_line", "application", "estimate_line", "pin"):
        mine = await seen_rows(me.billing, metadata.tables[table], own)
        everyones = await me.billing.fetch(f"SELECT * FROM {table}")
        assert 0 < len(mine) < len(everyones), table
    assert await seen_rows(me.billing, metadata.tables["posting"], own) == []
