"""Invoices and credit notes are found by the number that is printed on them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from atoll.billing.v1 import credit_note_service_pb2 as note_pb
from atoll.billing.v1 import invoice_service_pb2 as pb
from atoll.billing.v1.billing_profile_service_pb2 import LegalEntityBilling, UpdateLegalEntityBillingRequest
from atoll.billing.v1.billing_profile_service_pb2_grpc import BillingProfileServiceStub
from chassis.ids import from_wire, new_id
from tests.support.billing import Billing, open_billing, open_chain
from tests.support.invoicing import Invoicing
from tests.support.service import Running, refusal


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    billing = await open_chain(service)
    await billing.price()
    return billing


@pytest_asyncio.fixture
async def desk(billing: Billing) -> Invoicing:
    return Invoicing(billing)


async def name(billing: Billing, prefix: str, etag: str = '"0"') -> str:
    """From now on its numbers have the prefix; the next etag."""
    told = LegalEntityBilling(legal_entity_id=billing.legal_entity_id, invoice_prefix=prefix, etag=etag)
    request = UpdateLegalEntityBillingRequest(request_id=str(uuid4()), legal_entity_billing=told)
    request.update_mask.paths.append("invoice_prefix")
    answer = await billing.svc.call(billing.svc.stub(BillingProfileServiceStub).UpdateLegalEntityBilling, request)
    return answer.legal_entity_billing.etag  # type: ignore[no-any-return]


async def issued(billing: Billing, number: int) -> pb.Invoice:
    """The next invoice, as if many had gone before it: with that number."""
    await billing.svc.admin.execute(
        "INSERT INTO invoice_series (chain_id, legal_entity_id, last_number) VALUES ($1, $2, $3)"
        " ON CONFLICT (chain_id, legal_entity_id) DO UPDATE SET last_number = $3",
        billing.svc.chain_id,
        from_wire("legalentity", billing.legal_entity_id),
        number - 1,
    )
    course = await billing.book()
    await billing.complete(course, 1)
    return await billing.issue(course)


async def notes(desk: Invoicing, token: str | None = None, **request: Any) -> list[str]:
    found = await desk.svc.call(desk.credit_notes.ListCreditNotes, note_pb.ListCreditNotesRequest(**request), token)
    return [each.id for each in found.credit_notes]


async def test_an_invoice_is_found_by_the_number_that_is_printed_on_it(billing: Billing, desk: Invoicing) -> None:
    bare = await issued(billing, 1)
    await name(billing, "ABQ")
    second = await issued(billing, 2)
    many = await issued(billing, 123)
    for invoice, shown in ((bare, "1"), (second, "ABQ2"), (many, "ABQ123")):
        assert invoice.display_number == shown
        assert await desk.listed(display_number=shown) == [invoice.id]
    for other in ("ABQ1", "2", "123", "ABQ12", "ABQ23", "A1", "ABQ3", "BQ123", "ABQCN123"):
        assert await desk.listed(display_number=other) == [], other


async def test_of_prefixes_that_end_in_digits_all_invoices_that_are_shown_alike_are_found(
    billing: Billing, desk: Invoicing
) -> None:
    """The newest first, and in pages."""
    made = list[pb.Invoice]()
    etag = '"0"'
    for prefix, number in (("A", 123), ("A1", 23), ("A12", 3)):
        etag = await name(billing, prefix, etag)
        made.append(await issued(billing, number))
    assert {each.display_number for each in made} == {"A123"}
    newest_first = [each.id for each in reversed(made)]
    assert await desk.listed(display_number="A123") == newest_first
    request = pb.ListInvoicesRequest(display_number="A123", page_size=2)
    page = await billing.svc.call(billing.invoices.ListInvoices, request)
    request.page_token = page.next_page_token
    rest = await billing.svc.call(billing.invoices.ListInvoices, request)
    assert [each.id for each in [*page.invoices, *rest.invoices]] == newest_first


async def test_a_credit_note_is_found_by_its_own_number(billing: Billing, desk: Invoicing) -> None:
    await name(billing, "CN")  # As what stands between the two.
    invoice = await issued(billing, 1)
    charge_id = invoice.lines[0].charge_id
    first, second = [await desk.credit(invoice.id, (charge_id, 1)) for _ in range(2)]
    assert [first.display_number, second.display_number] == ["CNCN1", "CNCN2"]
    assert await notes(desk, display_number="CNCN1") == [first.id]
    assert await notes(desk, display_number="CNCN2") == [second.id]
    for other in ("CN1", "CNCN3", "CNCN12"):
        assert await notes(desk, display_number=other) == []
    assert await desk.listed(display_number="CN1") == [invoice.id]
    assert await desk.listed(display_number="CNCN1") == []


async def test_a_credit_note_without_a_prefix_is_found(billing: Billing, desk: Invoicing) -> None:
    invoice = await issued(billing, 1)
    note = await desk.credit(invoice.id, (invoice.lines[0].charge_id, 1))
    assert await notes(desk, display_number="CN1") == [note.id]


async def test_a_number_of_a_site_or_chain_that_the_caller_does_not_see_finds_nothing(
    billing: Billing, desk: Invoicing
) -> None:
    invoice = await issued(billing, 1)
    await desk.credit(invoice.id, (invoice.lines[0].charge_id, 1))
    elsewhere = billing.at(await billing.register_site())
    for stranger in (elsewhere, billing.svc.token(chain_id=new_id())):
        assert await desk.listed(stranger, display_number="1") == []
        assert await notes(desk, stranger, display_number="CN1") == []
    here = billing.at(billing.site_id)
    assert len(await desk.listed(here, display_number="1")) == 1
    assert len(await notes(desk, here, display_number="CN1")) == 1


async def test_who_was_shown_by_a_number_is_audited(billing: Billing, desk: Invoicing) -> None:
    await issued(billing, 1)
    await desk.listed(display_number="1")
    [row] = await billing.fetch("SELECT kind, ids::text FROM audit ORDER BY position DESC LIMIT 1")
    assert row["kind"] == "AUDIT_PHI_READ"
    assert str(from_wire("patient", billing.patient_id)) in row["ids"]


NO_NUMBERS = [
    "ABQ",
    "abq1",
    "ABQ 1",
    "ABQ-1",
    "ABQ0",
    "01",
    "TOOLONGAX1",
    "1234567890123456789",
    "ABQ1\n",
    "Ä1",
    "ABQ٣",
]


@pytest.mark.parametrize("shown", ["", *NO_NUMBERS])
async def test_what_is_no_number_of_an_invoice_is_refused(billing: Billing, desk: Invoicing, shown: str) -> None:
    refused = await refusal(desk.listed(display_number=shown))
    assert (refused.reason, [field for field, _ in refused.faults]) == ("BAD_REQUEST", ["display_number"])


@pytest.mark.parametrize("shown", ["", "CN", "ABQ1", "CN0", "ABQCN01", "cn1", "TOOLONGAXCN1", "CN1234567890123456789"])
async def test_what_is_no_number_of_a_credit_note_is_refused(billing: Billing, desk: Invoicing, shown: str) -> None:
    refused = await refusal(notes(desk, display_number=shown))
    assert (refused.reason, [field for field, _ in refused.faults]) == ("BAD_REQUEST", ["display_number"])


@pytest.mark.parametrize("also", [{"overdue": True}, {"status": 1}])
async def test_a_number_is_asked_for_without_a_status(billing: Billing, desk: Invoicing, also: dict[str, Any]) -> None:
    assert (await refusal(desk.listed(display_number="1", **also))).reason == "BAD_REQUEST"


async def test_the_longest_number_is_looked_for(billing: Billing, desk: Invoicing) -> None:
    for prefix in ("ABCDEFGH", "A9999999"):
        assert await desk.listed(display_number=prefix + "9" * 18) == []
        assert await notes(desk, display_number=f"{prefix}CN" + "9" * 18) == []
