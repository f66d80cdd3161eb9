"""Accounts, and the books that stand behind them: what the database itself refuses."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.billing.v1 import account_service_pb2 as pb
from atoll.billing.v1 import ledger_service_pb2 as ledger_pb
from atoll.scheduling.v1.events_pb2 import LegalEntityUpdated
from chassis.ids import from_wire, new_id, to_wire
from services.billing.tables import metadata
from tests.support import packages
from tests.support.billing import Billing, BookedCourse, dollars, open_billing, open_chain
from tests.support.billing_estimates import leave_traces
from tests.support.billing_rows import fill
from tests.support.invoicing import invoicing_story
from tests.support.service import NOW, Running, refusal

MINUTE = timedelta(minutes=1)


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


async def story(billing: Billing) -> BookedCourse:
    """Deposit 150, two visits of three, an invoice over 890, 200 for nothing named, then the third visit."""
    course = await billing.book()
    await billing.pay(150, course_id=course.id)
    billing.svc.clock.now = NOW + MINUTE
    await billing.complete(course, 0, 1)
    billing.svc.clock.now = NOW + 2 * MINUTE
    await billing.issue(course)
    billing.svc.clock.now = NOW + 3 * MINUTE
    await billing.pay(200)
    billing.svc.clock.now = NOW + 4 * MINUTE
    await billing.complete(course, 2)
    return course


async def entries(billing: Billing, token: str | None = None, **request: Any) -> list[ledger_pb.Entry]:
    answer = await billing.svc.call(billing.ledger.ListEntries, ledger_pb.ListEntriesRequest(**request), token)
    return list(answer.entries)


async def test_an_account_shows_every_document_and_what_is_left_of_it(billing: Billing) -> None:
    course = await story(billing)
    account = await billing.account()
    lines = [
        (
            pb.DocumentKind.Name(each.kind).removeprefix("DOCUMENT_KIND_"),
            dollars(each.amount),
            dollars(each.open),
            each.course_id == course.id,
        )
        for each in account.documents
    ]
    assert lines[0] == ("CHARGE", 590, 590, True)
    assert lines[1] == ("PAYMENT", 200, 0, False)
    assert lines[2] == ("INVOICE", 890, 540, True)
    assert sorted(lines[3:5]) == [("CHARGE", 300, 0, True), ("CHARGE", 590, 0, True)]
    assert lines[5:] == [("PAYMENT", 150, 0, True)]
    invoice, charge = account.documents[2], account.documents[0]
    assert (invoice.invoice_number, charge.description) == (1, "IV infusion")
    assert invoice.time.ToDatetime(tzinfo=UTC) == NOW + 2 * MINUTE


async def test_an_account_sums_up(billing: Billing) -> None:
    await story(billing)
    [sums] = (await billing.account()).balances
    names = ("charged", "invoiced", "paid", "unapplied", "due", "balance")
    assert [dollars(getattr(sums, name)) for name in names] == [1480, 890, 350, 0, 540, 1130]
    await billing.books_agree()


async def test_money_with_the_sites_is_a_balance_below_zero(billing: Billing) -> None:
    await billing.pay(99.5)
    [sums] = (await billing.account()).balances
    assert (dollars(sums.unapplied), dollars(sums.balance)) == (99.5, -99.5)


async def test_an_account_is_empty_until_something_happens(billing: Billing) -> None:
    account = await billing.account()
    assert (account.patient_id, list(account.balances), list(account.documents)) == (billing.patient_id, [], [])


async def test_who_is_unknown_has_no_account(billing: Billing) -> None:
    patient_id, event = to_wire("patient", new_id()), billing.course_event()
    refused = await refusal(billing.account(patient_id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "NOT_YET_KNOWN")
    assert refused.metadata == {"waits_for": patient_id}
    course = BookedCourse(event.course_id, event.site_id, event.patient_id, event)
    assert (await refusal(billing.course_account(course))).metadata == {"waits_for": course.id}


async def test_an_account_lists_the_newest_documents_and_counts_all(billing: Billing) -> None:
    paid = """
        WITH paid AS (
            INSERT INTO payment (chain_id, id, site_id, patient_id, kind, tender, terminal_reference, currency,
                amount_minor, business_date, received_at)
            SELECT $1, gen_random_uuid(), $2, $3, 2, 1, '', 'USD', 100, '2027-03-01',
                $4::timestamptz + n * interval '1 second'
            FROM generate_series(1, 501) AS n RETURNING *
        )
        INSERT INTO open_item (chain_id, id, site_id, patient_id, kind, currency, left_minor, since)
        SELECT chain_id, id, site_id, patient_id, 1, currency, amount_minor, received_at FROM paid
    """
    ids = from_wire("site", billing.site_id), from_wire("patient", billing.patient_id)
    await billing.execute(paid, billing.svc.chain_id, *ids, NOW)
    account = await billing.account()
    assert len(account.documents) == 50  # A page.
    assert account.documents[-1].time.ToDatetime(tzinfo=UTC) == NOW + timedelta(seconds=452)
    assert dollars(account.balances[0].paid) == 501


async def test_a_courses_account_is_one_call(billing: Billing) -> None:
    course = await story(billing)
    account = await billing.course_account(course)
    names = ("estimated", "deposit_due", "charged", "invoiced", "paid", "due")
    assert [dollars(getattr(account, name)) for name in names] == [1480, 150, 1480, 890, 350, 540]
    assert (account.deposit_covered, account.price_book_version) == (True, 1)
    assert (account.course_id, account.patient_id, account.site_id) == (course.id, course.patient_id, course.site_id)
    assert [dollars(charge.amount) for charge in account.charges] == [300, 590, 590]
    [estimate] = await billing.estimates_of(course)
    assert (account.estimate_id, account.price_book_id) == (estimate.id, estimate.price_book_id)


async def test_an_account_is_of_the_sites_that_the_caller_may_see(billing: Billing) -> None:
    course = await story(billing)
    elsewhere = await billing.register_site()
    await billing.pay(70, site_id=elsewhere)
    here = await billing.account(token=billing.at(billing.site_id, "ROLE_FRONT_DESK"))
    there = await billing.account(token=billing.at(elsewhere))
    assert [dollars(account.balances[0].paid) for account in (here, there, await billing.account())] == [350, 70, 420]
    assert [dollars(each.amount) for each in there.documents] == [70]
    of_course = pb.GetCourseAccountRequest(course_id=course.id)
    refused = await refusal(billing.svc.call(billing.accounts.GetCourseAccount, of_course, billing.at(elsewhere)))
    assert refused.reason == "NOT_YET_KNOWN"
    other_chain = await refusal(billing.account(token=billing.svc.token(chain_id=new_id())))
    assert other_chain.reason == "NOT_YET_KNOWN"


async def test_the_trial_balance_is_of_a_legal_entity_and_of_the_callers_sites(billing: Billing) -> None:
    await story(billing)
    other = Billing(billing.svc, legal_entity_id=to_wire("legalentity", new_id()))
    await billing.register_legal_entity(other.legal_entity_id)
    elsewhere = await billing.register_site()
    theirs = await billing.register_site(legal_entity_id=other.legal_entity_id)
    await billing.pay(70, site_id=elsewhere)
    await billing.pay(7, site_id=theirs)
    assert await billing.trial_balance() == {
        "CASH": (420, 0),
        "ACCOUNTS_RECEIVABLE": (1480, 350),
        "CUSTOMER_DEPOSITS": (350, 420),
        "REVENUE": (0, 1480),
    }
    assert await billing.trial_balance(billing.at(elsewhere)) == {"CASH": (70, 0), "CUSTOMER_DEPOSITS": (0, 70)}
    assert await other.trial_balance() == {"CASH": (7, 0), "CUSTOMER_DEPOSITS": (0, 7)}
    unheard_of = Billing(billing.svc, legal_entity_id=to_wire("legalentity", new_id()))
    assert (await refusal(unheard_of.trial_balance())).reason == "NOT_YET_KNOWN"
    desk = billing.at(billing.site_id, "ROLE_FRONT_DESK")
    assert (await refusal(billing.trial_balance(desk))).code == StatusCode.PERMISSION_DENIED


async def test_the_journal_says_what_each_document_posted(billing: Billing) -> None:
    await story(billing)
    journal = (await entries(billing, patient_id=billing.patient_id))[::-1]
    posted = [
        (
            entry.WhichOneof("source"),
            [
                (ledger_pb.LedgerAccount.Name(each.account).removeprefix("LEDGER_ACCOUNT_"), dollars(each.amount))
                for each in entry.postings
            ],
        )
        for entry in journal
    ]
    assert posted == [
        ("payment_id", [("CASH", 150), ("CUSTOMER_DEPOSITS", -150)]),
        ("charge_id", [("ACCOUNTS_RECEIVABLE", 300), ("REVENUE", -300)]),
        ("charge_id", [("ACCOUNTS_RECEIVABLE", 590), ("REVENUE", -590)]),
        ("application_id", [("CUSTOMER_DEPOSITS", 150), ("ACCOUNTS_RECEIVABLE", -150)]),
        ("payment_id", [("CASH", 200), ("CUSTOMER_DEPOSITS", -200)]),
        ("application_id", [("CUSTOMER_DEPOSITS", 200), ("ACCOUNTS_RECEIVABLE", -200)]),
        ("charge_id", [("ACCOUNTS_RECEIVABLE", 590), ("REVENUE", -590)]),
    ]
    assert {entry.legal_entity_id for entry in journal} == {billing.legal_entity_id}
    assert await entries(billing, site_id=billing.site_id) == journal[::-1]


async def test_the_journal_comes_in_pages_of_whole_entries(billing: Billing) -> None:
    for amount in range(1, 6):
        await billing.pay(amount)
    seen, token = list[float | None](), ""
    for _ in range(3):
        request = ledger_pb.ListEntriesRequest(site_id=billing.site_id, page_size=2, page_token=token)
        page = await billing.svc.call(billing.ledger.ListEntries, request)
        assert all(len(entry.postings) == 2 for entry in page.entries)
        seen += [dollars(entry.postings[0].amount) for entry in page.entries]
        token = page.next_page_token
    assert (seen, token) == ([5, 4, 3, 2, 1], "")


# What the database refuses by itself.

ENTRY = """
    INSERT INTO entry (chain_id, id, site_id, legal_entity_id, patient_id, source, source_id, posted_at)
    VALUES ($1, $2, $3, $4, $5, 1, $6, now())
"""
POSTING = """
    INSERT INTO posting
        (chain_id, entry_id, position, site_id, legal_entity_id, account, currency, amount_minor, posted_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now())
"""


async def post(billing: Billing, amounts: Sequence[tuple[str, int]], entry_id: UUID | None = None) -> None:
    """Round the service: an entry with such postings, or further postings of an entry."""
    chain_id, new_entry_id = billing.svc.chain_id, new_id()
    site_id, legal_entity_id = from_wire("site", billing.site_id), from_wire("legalentity", billing.legal_entity_id)
    async with billing.svc.db.transaction(billing.svc.inside("Test")) as conn:
        if entry_id is None:
            await conn.execute(ENTRY, chain_id, new_entry_id, site_id, legal_entity_id, new_id(), new_id())
        for position, (currency, minor) in enumerate(amounts, start=2 if entry_id else 0):
            values = chain_id, entry_id or new_entry_id, position, site_id, legal_entity_id, 1, currency, minor
            await conn.execute(POSTING, *values)


@pytest.mark.parametrize(
    "amounts",
    [
        [("USD", 100)],
        [("USD", 100), ("USD", -99)],
        [("USD", 100), ("CAD", -100)],
        [],
    ],
)
async def test_an_entry_that_does_not_balance_is_refused_at_commit(
    billing: Billing, amounts: list[tuple[str, int]]
) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await post(billing, amounts)
    assert refused.value.constraint_name == "entry_balances"
    assert await billing.count("entry") == 0
    await post(billing, [("USD", 100), ("USD", -60), ("USD", -40)])
    assert await billing.count("posting") == 3


async def test_an_entry_that_balances_is_not_unbalanced_later(billing: Billing) -> None:
    await billing.pay(1)
    [row] = await billing.fetch("SELECT id FROM entry")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await post(billing, [("USD", 1)], row["id"])
    assert refused.value.constraint_name == "entry_balances"


async def test_a_document_posts_once(billing: Billing) -> None:
    await billing.pay(1)
    [row] = await billing.fetch("SELECT source, source_id FROM entry")
    again = ENTRY.replace("1, $6", "2, $6")
    ids = from_wire("site", billing.site_id), from_wire("legalentity", billing.legal_entity_id), new_id()
    with pytest.raises(asyncpg.UniqueViolationError):
        await billing.execute(again, billing.svc.chain_id, new_id(), *ids, row["source_id"])


async def test_nothing_is_applied_beyond_what_is_left(billing: Billing) -> None:
    await billing.pay(1)
    with pytest.raises(asyncpg.CheckViolationError):
        await billing.execute("UPDATE open_item SET left_minor = left_minor - 101")


DOCUMENTS = (
    "course", "rendered_visit", "pin", "estimate", "estimate_line", "charge", "payment", "invoice", "invoice_line",
    "application", "entry", "posting", "invoice_tax", "credit_note", "credit_note_line", "credit_use", "unapplication",
    "offence", "estimate_delivery", "estimate_acknowledgement", "estimate_approval", "estimate_excess",
    "document_order", "document",
)  # fmt: skip


@pytest.mark.parametrize("table", DOCUMENTS)
async def test_no_role_of_the_service_may_change_a_document(billing: Billing, table: str) -> None:
    await leave_traces(billing, await story(billing))
    for change in (f"UPDATE {table} SET site_id = site_id", f"DELETE FROM {table}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await billing.execute(change)


async def test_rows_of_a_site_are_hidden_from_calls_of_others_in_every_table(billing: Billing) -> None:
    """Also a table that is added later."""
    await fill(billing, 20)
    await packages.story(billing)
    await invoicing_story(billing)
    other_site = frozenset({from_wire("site", await billing.register_site())})
    of_sites = [name for name, table in metadata.tables.items() if "site_id" in table.c]
    assert set(DOCUMENTS) < set(of_sites)
    async with billing.svc.db.transaction(billing.svc.inside("Test", sites=other_site)) as conn:
        for table in of_sites:
            assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 0, table
    for table in of_sites:
        assert await billing.count(table), table


async def test_rows_of_a_chain_are_hidden_from_others_in_every_table(billing: Billing, service: Running) -> None:
    await story(billing)
    await fill(billing, 20)
    await packages.story(billing)
    stranger = await open_chain(service)
    filled = set()
    for table in metadata.tables:
        if table not in ("audit_seal", "dead_letter"):
            rows = await stranger.fetch(f"SELECT count(*) FROM {table} WHERE chain_id = $1", billing.svc.chain_id)
            assert rows[0][0] == 0, table
            filled |= {table} if await billing.count(table) else set()
    assert set(metadata.tables) - filled == {"staff", "audit_seal", "dead_letter"}


async def test_a_company_is_called_by_its_newest_name_in_whatever_order_these_are_heard_of(billing: Billing) -> None:
    def renamed(name: str) -> LegalEntityUpdated:
        return LegalEntityUpdated(legal_entity_id=billing.legal_entity_id, display_name=name)

    await billing.svc.deliver(renamed("Third Name"), version=3)
    await billing.svc.deliver(renamed("Second Name"), version=2)
    id = from_wire("legalentity", billing.legal_entity_id)
    name = "SELECT display_name FROM legal_entity WHERE id = $1"
    assert await billing.svc.admin.fetchval(name, id) == "Third Name"
