"""Taxes of a site: which charges they fall on, and what an invoice's come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import lcm
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.money import Money
from services.billing.domain.accounts import FEES, ChargeKind

PPM = 1_000_000
"""Rates are in millionths: 76,250 is 7.625 %."""


class TaxRuleNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "TAX_RULE_NOT_FOUND", "no such tax rule"


class TaxRuleDates(DomainError):
    kind, reason = Kind.CONFLICT, "TAX_RULE_DATES"
    message = "the dates leave the tax rule no day, or one that another rule of its name has"


@dataclass(frozen=True, slots=True)
class TaxRule:
    id: UUID
    site_id: UUID
    name: str
    rate_ppm: int
    charge_kinds: frozenset[ChargeKind]
    product_codes: frozenset[str]
    """Of products: only those. Empty: all."""
    included: bool
    """Prices include it: it is shown, and not added."""
    effective_date: date  # In the site's zone, as the end.
    end_date: date | None = None  # The last day.
    version: int = 1

    def covers(self, line: "Taxable") -> bool:
        in_force = self.effective_date <= line.day and (self.end_date is None or line.day <= self.end_date)
        named = line.kind is not ChargeKind.PRODUCT or not self.product_codes or line.item_code in self.product_codes
        return in_force and named and line.kind in self.charge_kinds

    def is_inside(self, line: "Taxable") -> bool:
        """Of one that it covers: whether it is a part of its amount. That of a fee is what the patient was told before
        they booked, whatever it is paid by: every tax is inside."""
        return self.included or line.kind in FEES


@dataclass(frozen=True, slots=True)
class Taxable:
    kind: ChargeKind
    item_code: str
    day: date  # Of service.
    amount: Money  # After discount.


@dataclass(frozen=True, slots=True)
class Tax:
    """What one rule comes to, over what it is added to or what includes it."""

    rule: TaxRule
    included: bool
    base: Money
    """Of what it covers, as priced."""
    amount: Money
    shares: tuple[Money, ...]
    """Of `amount`, by line."""


def check_dates(new: TaxRule, before: Sequence[TaxRule]) -> None:
    """`before`: the rules of the same name. A rule begins after all of them, and may end no earlier than it begins."""
    if begun := [rule.effective_date for rule in before if new.effective_date <= rule.effective_date]:
        text = f"is not after {max(begun)}, when another of its name begins"
        raise TaxRuleDates(Violation("effective_date", "TAX_RULE_DATES", text))


def check_end(rule: TaxRule, end: date) -> None:
    """An end may come earlier, never later: the days after it may be another rule's."""
    if end < rule.effective_date or (rule.end_date is not None and end > rule.end_date):
        last = f", or after {rule.end_date}, its end" if rule.end_date else ""
        text = f"is before {rule.effective_date}, when it begins{last}"
        raise TaxRuleDates(Violation("end_date", "TAX_RULE_DATES", text))


def taxes(rules: Sequence[TaxRule], lines: Sequence[Taxable]) -> list[Tax]:
    """Of each rule that covers a line, what it adds and what is inside. The invoice's amount of either is rounded once,
    half up, and then parted among the lines, so that parts always add up. A price that includes taxes is parted into
    them and what others are reckoned from."""
    return [
        _tax(rule, lines, falls, rules, included=included)
        for rule in rules
        for included in (False, True)
        if any(falls := [rule.covers(line) and rule.is_inside(line) is included for line in lines])
    ]


def inside(rules: Sequence[TaxRule], lines: Sequence[Taxable]) -> list[Money]:
    """Of each line, all taxes that are a part of its amount."""
    shares = [tax.shares for tax in taxes(rules, lines) if tax.included]
    nothing = [Money(0, line.amount.currency) for line in lines]
    return [sum(of_line[1:], of_line[0]) for of_line in zip(nothing, *shares, strict=True)]


def half_up(exact: Fraction) -> int:
    """Of what is not below zero."""
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def part_of(whole_minor: int, part: Money, of: Money) -> Money:
    """Of a tax of `of` that of a part of it, as credit notes take it back: all of it of the whole."""
    return Money(half_up(Fraction(whole_minor * part.minor, of.minor)), of.currency)


def _tax(
    rule: TaxRule, lines: Sequence[Taxable], falls: Sequence[bool], rules: Sequence[TaxRule], *, included: bool
) -> Tax:
    """`falls`: on which lines."""
    exact = [_exact(rule, line, rules) if on_it else Fraction() for line, on_it in zip(lines, falls, strict=True)]
    currency = lines[0].amount.currency
    covered = sum(line.amount.minor for line, on_it in zip(lines, falls, strict=True) if on_it)
    amount = Money(half_up(sum(exact, Fraction())), currency)
    return Tax(rule, included, Money(covered, currency), amount, _parted(amount, exact))


def _exact(rule: TaxRule, line: Taxable, rules: Sequence[TaxRule]) -> Fraction:
    """Of a line that the rule covers."""
    included_ppm = sum(each.rate_ppm for each in rules if each.is_inside(line) and each.covers(line))
    return Fraction(line.amount.minor * rule.rate_ppm, PPM + included_ppm)


def _parted(amount: Money, exact: Sequence[Fraction]) -> tuple[Money, ...]:
    if not any(exact):
        return tuple(Money(0, amount.currency) for _ in exact)
    whole = lcm(*(each.denominator for each in exact))
    return tuple(amount.split([int(each * whole) for each in exact]))
