"""Which payment pays which invoice, what a payment is, and what each document posts."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from chassis.money import Money
from services.billing.domain.accounts import (
    OpenItem,
    PaymentKind,
    Share,
    check_amount,
    deposit_covered,
    kind_of_payment,
    pay,
    settle,
)
from services.billing.domain.amounts import AMOUNT_MAX_MINOR, AmountOutOfRange, CurrencyMismatch
from services.billing.domain.ledger import (
    Account,
    Entry,
    Posting,
    Source,
    Tender,
    Unbalanced,
    of_application,
    of_charge,
    of_payment,
)

NOW = datetime(2026, 8, 3, 15, tzinfo=UTC)
ID, COURSE, OTHER_COURSE = UUID(int=1), UUID(int=100), UUID(int=200)


def item(number: int, dollars: int, course_id: UUID | None = COURSE, day: int | None = None) -> OpenItem:
    since = NOW + timedelta(days=number if day is None else day)
    return OpenItem(UUID(int=number), course_id, Money(100 * dollars), since)


def shares(found: list[Share]) -> list[tuple[int, int, int]]:
    return [(share.payment_id.int, share.invoice_id.int, share.amount.minor // 100) for share in found]


def test_a_payment_pays_the_oldest_invoices_first_as_far_as_it_goes() -> None:
    assert shares(pay(item(9, 120, None), [item(3, 50), item(1, 50), item(2, 50, OTHER_COURSE)])) == [
        (9, 1, 50),
        (9, 2, 50),
        (9, 3, 20),
    ]


def test_a_payment_pays_the_invoice_that_it_names_first() -> None:
    named = UUID(int=2)
    assert shares(pay(item(9, 70, None), [item(1, 50), item(2, 50)], named)) == [(9, 2, 50), (9, 1, 20)]


def test_a_payment_for_a_course_pays_no_other_course() -> None:
    assert shares(pay(item(9, 70), [item(1, 50, OTHER_COURSE), item(2, 50)])) == [(9, 2, 50)]


def test_an_invoice_is_paid_by_its_courses_payments_first_and_then_by_the_oldest_for_none() -> None:
    payments = [item(1, 30, None), item(2, 30, OTHER_COURSE), item(3, 30), item(4, 30, None, day=0)]
    assert shares(settle(item(9, 80), payments)) == [(3, 9, 30), (4, 9, 30), (1, 9, 20)]


def test_nothing_is_applied_of_nothing() -> None:
    assert pay(item(9, 0), [item(1, 50)]) == []
    assert settle(item(9, 50), [item(1, 0)]) == []
    assert settle(item(9, 0), [item(1, 50)]) == []


@pytest.mark.parametrize(("paid", "covered"), [(9999, False), (10000, True), (20000, True)])
def test_a_deposit_is_covered_by_what_was_paid_for_the_course_in_all(paid: int, covered: bool) -> None:
    assert deposit_covered(Money(10000), paid) is covered


def test_a_deposit_that_nobody_asks_for_is_covered_and_one_that_nobody_knows_is_not() -> None:
    assert deposit_covered(Money(0), 0)
    assert not deposit_covered(None, 100000)


def test_a_payment_for_a_course_is_a_deposit_until_the_deposit_is_covered() -> None:
    due = Money(10000)
    assert kind_of_payment(due, 9999, for_course=True) is PaymentKind.DEPOSIT
    assert kind_of_payment(due, 10000, for_course=True) is PaymentKind.PAYMENT
    assert kind_of_payment(due, 0, for_course=False) is PaymentKind.PAYMENT


@pytest.mark.parametrize("minor", [0, -1, AMOUNT_MAX_MINOR + 1])
def test_a_payment_is_above_zero_and_not_huge(minor: int) -> None:
    with pytest.raises(AmountOutOfRange):
        check_amount(Money(minor), "USD")


def test_a_payment_is_in_the_sites_currency_once_it_has_one() -> None:
    check_amount(Money(1, "CAD"), None)
    with pytest.raises(CurrencyMismatch):
        check_amount(Money(1, "CAD"), "USD")


def test_each_document_posts_to_its_accounts() -> None:
    amount = Money(59000)
    posted = {
        Account.CASH: of_payment(ID, Tender.CASH, amount),
        Account.CARD_CLEARING: of_payment(ID, Tender.EXTERNAL_CARD, amount),
        Account.ACCOUNTS_RECEIVABLE: of_charge(ID, amount),
        Account.CUSTOMER_DEPOSITS: of_application(ID, amount),
    }
    credited = {
        Account.CASH: Account.CUSTOMER_DEPOSITS,
        Account.CARD_CLEARING: Account.CUSTOMER_DEPOSITS,
        Account.ACCOUNTS_RECEIVABLE: Account.REVENUE,
        Account.CUSTOMER_DEPOSITS: Account.ACCOUNTS_RECEIVABLE,
    }
    for debited, entry in posted.items():
        assert entry
        assert entry.postings == (Posting(debited, amount), Posting(credited[debited], Money(-59000)))


def test_what_is_free_posts_nothing() -> None:
    assert of_charge(ID, Money(0)) is None


@pytest.mark.parametrize(
    "amounts",
    [
        [Money(1), Money(-2)],
        [Money(1), Money(-1, "CAD")],
        [Money(0), Money(0)],
        [],
    ],
)
def test_an_entry_that_does_not_balance_in_each_currency_cannot_be_made(amounts: list[Money]) -> None:
    with pytest.raises(Unbalanced):
        Entry(Source.CHARGE, ID, tuple(Posting(Account.CASH, amount) for amount in amounts))
