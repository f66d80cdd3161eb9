"""Documents: ordered with what they show, written by a job that asks who the patient is, kept encrypted."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import grpc
import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.postal_address_pb2 import PostalAddress
from grpc import StatusCode
from pypdf import PdfReader

from atoll.billing.v1 import cash_count_service_pb2, credit_note_service_pb2, refund_service_pb2
from atoll.billing.v1 import document_service_pb2 as pb
from atoll.billing.v1 import payment_service_pb2 as payment_pb
from atoll.billing.v1.billing_profile_service_pb2 import LegalEntityBilling, UpdateLegalEntityBillingRequest
from atoll.billing.v1.billing_profile_service_pb2_grpc import BillingProfileServiceStub
from atoll.billing.v1.cash_count_service_pb2_grpc import CashCountServiceStub
from atoll.billing.v1.document_service_pb2_grpc import DocumentServiceStub
from atoll.billing.v1.refund_service_pb2_grpc import RefundServiceStub
from atoll.patients.v1.events_pb2 import PatientMerged
from chassis.ids import from_wire, new_id, to_wire
from chassis.keyring import KeyRing, Sealed
from chassis.times import to_date, to_timestamp
from services.billing.printing import pdf
from tests.support.billing import COURSE, THERAPY, TODAY, BookedCourse, dollars, usd
from tests.support.billing_estimates import Office, code, open_office, write_keys
from tests.support.invoicing import Invoicing
from tests.support.packages import Packages
from tests.support.service import NOW, read_refusal, refusal, refusing

DAY = timedelta(days=1)


@pytest_asyncio.fixture(scope="module")
async def opened(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Office]:
    async with open_office(postgres_url, issuer_folder) as office:
        yield office


@pytest_asyncio.fixture
async def office(opened: Office) -> Office:
    await opened.svc.admin.execute("DELETE FROM document_work")
    await opened.open()
    await opened.billing.price()
    return opened


async def booked(office: Office, **changes: Any) -> tuple[BookedCourse, str]:
    course = await office.billing.book(**changes)
    [estimate, *_] = await office.billing.estimates_of(course)
    return course, estimate.id


async def kept(office: Office) -> list[asyncpg.Record]:
    return await office.billing.fetch("SELECT * FROM document ORDER BY id")


async def work(office: Office) -> list[asyncpg.Record]:
    return await office.billing.fetch("SELECT * FROM document_work")


def text_of(pdf: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages).split())


async def test_an_estimate_is_printed_with_the_taxes_of_its_site(office: Office) -> None:
    await Invoicing(office.billing).tax()
    _, estimate_id = await booked(office)
    await office.writer().write_some()
    shown = text_of((await office.document(estimate_id)).pdf)
    assert "Expected taxes $112.85" in shown
    assert "$1,592.85" in shown


async def test_an_estimate_is_printed_with_all_that_the_law_asks_for(office: Office) -> None:
    await code(office.billing, "infusion", "96365")
    course, estimate_id = await booked(office)
    office.patients.names[course.patient_id] = ("José", "Andrade")
    office.patients.codes[:] = ["F33.2", "F41.1"]
    await office.writer().write_some()

    document = await office.document(estimate_id, office.billing.at(office.billing.site_id, "ROLE_FRONT_DESK"))
    assert (document.kind, document.subject_id, document.version) == (pb.PRINTED_KIND_ESTIMATE, estimate_id, 1)
    assert (document.patient_id, document.site_id) == (course.patient_id, course.site_id)
    assert document.create_time == to_timestamp(NOW)
    assert document.keep_date == to_date(TODAY.replace(year=2033))
    shown = text_of(document.pdf)
    for part in (
        "José Andrade", "May 4, 1981", "F33.2, F41.1", "March 22, 2027", "96365", "$1,480.00", "$590.00",
        "series of 3 visits from March 22, 2027 to April 5, 2027", "about one every 7 days",
        "Therapy hour", "only an estimate", "not a contract", "right to dispute", "$400", "does not affect your care",
        "1-800-985-3059", estimate_id,
    ):  # fmt: skip
        assert part in shown, part


async def test_an_invoice_is_printed_as_it_stood_when_it_was_issued(office: Office) -> None:
    """With nothing of what the patient was found to have: nobody is asked for it."""
    billing = office.billing
    profile = LegalEntityBilling(
        legal_entity_id=billing.legal_entity_id,
        etag='"0"',
        legal_name="Reef Clinics, LLC",
        tax_id="85-1234567",
        npi="1234567893",
        address=PostalAddress(region_code="US", locality="Albuquerque", address_lines=["200 Central Ave SW"]),
        invoice_prefix="NM",
        payment_terms_days=30,
        statement_text="Pay at the desk.",
    )
    paths = [field.name for field, _ in profile.ListFields() if field.name not in ("legal_entity_id", "etag")]
    request = UpdateLegalEntityBillingRequest(
        request_id=str(uuid4()), legal_entity_billing=profile, update_mask=FieldMask(paths=paths)
    )
    await billing.svc.call(office.svc.stub(BillingProfileServiceStub).UpdateLegalEntityBilling, request)
    await code(billing, "infusion", "96365")
    course, _ = await booked(office)
    await office.writer().write_some()
    office.patients.asked.clear()
    await billing.complete(course)
    await billing.pay(150, course_id=course.id)
    invoice = await billing.issue(course)
    await billing.pay(1330)
    await office.writer().write_some()

    asked = [each.DESCRIPTOR.name for each in office.patients.asked]
    assert asked == ["GetDocumentDetailsRequest"] * 3  # For the invoice, and for the receipts of both payments.
    front_desk = billing.at(billing.site_id, "ROLE_FRONT_DESK")
    document = await office.document_of(front_desk, invoice_id=invoice.id)
    assert (document.kind, document.subject_id, document.version) == (pb.PRINTED_KIND_INVOICE, invoice.id, 1)
    assert (document.patient_id, document.site_id) == (course.patient_id, course.site_id)
    shown = text_of(document.pdf)
    for part in (
        "Invoice", "No. NM1", "Reef Clinics, LLC", "200 Central Ave SW", "Albuquerque", "EIN 85-1234567",
        "NPI 1234567893", "Ana Ruiz", "May 4, 1981", "March 1, 2027", "March 31, 2027", "96365", "$590.00", "$1,480.00",
        "-$150.00", "$1,330.00", "Pay at the desk.",
    ):  # fmt: skip
        assert part in shown, part
    elsewhere = billing.at(await billing.register_site())
    assert (await refusal(office.document_of(elsewhere, invoice_id=invoice.id))).reason == "DOCUMENT_NOT_FOUND"


async def test_a_credit_note_is_printed(office: Office) -> None:
    course, _ = await booked(office)
    await office.billing.complete(course, 0)
    invoice = await office.billing.issue(course)
    desk = Invoicing(office.billing)
    note = await desk.credit(invoice.id, (invoice.lines[0].charge_id, 90), note="Between us: she was furious")
    await office.writer().write_some()
    document = await office.document_of(credit_note_id=note.id)
    assert (document.kind, document.subject_id) == (pb.PRINTED_KIND_CREDIT_NOTE, note.id)
    shown = text_of(document.pdf)
    for part in ("Credit note", "Ana Ruiz", "Price corrected", "$90.00", "no longer to be paid"):
        assert part in shown, part
    assert "furious" not in shown
    assert len(await kept(office)) == 3  # The estimate's, the invoice's and its own.
    unknown = to_wire("creditnote", new_id())
    assert (await refusal(office.document_of(credit_note_id=unknown))).reason == "DOCUMENT_NOT_FOUND"


async def test_a_payment_and_a_refund_have_their_receipts(office: Office) -> None:
    """As they stood: what is done with the money later changes no receipt."""
    billing = office.billing
    course, _ = await booked(office)
    await billing.complete(course, 0)
    invoice = await billing.issue(course)
    payment = await billing.pay((dollars(invoice.total) or 0) + 100, course_id=course.id)
    request = refund_service_pb2.CreateRefundRequest(
        request_id=str(uuid4()),
        site_id=billing.site_id,
        patient_id=billing.patient_id,
        amount=usd(40),
        reason="she moves away",
    )
    refund = (await billing.svc.call(billing.svc.stub(RefundServiceStub).CreateRefund, request)).refund
    await office.writer().write_some()
    document = await office.document_of(payment_id=payment.id)
    assert (document.kind, document.subject_id) == (pb.PRINTED_KIND_RECEIPT, payment.id)
    shown = text_of(document.pdf)
    number = f"Invoice {invoice.display_number}"
    for part in ("Receipt", "Ana Ruiz", "Cash", number, "Kept for what is to come", "$100.00"):
        assert part in shown, part
    returned = text_of((await office.document_of(refund_id=refund.id)).pdf)
    assert "Refund receipt" in returned
    assert "$40.00" in returned
    assert "moves away" not in returned
    elsewhere = billing.at(await billing.register_site())
    assert (await refusal(office.document_of(elsewhere, payment_id=payment.id))).reason == "DOCUMENT_NOT_FOUND"


async def test_receipts_name_the_day_on_which_money_changed_hands_also_once_its_drawer_is_counted(
    office: Office,
) -> None:
    """Cash of New Year's Eve is not deducted in the next year, though the next day's close has it."""
    billing = office.billing
    count = {"site_id": billing.site_id, "date": to_date(TODAY), "counted": usd(0)}
    request = cash_count_service_pb2.RecordCashCountRequest(request_id=str(uuid4()), **count)
    await billing.svc.call(billing.svc.stub(CashCountServiceStub).RecordCashCount, request)
    payment = await billing.pay(100)
    back = refund_service_pb2.CreateRefundRequest(
        request_id=str(uuid4()),
        site_id=billing.site_id,
        patient_id=billing.patient_id,
        amount=usd(40),
        reason="too much",
    )
    refund = (await billing.svc.call(billing.svc.stub(RefundServiceStub).CreateRefund, back)).refund
    assert payment.business_date == refund.business_date == to_date(TODAY + DAY)
    await office.writer().write_some()
    for about in ({"payment_id": payment.id}, {"refund_id": refund.id}):
        assert "March 1, 2027" in text_of((await office.document_of(**about)).pdf)


async def test_an_invoice_is_printed_where_nobody_ever_had_an_estimate(office: Office) -> None:
    chain = Packages(office.billing)
    invoice = await chain.invoice(await chain.sell(await chain.offer()))
    assert await office.billing.count("estimate") == 0
    await office.writer().write_some()
    assert "Six infusions" in text_of((await office.document_of(invoice_id=invoice.id)).pdf)


async def test_the_patient_is_asked_for_at_the_moment_of_writing_and_diagnoses_of_the_day(office: Office) -> None:
    course, _ = await booked(office)
    office.svc.clock.now = NOW + DAY
    await office.writer().write_some()
    details, diagnoses = office.patients.asked
    assert details.patient_id == diagnoses.patient_id == course.patient_id
    assert (diagnoses.course_id, diagnoses.date) == (course.id, to_date(TODAY))


async def test_nothing_of_the_patient_stands_in_the_database_unencrypted(office: Office) -> None:
    course, estimate_id = await booked(office)
    office.patients.names[course.patient_id] = ("Zqkanarie", "Zqvogel")
    await office.writer().write_some()
    [row] = await kept(office)
    assert b"%PDF" not in row["pdf"]
    for table in ("document", "document_order", "document_work", "outbox", "audit", "estimate"):
        for found in await office.svc.admin.fetch(f"SELECT {table}::text AS row FROM {table}"):
            assert "Zqkanarie" not in found["row"], table
    keys, document_id = KeyRing(office.keys_file), row["id"]
    snapshot = json.loads(keys.open(Sealed(row["key_id"], row["snapshot"]), "snapshot", document_id))
    assert snapshot["patient"] == {"name": "Zqkanarie Zqvogel", "birth_date": "May 4, 1981", "diagnoses": ["F33.2"]}
    assert snapshot["number"] == estimate_id
    assert snapshot["total"] == "$1,480.00"


async def test_a_document_that_is_not_written_yet_is_pending(office: Office) -> None:
    _, estimate_id = await booked(office)
    refused = await refusal(office.document(estimate_id))
    assert (refused.code, refused.reason, refused.retry) == (StatusCode.FAILED_PRECONDITION, "DOCUMENT_PENDING", True)
    await office.writer().write_some()
    assert (await office.document(estimate_id)).pdf.startswith(b"%PDF")


async def test_there_is_no_document_of_what_was_not_issued(office: Office) -> None:
    _, unpriced = await booked(office, kinds=[THERAPY])
    for estimate_id in (unpriced, to_wire("estimate", new_id())):
        refused = await refusal(office.document(estimate_id))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "DOCUMENT_NOT_FOUND")
    assert await office.billing.count("document_order") == 0


async def test_a_document_is_read_at_its_site_only_and_the_reading_is_noted(office: Office) -> None:
    _, estimate_id = await booked(office)
    await office.writer().write_some()
    elsewhere = office.billing.at(await office.billing.register_site())
    for token in (elsewhere, office.billing.svc.token(chain_id=new_id())):
        assert (await refusal(office.document(estimate_id, token))).reason == "DOCUMENT_NOT_FOUND"
    for role in ("ROLE_NURSE", "ROLE_INTEGRATION"):
        assert (await refusal(office.document(estimate_id, office.billing.svc.token(role)))).reason == "ACCESS_DENIED"
    await office.document(estimate_id)
    noted = "SELECT kind, ids->>'estimate_id' AS id FROM audit WHERE method LIKE '%GetDocument' ORDER BY position DESC"
    [row, *_] = await office.billing.fetch(noted)
    assert (row["kind"], row["id"]) == ("AUDIT_PHI_READ", estimate_id)


async def test_a_request_names_what_it_asks_for(office: Office) -> None:
    call = office.billing.svc.call(office.svc.stub(DocumentServiceStub).GetDocument, pb.GetDocumentRequest())
    assert (await refusal(call)).reason == "BAD_REQUEST"


async def test_each_version_has_a_document_and_that_of_the_first_stays_as_it_was(office: Office) -> None:
    course, first = await booked(office)
    await office.writer().write_some()
    before = (await office.document(first)).pdf
    await office.billing.cancel(course, 2)
    latest = (await office.billing.estimates_of(course))[0].id
    await office.writer().write_some()
    assert (await office.document(first)).pdf == before
    assert "$890.00" in text_of((await office.document(latest)).pdf)
    assert len(await kept(office)) == 2


async def test_a_document_says_whether_what_it_shows_still_holds(office: Office) -> None:
    """A void invoice, a payment that was reversed, an estimate that a later one replaced: each stays as it was."""
    billing, desk = office.billing, Invoicing(office.billing)
    course, first = await booked(office)
    await billing.complete(course, 0)
    invoice, payment, kept_payment = await billing.issue(course), await billing.pay(5), await billing.pay(6)
    await office.writer().write_some()
    shown = [{"estimate_id": first}, {"invoice_id": invoice.id}, {"payment_id": payment.id}]
    assert [(await office.document_of(**each)).voided for each in shown] == [False] * 3
    before = [(await office.document_of(**each)).pdf for each in shown]

    await billing.cancel(course, 2)
    reverse = payment_pb.ReversePaymentRequest(request_id=str(uuid4()), payment_id=payment.id, reason="mis-keyed")
    await billing.svc.call(billing.payments.ReversePayment, reverse)
    await desk.void(invoice.id, purpose=credit_note_service_pb2.CREDIT_PURPOSE_CREDIT)
    await office.writer().write_some()
    assert [(await office.document_of(**each)).voided for each in shown] == [True] * 3
    assert [(await office.document_of(**each)).pdf for each in shown] == before
    latest = (await billing.estimates_of(course))[0].id
    [note] = [each for each in await billing.fetch("SELECT id FROM credit_note")]
    holds = [
        {"estimate_id": latest},
        {"payment_id": kept_payment.id},
        {"credit_note_id": to_wire("creditnote", note["id"])},
    ]
    assert [(await office.document_of(**each)).voided for each in holds] == [False] * 3


@pytest.mark.parametrize("no_measure", ["too_late = true", "total_minor = NULL"])
async def test_an_estimate_holds_beside_a_later_version_that_is_no_measure(office: Office, no_measure: str) -> None:
    """One that came too late, and one with what has no price yet."""
    course, first = await booked(office)
    await office.billing.cancel(course, 2)
    latest = (await office.billing.estimates_of(course))[0].id
    await office.writer().write_some()
    assert (await office.document(first)).voided

    await office.svc.admin.execute(f"UPDATE estimate SET {no_measure} WHERE id = $1", from_wire("estimate", latest))
    assert not (await office.document(first)).voided


async def test_of_a_merged_patient_the_survivor_is_asked_for(office: Office) -> None:
    course, estimate_id = await booked(office)
    survivor = await office.billing.register_patient()
    merged = PatientMerged(patient_id=survivor, merged_patient_id=course.patient_id)
    await office.billing.svc.deliver(merged, version=1)
    await office.writer().write_some()
    assert [each.patient_id for each in office.patients.asked] == [survivor] * 2
    assert (await office.document(estimate_id)).patient_id == course.patient_id


# When something fails.


async def test_while_patients_is_away_a_document_is_put_off_longer_and_longer(office: Office) -> None:
    _, estimate_id = await booked(office)
    office.patients.away = True
    waits = list[float]()
    for _ in range(3):
        await office.end_leases()
        await office.writer().write_some()
        left = "SELECT extract(epoch FROM not_before - clock_timestamp()) AS s FROM document_work"
        [row] = await office.billing.fetch(left)
        waits.append(round(float(row["s"])))
    assert waits == [2, 4, 8]
    [row] = await work(office)
    assert (row["attempts"], row["last_error"]) == (3, "PATIENTS_INTERNAL")
    assert (await refusal(office.document(estimate_id))).reason == "DOCUMENT_PENDING"
    assert await office.writer().write_some() == 0  # Not before its time.

    office.patients.away = False
    await office.end_leases()
    await office.writer().write_some()
    assert (await office.document(estimate_id)).pdf
    assert await work(office) == []


async def test_a_chain_whose_work_cannot_be_taken_now_holds_up_no_other(office: Office) -> None:
    await booked(office)
    first = office.billing.svc.chain_id
    await office.open()
    await office.billing.price()
    _, estimate_id = await booked(office)
    await office.writer(refusing(office.svc.db, first)).write_some()
    assert (await office.document(estimate_id)).pdf


class Killed(BaseException):
    """What a process dies of: nothing catches it."""


async def test_a_writer_that_is_killed_between_asking_and_keeping_leaves_one_document(office: Office) -> None:
    _, estimate_id = await booked(office)

    def killed(*_: Any) -> bytes:
        raise Killed

    with pytest.raises(Killed):
        await office.writer(render=killed).write_some()
    assert len(office.patients.asked) == 2
    assert (await kept(office), len(await work(office))) == ([], 1)
    assert await office.writer().write_some() == 0  # Its lease holds,
    await office.end_leases()  # and runs out.
    await office.writer().write_some()
    assert len(await kept(office)) == 1
    assert (await office.document(estimate_id)).pdf


async def test_a_writer_that_lost_its_lease_keeps_no_second_document(office: Office) -> None:
    """The slow one is overtaken while it waits for the patients service."""
    _, estimate_id = await booked(office)
    waits, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        waits.set()
        await go_on.wait()

    office.patients.before_answer = wait
    slow = asyncio.create_task(office.writer().write_some())
    await waits.wait()
    office.patients.before_answer = None
    await office.end_leases()
    await office.writer().write_some()
    [first] = await kept(office)
    go_on.set()
    assert await slow == 1  # What else it holds it sees to.
    assert await kept(office) == [first]
    assert (await office.document(estimate_id)).pdf
    assert await work(office) == []


async def test_nothing_is_held_in_the_database_while_patients_is_asked(office: Office) -> None:
    await booked(office)
    busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in trans%'"
    seen = list[int]()

    async def look() -> None:
        seen.append(await office.svc.admin.fetchval(busy))

    office.patients.before_answer = look
    await office.writer().write_some()
    assert seen == [0]


async def test_a_template_that_fails_holds_up_no_other_document(office: Office) -> None:
    await booked(office)
    _, estimate_id = await booked(office)
    failed = list[UUID]()

    def once(*args: Any) -> bytes:
        if not failed:
            failed.append(new_id())
            raise ValueError("broken")
        return pdf(*args)

    await office.writer(render=once).write_some()
    [row] = await work(office)
    assert (row["last_error"], len(await kept(office))) == ("ValueError", 1)
    await office.end_leases()
    await office.writer().write_some()
    assert len(await kept(office)) == 2
    assert (await office.document(estimate_id)).pdf


async def test_rendering_leaves_the_event_loop_alone(office: Office) -> None:
    await booked(office)
    threads = list[bool]()

    def look(*_: Any) -> bytes:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            threads.append(True)
        return b"%PDF" + bytes(40)

    await office.writer(render=look).write_some()
    assert threads == [True]


# Keys.


async def test_a_document_opens_with_the_key_that_it_was_written_with(office: Office) -> None:
    _, first = await booked(office)
    await office.writer().write_some()
    write_keys(office.keys_file, "2")
    _, second = await booked(office, kinds=COURSE[:1])
    await office.writer().write_some()
    assert [row["key_id"] for row in await kept(office)] == ["1", "2"]
    for estimate_id in (first, second):
        assert (await office.document(estimate_id)).pdf.startswith(b"%PDF")


async def test_without_a_key_nothing_is_written_and_later_it_is(office: Office) -> None:
    _, estimate_id = await booked(office)
    text = office.keys_file.read_text()
    office.keys_file.write_text("{}")
    try:
        await office.writer().write_some()
    finally:
        office.keys_file.write_text(text)
    [row] = await work(office)
    assert (row["last_error"], await kept(office)) == ("KEY_MISSING", [])
    await office.end_leases()
    await office.writer().write_some()
    assert (await office.document(estimate_id)).pdf


async def test_a_document_is_not_given_out_while_its_key_is_away(office: Office) -> None:
    _, estimate_id = await booked(office)
    await office.writer().write_some()
    text = office.keys_file.read_text()
    office.keys_file.unlink()
    try:
        refused = await refusal(office.document(estimate_id))
    finally:
        office.keys_file.write_text(text)
    assert (refused.code, refused.reason, refused.retry) == (StatusCode.UNAVAILABLE, "DOCUMENT_KEYS_MISSING", True)
    assert (await office.document(estimate_id)).pdf.startswith(b"%PDF")


async def test_a_document_that_was_moved_to_another_does_not_open(office: Office) -> None:
    """Not even by somebody who may write to the database."""
    _, first = await booked(office)
    _, second = await booked(office)
    await office.writer().write_some()
    await office.svc.admin.execute(
        "UPDATE document SET pdf = (SELECT pdf FROM document WHERE id <> $1 AND chain_id = $2) WHERE id = $1",
        (await kept(office))[0]["id"],
        office.billing.svc.chain_id,
    )
    reasons = [await reason_of(office, estimate_id) for estimate_id in (first, second)]
    assert sorted(reasons) == ["", "DOCUMENT_REFUSED"]


async def reason_of(office: Office, estimate_id: str) -> str:
    """Of the refusal, if it is refused."""
    try:
        await office.document(estimate_id)
    except grpc.aio.AioRpcError as error:
        return read_refusal(error).reason
    return ""


async def test_a_document_is_never_kept_unencrypted(office: Office) -> None:
    await booked(office)
    [order] = await office.billing.fetch("SELECT * FROM document_order")
    with pytest.raises(asyncpg.CheckViolationError):
        await office.billing.execute(
            "INSERT INTO document VALUES ($1, $2, $3, $4, '1', 'short', 'short', now(), current_date)",
            office.billing.svc.chain_id,
            order["id"],
            order["site_id"],
            order["patient_id"],
        )
    assert await kept(office) == []
