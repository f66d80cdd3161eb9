"""How much a call asks of the database: its round trips, and that none reads a table from end to end."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest_asyncio
from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from atoll.billing.v1 import account_service_pb2 as account_pb
from atoll.billing.v1 import invoice_service_pb2 as invoice_pb
from atoll.billing.v1 import payment_service_pb2 as payment_pb
from atoll.common.v1.access_pb2 import AUDIT_NONE
from chassis.ids import from_wire, new_id
from chassis.money import Money
from chassis.sql import Statement
from services.billing.domain.deadlines import LAST
from services.billing.domain.ledger import Tender
from services.billing.rpc.common import FIRST_ID, LAST_ID
from services.billing.store import (
    BillingStore,
    accounts,
    copies,
    deadlines,
    documents,
    estimates,
    guard,
    ledger,
    prices,
    printing,
)
from services.billing.tables import metadata
from services.billing.use_cases import invoices, payments
from tests.support.billing import TODAY, Billing, open_billing, open_chain
from tests.support.service import Running

ROWS, SITES, PATIENTS, COURSES = 20_000, 20, 2_000, 5_000


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


async def test_a_payment_takes_seven_statements(billing: Billing) -> None:
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
    assert Counting.trips == 7
    await billing.books_agree()


async def test_an_account_is_read_by_one_statement(billing: Billing) -> None:
    await billing.pay(10)
    patient_id = from_wire("patient", billing.patient_id)
    inside = billing.svc.inside("GetAccount", audit=AUDIT_NONE)
    request = account_pb.GetAccountRequest(patient_id=billing.patient_id)
    found = await billing.svc.db.read(inside, request, Counting, lambda store: store.account(patient_id))
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
    "status": 1,
    "held": False,
    "standings": [1, 2, 3],
    "legal_only": True,
    "until": LAST,
    "after_at": datetime(2000, 1, 1, tzinfo=UTC),
    "ids": [],
    "now": datetime(2000, 1, 1, tzinfo=UTC),
    "hold": timedelta(seconds=1),
}
READING = ("SELECT", "WITH documents", "WITH overdue", "WITH next_work")
STATEMENTS: dict[str, Statement] = {
    name: statement
    for module in (accounts, copies, documents, estimates, ledger, prices, deadlines, guard, printing)
    for name, statement in vars(module).items()
    if isinstance(statement, Statement) and statement.text.lstrip().startswith(READING)
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


def _filler(column: Column[Any]) -> str:
    """SQL for the n-th value of a column."""
    spread = {"site_id": SITES, "patient_id": PATIENTS, "course_id": COURSES}
    if column.name == "chain_id":
        return "$1"
    if column.name in spread:
        return f"md5('{column.name}' || n % {spread[column.name]})::uuid"
    if column.name == "corrects_id":
        return "NULL"  # A check binds it to the kind of a charge.
    if column.name in ("closed_at", "told_at"):
        return "CASE WHEN n % 10 > 0 THEN now() END"
    if column.name == "alias_id":
        return "md5('alias' || n)::uuid"
    if isinstance(column.type, Uuid):
        return "md5('id' || n)::uuid"
    if isinstance(column.type, DateTime):
        return "now()"
    if isinstance(column.type, Date):
        return "date '2020-01-01' + n % 2000"
    if isinstance(column.type, Boolean):
        return "false"
    if isinstance(column.type, Text):
        return "'USD'"
    if isinstance(column.type, LargeBinary):
        return "repeat('x', 40)::bytea"
    if isinstance(column.type, JSONB):
        return "'{}'"
    assert isinstance(column.type, BigInteger | Integer | SmallInteger)
    return "n % 2" if column.name == "left_minor" else "1 + n % 3"


async def fill(billing: Billing) -> None:
    """Rows of which only the number and the spread are right: nothing checks the rest."""
    own: list[Table] = [table for table in metadata.sorted_tables if {"site_id", "alias_id"} & set(table.c.keys())]
    await billing.svc.admin.execute("SET session_replication_role = replica")
    for table in own:
        columns = ", ".join(table.c.keys())
        values = ", ".join(map(_filler, table.c))
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
    small = ("site", "patient", "legal_entity", "visit_type", "publication", "staff")  # Stay so here.
    assert [line for line in slow if line.split("Seq Scan on ")[1].split()[0] not in small] == []
