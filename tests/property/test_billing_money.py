"""Money adds up, whatever is charged, billed and paid in whatever order."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from chassis.money import Money
from services.billing.domain.accounts import OpenItem, Share, pay, settle
from services.billing.domain.business_days import BusinessCalendar, end_of
from services.billing.domain.estimates import Estimate, Trigger, due, lines_of
from services.billing.domain.ledger import Account, Entry, Tender, of_application, of_charge, of_payment
from services.billing.domain.prices import PriceBook, PriceItem, VisitKind, price

CALENDAR = BusinessCalendar()
NOW = datetime(2026, 8, 3, 15, tzinfo=UTC)
COURSES = [None, UUID(int=100), UUID(int=200)]
days = st.dates(date(2024, 1, 1), date(2040, 12, 31))
cents = st.integers(1, 100_000)
codes = st.sampled_from(["", "a", "b"])


@dataclass
class Books:
    """The least model of a patient's account: open items, and every entry that was posted."""

    invoices: dict[UUID, OpenItem] = field(default_factory=dict)
    payments: dict[UUID, OpenItem] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    amounts: dict[UUID, int] = field(default_factory=dict)

    def open(self, items: dict[UUID, OpenItem], course_id: UUID | None, minor: int) -> OpenItem:
        id = UUID(int=1 + len(self.amounts))
        items[id] = OpenItem(id, course_id, Money(minor), NOW)
        self.amounts[id] = minor
        return items[id]

    def invoice(self, course_id: UUID, minor: int) -> None:
        invoice = self.open(self.invoices, course_id, minor)
        charge = of_charge(invoice.id, Money(minor))
        assert charge
        self.entries.append(charge)
        self.apply(settle(invoice, [each for each in self.payments.values() if each.left.minor]))

    def pay(self, course_id: UUID | None, minor: int) -> None:
        payment = self.open(self.payments, course_id, minor)
        self.entries.append(of_payment(payment.id, Tender.CASH, Money(minor)))
        self.apply(pay(payment, [each for each in self.invoices.values() if each.left.minor]))

    def apply(self, shares: list[Share]) -> None:
        for share in shares:
            self.entries.append(of_application(share.payment_id, share.amount))
            for items, id in ((self.payments, share.payment_id), (self.invoices, share.invoice_id)):
                items[id] = replace(items[id], left=items[id].left - share.amount)
        self.shares += shares

    def total(self, account: Account) -> int:
        postings = (posting for entry in self.entries for posting in entry.postings)
        return sum(posting.amount.minor for posting in postings if posting.account is account)


steps = st.lists(st.tuples(st.booleans(), st.sampled_from(COURSES), cents), max_size=40)


@given(steps)
def test_nothing_is_applied_twice_and_the_books_agree_with_the_account(
    steps: list[tuple[bool, UUID | None, int]],
) -> None:
    books = Books()
    for is_invoice, course_id, minor in steps:
        if is_invoice and course_id:
            books.invoice(course_id, minor)
        else:
            books.pay(course_id, minor)

    applied = Counter[UUID]()
    for share in books.shares:
        assert share.amount.minor > 0
        applied[share.payment_id] += share.amount.minor
        applied[share.invoice_id] += share.amount.minor
    for items in (books.invoices, books.payments):
        for id, item in items.items():
            assert item.left.minor == books.amounts[id] - applied[id] >= 0
    due = sum(invoice.left.minor for invoice in books.invoices.values())
    unapplied = sum(payment.left.minor for payment in books.payments.values())
    assert sum(books.total(account) for account in Account) == 0
    assert books.total(Account.ACCOUNTS_RECEIVABLE) == due
    assert books.total(Account.CUSTOMER_DEPOSITS) == -unapplied
    assert books.total(Account.REVENUE) == -sum(books.amounts[id] for id in books.invoices)


@given(steps)
def test_money_waits_only_while_no_invoice_may_have_it(steps: list[tuple[bool, UUID | None, int]]) -> None:
    books = Books()
    for is_invoice, course_id, minor in steps:
        if is_invoice and course_id:
            books.invoice(course_id, minor)
        else:
            books.pay(course_id, minor)
    waiting = {payment.course_id for payment in books.payments.values() if payment.left.minor}
    owing = {invoice.course_id for invoice in books.invoices.values() if invoice.left.minor}
    assert not waiting & owing
    assert not (None in waiting and owing)


@given(st.lists(st.tuples(codes, codes, st.integers(0, 5)), unique_by=lambda each: each[:2], max_size=9), codes, codes)
def test_which_price_applies_does_not_depend_on_the_order_of_the_items(
    rows: list[tuple[str, str, int]], route: str, band: str
) -> None:
    items = [
        PriceItem(UUID(int=n), "infusion", route_code, band_code, Money(minor), "x")
        for n, (route_code, band_code, minor) in enumerate(rows)
    ]
    kind = VisitKind("infusion", route, band)

    def found(items: list[PriceItem]) -> PriceItem | None:
        book = PriceBook(UUID(int=1), UUID(int=2), date(2026, 1, 1), Money(0), tuple(items), NOW, 1, NOW)
        priced = price([book], kind)
        return priced.item if priced else None

    assert found(items) == found(items[::-1]) == found(sorted(items, key=lambda item: item.unit_price))
    covering = [item for item in items if item.route_code in ("", route) and item.band_code in ("", band)]
    assert (found(items) is not None) == bool(covering)


@given(st.lists(st.tuples(codes, codes), min_size=1, max_size=20), st.integers(0, 100_000))
def test_an_estimate_is_the_sum_of_its_visits(visits: list[tuple[str, str]], minor: int) -> None:
    kinds = [VisitKind("infusion", route, band) for route, band in visits]
    lines = lines_of(kinds, [NOW.date()] * len(kinds), {})
    item = PriceItem(UUID(int=1), "infusion", "", "", Money(minor), "x")
    book = PriceBook(UUID(int=1), UUID(int=2), date(2026, 1, 1), Money(0), (item,), NOW, 1, NOW)
    estimate = Estimate(
        UUID(int=1), UUID(int=2), UUID(int=3), None, 1, Trigger.REQUEST, NOW.date(), lines, NOW, None
    ).priced_by([book])
    assert sum(line.count for line in estimate.lines) == len(visits)
    assert estimate.total == Money(minor * len(visits))


@given(days, st.integers(1, 30))
def test_counting_business_days_forwards_and_back_again_ends_where_it_began(day: date, count: int) -> None:
    after = CALENDAR.after(day, count)
    assert CALENDAR.is_business_day(after)
    between = (day + timedelta(days=n) for n in range(1, (after - day).days + 1))
    assert sum(map(CALENDAR.is_business_day, between)) == count
    if CALENDAR.is_business_day(day):
        assert CALENDAR.before(after, count) == day


@given(days, st.sampled_from(["America/New_York", "America/Phoenix", "America/Havana", "Pacific/Auckland"]))
def test_an_estimate_is_due_when_its_last_day_is_over_in_the_zone(day: date, zone: str) -> None:
    place = ZoneInfo(zone)
    instant = due(Trigger.BOOKED_3_DAYS_AHEAD, day, place, CALENDAR)
    assert instant == end_of(CALENDAR.after(day, 1), place)
    assert instant.astimezone(place).date() == CALENDAR.after(day, 1) + timedelta(days=1)
    assert (instant - timedelta(microseconds=1)).astimezone(place).date() == CALENDAR.after(day, 1)
