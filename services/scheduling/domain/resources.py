"""Rooms, staff and equipment: what they can do, when they are there, how many they serve at once."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from services.scheduling.domain.hours import Hours, Off, Shift, check_shifts

NPI_PREFIX = "80840"
"""Health industry, United States: stands before the ten digits when the check digit is reckoned (45 CFR 162.406)."""


class ResourceNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "RESOURCE_NOT_FOUND", "the site has no such resource"


class NpiInvalid(DomainError):
    kind, reason, message = Kind.INVALID, "NPI_INVALID", "not ten digits with a valid check digit"


class CredentialNotOfStaff(DomainError):
    kind, reason, message = Kind.INVALID, "CREDENTIAL_NOT_OF_STAFF", "only staff have a credential and an NPI"


class ResourceKind(StrEnum):
    ROOM = "RESOURCE_KIND_ROOM"
    STAFF = "RESOURCE_KIND_STAFF"
    EQUIPMENT = "RESOURCE_KIND_EQUIPMENT"


@dataclass(frozen=True, slots=True)
class Resource:
    id: UUID
    site_id: UUID
    kind: ResourceKind
    display_name: str
    capabilities: frozenset[str]
    lane_count: int
    working_hours: tuple[Shift, ...] = ()
    time_off: tuple[Off, ...] = ()
    credential: str = ""
    npi: str = ""

    def hours(self, site: Hours) -> Hours:
        """Its own, or the site's with its closed days when it has none; less its time off."""
        if self.working_hours:
            return Hours(site.zone, self.working_hours, self.time_off)
        return Hours(site.zone, site.shifts, site.off + self.time_off) if self.time_off else site

    def check(self) -> None:
        if self.kind is not ResourceKind.STAFF and (self.credential or self.npi):
            field = "credential" if self.credential else "npi"
            raise CredentialNotOfStaff(Violation(field, "NOT_OF_STAFF", CredentialNotOfStaff.message))
        if self.npi and not is_npi(self.npi):
            raise NpiInvalid(Violation("npi", "NPI_INVALID", NpiInvalid.message))
        check_shifts(self.working_hours, "working_hours")


def is_npi(text: str) -> bool:
    """Ten digits whose last makes the Luhn sum of prefix and digits a multiple of ten."""
    if not (len(text) == 10 and text.isascii() and text.isdigit()):
        return False
    digits = [int(digit) for digit in reversed(NPI_PREFIX + text)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
