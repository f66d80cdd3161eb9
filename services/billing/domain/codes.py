"""Codes: what a payer calls a service or a diagnosis. Effective-dated tables that a chain loads; which codes apply
depends on the day of service."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol, TypeVar
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from services.billing.domain.prices import VisitKind

LIFETIMES: Mapping[str, tuple[date, date]] = {
    "S0013": (date.min, date(2025, 12, 31)),
    "J0013": (date(2026, 1, 1), date.max),
}
"""First and last day of codes that one replaced by the other: CMS, HCPCS Level II of January 2026."""


class CodeNotValid(DomainError):
    kind, reason, message = Kind.INVALID, "CODE_NOT_VALID", "a code is not valid on the day of service"


class CodesOverlap(DomainError):
    kind, reason, message = Kind.INVALID, "CODES_OVERLAP", "a code is valid twice on a day for the same visits"


class ServiceCodeNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "SERVICE_CODE_NOT_FOUND", "no such service code"


class CodeDatesReversed(DomainError):
    kind, reason, message = Kind.INVALID, "CODE_DATES_REVERSED", "the last day of a code is before its first"


@dataclass(frozen=True, slots=True)
class ServiceCode:
    """CPT or HCPCS. Its descriptor is not ours to ship."""

    code: str
    units: int
    modifiers: tuple[str, ...] = ()


class Dated(Protocol):
    """A row of a code set."""

    @property
    def subject(self) -> tuple[str, ...]:
        """What is valid once on a day."""

    @property
    def effective_date(self) -> date: ...

    @property
    def end_date(self) -> date | None: ...


Row = TypeVar("Row", bound=Dated)


@dataclass(frozen=True, slots=True)
class ServiceCodeRow:
    """A code that visits of a kind are billed with, while it is valid. An empty route or band stands for any."""

    id: UUID
    kind: VisitKind
    code: ServiceCode
    effective_date: date
    end_date: date | None  # The last day; None: until further notice.
    version: int = 1

    @property
    def subject(self) -> tuple[str, ...]:
        return self.kind.visit_type_code, self.kind.route_code, self.kind.band_code, self.code.code

    @property
    def values(self) -> tuple[ServiceCode, date | None]:
        """What a load may change."""
        return self.code, self.end_date

    def is_valid(self, day: date) -> bool:
        return self.effective_date <= day and (self.end_date is None or day <= self.end_date)


@dataclass(frozen=True, slots=True)
class DiagnosisCode:
    """ICD-10-CM, with its dot, while it is valid."""

    code: str
    effective_date: date
    end_date: date | None

    @property
    def subject(self) -> tuple[str, ...]:
        return (self.code,)

    @property
    def values(self) -> date | None:
        """What a load may change."""
        return self.end_date


def codes_on(rows: Sequence[ServiceCodeRow], kind: VisitKind, day: date) -> tuple[ServiceCode, ...]:
    """What visits of a kind are billed with on a day of service, in the order of the code."""
    found = [row for row in rows if row.is_valid(day) and row.kind.covers(kind)]
    return tuple(row.code for row in sorted(found, key=lambda row: (row.code.code, row.id)))


def with_dot(code: str) -> str:
    """`F332` is F33.2."""
    bare = code.replace(".", "")
    return f"{bare[:3]}.{bare[3:]}" if len(bare) > 3 else bare


def place(row: Dated) -> tuple[tuple[str, ...], date]:
    """By which a row is told again when it is loaded again."""
    return row.subject, row.effective_date


def refuse_overlaps(new: Sequence[Dated], known: Sequence[Dated], path: str) -> None:
    """Names every row of `new`, by `path` and its number, that is valid on a day on which another of its subject is, of
    `new` or of those `known` that `new` does not replace."""
    replaced = {place(row) for row in new}
    rows = [(row, -1) for row in known if place(row) not in replaced]
    rows += [(row, number) for number, row in enumerate(new)]
    if at_fault := sorted(set(_overlapping(rows))):
        text = "is valid on a day on which the same code is"
        raise CodesOverlap(*(Violation(path.format(n), "CODES_OVERLAP", text) for n in at_fault))


def refuse_outlived(rows: Sequence[ServiceCodeRow], path: str) -> None:
    """Names every row that would have a code before it came or after it went, with the first such day."""
    faults = [
        Violation(path.format(n), "CODE_NOT_VALID", f"{row.code.code} is not valid on {day}")
        for n, row in enumerate(rows)
        if (day := _outlived(row))
    ]
    if faults:
        raise CodeNotValid(*faults)


def refuse_reversed(row: ServiceCodeRow) -> None:
    if row.end_date is not None and row.end_date < row.effective_date:
        text = f"is before {row.effective_date}"
        raise CodeDatesReversed(Violation("end_date", "CODE_DATES_REVERSED", text))


def refuse_invalid(fields: Mapping[str, str], valid: frozenset[str], day: date) -> None:
    """`fields` holds codes by where they stand."""
    faults = [
        Violation(field, "CODE_NOT_VALID", f"{code} is not valid on {day}")
        for field, code in fields.items()
        if code not in valid
    ]
    if faults:
        raise CodeNotValid(*faults, day=day)


def _outlived(row: ServiceCodeRow) -> date | None:
    first, last = LIFETIMES.get(row.code.code, (date.min, date.max))
    if row.effective_date < first:
        return row.effective_date
    return max(last + timedelta(days=1), row.effective_date) if (row.end_date or date.max) > last else None


def _overlapping(rows: Sequence[tuple[Dated, int]]) -> Iterator[int]:
    """The numbers of new ones, which have one, of each pair that overlaps; of two new ones the later."""
    by_subject = defaultdict[tuple[str, ...], list[tuple[Dated, int]]](list)
    for row, number in rows:
        by_subject[row.subject].append((row, number))
    for alike in by_subject.values():
        alike.sort(key=lambda each: (each[0].effective_date, each[1]))
        longest, holder = date.min, -1
        for row, number in alike:
            if row.effective_date <= longest:
                yield number if number >= 0 else holder
            if (row.end_date or date.max) > longest:
                longest, holder = row.end_date or date.max, number
