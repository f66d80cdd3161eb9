"""How much a call asks of the database: its round trips, and that none reads a table from end to end."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest_asyncio
from asyncpg import Record
from sqlalchemy import Table

from atoll.billing.v1 import account_service_pb2 as account_pb
from atoll.billing.v1 import invoice_service_pb2 as invoice_pb
from atoll.billing.v1 import payment_service_pb2 as payment_pb
from atoll.common.v1.access_pb2 import AUDIT_NONE
from chassis.ids import from_wire, new_id
from chassis.money import Money
from chassis.sql import Statement
from services.billing.domain.accounts import Account
from services.billing.domain.ledger import Tender
from services.billing.rpc.common import FIRST_ID, LAST_ID
from services.billing.store import (
    BillingStore,
    accounts,
    cards,
    cash,
    copies,
    documents,
    estimates,
    ledger,
    payments,
    payouts,
    prices,
    refunds,
)
from services.billing.tables import metadata
from services.billing.use_cases import invoices
from services.billing.use_cases import payments as payment_use_cases
from tests.support.billing import TODAY, Billing, filler, open_billing, open_chain
from tests.support.service import Running

ROWS = 20_000


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


async def test_an_invoice_takes_nine_statements(billing: Billing) -> None:
    course = await billing.book()
    await billing.pay(150, course_id=course.id)
    await billing.complete(course)
    request = invoice_pb.IssueInvoiceRequest(request_id=str(new_id()), course_id=course.id)

    async def work(store: Counting) -> invoice_pb.IssueInvoiceResponse:
        await invoices.issue_invoice(store, from_wire("course", course.id))
        return invoice_pb.IssueInvoiceResponse()

    inside = billing.svc.inside("IssueInvoice", request.request_id)
    await billing.svc.db.once(inside, request, invoice_pb.IssueInvoiceResponse, Counting, work)
    assert Counting.trips == 9
    await billing.books_agree()


async def test_a_payment_in_cash_takes_nine_statements(billing: Billing) -> None:
    course = await billing.book()
    request = billing.payment_request(150, course_id=course.id)
    command = payment_use_cases.RecordPayment(
        site_id=from_wire("site", course.site_id),
        patient_id=from_wire("patient", course.patient_id),
        course_id=from_wire("course", course.id),
        invoice_id=None,
        amount=Money(15000),
        tender=Tender.CASH,
        terminal_reference="",
    )

    async def work(store: Counting) -> payment_pb.RecordPaymentResponse:
        await payment_use_cases.record_payment(store, command)
        return payment_pb.RecordPaymentResponse()

    inside = billing.svc.inside("RecordPayment", request.request_id)
    await billing.svc.db.once(inside, request, payment_pb.RecordPaymentResponse, Counting, work)
    assert Counting.trips == 9  # Two of them for the drawer.
    await billing.books_agree()


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
    "before_at": datetime.max.replace(tzinfo=UTC),
    "tender": 1,
    "reference": "T1",
    "processor_id": "re_1",
    "account": "main",
    "outcome": 1,
    "ids": [LAST_ID],
    "payment_method": "pm_1",
    "after_account": "",
    "after_event": "",
}
STATEMENTS: dict[str, Statement] = {
    name: statement
    for module in (accounts, copies, documents, estimates, ledger, prices, payments, refunds, cards, payouts, cash)
    for name, statement in vars(module).items()
    if isinstance(statement, Statement) and statement.text.lstrip().startswith(("SELECT", "WITH documents"))
} | {
    f"{module.__name__}.{about}": statement
    for module, listings in (
        (documents, documents.INVOICE_LISTINGS),
        (estimates, estimates.LISTINGS),
        (ledger, ledger.LISTINGS),
    )
    for about, statement in listings.items()
}
SUMS_OF_ALL = {"TRIAL_BALANCE", "UNCHARGED"}
"""These read all there is of a legal entity or a site."""


async def fill(billing: Billing) -> None:
    """Rows of which only the number and the spread are right: nothing checks the rest."""
    keys = {"site_id", "alias_id", "account"}
    own: list[Table] = [table for table in metadata.sorted_tables if keys & set(table.c.keys())]
    await billing.svc.admin.execute("SET session_replication_role = replica")
    for table in own:
        columns = ", ".join(table.c.keys())
        values = ", ".join(map(filler, table.c))
        await billing.svc.admin.execute(
            f"INSERT INTO {table} ({columns}) SELECT {values} FROM generate_series(1, {ROWS}) AS n "
            "ON CONFLICT DO NOTHING",
            billing.svc.chain_id,
        )
    await billing.svc.admin.execute("SET session_replication_role = origin")
    await billing.svc.admin.execute("ANALYZE")


def _values(statement: Statement, ids: dict[str, UUID]) -> Iterator[tuple[str, Any]]:
    for name in statement._wanted:
        yield name, VALUES[name] if name in VALUES else ids.get(name, ids["id"])


async def test_no_look_up_reads_a_table_from_end_to_end(billing: Billing) -> None:
    await fill(billing)
    [row] = await billing.fetch("SELECT site_id, patient_id, course_id, id FROM payment LIMIT 1")
    ids = dict(row) | {"chain_id": billing.svc.chain_id, "about_id": row["patient_id"], "before_id": LAST_ID}
    assert len(STATEMENTS) > 20
    slow = list[str]()
    async with billing.svc.db.transaction(billing.svc.inside("Test")) as conn:
        for name, statement in STATEMENTS.items():
            args = statement.args(dict(_values(statement, ids)))
            plan = [line for (line,) in await conn.fetch(f"EXPLAIN {statement.text}", *args)]
            if name not in SUMS_OF_ALL:
                slow += [f"{name}: {line.strip()}" for line in plan if "Seq Scan on" in line]
    small = ("site", "patient", "legal_entity", "visit_type", "publication")  # Stay so here.
    assert [line for line in slow if line.split("Seq Scan on ")[1].split()[0] not in small] == []
