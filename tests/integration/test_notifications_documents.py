"""Documents that come with an email: fetched from billing when it is sent, where an email may name treatment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.type.timeofday_pb2 import TimeOfDay

from atoll.billing.v1 import events_pb2 as bills
from atoll.notifications.v1 import cadence_service_pb2 as cadence_pb
from atoll.notifications.v1.cadence_service_pb2_grpc import CadenceServiceStub
from atoll.notifications.v1.events_pb2 import EstimateEmailed
from atoll.notifications.v1.message_pb2 import CHANNEL_IN_APP, MESSAGE_KIND_PAYMENT_RECEIVED
from atoll.patients.v1.patient_pb2 import RELATED_PERSON_ROLE_GUARANTOR
from atoll.patients.v1.patient_service_pb2 import ContactDetails
from atoll.patients.v1.permission_pb2 import MESSAGE_CHANNEL_EMAIL, MESSAGE_PURPOSE_TREATMENT_DETAIL
from chassis.errors import DomainError
from chassis.ids import new_id, to_wire
from chassis.money import Money
from chassis.money import to_wire as money_to_wire
from services.billing.domain.printing import DocumentNotFound, DocumentRefused
from services.notifications.domain.documents import SIZE_MAX
from services.notifications.domain.sending import Retry
from tests.support.notifications import Office, open_office
from tests.support.service import NOW

MINUTE = timedelta(minutes=1)
USD = money_to_wire(Money(59_000))
PDF = bytes(range(256)) * 40
DIGEST = NOW + timedelta(hours=8)
"""17:00 in Denver."""


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Office]:
    """Its patient permits that an email names treatment."""
    async with open_office(postgres_url, issuer_folder) as office:
        permit(contact(office))
        yield office


def contact(office: Office) -> ContactDetails:
    return office.patients.details[to_wire("patient", office.patient_id)]


def permit(details: ContactDetails, *, permitted: bool = True) -> None:
    details.permissions.add(
        channel=MESSAGE_CHANNEL_EMAIL, purpose=MESSAGE_PURPOSE_TREATMENT_DETAIL, permitted=permitted
    )


def of(office: Office, **changes: Any) -> dict[str, Any]:
    ids = {"patient_id": to_wire("patient", office.patient_id), "site_id": to_wire("site", office.site_id)}
    return ids | changes


async def pay(office: Office) -> str:
    payment_id = to_wire("payment", new_id())
    await office.svc.deliver(bills.PaymentReceived(payment_id=payment_id, amount=USD, **of(office)))
    return payment_id


async def digests(office: Office) -> None:
    """Go out at 17:00."""
    stub = office.svc.stub(CadenceServiceStub)
    found = await office.svc.call(stub.GetSendingPolicy, cadence_pb.GetSendingPolicyRequest())
    found.sending_policy.digest_time.CopyFrom(TimeOfDay(hours=17))
    request = cadence_pb.UpdateSendingPolicyRequest(request_id=str(uuid4()), sending_policy=found.sending_policy)
    await office.svc.call(stub.UpdateSendingPolicy, request)


async def due(office: Office, payments: int) -> list[str]:
    """As many payments whose receipts are to go out in one letter, now."""
    await digests(office)
    paid = [await pay(office) for _ in range(payments)]
    await office.sender().drain()
    office.svc.clock.now = DIGEST
    return paid


async def send(office: Office, to: str = "ana@example.org") -> list[EmailMessage]:
    """What has arrived there by now."""
    await office.end_holds()
    await office.sender().drain()
    return office.mailbox.to(to)


def attached(mail: EmailMessage) -> list[tuple[str | None, str, bytes]]:
    return [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))  # type: ignore[misc]
        for part in mail.iter_attachments()
    ]


def said(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body
    return str(body.get_content())


def facts(office: Office) -> list[tuple[Any, str, str]]:
    """An event, the id of its document, and the name of the file."""
    ids = {kind: to_wire(kind, new_id()) for kind in ("estimate", "invoice", "payment", "refund", "creditnote")}
    estimate = bills.EstimateIssued(estimate_id=ids["estimate"], total=USD, **of(office))
    invoice = bills.InvoiceIssued(invoice_id=ids["invoice"], balance=USD, display_number="NM 1/7", **of(office))
    payment = bills.PaymentReceived(payment_id=ids["payment"], amount=USD, **of(office))
    refund = bills.RefundSucceeded(refund_id=ids["refund"], amount=USD, **of(office))
    note = bills.CreditNoteIssued(credit_note_id=ids["creditnote"], total=USD, **of(office))
    return [
        (estimate, ids["estimate"], "estimate.pdf"),
        (invoice, ids["invoice"], "invoice-NM-1-7.pdf"),
        (payment, ids["payment"], "receipt.pdf"),
        (refund, ids["refund"], "refund-receipt.pdf"),
        (note, ids["creditnote"], "credit-note.pdf"),
    ]


async def test_a_receipt_comes_with_its_mail(office: Office) -> None:
    office.billing.write(await pay(office), PDF)
    [mail] = await send(office)
    assert (mail.get_content_type(), attached(mail)) == (
        "multipart/mixed",
        [("receipt.pdf", "application/pdf", PDF)],
    )
    assert "Your receipt is attached to this email." in said(mail)
    html = mail.get_body(("html",))
    assert html
    assert "Your receipt is attached to this email." in html.get_content()
    assert mail["Subject"] == "Thank you: Harbor Lane"
    [row] = await office.rows()
    assert (row["status"], row["attempts"], row["last_error"]) == ("SENT", 1, None)


async def test_each_document_that_a_patient_is_sent_comes_with_its_mail(office: Office) -> None:
    made = facts(office)
    for event, subject_id, name in made:
        office.billing.write(subject_id, name.encode())
        await office.svc.deliver(event)
    found = [attached(mail) for mail in await send(office)]
    assert sorted(found) == sorted([(name, "application/pdf", name.encode())] for _, _, name in made)


async def test_what_tells_of_no_document_asks_for_none(office: Office) -> None:
    sale = {"package_sale_id": to_wire("packagesale", new_id())}
    await office.svc.deliver(bills.PackageSold(price=USD, **of(office, **sale)))
    payment = {"payment_id": to_wire("payment", new_id())}
    await office.svc.deliver(bills.DepositReleased(amount=USD, **of(office, **payment)))
    await office.book()
    assert [mail.is_multipart() and attached(mail) for mail in await send(office)] == [[]] * 3
    assert office.billing.asked == []


@pytest.mark.parametrize("said_no", [False, True])
async def test_without_permission_to_name_treatment_no_document_leaves_billing(office: Office, said_no: bool) -> None:
    del contact(office).permissions[:]
    if said_no:
        permit(contact(office), permitted=False)
    for event, subject_id, _ in facts(office):
        office.billing.write(subject_id)
        await office.svc.deliver(event)
    mails = await send(office)
    assert [attached(mail) for mail in mails] == [[]] * 5
    assert "attached" not in "".join(said(mail) for mail in mails)
    assert office.billing.asked == []


async def test_whoever_pays_for_a_grown_up_gets_no_document(office: Office) -> None:
    """The permission is the patient's, for their own mail."""
    contact(office).related_persons.add(role=RELATED_PERSON_ROLE_GUARANTOR, email="payer@example.org")
    office.billing.write(await pay(office))
    [mail] = await send(office, "payer@example.org")
    assert (attached(mail), office.billing.asked) == ([], [])


async def test_whoever_speaks_for_a_minor_gets_the_document(office: Office) -> None:
    contact(office).minor = True
    contact(office).related_persons.add(role=RELATED_PERSON_ROLE_GUARANTOR, email="parent@example.org")
    office.billing.write(await pay(office), PDF)
    [mail] = await send(office, "parent@example.org")
    assert attached(mail) == [("receipt.pdf", "application/pdf", PDF)]


@pytest.mark.parametrize(("away", "error"), [(False, "DOCUMENT_PENDING"), (True, "BILLING_INTERNAL")])
async def test_a_document_that_is_not_there_yet_is_waited_for(office: Office, away: bool, error: str) -> None:
    payment_id = await pay(office)
    office.billing.away = away
    assert await send(office) == []
    [row] = await office.rows()
    assert (row["status"], row["attempts"], row["last_error"]) == ("SCHEDULED", 0, error)
    office.billing.away = False
    office.billing.write(payment_id, PDF)
    [mail] = await send(office)
    assert attached(mail) == [("receipt.pdf", "application/pdf", PDF)]


async def test_a_document_that_does_not_come_is_waited_for_no_longer_than_a_quarter_of_an_hour(
    office: Office,
) -> None:
    await pay(office)
    office.svc.clock.now = NOW + 15 * MINUTE - timedelta(seconds=1)
    assert await send(office) == []
    office.svc.clock.now = NOW + 15 * MINUTE
    [mail] = await send(office)
    assert attached(mail) == []
    assert "attached" not in said(mail)
    assert [(row["status"], row["attempts"]) for row in await office.rows()] == [("SENT", 1)]


@pytest.mark.parametrize("refuses", [DocumentNotFound, DocumentRefused])
async def test_where_no_document_will_come_the_mail_does_not_wait(office: Office, refuses: type[DomainError]) -> None:
    office.billing.refuses = refuses
    await pay(office)
    [mail] = await send(office)
    assert attached(mail) == []
    assert "attached" not in said(mail)


async def test_of_what_was_voided_meanwhile_nothing_goes_out(office: Office) -> None:
    """Also before the event that says so has come."""
    office.billing.write(await pay(office), voided=True)
    assert await send(office) == []
    assert [(row["status"], row["reason"]) for row in await office.rows()] == [("WITHDRAWN", "MATTER_CLOSED")]


async def test_a_document_that_is_too_large_stays_behind(office: Office) -> None:
    office.billing.write(await pay(office), bytes(SIZE_MAX + 1))
    [mail] = await send(office)
    assert attached(mail) == []
    assert "attached" not in said(mail)


async def test_a_mail_whose_line_broke_goes_out_again_with_the_same_document(office: Office) -> None:
    office.billing.write(await pay(office), PDF)
    office.mailbox.drops = True
    await send(office)
    office.mailbox.drops = False
    first, again = await send(office)
    assert first["Message-ID"] == again["Message-ID"]
    assert attached(first) == attached(again) == [("receipt.pdf", "application/pdf", PDF)]


async def test_a_mail_that_is_refused_has_failed_whatever_came_with_it(office: Office) -> None:
    office.billing.write(await pay(office))
    office.mailbox.rcpt_answer = "550 5.1.1 no such mailbox"
    assert await send(office) == []
    assert [(row["status"], row["reason"]) for row in await office.rows()] == [("FAILED", "REFUSED")]


async def emailed(office: Office) -> list[str]:
    """Estimates that are told to have gone out as PDFs."""
    return [event.estimate_id for _, event in await office.svc.published() if isinstance(event, EstimateEmailed)]


async def estimate(office: Office, pdf: bytes = PDF) -> str:
    estimate_id = to_wire("estimate", new_id())
    office.billing.write(estimate_id, pdf)
    await office.svc.deliver(bills.EstimateIssued(estimate_id=estimate_id, total=USD, **of(office)))
    return estimate_id


async def test_an_estimate_that_went_out_is_told_once(office: Office) -> None:
    """Of other documents nothing is told."""
    estimate_id = await estimate(office)
    office.billing.write(await pay(office))
    assert [bool(attached(mail)) for mail in await send(office)] == [True] * 2
    assert await emailed(office) == [estimate_id]
    [told] = [event for _, event in await office.svc.published() if isinstance(event, EstimateEmailed)]
    [row] = [row for row in await office.rows() if row["kind"] == "ESTIMATE_READY"]
    assert (told.patient_id, told.site_id, told.message_id) == (*of(office).values(), to_wire("message", row["id"]))


@pytest.mark.parametrize("why", ["by link", "too large", "refused"])
async def test_an_estimate_that_did_not_go_out_as_a_document_is_not_told(office: Office, why: str) -> None:
    if why == "by link":
        del contact(office).permissions[:]
    if why == "refused":
        office.mailbox.rcpt_answer = "550 5.1.1 no such mailbox"
    await estimate(office, bytes(SIZE_MAX + 1) if why == "too large" else PDF)
    assert len(await send(office)) == (why != "refused")
    assert [row["status"] for row in await office.rows()] == ["FAILED" if why == "refused" else "SENT"]
    assert await emailed(office) == []


async def test_a_digest_brings_the_documents_of_all_that_stands_in_it(office: Office) -> None:
    await digests(office)
    for number, voided in enumerate((False, False, True)):
        office.billing.write(await pay(office), b"%d" % number, voided=voided)
    await office.sender().drain()
    office.svc.clock.now = DIGEST
    sender = office.sender()
    [(chain_id, first)] = await sender.take(1)
    await sender.see_to(chain_id, first)
    [mail] = await send(office)
    assert sorted(content for _, _, content in attached(mail)) == [b"0", b"1"]
    ends = [(row["status"], row["digest_id"] is not None) for row in await office.rows()]
    assert sorted(ends) == [("SENT", True), ("SENT", True), ("WITHDRAWN", False)]


async def test_a_digest_waits_for_no_document(office: Office) -> None:
    written, _ = await due(office, 2)
    office.billing.write(written, PDF)
    [mail] = await send(office)
    assert attached(mail) == [("receipt.pdf", "application/pdf", PDF)]
    assert [row["status"] for row in await office.rows()] == ["SENT", "SENT"]


async def test_a_digest_waits_for_billing_that_is_away_and_stays_one_letter(office: Office) -> None:
    """Also when the wait of one of its messages ends before that of another. Billing is asked once for each message
    that the letter might have begun with."""
    for payment_id in await due(office, 3):
        office.billing.write(payment_id, PDF)
    office.billing.away = True
    assert await send(office) == []
    rows = await office.rows()
    assert {(row["status"], row["attempts"], row["last_error"]) for row in rows} == {
        ("SCHEDULED", 0, "BILLING_INTERNAL")
    }
    assert len(office.billing.asked) == 3
    office.billing.away = False
    await office.svc.admin.execute(
        "UPDATE message SET held_until = clock_timestamp() + CASE id WHEN $1 THEN interval '-1 s' ELSE '1 minute' END",
        rows[1]["id"],
    )
    await office.sender().drain()
    [mail] = office.mailbox.to("ana@example.org")
    assert len(attached(mail)) == 3
    assert {(row["status"], row["digest_id"]) for row in await office.rows()} == {("SENT", rows[1]["id"])}


async def test_a_digest_waits_for_billing_no_longer_than_a_quarter_of_an_hour(office: Office) -> None:
    await due(office, 2)
    office.billing.away = True
    office.svc.clock.now = DIGEST + 15 * MINUTE - timedelta(seconds=1)
    assert await send(office) == []
    office.svc.clock.now = DIGEST + 15 * MINUTE
    [mail] = await send(office)
    assert attached(mail) == []


async def test_a_digest_waits_for_billing_that_goes_away_in_between(office: Office) -> None:
    """It answered for the first document."""
    for payment_id in await due(office, 2):
        office.billing.write(payment_id, PDF)
    sender = office.sender()
    [(chain_id, first)] = await sender.take(1)

    async def leave() -> None:
        office.billing.away = len(office.billing.asked) > 1

    office.billing.before_answer = leave
    end = await sender.see_to(chain_id, first)
    assert isinstance(end, Retry)
    assert end.error == "BILLING_INTERNAL"


async def test_letters_with_one_document_wait_for_no_place_behind_one_another(office: Office) -> None:
    """Sixteen of which billing answers none before it was asked for all."""
    for payment_id in [await pay(office) for _ in range(16)]:
        office.billing.write(payment_id, PDF)
    asked_for_all = asyncio.Event()

    async def wait() -> None:
        if len(office.billing.asked) == 16:
            asked_for_all.set()
        try:
            await asyncio.wait_for(asked_for_all.wait(), 2)
        except TimeoutError:
            office.billing.away = True

    office.billing.before_answer = wait
    assert len(await send(office)) == 16


@pytest.mark.parametrize("away", [False, True])
async def test_a_digest_that_may_be_out_waits_to_go_out_as_it_was(office: Office, away: bool) -> None:
    """What is void since then is in it, too."""
    for number, payment_id in enumerate(await due(office, 2)):
        office.billing.write(payment_id, b"%d" % number)
    office.mailbox.drops = True
    [first] = await send(office)
    written = office.billing.documents
    office.mailbox.drops, office.billing.documents, office.billing.away = False, {}, away
    assert await send(office) == [first]
    office.billing.documents, office.billing.away = written, False
    for document in office.billing.documents.values():
        document.voided = True
    _, again = await send(office)
    assert first["Message-ID"] == again["Message-ID"]
    assert attached(first) == attached(again)
    assert len(attached(again)) == 2


async def test_documents_of_a_digest_are_asked_for_at_once_but_no_more_than_eight(office: Office) -> None:
    """But for the first, which is asked for before them."""
    for payment_id in await due(office, 11):
        office.billing.write(payment_id, PDF)
    sender = office.sender()
    [(chain_id, taken)] = await sender.take(1)
    asking, most, eight = 0, 0, asyncio.Event()

    async def wait() -> None:
        nonlocal asking, most
        if len(office.billing.asked) == 1:
            return
        asking += 1
        most = max(most, asking)
        if asking == 8:
            eight.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(eight.wait(), 1)
        await asyncio.sleep(0.05)  # For one too many to be asked for.
        asking -= 1

    office.billing.before_answer = wait
    await sender.see_to(chain_id, taken)
    [mail] = office.mailbox.to("ana@example.org")
    assert (most, len(attached(mail))) == (8, 11)


async def test_what_does_not_fit_into_one_letter_any_more_stays_behind(office: Office) -> None:
    for payment_id in await due(office, 3):
        office.billing.write(payment_id, bytes(SIZE_MAX // 2))
    [mail] = await send(office)
    assert len(attached(mail)) == 2


async def test_what_goes_by_no_email_asks_for_no_document(office: Office) -> None:
    stub = office.svc.stub(CadenceServiceStub)
    cadence = (await office.svc.call(stub.GetCadence, cadence_pb.GetCadenceRequest())).cadence
    for rule in cadence.rules:
        if rule.kind == MESSAGE_KIND_PAYMENT_RECEIVED:
            rule.channels[:] = [CHANNEL_IN_APP]
    request = cadence_pb.UpdateCadenceRequest(request_id=str(uuid4()), rules=cadence.rules, etag=cadence.etag)
    await office.svc.call(stub.UpdateCadence, request)
    await pay(office)
    await send(office)
    assert [row["status"] for row in await office.rows()] == ["SENT"]
    assert office.billing.asked == []
