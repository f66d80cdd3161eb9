"""Credit notes: what is taken back of an invoice's lines, and what becomes of what was paid."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from fractions import Fraction
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.money import Money
from services.billing.domain.accounts import EARNED_ON, FEES, Charge, ChargeKind
from services.billing.domain.amounts import AmountOutOfRange, CurrencyMismatch, of_another_currency, out_of_range
from services.billing.domain.charges import ChargeNotCorrectable
from services.billing.domain.invoices import NOTHING, Line, Taken, display_number, summed, taken_from_revenue
from services.billing.domain.ledger import Account, Entry, Posting, Source, move
from services.billing.domain.tax import half_up

BETWEEN = "CN"
"""Stands between the prefix and the number of a credit note."""


class LineNotOnInvoice(DomainError):
    kind, reason, message = Kind.INVALID, "LINE_NOT_ON_INVOICE", "the charge has no line on the invoice"


class CreditAboveLeft(DomainError):
    kind, reason, message = Kind.CONFLICT, "CREDIT_ABOVE_LEFT", "the credit is more than what is left of a line"


class CreditAboveOpen(DomainError):
    kind, reason = Kind.CONFLICT, "CREDIT_ABOVE_OPEN"
    message = "the offset is more than what is still to pay: credit or refund what was paid"


class CreditNoteNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "CREDIT_NOTE_NOT_FOUND", "no such credit note"


class CreditReason(IntEnum):
    """Why something is credited; numbered as in the proto."""

    PRICING_ERROR = 1
    SERVICE_NOT_RENDERED = 2
    DUPLICATE = 3
    GOODWILL = 4
    DISPUTE = 5
    VOID = 6
    OTHER = 7


class CreditPurpose(IntEnum):
    """What becomes of what was paid; numbered as in the proto."""

    REFUND = 1
    CREDIT = 2
    OFFSET = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """Of one line, either of both."""

    charge_id: UUID
    amount: Money | None = None
    quantity: int = 0


@dataclass(frozen=True, slots=True)
class CreditLine:
    charge_id: UUID
    description: str
    quantity: int  # 0: an amount was named.
    amount: Money  # After discount.
    discount: Money  # That goes with it.
    tax: Money
    included_tax: Money

    @property
    def total(self) -> Money:
        return self.amount + self.tax


@dataclass(frozen=True, slots=True)
class CreditNote:
    id: UUID
    site_id: UUID
    legal_entity_id: UUID
    number: int
    prefix: str
    invoice_id: UUID
    patient_id: UUID
    lines: tuple[CreditLine, ...]
    total: Money
    offset: Money
    """Of `total`: what was still to pay."""
    reason: CreditReason
    note: str
    purpose: CreditPurpose
    made_by: str
    issued_at: datetime

    @property
    def returned(self) -> Money:
        """Of `total`: what was paid."""
        return self.total - self.offset

    @property
    def display_number(self) -> str:
        return credit_note_number(self.prefix, self.number)


@dataclass(frozen=True, slots=True)
class AppliedMoney:
    """What is applied to an invoice, as it is by now: of a payment, or of the patient's credit."""

    application_id: UUID
    item_id: UUID
    of_credit: bool
    amount: Money
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class Unapplication:
    id: UUID
    applied: AppliedMoney
    amount: Money


def credit_note_number(prefix: str, number: int) -> str:
    """As it is shown and printed: told from an invoice's at a glance."""
    return display_number(f"{prefix}{BETWEEN}", number)


def credit_lines(lines: Sequence[Line], credited: Mapping[UUID, Taken], asked: Sequence[Asked]) -> list[CreditLine]:
    """What is asked for, with its parts of discount and tax, or every fault in it."""
    known = {line.charge.id: line for line in lines}
    ids = [each.charge_id for each in asked]
    wrong = [i for i, id in enumerate(ids) if id not in known or id in ids[:i]]
    if wrong:
        text = "has no line on the invoice, or is named before"
        raise LineNotOnInvoice(*(Violation(f"lines[{i}].charge_id", "LINE_NOT_ON_INVOICE", text) for i in wrong))
    if packages := [i for i, id in enumerate(ids) if known[id].charge.kind is ChargeKind.PACKAGE]:
        reason, text = ChargeNotCorrectable.reason, "is a package's"
        raise ChargeNotCorrectable(*(Violation(f"lines[{i}].charge_id", reason, text) for i in packages))
    pairs = [(known[each.charge_id], credited.get(each.charge_id, NOTHING)) for each in asked]
    amounts = [_amount(*pair, each, i) for i, (pair, each) in enumerate(zip(pairs, asked, strict=True))]
    left = [line.net.minor - taken.amount_minor for line, taken in pairs]
    if above := [i for i, minor in enumerate(left) if amounts[i].minor > minor or not amounts[i].minor]:
        faults = (Violation(f"lines[{i}]", "CREDIT_ABOVE_LEFT", f"{left[i]} minor units are left") for i in above)
        raise CreditAboveLeft(*faults)
    return [
        _credit_line(line, taken, amount, each.quantity)
        for (line, taken), amount, each in zip(pairs, amounts, asked, strict=True)
    ]


def all_left(lines: Sequence[Line], credited: Mapping[UUID, Taken], *, discounts: bool = False) -> list[CreditLine]:
    """What voids an invoice; none of a package, which ends by its own rule. Of a line that a discount took altogether
    nothing is left to credit: what it earned and its discount stay as they were posted, and are nothing together, but
    where `discounts` are taken back as well. Where nothing is left of any line, the note has them all, of nothing."""
    if any(line.charge.kind is ChargeKind.PACKAGE for line in lines):
        raise ChargeNotCorrectable()
    pairs = [(line, credited.get(line.charge.id, NOTHING)) for line in lines]
    made = [_credit_line(line, taken, _left(line, taken), 0, of_nothing=int(discounts)) for line, taken in pairs]
    return [each for each in made if each.amount.minor or each.discount.minor] or made


def to_charge_again(lines: Sequence[Line], credited: Mapping[UUID, Taken], made: Sequence[CreditLine]) -> list[Charge]:
    """Each charge of which `made`, which voids the invoice, takes anything back, with as much as that, before discount
    and tax: charged anew, the books are as they were before it was billed. What credit notes took before stays taken.
    What was free from the start goes along; what was corrected to nothing does not."""
    taken_back = {each.charge_id: each.amount + each.discount for each in made}
    found = list[Charge]()
    for line in lines:
        charge, nothing = line.charge, Money(0, line.amount.currency)
        amount = taken_back.get(charge.id, nothing)
        if amount.minor or charge.amount == line.amount == nothing:
            quantity = max(charge.quantity - credited.get(charge.id, NOTHING).quantity, 1)
            found.append(replace(charge, amount=amount, quantity=quantity))
    return found


def fees_ended(
    lines: Sequence[Line], credited: Mapping[UUID, Taken], made: Sequence[CreditLine], *, voids: bool
) -> list[Charge]:
    """Fees of which nothing is left once `made` is credited, too: if that voids the invoice, all of them. A deposit or
    a discount may have taken a fee to nothing, so that there was nothing to credit."""
    taken = {each.charge_id: credited.get(each.charge_id, NOTHING).amount_minor + each.amount.minor for each in made}
    fees = [line for line in lines if line.charge.kind in FEES]
    return [line.charge for line in fees if voids or taken.get(line.charge.id) == line.net.minor]


def unapplied(applied: Sequence[AppliedMoney], amount: Money) -> Iterator[tuple[AppliedMoney, Money]]:
    """From which of what was applied `amount` comes back: the last first."""
    for each in sorted(applied, key=lambda each: (each.applied_at, each.application_id), reverse=True):
        if taken := min(amount.minor, each.amount.minor):
            part = Money(taken, amount.currency)
            yield each, part
            amount -= part


def entries_of(note: CreditNote, lines: Sequence[Line], taken: Sequence[Unapplication]) -> list[Entry]:
    """What was earned, discounted and taxed is taken back; what was applied is the patient's again."""
    known = {line.charge.id: line.charge for line in lines}
    postings = [Posting(Account.ACCOUNTS_RECEIVABLE, -note.total)]
    for line in note.lines:
        charge = known[line.charge_id]
        earned = EARNED_ON.get(charge.kind, Account.REVENUE)
        postings += [
            Posting(earned, line.amount + line.discount, charge.item_code),
            Posting(Account.DISCOUNTS, -line.discount),
            Posting(Account.TAX_PAYABLE, line.tax),
            *taken_from_revenue(charge, -line.included_tax),
        ]
    back = [_unapply(each) for each in taken]
    own = summed(Source.CREDIT_NOTE, note.id, postings)
    kept = kept_as_credit(note, taken)
    if kept.minor:
        back.append(
            move(Source.CREDIT_TRANSFER, note.id, Account.CUSTOMER_DEPOSITS, Account.PATIENT_CREDIT, kept),
        )
    return [*back, own] if own else back


def kept_as_credit(note: CreditNote, taken: Sequence[Unapplication]) -> Money:
    """What becomes new credit of the patient: what payments had paid. Credit that had been used is itself again."""
    paid = (each.amount for each in taken if not each.applied.of_credit and note.purpose is CreditPurpose.CREDIT)
    return sum(paid, Money(0, note.total.currency))


def _unapply(each: Unapplication) -> Entry:
    back_on = Account.PATIENT_CREDIT if each.applied.of_credit else Account.CUSTOMER_DEPOSITS
    return move(Source.UNAPPLICATION, each.id, Account.ACCOUNTS_RECEIVABLE, back_on, each.amount)


def _amount(line: Line, taken: Taken, asked: Asked, place: int) -> Money:
    """Of the last of a quantity, all that is left, so that parts add up."""
    if asked.amount is None:
        rest = line.charge.quantity - taken.quantity - asked.quantity
        if rest < 0:
            raise CreditAboveLeft(Violation(f"lines[{place}]", "CREDIT_ABOVE_LEFT", "is more than its quantity"))
        if not rest:
            return _left(line, taken)
        return Money(half_up(Fraction(line.net.minor * asked.quantity, line.charge.quantity)), line.net.currency)
    field = f"lines[{place}].amount"
    if foreign := of_another_currency(asked.amount, line.net.currency, field):
        raise CurrencyMismatch(*foreign)
    if wild := out_of_range(asked.amount, field, least=1):
        raise AmountOutOfRange(*wild)
    return asked.amount


def _left(line: Line, taken: Taken) -> Money:
    return line.net - Money(taken.amount_minor, line.net.currency)


def _credit_line(line: Line, taken: Taken, amount: Money, quantity: int, *, of_nothing: int = 0) -> CreditLine:
    """Of discount and tax so much that, with what went before, their part is that of the amount: all of them when all
    of it is credited, `of_nothing` of them when there is nothing to credit, and never more."""
    part = Fraction(taken.amount_minor + amount.minor, line.net.minor) if line.net.minor else Fraction(of_nothing)

    def share(whole: Money, before: int) -> Money:
        return Money(half_up(whole.minor * part) - before, whole.currency)

    return CreditLine(
        charge_id=line.charge.id,
        description=line.charge.description,
        quantity=quantity,
        amount=amount,
        discount=share(line.discount, taken.discount_minor),
        tax=share(line.tax, taken.tax_minor),
        included_tax=share(line.included_tax, taken.included_tax_minor),
    )
