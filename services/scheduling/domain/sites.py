"""Chains, the companies that bill for their sites, and the sites."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import phonenumbers

from chassis.errors import DomainError, Kind, Violation
from services.scheduling.domain.holidays import Holiday
from services.scheduling.domain.hours import DAY, DAY_MINUTES, DateHours, Days, Hours, Shift, check_shifts

_STATES = (
    "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR "
    "PA RI SC SD TN TX UT VT VA WA WV WI WY AS GU MP PR VI"
)
STATES = frozenset(_STATES.split())
HEALTH_STEMS = re.compile(
    "addict|anxiety|clinic|depress|doctor|health|hospital|infusion|ketamin|medic|neuro|psych|rehab|spravato|therap|trauma"
)
"""Betray a clinic wherever they stand in a name."""
_WORDS = "brain drug drugs mental mood pain patient patients ptsd tms treatment treatments wellness"
HEALTH_WORDS = frozenset(_WORDS.split())
"""Betray a clinic as words of their own; "Painted Hills" is a fine name."""


class ChainExists(DomainError):
    kind, reason, message = Kind.CONFLICT, "CHAIN_EXISTS", "the chain is registered already"


class ChainNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "CHAIN_NOT_FOUND", "the chain is not registered"


class LegalEntityNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "LEGAL_ENTITY_NOT_FOUND", "no such legal entity"


class SiteNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "SITE_NOT_FOUND", "no such site"


class SiteCodeTaken(DomainError):
    kind, reason, message = Kind.CONFLICT, "SITE_CODE_TAKEN", "another site of the chain has this code"


class DiscreetNameRefused(DomainError):
    kind, reason, message = Kind.INVALID, "DISCREET_NAME_REFUSED", "the discreet name holds a health word"


class TimeZoneUnknown(DomainError):
    kind, reason, message = Kind.INVALID, "TIME_ZONE_UNKNOWN", "no such time zone"


class StateUnknown(DomainError):
    kind, reason, message = Kind.INVALID, "STATE_UNKNOWN", "not a US state or territory, or not that of the address"


class ExceptionsOverlap(DomainError):
    kind, reason = Kind.INVALID, "EXCEPTIONS_OVERLAP"
    message = "a day has two exceptions, or stretches that overlap, or is a closed date as well"


class PhoneInvalid(DomainError):
    kind, reason, message = Kind.INVALID, "PHONE_INVALID", "not a possible number in E.164"


@dataclass(frozen=True, slots=True)
class Chain:
    id: UUID
    display_name: str


@dataclass(frozen=True, slots=True)
class LegalEntity:
    id: UUID
    display_name: str
    version: int = 1


@dataclass(frozen=True, slots=True)
class Site:
    id: UUID
    legal_entity_id: UUID
    code: str
    display_name: str
    discreet_name: str
    address: Mapping[str, Any]
    """google.type.PostalAddress by its field names."""
    state: str
    time_zone: str
    phone: str
    opening_hours: tuple[Shift, ...]
    closed_dates: tuple[date, ...]
    exceptions: tuple[DateHours, ...] = ()
    observed_holidays: frozenset[Holiday] = frozenset()
    version: int = 1

    @property
    def hours(self) -> Hours:
        closed = (*self.closed_dates, *(each.day for each in self.exceptions if not each.stretches))
        return Hours(
            ZoneInfo(self.time_zone),
            self.opening_hours,
            tuple(Days(day, day) for day in closed),
            dated=self.exceptions,
            holidays=self.observed_holidays,
            site_id=self.id,
            state=self.state,
        )

    @property
    def address_line(self) -> str:
        """As on an envelope."""
        area = " ".join(filter(None, (self.state, self.address.get("postal_code"))))
        return ", ".join(filter(None, (*self.address.get("address_lines", ()), self.address.get("locality"), area)))

    def check(self, path: str = "") -> None:
        """Refuses the first rule that is broken, with the field, which stands in the request behind `path`."""
        if self.time_zone not in _time_zones():
            raise TimeZoneUnknown(Violation(f"{path}time_zone", "TIME_ZONE_UNKNOWN", "is not an IANA time zone"))
        if self.state not in STATES or self.address.get("administrative_area", self.state) != self.state:
            raise StateUnknown(Violation(f"{path}state", "STATE_UNKNOWN", StateUnknown.message))
        if not _is_possible(self.phone):
            raise PhoneInvalid(Violation(f"{path}phone", "PHONE_INVALID", PhoneInvalid.message))
        if betrays_health(self.discreet_name):
            raise DiscreetNameRefused(Violation(f"{path}discreet_name", "HEALTH_WORD", DiscreetNameRefused.message))
        check_shifts(self.opening_hours, f"{path}opening_hours")
        if faults := list(_exception_faults(self, f"{path}exceptions")):
            raise ExceptionsOverlap(*faults)


def _exception_faults(site: Site, path: str) -> Iterator[Violation]:
    days, closed = dict[date, DateHours](), set(site.closed_dates)
    for n, each in enumerate(site.exceptions):
        if each.day in days:
            yield Violation(f"{path}[{n}].date", "DAY_TWICE", "has an exception above already")
        elif each.day in closed:
            yield Violation(f"{path}[{n}].date", "CLOSED_DATE", "is a closed date")
        days.setdefault(each.day, each)
    for n, each in enumerate(site.exceptions):
        order = sorted(each.stretches)
        following = days.get(each.day + DAY)
        until_next = min((DAY_MINUTES + start for start, _ in following.stretches), default=None) if following else None
        ends = [start for start, _ in order[1:]] + ([until_next] if until_next is not None else [])
        if any(end > start for (_, end), start in zip(order, ends, strict=False)):
            yield Violation(f"{path}[{n}].stretches", "OVERLAP", "overlap each other, or the next day's")


def betrays_health(name: str) -> bool:
    """Whether somebody who reads over a shoulder could guess what is done there."""
    lowered = name.casefold()
    return bool(HEALTH_STEMS.search(lowered)) or not HEALTH_WORDS.isdisjoint(re.findall(r"\w+", lowered))


def _is_possible(phone: str) -> bool:
    try:
        number = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        return False
    in_e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) == phone
    return in_e164 and phonenumbers.is_possible_number(number)


@cache
def _time_zones() -> set[str]:
    """Names of the form Area/Location: others are what a machine calls its own, or old."""
    return {name for name in available_timezones() if "/" in name}
