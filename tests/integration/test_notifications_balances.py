"""Who owes is reminded of it: once for each time that an invoice comes to owe, in whatever order that is heard."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from atoll.billing.v1 import events_pb2 as bills
from chassis.ids import new_id, to_wire
from chassis.money import Money
from chassis.money import to_wire as money_to_wire
from chassis.times import to_date
from tests.support.notifications import Office, open_office
from tests.support.service import NOW

FAR, NEAR, PAST = date(2027, 3, 31), date(2027, 3, 2), date(2027, 2, 20)
CLOSED = "WITHDRAWN", "MATTER_CLOSED"


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Office]:
    async with open_office(postgres_url, issuer_folder) as office:
        yield office


@dataclass
class Bill:
    """One invoice; each fact of it is the change of what is left to pay that it is given."""

    office: Office
    due: date = FAR
    id: UUID = field(default_factory=new_id)

    def issued(self, version: int = 1, dollars: int = 500) -> tuple[Any, int]:
        return bills.InvoiceIssued(**self._owed(dollars)), version

    def paid(self, version: int) -> tuple[Any, int]:
        return bills.InvoicePaid(**self._of()), version

    def reopened(self, version: int, dollars: int) -> tuple[Any, int]:
        return bills.InvoiceReopened(**self._owed(dollars)), version

    def voided(self) -> tuple[Any, int]:
        note = {"credit_note_id": to_wire("creditnote", new_id()), "total": money_to_wire(Money(50_000))}
        return bills.CreditNoteIssued(**self._of(), **note, voids=True), 0

    def _owed(self, dollars: int) -> dict[str, Any]:
        balance = money_to_wire(Money(100 * dollars))
        return self._of() | {"balance": balance, "due_date": to_date(self.due), "display_number": "ABQ-17"}

    def _of(self) -> dict[str, Any]:
        ids = {
            "patient_id": to_wire("patient", self.office.patient_id),
            "site_id": to_wire("site", self.office.site_id),
        }
        return ids | {"invoice_id": to_wire("invoice", self.id)}

    async def tell(self, *facts: tuple[Any, int]) -> None:
        for event, version in facts:
            await self.office.svc.deliver(event, version=version)

    async def asked(self) -> list[int]:
        """What is still to be reminded of, in dollars."""
        return [minor // 100 for minor in await self._amounts("BALANCE_DUE", "SCHEDULED")]

    async def announced(self) -> int:
        return len(await self._amounts("INVOICE_ISSUED", "SCHEDULED"))

    async def reminders(self) -> list[tuple[str, str | None]]:
        return [(row["status"], row["reason"]) for row in await self.office.rows("BALANCE_DUE")]

    async def _amounts(self, kind: str, status: str) -> list[int]:
        found = await self.office.svc.admin.fetch(
            "SELECT amount_minor FROM message JOIN matter ON matter.id = matter_id WHERE message.kind = $1"
            " AND status = $2 AND closed_at IS NULL AND matter.about = $3",
            kind,
            status,
            to_wire("invoice", self.id),
        )
        return [row["amount_minor"] for row in found]


STORIES: dict[str, tuple[Callable[[Bill], list[tuple[Any, int]]], list[int]]] = {
    "is issued": (lambda of: [of.issued()], [500]),
    "is paid as it is issued": (lambda of: [of.issued(1, 0), of.paid(1)], []),
    "is paid as it is issued, and was not": (lambda of: [of.issued(1, 0), of.paid(1), of.reopened(2, 500)], [500]),
    "is paid": (lambda of: [of.issued(), of.paid(2)], []),
    "is paid, and was not": (lambda of: [of.issued(), of.paid(2), of.reopened(3, 200)], [200]),
    "is paid again": (lambda of: [of.issued(), of.paid(2), of.reopened(3, 200), of.paid(4)], []),
    "is paid in part, and was not": (lambda of: [of.issued(), of.reopened(3, 500)], [500]),
    "loses one payment after the other": (
        lambda of: [of.issued(), of.paid(3), of.reopened(4, 200), of.reopened(5, 500)],
        [500],
    ),
    "is void": (lambda of: [of.issued(), of.paid(2), of.reopened(3, 200), of.voided()], []),
    "is paid twice, and was not": (
        lambda of: [of.issued(), of.paid(2), of.reopened(3, 200), of.paid(4), of.reopened(5, 300)],
        [300],
    ),
}


@pytest.mark.parametrize("story", STORIES)
async def test_in_whatever_order_they_are_heard_facts_of_an_invoice_ask_for_the_same(
    office: Office, story: str
) -> None:
    tell, amounts = STORIES[story]
    for order in permutations(range(len(tell(Bill(office))))):
        bill = Bill(office)
        facts = tell(bill)
        await bill.tell(*(facts[n] for n in order))
        assert await bill.asked() == amounts, order
        assert await bill.announced() == (0 if story == "is void" else 1), order


async def test_what_owes_again_is_reminded_of_three_days_before_its_last_day(office: Office) -> None:
    bill = Bill(office)
    await bill.tell(bill.issued(), bill.paid(2), bill.reopened(3, 200))
    assert sorted(await bill.reminders(), key=str) == [("SCHEDULED", None), CLOSED]
    due = [row["due_at"].isoformat() for row in await office.rows("BALANCE_DUE") if row["status"] == "SCHEDULED"]
    assert due == ["2027-03-28T16:00:00+00:00"]


@pytest.mark.parametrize("day", [NEAR, PAST])
async def test_what_owes_again_late_is_reminded_of_a_day_later(office: Office, day: date) -> None:
    bill = Bill(office, day)
    await bill.tell(bill.paid(2), bill.reopened(3, 200))
    [row] = await office.rows("BALANCE_DUE")
    assert (row["status"], row["due_at"]) == ("SCHEDULED", NOW + timedelta(days=1))
    await office.svc.deliver(office.patient_updated("America/Phoenix"), version=2)
    [row] = await office.rows("BALANCE_DUE")
    assert row["due_at"] == NOW + timedelta(days=1)
    office.svc.clock.now = NOW + timedelta(days=1)
    await office.sender().drain()
    [letter] = office.mailbox.arrived
    body = letter.get_body(("plain",))
    assert body
    assert all(words in body.get_content() for words in ("$200.00", "ABQ-17"))


async def test_a_payment_that_is_keyed_in_again_at_once_bothers_nobody(office: Office) -> None:
    bill = Bill(office, PAST)
    await bill.tell(bill.paid(2), bill.reopened(3, 200), bill.paid(4))
    office.svc.clock.now = NOW + timedelta(days=2)
    await office.sender().drain()
    assert (await bill.reminders(), office.mailbox.arrived) == ([CLOSED], [])


async def test_who_was_reminded_and_owes_again_is_reminded_again(office: Office) -> None:
    bill = Bill(office, NEAR)
    await bill.tell(bill.issued())
    await office.sender().drain()
    await bill.tell(bill.paid(2), bill.reopened(3, 500))
    assert sorted(await bill.reminders(), key=str) == [("SCHEDULED", None), ("SENT", None)]


async def test_a_fact_that_is_told_twice_asks_once(office: Office) -> None:
    bill = Bill(office)
    facts = [bill.issued(), bill.reopened(3, 200)]
    await bill.tell(*facts, *facts)
    for event, version in facts:
        event.ClearField("meta")
        await office.svc.deliver(event, version=version)
    assert await bill.asked() == [200]


async def test_what_was_paid_before_changes_were_counted_is_paid(office: Office) -> None:
    bill = Bill(office)
    await bill.tell(bill.issued(3), bill.paid(0), bill.reopened(2, 200))
    assert await bill.reminders() == [CLOSED]


async def test_what_asked_before_each_asking_was_a_matter_of_its_own_is_taken_back(office: Office) -> None:
    bill = Bill(office)
    await bill.tell(bill.issued())
    await office.svc.admin.execute("DELETE FROM balance")
    await office.svc.admin.execute("UPDATE message SET matter_id = $1", bill.id)
    await bill.tell(bill.reopened(2, 200))
    assert await bill.asked() == [200]
    assert CLOSED in await bill.reminders()
