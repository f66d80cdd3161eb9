"""A patient's account: charges, invoices, payments, and which payment pays which invoice.

Money moves within one site only. What is paid for a course pays that course's invoices only, so that a deposit is still
there when its course is billed; what is paid for none pays any. Between sites it takes a settlement, which is another
document.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from uuid import UUID

from chassis.errors import DomainError, Kind
from chassis.money import Money
from services.billing.domain import ledger
from services.billing.domain.amounts import AmountOutOfRange, CurrencyMismatch, of_another_currency, out_of_range
from services.billing.domain.ledger import Tender
from services.billing.domain.prices import VisitKind
from services.billing.domain.sites import VisitStatus


class PaymentNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "PAYMENT_NOT_FOUND", "no such payment"


class InvoiceNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "INVOICE_NOT_FOUND", "no such invoice"


class PaymentMisdirected(DomainError):
    kind, reason = Kind.INVALID, "PAYMENT_MISDIRECTED"
    message = "the course or the invoice is not this patient's at this site"


class InvoiceEmpty(DomainError):
    kind, reason = Kind.CONFLICT, "INVOICE_EMPTY"
    message = "the course has no charge that is not on an invoice, or the charges do not belong on one"


class ItemKind(IntEnum):
    """What an open item is left of."""

    PAYMENT = 1
    INVOICE = 2
    CREDIT = 3
    """Of the patient; its id is that of what gave it: a credit note, or the end of a package."""


class DocumentKind(IntEnum):
    """What a line of an account is; numbered as in the proto."""

    CHARGE = 1
    INVOICE = 2
    PAYMENT = 3
    PACKAGE_STOP = 50
    CREDIT_NOTE = 60
    REFUND = 70
    REVERSAL = 71
    CREDIT = 72
    FORFEITURE = 73


class PaymentKind(IntEnum):
    """What a payment was when it was taken; numbered as in the proto."""

    DEPOSIT = 1
    PAYMENT = 2


class ChargeKind(IntEnum):
    """What a charge is for; numbered as in the proto."""

    VISIT = 1
    NO_SHOW_FEE = 2
    LATE_CANCELLATION_FEE = 3
    PRODUCT = 4
    CORRECTION = 5
    PACKAGE = 6


FEES = frozenset({ChargeKind.NO_SHOW_FEE, ChargeKind.LATE_CANCELLATION_FEE})


class CorrectionReason(IntEnum):
    """Why a charge was corrected; numbered as in the proto."""

    PRICING_ERROR = 1
    SERVICE_NOT_RENDERED = 2
    DUPLICATE = 3
    GOODWILL = 4
    WAIVER = 5
    OTHER = 6
    PACKAGE = 7


EARNED_ON = {
    ChargeKind.NO_SHOW_FEE: ledger.Account.FEE_REVENUE,
    ChargeKind.LATE_CANCELLATION_FEE: ledger.Account.FEE_REVENUE,
    ChargeKind.PACKAGE: ledger.Account.DEFERRED_REVENUE,
}
"""What a charge is credited to, where that is not revenue."""


@dataclass(frozen=True, slots=True)
class Charge:
    id: UUID
    kind: ChargeKind
    site_id: UUID
    patient_id: UUID
    course_id: UUID | None
    visit_id: UUID | None
    service_date: date  # In the site's zone.
    service: VisitKind | None  # Of a visit, as it was, not as it was planned.
    item_code: str
    """What was sold: a visit type, a product, a fee, a package."""
    description: str
    quantity: int
    amount: Money
    """All of it. Below zero only in a correction."""
    posted_at: datetime
    price_book_id: UUID | None = None
    price_book_version: int = 0
    price_item_id: UUID | None = None
    event_id: UUID | None = None
    """That made it; None: a person did."""
    corrects_id: UUID | None = None
    made_by: str = ""
    """Empty: an event did."""
    reason: CorrectionReason | None = None
    note: str = ""
    replaces_id: UUID | None = None
    """The charge of a void invoice that it bills again."""
    first_id: UUID | None = None
    """Of those that it replaces one after another."""

    @property
    def origin_id(self) -> UUID:
        """Under which it stays known, however often it is billed again: what became of deposits for it is there."""
        return self.first_id or self.id

    def entry(self, corrected: ChargeKind | None = None) -> ledger.Entry | None:
        """None for what is free. A correction is of the kind that it corrects."""
        earned_on = EARNED_ON.get(corrected or self.kind, ledger.Account.REVENUE)
        return ledger.of_charge(self.id, self.amount, earned_on, self.item_code)


@dataclass(frozen=True, slots=True)
class OpenItem:
    """An invoice or a payment, of which something is left."""

    id: UUID
    course_id: UUID | None
    left: Money
    since: datetime
    due_date: date | None = None
    """Of an invoice: in the site's zone."""
    version: int = 1
    """Counts the changes of what is left."""


@dataclass(frozen=True, slots=True)
class Share:
    """So much of a payment pays an invoice."""

    payment_id: UUID
    invoice_id: UUID
    amount: Money


@dataclass(frozen=True, slots=True)
class Application:
    """A share as it was posted."""

    id: UUID
    share: Share
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class Payment:
    id: UUID
    site_id: UUID
    patient_id: UUID
    course_id: UUID | None
    kind: PaymentKind
    tender: Tender
    terminal_reference: str
    amount: Money
    business_date: date  # In the site's zone.
    received_at: datetime
    unapplied: Money
    applications: tuple[Application, ...] = ()
    """Without what was taken off again."""
    check_number: str = ""
    benefit_account: int = 0
    credit_minor: int = 0
    """What of it is credit."""
    gone_minor: int = 0
    """What of it was reversed, given back, forfeited, or lost to a dispute."""
    reversed_at: datetime | None = None
    card_charge_id: UUID | None = None
    disputed: bool = False
    kept_for: UUID | None = None
    """The course that what is left is kept for."""

    @property
    def credit(self) -> Money:
        return Money(self.credit_minor, self.amount.currency)

    @property
    def gone(self) -> Money:
        return Money(self.gone_minor, self.amount.currency)

    @property
    def refundable(self) -> Money:
        """What pays nothing."""
        return self.unapplied + self.credit

    @property
    def standing(self) -> Money:
        """What is left, credit or applied: all but what is gone, and what a credit note made credit of its own."""
        return sum((each.share.amount for each in self.applications), self.refundable)

    @property
    def open_item(self) -> OpenItem:
        return OpenItem(self.id, self.kept_for, self.unapplied, self.received_at)


@dataclass(frozen=True, slots=True)
class Document:
    """One line of an account."""

    kind: DocumentKind
    id: UUID
    site_id: UUID
    course_id: UUID | None
    at: datetime
    amount: Money
    open: Money  # Of an invoice still to pay, of a payment not applied, of a charge not invoiced.
    invoice_number: int
    description: str
    patient_id: UUID
    """Under which of the patient's ids it was written."""
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class Total:
    """Of the documents of one kind and currency that were written at one site, under one id of a patient, in minor
    units."""

    patient_id: UUID
    site_id: UUID
    currency: str
    kind: DocumentKind
    amount_minor: int
    open_minor: int
    credit_minor: int
    gone_minor: int


@dataclass(frozen=True, slots=True)
class Balance:
    """The sums of an account in one currency."""

    charged: Money
    invoiced: Money
    paid: Money
    unapplied: Money
    due: Money
    returned: Money
    """Of what was charged: what came back when packages were stopped."""
    uninvoiced: Money
    credit: Money

    @property
    def balance(self) -> Money:
        """What the patient owes; below zero, what the sites owe the patient."""
        return self.uninvoiced + self.due - self.unapplied - self.credit


@dataclass(frozen=True, slots=True)
class Account:
    """Of a patient: what was written under each of their ids stays there, and is shown together."""

    patient_id: UUID | None
    """Of a merged patient the survivor. None: nothing was written yet."""
    totals: tuple[Total, ...]
    documents: tuple[Document, ...]

    def balances(self, patient_id: UUID | None = None) -> list[Balance]:
        """By currency; of one id or, with None, of all of them together."""
        of_them = [total for total in self.totals if patient_id in (None, total.patient_id)]
        return [_balance(currency, of_them) for currency in sorted({total.currency for total in of_them})]

    def balances_at(self, site_id: UUID) -> list[Balance]:
        """By currency, of all ids together."""
        of_it = [total for total in self.totals if total.site_id == site_id]
        return [_balance(currency, of_it) for currency in sorted({total.currency for total in of_it})]

    @property
    def site_ids(self) -> list[UUID]:
        return sorted({total.site_id for total in self.totals})

    @property
    def patient_ids(self) -> list[UUID]:
        """Under which anything was written."""
        return sorted({total.patient_id for total in self.totals})


@dataclass(frozen=True, slots=True)
class NextDue:
    """Of a patient's open invoices the one that is due first."""

    invoice_id: UUID
    due_date: date
    left: Money


class BillingStatus(IntEnum):
    """What became of a visit; numbered as in the proto."""

    BOOKED = 1
    CANCELLED = 2
    MISSED = 3
    UNPRICED = 4
    CHARGED = 5
    REDEEMED = 6


@dataclass(frozen=True, slots=True)
class CourseVisit:
    id: UUID
    status: BillingStatus


@dataclass(frozen=True, slots=True)
class CourseAccount:
    """Amounts are None while the site has published no price."""

    course_id: UUID
    site_id: UUID
    patient_id: UUID
    price_book_id: UUID | None
    price_book_version: int
    estimate_id: UUID | None
    estimated: Money | None
    deposit_due: Money | None
    deposit_covered: bool
    charged: Money | None
    invoiced: Money | None
    paid: Money | None
    due: Money | None


def _balance(currency: str, totals: Iterable[Total]) -> Balance:
    amount, rest = Counter[DocumentKind](), Counter[DocumentKind]()
    credit = gone = 0
    for total in totals:
        if total.currency == currency:
            amount[total.kind] += total.amount_minor
            rest[total.kind] += total.open_minor
            credit += total.credit_minor
            gone += total.gone_minor
    sums = {
        "charged": amount[DocumentKind.CHARGE],
        "invoiced": amount[DocumentKind.INVOICE],
        "paid": amount[DocumentKind.PAYMENT] - gone,
        "unapplied": rest[DocumentKind.PAYMENT],
        "due": rest[DocumentKind.INVOICE],
        "uninvoiced": rest[DocumentKind.CHARGE],
        "returned": amount[DocumentKind.PACKAGE_STOP],
        "credit": credit,
    }
    return Balance(**{name: Money(minor, currency) for name, minor in sums.items()})


def billing_status(scheduled: VisitStatus, *, rendered: bool, charged: bool, redeemed: bool = False) -> BillingStatus:
    """A visit that took place took place, whatever was said of it before. Drawn from a package, its charge is none."""
    if not rendered:
        return BillingStatus(scheduled)
    if redeemed:
        return BillingStatus.REDEEMED
    return BillingStatus.CHARGED if charged else BillingStatus.UNPRICED


def check_amount(amount: Money, currency: str | None) -> None:
    """Of a payment. `currency` is that of the site's prices; None while there are none."""
    if currency and (foreign := of_another_currency(amount, currency, "amount")):
        raise CurrencyMismatch(*foreign)
    if wild := out_of_range(amount, "amount", least=1):
        raise AmountOutOfRange(*wild)


def deposit_covered(due: Money | None, paid_minor: int) -> bool:
    """`due` is None while the site has published no price: then nobody knows what would cover it."""
    return due is not None and paid_minor >= due.minor


def kind_of_payment(due: Money | None, paid_before_minor: int, *, for_course: bool) -> PaymentKind:
    if for_course and not deposit_covered(due, paid_before_minor):
        return PaymentKind.DEPOSIT
    return PaymentKind.PAYMENT


def pay(payment: OpenItem, invoices: Sequence[OpenItem], first: UUID | None = None) -> list[Share]:
    """What `payment` pays: the invoice `first`, if one is named, then the oldest."""
    payable = [each for each in invoices if payment.course_id in (None, each.course_id)]
    in_order = sorted(payable, key=lambda invoice: (invoice.id != first, invoice.since, invoice.id))
    return [Share(payment.id, invoice_id, amount) for invoice_id, amount in _spread(payment.left, in_order)]


def settle(invoice: OpenItem, payments: Sequence[OpenItem]) -> list[Share]:
    """What pays `invoice`: payments for its course, then those for none, each the oldest first."""
    usable = [each for each in payments if each.course_id in (None, invoice.course_id)]
    in_order = sorted(usable, key=lambda payment: (payment.course_id is None, payment.since, payment.id))
    return [Share(payment_id, invoice.id, amount) for payment_id, amount in _spread(invoice.left, in_order)]


def _spread(amount: Money, items: Iterable[OpenItem]) -> Iterator[tuple[UUID, Money]]:
    for item in items:
        if taken := min(amount.minor, item.left.minor):
            part = Money(taken, item.left.currency)
            yield item.id, part
            amount -= part
