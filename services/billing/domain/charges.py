"""Charges beside visits: products and corrections, and why a charge is what it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.money import Money
from services.billing.domain.accounts import FEES, Charge, ChargeKind
from services.billing.domain.amounts import (
    AMOUNT_MAX_MINOR,
    AmountOutOfRange,
    CurrencyMismatch,
    of_another_currency,
    out_of_range,
)
from services.billing.domain.payments import Forfeiture
from services.billing.domain.prices import VisitKind

CORRECTABLE = FEES | {ChargeKind.VISIT, ChargeKind.PRODUCT}


class ChargeNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "CHARGE_NOT_FOUND", "no such charge"


class ChargeInvoiced(DomainError):
    kind, reason = Kind.CONFLICT, "CHARGE_INVOICED"
    message = "the charge is on an invoice: a credit note corrects it"


class ChargeNotCorrectable(DomainError):
    kind, reason = Kind.CONFLICT, "CHARGE_NOT_CORRECTABLE"
    message = "a correction is not corrected, and a package ends by its own rule"


class FeeNeedsWaiver(DomainError):
    kind, reason, message = Kind.CONFLICT, "FEE_NEEDS_WAIVER", "a fee is made less by a waiver only"


class NotAFee(DomainError):
    kind, reason, message = Kind.INVALID, "NOT_A_FEE", "only fees are waived"


class FeeWaived(DomainError):
    kind, reason, message = Kind.CONFLICT, "FEE_WAIVED", "nothing is left of the fee"


class ChargeMisdirected(DomainError):
    kind, reason = Kind.INVALID, "CHARGE_MISDIRECTED"
    message = "the course or the visit is not this patient's at this site"


class PricingRule(IntEnum):
    """By which rule a charge was priced; numbered as in the proto."""

    PINNED_PRICE_BOOK = 1
    LATER_PRICE_BOOK = 2
    FEE_RULE = 3
    PRICE_BOOK_IN_FORCE = 4
    BY_HAND = 5
    PACKAGE = 6
    BILLED_AGAIN = 7


@dataclass(frozen=True, slots=True)
class PlannedVisit:
    """A visit as it was booked, which may come to nothing."""

    id: UUID
    site_id: UUID
    patient_id: UUID
    course_id: UUID
    start_at: datetime
    kind: VisitKind | None  # None: it was booked before billing kept it.


@dataclass(frozen=True, slots=True)
class Credit:
    """What a credit note takes back of a charge, tax included."""

    credit_note_id: UUID
    display_number: str
    amount: Money
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Replaced:
    """A charge that another bills again, and the void invoice that it is on."""

    charge_id: UUID
    invoice_id: UUID
    invoice_display_number: str


@dataclass(frozen=True, slots=True)
class Explanation:
    charge: Charge
    pinned_book_id: UUID | None
    item_description: str
    corrections: tuple[Charge, ...]
    invoice_id: UUID | None
    invoice_display_number: str
    credits: tuple[Credit, ...]
    deposit_parts: tuple[Forfeiture, ...] = ()
    """Of a fee: what was taken for it of the deposit, which is in no charge."""
    replaces: Replaced | None = None
    replaced_by_id: UUID | None = None

    @property
    def rule(self) -> PricingRule:
        if self.replaces:
            return PricingRule.BILLED_AGAIN
        by_kind = {
            ChargeKind.PRODUCT: PricingRule.PRICE_BOOK_IN_FORCE,
            ChargeKind.CORRECTION: PricingRule.BY_HAND,
            ChargeKind.PACKAGE: PricingRule.PACKAGE,
        } | dict.fromkeys(FEES, PricingRule.FEE_RULE)
        if rule := by_kind.get(self.charge.kind):
            return rule
        pinned = self.charge.price_book_id == self.pinned_book_id
        return PricingRule.PINNED_PRICE_BOOK if pinned else PricingRule.LATER_PRICE_BOOK

    @property
    def patient_id(self) -> UUID:
        return self.charge.patient_id

    @property
    def net(self) -> Money:
        return net_of(self.charge, self.corrections)

    @property
    def unit_price(self) -> Money | None:
        """None where the amount is no multiple of the quantity: nobody priced one of it."""
        minor, rest = divmod(self.charge.amount.minor, self.charge.quantity)
        return None if rest else Money(minor, self.charge.amount.currency)


def net_of(charge: Charge, corrections: Sequence[Charge]) -> Money:
    return sum((each.amount for each in corrections), charge.amount)


def check_correction(charge: Charge, corrections: Sequence[Charge], amount: Money) -> None:
    """That what is left of the charge is neither below zero nor huge, and that no fee is waived by the way."""
    if charge.kind not in CORRECTABLE:
        raise ChargeNotCorrectable()
    if foreign := of_another_currency(amount, charge.amount.currency, "amount"):
        raise CurrencyMismatch(*foreign)
    if wild := out_of_range(Money(abs(amount.minor), amount.currency), "amount", least=1):
        raise AmountOutOfRange(*wild)
    if amount.minor < 0 and charge.kind in FEES:
        raise FeeNeedsWaiver()
    if wild := out_of_range(net_of(charge, corrections) + amount, "amount"):
        raise AmountOutOfRange(*wild)


def waived(charge: Charge, corrections: Sequence[Charge], *, of_deposit: bool = False) -> Money:
    """What a waiver adds to a fee: all that is left, taken back; nothing where all of it was taken of the deposit."""
    if charge.kind not in FEES:
        raise NotAFee(Violation("charge_id", "NOT_A_FEE", NotAFee.message))
    left = net_of(charge, corrections)
    if not left.minor and not of_deposit:
        raise FeeWaived()
    return -left


def of_product(price: Money, quantity: int) -> Money:
    amount = price * quantity
    if amount.minor > AMOUNT_MAX_MINOR:
        raise AmountOutOfRange(*out_of_range(amount, "quantity"))
    return amount
