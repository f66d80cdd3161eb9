"""Double-entry bookkeeping: what each document posts. A debit is above zero, a credit below."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from chassis.money import Money


class Account(IntEnum):
    """The chart of accounts of each legal entity; numbered as in the proto."""

    CASH = 1
    CARD_CLEARING = 2
    ACCOUNTS_RECEIVABLE = 3
    CUSTOMER_DEPOSITS = 4
    REVENUE = 5
    CHECKS = 6
    PROCESSOR_CLEARING = 7
    BANK = 8
    PROCESSOR_FEES = 9
    DISPUTED_RECEIVABLE = 10
    DEFERRED_REVENUE = 11
    FEE_REVENUE = 12
    DISCOUNTS = 13
    BREAKAGE = 14
    TAX_PAYABLE = 15
    REFUNDS = 16
    PATIENT_CREDIT = 17
    CASH_OVER_SHORT = 18
    DUE_TO = 19
    DUE_FROM = 20
    WRITE_OFFS = 21


class Tender(IntEnum):
    """How money reached the site; numbered as in the proto."""

    CASH = 1
    EXTERNAL_CARD = 2
    CHECK = 3
    CARD = 4


class Source(IntEnum):
    """What an entry is posted for. Each document posts once in the books of each legal entity."""

    CHARGE = 1
    PAYMENT = 2
    APPLICATION = 3
    INVOICE = 4
    CREDIT_NOTE = 5
    REFUND = 6
    REVERSAL = 7
    DISPUTE = 8
    DISPUTE_OUTCOME = 9
    PAYOUT = 10
    REDEMPTION = 11
    PACKAGE_END = 12
    SETTLEMENT = 13
    FORFEITURE = 14
    WRITE_OFF = 15
    UNAPPLICATION = 16
    CREDIT_TRANSFER = 17
    CASH_COUNT = 18
    ADJUSTMENT = 19
    REFUND_FAILURE = 50


RECEIVED_ON = {
    Tender.CASH: Account.CASH,
    Tender.EXTERNAL_CARD: Account.CARD_CLEARING,
    Tender.CHECK: Account.CHECKS,
    Tender.CARD: Account.PROCESSOR_CLEARING,
}


class Unbalanced(Exception):
    """A bug: no document posts more to one side than to the other."""


@dataclass(frozen=True, slots=True)
class Posting:
    account: Account
    amount: Money
    item_code: str = ""
    """Of revenue: what was sold."""
    counterparty_id: UUID | None = None
    """Of what is due to or from another legal entity: which."""


@dataclass(frozen=True, slots=True)
class Entry:
    source: Source
    source_id: UUID
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        totals = dict[str, int]()
        for posting in self.postings:
            currency = posting.amount.currency
            totals[currency] = totals.get(currency, 0) + posting.amount.minor
        if not totals or any(totals.values()) or not all(posting.amount.minor for posting in self.postings):
            raise Unbalanced(self.source.name)


@dataclass(frozen=True, slots=True)
class Booked:
    """An entry, and in whose books it stands."""

    legal_entity_id: UUID
    site_id: UUID
    entry: Entry


@dataclass(frozen=True, slots=True)
class PostedEntry:
    """An entry as it stands in the journal."""

    id: UUID
    site_id: UUID
    legal_entity_id: UUID
    patient_id: UUID | None
    entry: Entry
    posted_at: datetime


@dataclass(frozen=True, slots=True)
class AccountTotal:
    """What was posted to one account in one currency, each side above zero."""

    account: Account
    debit: Money
    credit: Money
    site_id: UUID | None = None
    """Of a detailed one."""
    item_code: str = ""


def totals_of_accounts(detailed: Iterable[AccountTotal]) -> list[AccountTotal]:
    """Over sites and items, in the order of currency and account."""
    sides = dict[tuple[str, Account], tuple[Money, Money]]()
    for each in detailed:
        key, nothing = (each.debit.currency, each.account), Money(0, each.debit.currency)
        debit, credit = sides.get(key, (nothing, nothing))
        sides[key] = debit + each.debit, credit + each.credit
    return [AccountTotal(account, *sides[currency, account]) for currency, account in sorted(sides)]


def of_payment(payment_id: UUID, tender: Tender, amount: Money) -> Entry:
    return move(Source.PAYMENT, payment_id, RECEIVED_ON[tender], Account.CUSTOMER_DEPOSITS, amount)


def of_charge(charge_id: UUID, amount: Money, credit: Account = Account.REVENUE, item_code: str = "") -> Entry | None:
    """None for what is free: there is nothing to post. Below zero, as a correction may be, it takes revenue back."""
    if not amount.minor:
        return None
    postings = Posting(Account.ACCOUNTS_RECEIVABLE, amount), Posting(credit, -amount, item_code)
    return Entry(Source.CHARGE, charge_id, postings)


def of_application(application_id: UUID, amount: Money) -> Entry:
    return move(Source.APPLICATION, application_id, Account.CUSTOMER_DEPOSITS, Account.ACCOUNTS_RECEIVABLE, amount)


def move(source: Source, source_id: UUID, debit: Account, credit: Account, amount: Money) -> Entry:
    """The same amount on both sides."""
    return Entry(source, source_id, (Posting(debit, amount), Posting(credit, -amount)))
