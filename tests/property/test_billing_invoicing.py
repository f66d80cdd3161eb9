"""Invoices add up: lines, discounts, taxes and credit notes, whatever their amounts and rates."""

from datetime import UTC, date, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from chassis.money import Money
from services.billing.domain.accounts import Charge, ChargeKind
from services.billing.domain.credit_notes import (
    Asked,
    CreditLine,
    CreditNote,
    CreditPurpose,
    CreditReason,
    all_left,
    credit_lines,
    entries_of,
    to_charge_again,
)
from services.billing.domain.invoices import Bill, Discount, DiscountReason, Taken, ToBill, bill, entry_of
from services.billing.domain.ledger import Account, Entry, of_charge
from services.billing.domain.tax import TaxRule

DAY, NOW, SITE = date(2027, 3, 1), datetime(2027, 3, 1, tzinfo=UTC), UUID(int=1)
KINDS = [ChargeKind.VISIT, ChargeKind.PRODUCT, ChargeKind.NO_SHOW_FEE]
kinds = st.sampled_from(KINDS)
charges = st.lists(st.tuples(kinds, st.integers(0, 100_000), st.integers(1, 5)), min_size=1, max_size=8)
rules = st.lists(st.tuples(st.integers(1, 500_000), st.frozensets(kinds, min_size=1), st.booleans()), max_size=3)
parts = st.floats(0, 1)


def made(
    charges: list[tuple[ChargeKind, int, int]],
    rules: list[tuple[int, frozenset[ChargeKind], bool]],
    discounted: float,
) -> Bill:
    found = [
        ToBill(
            Charge(
                id=UUID(int=100 + n),
                kind=kind,
                site_id=SITE,
                patient_id=SITE,
                course_id=None,
                visit_id=None,
                service_date=DAY,
                service=None,
                item_code=kind.name,
                description="",
                quantity=quantity,
                amount=Money(cents),
                posted_at=NOW,
            ),
            (),
            invoiced=False,
        )
        for n, (kind, cents, quantity) in enumerate(charges)
    ]
    off = int(sum(cents for _, cents, _ in charges) * discounted)
    taxed = [
        TaxRule(UUID(int=n), SITE, "", ppm, of, frozenset(), inside, DAY) for n, (ppm, of, inside) in enumerate(rules)
    ]
    return bill(found, Discount(Money(off), DiscountReason.OTHER) if off else None, taxed)


def totals(entries: list[Entry]) -> dict[Account, int]:
    sums: dict[Account, int] = {}
    for entry in entries:
        for posting in entry.postings:
            sums[posting.account] = sums.get(posting.account, 0) + posting.amount.minor
    return sums


def posted(bill: Bill) -> list[Entry]:
    revenue = {ChargeKind.NO_SHOW_FEE: Account.FEE_REVENUE}
    of_charges = [
        of_charge(line.charge.id, line.charge.amount, revenue.get(line.charge.kind, Account.REVENUE))
        for line in bill.lines
    ]
    return [entry for entry in (*of_charges, entry_of(UUID(int=7), bill.lines)) if entry]


@given(charges, rules, parts)
def test_an_invoice_is_its_lines_less_its_discount_and_its_tax(
    charges: list[tuple[ChargeKind, int, int]],
    rules: list[tuple[int, frozenset[ChargeKind], bool]],
    discounted: float,
) -> None:
    invoice = made(charges, rules, discounted)
    assert invoice.total == invoice.subtotal - invoice.discount + invoice.tax
    added = sum(tax.amount.minor for tax in invoice.taxes if not tax.included)
    inside = sum(tax.amount.minor for tax in invoice.taxes if tax.included)
    assert invoice.tax.minor == added
    assert sum(line.included_tax.minor for line in invoice.lines) == inside
    for line in invoice.lines:
        assert 0 <= line.discount.minor <= line.amount.minor
        assert line.tax.minor >= 0
        assert 0 <= line.included_tax.minor <= line.net.minor
    sums = totals(posted(invoice))
    assert sums.get(Account.ACCOUNTS_RECEIVABLE, 0) == invoice.total.minor
    assert -sums.get(Account.TAX_PAYABLE, 0) == added + inside
    assert sums.get(Account.DISCOUNTS, 0) == invoice.discount.minor


@given(charges, rules, parts, st.lists(st.tuples(st.integers(0, 7), parts), max_size=12))
def test_credits_never_take_more_than_a_line_and_together_take_all_of_it(
    charges: list[tuple[ChargeKind, int, int]],
    rules: list[tuple[int, frozenset[ChargeKind], bool]],
    discounted: float,
    steps: list[tuple[int, float]],
) -> None:
    """Whatever is credited in between, what is left after that voids the invoice in every account. Of a line that a
    discount takes whole nothing is left to credit: its revenue and its discount stand against each other."""
    invoice = made(charges, rules, discounted)
    taken: dict[UUID, Taken] = {}
    entries = posted(invoice)
    for place, part in steps:
        line = invoice.lines[place % len(invoice.lines)]
        left = line.net.minor - taken.get(line.charge.id, Taken()).amount_minor
        if cents := int(left * part):
            entries += credited(
                invoice, taken, credit_lines(invoice.lines, taken, [Asked(line.charge.id, Money(cents))])
            )
    entries += credited(invoice, taken, all_left(invoice.lines, taken))
    given_away = sum(line.discount.minor for line in invoice.lines if not line.net.minor)
    rest = {account: minor for account, minor in totals(entries).items() if minor}
    assert rest.pop(Account.DISCOUNTS, 0) == given_away
    assert sum(rest.values()) == -given_away
    assert rest.keys() <= {Account.REVENUE, Account.FEE_REVENUE}


@given(charges, rules, parts, st.lists(st.tuples(st.integers(0, 7), parts), max_size=12))
def test_what_is_billed_again_is_in_the_books_as_if_its_invoice_had_never_been(
    charges: list[tuple[ChargeKind, int, int]],
    rules: list[tuple[int, frozenset[ChargeKind], bool]],
    discounted: float,
    steps: list[tuple[int, float]],
) -> None:
    """But for what was credited for other reasons before."""
    invoice = made(charges, rules, discounted)
    taken: dict[UUID, Taken] = {}
    entries = posted(invoice)
    for place, part in steps:
        line = invoice.lines[place % len(invoice.lines)]
        left = line.net.minor - taken.get(line.charge.id, Taken()).amount_minor
        if cents := int(left * part):
            asked = [Asked(line.charge.id, Money(cents))]
            entries += credited(invoice, taken, credit_lines(invoice.lines, taken, asked))
    gone = {id: each.amount_minor + each.discount_minor for id, each in taken.items()}
    before = dict(taken)
    note = all_left(invoice.lines, taken, discounts=True)
    entries += credited(invoice, taken, note)
    assert not any(totals(entries).values())
    again = to_charge_again(invoice.lines, before, note)
    left_of = {line.charge.id: line.charge.amount.minor - gone.get(line.charge.id, 0) for line in invoice.lines}
    free = {line.charge.id for line in invoice.lines if not line.charge.amount.minor}
    assert {each.id: each.amount.minor for each in again} == {
        id: minor for id, minor in left_of.items() if minor or id in free
    }


def credited(invoice: Bill, taken: dict[UUID, Taken], lines: list[CreditLine]) -> list[Entry]:
    for line in lines:
        before = taken.get(line.charge_id, Taken())
        assert min(line.amount.minor, line.discount.minor, line.tax.minor, line.included_tax.minor) >= 0
        taken[line.charge_id] = Taken(
            0,
            before.amount_minor + line.amount.minor,
            before.discount_minor + line.discount.minor,
            before.tax_minor + line.tax.minor,
            before.included_tax_minor + line.included_tax.minor,
        )
        of = next(each for each in invoice.lines if each.charge.id == line.charge_id)
        now = taken[line.charge_id]
        assert now.amount_minor <= of.net.minor
        assert now.tax_minor <= of.tax.minor
    if not lines:
        return []
    total = Money(sum(line.total.minor for line in lines))
    note = CreditNote(
        id=UUID(int=8), site_id=SITE, legal_entity_id=SITE, number=1, prefix="", invoice_id=UUID(int=7),
        patient_id=SITE, lines=tuple(lines), total=total, offset=total, reason=CreditReason.VOID, note="",
        purpose=CreditPurpose.OFFSET, made_by="", issued_at=NOW,
    )  # fmt: skip
    return entries_of(note, invoice.lines, [])
