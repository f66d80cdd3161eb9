"""What patients are told of holds, estimates, invoices and payments, and what need not be said any more."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from atoll.billing.v1 import events_pb2 as bills
from atoll.notifications.v1 import message_service_pb2 as pb
from atoll.scheduling.v1.events_pb2 import CourseHoldExpired
from chassis.errors import NotYetKnown
from chassis.ids import new_id, to_wire
from chassis.money import Money
from chassis.money import to_wire as money_to_wire
from chassis.times import to_date
from tests.support.notifications import Office, open_office
from tests.support.service import NOW

USD = money_to_wire(Money(59_000))
DUE = date(2027, 3, 31)


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Office]:
    async with open_office(postgres_url, issuer_folder) as office:
        yield office


def of(office: Office, **changes: Any) -> dict[str, Any]:
    ids = {"patient_id": to_wire("patient", office.patient_id), "site_id": to_wire("site", office.site_id)}
    return ids | changes


def invoice(office: Office, balance: int = 59_000, **changes: Any) -> bills.InvoiceIssued:
    fields = {
        "invoice_id": to_wire("invoice", new_id()),
        "display_number": "ABQ-17",
        "balance": money_to_wire(Money(balance)),
        "due_date": to_date(DUE),
    }
    return bills.InvoiceIssued(**of(office, **fields | changes))


async def told(office: Office) -> dict[str, tuple[str, str | None]]:
    return {row["kind"]: (row["status"], row["reason"]) for row in await office.rows()}


def once(office: Office) -> list[tuple[Any, str]]:
    def id(kind: str) -> str:
        return to_wire(kind, new_id())

    sale = {"package_sale_id": id("packagesale")}
    return [
        (CourseHoldExpired(course_id=id("course"), **of(office)), "HOLD_EXPIRED"),
        (bills.EstimateIssued(estimate_id=id("estimate"), total=USD, **of(office)), "ESTIMATE_READY"),
        (invoice(office, balance=0), "INVOICE_ISSUED"),
        (bills.PaymentReceived(payment_id=id("payment"), amount=USD, **of(office)), "PAYMENT_RECEIVED"),
        (bills.RefundSucceeded(refund_id=id("refund"), amount=USD, **of(office)), "REFUND_MADE"),
        (bills.CreditNoteIssued(credit_note_id=id("creditnote"), total=USD, **of(office)), "CREDIT_NOTE_ISSUED"),
        (bills.CardChargeFailed(card_charge_id=id("cardcharge"), amount=USD, **of(office)), "CARD_CHARGE_FAILED"),
        (bills.DepositReleased(payment_id=id("payment"), amount=USD, **of(office)), "DEPOSIT_RELEASED"),
        (bills.DepositForfeited(payment_id=id("payment"), amount=USD, **of(office)), "DEPOSIT_FORFEITED"),
        (bills.PackageSold(price=USD, **of(office, **sale)), "PACKAGE_SOLD"),
        (bills.PackageExpiring(expire_date=to_date(DUE), **of(office, **sale)), "PACKAGE_EXPIRING"),
        (bills.PackageExpired(**of(office, **sale)), "PACKAGE_EXPIRED"),
        (bills.PackageTransferred(**of(office, **sale)), "PACKAGE_TRANSFERRED"),
        (bills.PaymentReversed(payment_id=id("payment"), amount=USD, **of(office)), "PAYMENT_REVERSED"),
        (bills.DepositReturned(payment_id=id("payment"), amount=USD, **of(office)), "DEPOSIT_RETURNED"),
        (bills.PackageStopped(refundable=USD, **of(office, **sale)), "PACKAGE_STOPPED"),
    ]


async def test_each_fact_of_a_bill_is_told_once_however_often_it_comes(office: Office) -> None:
    facts = once(office)
    for event, _ in facts:
        for _ in range(2):
            await office.svc.deliver(event)
    rows = await office.rows()
    assert sorted(row["kind"] for row in rows) == sorted(kind for _, kind in facts)
    assert {(row["status"], row["due_at"], row["channel"]) for row in rows} == {("SCHEDULED", NOW, "EMAIL")}


async def test_a_message_says_which_bill_it_is_about(office: Office) -> None:
    event = invoice(office, balance=0)
    await office.svc.deliver(event)
    [row] = await office.rows()
    request = pb.GetMessageRequest(message_id=to_wire("message", row["id"]))
    message = (await office.svc.call(office.stub.GetMessage, request)).message
    assert (message.about, message.visit_id, message.rule_code) == (event.invoice_id, "", "invoice_issued")


async def test_what_is_owed_is_recalled_three_days_before_its_last_day(office: Office) -> None:
    await office.svc.deliver(invoice(office))
    [row] = await office.rows("BALANCE_DUE")
    # 10:00 of 28 March in Denver, when clocks have gone forward.
    assert row["due_at"].isoformat() == "2027-03-28T16:00:00+00:00"


async def test_without_a_last_day_nothing_is_recalled(office: Office) -> None:
    event = invoice(office)
    event.ClearField("due_date")
    await office.svc.deliver(event)
    assert await told(office) == {"INVOICE_ISSUED": ("SCHEDULED", None)}


@pytest.mark.parametrize("first", ["issued", "paid"])
async def test_what_is_paid_is_not_asked_for(office: Office, first: str) -> None:
    issued = invoice(office)
    paid = bills.InvoicePaid(**of(office, invoice_id=issued.invoice_id))
    for event in (issued, paid) if first == "issued" else (paid, issued):
        await office.svc.deliver(event)
    found = await told(office)
    assert found.get("BALANCE_DUE") == (("WITHDRAWN", "MATTER_CLOSED") if first == "issued" else None)
    assert found["INVOICE_ISSUED"] == ("SCHEDULED", None)


async def test_an_invoice_that_is_paid_before_its_news_went_out_is_announced(office: Office) -> None:
    issued = invoice(office, balance=0)
    for event in (issued, bills.InvoicePaid(**of(office, invoice_id=issued.invoice_id))):
        await office.svc.deliver(event)
    office.billing.write(issued.invoice_id)
    await office.sender().drain()
    assert await told(office) == {"INVOICE_ISSUED": ("SENT", None)}


@pytest.mark.parametrize("first", ["issued", "void"])
async def test_of_an_invoice_that_is_void_only_the_credit_note_is_told(office: Office, first: str) -> None:
    issued = invoice(office)
    note = {"credit_note_id": to_wire("creditnote", new_id()), "invoice_id": issued.invoice_id, "total": USD}
    void = bills.CreditNoteIssued(**of(office, **note), voids=True)
    for event in (issued, void) if first == "issued" else (void, issued):
        await office.svc.deliver(event)
    closed = ("WITHDRAWN", "MATTER_CLOSED")
    withdrawn = {"INVOICE_ISSUED": closed, "BALANCE_DUE": closed} if first == "issued" else {}
    assert await told(office) == withdrawn | {"CREDIT_NOTE_ISSUED": ("SCHEDULED", None)}


async def test_what_is_paid_while_its_recall_is_taken_up_is_not_asked_for(office: Office) -> None:
    issued = invoice(office)
    await office.svc.deliver(issued)
    office.svc.clock.now = NOW + timedelta(days=28)
    await office.svc.admin.execute("UPDATE matter SET closed_at = now()")
    [(chain_id, recall)] = [each for each in await office.sender().take(10) if each[1].kind == "BALANCE_DUE"]
    await office.sender().see_to(chain_id, recall)
    assert (await told(office))["BALANCE_DUE"] == ("WITHDRAWN", "MATTER_CLOSED")


async def test_an_estimate_that_was_acknowledged_is_not_announced(office: Office) -> None:
    estimate_id = to_wire("estimate", new_id())
    await office.svc.deliver(bills.EstimateIssued(**of(office, estimate_id=estimate_id), total=USD))
    await office.svc.deliver(bills.EstimateAcknowledged(**of(office, estimate_id=estimate_id)))
    assert await told(office) == {"ESTIMATE_READY": ("WITHDRAWN", "MATTER_CLOSED")}


@pytest.mark.parametrize("first", ["received", "reversed"])
async def test_nobody_is_thanked_for_a_payment_that_was_never_taken(office: Office, first: str) -> None:
    payment = {"payment_id": to_wire("payment", new_id()), "amount": USD}
    received, undone = bills.PaymentReceived(**of(office, **payment)), bills.PaymentReversed(**of(office, **payment))
    for event in (received, undone) if first == "received" else (undone, received):
        await office.svc.deliver(event)
    thanks = {"PAYMENT_RECEIVED": ("WITHDRAWN", "MATTER_CLOSED")} if first == "received" else {}
    assert await told(office) == thanks | {"PAYMENT_REVERSED": ("SCHEDULED", None)}


async def test_who_needs_no_such_letter_is_told_how_to_have_no_more(office: Office) -> None:
    sale = {"package_sale_id": to_wire("packagesale", new_id())}
    await office.svc.deliver(bills.PackageExpiring(**of(office, **sale), expire_date=to_date(DUE)))
    await office.svc.deliver(bills.PackageSold(**of(office, **sale), price=USD))
    await office.sender().drain()
    told = sorted(str(mail["List-Unsubscribe"]) for mail in office.mailbox.arrived)
    assert told == ["<mailto:notices@example.org?subject=unsubscribe>", "None"]


async def test_a_bill_of_who_is_not_known_yet_waits(office: Office) -> None:
    event = invoice(office, patient_id=to_wire("patient", new_id()))
    with pytest.raises(NotYetKnown):
        await office.svc.deliver(event)
    assert await office.rows() == []
