"""Good Faith Estimates: what visits will cost, and until when the law (45 CFR 149.610) wants the patient to know.

By when which version is due, and which is the measure of bills: `domain.deadlines`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import IntEnum
from functools import partial
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind, Violation
from chassis.money import Money
from services.billing.domain.accounts import ChargeKind
from services.billing.domain.business_days import BusinessCalendar, end_of
from services.billing.domain.codes import ServiceCode, ServiceCodeRow, codes_on
from services.billing.domain.prices import PriceBook, PriceMissing, Run, VisitKind, runs
from services.billing.domain.tax import Taxable, TaxRule, taxes

Key = TypeVar("Key")
NO_AMOUNT = Money(0, "USD")


class EstimateNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "ESTIMATE_NOT_FOUND", "no such estimate"


class VisitInPast(DomainError):
    kind, reason, message = Kind.INVALID, "VISIT_IN_PAST", "a visit starts before now"


class SeriesTooLong(DomainError):
    kind, reason, message = Kind.INVALID, "SERIES_TOO_LONG", "an estimate covers no more than 12 months"


class EstimateNotIssued(DomainError):
    kind, reason, message = Kind.CONFLICT, "ESTIMATE_NOT_ISSUED", "the estimate lacks a price, and is not issued"


class EstimateSuperseded(DomainError):
    kind, reason, message = Kind.CONFLICT, "ESTIMATE_SUPERSEDED", "there is a later version of the estimate"


class DeliveryTimeWrong(DomainError):
    kind, reason = Kind.INVALID, "DELIVERY_TIME_WRONG"
    message = "a delivery lies in the future, or before the estimate was issued"


class EstimateNotDelivered(DomainError):
    kind, reason, message = Kind.CONFLICT, "ESTIMATE_NOT_DELIVERED", "nobody recorded that the patient has the estimate"


class EstimateAcknowledged(DomainError):
    kind, reason, message = Kind.CONFLICT, "ESTIMATE_ACKNOWLEDGED", "the estimate was acknowledged before"


class Trigger(IntEnum):
    """What made an estimate due; numbered as in the proto."""

    REQUEST = 1
    BOOKED_10_DAYS_AHEAD = 2
    BOOKED_3_DAYS_AHEAD = 3
    SHORT_NOTICE = 4
    HOLD = 5
    CHANGE = 6


class DeliveryMethod(IntEnum):
    """Numbered as in the proto."""

    PAPER = 1
    EMAIL = 2
    PORTAL = 3
    ORAL = 4

    @property
    def written(self) -> bool:
        return self is not DeliveryMethod.ORAL


class Gap(IntEnum):
    """What the law asks for, and nobody has told yet; numbered as in the proto."""

    SERVICE_CODE = 1
    NPI = 2
    TIN = 3
    LOCATION = 4


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
class Provider:
    """Who renders items and bills them: a site as a facility, or a staff member there."""

    id: UUID
    display_name: str
    credential: str
    npi: str
    tin: str
    state: str
    address: str


@dataclass(frozen=True, slots=True)
class Delivery:
    id: UUID
    method: DeliveryMethod
    delivered_at: datetime
    recorded_by: str
    message_id: UUID | None = None
    """Of the email that brought it, where nobody kept it by hand."""
    returned_at: datetime | None = None
    """When that came back: then it does not count."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an estimate says beside its lines, as it was when it was made."""

    providers: tuple[Provider, ...] = ()
    separate_items: tuple[str, ...] = ()
    disclaimer_version: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """Visits of one kind, rendered by one provider."""

    kind: VisitKind
    description: str
    days: tuple[date, ...]
    """Of service, of each of them. Codes and taxes are those of every one of these days."""
    unit_price: Money | None = None  # None: no published price book has one.
    item_id: UUID | None = None
    provider_id: UUID | None = None  # A staff member; None: the site.
    codes: tuple[ServiceCode, ...] = ()
    tax: Money | None = None
    """Of all of them, added to the amount. None: no such tax falls on them, or the estimate lacks a price."""

    @property
    def count(self) -> int:
        return len(self.days)

    @property
    def amount(self) -> Money | None:
        return None if self.unit_price is None else self.unit_price * self.count

    @property
    def total(self) -> Money | None:
        return self.amount + self.tax if self.amount and self.tax else self.amount


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
    last_date: date | None = None
    beyond_count: int = 0
    """Visits more than 12 months after the first, which are not in it: once nothing that it covers is to come, a later
    version is of these."""
    too_late: bool = False
    """Issued after the last business day before a visit that changed: the version before stays the measure."""
    content: Content = Content()
    deliveries: tuple[Delivery, ...] = ()
    acknowledged_at: datetime | None = None

    @property
    def standing_deliveries(self) -> list[Delivery]:
        return [each for each in self.deliveries if not each.returned_at]

    @property
    def is_in_writing(self) -> bool:
        """With its patient."""
        return any(each.method.written for each in self.standing_deliveries)

    @property
    def visit_count(self) -> int:
        return sum(line.count for line in self.lines)

    @property
    def days_between(self) -> int:
        """Two visits, on average, half a day rounded up; 0 for one."""
        gaps = self.visit_count - 1
        days = (self.last_date - self.service_date).days if self.last_date else 0
        return (2 * days + gaps) // (2 * gaps) if gaps else 0

    @property
    def primary(self) -> Line:
        """What costs most; the first of those."""
        return max(self.lines, key=lambda line: line.amount.minor if line.amount else -1)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        providers = self.content.providers
        lacking = {
            Gap.SERVICE_CODE: any(not line.codes for line in self.lines),
            Gap.NPI: any(not each.npi for each in providers),
            Gap.TIN: any(not each.tin for each in providers),
            Gap.LOCATION: any(not (each.state and each.address) for each in providers),
        }
        return tuple(gap for gap, lacks in lacking.items() if lacks)

    @property
    def priced(self) -> bool:
        return all(line.unit_price is not None for line in self.lines)

    @property
    def total(self) -> Money | None:
        """None while a line has no price: the estimate is not issued."""
        totals = [line.total for line in self.lines if line.total is not None]
        return sum(totals[1:], totals[0]) if self.priced else None

    def priced_by(self, books: Sequence[PriceBook], earlier: Iterable[VisitKind] = ()) -> "Estimate":
        """The same visits with what prices there are in `books`: the one it is pinned to, and later ones. `earlier` are
        visits of the course that estimates before this one covered: tiers go on where these have come to."""
        if not books:
            return self
        lines = _together(self.lines)
        counts = Counter[VisitKind]()
        for line in lines:
            counts[line.kind] += line.count
        lines = tuple(_dealt(lines, runs(books, counts.items(), Counter(earlier).items())))
        return replace(
            self,
            lines=lines,
            price_book_id=books[0].id,
            price_book_version=books[0].version,
            deposit=books[0].deposit,
        )

    def taxed_by(self, rules: Sequence[TaxRule]) -> "Estimate":
        """With what the rules of its site add to it once it has all prices: as on an invoice of all its visits, each by
        the rules in force on its own day."""
        if not self.priced:
            return self
        lines = tuple(part for line in self.lines for _, part in _parted(line, partial(_covering, rules, line.kind)))
        amounts = [line.amount for line in lines if line.amount is not None]
        visits = [_taxable(line.kind, line.days[0], amount) for line, amount in zip(lines, amounts, strict=True)]
        added = [tax.shares for tax in taxes(rules, visits) if not tax.included]
        shares = [sum(of_line, Money(0, amount.currency)) for amount, *of_line in zip(amounts, *added, strict=True)]
        return replace(
            self,
            lines=tuple(
                replace(line, tax=share if share.minor else None) for line, share in zip(lines, shares, strict=True)
            ),
        )


def lines_of(
    kinds: Sequence[VisitKind],
    days: Sequence[date],
    names: Mapping[str, str],
    provider_ids: Sequence[UUID | None] = (),
) -> tuple[Line, ...]:
    """Visits of the same kind and provider together, in the order of their first. `names` are those of visit types, by
    code; `days` are of service, one for each visit, and so are `provider_ids`, of staff, or none at all."""
    of_line = dict[tuple[VisitKind, UUID | None], list[date]]()
    for key, day in zip(zip(kinds, provider_ids or [None] * len(kinds), strict=True), days, strict=True):
        of_line.setdefault(key, []).append(day)
    return tuple(
        Line(kind, names.get(kind.visit_type_code, kind.visit_type_code), tuple(sorted(of_it)), provider_id=provider_id)
        for (kind, provider_id), of_it in of_line.items()
    )


def coded(lines: Sequence[Line], rows: Sequence[ServiceCodeRow]) -> tuple[Line, ...]:
    """With the codes that are valid on the days of their visits: a line for each that differ."""
    return tuple(
        replace(part, codes=codes)
        for line in lines
        for codes, part in _parted(line, partial(codes_on, rows, line.kind))
    )


def _parted(line: Line, by: Callable[[date], Key]) -> Iterator[tuple[Key, Line]]:
    """Visits of a line by what holds on their days, in the order of the first."""
    found = dict[Key, list[date]]()
    for day in line.days:
        found.setdefault(by(day), []).append(day)
    for key, days in found.items():
        yield key, replace(line, days=tuple(days))


def _taxable(kind: VisitKind, day: date, amount: Money) -> Taxable:
    return Taxable(ChargeKind.VISIT, kind.visit_type_code, day, amount)


def _covering(rules: Sequence[TaxRule], kind: VisitKind, day: date) -> frozenset[UUID]:
    """The rules that fall on visits of a kind on a day."""
    return frozenset(rule.id for rule in rules if rule.covers(_taxable(kind, day, NO_AMOUNT)))


def _together(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Visits of the same kind, provider and codes, which may have stood on several lines for their prices and taxes."""
    found = dict[tuple[VisitKind, UUID | None, tuple[ServiceCode, ...]], Line]()
    for line in lines:
        key = (line.kind, line.provider_id, line.codes)
        before = found.get(key, replace(line, days=()))
        found[key] = replace(before, days=tuple(sorted(before.days + line.days)))
    return tuple(found.values())


def _dealt(lines: Sequence[Line], priced: Iterable[Run]) -> Iterator[Line]:
    """Who renders visits of the same kind, in the order of the lines, has the prices in the order of the visits."""
    waiting = dict[VisitKind, list[Line]]()
    for line in lines:
        waiting.setdefault(line.kind, []).append(line)
    for run in priced:
        left = run.count
        while left:
            line = waiting[run.kind].pop(0)
            part = min(left, line.count)
            if part < line.count:
                waiting[run.kind].insert(0, replace(line, days=line.days[part:]))
            yield _priced(run, replace(line, days=line.days[:part]))
            left -= part


def last_covered(first: date) -> date:
    """By one estimate: 12 months after its first day. Of 29 February it is the 28th."""
    leap = (first.month, first.day) == (2, 29)
    return first.replace(year=first.year + 1, day=28 if leap else first.day)


def first_of(days: Sequence[date], current: date) -> date:
    """The first day that the estimate of a course covers which covers `current`. `days` are those of its visits, in
    order: the first estimate covers those within 12 months, the next begins with the first visit after these."""
    first = days[0]
    for day in days:
        if first < day <= current and day > last_covered(first):
            first = day
    return first


def are_of_one(first: date, other: date) -> bool:
    """Whether two versions that begin on these days are of the same 12 months: an earlier visit may have been dropped,
    or have come in."""
    return first <= last_covered(other) and other <= last_covered(first)


def refuse_too_long(days: Sequence[date]) -> None:
    """Names every visit beyond what one estimate covers."""
    end = last_covered(min(days))
    if beyond := [i for i, day in enumerate(days) if day > end]:
        text = "is more than 12 months after the first visit"
        raise SeriesTooLong(*(Violation(f"visits[{i}].start_time", "SERIES_TOO_LONG", text) for i in beyond))


def check_delivery(estimate: Estimate, delivered_at: datetime | None, now: datetime, latest_id: UUID) -> None:
    """Without an instant it is handed over now, and what is handed over now is to be the latest version. That an
    earlier one was delivered is a fact, also if a later one was issued by then: a letter may have crossed with that."""
    if estimate.total is None:
        raise EstimateNotIssued()
    if delivered_at is None and estimate.id != latest_id:
        raise EstimateSuperseded()
    if not estimate.created_at <= (delivered_at or now) <= now:
        text = "is not between the issue of the estimate and now"
        raise DeliveryTimeWrong(Violation("deliver_time", "DELIVERY_TIME_WRONG", text))


def check_acknowledgement(estimate: Estimate) -> None:
    if estimate.acknowledged_at:
        raise EstimateAcknowledged()
    if not estimate.deliveries:
        raise EstimateNotDelivered()


def refuse_past(starts: Sequence[datetime], now: datetime) -> None:
    if past := [i for i, start in enumerate(starts) if start < now]:
        text = "starts before now"
        raise VisitInPast(*(Violation(f"visits[{i}].start_time", "VISIT_IN_PAST", text) for i in past))


def refuse_unpriced(kinds: Sequence[VisitKind], estimate: Estimate) -> None:
    """Names every visit without a price."""
    unpriced = {line.kind for line in estimate.lines if line.unit_price is None}
    if missing := [i for i, kind in enumerate(kinds) if kind in unpriced]:
        raise PriceMissing(*(Violation(f"visits[{i}]", "PRICE_MISSING", PriceMissing.message) for i in missing))


def _priced(run: Run, line: Line) -> Line:
    """Without a price its text stays."""
    if not run.price:
        return replace(line, unit_price=None, item_id=None)
    item = run.price.item
    return replace(line, description=item.description, unit_price=run.price.amount, item_id=item.id)
