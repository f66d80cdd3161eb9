"""Who bills, through the gRPC door; and that a site's own days decide when an estimate is due."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from google.type.postal_address_pb2 import PostalAddress
from grpc import StatusCode

from atoll.billing.v1 import billing_profile_service_pb2 as pb
from atoll.billing.v1 import estimate_service_pb2 as estimate_pb
from atoll.billing.v1.billing_profile_service_pb2_grpc import BillingProfileServiceStub
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_date, to_timestamp
from services.billing.domain.profiles import LegalEntityBilling
from services.billing.use_cases import profiles
from tests.support.billing import FIRST_VISIT, Billing, open_billing, open_chain
from tests.support.service import Running, refusal

ADDRESS = PostalAddress(
    region_code="US", administrative_area="NM", locality="Albuquerque", address_lines=["200 Central Ave SW"]
)
ENTITY = {
    "legal_name": "Reef Clinics of New Mexico, LLC",
    "tax_id": "85-1234567",
    "npi": "1234567893",
    "address": ADDRESS,
    "invoice_prefix": "NM",
    "payment_terms_days": 30,
    "statement_text": "Gracias — call us with any question.",
}


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    return await open_chain(service)


def of_entity(billing: Billing, etag: str = '"0"', **fields: Any) -> pb.UpdateLegalEntityBillingRequest:
    id = fields.pop("legal_entity_id", billing.legal_entity_id)
    request = pb.UpdateLegalEntityBillingRequest(
        request_id=str(uuid4()),
        legal_entity_billing=pb.LegalEntityBilling(legal_entity_id=id, etag=etag, **fields),
    )
    request.update_mask.paths.extend(fields)
    return request


async def change_entity(billing: Billing, token: str | None = None, **told: Any) -> pb.LegalEntityBilling:
    stub = billing.svc.stub(BillingProfileServiceStub)
    answer = await billing.svc.call(stub.UpdateLegalEntityBilling, of_entity(billing, **told), token)
    return answer.legal_entity_billing  # type: ignore[no-any-return]


async def entity(billing: Billing, token: str | None = None) -> pb.LegalEntityBilling:
    request = pb.GetLegalEntityBillingRequest(legal_entity_id=billing.legal_entity_id)
    stub = billing.svc.stub(BillingProfileServiceStub)
    return (await billing.svc.call(stub.GetLegalEntityBilling, request, token)).legal_entity_billing  # type: ignore[no-any-return]


async def change_site(
    billing: Billing, token: str | None = None, *, etag: str = '"0"', site_id: str = "", **fields: Any
) -> pb.SiteBilling:
    told = pb.SiteBilling(site_id=site_id or billing.site_id, etag=etag, **fields)
    request = pb.UpdateSiteBillingRequest(request_id=str(uuid4()), site_billing=told)
    request.update_mask.paths.extend(fields)
    stub = billing.svc.stub(BillingProfileServiceStub)
    return (await billing.svc.call(stub.UpdateSiteBilling, request, token)).site_billing  # type: ignore[no-any-return]


async def site(billing: Billing, token: str | None = None) -> pb.SiteBilling:
    stub = billing.svc.stub(BillingProfileServiceStub)
    request = pb.GetSiteBillingRequest(site_id=billing.site_id)
    return (await billing.svc.call(stub.GetSiteBilling, request, token)).site_billing  # type: ignore[no-any-return]


def days(*texts: str) -> list[Any]:
    return [to_date(date.fromisoformat(text)) for text in texts]


async def test_who_bills_is_told_field_by_field(billing: Billing) -> None:
    assert await entity(billing) == pb.LegalEntityBilling(legal_entity_id=billing.legal_entity_id, etag='"0"')
    told = await change_entity(billing, **ENTITY)
    assert told == pb.LegalEntityBilling(legal_entity_id=billing.legal_entity_id, etag='"1"', **ENTITY)
    changed = await change_entity(billing, etag=told.etag, payment_terms_days=0)
    told.payment_terms_days, told.etag = 0, '"2"'
    assert changed == told == await entity(billing)


async def test_a_change_leaves_an_audit_row_and_is_answered_again(billing: Billing) -> None:
    request, stub = of_entity(billing, npi="1234567893"), billing.svc.stub(BillingProfileServiceStub)
    answers = [await billing.svc.call(stub.UpdateLegalEntityBilling, request) for _ in range(2)]
    assert answers[0] == answers[1]
    rows = await billing.fetch("SELECT ids FROM audit WHERE method LIKE '%UpdateLegalEntityBilling'")
    assert [billing.legal_entity_id in row["ids"] for row in rows] == [True]


async def test_a_stale_etag_changes_nothing(billing: Billing) -> None:
    told = await change_entity(billing, **ENTITY)
    for etag in ('"0"', '"2"', "other"):
        refused = await refusal(change_entity(billing, etag=etag, legal_name="Other"))
        assert (refused.code, refused.reason) == (StatusCode.ABORTED, "STALE_ETAG")
    missed = await refusal(change_entity(billing, etag="", legal_name="Other"))
    assert (missed.reason, missed.faults) == ("BAD_REQUEST", [("legal_entity_billing.etag", "string.min_len")])
    assert await entity(billing) == told


async def test_of_two_changes_at_once_one_is_stale(billing: Billing) -> None:
    """The second has read the row before the first is committed."""
    id = from_wire("legalentity", billing.legal_entity_id)
    first = of_entity(billing, legal_name="First")
    told = LegalEntityBilling(id, legal_name="First")
    async with billing.held_open(
        first, lambda store: profiles.change_legal_entity_billing(store, told, {"legal_name"})
    ):
        second = asyncio.create_task(refusal(change_entity(billing, legal_name="Second")))
        await billing.someone_waits()
    assert (await second).reason == "STALE_ETAG"
    assert ((await entity(billing)).legal_name, await billing.count("legal_entity_billing")) == ("First", 1)


@pytest.mark.parametrize("tax_id", ["00-1234567", "07-1234567", "89-1234567", "97-0000001"])
async def test_a_tax_id_of_a_prefix_that_nobody_has_is_refused(billing: Billing, tax_id: str) -> None:
    refused = await refusal(change_entity(billing, tax_id=tax_id))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "TAX_ID_INVALID")
    assert refused.faults == [("legal_entity_billing.tax_id", "TAX_ID_INVALID")]
    assert await billing.count("legal_entity_billing") == 0


@pytest.mark.parametrize("tax_id", ["851234567", "85-123456", "8-51234567", "85-12345678", "٨٥-1234567"])
async def test_a_tax_id_is_two_digits_and_seven(billing: Billing, tax_id: str) -> None:
    refused = await refusal(change_entity(billing, tax_id=tax_id))
    assert (refused.reason, refused.faults[0][0]) == ("BAD_REQUEST", "legal_entity_billing.tax_id")


@pytest.mark.parametrize("npi", ["1234567890", "1234567983", "2234567893"])
async def test_an_npi_has_a_check_digit(billing: Billing, npi: str) -> None:
    refused = await refusal(change_entity(billing, npi=npi))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "NPI_INVALID")
    assert refused.faults == [("legal_entity_billing.npi", "NPI_INVALID")]
    at_site = await refusal(change_site(billing, npi=npi))
    assert at_site.faults == [("site_billing.npi", "NPI_INVALID")]
    assert (await billing.count("legal_entity_billing"), await billing.count("site_billing")) == (0, 0)


async def test_what_was_told_can_be_taken_back(billing: Billing) -> None:
    told = await change_entity(billing, **ENTITY)
    cleared = await change_entity(
        billing, etag=told.etag, tax_id="", npi="", invoice_prefix="", address=PostalAddress()
    )
    assert (cleared.tax_id, cleared.npi, cleared.invoice_prefix, cleared.HasField("address")) == ("", "", "", False)


async def test_two_legal_entities_have_two_invoice_prefixes(billing: Billing) -> None:
    other = to_wire("legalentity", new_id())
    await billing.register_legal_entity(other)
    await change_entity(billing, invoice_prefix="NM")
    refused = await refusal(change_entity(billing, legal_entity_id=other, invoice_prefix="NM"))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "INVOICE_PREFIX_TAKEN")
    assert await billing.count("legal_entity_billing") == 1
    await change_entity(billing, legal_entity_id=other, invoice_prefix="")  # Numbers alone may be alike.
    another = await open_chain(billing.svc)
    assert (await change_entity(another, invoice_prefix="NM")).invoice_prefix == "NM"


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"payment_terms_days": 366}, "payment_terms_days"),
        ({"payment_terms_days": -1}, "payment_terms_days"),
        ({"invoice_prefix": "nm"}, "invoice_prefix"),
        ({"legal_name": "x" * 201}, "legal_name"),
        ({"address": PostalAddress(address_lines=["x"] * 6)}, "address"),
    ],
)
async def test_fields_have_bounds(billing: Billing, fields: dict[str, Any], at_fault: str) -> None:
    refused = await refusal(change_entity(billing, **fields))
    assert (refused.reason, refused.faults[0][0]) == ("BAD_REQUEST", f"legal_entity_billing.{at_fault}")


async def test_who_is_not_known_has_no_profile(billing: Billing) -> None:
    unknown = await refusal(change_entity(billing, legal_entity_id=to_wire("legalentity", new_id()), npi=""))
    assert (unknown.code, unknown.reason) == (StatusCode.FAILED_PRECONDITION, "NOT_YET_KNOWN")
    assert (await refusal(change_site(billing, site_id=to_wire("site", new_id()), npi=""))).reason == "NOT_YET_KNOWN"
    other_chain = billing.svc.token(chain_id=new_id())
    assert (await refusal(entity(billing, other_chain))).reason == "NOT_YET_KNOWN"
    assert (await refusal(site(billing, other_chain))).reason == "NOT_YET_KNOWN"


async def test_a_legal_entity_is_the_chain_administrators_and_a_site_its_own(billing: Billing) -> None:
    for role in ("ROLE_SITE_MANAGER", "ROLE_BILLING", "ROLE_FRONT_DESK", "ROLE_AUDITOR"):
        token = billing.svc.token(role)
        assert (await entity(billing, token)).etag == '"0"'
        assert (await refusal(change_entity(billing, token, **ENTITY))).code == StatusCode.PERMISSION_DENIED
    for role in ("ROLE_FRONT_DESK", "ROLE_AUDITOR", "ROLE_CLINICIAN", "ROLE_PATIENT"):
        assert (
            await refusal(change_site(billing, billing.svc.token(role), npi=""))
        ).code == StatusCode.PERMISSION_DENIED
    elsewhere = billing.at(await billing.register_site())
    assert (await refusal(change_site(billing, elsewhere, npi=""))).reason == "ACCESS_DENIED"
    assert (await refusal(site(billing, elsewhere))).reason == "ACCESS_DENIED"
    assert await billing.count("site_billing") == 0
    assert (await change_site(billing, billing.at(billing.site_id), npi="1234567893")).npi == "1234567893"


async def test_a_sites_days_come_in_order_and_once(billing: Billing) -> None:
    told = await change_site(billing, closed_dates=days("2027-03-04", "2027-03-02", "2027-03-04"))
    assert list(told.closed_dates) == days("2027-03-02", "2027-03-04")
    opened = await change_site(billing, etag=told.etag, open_dates=days("2027-10-11"))
    assert (list(opened.closed_dates), list(opened.open_dates)) == (list(told.closed_dates), days("2027-10-11"))
    assert await site(billing) == opened
    assert (await refusal(change_site(billing, etag=told.etag, open_dates=[]))).reason == "STALE_ETAG"


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"open_dates": days("2027-03-02")}, 1),  # No holiday.
        ({"open_dates": days("2027-07-04", "2027-10-11")}, 1),  # A Sunday, which is observed on the Monday.
        ({"closed_dates": days("2027-10-11", "2027-10-12"), "open_dates": days("2027-10-11")}, 1),
    ],
)
async def test_days_that_contradict_are_refused(billing: Billing, fields: dict[str, Any], count: int) -> None:
    refused = await refusal(change_site(billing, **fields))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BUSINESS_DAYS_CONTRADICT")
    assert refused.faults == [("site_billing.open_dates", "BUSINESS_DAYS_CONTRADICT")] * count
    assert await billing.count("site_billing") == 0


async def test_a_day_that_does_not_exist_is_named(billing: Billing) -> None:
    wrong = days("2027-02-28")
    wrong[0].day = 29
    refused = await refusal(change_site(billing, closed_dates=wrong))
    assert refused.faults == [("site_billing.closed_dates[0]", "date.exists")]


async def test_the_database_holds_a_day_to_one_of_the_two(billing: Billing) -> None:
    await change_site(billing, closed_dates=days("2027-10-11"))
    with pytest.raises(asyncpg.CheckViolationError):
        await billing.execute("UPDATE site_billing SET open_dates = closed_dates")


async def test_the_legal_clock_of_an_estimate_runs_by_the_sites_own_days(billing: Billing) -> None:
    """Asked for on Monday 1 March: due within three business days, to the end of the last."""
    await billing.price()
    assert await due(billing) == datetime(2027, 3, 5, 7, tzinfo=UTC)
    await change_site(billing, closed_dates=days("2027-03-02", "2027-03-04"))
    assert await due(billing) == datetime(2027, 3, 9, 7, tzinfo=UTC)  # Wednesday, Friday, Monday.


async def due(billing: Billing) -> datetime:
    request = estimate_pb.CreateEstimateRequest(
        request_id=str(uuid4()), site_id=billing.site_id, patient_id=billing.patient_id
    )
    request.visits.add(visit_type_code="assessment", start_time=to_timestamp(FIRST_VISIT))
    estimate = (await billing.svc.call(billing.estimates.CreateEstimate, request)).estimate
    return estimate.due_time.ToDatetime(UTC)  # type: ignore[no-any-return]


async def test_an_estimate_says_who_bills_as_it_was_then(billing: Billing) -> None:
    """A site's own NPI stands before that of its legal entity."""
    await billing.price()
    first = await billing.book()
    told = await change_entity(billing, **ENTITY)
    second = await billing.book()
    own = await change_site(billing, npi="1679576722")
    third = await billing.book()
    await change_entity(billing, etag=told.etag, tax_id="", npi="")
    await change_site(billing, etag=own.etag, npi="")
    said = list[tuple[str, str, bool]]()
    for course in (first, second, third):
        [estimate] = await billing.estimates_of(course)
        [facility] = estimate.providers
        gaps = {estimate_pb.EstimateGap.ESTIMATE_GAP_NPI, estimate_pb.EstimateGap.ESTIMATE_GAP_TIN}
        said.append((facility.npi, facility.tin, bool(gaps & set(estimate.gaps))))
    assert said == [("", "", True), ("1234567893", "85-1234567", False), ("1679576722", "85-1234567", False)]
