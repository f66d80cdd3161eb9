"""Rooms, staff and equipment: what they can do, when they are there, how many they serve at once."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from math import gcd
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from services.scheduling.domain.hours import (
    DAY_MINUTES,
    WEEK_MINUTES,
    Days,
    Hours,
    HoursInvalid,
    Off,
    Rotation,
    Shift,
    check_shifts,
    week_of,
)
from services.scheduling.domain.sites import STATES

NO_SITE = UUID(int=0)
THE_END = date(9000, 1, 1)
"""Of what has none."""
NPI_PREFIX = "80840"
"""Health industry, United States: stands before the ten digits when the check digit is reckoned (45 CFR 162.406)."""


class ResourceNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "RESOURCE_NOT_FOUND", "the site has no such resource"


class NpiInvalid(DomainError):
    kind, reason, message = Kind.INVALID, "NPI_INVALID", "not ten digits with a valid check digit"


class CredentialNotOfStaff(DomainError):
    kind, reason, message = Kind.INVALID, "CREDENTIAL_NOT_OF_STAFF", "only staff have credentials, an NPI and roles"


class RoomCannotMove(DomainError):
    kind, reason, message = Kind.INVALID, "ROOM_CANNOT_MOVE", "a room has no shift at another site"


class CredentialsInvalid(DomainError):
    kind, reason = Kind.INVALID, "CREDENTIALS_INVALID"
    message = "a credential is of no US state, ends before it begins, or stands there twice"


class LanesAllocated(DomainError):
    kind, reason, message = Kind.CONFLICT, "LANES_ALLOCATED", "a lane that would go is taken by a visit to come"


class ResourceKind(StrEnum):
    ROOM = "RESOURCE_KIND_ROOM"
    STAFF = "RESOURCE_KIND_STAFF"
    EQUIPMENT = "RESOURCE_KIND_EQUIPMENT"


@dataclass(frozen=True, slots=True)
class Credential:
    code: str
    licence_number: str = ""
    states: frozenset[str] = frozenset()
    """Empty: all."""
    effective: date = date.min
    expire: date = date.max
    """The last day."""

    def is_valid(self, state: str, day: date) -> bool:
        return (not self.states or state in self.states) and self.effective <= day <= self.expire


@dataclass(frozen=True, slots=True)
class WorkingShift:
    site_id: UUID
    rotation: Rotation


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
    credentials: tuple[Credential, ...] = ()
    roles: frozenset[str] = frozenset()
    shifts: tuple[WorkingShift, ...] = ()
    retire_date: date | None = None
    """From this day on it is not booked any more."""
    version: int = 1

    @property
    def site_ids(self) -> frozenset[UUID]:
        """Where it may be found."""
        return frozenset({self.site_id, *(shift.site_id for shift in self.shifts)})

    def hours(self, site: Hours) -> Hours:
        """At this site: its own, or those of the home site, with its closed days, when it has none; less its time off.

        Hours that name no site are the home site's.
        """
        off = (*self.time_off, *([Days(self.retire_date, THE_END)] if self.retire_date else []))
        at_home = site.site_id in (None, self.site_id)
        if at_home and not (self.working_hours or self.shifts):
            return replace(site, off=site.off + off) if off else site
        there = tuple(each.rotation for each in self.shifts if each.site_id == (site.site_id or self.site_id))
        return Hours(site.zone, self.working_hours if at_home else (), off, there)

    def has_credential(self, codes: Collection[str], state: str, day: date) -> bool:
        """One of `codes`, valid there and then; or there are none to have."""
        return not codes or any(each.code in codes and each.is_valid(state, day) for each in self.credentials)

    def check(self, path: str = "") -> None:
        """Refuses the first rule that is broken, with the field, which stands in the request behind `path`."""
        if self.kind is not ResourceKind.STAFF:
            for field in ("credential", "npi", "credentials", "roles"):
                if getattr(self, field):
                    raise CredentialNotOfStaff(
                        Violation(f"{path}{field}", "NOT_OF_STAFF", CredentialNotOfStaff.message)
                    )
        if self.npi and not is_npi(self.npi):
            raise NpiInvalid(Violation(f"{path}npi", "NPI_INVALID", NpiInvalid.message))
        if faults := list(_credential_faults(self.credentials, f"{path}credentials")):
            raise CredentialsInvalid(*faults)
        check_shifts(self.working_hours, f"{path}working_hours")
        self._check_rotations(f"{path}shifts")

    def _check_rotations(self, path: str) -> None:
        for n, each in enumerate(self.shifts):
            if self.kind is ResourceKind.ROOM and each.site_id != self.site_id:
                raise RoomCannotMove(Violation(f"{path}[{n}].site_id", "ROOM_CANNOT_MOVE", RoomCannotMove.message))
            if each.rotation.last < each.rotation.first:
                text = "is before first_date"
                raise HoursInvalid(Violation(f"{path}[{n}].last_date", "BEFORE_START", text))
        if faults := list(_overlaps(self, path)):
            raise HoursInvalid(*faults)


def _credential_faults(credentials: Sequence[Credential], path: str) -> Iterator[Violation]:
    for n, each in enumerate(credentials):
        if not each.states <= STATES:
            yield Violation(f"{path}[{n}].states", "STATE_UNKNOWN", "names what is no US state or territory")
        if each.expire < each.effective:
            yield Violation(f"{path}[{n}].expire_date", "BEFORE_START", "is before effective_date")
        if each in credentials[:n]:
            yield Violation(f"{path}[{n}]", "REPEATED", "stands above already")


def _overlaps(resource: Resource, path: str) -> Iterator[Violation]:
    """Nobody works at two sites at once: shifts of weeks that can meet do not overlap, by the wall clock of each.

    Two shifts meet in some week if the difference of their anchors' weeks is a multiple of what both rhythms share.
    """
    weekly = [WorkingShift(resource.site_id, Rotation(shift)) for shift in resource.working_hours]
    for n, each in enumerate(resource.shifts):
        if any(_overlap(each.rotation, other.rotation) for other in (*weekly, *resource.shifts[:n])):
            yield Violation(f"{path}[{n}]", "OVERLAP", "overlaps working_hours, or a shift above it")


def _overlap(one: Rotation, other: Rotation) -> bool:
    if max(one.first, other.first) > min(one.last, other.last):
        return False
    shared = gcd(one.every_weeks, other.every_weeks)
    apart = week_of(one.anchor) - week_of(other.anchor)
    for weeks in (-1, 0, 1):  # Sunday night runs into the next week.
        offset = weeks * WEEK_MINUTES
        meet = (apart + weeks) % shared == 0
        start, end = (one.shift.weekday * DAY_MINUTES + minute for minute in (one.shift.start, one.shift.end))
        begin, stop = (
            other.shift.weekday * DAY_MINUTES + minute + offset for minute in (other.shift.start, other.shift.end)
        )
        if meet and start < stop and begin < end:
            return True
    return False


def leaving(resources: Iterable[Resource]) -> frozenset[UUID]:
    """Those that are to go, or are gone, for good: where all visits of a course must have the same, they bind none."""
    return frozenset(each.id for each in resources if each.retire_date)


def at_home(shifts: Sequence[WorkingShift], home_id: UUID) -> tuple[WorkingShift, ...]:
    """Those that name no site are at the home site."""
    return tuple(replace(each, site_id=home_id) if each.site_id == NO_SITE else each for each in shifts)


def is_npi(text: str) -> bool:
    """Ten digits whose last makes the Luhn sum of prefix and digits a multiple of ten."""
    if not (len(text) == 10 and text.isascii() and text.isdigit()):
        return False
    digits = [int(digit) for digit in reversed(NPI_PREFIX + text)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
