"""What amounts callers may name."""

from chassis.errors import DomainError, Kind, Violation
from chassis.money import Money

AMOUNT_MAX_MINOR = 100_000_000
"""A million dollars: more is a slip of the keys."""


class AmountOutOfRange(DomainError):
    kind, reason = Kind.INVALID, "AMOUNT_OUT_OF_RANGE"
    message = "an amount is negative, larger than any that is meant, or zero where there must be one"


class CurrencyMismatch(DomainError):
    kind, reason = Kind.INVALID, "CURRENCY_MISMATCH"
    message = "an amount is in another currency than what it belongs to"


def out_of_range(amount: Money, field: str, *, least: int = 0) -> list[Violation]:
    if least <= amount.minor <= AMOUNT_MAX_MINOR:
        return []
    return [Violation(field, "AMOUNT_OUT_OF_RANGE", f"is not between {least} and {AMOUNT_MAX_MINOR} minor units")]


def of_another_currency(amount: Money, currency: str, field: str) -> list[Violation]:
    return [] if amount.currency == currency else [Violation(field, "CURRENCY_MISMATCH", f"is not in {currency}")]
