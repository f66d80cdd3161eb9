"""How much a call asks of the database: its round trips, and that none reads a table from end to end."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
import pytest_asyncio
from asyncpg import Record

from atoll.billing.v1 import account_service_pb2 as account_pb
from atoll.billing.v1 import invoice_service_pb2 as invoice_pb
from atoll.billing.v1 import package_sale_service_pb2 as sale_pb
from atoll.billing.v1 import payment_service_pb2 as payment_pb
from atoll.common.v1.access_pb2 import AUDIT_NONE
from chassis.ids import from_wire, new_id
from chassis.money import Money
from chassis.sql import Statement
from services.billing import store
from services.billing.domain.accounts import Account
from services.billing.domain.invoices import Discount, DiscountReason, Wording
from services.billing.domain.ledger import Tender
from services.billing.domain.prices import VisitKind
from services.billing.domain.sites import RenderedVisit
from services.billing.rpc.common import FIRST_ID, LAST_ID
from services.billing.store import BillingStore
from services.billing.use_cases import charges, invoices, payments, sales
from tests.support.billing import INFUSION, TODAY, Billing, open_billing, open_chain
from tests.support.billing_rows import fill
from tests.support.invoicing import Invoicing
from tests.support.packages import Packages
from tests.support.service import NOW, Running

ROWS = 10_000


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


class Counting(BillingStore):
    trips = 0

    async def rows(self, statement: Statement, **values: Any) -> list[Record]:
        Counting.trips += 1
        return await super().rows(statement, **values)


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    billing = await open_chain(service)
    await billing.price()
    Counting.trips = 0
    return billing


async def test_an_invoice_takes_eleven_statements(billing: Billing) -> None:
    course = await billing.book()
    await billing.pay(150, course_id=course.id)
    await billing.complete(course)
    request = invoice_pb.IssueInvoiceRequest(request_id=str(new_id()), course_id=course.id)

    async def work(store: Counting) -> invoice_pb.IssueInvoiceResponse:
        await invoices.issue_invoice(store, from_wire("course", course.id))
        return invoice_pb.IssueInvoiceResponse()

    inside = billing.svc.inside("IssueInvoice", request.request_id)
    await billing.svc.db.once(inside, request, invoice_pb.IssueInvoiceResponse, Counting, work)
    assert Counting.trips == 11
    await billing.books_agree()


async def test_an_invoice_of_chosen_charges_takes_eleven_statements_with_a_tax_and_a_discount(billing: Billing) -> None:
    course = await billing.book()
    await billing.complete(course)
    await Invoicing(billing).tax()
    rows = await billing.fetch("SELECT id FROM charge WHERE course_id = $1", from_wire("course", course.id))
    request = invoice_pb.IssueInvoiceRequest(request_id=str(new_id()))
    wording = Wording(Discount(Money(100), DiscountReason.STAFF))

    async def work(store: Counting) -> invoice_pb.IssueInvoiceResponse:
        await invoices.invoice_charges(store, [row["id"] for row in rows], wording)
        return invoice_pb.IssueInvoiceResponse()

    inside = billing.svc.inside("IssueInvoice", request.request_id)
    await billing.svc.db.once(inside, request, invoice_pb.IssueInvoiceResponse, Counting, work)
    assert Counting.trips == 11
    await billing.books_agree()


async def test_a_payment_in_cash_takes_ten_statements(billing: Billing) -> None:
    course = await billing.book()
    request = billing.payment_request(150, course_id=course.id)
    command = payments.RecordPayment(
        site_id=from_wire("site", course.site_id),
        patient_id=from_wire("patient", course.patient_id),
        course_id=from_wire("course", course.id),
        invoice_id=None,
        amount=Money(15000),
        tender=Tender.CASH,
        terminal_reference="",
    )

    async def work(store: Counting) -> payment_pb.RecordPaymentResponse:
        await payments.record_payment(store, command)
        return payment_pb.RecordPaymentResponse()

    inside = billing.svc.inside("RecordPayment", request.request_id)
    await billing.svc.db.once(inside, request, payment_pb.RecordPaymentResponse, Counting, work)
    assert Counting.trips == 10  # Two of them for the drawer, one for the receipt.
    await billing.books_agree()


async def test_a_package_is_sold_in_twelve_statements(billing: Billing) -> None:
    package = await Packages(billing).offer()
    request = sale_pb.SellPackageRequest(
        request_id=str(new_id()), site_id=billing.site_id, patient_id=billing.patient_id, package_id=package.id
    )
    command = sales.SellPackage(
        from_wire("site", billing.site_id), from_wire("patient", billing.patient_id), from_wire("package", package.id)
    )

    async def work(store: Counting) -> sale_pb.SellPackageResponse:
        await sales.sell_package(store, command)
        return sale_pb.SellPackageResponse()

    inside = billing.svc.inside("SellPackage", request.request_id)
    await billing.svc.db.once(inside, request, sale_pb.SellPackageResponse, Counting, work)
    assert Counting.trips == 12


async def test_a_visit_is_charged_in_nine_statements_and_drawn_in_sixteen(billing: Billing) -> None:
    course = await billing.book([INFUSION, INFUSION], first=NOW)
    visits = [
        RenderedVisit(
            id=from_wire("visit", visit.visit_id),
            site_id=from_wire("site", billing.site_id),
            patient_id=from_wire("patient", billing.patient_id),
            course_id=from_wire("course", course.id),
            kind=VisitKind(*INFUSION),
            service_date=TODAY,
            event_id=new_id(),
        )
        for visit in course.visits
    ]
    inside = billing.svc.inside("Test")
    await billing.svc.db.job(inside, Counting, lambda store: charges.render(store, visits[0]))
    charged, Counting.trips = Counting.trips, 0
    await Packages(billing).sold()
    await billing.svc.db.job(inside, Counting, lambda store: charges.render(store, visits[1]))
    assert (charged, Counting.trips) == (9, 16)


async def test_an_account_is_read_by_one_statement(billing: Billing) -> None:
    await billing.pay(10)
    patient_id = from_wire("patient", billing.patient_id)
    inside = billing.svc.inside("GetAccount", audit=AUDIT_NONE)

    async def work(store: Counting) -> Account:
        return await store.account(patient_id, (datetime.max.replace(tzinfo=UTC), LAST_ID), 51)

    request = account_pb.GetAccountRequest(patient_id=billing.patient_id)
    found = await billing.svc.db.read(inside, request, Counting, work)
    assert (len(found.documents), Counting.trips) == (1, 1)


# Plans, as the service's own role has them, under row-level security.


@pytest_asyncio.fixture(scope="module")
async def filled(service: Running) -> Billing:
    billing = await open_chain(service)
    await billing.price()
    await fill(billing, ROWS)
    await billing.svc.admin.execute("ANALYZE")
    return billing


VALUES: dict[str, Any] = {
    "limit": 51,
    "currency": "USD",
    "kind": 1,
    "from_version": 1,
    "unpriced_only": True,
    "business_date": TODAY,
    "before_id": LAST_ID,
    "after_id": FIRST_ID,
    "before_date": date.max,
    "day": TODAY,
    "visit_type_code": "v1",
    "visit_type_codes": ["v1"],
    "named": ["pi_1"],
    "after_code": "",
    "after_date": date.min,
    "open_only": True,
    "since": NOW,
    "until": NOW,
    "code": "six",
    "codes": ["infusion"],
    "package_ids": [FIRST_ID],
    "charge_ids": [FIRST_ID],
    "after_currency": "",
    "kinds": [1, 3],
    "status": 1,
    "today": TODAY,
    "after_day": date(2026, 1, 1),
    "last_day": TODAY,
    "visit_id": [FIRST_ID],
    "name": "USD",
    "before_at": datetime.max.replace(tzinfo=UTC),
    "tender": 1,
    "reference": "T1",
    "processor_id": "re_1",
    "account": "main",
    "outcome": 1,
    "payment_method": "pm_1",
    "after_account": "",
    "after_event": "",
    "held": False,
    "standings": [1, 2, 3],
    "legal_only": True,
    "after_at": datetime(2000, 1, 1, tzinfo=UTC),
    "now": datetime(2000, 1, 1, tzinfo=UTC),
    "hold": timedelta(seconds=1),
    "prefixes": ["", "ABQ"],
    "numbers": [1, 2],
    "shown": "ABQ1",
}
READING = ("SELECT", "WITH documents", "WITH overdue", "WITH next_work")
MODULES = [import_module(f"{store.__name__}.{each.name}") for each in iter_modules(store.__path__)]
STATEMENTS: dict[str, Statement] = {
    f"{module.__name__}.{name}": statement
    for module in MODULES
    for name, statement in vars(module).items()
    if isinstance(statement, Statement) and statement.text.lstrip().startswith(READING)
} | {
    f"{module.__name__}.{name}.{about}": statement
    for module in MODULES
    for name, listings in vars(module).items()
    if name.endswith("LISTINGS")
    for about, statement in listings.items()
}
SUMS_OF_ALL = {"TRIAL_BALANCE", "REPLAYED", "UNBALANCED", "POSTING_COUNT", "UNCHARGED", "UNCHARGED_VISITS"}
"""These read all there is of a legal entity or a site."""


def _values(statement: Statement, ids: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in statement.wanted:
        yield name, VALUES[name] if name in VALUES else ids.get(name, ids["id"])


async def test_no_look_up_reads_a_table_from_end_to_end(filled: Billing) -> None:
    [row] = await filled.fetch("SELECT site_id, patient_id, course_id, id FROM payment LIMIT 1")
    ids = dict(row) | {
        "ids": [row["id"]],
        "chain_id": filled.svc.chain_id,
        "about_id": row["patient_id"],
        "before_id": LAST_ID,
    }
    assert len(STATEMENTS) > 60
    slow = list[str]()
    async with filled.svc.db.transaction(filled.svc.inside("Test")) as conn:
        for name, statement in STATEMENTS.items():
            args = statement.args(dict(_values(statement, ids)))
            plan = [line for (line,) in await conn.fetch(f"EXPLAIN {statement.text}", *args)]
            if name.rpartition(".")[2] not in SUMS_OF_ALL:
                slow += [f"{name}: {line.strip()}" for line in plan if "Seq Scan on" in line]
    small = (
        "site",
        "site_billing",
        "patient",
        "legal_entity",
        "legal_entity_billing",
        "visit_type",
        "publication",
        "package",
        "package_item",
        "package_chain",
        "served_chain",
        "staff",
    )  # Stay so here.
    assert [line for line in slow if line.split("Seq Scan on ")[1].split()[0] not in small] == []


@pytest.mark.parametrize("document", ["invoice", "credit_note"])
async def test_a_document_is_found_by_its_number_with_an_index_of_it(filled: Billing, document: str) -> None:
    """Of all there are of the chain, also where the caller sees few sites."""
    listed = {"invoice": store.invoices.INVOICES_BY_NUMBER, "credit_note": store.credit_notes.CREDIT_NOTES_BY_NUMBER}
    statement = listed[document]
    args = statement.args(dict(_values(statement, {"chain_id": filled.svc.chain_id, "id": None})))
    async with filled.svc.db.transaction(filled.svc.inside("Test")) as conn:
        plan = [line for (line,) in await conn.fetch(f"EXPLAIN {statement.text}", *args)]
    [line] = [line for line in plan if f"{document}_of_number_idx" in line]
    conditions = plan[plan.index(line) + 1]
    assert "Index Cond" in conditions
    assert all(name in conditions for name in ("chain_id", "number", "prefix"))
