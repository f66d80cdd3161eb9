"""Refunds: what of payments is given back, by which tender, and what becomes of what a card processor is asked for.

Only what pays no invoice can be given back: what does is taken off it first, or the invoice is corrected.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.money import Money
from services.billing.domain.accounts import Payment
from services.billing.domain.amounts import AmountOutOfRange, CurrencyMismatch, of_another_currency, out_of_range
from services.billing.domain.ledger import Account, Entry, Posting, Source, Tender
from services.billing.domain.payments import PaymentReversed


class RefundNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "REFUND_NOT_FOUND", "no such refund"


class RefundExceedsBalance(DomainError):
    kind, reason = Kind.CONFLICT, "REFUND_EXCEEDS_BALANCE"
    message = "more than what was paid and pays no invoice"


class RefundTenderNotAllowed(DomainError):
    kind, reason = Kind.INVALID, "REFUND_TENDER_NOT_ALLOWED"
    message = "what was paid that way is not given back this way"


class RefundMisdirected(DomainError):
    kind, reason = Kind.INVALID, "REFUND_MISDIRECTED"
    message = "a payment is not this patient's at this site, or is named twice"


class PaymentDisputed(DomainError):
    kind, reason, message = Kind.CONFLICT, "PAYMENT_DISPUTED", "the card holder disputes the payment"


class RefundState(IntEnum):
    """Of one part; numbered as in the proto."""

    REQUESTED = 1
    SUCCEEDED = 2
    FAILED = 3


GIVEN_BACK = {
    Tender.CASH: (Tender.CASH, Tender.CHECK),
    Tender.CHECK: (Tender.CHECK, Tender.CASH),
    Tender.EXTERNAL_CARD: (Tender.EXTERNAL_CARD, Tender.CHECK),
    Tender.CARD: (Tender.CARD, Tender.CHECK),
}
"""How what was paid by a tender may be given back, the usual way first. Card networks forbid cash for a card."""

PAID_FROM = {
    Tender.CASH: Account.CASH,
    Tender.CHECK: Account.BANK,
    Tender.EXTERNAL_CARD: Account.CARD_CLEARING,
    Tender.CARD: Account.PROCESSOR_CLEARING,
}


@dataclass(frozen=True, slots=True)
class AskedPart:
    payment_id: UUID
    amount: Money
    tender: Tender | None  # None: as it was paid.
    reference: str = ""


@dataclass(frozen=True, slots=True)
class RefundPart:
    id: UUID
    refund_id: UUID
    site_id: UUID
    patient_id: UUID
    payment_id: UUID
    tender: Tender
    reference: str
    amount: Money
    credit: Money
    """Of the amount: what was credit."""
    state: RefundState
    changed_at: datetime
    processor_id: str | None = None
    failure: str = ""
    tries: int = 0

    def entry(self) -> Entry:
        return Entry(Source.REFUND, self.id, self._postings(1))

    def failed_entry(self) -> Entry:
        """Takes it back."""
        return Entry(Source.REFUND_FAILURE, self.id, self._postings(-1))

    def _postings(self, sign: int) -> tuple[Posting, ...]:
        lines = (
            Posting(Account.CUSTOMER_DEPOSITS, (self.amount - self.credit) * sign),
            Posting(Account.PATIENT_CREDIT, self.credit * sign),
            Posting(PAID_FROM[self.tender], self.amount * -sign),
        )
        return tuple(line for line in lines if line.amount.minor)


@dataclass(frozen=True, slots=True)
class Refund:
    id: UUID
    site_id: UUID
    patient_id: UUID
    amount: Money
    reason: str
    actor: str
    business_date: date  # In the site's zone.
    created_at: datetime
    parts: tuple[RefundPart, ...]


def parts_of(amount: Money, asked: Sequence[AskedPart], payments: Sequence[Payment]) -> list[AskedPart]:
    """As the caller says, or of the newest payments first. `payments` are the patient's at the site that have anything
    to give back, and those that were named."""
    if wild := out_of_range(amount, "amount", least=1):
        raise AmountOutOfRange(*wild)
    if not asked:
        return _newest_first(amount, payments)
    fields = [(f"parts[{i}].amount", part.amount) for i, part in enumerate(asked)]
    if foreign := [fault for field, each in fields for fault in of_another_currency(each, amount.currency, field)]:
        raise CurrencyMismatch(*foreign)
    if wild := [fault for field, each in fields for fault in out_of_range(each, field, least=1)]:
        raise AmountOutOfRange(*wild)
    if sum(part.amount.minor for part in asked) != amount.minor:
        raise AmountOutOfRange(Violation("amount", AmountOutOfRange.reason, "is not the sum of its parts"))
    return [_checked(i, part, payments) for i, part in enumerate(asked)]


def _newest_first(amount: Money, payments: Sequence[Payment]) -> list[AskedPart]:
    rest, parts = amount.minor, list[AskedPart]()
    for payment in sorted(payments, key=lambda each: (each.received_at, each.id), reverse=True):
        taken = min(rest, payment.refundable.minor)
        if taken and not payment.disputed and payment.amount.currency == amount.currency:
            parts.append(AskedPart(payment.id, Money(taken, amount.currency), payment.tender))
            rest -= taken
    if rest:
        raise RefundExceedsBalance(refundable_minor=amount.minor - rest)
    return parts


def _checked(i: int, part: AskedPart, payments: Sequence[Payment]) -> AskedPart:
    payment = {each.id: each for each in payments}[part.payment_id]
    if foreign := of_another_currency(part.amount, payment.amount.currency, f"parts[{i}].amount"):
        raise CurrencyMismatch(*foreign)
    if payment.reversed_at:
        raise PaymentReversed()
    if payment.disputed:
        raise PaymentDisputed()
    if part.amount > payment.refundable:
        violation = Violation(f"parts[{i}].amount", RefundExceedsBalance.reason, RefundExceedsBalance.message)
        raise RefundExceedsBalance(violation, refundable_minor=payment.refundable.minor)
    tender = part.tender or payment.tender
    if tender not in GIVEN_BACK[payment.tender]:
        violation = Violation(f"parts[{i}].tender", RefundTenderNotAllowed.reason, RefundTenderNotAllowed.message)
        raise RefundTenderNotAllowed(violation)
    return AskedPart(part.payment_id, part.amount, tender, part.reference)


def made(
    parts: Sequence[AskedPart],
    payments: Mapping[UUID, Payment],
    refund_id: UUID,
    patient_id: UUID,
    at: datetime,
    fresh: Callable[[], UUID],
) -> tuple[RefundPart, ...]:
    """What is left of a payment goes first, then what of it is credit. A card's part waits for its processor."""
    found = list[RefundPart]()
    for part in parts:
        payment = payments[part.payment_id]
        tender = part.tender or payment.tender
        found.append(
            RefundPart(
                id=fresh(),
                refund_id=refund_id,
                site_id=payment.site_id,
                patient_id=patient_id,
                payment_id=payment.id,
                tender=tender,
                reference=part.reference,
                amount=part.amount,
                credit=Money(max(0, part.amount.minor - payment.unapplied.minor), part.amount.currency),
                state=RefundState.REQUESTED if tender is Tender.CARD else RefundState.SUCCEEDED,
                changed_at=at,
            )
        )
    return tuple(found)
