"""Closing the books: up to when they are closed, and what may be posted by hand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind, Violation
from services.billing.domain.amounts import AmountOutOfRange, CurrencyMismatch, of_another_currency, out_of_range
from services.billing.domain.business_days import end_of
from services.billing.domain.ledger import Account, AccountTotal, Posting


class PeriodClosed(DomainError):
    kind, reason, message = Kind.CONFLICT, "PERIOD_CLOSED", "the books of that time are closed"


class PeriodNotOver(DomainError):
    kind, reason = Kind.INVALID, "PERIOD_NOT_OVER"
    message = "the day is not over at every site of the legal entity"


class EntryUnbalanced(DomainError):
    kind, reason, message = Kind.INVALID, "ENTRY_UNBALANCED", "debits and credits are not equal"


class AccountControlled(DomainError):
    kind, reason = Kind.INVALID, "ACCOUNT_CONTROLLED"
    message = "only documents post to this account"


class PostTimeInFuture(DomainError):
    kind, reason, message = Kind.INVALID, "POST_TIME_IN_FUTURE", "it is posted after now"


CONTROLLED = frozenset(
    {
        Account.ACCOUNTS_RECEIVABLE,
        Account.CUSTOMER_DEPOSITS,
        Account.PATIENT_CREDIT,
        Account.DEFERRED_REVENUE,
        Account.DISPUTED_RECEIVABLE,
        Account.PROCESSOR_CLEARING,
        Account.DUE_TO,
        Account.DUE_FROM,
    }
)
"""Their balances are the sums of documents: what patients owe, what sites owe them, what is on its way."""


@dataclass(frozen=True, slots=True)
class Period:
    id: UUID
    legal_entity_id: UUID
    last_date: date
    end_at: datetime
    """When the day is over at each of the legal entity's sites."""
    closed_at: datetime
    closed_by: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the books, posted again from the first entry on, do not give what is stored."""

    period_id: UUID
    total: AccountTotal
    """As stored; each side 0: nothing is."""
    replayed: AccountTotal


@dataclass(frozen=True, slots=True)
class Verification:
    posting_count: int
    period_count: int
    unbalanced_entry_ids: Sequence[UUID]
    differences: Sequence[Difference]


def end_everywhere(last_date: date, zones: Iterable[ZoneInfo], now: datetime) -> datetime:
    end = max(end_of(last_date, zone) for zone in zones)
    if end > now:
        fault = Violation("last_date", "PERIOD_NOT_OVER", "is not over at every site of the legal entity")
        raise PeriodNotOver(fault, end_time=end)
    return end


def refuse_closed(last: Period | None, posted_at: datetime) -> None:
    if last and posted_at < last.end_at:
        raise PeriodClosed(last_date=last.last_date, end_time=last.end_at)


def check_adjustment(postings: Sequence[Posting], posted_at: datetime, now: datetime) -> None:
    """Refuses, naming each posting at fault."""
    fields = [(f"postings[{i}]", each) for i, each in enumerate(postings)]
    if posted_at > now:
        raise PostTimeInFuture(Violation("post_time", "POST_TIME_IN_FUTURE", "is after now"))
    if controlled := [field for field, each in fields if each.account in CONTROLLED]:
        text = AccountControlled.message
        raise AccountControlled(*(Violation(f"{field}.account", "ACCOUNT_CONTROLLED", text) for field in controlled))
    currency = postings[0].amount.currency
    if foreign := [
        fault for field, each in fields for fault in of_another_currency(each.amount, currency, f"{field}.amount")
    ]:
        raise CurrencyMismatch(*foreign)
    if wild := [fault for field, each in fields for fault in _out_of_range(each, f"{field}.amount")]:
        raise AmountOutOfRange(*wild)
    if sum(each.amount.minor for each in postings):
        raise EntryUnbalanced(Violation("postings", "ENTRY_UNBALANCED", EntryUnbalanced.message))


def _out_of_range(posting: Posting, field: str) -> list[Violation]:
    """Either sign will do, but not zero."""
    amount = posting.amount if posting.amount.minor > 0 else -posting.amount
    return out_of_range(amount, field, least=1)
