"""Refunds: what of payments and credit is given back, by which tender, and what becomes of what a processor is asked.

Only what pays no invoice can be given back: what does is taken off it first, or the invoice is corrected. Credit that a
credit note or the end of a package gave came from no one payment any more: it is paid out in cash, by cheque, or to a
card that paid.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
    message = "a payment or credit is not this patient's at this site, or is named twice"


class CreditNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "CREDIT_NOT_FOUND", "no such credit of a patient"


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

CREDIT_GIVEN_BACK = (Tender.CHECK, Tender.CASH)
"""How credit is paid out that goes to no card, the usual way first."""

PAID_FROM = {
    Tender.CASH: Account.CASH,
    Tender.CHECK: Account.BANK,
    Tender.EXTERNAL_CARD: Account.CARD_CLEARING,
    Tender.CARD: Account.PROCESSOR_CLEARING,
}


@dataclass(frozen=True, slots=True)
class AskedPart:
    payment_id: UUID | None
    """Beside credit: the payment whose card gets it."""
    amount: Money
    tender: Tender | None  # None: as it was paid; of credit the usual way.
    reference: str = ""
    credit_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Credit:
    """Of a patient, that a credit note or the end of a package gave."""

    id: UUID
    site_id: UUID
    patient_id: UUID
    left: Money
    since: datetime


@dataclass(frozen=True, slots=True)
class Sources:
    """What can be given back: the patient's at the site of which anything can, and what was named."""

    payments: Mapping[UUID, Payment]
    credits: Mapping[UUID, Credit]
    on_card: Mapping[UUID, int]
    """Of each payment by a card: what its processor took, less what it gave back and what was disputed of it."""

    def refundable(self, payment: Payment) -> int:
        """As it was paid."""
        return min(payment.refundable.minor, self.on_card.get(payment.id, payment.refundable.minor))


@dataclass(frozen=True, slots=True)
class RefundPart:
    id: UUID
    refund_id: UUID
    site_id: UUID
    patient_id: UUID
    payment_id: UUID | None
    tender: Tender
    reference: str
    amount: Money
    credit: Money
    """Of the amount: what was credit."""
    state: RefundState
    changed_at: datetime
    credit_id: UUID | None = None
    """It comes from this, not from the payment."""
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


def parts_of(amount: Money, asked: Sequence[AskedPart], sources: Sources) -> list[AskedPart]:
    """As the caller says, each with its tender; or of the newest payments first, then of the oldest credit."""
    if wild := out_of_range(amount, "amount", least=1):
        raise AmountOutOfRange(*wild)
    if not asked:
        return _chosen(amount, sources)
    fields = [(f"parts[{i}].amount", part.amount) for i, part in enumerate(asked)]
    if foreign := [fault for field, each in fields for fault in of_another_currency(each, amount.currency, field)]:
        raise CurrencyMismatch(*foreign)
    if wild := [fault for field, each in fields for fault in out_of_range(each, field, least=1)]:
        raise AmountOutOfRange(*wild)
    if sum(part.amount.minor for part in asked) != amount.minor:
        raise AmountOutOfRange(Violation("amount", AmountOutOfRange.reason, "is not the sum of its parts"))
    parts = [_checked(i, part, sources) for i, part in enumerate(asked)]
    _check_cards(parts, sources)
    return parts


def _chosen(amount: Money, sources: Sources) -> list[AskedPart]:
    rest, parts = amount.minor, list[AskedPart]()
    newest_first = sorted(sources.payments.values(), key=lambda each: (each.received_at, each.id), reverse=True)
    for payment in newest_first:
        taken = min(rest, sources.refundable(payment))
        if taken and not payment.disputed and payment.amount.currency == amount.currency:
            parts.append(AskedPart(payment.id, Money(taken, amount.currency), payment.tender))
            rest -= taken
    for credit in sorted(sources.credits.values(), key=lambda each: (each.since, each.id)):
        taken = min(rest, credit.left.minor)
        if taken and credit.left.currency == amount.currency:
            part = AskedPart(None, Money(taken, amount.currency), CREDIT_GIVEN_BACK[0], credit_id=credit.id)
            parts.append(part)
            rest -= taken
    if rest:
        raise RefundExceedsBalance(refundable_minor=amount.minor - rest)
    return parts


def _checked(i: int, part: AskedPart, sources: Sources) -> AskedPart:
    """With its tender."""
    payment = sources.payments[part.payment_id] if part.payment_id else None
    credit = sources.credits[part.credit_id] if part.credit_id else None
    for source in (payment.amount if payment else None, credit.left if credit else None):
        if source and (foreign := of_another_currency(part.amount, source.currency, f"parts[{i}].amount")):
            raise CurrencyMismatch(*foreign)
    if payment and payment.reversed_at:
        raise PaymentReversed()
    if payment and payment.disputed:
        raise PaymentDisputed()
    left = credit.left if credit else payment.refundable if payment else Money(0, part.amount.currency)
    if part.amount > left:
        raise _exceeds(i, left.minor)
    allowed = _tenders(payment, credit)
    tender = part.tender or (allowed[0] if allowed else None)
    if tender is None or tender not in allowed:
        violation = Violation(f"parts[{i}].tender", RefundTenderNotAllowed.reason, RefundTenderNotAllowed.message)
        raise RefundTenderNotAllowed(violation)
    return replace(part, tender=tender)


def _tenders(payment: Payment | None, credit: Credit | None) -> tuple[Tender, ...]:
    """By which it may be given back. Credit goes to a payment only if that was by a card that its processor knows."""
    if payment and credit:
        return (Tender.CARD,) if payment.tender is Tender.CARD else ()
    return GIVEN_BACK[payment.tender] if payment else CREDIT_GIVEN_BACK


def _check_cards(parts: Sequence[AskedPart], sources: Sources) -> None:
    """All parts together give no more to a card than its processor has of it."""
    given = dict[UUID, int]()
    for i, part in enumerate(parts):
        if part.tender is Tender.CARD and part.payment_id:
            there_is = sources.on_card[part.payment_id] - given.get(part.payment_id, 0)
            if part.amount.minor > there_is:
                raise _exceeds(i, there_is)
            given[part.payment_id] = given.get(part.payment_id, 0) + part.amount.minor


def _exceeds(i: int, refundable_minor: int) -> RefundExceedsBalance:
    violation = Violation(f"parts[{i}].amount", RefundExceedsBalance.reason, RefundExceedsBalance.message)
    return RefundExceedsBalance(violation, refundable_minor=refundable_minor)


def made(
    parts: Sequence[AskedPart],
    sources: Sources,
    refund_id: UUID,
    site_id: UUID,
    patient_id: UUID,
    at: datetime,
    fresh: Callable[[], UUID],
) -> tuple[RefundPart, ...]:
    """What is left of a payment goes first, then what of it is credit. A card's part waits for its processor."""
    found = list[RefundPart]()
    for part in parts:
        assert part.tender
        found.append(
            RefundPart(
                id=fresh(),
                refund_id=refund_id,
                site_id=site_id,
                patient_id=patient_id,
                payment_id=part.payment_id,
                tender=part.tender,
                reference=part.reference,
                amount=part.amount,
                credit=_credit_of(part, sources),
                state=RefundState.REQUESTED if part.tender is Tender.CARD else RefundState.SUCCEEDED,
                changed_at=at,
                credit_id=part.credit_id,
            )
        )
    return tuple(found)


def _credit_of(part: AskedPart, sources: Sources) -> Money:
    if part.credit_id or part.payment_id is None:
        return part.amount
    left = sources.payments[part.payment_id].unapplied
    return Money(max(0, part.amount.minor - left.minor), part.amount.currency)
