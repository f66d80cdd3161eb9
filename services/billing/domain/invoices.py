"""Invoices: what goes on one, what it comes to, and how it stands."""

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import IntEnum
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.money import Money
from services.billing.domain.accounts import EARNED_ON, FEES, Charge, ChargeKind, InvoiceEmpty
from services.billing.domain.amounts import AmountOutOfRange, CurrencyMismatch, of_another_currency, out_of_range
from services.billing.domain.charges import ChargeInvoiced, ChargeNotFound, net_of
from services.billing.domain.codes import ServiceCode
from services.billing.domain.ledger import Account, Entry, Posting, Source, move
from services.billing.domain.tax import Tax, Taxable, TaxRule, taxes

AMOUNT_FIELD = "discount.amount"
NUMBER = re.compile("[1-9][0-9]{0,17}")
"""As it is shown: not padded, and no longer than what is kept as eight bytes."""


class ChargesOfTwoSites(DomainError):
    kind, reason, message = Kind.INVALID, "CHARGES_OF_TWO_SITES", "charges of more than one site are on no one invoice"


class ChargesOfTwoPatients(DomainError):
    kind, reason = Kind.INVALID, "CHARGES_OF_TWO_PATIENTS"
    message = "charges of more than one patient are on no one invoice"


class DiscountTooLarge(DomainError):
    kind, reason, message = Kind.INVALID, "DISCOUNT_TOO_LARGE", "the discount is more than what it is taken from"


class DueDateInPast(DomainError):
    kind, reason, message = Kind.INVALID, "DUE_DATE_IN_PAST", "an invoice cannot be due before it is issued"


class InvoiceDraftNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "INVOICE_DRAFT_NOT_FOUND", "no such draft"


class InvoiceIssued(DomainError):
    kind, reason, message = Kind.CONFLICT, "INVOICE_ISSUED", "the draft was issued, and an invoice never changes"


class InvoiceVoid(DomainError):
    kind, reason, message = Kind.CONFLICT, "INVOICE_VOID", "nothing is left of the invoice"


class InvoiceStatus(IntEnum):
    """How an issued invoice stands; numbered as in the proto. Its open item knows: see tables/documents.py."""

    ISSUED = 1
    PART_PAID = 2
    PAID = 3
    VOID = 4


class DiscountReason(IntEnum):
    """Why something is taken off; numbered as in the proto."""

    HARDSHIP = 1
    GOODWILL = 2
    PROMOTION = 3
    STAFF = 4
    OTHER = 5


@dataclass(frozen=True, slots=True)
class Discount:
    amount: Money
    reason: DiscountReason


@dataclass(frozen=True, slots=True)
class Terms:
    """How a legal entity bills: what stands before its numbers, and after how many days an invoice is due."""

    prefix: str = ""
    days: int = 0


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who bills, as documents name it. Empty: nothing was said."""

    name: str = ""
    address: tuple[str, ...] = ()
    tax_id: str = ""
    npi: str = ""
    site: str = ""
    text: str = ""
    """At the foot of an invoice."""


@dataclass(frozen=True, slots=True)
class Wording:
    """What staff decides of an invoice beside its charges."""

    discount: Discount | None = None
    due_date: date | None = None  # None: by the terms.
    note: str = ""


@dataclass(frozen=True, slots=True)
class ToBill:
    """A charge that may go on an invoice, and what is to be known of it for that."""

    charge: Charge
    codes: tuple[ServiceCode, ...]
    invoiced: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A charge and its corrections."""

    charge: Charge
    amount: Money
    discount: Money
    tax: Money
    """Added to it."""
    included_tax: Money
    codes: tuple[ServiceCode, ...]

    @property
    def net(self) -> Money:
        return self.amount - self.discount

    @property
    def total(self) -> Money:
        return self.net + self.tax


@dataclass(frozen=True, slots=True)
class Taken:
    """What credit notes took of a line by now."""

    quantity: int = 0
    amount_minor: int = 0
    discount_minor: int = 0
    tax_minor: int = 0
    included_tax_minor: int = 0


NOTHING = Taken()


@dataclass(frozen=True, slots=True)
class TaxLine:
    """What one tax of an invoice comes to."""

    rule_id: UUID
    name: str
    rate_ppm: int
    included: bool
    base: Money
    amount: Money


@dataclass(frozen=True, slots=True)
class Bill:
    """What charges come to. `total` is subtotal - discount + tax."""

    lines: tuple[Line, ...]
    taxes: tuple[TaxLine, ...]

    @property
    def subtotal(self) -> Money:
        return total_of(line.amount for line in self.lines)

    @property
    def discount(self) -> Money:
        return total_of(line.discount for line in self.lines)

    @property
    def tax(self) -> Money:
        return total_of(line.tax for line in self.lines)

    @property
    def total(self) -> Money:
        return total_of(line.total for line in self.lines)


@dataclass(frozen=True, slots=True)
class InvoiceDraft:
    id: UUID
    site_id: UUID
    patient_id: UUID
    course_id: UUID | None
    charge_ids: tuple[UUID, ...]
    currency: str
    wording: Wording
    created_at: datetime
    updated_at: datetime
    version: int = 1
    invoice_id: UUID | None = None
    """None: not issued."""


@dataclass(frozen=True, slots=True)
class Invoice:
    id: UUID
    site_id: UUID
    legal_entity_id: UUID
    number: int
    patient_id: UUID
    course_id: UUID | None
    charges: tuple[Charge, ...]
    total: Money
    balance: Money
    issued_at: datetime
    subtotal: Money
    discount: Discount | None
    tax: Money
    due_date: date | None  # In the site's zone.
    note: str
    prefix: str
    status: InvoiceStatus | None  # None: it is not issued yet.
    credited: Money
    lines: tuple[Line, ...] = ()
    taxes: tuple[TaxLine, ...] = ()
    credited_of: Mapping[UUID, Taken] = field(default_factory=dict)
    """By charge, of its line."""
    disputed: bool = False
    version: int = 1
    """Counts the changes of `balance`."""
    replaces: Mapping[UUID, str] = field(default_factory=dict)
    """Void ones whose charges it bills again, and their numbers as they are shown."""

    @property
    def display_number(self) -> str:
        return display_number(self.prefix, self.number)


def display_number(prefix: str, number: int) -> str:
    """As it is shown and printed."""
    return f"{prefix}{number}"


def splits(shown: str, between: str = "") -> list[tuple[str, int]]:
    """What prefix and number may be of what is shown so, with `between` between the two: a prefix may end in digits."""
    ends = range(len(shown))
    return [(shown[:at].removesuffix(between), int(shown[at:])) for at in ends if NUMBER.fullmatch(shown[at:])]


def total_of(amounts: Iterable[Money]) -> Money:
    first, *more = amounts
    return sum(more, first)


def choose(found: Sequence[ToBill], asked: Sequence[UUID], patient_ids: AbstractSet[UUID]) -> list[ToBill]:
    """The charges that are asked for, with their corrections, or why they make no invoice. `found` is what there is of
    both; a correction goes where its charge goes. Of fees that deposits paid whole there is nothing to bill."""
    known = {each.charge.id: each for each in found}
    missing = [i for i, id in enumerate(asked) if id not in known or known[id].charge.corrects_id not in (None, *asked)]
    if missing:
        raise ChargeNotFound(*(Violation(f"charge_ids[{i}]", "CHARGE_NOT_FOUND", "is not there") for i in missing))
    if invoiced := [i for i, id in enumerate(asked) if known[id].invoiced]:
        text = "is on an invoice"
        raise ChargeInvoiced(*(Violation(f"charge_ids[{i}]", "CHARGE_INVOICED", text) for i in invoiced))
    site_id = known[asked[0]].charge.site_id
    elsewhere = {each.charge.corrects_id or each.charge.id for each in found if each.charge.site_id != site_id}
    refuse_others(ChargesOfTwoSites, (id not in elsewhere for id in asked))
    theirs = {each.charge.corrects_id or each.charge.id for each in found if each.charge.patient_id not in patient_ids}
    refuse_others(ChargesOfTwoPatients, (id not in theirs for id in asked))
    if not without_waived(found):
        raise InvoiceEmpty()
    return list(found)


def refuse_others(error: type[DomainError], fitting: Iterable[bool]) -> None:
    """Names each charge that does not fit to the first, or to the draft."""
    if others := [i for i, fits in enumerate(fitting) if not fits]:
        raise error(*(Violation(f"charge_ids[{i}]", error.reason, error.message) for i in others))


def lines_of(charges: Sequence[ToBill]) -> list[tuple[ToBill, Money]]:
    """Each charge that is no correction, and what it comes to with its corrections."""
    corrections: dict[UUID, list[Charge]] = {}
    for each in charges:
        if each.charge.corrects_id:
            corrections.setdefault(each.charge.corrects_id, []).append(each.charge)
    own = [each for each in charges if not each.charge.corrects_id]
    return [(each, net_of(each.charge, corrections.get(each.charge.id, []))) for each in own]


def without_waived(charges: Sequence[ToBill]) -> list[ToBill]:
    """Of charges that nobody chose one by one: without those that corrections took back altogether, and fees that were
    taken of deposits."""
    corrected = {each.charge.corrects_id for each in charges if each.charge.corrects_id}
    of_nothing = [each.charge for each, net in lines_of(charges) if not net.minor]
    gone = {each.id for each in of_nothing if each.id in corrected or each.kind in FEES}
    return [each for each in charges if each.charge.id not in gone and each.charge.corrects_id not in gone]


def bill(charges: Sequence[ToBill], discount: Discount | None, rules: Sequence[TaxRule]) -> Bill:
    """A discount is spread over the lines by their amounts, and taxes are reckoned from what it leaves. Packages get
    none: what an early stop gives back goes by their price."""
    found = lines_of(charges)
    if not found:
        raise InvoiceEmpty()
    amounts = [net for _, net in found]
    nothing = Money(0, amounts[0].currency)
    is_package = [each.charge.kind is ChargeKind.PACKAGE for each, _ in found]
    reducible = [nothing if package else amount for package, amount in zip(is_package, amounts, strict=True)]
    discounts = _spread(reducible, discount)
    nets = [amount - off for amount, off in zip(amounts, discounts, strict=True)]
    due = taxes(rules, [_taxable(each.charge, net) for (each, _), net in zip(found, nets, strict=True)])
    lines = tuple(
        Line(
            charge=each.charge,
            amount=amount,
            discount=discounts[place],
            tax=_share(due, place, included=False, currency=amount.currency),
            included_tax=_share(due, place, included=True, currency=amount.currency),
            codes=each.codes,
        )
        for place, (each, amount) in enumerate(found)
    )
    return Bill(lines, tuple(map(_tax_line, due)))


def check_due_date(due: date | None, today: date) -> None:
    if due is not None and due < today:
        raise DueDateInPast(Violation("due_date", "DUE_DATE_IN_PAST", "is before today, in the site's zone"))


def due_on(issued: date, wording: Wording, terms: Terms) -> date:
    """In the site's zone. A draft's own date counts, unless it is past by now: then it is due at once."""
    return max(wording.due_date, issued) if wording.due_date else issued + timedelta(days=terms.days)


def status_of(total: Money, left: Money) -> InvoiceStatus:
    """When it is issued."""
    if not left.minor:
        return InvoiceStatus.PAID
    return InvoiceStatus.PART_PAID if left < total else InvoiceStatus.ISSUED


def entry_of(invoice_id: UUID, lines: Sequence[Line]) -> Entry | None:
    """What an invoice posts beyond its charges, which are posted already: discount and tax. None: neither."""
    postings: list[Posting] = []
    for line in lines:
        postings += [
            Posting(Account.ACCOUNTS_RECEIVABLE, line.tax - line.discount),
            Posting(Account.DISCOUNTS, line.discount),
            Posting(Account.TAX_PAYABLE, -line.tax),
            *taken_from_revenue(line.charge, line.included_tax),
        ]
    return summed(Source.INVOICE, invoice_id, postings)


def of_credit_use(use_id: UUID, amount: Money) -> Entry:
    """The patient's credit pays an invoice."""
    return move(Source.APPLICATION, use_id, Account.PATIENT_CREDIT, Account.ACCOUNTS_RECEIVABLE, amount)


def taken_from_revenue(charge: Charge, included_tax: Money) -> list[Posting]:
    """Tax that a price includes was never earned. Of a package, whose price is deferred as sold, it is taken from what
    packages earn."""
    account = EARNED_ON.get(charge.kind, Account.REVENUE)
    earned = Account.REVENUE if account is Account.DEFERRED_REVENUE else account
    return [Posting(earned, included_tax, charge.item_code), Posting(Account.TAX_PAYABLE, -included_tax)]


def summed(source: Source, source_id: UUID, postings: Iterable[Posting]) -> Entry | None:
    """One posting for each account and item, without those of nothing; None if none is left."""
    sums: dict[tuple[Account, str], Posting] = {}
    for each in postings:
        before = sums.get((each.account, each.item_code))
        sums[each.account, each.item_code] = replace(each, amount=before.amount + each.amount) if before else each
    kept = tuple(each for each in sums.values() if each.amount.minor)
    return Entry(source, source_id, kept) if kept else None


def _spread(amounts: Sequence[Money], discount: Discount | None) -> list[Money]:
    subtotal = total_of(amounts)
    if discount is None:
        return [Money(0, subtotal.currency) for _ in amounts]
    if foreign := of_another_currency(discount.amount, subtotal.currency, AMOUNT_FIELD):
        raise CurrencyMismatch(*foreign)
    if wild := out_of_range(discount.amount, AMOUNT_FIELD, least=1):
        raise AmountOutOfRange(*wild)
    if discount.amount > subtotal:
        raise DiscountTooLarge(Violation(AMOUNT_FIELD, "DISCOUNT_TOO_LARGE", f"is above {subtotal.minor} minor units"))
    return discount.amount.split([amount.minor for amount in amounts])


def _taxable(charge: Charge, net: Money) -> Taxable:
    return Taxable(charge.kind, charge.item_code, charge.service_date, net)


def _share(due: Sequence[Tax], place: int, *, included: bool, currency: str) -> Money:
    parts = (tax.shares[place] for tax in due if tax.included is included)
    return sum(parts, Money(0, currency))


def _tax_line(tax: Tax) -> TaxLine:
    rule = tax.rule
    return TaxLine(rule.id, rule.name, rule.rate_ppm, tax.included, tax.base, tax.amount)
