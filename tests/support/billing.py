"""One chain as billing knows it: a legal entity, a site, a protocol, a patient, all told by events; and its calls."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from asyncpg import Record
from google.type.money_pb2 import Money

from atoll.billing.v1 import (
    account_service_pb2,
    estimate_service_pb2,
    invoice_service_pb2,
    ledger_service_pb2,
    payment_service_pb2,
    price_book_service_pb2,
)
from atoll.billing.v1.account_service_pb2_grpc import AccountServiceStub
from atoll.billing.v1.estimate_service_pb2_grpc import EstimateServiceStub
from atoll.billing.v1.invoice_service_pb2_grpc import InvoiceServiceStub
from atoll.billing.v1.ledger_service_pb2_grpc import LedgerServiceStub
from atoll.billing.v1.payment_service_pb2_grpc import PaymentServiceStub
from atoll.billing.v1.price_book_service_pb2_grpc import PriceBookServiceStub
from atoll.patients.v1.events_pb2 import PatientRegistered
from atoll.scheduling.v1.events_pb2 import (
    BookedVisit,
    CourseBooked,
    LegalEntityRegistered,
    ProtocolVersionPublished,
    SiteRegistered,
    VisitCancelled,
    VisitCompleted,
    VisitMissed,
)
from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate, VisitType
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_date, to_timestamp
from services.billing.__main__ import SERVICE
from services.billing.store import BillingStore
from tests.support.service import NOW, Running, running

TODAY = date(2027, 3, 1)  # In Denver.
FIRST_VISIT = NOW + timedelta(days=21)  # More than ten business days ahead, and after clocks have changed.
ASSESSMENT = ("assessment", "", "standard")
INFUSION = ("infusion", "iv", "up_to_60")
LONG_INFUSION = ("infusion", "iv", "over_60")
THERAPY = ("therapy", "", "standard")
COURSE = (ASSESSMENT, INFUSION, INFUSION)
ITEMS = (
    ("assessment", "", "", 300, "Evaluation"),
    ("infusion", "iv", "", 590, "IV infusion"),
    ("infusion", "iv", "over_60", 800, "Long IV infusion"),
)
DEPOSIT = 150
Kind = tuple[str, str, str]
Item = tuple[str, str, str, float, str]


def usd(dollars: float) -> Money:
    cents = round(dollars * 100)
    sign = -1 if cents < 0 else 1
    return Money(currency_code="USD", units=sign * (abs(cents) // 100), nanos=sign * (abs(cents) % 100) * 10_000_000)


def dollars(money: Money) -> float | None:
    """None where an amount is not set."""
    return money.units + money.nanos / 1e9 if money.currency_code else None


class Interrupted(Exception):
    """What a change is rolled back by."""


@dataclass(frozen=True)
class BookedCourse:
    id: str
    site_id: str
    patient_id: str
    event: CourseBooked

    @property
    def visits(self) -> Sequence[BookedVisit]:
        return self.event.visits


@dataclass
class Billing:
    svc: Running
    legal_entity_id: str = field(default_factory=lambda: to_wire("legalentity", new_id()))
    site_id: str = field(default_factory=lambda: to_wire("site", new_id()))
    protocol_version_id: str = field(default_factory=lambda: to_wire("protocolversion", new_id()))
    patient_id: str = field(default_factory=lambda: to_wire("patient", new_id()))

    def __post_init__(self) -> None:
        self.price_books = self.svc.stub(PriceBookServiceStub)
        self.estimates = self.svc.stub(EstimateServiceStub)
        self.payments = self.svc.stub(PaymentServiceStub)
        self.invoices = self.svc.stub(InvoiceServiceStub)
        self.accounts = self.svc.stub(AccountServiceStub)
        self.ledger = self.svc.stub(LedgerServiceStub)

    # What other services tell.

    async def register(self) -> None:
        await self.register_legal_entity(self.legal_entity_id)
        await self.svc.deliver(self.site_event(self.site_id))
        await self.svc.deliver(self.protocol_event())
        await self.register_patient(self.patient_id)

    async def register_legal_entity(self, legal_entity_id: str) -> None:
        await self.svc.deliver(LegalEntityRegistered(legal_entity_id=legal_entity_id, display_name="Reef Clinics LLC"))

    async def register_patient(self, patient_id: str | None = None) -> str:
        patient_id = patient_id or to_wire("patient", new_id())
        await self.svc.deliver(PatientRegistered(patient_id=patient_id, time_zone="America/Denver"))
        return patient_id

    async def register_site(self, **changes: str) -> str:
        event = self.site_event(to_wire("site", new_id()), **changes)
        await self.svc.deliver(event)
        return event.site_id

    def site_event(self, site_id: str, **changes: str) -> SiteRegistered:
        fields: dict[str, Any] = {
            "legal_entity_id": self.legal_entity_id,
            "time_zone": "America/Denver",
            "code": "abq",
        } | changes
        return SiteRegistered(site_id=site_id, **fields)

    def protocol_event(self) -> ProtocolVersionPublished:
        names = {"assessment": "Assessment", "infusion": "Infusion", "therapy": "Therapy hour"}
        template = ProtocolTemplate(visit_types=[VisitType(code=c, display_name=n) for c, n in names.items()])
        return ProtocolVersionPublished(protocol_version_id=self.protocol_version_id, version=1, template=template)

    def course_event(
        self,
        kinds: Sequence[Kind] = COURSE,
        *,
        first: datetime = FIRST_VISIT,
        site_id: str | None = None,
        patient_id: str | None = None,
    ) -> CourseBooked:
        """Visits a week apart."""
        return CourseBooked(
            course_id=to_wire("course", new_id()),
            site_id=site_id or self.site_id,
            patient_id=patient_id or self.patient_id,
            protocol_id=to_wire("protocol", new_id()),
            protocol_version_id=self.protocol_version_id,
            route_code="iv",
            visits=[
                BookedVisit(
                    visit_id=to_wire("visit", new_id()),
                    phase_code="induction",
                    visit_type_code=visit_type_code,
                    route_code=route_code,
                    band_code=band_code,
                    start_time=to_timestamp(first + timedelta(days=7 * n)),
                    end_time=to_timestamp(first + timedelta(days=7 * n, minutes=60)),
                )
                for n, (visit_type_code, route_code, band_code) in enumerate(kinds)
            ],
        )

    async def book(self, kinds: Sequence[Kind] = COURSE, **changes: Any) -> BookedCourse:
        event = self.course_event(kinds, **changes)
        await self.svc.deliver(event)
        return BookedCourse(event.course_id, event.site_id, event.patient_id, event)

    def completed(self, course: BookedCourse, n: int, **changes: Any) -> VisitCompleted:
        visit = course.visits[n]
        fields: dict[str, Any] = {
            "visit_id": visit.visit_id,
            "course_id": course.id,
            "site_id": course.site_id,
            "patient_id": course.patient_id,
            "protocol_version_id": self.protocol_version_id,
            "visit_type_code": visit.visit_type_code,
            "route_code": visit.route_code,
            "band_code": visit.band_code,
            "start_time": visit.start_time,
            "end_time": visit.end_time,
            "rendering_resource_id": to_wire("resource", new_id()),
            "place_of_service": "11",
        }
        return VisitCompleted(**fields | changes)

    async def complete(self, course: BookedCourse, *numbers: int, **changes: Any) -> None:
        """Every visit, or those named."""
        for n in numbers or range(len(course.visits)):
            await self.svc.deliver(self.completed(course, n, **changes))

    async def cancel(self, course: BookedCourse, n: int, **changes: Any) -> None:
        await self.svc.deliver(self._about_visit(VisitCancelled, course, n, **changes))

    async def miss(self, course: BookedCourse, n: int) -> None:
        await self.svc.deliver(self.missed(course, n))

    def missed(self, course: BookedCourse, n: int) -> VisitMissed:
        return self._about_visit(VisitMissed, course, n)  # type: ignore[no-any-return]

    def _about_visit(self, event_type: Any, course: BookedCourse, n: int, **changes: Any) -> Any:
        ids = {"course_id": course.id, "site_id": course.site_id, "patient_id": course.patient_id}
        return event_type(visit_id=course.visits[n].visit_id, **ids | changes)

    # What staff does.

    def price_book_request(
        self,
        items: Sequence[Item] = ITEMS,
        *,
        effective: date = TODAY,
        deposit: float = DEPOSIT,
        site_id: str | None = None,
        **changes: Any,
    ) -> price_book_service_pb2.CreatePriceBookRequest:
        fields = {
            "request_id": str(uuid4()),
            "site_id": site_id or self.site_id,
            "currency_code": "USD",
            "effective_date": to_date(effective),
            "deposit": usd(deposit),
            "items": [
                price_book_service_pb2.CreatePriceBookRequest.Item(
                    visit_type_code=visit_type_code,
                    route_code=route_code,
                    band_code=band_code,
                    unit_price=usd(price),
                    description=description,
                )
                for visit_type_code, route_code, band_code, price, description in items
            ],
        }
        return price_book_service_pb2.CreatePriceBookRequest(**fields | changes)

    async def draft(self, items: Sequence[Item] = ITEMS, **changes: Any) -> price_book_service_pb2.PriceBook:
        request = self.price_book_request(items, **changes)
        answer = await self.svc.call(self.price_books.CreatePriceBook, request)
        return answer.price_book  # type: ignore[no-any-return]

    async def publish(
        self, draft: price_book_service_pb2.PriceBook, token: str | None = None
    ) -> price_book_service_pb2.PriceBook:
        request = price_book_service_pb2.PublishPriceBookRequest(request_id=str(uuid4()), price_book_id=draft.id)
        answer = await self.svc.call(self.price_books.PublishPriceBook, request, token)
        return answer.price_book  # type: ignore[no-any-return]

    async def price(self, items: Sequence[Item] = ITEMS, **changes: Any) -> price_book_service_pb2.PriceBook:
        return await self.publish(await self.draft(items, **changes))

    def payment_request(self, amount: float, **changes: Any) -> payment_service_pb2.RecordPaymentRequest:
        fields = {
            "request_id": str(uuid4()),
            "site_id": self.site_id,
            "patient_id": self.patient_id,
            "amount": usd(amount),
            "tender": payment_service_pb2.TENDER_CASH,
        }
        return payment_service_pb2.RecordPaymentRequest(**fields | changes)

    async def pay(self, amount: float, token: str | None = None, **changes: Any) -> payment_service_pb2.Payment:
        request = self.payment_request(amount, **changes)
        answer = await self.svc.call(self.payments.RecordPayment, request, token)
        return answer.payment  # type: ignore[no-any-return]

    async def issue(self, course: BookedCourse, token: str | None = None) -> invoice_service_pb2.Invoice:
        request = invoice_service_pb2.IssueInvoiceRequest(request_id=str(uuid4()), course_id=course.id)
        answer = await self.svc.call(self.invoices.IssueInvoice, request, token)
        return answer.invoice  # type: ignore[no-any-return]

    async def course_account(self, course: BookedCourse) -> account_service_pb2.CourseAccount:
        request = account_service_pb2.GetCourseAccountRequest(course_id=course.id)
        answer = await self.svc.call(self.accounts.GetCourseAccount, request)
        return answer.course_account  # type: ignore[no-any-return]

    async def account(self, patient_id: str | None = None, token: str | None = None) -> account_service_pb2.Account:
        request = account_service_pb2.GetAccountRequest(patient_id=patient_id or self.patient_id)
        answer = await self.svc.call(self.accounts.GetAccount, request, token)
        return answer.account  # type: ignore[no-any-return]

    async def estimates_of(self, course: BookedCourse) -> list[estimate_service_pb2.Estimate]:
        """The latest first."""
        request = estimate_service_pb2.ListEstimatesRequest(course_id=course.id)
        return list((await self.svc.call(self.estimates.ListEstimates, request)).estimates)

    async def trial_balance(self, token: str | None = None) -> dict[str, tuple[float | None, float | None]]:
        """Debit and credit by account."""
        request = ledger_service_pb2.GetTrialBalanceRequest(legal_entity_id=self.legal_entity_id)
        totals = (await self.svc.call(self.ledger.GetTrialBalance, request, token)).totals
        name = ledger_service_pb2.LedgerAccount.Name
        return {
            name(each.account).removeprefix("LEDGER_ACCOUNT_"): (dollars(each.debit), dollars(each.credit))
            for each in totals
        }

    # What became of it.

    async def facts(self) -> list[tuple[str, Any]]:
        """What was published, in its order: `payment.received`, and the event."""
        chain = to_wire("chain", self.svc.chain_id)
        published = [each for each in await self.svc.published() if each[1].meta.chain_id == chain]
        return [(subject.removeprefix("billing.v1."), event) for subject, event in published]

    async def fact_names(self) -> list[str]:
        return [name for name, _ in await self.facts()]

    async def last_fact(self, name: str) -> Any:
        return [event for fact, event in await self.facts() if fact == name][-1]

    async def fetch(self, query: str, *values: Any) -> list[Record]:
        """As billing itself: of its chain only."""
        async with self.svc.db.transaction(self.svc.inside("Test")) as conn:
            return await conn.fetch(query, *values)

    async def execute(self, command: str, *values: Any) -> None:
        async with self.svc.db.transaction(self.svc.inside("Test")) as conn:
            await conn.execute(command, *values)

    async def count(self, table: str) -> int:
        [row] = await self.fetch(f"SELECT count(*) FROM {table}")
        return int(row[0])

    async def books_agree(self) -> None:
        """The ledger, the documents and what is left of them tell the same story."""
        assert await self.fetch(UNBALANCED) == []
        assert await self.fetch(WRONGLY_LEFT) == []
        assert await self.fetch(WRONGLY_GONE) == []
        [sums] = await self.fetch(SUMS)
        forgiven = sums["forgiven"]
        assert (
            sums["receivable"] == sums["charged"] + sums["billed_more"] - sums["credited"] - sums["applied"] - forgiven
        )
        assert sums["receivable"] == sums["uninvoiced"] + sums["owed"]
        assert sums["deposits"] == -sums["unapplied"]
        assert sums["credit"] == -sums["credit_left"] - sums["in_credit"]
        assert sums["money"] + sums["written_off"] == sums["paid"] - sums["gone"] + sums["forfeited"]
        assert await self.fetch(TOO_MUCH_ON_CARD) == []
        assert await self.fetch(WRONGLY_CREDITED) == []

    @asynccontextmanager
    async def held_open(
        self, request: Any, work: Callable[[BillingStore], Awaitable[object]], *, rolled_back: bool = False
    ) -> AsyncIterator[None]:
        """Round the door: a change that has done its `work`, and ends when the block does."""
        worked, end = asyncio.Event(), asyncio.Event()

        async def work_and_wait(store: BillingStore) -> Any:
            await work(store)
            worked.set()
            await end.wait()
            if rolled_back:
                raise Interrupted
            return type(request)()

        inside = self.svc.inside("Test", request.request_id)
        change = asyncio.create_task(self.svc.db.once(inside, request, type(request), BillingStore, work_and_wait))
        waiting = asyncio.create_task(worked.wait())
        await asyncio.wait([change, waiting], return_when=asyncio.FIRST_COMPLETED)
        try:
            yield
        finally:
            end.set()
            waiting.cancel()
            with suppress(Interrupted):
                await change

    async def someone_waits(self, lock: str = "%") -> None:
        """Returns once a statement waits for a lock; of that kind ("advisory": one of ours), if told."""
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
            "AND wait_event LIKE $1"
        )
        for _ in range(500):
            if await self.svc.admin.fetchval(waiting, lock):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("nobody waits")

    def at(self, site_id: str, role: str = "ROLE_BILLING") -> str:
        """A token for one site only."""
        return self.svc.token(role, sites=[from_wire("site", site_id)])


UNBALANCED = "SELECT entry_id FROM posting GROUP BY entry_id, currency HAVING sum(amount_minor) <> 0"
# What is left of an invoice, a payment or credit is what was not applied, returned or credited.
WRONGLY_LEFT = """
    WITH applied AS (
        SELECT id, payment_id AS item_id, invoice_id, amount_minor FROM application
        UNION ALL SELECT id, credit_id, invoice_id, amount_minor FROM credit_use
    ), moved AS (
        SELECT item_id AS id, amount_minor FROM applied UNION ALL SELECT invoice_id, amount_minor FROM applied
        UNION ALL SELECT invoice_id, -amount_minor FROM unapplication
        UNION ALL SELECT unapplication.item_id, -unapplication.amount_minor FROM unapplication
            LEFT JOIN credit_note ON credit_note.id = credit_note_id
            WHERE credit_note.id IS NULL OR credit_note.purpose <> 2
                OR EXISTS (SELECT FROM credit_use WHERE credit_use.id = application_id)
        UNION ALL SELECT invoice_id, total_minor FROM credit_note
        UNION ALL SELECT invoice_id, forgiven_minor FROM package_end WHERE invoice_id IS NOT NULL
    )
    SELECT id FROM open_item
    LEFT JOIN (
        SELECT id, total_minor AS whole FROM invoice UNION ALL SELECT id, amount_minor FROM payment
        UNION ALL SELECT credit_note.id, sum(unapplication.amount_minor)::bigint FROM credit_note
            JOIN unapplication ON unapplication.credit_note_id = credit_note.id
            WHERE purpose = 2 AND NOT EXISTS (SELECT FROM credit_use WHERE credit_use.id = application_id)
            GROUP BY credit_note.id
        UNION ALL SELECT id, refundable_minor FROM package_end
    ) AS document USING (id)
    WHERE whole - left_minor - credit_minor - gone_minor IS DISTINCT FROM (
        SELECT coalesce(sum(amount_minor), 0) FROM moved WHERE moved.id = open_item.id
    )
"""
WRONGLY_GONE = """
    WITH refunded AS (
        SELECT coalesce(credit_id, payment_id) AS item_id, amount_minor, credit_minor FROM refund_part WHERE state <> 3
    )
    SELECT id FROM open_item WHERE kind = 1 AND (
        credit_minor <> (SELECT coalesce(sum(amount_minor), 0) FROM credit_transfer WHERE payment_id = open_item.id)
            - (SELECT coalesce(sum(credit_minor), 0) FROM refunded WHERE item_id = open_item.id)
        OR gone_minor <> (SELECT coalesce(sum(amount_minor), 0) FROM reversal WHERE payment_id = open_item.id)
            + (SELECT coalesce(sum(amount_minor), 0) FROM forfeiture WHERE payment_id = open_item.id)
            + (SELECT coalesce(sum(amount_minor), 0) FROM refunded WHERE item_id = open_item.id)
            + (SELECT coalesce(sum(lost_minor), 0) FROM dispute WHERE payment_id = open_item.id)
    ) OR kind = 3 AND (
        credit_minor <> 0
        OR gone_minor <> (SELECT coalesce(sum(amount_minor), 0) FROM refunded WHERE item_id = open_item.id)
    )
"""
TOO_MUCH_ON_CARD = """
    SELECT id FROM payment WHERE tender = 4 AND amount_minor < (
        SELECT sum(amount_minor) FROM refund_part WHERE payment_id = payment.id AND tender = 4 AND state <> 3
    )
"""
# Lines add up to their invoice, and no line is credited beyond what it came to.
WRONGLY_CREDITED = """
    SELECT invoice.id FROM invoice JOIN open_item USING (id)
    LEFT JOIN (
        SELECT invoice_id, sum(amount_minor) AS amount, sum(discount_minor) AS discount, sum(tax_minor) AS tax
        FROM invoice_line GROUP BY invoice_id
    ) AS line ON line.invoice_id = invoice.id
    WHERE (amount, discount, tax) IS DISTINCT FROM (subtotal_minor, discount_minor, tax_minor)
        OR credited_minor <> (SELECT coalesce(sum(total_minor), 0) FROM credit_note WHERE invoice_id = invoice.id)
    UNION ALL
    SELECT invoice_id FROM invoice_line JOIN (
        SELECT charge_id, sum(amount_minor) AS amount, sum(discount_minor) AS discount, sum(tax_minor) AS tax,
            sum(included_tax_minor) AS included
        FROM credit_note_line GROUP BY charge_id
    ) AS credit USING (charge_id)
    WHERE amount > amount_minor - discount_minor OR discount > discount_minor OR tax > tax_minor
        OR included > included_tax_minor
"""
SUMS = """
    SELECT (SELECT coalesce(sum(amount_minor), 0) FROM posting WHERE account IN (1, 2, 6, 7, 8, 9, 10, 18)) AS money,
        (SELECT coalesce(sum(amount_minor), 0) FROM posting WHERE account = 3) AS receivable,
        (SELECT coalesce(sum(amount_minor), 0) FROM posting WHERE account = 4) AS deposits,
        (SELECT coalesce(sum(amount_minor), 0) FROM posting WHERE account = 17) AS credit,
        (SELECT coalesce(sum(amount_minor), 0) FROM posting WHERE account = 21) AS written_off,
        (SELECT coalesce(sum(forgiven_minor), 0) FROM package_end) AS forgiven,
        (SELECT coalesce(sum(amount_minor), 0) FROM charge) AS charged,
        (SELECT coalesce(sum(tax_minor - discount_minor), 0) FROM invoice) AS billed_more,
        (SELECT coalesce(sum(total_minor), 0) FROM credit_note) AS credited,
        (SELECT coalesce(sum(amount_minor), 0) FROM charge WHERE id NOT IN (SELECT charge_id FROM invoice_line))
            AS uninvoiced,
        (SELECT coalesce(sum(left_minor), 0) FROM open_item WHERE kind = 1) AS unapplied,
        (SELECT coalesce(sum(left_minor), 0) FROM open_item WHERE kind = 2) AS owed,
        (SELECT coalesce(sum(left_minor), 0) FROM open_item WHERE kind = 3) AS credit_left,
        (SELECT coalesce(sum(amount_minor), 0) FROM payment) AS paid,
        (SELECT coalesce(sum(credit_minor), 0) FROM open_item WHERE kind = 1) AS in_credit,
        (SELECT coalesce(sum(gone_minor), 0) FROM open_item WHERE kind IN (1, 3)) AS gone,
        (SELECT coalesce(sum(amount_minor), 0) FROM forfeiture) AS forfeited,
        (SELECT coalesce(sum(amount_minor), 0) FROM application)
            + (SELECT coalesce(sum(amount_minor), 0) FROM credit_use)
            - (SELECT coalesce(sum(amount_minor), 0) FROM unapplication) AS applied
"""


@asynccontextmanager
async def open_billing(server_url: str, folder: Path) -> AsyncIterator[Running]:
    """For many tests: each opens a chain of its own in it."""
    async with running(SERVICE, server_url, folder) as svc:
        yield svc


async def open_chain(svc: Running) -> Billing:
    svc.clock.now = NOW
    billing = Billing(replace(svc, chain_id=new_id()))
    await billing.register()
    return billing
