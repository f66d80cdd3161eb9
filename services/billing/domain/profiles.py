"""Who bills: what a legal entity and a site say of themselves on documents, and on which days they do business."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from services.billing.domain.business_days import BusinessCalendar, federal_days_off

NEVER_ASSIGNED = frozenset(
    ["00", "07", "08", "09", "17", "18", "19", "28", "29", "49", "69", "70", "78", "79", "89", "96", "97"]
)
"""First two digits that no employer identification number has, as the IRS lists those in use."""
NPI_PREFIX = "80840"
"""Health industry, United States: stands before the ten digits when the check digit is reckoned (45 CFR 162.406)."""


class TaxIdInvalid(DomainError):
    kind, reason, message = Kind.INVALID, "TAX_ID_INVALID", "the IRS gives no tax id with that prefix"


class NpiInvalid(DomainError):
    kind, reason, message = Kind.INVALID, "NPI_INVALID", "not ten digits with a valid check digit"


class InvoicePrefixTaken(DomainError):
    kind, reason = Kind.CONFLICT, "INVOICE_PREFIX_TAKEN"
    message = "another legal entity of the chain has the invoice prefix"


class BusinessDaysContradict(DomainError):
    kind, reason = Kind.INVALID, "BUSINESS_DAYS_CONTRADICT"
    message = "a day is closed and open, or is open and no federal holiday from Monday to Friday"


@dataclass(frozen=True, slots=True)
class LegalEntityBilling:
    legal_entity_id: UUID
    legal_name: str = ""  # '': the name that it is known by.
    tax_id: str = ""
    npi: str = ""
    address: Mapping[str, Any] = field(default_factory=dict)  # As the fields of google.type.PostalAddress.
    invoice_prefix: str = ""
    payment_terms_days: int = 0
    statement_text: str = ""
    version: int = 0  # 0: nothing was said yet.

    def check(self, path: str) -> None:
        """`path` stands before the name of a field at fault."""
        if self.tax_id[:2] in NEVER_ASSIGNED:
            raise TaxIdInvalid(Violation(f"{path}tax_id", "TAX_ID_INVALID", TaxIdInvalid.message))
        check_npi(self.npi, f"{path}npi")


@dataclass(frozen=True, slots=True)
class SiteBilling:
    site_id: UUID
    npi: str = ""  # '': that of its legal entity.
    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)
    version: int = 0  # 0: nothing was said yet.

    def check(self, path: str) -> None:
        """`path` stands before the name of a field at fault."""
        check_npi(self.npi, f"{path}npi")
        closed, opened = self.calendar.closed, self.calendar.open
        faults = [
            Violation(f"{path}open_dates", "BUSINESS_DAYS_CONTRADICT", f"{day} {why}")
            for day in sorted(opened)
            if (why := _why_not_open(day in closed, day in federal_days_off(day.year)))
        ]
        if faults:
            raise BusinessDaysContradict(*faults)


def lines_of_address(address: Mapping[str, Any]) -> tuple[str, ...]:
    """As an envelope has them. `address` is as the fields of google.type.PostalAddress."""
    place = f"{address.get('administrative_area', '')} {address.get('postal_code', '')}".strip()
    last = ", ".join(filter(None, (address.get("locality", ""), place)))
    return tuple(filter(None, (*address.get("address_lines", ()), last)))


def check_npi(npi: str, field: str) -> None:
    """An empty one is none. The others are ten digits by now."""
    if npi and not _passes_luhn(NPI_PREFIX + npi):
        raise NpiInvalid(Violation(field, "NPI_INVALID", NpiInvalid.message))


def _passes_luhn(text: str) -> bool:
    """ISO/IEC 7812-1: every second digit from the right is doubled, and its digits are added."""
    digits = [int(digit) for digit in reversed(text)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _why_not_open(is_closed: bool, is_holiday: bool) -> str:
    if is_closed:
        return "is closed, too"
    return "" if is_holiday else "is no federal holiday from Monday to Friday"
