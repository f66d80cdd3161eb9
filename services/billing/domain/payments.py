"""What becomes of payments: which invoices they pay, as a caller or a rule says; taken off again; reversed; made credit
or a fee.

Of a payment, what is applied, left, credit and gone are its amount together. Gone is what was reversed, given back,
forfeited, or lost to a card holder's dispute.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.money import Money
from services.billing.domain import ledger
from services.billing.domain.accounts import ChargeKind, OpenItem, Payment, Share
from services.billing.domain.amounts import AmountOutOfRange, CurrencyMismatch, of_another_currency, out_of_range
from services.billing.domain.ledger import RECEIVED_ON, Account, Entry, Posting, Source, Tender, move
from services.billing.domain.tax import Taxable, TaxRule, inside


class AllocationExceedsPayment(DomainError):
    kind, reason = Kind.INVALID, "ALLOCATION_EXCEEDS_PAYMENT"
    message = "the parts are more together than what there is to apply"


class AllocationExceedsInvoice(DomainError):
    kind, reason = Kind.CONFLICT, "ALLOCATION_EXCEEDS_INVOICE"
    message = "a part is more than what is still to pay on its invoice, or the payment may not pay that invoice"


class PaymentRepeated(DomainError):
    kind, reason = Kind.CONFLICT, "PAYMENT_REPEATED"
    message = "the terminal's reference, or the patient's cheque, was recorded at this site today"


class PaymentReversed(DomainError):
    kind, reason, message = Kind.CONFLICT, "PAYMENT_REVERSED", "the payment was reversed"


class PaymentNotReversible(DomainError):
    kind, reason = Kind.CONFLICT, "PAYMENT_NOT_REVERSIBLE"
    message = "money that a card processor took is refunded, not reversed"


class PaymentPartlyGone(DomainError):
    kind, reason = Kind.CONFLICT, "PAYMENT_PARTLY_GONE"
    message = "something of the payment was given back, forfeited, or credited apart"


class NothingApplied(DomainError):
    kind, reason, message = Kind.CONFLICT, "NOTHING_APPLIED", "the payment pays nothing of that invoice"


class NothingUnapplied(DomainError):
    kind, reason, message = Kind.CONFLICT, "NOTHING_UNAPPLIED", "nothing is left of the payment"


class CreditTooLow(DomainError):
    kind, reason, message = Kind.CONFLICT, "CREDIT_TOO_LOW", "the patient has less credit at the site than that"


class DepositEmpty(DomainError):
    kind, reason, message = Kind.CONFLICT, "DEPOSIT_EMPTY", "nothing is left of a deposit of the course"


class DepositFeeCharged(DomainError):
    kind, reason = Kind.CONFLICT, "DEPOSIT_FEE_CHARGED"
    message = "a fee of the course is charged, or was taken of its deposit; waive the fee first"


class BenefitAccount(IntEnum):
    """Which health account a patient paid from; numbered as in the proto."""

    NONE = 0
    HSA = 1
    FSA = 2


@dataclass(frozen=True, slots=True)
class Allocation:
    """So much of a payment is to pay an invoice."""

    invoice_id: UUID
    amount: Money


@dataclass(frozen=True, slots=True)
class Unapplication:
    """Part of an application that pays its invoice no longer."""

    id: UUID
    application_id: UUID
    share: Share

    def entry(self) -> Entry:
        return move(
            Source.UNAPPLICATION, self.id, Account.ACCOUNTS_RECEIVABLE, Account.CUSTOMER_DEPOSITS, self.share.amount
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What an open item has more of, or less."""

    id: UUID
    left: int = 0
    credit: int = 0
    gone: int = 0


@dataclass(frozen=True, slots=True)
class Reversal:
    """Of a payment that was keyed in by mistake: it was never taken."""

    payment_id: UUID
    site_id: UUID
    patient_id: UUID
    amount: Money
    tender: Tender
    reason: str
    actor: str
    business_date: date
    reversed_at: datetime

    def entry(self) -> Entry:
        return move(Source.REVERSAL, self.payment_id, Account.CUSTOMER_DEPOSITS, RECEIVED_ON[self.tender], self.amount)


@dataclass(frozen=True, slots=True)
class CreditTransfer:
    """What of a payment became credit; below zero, what of its credit is used."""

    id: UUID
    site_id: UUID
    patient_id: UUID
    payment_id: UUID
    amount: Money
    moved_at: datetime

    def entry(self) -> Entry:
        return move(Source.CREDIT_TRANSFER, self.id, Account.CUSTOMER_DEPOSITS, Account.PATIENT_CREDIT, self.amount)


@dataclass(frozen=True, slots=True)
class Forfeiture:
    """What of a deposit became a fee; below zero, what a waiver gave back of it."""

    id: UUID
    site_id: UUID
    patient_id: UUID
    course_id: UUID
    payment_id: UUID
    amount: Money
    reason: str
    actor: str
    forfeited_at: datetime
    tax: Money
    """Of `amount`, which includes it as an invoice's line of a fee does."""
    charge_id: UUID | None = None
    """Of the fee that it was taken for, which charges only the rest. None: somebody forfeited it by hand."""

    def entry(self) -> Entry:
        earned = Posting(Account.FEE_REVENUE, self.tax - self.amount), Posting(Account.TAX_PAYABLE, -self.tax)
        postings = Posting(Account.CUSTOMER_DEPOSITS, self.amount), *(each for each in earned if each.amount.minor)
        return Entry(Source.FORFEITURE, self.id, postings)


@dataclass(frozen=True, slots=True)
class Taken:
    """What of a payment becomes a fee, and the tax in it; below zero, what is given back."""

    amount: Money
    tax: Money

    def __neg__(self) -> "Taken":
        return Taken(-self.amount, -self.tax)


def allocated(payment: OpenItem, allocations: Sequence[Allocation], invoices: Sequence[OpenItem]) -> list[Share]:
    """As the caller says; refuses, naming every part at fault, what cannot be so. `invoices` are those still to pay."""
    amounts = [(f"allocations[{i}].amount", each.amount) for i, each in enumerate(allocations)]
    currency = payment.left.currency
    if foreign := [fault for field, each in amounts for fault in of_another_currency(each, currency, field)]:
        raise CurrencyMismatch(*foreign)
    if wild := [fault for field, each in amounts for fault in out_of_range(each, field, least=1)]:
        raise AmountOutOfRange(*wild)
    if sum(each.amount.minor for each in allocations) > payment.left.minor:
        raise AllocationExceedsPayment(left_minor=payment.left.minor)
    payable = {each.id: each.left.minor for each in invoices if payment.course_id in (None, each.course_id)}
    shares, beyond = list[Share](), list[Violation]()
    for i, each in enumerate(allocations):
        payable[each.invoice_id] = payable.get(each.invoice_id, 0) - each.amount.minor
        if payable[each.invoice_id] < 0:
            reason = AllocationExceedsInvoice.reason
            beyond.append(Violation(f"allocations[{i}]", reason, AllocationExceedsInvoice.message))
        shares.append(Share(payment.id, each.invoice_id, each.amount))
    if beyond:
        raise AllocationExceedsInvoice(*beyond)
    return shares


def unapplied(
    payment: Payment, amount: int, fresh: Callable[[], UUID], invoice_id: UUID | None = None
) -> list[Unapplication]:
    """So much of what a payment pays, the newest first; of one invoice, if one is named."""
    found = list[Unapplication]()
    for each in reversed(payment.applications):
        taken = min(amount, each.share.amount.minor)
        if taken and invoice_id in (None, each.share.invoice_id):
            share = Share(payment.id, each.share.invoice_id, Money(taken, each.share.amount.currency))
            found.append(Unapplication(fresh(), each.id, share))
            amount -= taken
    return found


def check_reversible(payment: Payment) -> None:
    if payment.tender is Tender.CARD:
        raise PaymentNotReversible()
    if payment.reversed_at:
        raise PaymentReversed()
    if payment.standing < payment.amount:
        raise PaymentPartlyGone(gone_minor=(payment.amount - payment.standing).minor)


def taken_from(amount: int, there_is: Mapping[UUID, int]) -> dict[UUID, int]:
    """So much, from each in its order; less where there is less."""
    found = dict[UUID, int]()
    for id, minor in there_is.items():
        if taken := min(amount, minor):
            found[id] = taken
            amount -= taken
    return found


def still_taken(forfeitures: Iterable[Forfeiture]) -> dict[UUID, Taken]:
    """Of each payment what became a fee, and was not given back."""
    found = dict[UUID, Taken]()
    for each in forfeitures:
        nothing = Money(0, each.amount.currency)
        before = found.get(each.payment_id, Taken(nothing, nothing))
        found[each.payment_id] = Taken(before.amount + each.amount, before.tax + each.tax)
    return {payment_id: taken for payment_id, taken in found.items() if taken.amount.minor}


def with_taxes(
    taken: Mapping[UUID, int], currency: str, rules: Sequence[TaxRule], kind: ChargeKind, item_code: str, day: date
) -> dict[UUID, Taken]:
    """What is taken for a fee of that kind and day of service, as an invoice of all parts would tax it."""
    lines = [Taxable(kind, item_code, day, Money(minor, currency)) for minor in taken.values()]
    parts = zip(taken, lines, inside(rules, lines), strict=True)
    return {payment_id: Taken(line.amount, tax) for payment_id, line, tax in parts}


def check_credit(asked: Money, credits: Mapping[UUID, int]) -> None:
    if wild := out_of_range(asked, "amount", least=1):
        raise AmountOutOfRange(*wild)
    if asked.minor > sum(credits.values()):
        raise CreditTooLow(credit_minor=sum(credits.values()))


def entries_of(payment: Payment) -> list[Entry]:
    """Of one that was just taken, with what it pays."""
    entries = [ledger.of_payment(payment.id, payment.tender, payment.amount)]
    return entries + [ledger.of_application(each.id, each.share.amount) for each in payment.applications]
