"""Random steps through the doors of billing, each told to `tests.support.billing_model` as well, and what must hold
after them."""

import random
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
from grpc.aio import AioRpcError

from atoll.billing.v1 import account_service_pb2 as account_pb
from atoll.billing.v1 import card_service_pb2 as card_pb
from atoll.billing.v1 import charge_pb2
from atoll.billing.v1 import credit_note_service_pb2 as note_pb
from atoll.billing.v1 import dispute_service_pb2 as dispute_pb
from atoll.billing.v1 import estimate_service_pb2 as estimate_pb
from atoll.billing.v1 import invoice_service_pb2 as invoice_pb
from atoll.billing.v1 import ledger_service_pb2 as ledger_pb
from atoll.billing.v1 import package_sale_service_pb2 as sale_pb
from atoll.billing.v1 import payment_service_pb2 as payment_pb
from atoll.billing.v1 import refund_service_pb2 as refund_pb
from atoll.billing.v1.card_service_pb2_grpc import CardServiceStub
from atoll.billing.v1.dispute_service_pb2_grpc import DisputeServiceStub
from atoll.billing.v1.events_pb2 import CreditNoteIssued, InvoiceIssued, InvoicePaid, InvoiceReopened
from atoll.billing.v1.refund_service_pb2_grpc import RefundServiceStub
from atoll.patients.v1.events_pb2 import PatientMerged
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_date
from services.billing.processor.asking import Asking
from tests.support.billing import ASSESSMENT, INFUSION, Billing, BookedCourse, usd
from tests.support.billing_model import (
    CARD,
    CASH,
    CHECK,
    INVOICE,
    PAYMENT,
    RECEIVABLE,
    TERMINAL,
    Charge,
    Item,
    Line,
    Model,
)
from tests.support.invoicing import FEE_CENTS, SALVE_CENTS, Invoicing, cents, cents_of, price_everything
from tests.support.packages import NOT_WHOLE, Packages
from tests.support.packages import SUMS as PACKAGE_SUMS
from tests.support.processor import FakeProcessor, signed
from tests.support.service import read_refusal

PRICES = {ASSESSMENT: 30_000, INFUSION: 59_000}
SIX = ("infusion", "", "", 6)
SIX_CENTS = 300_001
TAX_PPM = 76_250
TAXED = (
    charge_pb2.CHARGE_KIND_VISIT,
    charge_pb2.CHARGE_KIND_PRODUCT,
    charge_pb2.CHARGE_KIND_NO_SHOW_FEE,
    charge_pb2.CHARGE_KIND_PACKAGE,
)
OFFSET, KEPT, BACK = note_pb.CREDIT_PURPOSE_OFFSET, note_pb.CREDIT_PURPOSE_CREDIT, note_pb.CREDIT_PURPOSE_REFUND
WON = dispute_pb.DISPUTE_STATE_WON

# What must hold after every step, and what no refused request changes.
STATE = """
    SELECT (SELECT count(*) FROM (
            SELECT FROM posting GROUP BY entry_id, legal_entity_id, currency HAVING sum(amount_minor) <> 0
        ) AS wrong) AS unbalanced,
        (SELECT count(*) FROM entitlement WHERE left_minor < 0 OR left_count < 0) AS overdrawn,
        (SELECT count(*) FROM entry) AS entries, (SELECT count(*) FROM posting) AS postings,
        (SELECT sum(hashtextextended((id, left_minor, credit_minor, gone_minor)::text, 0)) FROM open_item) AS items,
        (SELECT sum(left_minor) FROM entitlement) AS deferred, (SELECT count(*) FROM charge) AS charges,
        (SELECT count(*) FROM invoice) AS invoices, (SELECT count(*) FROM credit_note) AS notes,
        (SELECT count(*) FROM redemption) AS redemptions, (SELECT count(*) FROM refund) AS refunds
"""
OF_VISITS = """
    SELECT visit_id, id, amount_minor, NULL AS value_minor, NULL AS selling_site_id, NULL AS sale_id
    FROM charge WHERE visit_id = ANY($1)
    UNION ALL SELECT visit_id, id, NULL, value_minor, selling_site_id, sale_id FROM redemption
    WHERE visit_id = ANY($1) AND undone_at IS NULL
"""
LAST_TAX = "SELECT tax_minor FROM forfeiture WHERE payment_id = $1 ORDER BY id DESC LIMIT 1"
DUE = "UPDATE {} SET look_at = now() WHERE look_at IS NOT NULL"


OFTEN = ("visits", "pay", "invoice_course", "invoice_charges", "hear", "ask_card")
SELDOM = (
    "product", "miss", "correct", "waive", "apply", "allocate", "unapply", "reverse", "move_to_credit", "use_credit",
    "forfeit", "refund", "credit_lines", "void", "bill_again", "dispute", "close_dispute", "decide",
    "fail_refund", "pay_out", "sell", "undo", "stop", "wrong",
)  # fmt: skip
STEPS = (*OFTEN, *OFTEN, *OFTEN, *SELDOM)


T = TypeVar("T")


class Nothing(Exception):
    """There is nothing that the step could be about."""


@dataclass
class Walk:
    billing: Billing
    processors: Any
    fake: FakeProcessor
    post_url: str
    seed: int
    steps: list[str] = field(default_factory=list)
    delivered: list[Any] = field(default_factory=list)
    courses: list[BookedCourse] = field(default_factory=list)
    lives: set[str] = field(default_factory=set)
    missed_in: set[str] = field(default_factory=set)
    """Courses of which a visit was missed."""
    """Courses of which a visit took place."""
    sales: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Site and charge of each package."""
    redemptions: dict[str, tuple[str, str, str, str, int]] = field(default_factory=dict)
    """Visit, site, patient and course of each, and the selling site and the value."""
    asked: dict[str, str] = field(default_factory=dict)
    """The intent of each charge of a card."""
    parts: dict[str, tuple[Item, int, int]] = field(default_factory=dict)
    """Of each refund of a card: its payment, the amount, and what of it was credit."""
    disputes: dict[str, tuple[Item, int, int]] = field(default_factory=dict)
    """Payment, amount and state."""
    payouts: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    approved: set[str] = field(default_factory=set)
    """Courses that may cost more than was estimated."""
    happened: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        svc = self.billing.svc
        self.chance = random.Random(self.seed)  # noqa: S311
        self.token = svc.token()
        self.desk, self.packages = Invoicing(self.billing), Packages(self.billing)
        self.cards, self.refunds = svc.stub(CardServiceStub), svc.stub(RefundServiceStub)
        self.dispute_stub = svc.stub(DisputeServiceStub)

    async def open(self) -> "Walk":
        """Two sites of one legal entity, the first with a tax, and one of another; two packages for all of them."""
        billing, other_entity = self.billing, self.packages.other_entity_id
        await billing.register_legal_entity(other_entity)
        sites = [billing.site_id, await billing.register_site()]
        sites.append(await billing.register_site(legal_entity_id=other_entity))
        for site in sites:
            await price_everything(billing, site)
        await self.desk.tax(TAX_PPM, kinds=TAXED)
        self.sites, self.entities = sites, [billing.legal_entity_id, other_entity]
        self.patients = [billing.patient_id, *[await billing.register_patient() for _ in range(3)]]
        terms: dict[str, Any] = {"price": SIX_CENTS / 100, "stop_fee_percent": 5}
        self.offers = [
            await self.packages.offer(SIX, code="paid", **terms),
            await self.packages.offer(SIX, code="unpaid", redeemable_unpaid=True, **terms),
        ]
        self.model = Model(dict(zip(sites, [self.entities[0], *self.entities], strict=True)))
        self.state = await self.look_at_state()
        return self

    # The walk itself.

    async def go(self, count: int, *, every: int = 25) -> None:
        for number in range(1, count + 1):
            try:
                await self.step(number, count)
                if number % every == 0:
                    await self.agree(self.delivered[-every:])
            except Exception as error:
                why, told = (
                    read_refusal(error) if isinstance(error, AioRpcError) else error,
                    "\n".join(self.steps[-30:]),
                )
                raise AssertionError(f"seed {self.seed}, step {number}: {why!r}\n{told}") from error
        await self.hear(everything=True)
        await self.agree(self.delivered)
        await self.agree_with_events()

    async def step(self, number: int, count: int) -> None:
        self.billing.svc.clock.now += timedelta(minutes=7)
        planned = {count // 2: self.merge, count // 3: self.close, 2 * count // 3: self.close}
        while True:
            chosen = planned.get(number) or getattr(self, self.chance.choice(STEPS))
            name = chosen.__name__
            self.steps.append(f"{number} {name}")
            try:
                await chosen()
                break
            except Nothing:
                self.steps.pop()
        self.happened.add(name)
        self.state = await self.look_at_state()
        assert (self.state["unbalanced"], self.state["overdrawn"]) == (0, 0)

    async def look_at_state(self) -> dict[str, Any]:
        [row] = await self.billing.fetch(STATE)
        return dict(row)

    async def agree(self, again: Sequence[Any]) -> None:
        """The books, the documents and the model; and nothing changes when what was told is told again."""
        billing, before = self.billing, await self.look_at_state()
        for event in self.chance.sample(again, len(again)):
            await billing.svc.deliver(event)
        assert await self.look_at_state() == before
        items = await billing.fetch("SELECT id, left_minor, credit_minor, gone_minor FROM open_item")
        there = {row["id"]: (row["left_minor"], row["credit_minor"], row["gone_minor"]) for row in items}
        own = {uuid_of(each.id): (each.left, each.credit, each.gone) for each in self.model.items.values()}
        assert there == own, {id: (there.get(id), own.get(id)) for id in there | own if there.get(id) != own.get(id)}
        for patient in self.patients:
            request = account_pb.GetAccountRequest(patient_id=patient, page_size=1)
            account = (await self.call(billing.accounts.GetAccount, request)).account
            balance = sum(cents(each.balance) for each in account.balances)
            assert balance == self.model.balance(patient), (patient, balance)
        for entity in self.entities:
            totals = await self.packages.books(entity, self.token)
            found = {name: round(100 * amount) for name, amount in totals.items()}
            wanted = {name: amount for (of, name), amount in self.model.totals.items() if of == entity and amount}
            assert found == wanted, set(found.items()) ^ set(wanted.items())
            verified = await self.call(billing.ledger.VerifyBooks, ledger_pb.VerifyBooksRequest(legal_entity_id=entity))
            assert not verified.differences
            assert not verified.unbalanced_entry_ids
        await billing.books_agree()
        assert await billing.fetch(NOT_WHOLE) == []
        [sums] = await billing.fetch(PACKAGE_SUMS)
        assert (sums["deferred"], sums["owed"]) == (sums["left"], sums["owing"])

    async def agree_with_events(self) -> None:
        """Whoever hears of invoices only, in any order, knows which of them owe."""
        owes, void = dict[str, dict[int, bool]](), set[str]()
        published = [event for _, event in await self.billing.facts()]
        for event in self.chance.sample(published, len(published)):
            match event:
                case InvoiceIssued() | InvoiceReopened():
                    of = owes.setdefault(event.invoice_id, {})
                    of.setdefault(event.meta.aggregate_version, cents(event.balance) > 0)
                case InvoicePaid():
                    owes.setdefault(event.invoice_id, {})[event.meta.aggregate_version] = False
                case CreditNoteIssued() if event.voids:
                    void.add(event.invoice_id)
        told = {id for id, by_version in owes.items() if by_version[max(by_version)] and id not in void}
        assert told == {each.id for each in self.model.of(INVOICE) if each.left}

    # Small words.

    async def call(self, method: Any, request: Any) -> Any:
        return await self.billing.svc.call(method, request, self.token)

    async def refuses(self, asking: Awaitable[Any], *reasons: str) -> None:
        """And changes nothing."""
        try:
            await asking
        except AioRpcError as error:
            refused = read_refusal(error)
            assert refused.reason in reasons, refused
            self.refused.add(refused.reason)
            assert await self.look_at_state() == self.state
            return
        raise AssertionError("was not refused")

    def note(self, *told: object) -> None:
        self.steps[-1] += " " + " ".join(map(str, told))

    def one(self, found: Sequence[T]) -> T:
        if not found:
            raise Nothing
        return self.chance.choice(found)

    def some(self, found: Sequence[T]) -> list[T]:
        if not found:
            raise Nothing
        return self.chance.sample(found, self.chance.randint(1, len(found)))

    def payments(self, *, with_left: bool = False) -> list[Item]:
        return [each for each in self.model.of(PAYMENT) if each.left or not with_left]

    # What was done, and what it costs.

    async def visits(self) -> None:
        """Events about them come twice, in any order, with older ones among them."""
        site, patient = self.one(self.sites), self.one(self.patients)
        kinds = [self.one([ASSESSMENT, INFUSION]) for _ in range(self.chance.randint(1, 3))]
        self.note(site, patient, kinds)
        course = await self.billing.book(kinds, first=self.billing.svc.now, site_id=site, patient_id=patient)
        self.courses.append(course)
        missed = {n for n in range(len(kinds)) if self.chance.random() < 0.2}
        told = [
            self.billing.missed(course, n) if n in missed else self.billing.completed(course, n)
            for n in range(len(kinds))
        ]
        older = self.chance.sample(self.delivered, min(2, len(self.delivered)))
        events = [*told, *told, course.event, *older]
        self.chance.shuffle(events)
        for event in events:
            await self.billing.svc.deliver(event)
        self.delivered += [course.event, *told]
        ids = [from_wire("visit", visit.visit_id) for visit in course.visits]
        found = {row["visit_id"]: row for row in await self.billing.fetch(OF_VISITS, ids)}
        assert len(found) == len(kinds)
        if missed:
            self.missed_in.add(course.id)
        if len(missed) < len(kinds):
            self.lives.add(course.id)
        for n, visit_id in enumerate(ids):
            row = found[visit_id]
            if row["value_minor"] is None:
                price = FEE_CENTS if n in missed else PRICES[kinds[n]]
                assert row["amount_minor"] == price
                earned = "FEE_REVENUE" if n in missed else "REVENUE"
                charge_id = to_wire("charge", row["id"])
                self.model.charge(Charge(charge_id, site, self.model.whole(patient), course.id, price, earned))
            else:
                assert kinds[n] == INFUSION
                seller = to_wire("site", row["selling_site_id"])
                visit = course.visits[n].visit_id
                self.redemptions[to_wire("redemption", row["id"])] = visit, site, patient, course.id, row["value_minor"]
                self.earn(seller, site, row["value_minor"])
                self.happened.add("drawn")

    async def miss(self) -> None:
        """The first of two visits, with less paid ahead than the fee: that becomes the fee, and the rest is owed.
        Whatever ends the fee later, a waiver or credit notes, gives it back."""
        site, patient, amount = self.one(self.sites), self.one(self.patients), self.chance.randint(1, FEE_CENTS - 1)
        self.note(site, patient, amount)
        course = await self.billing.book(
            [ASSESSMENT, INFUSION], first=self.billing.svc.now, site_id=site, patient_id=patient
        )
        says: dict[str, Any] = {"site_id": site, "patient_id": patient, "course_id": course.id, "tender": CASH}
        payment = await self.billing.pay(amount / 100, self.token, **says)
        whose = self.model.whole(patient)
        deposit = self.model.pay(Item(PAYMENT, payment.id, site, whose, course.id, amount, amount, tender=CASH))
        missed = self.billing.missed(course, 0)
        for _ in range(2):
            await self.billing.svc.deliver(missed)
        self.courses.append(course)
        self.lives.add(course.id)
        self.missed_in.add(course.id)
        self.delivered += [course.event, missed]
        [row] = await self.billing.fetch(OF_VISITS, [from_wire("visit", course.visits[0].visit_id)])
        assert row["amount_minor"] == FEE_CENTS - amount
        charge = Charge(to_wire("charge", row["id"]), site, whose, course.id, row["amount_minor"], "FEE_REVENUE")
        self.model.fee(charge, deposit, amount, self.inside(site, amount))

    def inside(self, site: str, amount: int) -> int:
        """What of a fee is tax."""
        return round(amount * TAX_PPM / (1_000_000 + TAX_PPM)) if site == self.sites[0] else 0

    def earn(self, seller: str, site: str, value: int) -> None:
        if self.model.entity_of[seller] == self.model.entity_of[site]:
            self.model.move(site, "DEFERRED_REVENUE", "REVENUE", value)
        else:
            self.model.move(seller, "DEFERRED_REVENUE", "DUE_TO", value)
            self.model.move(site, "DUE_FROM", "REVENUE", value)

    async def product(self) -> None:
        site, patient, quantity = self.one(self.sites), self.one(self.patients), self.chance.randint(1, 3)
        charge = await self.desk.product(quantity, self.token, site_id=site, patient_id=patient)
        self.note(site, patient, charge.id)
        cost = SALVE_CENTS * quantity
        self.model.charge(Charge(charge.id, site, self.model.whole(patient), "", cost, "REVENUE"))

    async def correct(self) -> None:
        charge = self.one([each for each in self.model.charges.values() if each.earned == "REVENUE"])
        amount = self.chance.choice([-1, 1]) * self.chance.randint(1, max(charge.amount - 1, 1))
        self.note(charge.id, amount)
        await self.desk.correct(charge.id, amount / 100, self.token)
        self.model.correct(charge.id, amount)

    async def waive(self) -> None:
        charge = self.one([each for each in self.model.charges.values() if each.earned == "FEE_REVENUE"])
        self.note(charge.id)
        await self.desk.waive(charge.id, self.token)
        self.model.correct(charge.id, -charge.amount)
        self.model.fee_ended(charge)
        del self.model.charges[charge.id]

    # Invoices.

    async def invoice_course(self) -> None:
        courses = sorted({each.course for each in self.model.charges.values()} - {""})
        course = self.one(courses)
        self.note(course)
        await self.approve([course])
        request = invoice_pb.IssueInvoiceRequest(request_id=str(uuid4()), course_id=course)
        invoice = (await self.call(self.billing.invoices.IssueInvoice, request)).invoice
        self.billed(invoice, [each for each in self.model.charges.values() if each.course == course], 0)

    async def approve(self, courses: Iterable[str]) -> None:
        """That a course may cost more than was estimated: what happens here is on no estimate."""
        for course in {*courses} - self.approved - {""}:
            request = estimate_pb.ApproveBeyondEstimateRequest(
                request_id=str(uuid4()), course_id=course, up_to=usd(100_000), reason="by phone"
            )
            await self.call(self.billing.estimates.ApproveBeyondEstimate, request)
            self.approved.add(course)

    async def invoice_charges(self) -> None:
        first = self.one(list(self.model.charges.values()))
        whose = self.model.whole(first.patient)
        there_are = [
            each
            for each in self.model.charges.values()
            if (self.model.whole(each.patient), each.site) == (whose, first.site) and not has_package([each])
        ]
        charges = [first] if has_package([first]) else self.some(there_are)
        ids = [each.id for each in charges]
        subtotal = sum(each.amount for each in charges)
        discount = self.chance.randint(1, subtotal - 1) if self.chance.random() < 0.4 else 0
        discount = 0 if has_package(charges) else discount
        self.note(*ids, discount)
        await self.approve([each.course for each in charges])
        if discount:
            says = invoice_pb.Discount(amount=cents_of(discount), reason=invoice_pb.DISCOUNT_REASON_GOODWILL)
            draft = await self.desk.draft(*ids, token=self.token, discount=says)
            invoice = await self.desk.issue_draft(draft, self.token)
        else:
            invoice = await self.desk.issue(*ids, token=self.token)
        self.billed(invoice, charges, discount)

    def billed(self, invoice: invoice_pb.Invoice, charges: Sequence[Charge], discount: int) -> None:
        shown = {line.charge_id: line for line in invoice.lines}
        assert {id: cents(line.amount) for id, line in shown.items()} == {each.id: each.amount for each in charges}
        lines = [
            Line(each, each.amount - cents(shown[each.id].discount), cents(shown[each.id].discount), 0, 0)
            for each in (self.model.charges[line.charge_id] for line in invoice.lines)
        ]
        assert sum(line.discount for line in lines) == discount
        for line in lines:
            line.tax, line.inside = cents(shown[line.charge.id].tax), cents(shown[line.charge.id].included_tax)
            is_fee, taxed = line.charge.earned == "FEE_REVENUE", line.charge.site == self.sites[0]
            added, within = TAX_PPM / 1_000_000, TAX_PPM / (1_000_000 + TAX_PPM)
            assert abs(line.tax - line.net * added * (taxed and not is_fee)) < (1 if taxed else 1e-9)
            assert abs(line.inside - line.net * within * (taxed and is_fee)) < (1 if taxed else 1e-9)
            assert line.inside * line.tax == 0
        made = self.model.bill(invoice.id, lines)
        assert (cents(invoice.total), cents(invoice.balance)) == (made.whole, made.left)
        assert invoice.course_id == made.course

    # Payments.

    async def pay(self) -> None:
        owed = [each for each in self.model.of(INVOICE) if each.left]
        invoice = self.one(owed) if owed and self.chance.random() < 0.6 else None
        site = invoice.site if invoice else self.one(self.sites)
        patient = invoice.patient if invoice else self.one(self.patients)
        courses = [each for each in self.courses if self.is_at(each, site, patient)]
        course = self.one(courses) if courses and not invoice and self.chance.random() < 0.5 else None
        amount = self.chance.choice([invoice.left] if invoice else [15_000]) + self.chance.choice([0, 0, 1, -1, 12_345])
        amount = max(1, amount if self.chance.random() < 0.6 else amount // 2)
        tender = self.chance.choice([CASH, CHECK, TERMINAL])
        references = {CHECK: {"check_number": str(uuid4())[:20]}, TERMINAL: {"terminal_reference": str(uuid4())[:20]}}
        to_credit = self.chance.random() < 0.2
        about = {"invoice_id": invoice.id} if invoice else {"course_id": course.id} if course else {}
        says: dict[str, Any] = {"site_id": site, "patient_id": patient, "tender": tender, "excess_to_credit": to_credit}
        self.note(site, patient, amount, about, tender, to_credit)
        payment = await self.billing.pay(amount / 100, self.token, **says | about | references.get(tender, {}))
        kept = course.id if course and course.id in self.lives else ""
        item = Item(PAYMENT, payment.id, site, self.model.whole(patient), kept, amount, amount, tender=tender)
        self.model.pay(item, invoice.id if invoice else "")
        if to_credit:
            self.model.to_credit(item, item.left)

    def is_at(self, course: BookedCourse, site: str, patient: str) -> bool:
        whole = self.model.whole
        return course.site_id == site and whole(course.patient_id) == whole(patient)

    async def change(self, rpc: str, **fields: Any) -> Any:
        request = getattr(payment_pb, f"{rpc}Request")(request_id=str(uuid4()), **fields)
        return await self.call(getattr(self.billing.payments, rpc), request)

    async def apply(self) -> None:
        payment = self.one(self.payments(with_left=True))
        self.note(payment.id)
        await self.change("ApplyPayment", payment_id=payment.id)
        self.model.spread(payment)

    async def allocate(self) -> None:
        """A part, to an invoice that somebody chose."""
        payment = self.one(self.payments(with_left=True))
        payable = [
            each
            for each in self.model.of(INVOICE, payment.site, payment.patient)
            if each.left and payment.course in ("", each.course)
        ]
        invoice = self.one(payable)
        amount = self.chance.randint(1, min(payment.left, invoice.left))
        self.note(payment.id, invoice.id, amount)
        part = payment_pb.Allocation(invoice_id=invoice.id, amount=cents_of(amount))
        await self.change("ApplyPayment", payment_id=payment.id, allocations=[part])
        self.model.apply(payment, invoice, amount)

    async def unapply(self) -> None:
        applied = self.one([each for each in self.model.applied if each.amount and each.item.kind == PAYMENT])
        payment, invoice = applied.item, applied.invoice
        self.note(payment.id, invoice.id)
        await self.change("UnapplyPayment", payment_id=payment.id, invoice_id=invoice.id, reason="meant another")
        all_of_it = [each for each in self.model.paid_by(payment) if each.invoice is invoice]
        self.model.take_off(all_of_it, payment.whole)

    async def reverse(self) -> None:
        payment = self.one([each for each in self.payments() if each.tender != CARD and not each.gone])
        self.note(payment.id)
        reversal = self.change("ReversePayment", payment_id=payment.id, reason="wrong patient")
        if self.model.standing(payment) < payment.whole:
            await self.refuses(reversal, "PAYMENT_PARTLY_GONE")
        else:
            await reversal
            self.model.reverse(payment)

    async def move_to_credit(self) -> None:
        payment = self.one(self.payments(with_left=True))
        amount = self.chance.randint(1, payment.left)
        self.note(payment.id, amount)
        await self.change("MoveToCredit", payment_id=payment.id, amount=cents_of(amount))
        self.model.to_credit(payment, amount)

    async def use_credit(self) -> None:
        invoice = self.one([each for each in self.model.of(INVOICE) if each.left])
        credits = self.model.credits(invoice.site, invoice.patient)
        if not credits:
            raise Nothing
        rest = amount = self.chance.randint(1, min(invoice.left, sum(there_is for _, there_is in credits)))
        self.note(invoice.id, amount)
        await self.change("UseCredit", invoice_id=invoice.id, amount=cents_of(amount))
        for item, there_is in credits:
            part = min(rest, there_is)
            rest -= part
            if item.kind == PAYMENT:
                self.model.to_credit(item, -part)
            elif part:
                self.happened.add("given credit used")
            self.model.apply(item, invoice, part)

    async def forfeit(self) -> None:
        """Of a course without a fee: where there is one, the deposit pays it."""
        kept = [each for each in self.payments(with_left=True) if each.course and each.course not in self.missed_in]
        course = self.one(sorted({each.course for each in kept}))
        amount = rest = self.chance.randint(1, 20_000)
        self.note(course, amount)
        await self.change("ForfeitDeposit", course_id=course, amount=cents_of(amount), reason="no show")
        for payment in kept:
            part = min(rest, payment.left) if payment.course == course else 0
            if part:
                rest -= part
                [row] = await self.billing.fetch(LAST_TAX, uuid_of(payment.id))
                assert abs(row["tax_minor"] - self.inside(payment.site, part)) <= 1  # Rounded with the other parts.
                self.model.forfeit(payment, part, row["tax_minor"])

    async def refund(self) -> None:
        """Over several payments: as somebody says, or the newest first."""
        first = self.one([each for each in self.payments() if self.refundable(each)])
        there_are = [each for each in self.model.of(PAYMENT, first.site, first.patient) if self.refundable(each)]
        if self.chance.random() < 0.5:
            asked = [(each, self.chance.randint(1, self.refundable(each))) for each in self.some(there_are)]
            parts = [refund_pb.CreateRefundRequest.Part(payment_id=p.id, amount=cents_of(a)) for p, a in asked]
        else:
            rest, parts, asked = self.chance.randint(1, sum(map(self.refundable, there_are))), [], []
            for each in reversed(there_are):
                if part := min(rest, self.refundable(each)):
                    asked.append((each, part))
                    rest -= part
        amount = sum(part for _, part in asked)
        self.note(*[f"{payment.id}:{part}" for payment, part in asked])
        made = await self.give_back(first, amount, parts)
        told = [(part.payment_id, cents(part.amount)) for part in made.parts]
        assert told == [(payment.id, part) for payment, part in asked]
        for (payment, part), shown in zip(asked, made.parts, strict=True):
            credit = self.model.refund(payment, part)
            if payment.tender == CARD:
                self.parts[shown.id] = payment, part, credit

    def refundable(self, payment: Item) -> int:
        """As it was paid: nothing while the card holder disputes it, to a card no more than the processor has of it."""
        if payment.disputed:
            return 0
        there_is = payment.left + payment.credit
        if payment.tender != CARD:
            return there_is
        given = sum(amount for of, amount, _ in self.parts.values() if of is payment)
        lost = sum(amount for of, amount, state in self.disputes.values() if of is payment and state != WON)
        return max(0, min(there_is, payment.whole - given - lost))

    async def give_back(self, about: Item, amount: int, parts: Sequence[Any] = ()) -> refund_pb.Refund:
        request = refund_pb.CreateRefundRequest(
            request_id=str(uuid4()),
            site_id=about.site,
            patient_id=about.patient,
            amount=cents_of(amount),
            parts=parts,
            reason="moved away",
        )
        return (await self.call(self.refunds.CreateRefund, request)).refund  # type: ignore[no-any-return]

    # Credit notes.

    def creditable(self) -> Item:
        invoices = [each for each in self.model.of(INVOICE) if not each.is_void]
        return self.one([each for each in invoices if not has_package(line.charge for line in each.lines)])

    async def credit_lines(self) -> None:
        invoice, purpose = self.creditable(), self.chance.choice([OFFSET, KEPT, BACK])
        lines = self.some([line for line in invoice.lines if line.net > line.credited[0]])
        asked = [(line, self.chance.randint(1, line.net - line.credited[0])) for line in lines]
        self.note(invoice.id, purpose, *[f"{line.charge.id}:{amount}" for line, amount in asked])
        named = [(line.charge.id, amount / 100) for line, amount in asked]
        await self.credit(
            invoice, asked, purpose, self.desk.credit(invoice.id, *named, token=self.token, purpose=purpose)
        )

    async def void(self) -> None:
        invoice, purpose = self.creditable(), self.chance.choice([OFFSET, KEPT, BACK])
        asked = [(line, line.net - line.credited[0]) for line in invoice.lines if line.net > line.credited[0]]
        self.note(invoice.id, purpose)
        await self.credit(invoice, asked, purpose, self.desk.void(invoice.id, purpose, self.token))

    async def bill_again(self) -> None:
        """A void whose charges wait for another invoice."""
        invoice, purpose = self.creditable(), self.chance.choice([OFFSET, KEPT, BACK])
        asked = [(line, line.net - line.credited[0]) for line in invoice.lines if line.net > line.credited[0]]
        self.note(invoice.id, purpose)
        wanted = dict[str, tuple[str, int]]()

        async def voiding() -> note_pb.CreditNote:
            answer = await self.desk.void_to_bill_again(invoice.id, purpose, self.token)
            wanted.update({each.replaces_charge_id: (each.id, cents(each.amount)) for each in answer.charges})
            return answer.credit_note

        for line in invoice.lines:
            line.to_charge_again = line.net + line.discount - line.credited[0] - line.credited[1]
        await self.credit(invoice, asked, purpose, voiding(), again=True)
        if invoice.is_void:
            made = self.model.charge_again(invoice, {old: new for old, (new, _) in wanted.items()})
            assert made == {old: amount for old, (_, amount) in wanted.items()}
            self.happened.add("billed again")

    async def credit(
        self,
        invoice: Item,
        asked: Sequence[tuple[Line, int]],
        purpose: int,
        crediting: Awaitable[note_pb.CreditNote],
        *,
        again: bool = False,
    ) -> None:
        """An offset of what is paid is refused."""
        if purpose == OFFSET and sum(line.total_of(amount) for line, amount in asked) > invoice.left:
            await self.refuses(crediting, "CREDIT_ABOVE_OPEN")
            return
        note = await crediting
        total, returned = self.model.credit(note.id, invoice, asked, keeps=purpose == KEPT, again=again)
        assert (cents(note.total), cents(note.returned)) == (total, returned)

    # Cards.

    async def ask_card(self) -> None:
        site, patient = self.one(self.sites[:2]), self.one(self.patients)
        owed = [each for each in self.model.of(INVOICE, site, patient) if each.left]
        amount = self.one(owed).left if owed and self.chance.random() < 0.7 else self.chance.randint(100, 60_000)
        request = card_pb.CreatePaymentIntentRequest(
            request_id=str(uuid4()), site_id=site, patient_id=patient, amount=cents_of(amount)
        )
        begun = await self.call(self.cards.CreatePaymentIntent, request)
        intent = begun.client_secret.removesuffix("_secret")
        self.asked[begun.card_charge.id] = intent
        self.note(site, patient, amount, intent)
        if self.chance.random() < 0.9:
            self.fake.enter_card(intent)

    async def hear(self, *, everything: bool = False) -> None:
        """Some of what the processor told, some of it twice, in any order; and what the job makes of it."""
        told = (
            self.fake.told
            if everything
            else self.chance.sample(self.fake.told, self.chance.randint(0, len(self.fake.told)))
        )
        events = [*told, *(each for each in told if self.chance.random() < 0.5)]
        self.chance.shuffle(events)
        async with httpx.AsyncClient(verify=False) as client:  # noqa: S501  # Plain HTTP: saves reading certificates.
            for event in events:
                body, signature = signed(event)
                answer = await client.post(self.post_url, content=body, headers={"Stripe-Signature": signature})
                assert answer.status_code == 200
        self.fake.told = [each for each in self.fake.told if each not in told]
        for _ in range(2):
            for table in ("card_charge", "refund_part", "processor_event"):
                await self.billing.execute(DUE.format(table))
            await Asking(self.billing.svc.db, self.processors, self.billing.svc.now).look()
        await self.absorb()
        if everything:
            paid = {each["id"] for each in self.fake.of_kind("payment_intent") if each["status"] == "succeeded"}
            taken = await self.billing.fetch("SELECT processor_id FROM card_charge WHERE state = 2")
            assert {row["processor_id"] for row in taken} == paid
            assert len(self.disputes) == len(self.fake.of_kind("dispute"))

    async def absorb(self) -> None:
        """Into the model, what the processor's word made of cards, refunds, disputes and payouts."""
        fetch = self.billing.fetch
        for row in await fetch("SELECT * FROM payment WHERE card_charge_id IS NOT NULL ORDER BY id"):
            id, patient = to_wire("payment", row["id"]), to_wire("patient", row["patient_id"])
            if id not in self.model.items:
                amount = self.fake.objects[self.asked[to_wire("cardcharge", row["card_charge_id"])]]["amount"]
                assert row["amount_minor"] == amount
                item = Item(PAYMENT, id, to_wire("site", row["site_id"]), patient, "", amount, amount, tender=CARD)
                self.model.pay(item)
                self.happened.add("paid by card")
        for row in await fetch("SELECT id FROM refund_part WHERE state = 3"):
            if failed := self.parts.pop(to_wire("refundpart", row["id"]), None):
                self.model.refund_failed(*failed)
                self.happened.add("refund failed")
        for row in await fetch("SELECT * FROM dispute ORDER BY id"):
            self.absorb_dispute(row)
        assert await fetch("SELECT FROM payout_line WHERE site_id IS NULL") == []  # Each is of a document of ours.
        for row in await fetch("SELECT * FROM payout_line"):
            if row["transaction"] not in self.payouts:
                self.payouts.add(row["transaction"])
                site, amount, fee = to_wire("site", row["site_id"]), row["amount_minor"], row["fee_minor"]
                self.model.move(site, "BANK", "PROCESSOR_CLEARING", amount)
                self.model.move(site, "PROCESSOR_FEES", "BANK", fee)
                self.happened.add("paid out")

    def absorb_dispute(self, row: Any) -> None:
        id, payment = to_wire("dispute", row["id"]), self.model.items[to_wire("payment", row["payment_id"])]
        amount = row["amount_minor"]
        if id not in self.disputes:
            self.disputes[id] = payment, amount, 1
            self.model.move(payment.site, "DISPUTED_RECEIVABLE", "PROCESSOR_CLEARING", amount)
        if self.disputes[id][2] == 1 and row["state"] == WON:
            self.model.move(payment.site, "PROCESSOR_CLEARING", "DISPUTED_RECEIVABLE", amount)
            self.happened.add("dispute won")
        self.disputes[id] = payment, amount, row["state"]
        payment.disputed = any(state in (1, 3) for of, _, state in self.disputes.values() if of is payment)

    async def dispute(self) -> None:
        payment = self.one([each for each in self.payments() if each.tender == CARD])
        [row] = await self.billing.fetch(
            "SELECT processor_id FROM card_charge WHERE id = (SELECT card_charge_id FROM payment WHERE id = $1)",
            uuid_of(payment.id),
        )
        if any(each["payment_intent"] == row["processor_id"] for each in self.fake.of_kind("dispute")):
            raise Nothing
        amount = payment.whole if self.chance.random() < 0.5 else self.chance.randint(1, payment.whole)
        self.note(payment.id, amount)
        self.fake.open_dispute(row["processor_id"], amount)

    async def close_dispute(self) -> None:
        dispute = self.one([each for each in self.fake.of_kind("dispute") if each["status"] == "needs_response"])
        status = self.chance.choice(["won", "lost"])
        self.note(dispute["id"], status)
        self.fake.close_dispute(dispute["id"], status)

    async def decide(self) -> None:
        id = self.one([id for id, (_, _, state) in self.disputes.items() if state == 3])
        payment, amount, _ = self.disputes[id]
        decision = self.chance.choice([dispute_pb.DISPUTE_DECISION_OWED_AGAIN, dispute_pb.DISPUTE_DECISION_WRITTEN_OFF])
        self.note(id, payment.id, amount, decision)
        request = dispute_pb.DecideDisputeRequest(
            request_id=str(uuid4()), dispute_id=id, decision=decision, reason="no proof"
        )
        await self.call(self.dispute_stub.DecideDispute, request)
        if decision == dispute_pb.DISPUTE_DECISION_OWED_AGAIN:
            self.model.owe_again(payment, amount)
        else:
            self.model.move(payment.site, "WRITE_OFFS", "DISPUTED_RECEIVABLE", amount)
        self.disputes[id] = payment, amount, 3 + decision
        payment.disputed = False

    async def fail_refund(self) -> None:
        refund = self.one([each for each in self.fake.of_kind("refund") if each["status"] == "succeeded"])
        self.note(refund["id"])
        self.fake.change_refund(refund["id"], "failed", "expired_or_canceled_card")

    async def pay_out(self) -> None:
        if not any(not each["payout"] for each in self.fake.of_kind("balance_transaction")):
            raise Nothing
        self.note(self.fake.pay_out())

    # Packages.

    async def sell(self) -> None:
        site, patient = self.one(self.sites), self.one(self.patients)
        sale = await self.packages.sell(self.one(self.offers), self.token, site_id=site, patient_id=patient)
        self.note(site, patient, sale.id)
        self.sales[sale.id] = site, sale.charge_id
        charge = Charge(sale.charge_id, site, self.model.whole(patient), "", SIX_CENTS, "DEFERRED_REVENUE")
        self.model.charge(charge)

    async def undo(self) -> None:
        id = self.one(list(self.redemptions))
        visit, site, patient, course, value = self.redemptions[id]
        self.note(id)
        [row] = await self.billing.fetch("SELECT * FROM redemption WHERE id = $1", uuid_of(id))
        sale = to_wire("packagesale", row["sale_id"])
        if sale not in self.sales:
            await self.refuses(self.packages.undo(id, self.token), "PACKAGE_ENDED")
            return
        await self.packages.undo(id, self.token)
        del self.redemptions[id]
        self.earn(to_wire("site", row["selling_site_id"]), site, -value)
        [charged] = await self.billing.fetch("SELECT id, amount_minor FROM charge WHERE visit_id = $1", uuid_of(visit))
        assert charged["amount_minor"] == PRICES[INFUSION]
        id, whose = to_wire("charge", charged["id"]), self.model.whole(patient)
        self.model.charge(Charge(id, site, whose, course, PRICES[INFUSION], "REVENUE"))

    async def stop(self) -> None:
        """Billed, it gives back what was paid."""
        id = self.one(list(self.sales))
        site, charge = self.sales[id]
        self.note(id)
        sale = await self.packages.sale(id, self.token)
        stopping = self.packages.change("StopPackage", sale, self.token, reason="no candidate")
        if charge in self.model.charges:
            await self.refuses(stopping, "PACKAGE_NOT_INVOICED", "PACKAGE_ENDED")
            return
        if sale.status == sale_pb.PACKAGE_SALE_STATUS_USED:
            await self.refuses(stopping, "PACKAGE_USED")
            return
        await stopping
        [end] = await self.billing.fetch("SELECT * FROM package_end WHERE sale_id = $1", uuid_of(id))
        [invoice] = [i for i in self.model.of(INVOICE) if charge in {line.charge.id for line in i.lines}]
        invoice.left -= end["forgiven_minor"]
        tax = end["tax_minor"]
        priced = end["forgiven_minor"] + end["refundable_minor"] - tax
        [line] = [line for line in invoice.lines if line.charge.id == charge]
        assert abs(tax - line.tax * priced / SIX_CENTS) <= 0.5
        self.model.move(site, "TAX_PAYABLE", "DEFERRED_REVENUE", tax)
        self.model.move(site, "DEFERRED_REVENUE", RECEIVABLE, end["forgiven_minor"])
        self.model.give(
            to_wire("packageend", end["id"]), site, invoice.patient, "DEFERRED_REVENUE", end["refundable_minor"]
        )
        self.model.move(site, "DEFERRED_REVENUE", "REVENUE", end["rerated_minor"])
        self.model.move(site, "DEFERRED_REVENUE", "FEE_REVENUE", end["fee_minor"])
        del self.sales[id]

    # What must be refused.

    async def wrong(self) -> None:
        kind = self.chance.randint(0, 6)
        self.note(kind)
        if kind == 0:
            about = self.one(self.payments())
            amount = self.refundable(about) + 1
            part = refund_pb.CreateRefundRequest.Part(payment_id=about.id, amount=cents_of(amount))
            reasons = "REFUND_EXCEEDS_BALANCE", "PAYMENT_REVERSED", "PAYMENT_DISPUTED"
            await self.refuses(self.give_back(about, amount, [part]), *reasons)
        elif kind == 1:
            void = self.one([each for each in self.model.of(INVOICE) if each.is_void])
            await self.refuses(self.desk.void(void.id, self.chance.choice([KEPT, BACK]), self.token), "INVOICE_VOID")
        elif kind == 2:
            payment = self.one([each for each in self.payments() if each.gone or each.tender == CARD])
            reasons = "PAYMENT_REVERSED", "PAYMENT_PARTLY_GONE", "PAYMENT_NOT_REVERSIBLE"
            await self.refuses(self.change("ReversePayment", payment_id=payment.id, reason="x"), *reasons)
        elif kind == 3:
            payment = self.one(self.payments(with_left=True))
            too_much = cents_of(payment.left + 1)
            moving = self.change("MoveToCredit", payment_id=payment.id, amount=too_much)
            await self.refuses(moving, "NOTHING_UNAPPLIED")
        elif kind == 4:
            line = self.one([line for each in self.model.of(INVOICE) for line in each.lines])
            await self.refuses(self.desk.issue(line.charge.id, token=self.token), "CHARGE_INVOICED")
        elif kind == 5:
            sold = self.one(
                [each for each in self.model.of(INVOICE) if has_package(line.charge for line in each.lines)]
            )
            await self.refuses(self.desk.void(sold.id, BACK, self.token), "CHARGE_NOT_CORRECTABLE")
        else:
            invoice = self.creditable()
            line = self.one([line for line in invoice.lines if line.net > line.credited[0]])
            above = (line.net - line.credited[0] + 1) / 100
            crediting = self.desk.credit(invoice.id, (line.charge.id, above), token=self.token, purpose=BACK)
            await self.refuses(crediting, "CREDIT_ABOVE_LEFT")

    # What happens once in a while.

    async def merge(self) -> None:
        survivor, merged = self.patients[:2]
        event = PatientMerged(patient_id=survivor, merged_patient_id=merged)
        await self.billing.svc.deliver(event, version=1)
        self.delivered.append(event)
        self.model.merged[merged] = survivor

    async def close(self) -> None:
        """The books of both legal entities, until yesterday."""
        svc = self.billing.svc
        svc.clock.now += timedelta(days=2)
        last = svc.now.date() - timedelta(days=2)  # Over everywhere.
        for entity in self.entities:
            request = ledger_pb.ClosePeriodRequest(
                request_id=str(new_id()), legal_entity_id=entity, last_date=to_date(last)
            )
            await self.call(self.billing.ledger.ClosePeriod, request)


def has_package(charges: Iterable[Charge]) -> bool:
    return any(each.earned == "DEFERRED_REVENUE" for each in charges)


def uuid_of(wire: str) -> UUID:
    """Whatever it is of."""
    return from_wire(wire.rpartition("_")[0], wire)
