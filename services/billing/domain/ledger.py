"""Double-entry bookkeeping: what each document posts. A debit is above zero, a credit below."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from chassis.money import Money


class Account(IntEnum):
    """The chart of accounts; numbered as in the proto."""

    CASH = 1
    CARD_CLEARING = 2
    ACCOUNTS_RECEIVABLE = 3
    CUSTOMER_DEPOSITS = 4
    REVENUE = 5


class Tender(IntEnum):
    """How money reached the site; numbered as in the proto."""

    CASH = 1
    EXTERNAL_CARD = 2


class Source(IntEnum):
    """What an entry is posted for. Each document posts once."""

    CHARGE = 1
    PAYMENT = 2
    APPLICATION = 3


RECEIVED_ON = {Tender.CASH: Account.CASH, Tender.EXTERNAL_CARD: Account.CARD_CLEARING}


class Unbalanced(Exception):
    """A bug: no document posts more to one side than to the other."""


@dataclass(frozen=True, slots=True)
class Posting:
    account: Account
    amount: Money


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
class PostedEntry:
    """An entry as it stands in the journal."""

    id: UUID
    site_id: UUID
    legal_entity_id: UUID
    patient_id: UUID
    entry: Entry
    posted_at: datetime


@dataclass(frozen=True, slots=True)
class AccountTotal:
    """What was posted to one account in one currency, each side above zero."""

    account: Account
    debit: Money
    credit: Money


def of_payment(payment_id: UUID, tender: Tender, amount: Money) -> Entry:
    return _entry(Source.PAYMENT, payment_id, RECEIVED_ON[tender], Account.CUSTOMER_DEPOSITS, amount)


def of_charge(charge_id: UUID, amount: Money) -> Entry | None:
    """None for what is free: there is nothing to post."""
    if not amount.minor:
        return None
    return _entry(Source.CHARGE, charge_id, Account.ACCOUNTS_RECEIVABLE, Account.REVENUE, amount)


def of_application(application_id: UUID, amount: Money) -> Entry:
    return _entry(Source.APPLICATION, application_id, Account.CUSTOMER_DEPOSITS, Account.ACCOUNTS_RECEIVABLE, amount)


def _entry(source: Source, source_id: UUID, debit: Account, credit: Account, amount: Money) -> Entry:
    return Entry(source, source_id, (Posting(debit, amount), Posting(credit, -amount)))
