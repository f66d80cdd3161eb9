"""What taxes fall on, and that they add up to the cent."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from uuid import UUID

import pytest

from chassis.money import Money
from services.billing.domain.accounts import FEES, Charge, ChargeKind, InvoiceEmpty
from services.billing.domain.credit_notes import AppliedMoney as Applied
from services.billing.domain.credit_notes import Asked, all_left, credit_lines, credit_note_number, unapplied
from services.billing.domain.invoices import (
    Discount,
    DiscountReason,
    Taken,
    Terms,
    ToBill,
    Wording,
    bill,
    display_number,
    due_on,
    entry_of,
    without_waived,
)
from services.billing.domain.ledger import Account
from services.billing.domain.payments import with_taxes
from services.billing.domain.tax import (
    Taxable,
    TaxRule,
    TaxRuleDates,
    check_dates,
    check_end,
    half_up,
    inside,
    taxes,
)

DAY, NOW, SITE = date(2028, 2, 29), datetime(2028, 2, 29, tzinfo=UTC), UUID(int=1)
VISITS = frozenset({ChargeKind.VISIT})


def rule(rate_ppm: int = 76_250, **changes: object) -> TaxRule:
    made = TaxRule(UUID(int=9), SITE, "Gross receipts tax", rate_ppm, VISITS, frozenset(), False, DAY)
    return replace(made, **changes)  # type: ignore[arg-type]


def line(cents: int, kind: ChargeKind = ChargeKind.VISIT, code: str = "infusion", day: date = DAY) -> Taxable:
    return Taxable(kind, code, day, Money(cents))


def charge(number: int, cents: int, corrects: int | None = None) -> ToBill:
    kind = ChargeKind.CORRECTION if corrects else ChargeKind.VISIT
    made = Charge(
        id=UUID(int=number),
        kind=kind,
        site_id=SITE,
        patient_id=SITE,
        course_id=None,
        visit_id=None,
        service_date=DAY,
        service=None,
        item_code="infusion",
        description="Infusion",
        quantity=3,
        amount=Money(cents),
        posted_at=NOW,
        corrects_id=UUID(int=corrects) if corrects else None,
    )
    return ToBill(made, (), invoiced=False)


@pytest.mark.parametrize(("exact", "whole"), [("0.5", 1), ("0.49", 0), ("1.5", 2), ("2.5", 3), ("0", 0)])
def test_a_half_is_rounded_up(exact: str, whole: int) -> None:
    assert half_up(Fraction(exact)) == whole


def test_an_invoices_tax_is_rounded_once_and_parted_by_the_largest_remainder() -> None:
    """Each line alone would be rounded down: 0.33 three times is 1 together."""
    [tax] = taxes([rule(10_000)], [line(33), line(33), line(34)])
    assert (tax.amount, [share.minor for share in tax.shares]) == (Money(1), [0, 0, 1])


def test_a_tax_falls_on_days_from_its_first_to_its_last() -> None:
    ending = rule(end_date=DAY + timedelta(days=1))
    days = [DAY + timedelta(days=n) for n in range(-1, 3)]
    assert [ending.covers(line(1, day=day)) for day in days] == [False, True, True, False]


def test_a_rule_that_covers_nothing_is_not_on_the_invoice() -> None:
    assert taxes([rule()], [line(100, ChargeKind.PRODUCT)]) == []
    assert taxes([rule(), rule(1, charge_kinds=frozenset({ChargeKind.PRODUCT}))], [line(100)])[0].rule == rule()


def test_codes_narrow_products_and_nothing_else() -> None:
    both = rule(charge_kinds=frozenset({ChargeKind.VISIT, ChargeKind.PRODUCT}), product_codes=frozenset({"salve"}))
    assert both.covers(line(1))
    assert both.covers(line(1, ChargeKind.PRODUCT, "salve"))
    assert not both.covers(line(1, ChargeKind.PRODUCT, "lotion"))


def test_a_tax_that_is_included_is_no_base_of_another() -> None:
    """110 holds 10 of 10 %, and another 10 % of the 100 that are left is added."""
    inside, added = taxes([rule(100_000, included=True), rule(100_000, id=UUID(int=8))], [line(110)])
    assert (inside.amount, added.amount) == (Money(10), Money(10))


def test_a_fee_has_its_taxes_inside_whatever_the_rule_says_of_prices() -> None:
    """75 that the patient was told are 69.69 and 5.31 of tax; 100 of a visit bear 7.63 more."""
    everything = rule(charge_kinds=frozenset(ChargeKind))
    added, within = taxes([everything], [line(7_500, ChargeKind.NO_SHOW_FEE), line(10_000)])
    assert (added.included, added.base, [each.minor for each in added.shares]) == (False, Money(10_000), [0, 763])
    assert (within.included, within.base, [each.minor for each in within.shares]) == (True, Money(7_500), [531, 0])
    late = [line(7_500, ChargeKind.LATE_CANCELLATION_FEE)]
    assert [each.included for each in taxes([everything], late)] == [True]


def test_parts_of_a_deposit_bear_the_tax_of_their_fee_together() -> None:
    """Each alone would be rounded up: 25 times 7.0847 % is 1.77, and three are 5.31."""
    rules = [rule(charge_kinds=frozenset(FEES)), rule(10_000, id=UUID(int=8))]
    there_are = {UUID(int=n): 2_500 for n in (1, 2, 3)}
    parts = with_taxes(there_are, "USD", rules, ChargeKind.NO_SHOW_FEE, "no_show", DAY)
    assert [(each.amount.minor, each.tax.minor) for each in parts.values()] == [(2_500, 177)] * 3
    [tax] = inside(rules, [line(7_500, ChargeKind.NO_SHOW_FEE)])
    assert sum(each.tax.minor for each in parts.values()) == tax.minor == 531
    assert with_taxes({}, "USD", rules, ChargeKind.NO_SHOW_FEE, "no_show", DAY) == {}
    before = with_taxes(there_are, "USD", rules, ChargeKind.NO_SHOW_FEE, "no_show", DAY - timedelta(days=1))
    assert {each.tax.minor for each in before.values()} == {0}


def test_a_rule_begins_after_all_of_its_name_and_ends_no_earlier_than_it_begins() -> None:
    check_dates(rule(effective_date=DAY + timedelta(days=1)), [rule()])
    with pytest.raises(TaxRuleDates):
        check_dates(rule(), [rule()])
    check_end(rule(), DAY)
    check_end(rule(end_date=DAY + timedelta(days=9)), DAY + timedelta(days=9))
    for ended, end in ((rule(), DAY - timedelta(days=1)), (rule(end_date=DAY), DAY + timedelta(days=1))):
        with pytest.raises(TaxRuleDates):
            check_end(ended, end)


def test_a_discount_that_takes_everything_leaves_no_tax() -> None:
    made = bill([charge(1, 100), charge(2, 50)], Discount(Money(150), DiscountReason.STAFF), [rule()])
    assert (made.total, made.tax, made.discount) == (Money(0), Money(0), Money(150))
    assert [each.discount.minor for each in made.lines] == [100, 50]
    with pytest.raises(InvoiceEmpty):
        bill([], None, [])


def test_corrections_are_part_of_the_line_that_they_correct() -> None:
    made = bill([charge(1, 100), charge(2, -30, corrects=1), charge(3, 50)], None, [])
    assert [(each.charge.id.int, each.amount.minor) for each in made.lines] == [(1, 70), (3, 50)]


def test_what_was_corrected_to_nothing_is_left_out_and_what_is_free_is_not() -> None:
    charges = [charge(1, 100), charge(2, -100, corrects=1), charge(3, 0), charge(4, 10), charge(5, -5, corrects=4)]
    assert [each.charge.id.int for each in without_waived(charges)] == [3, 4, 5]


def test_an_invoice_posts_what_its_charges_did_not() -> None:
    made = bill([charge(1, 10_000)], Discount(Money(1_000), DiscountReason.STAFF), [rule(100_000)])
    entry = entry_of(UUID(int=7), made.lines)
    assert entry
    assert {posting.account: posting.amount.minor for posting in entry.postings} == {
        Account.ACCOUNTS_RECEIVABLE: -100,
        Account.DISCOUNTS: 1_000,
        Account.TAX_PAYABLE: -900,
    }
    assert entry_of(UUID(int=7), bill([charge(1, 100)], None, []).lines) is None


def test_an_invoice_is_due_by_its_own_date_or_the_terms_and_never_before_it_is_issued() -> None:
    terms = Terms(days=30)
    assert due_on(DAY, Wording(), terms) == date(2028, 3, 30)
    assert due_on(DAY, Wording(due_date=date(2028, 3, 1)), terms) == date(2028, 3, 1)
    assert due_on(DAY, Wording(due_date=date(2028, 2, 1)), terms) == DAY


def test_numbers_are_shown_behind_the_prefix_of_the_legal_entity() -> None:
    assert (display_number("ABQ-", 42), credit_note_number("ABQ-", 7)) == ("ABQ-42", "ABQ-CN7")


def test_a_quantity_is_its_part_of_a_line_and_the_last_takes_the_rest() -> None:
    """Three for 1.00: 0.33, and 0.67 for the other two."""
    lines = bill([charge(1, 100)], None, []).lines
    [one] = credit_lines(lines, {}, [Asked(UUID(int=1), quantity=1)])
    assert (one.amount, one.quantity) == (Money(33), 1)
    [two] = credit_lines(lines, {UUID(int=1): Taken(1, 33)}, [Asked(UUID(int=1), quantity=2)])
    assert two.amount == Money(67)
    assert [each.amount.minor for each in all_left(lines, {UUID(int=1): Taken(0, 33)})] == [67]


def test_what_was_applied_last_comes_back_first() -> None:
    applied = [Applied(UUID(int=n), UUID(int=n), False, Money(50), NOW + timedelta(days=n)) for n in (1, 3, 2)]
    assert [(each.item_id.int, part.minor) for each, part in unapplied(applied, Money(70))] == [(3, 50), (2, 20)]
