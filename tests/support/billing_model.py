"""What billing should make of each step, reckoned in cents in memory: what is left of each document, and each account.

It knows rules only, no figures of the service, but for the shares of a price (of tax, of a package) that it is told.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import floor

RECEIVABLE, DEPOSITS, CREDIT = "ACCOUNTS_RECEIVABLE", "CUSTOMER_DEPOSITS", "PATIENT_CREDIT"
CASH, TERMINAL, CHECK, CARD = 1, 2, 3, 4
"""Tenders."""
RECEIVED_ON = {CASH: "CASH", TERMINAL: "CARD_CLEARING", CHECK: "CHECKS", CARD: "PROCESSOR_CLEARING"}
PAID_FROM = RECEIVED_ON | {CHECK: "BANK"}
PAYMENT, INVOICE, GIVEN = "payment", "invoice", "credit"


@dataclass
class Charge:
    """That is on no invoice."""

    id: str
    site: str
    patient: str
    course: str
    amount: int
    earned: str
    of_deposit: list[tuple["Item", int, int]] = field(default_factory=list)
    """Of a fee: what it took of which payment, beside `amount`, and the tax in it."""


@dataclass
class Line:
    charge: Charge
    net: int
    discount: int
    tax: int
    inside: int
    """Of `net`: what is tax."""
    credited: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    to_charge_again: int = 0
    """Once it is void: of its net and its discount, what that took back."""

    def share(self, amount: int) -> tuple[int, int, int, int]:
        """Of the line, of its discount and of its taxes, were so much more of it credited."""
        part = Fraction(self.credited[0] + amount, self.net)
        wholes = (self.net, self.discount, self.tax, self.inside)
        net, discount, tax, inside = (
            floor(whole * part + Fraction(1, 2)) - before for whole, before in zip(wholes, self.credited, strict=True)
        )
        return net, discount, tax, inside

    def total_of(self, amount: int) -> int:
        net, _, tax, _ = self.share(amount)
        return net + tax


@dataclass
class Item:
    """A payment, an invoice, or credit of the patient, of which something may be left."""

    kind: str
    id: str
    site: str
    patient: str
    course: str
    whole: int
    left: int
    credit: int = 0
    gone: int = 0
    tender: int = 0
    disputed: bool = False
    lines: Sequence[Line] = ()

    @property
    def is_void(self) -> bool:
        return all(line.credited[0] == line.net for line in self.lines)


@dataclass
class Application:
    item: Item
    invoice: Item
    amount: int


@dataclass
class Model:
    entity_of: dict[str, str]
    """Of each site."""
    merged: dict[str, str] = field(default_factory=dict)
    charges: dict[str, Charge] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    applied: list[Application] = field(default_factory=list)
    totals: Counter[tuple[str, str]] = field(default_factory=Counter)

    def whole(self, patient: str) -> str:
        return self.merged.get(patient, patient)

    def of(self, kind: str, site: str = "", patient: str = "") -> list[Item]:
        """The oldest first."""
        who = self.whole(patient)
        return [
            each
            for each in self.items.values()
            if each.kind == kind and site in ("", each.site) and who in ("", self.whole(each.patient))
        ]

    def credits(self, site: str, patient: str) -> list[tuple[Item, int]]:
        """What there is of each, the oldest first."""
        found = [
            (each, each.left if each.kind == GIVEN else each.credit)
            for each in self.items.values()
            if each.kind != INVOICE and each.site == site and self.whole(each.patient) == self.whole(patient)
        ]
        return [(each, there_is) for each, there_is in found if there_is]

    def balance(self, patient: str) -> int:
        charged = sum(each.amount for each in self.charges.values() if self.whole(each.patient) == self.whole(patient))
        owed = sum(each.left for each in self.of(INVOICE, patient=patient))
        paid = sum(each.left + each.credit for each in self.of(PAYMENT, patient=patient))
        return charged + owed - paid - sum(each.left for each in self.of(GIVEN, patient=patient))

    def move(self, site: str, debit: str, credit: str, amount: int) -> None:
        self.totals[self.entity_of[site], debit] += amount
        self.totals[self.entity_of[site], credit] -= amount

    # What is owed.

    def charge(self, charge: Charge) -> None:
        self.charges[charge.id] = charge
        self.move(charge.site, RECEIVABLE, charge.earned, charge.amount)

    def correct(self, charge_id: str, amount: int) -> None:
        charge = self.charges[charge_id]
        charge.amount += amount
        self.move(charge.site, RECEIVABLE, charge.earned, amount)

    def fee(self, charge: Charge, deposit: Item, taken: int, tax: int) -> None:
        self.charge(charge)
        self.forfeit(deposit, taken, tax)
        charge.of_deposit.append((deposit, taken, tax))

    def forfeit(self, deposit: Item, taken: int, tax: int) -> None:
        self.go(deposit, taken, "FEE_REVENUE")
        self.move(deposit.site, "FEE_REVENUE", "TAX_PAYABLE", tax)

    def fee_ended(self, charge: Charge) -> None:
        """Nothing is left of it: what it took is as it was before."""
        while charge.of_deposit:
            deposit, taken, tax = charge.of_deposit.pop()
            self.forfeit(deposit, -taken, -tax)

    def bill(self, id: str, lines: Sequence[Line]) -> Item:
        first = lines[0].charge
        courses = {line.charge.course for line in lines}
        total = sum(line.net + line.tax for line in lines)
        course = first.course if len(courses) == 1 else ""
        made = Item(INVOICE, id, first.site, self.whole(first.patient), course, total, total, lines=lines)
        for line in lines:
            del self.charges[line.charge.id]
            self.move(made.site, "DISCOUNTS", RECEIVABLE, line.discount)
            self.move(made.site, RECEIVABLE, "TAX_PAYABLE", line.tax)
            self.move(made.site, line.charge.earned, "TAX_PAYABLE", line.inside)
        self.items[id] = made
        money = [each for each in self.items.values() if each.kind != INVOICE and each.site == made.site]
        mine = [each for each in money if self.whole(each.patient) == made.patient]
        for each in sorted(mine, key=lambda each: not each.course):
            if each.course in ("", course):
                self.apply(each, made, min(each.left, made.left))
        return made

    # What is paid.

    def pay(self, payment: Item, first: str = "") -> Item:
        self.items[payment.id] = payment
        self.move(payment.site, RECEIVED_ON[payment.tender], DEPOSITS, payment.whole)
        self.spread(payment, first)
        return payment

    def spread(self, payment: Item, first: str = "") -> None:
        for invoice in sorted(self.of(INVOICE, payment.site, payment.patient), key=lambda each: each.id != first):
            if payment.course in ("", invoice.course):
                self.apply(payment, invoice, min(payment.left, invoice.left))

    def apply(self, item: Item, invoice: Item, amount: int) -> None:
        if amount:
            item.left -= amount
            invoice.left -= amount
            self.applied.append(Application(item, invoice, amount))
            self.move(item.site, CREDIT if item.kind == GIVEN else DEPOSITS, RECEIVABLE, amount)

    def take_off(self, applied: Iterable[Application], most: int) -> list[tuple[Item, int]]:
        """The newest first."""
        found = list[tuple[Item, int]]()
        for each in reversed(list(applied)):
            if part := min(most, each.amount):
                most -= part
                each.amount -= part
                each.item.left += part
                each.invoice.left += part
                self.move(each.item.site, RECEIVABLE, CREDIT if each.item.kind == GIVEN else DEPOSITS, part)
                found.append((each.item, part))
        return found

    def paid_by(self, payment: Item) -> list[Application]:
        return [each for each in self.applied if each.item is payment and each.amount]

    def standing(self, payment: Item) -> int:
        """What of a payment can still be taken back: not what a credit note made credit of its own."""
        return payment.left + payment.credit + sum(each.amount for each in self.paid_by(payment))

    def to_credit(self, payment: Item, amount: int) -> None:
        """Below zero: back."""
        payment.left -= amount
        payment.credit += amount
        self.move(payment.site, DEPOSITS, CREDIT, amount)

    def go(self, payment: Item, amount: int, to: str) -> None:
        """Of what is left."""
        payment.left -= amount
        payment.gone += amount
        self.move(payment.site, DEPOSITS, to, amount)

    def reverse(self, payment: Item) -> None:
        self.take_off(self.paid_by(payment), payment.whole)
        self.to_credit(payment, -payment.credit)
        self.go(payment, payment.whole, RECEIVED_ON[payment.tender])

    def refund(self, payment: Item, amount: int) -> int:
        """What of it was credit."""
        credit = max(0, amount - payment.left)
        self.to_credit(payment, -credit)
        self.go(payment, amount, PAID_FROM[payment.tender])
        return credit

    def refund_failed(self, payment: Item, amount: int, credit: int) -> None:
        self.go(payment, -amount, PAID_FROM[payment.tender])
        self.to_credit(payment, credit)

    def owe_again(self, payment: Item, amount: int) -> None:
        """Of a dispute that was lost: what is gone already is written off."""
        missing = max(amount - payment.left, 0)
        self.to_credit(payment, -min(missing, payment.credit))
        self.take_off(self.paid_by(payment), max(amount - payment.left, 0))
        lost = min(amount, payment.left)
        self.go(payment, lost, "DISPUTED_RECEIVABLE")
        self.move(payment.site, "WRITE_OFFS", "DISPUTED_RECEIVABLE", amount - lost)

    # What is taken back.

    def credit(
        self, id: str, invoice: Item, asked: Sequence[tuple[Line, int]], *, keeps: bool, again: bool = False
    ) -> tuple[int, int]:
        """Its total, and what of it had been paid. `keeps`: as credit of the patient. `again`: no fee ends by it."""
        total = 0
        for line, amount in asked:
            shares = net, discount, tax, inside = line.share(amount)
            line.credited = [before + share for before, share in zip(line.credited, shares, strict=True)]
            total += net + tax
            self.move(invoice.site, line.charge.earned, RECEIVABLE, net + discount)
            self.move(invoice.site, RECEIVABLE, "DISCOUNTS", discount)
            self.move(invoice.site, "TAX_PAYABLE", RECEIVABLE, tax)
            self.move(invoice.site, "TAX_PAYABLE", line.charge.earned, inside)
        for line, _ in asked:
            if line.credited[0] == line.net and not again:
                self.fee_ended(line.charge)
        returned = total - min(total, invoice.left)
        taken = self.take_off([each for each in self.applied if each.invoice is invoice], returned)
        invoice.left -= total
        kept = [(item, part) for item, part in taken if keeps and item.kind == PAYMENT]
        for item, part in kept:
            item.left -= part
        self.give(id, invoice.site, invoice.patient, DEPOSITS, sum(part for _, part in kept))
        return total, returned

    def charge_again(self, invoice: Item, wanted: dict[str, str]) -> dict[str, int]:
        """What waits in place of the charges of a void invoice, under which ids, and how much of each. What a discount
        took altogether is taken back as well; a fee keeps what it took of the deposit."""
        found = dict[str, int]()
        for line in invoice.lines:
            old, gross = line.charge, line.to_charge_again
            if not line.net:
                self.move(invoice.site, old.earned, RECEIVABLE, line.discount)
                self.move(invoice.site, RECEIVABLE, "DISCOUNTS", line.discount)
            if gross:
                made = replace(old, id=wanted[old.id], patient=invoice.patient, amount=gross)
                old.of_deposit = []
                self.charge(made)
                found[old.id] = gross
        return found

    def give(self, id: str, site: str, patient: str, debit: str, amount: int) -> None:
        if amount:
            self.items[id] = Item(GIVEN, id, site, self.whole(patient), "", amount, amount)
            self.move(site, debit, CREDIT, amount)
