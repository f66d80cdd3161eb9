"""Good Faith Estimates: what visits will cost, and until when the law (45 CFR 149.610) wants the patient to know."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import IntEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind, Violation
from chassis.money import Money
from services.billing.domain.business_days import BusinessCalendar, end_of
from services.billing.domain.prices import PriceBook, PriceMissing, Run, VisitKind, runs


class EstimateNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "ESTIMATE_NOT_FOUND", "no such estimate"


class VisitInPast(DomainError):
    kind, reason, message = Kind.INVALID, "VISIT_IN_PAST", "a visit starts before now"


class Trigger(IntEnum):
    """What made an estimate due; numbered as in the proto."""

    REQUEST = 1
    BOOKED_10_DAYS_AHEAD = 2
    BOOKED_3_DAYS_AHEAD = 3
    SHORT_NOTICE = 4


DUE_WITHIN_BUSINESS_DAYS = {Trigger.REQUEST: 3, Trigger.BOOKED_10_DAYS_AHEAD: 3, Trigger.BOOKED_3_DAYS_AHEAD: 1}


def trigger_of_booking(booked_day: date, service_day: date, calendar: BusinessCalendar) -> Trigger:
    """By business days between the two, counted back from the day of service."""
    if booked_day <= calendar.before(service_day, 10):
        return Trigger.BOOKED_10_DAYS_AHEAD
    if booked_day <= calendar.before(service_day, 3):
        return Trigger.BOOKED_3_DAYS_AHEAD
    return Trigger.SHORT_NOTICE


def due(trigger: Trigger, day: date, zone: ZoneInfo, calendar: BusinessCalendar) -> datetime | None:
    """The end of the last business day on which the estimate may reach the patient, after a trigger on `day`."""
    count = DUE_WITHIN_BUSINESS_DAYS.get(trigger)
    return end_of(calendar.after(day, count), zone) if count else None


@dataclass(frozen=True, slots=True)
class Line:
    """Visits of one kind."""

    kind: VisitKind
    description: str
    count: int
    unit_price: Money | None = None  # None: no published price book has one.
    item_id: UUID | None = None

    @property
    def amount(self) -> Money | None:
        return None if self.unit_price is None else self.unit_price * self.count


@dataclass(frozen=True, slots=True)
class Estimate:
    id: UUID
    site_id: UUID
    patient_id: UUID
    course_id: UUID | None
    version: int
    trigger: Trigger
    service_date: date
    lines: tuple[Line, ...]
    created_at: datetime
    due_at: datetime | None
    price_book_id: UUID | None = None
    price_book_version: int = 0
    deposit: Money | None = None

    @property
    def priced(self) -> bool:
        return all(line.unit_price is not None for line in self.lines)

    @property
    def total(self) -> Money | None:
        """None while a line has no price: the estimate is not issued."""
        amounts = [line.amount for line in self.lines if line.amount is not None]
        return sum(amounts[1:], amounts[0]) if self.priced else None

    def priced_by(self, books: Sequence[PriceBook]) -> "Estimate":
        """The same visits with what prices there are in `books`: the one it is pinned to, and later ones."""
        if not books:
            return self
        together = with_more(self.lines, ())
        texts = {line.kind: line.description for line in together}
        counts = [(line.kind, line.count) for line in together]
        lines = tuple(_priced(run, texts[run.kind]) for run in runs(books, counts))
        return replace(
            self,
            lines=lines,
            price_book_id=books[0].id,
            price_book_version=books[0].version,
            deposit=books[0].deposit,
        )


def lines_of(kinds: Sequence[VisitKind], names: Mapping[str, str]) -> tuple[Line, ...]:
    """Visits of the same kind together, in the order of their first. `names` are those of visit types, by code."""
    described = ((kind, names.get(kind.visit_type_code, kind.visit_type_code)) for kind in kinds)
    return tuple(Line(kind, name, count) for (kind, name), count in Counter(described).items())


def with_more(lines: Sequence[Line], more: Sequence[Line]) -> tuple[Line, ...]:
    """Visits of the same kind together, which may have stood on several lines for their prices."""
    counts = Counter[VisitKind]()
    for line in (*lines, *more):
        counts[line.kind] += line.count
    first = {line.kind: line for line in (*more, *lines)}
    kinds = dict.fromkeys(line.kind for line in (*lines, *more))
    return tuple(replace(first[kind], count=counts[kind]) for kind in kinds)


def refuse_past(starts: Sequence[datetime], now: datetime) -> None:
    if past := [i for i, start in enumerate(starts) if start < now]:
        text = "starts before now"
        raise VisitInPast(*(Violation(f"visits[{i}].start_time", "VISIT_IN_PAST", text) for i in past))


def refuse_unpriced(kinds: Sequence[VisitKind], estimate: Estimate) -> None:
    """Names every visit without a price."""
    unpriced = {line.kind for line in estimate.lines if line.unit_price is None}
    if missing := [i for i, kind in enumerate(kinds) if kind in unpriced]:
        raise PriceMissing(*(Violation(f"visits[{i}]", "PRICE_MISSING", PriceMissing.message) for i in missing))


def _priced(run: Run, text: str) -> Line:
    """`text` stands on a line that has no price."""
    if not run.price:
        return Line(run.kind, text, run.count)
    return Line(run.kind, run.price.item.description, run.count, run.price.amount, run.price.item.id)
