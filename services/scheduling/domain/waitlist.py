"""Who waits for a visit, what may be offered to them, and for how long.

An offer is a hold of one visit: whatever is true of holds is true of it. What is particular is here.
"""

from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from itertools import groupby, islice
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind, Violation
from chassis.ids import to_wire
from services.scheduling.domain.courses import Choice, Course, Layout, PhasesOutsideProtocol, Terms
from services.scheduling.domain.hours import DAY, DAY_MINUTES, MINUTE, Slot, instant
from services.scheduling.domain.planning import Between, Opening, Place, Tastes, same_resources
from services.scheduling.domain.planning.openings import Finder
from services.scheduling.domain.protocols import Template, VisitType
from services.scheduling.domain.spacing import order_faults, phase_faults, spacing_faults
from services.scheduling.domain.visits import Status, Visit

ENTRIES_OF_PATIENT_MAX = 5
WINDOW_DAYS_MAX = 92
AHEAD_DAYS_MAX = 366
OFFER_TIME = timedelta(hours=2)
"""How long an offer may be accepted."""
OFFER_TIME_MIN = timedelta(minutes=15)
"""Nothing is offered that could be accepted for less."""
OFFERS_AT_SITE_MAX = 20
"""At once, so that a site's day is never mostly offers."""
OFFERED_FROM, OFFERED_UNTIL = 8 * 60, 20 * 60
"""Local minutes between which offers are made: whoever sleeps would lose what they are offered."""
STARTS_MAX = 10
"""That are tried for one who waits, one of a day: of each day's resources only so much may be held."""


class EntryNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "WAITLIST_ENTRY_NOT_FOUND", "no such entry of a waitlist"


class EntryOver(DomainError):
    kind, reason, message = Kind.CONFLICT, "WAITLIST_ENTRY_OVER", "the entry was booked or has ended"


class WaitlistFull(DomainError):
    kind, reason, message = Kind.CONFLICT, "WAITLIST_FULL", "the patient waits for as many visits as one may wait for"


class WaitlistWindowInvalid(DomainError):
    kind, reason = Kind.INVALID, "WAITLIST_WINDOW_INVALID"
    message = "last_date is past, before first_date or too far from it, or too far ahead"


class OfferNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "OFFER_NOT_FOUND", "no such offer"


class OfferOver(DomainError):
    kind, reason, message = (
        Kind.CONFLICT,
        "OFFER_OVER",
        "the offer was accepted, declined or withdrawn, or has ended",
    )


class EntryStatus(StrEnum):
    WAITING = "WAITLIST_STATUS_WAITING"
    OFFERED = "WAITLIST_STATUS_OFFERED"
    BOOKED = "WAITLIST_STATUS_BOOKED"
    ENDED = "WAITLIST_STATUS_ENDED"


class EndReason(StrEnum):
    WITHDRAWN = "WAITLIST_END_REASON_WITHDRAWN"
    EXPIRED = "WAITLIST_END_REASON_EXPIRED"
    REFUSED = "WAITLIST_END_REASON_REFUSED"


class Outcome(StrEnum):
    ACCEPTED = "OFFER_OUTCOME_ACCEPTED"
    DECLINED = "OFFER_OUTCOME_DECLINED"
    EXPIRED = "OFFER_OUTCOME_EXPIRED"
    WITHDRAWN = "OFFER_OUTCOME_WITHDRAWN"


AFTER = {
    Outcome.ACCEPTED: EntryStatus.BOOKED,
    Outcome.DECLINED: EntryStatus.WAITING,
    Outcome.EXPIRED: EntryStatus.WAITING,
    Outcome.WITHDRAWN: EntryStatus.ENDED,
}
"""How somebody stands once their offer ended so."""


@dataclass(frozen=True, slots=True)
class Offer:
    id: UUID
    """Of the visit that is held, too."""
    entry_id: UUID
    course_id: UUID
    slot: Slot
    expire_at: datetime
    outcome: Outcome | None = None
    """None: it can be accepted yet."""


@dataclass(frozen=True, slots=True)
class Entry:
    id: UUID
    site_id: UUID
    patient_id: UUID
    protocol_version_id: UUID
    course_id: UUID | None
    """None: the visit is to be of a course of its own."""
    phase_code: str
    """Empty: a visit of `visit_type_code` beside the phases."""
    visit_type_code: str
    route_code: str
    days: Between
    weekdays: frozenset[int]
    """0 is Monday. Empty: any."""
    start_from: int
    start_until: int
    notice_minutes: int
    joined_at: datetime
    status: EntryStatus = EntryStatus.WAITING
    end_reason: EndReason | None = None
    offer: Offer | None = None
    """What can be accepted now."""

    @property
    def tastes(self) -> Tastes:
        return Tastes(
            weekdays=self.weekdays,
            weekdays_only=bool(self.weekdays),
            start_from=self.start_from,
            start_until=self.start_until,
        )

    def over_at(self, zone: ZoneInfo) -> datetime:
        return instant(zone, self.days.last, DAY_MINUTES)

    def check_days(self, today: date) -> None:
        first, last = self.days.first, self.days.last
        if last < first:
            text = "is before first_date"
        elif last < today:
            text = "is past"
        elif last > first + WINDOW_DAYS_MAX * DAY:
            text = f"is more than {WINDOW_DAYS_MAX} days after first_date"
        elif last > today + AHEAD_DAYS_MAX * DAY:
            text = f"is more than {AHEAD_DAYS_MAX} days ahead"
        else:
            return
        raise WaitlistWindowInvalid(Violation("last_date", "WAITLIST_WINDOW_INVALID", text))

    def check_phase(self, template: Template, standing: Sequence[Visit]) -> None:
        """That one visit more of the phase may be asked for, in the words of whoever joins."""
        codes = [visit.phase_code for visit in standing if visit.phase_code in template.order]
        if fault := next(phase_faults(template, [self.phase_code], codes), None):
            raise PhasesOutsideProtocol(replace(fault, field="phase_code"))

    def is_in_vain(self, template: Template, standing: Sequence[Visit]) -> bool:
        """The phase has all the visits that it may have, or the site's form of the version has no such visit. What is
        held may be given up yet."""
        if not self.phase_code:
            return template.beside(self.visit_type_code) is None
        if self.phase_code not in template.order:
            return True
        there = sum(each.phase_code == self.phase_code and each.status is not Status.HELD for each in standing)
        return there >= template.phase(self.phase_code).visits_max

    def layout(self, terms: Terms, start: datetime, resources: tuple[tuple[str, UUID], ...] = ()) -> Layout:
        choices = [Choice(self.phase_code, start, resources)]
        [found] = terms.layouts(choices) if self.phase_code else terms.layouts_beside(self.visit_type_code, choices)
        return found

    def withdrawn(self) -> "Entry":
        """An offer ends with it, as its hold does."""
        if self.status not in (EntryStatus.WAITING, EntryStatus.OFFERED):
            raise EntryOver(waitlist_entry_id=to_wire("waitlistentry", self.id))
        return replace(self, status=EntryStatus.ENDED, end_reason=EndReason.WITHDRAWN, offer=None)


@dataclass(frozen=True)
class Look:
    """What is looked at for one who waits, to find where they could be. Pure: for another thread."""

    entry: Entry
    terms: Terms
    place: Place
    course: Course | None
    offered: tuple[Slot, ...]
    """What was offered to them before: nothing that overlaps it is again."""
    now: datetime

    def openings(self) -> list[Opening]:
        """The first of each of the first days on which the visit may be booked, and there is time to accept."""
        days = Between(max(self.entry.days.first, self.terms.today(self.now)), self.entry.days.last)
        if days.empty:
            return []
        finder = Finder(self.place, self._type, days, self._earliest, self.entry.tastes, self._same)
        by_day = groupby(finder.starts(), key=lambda each: self.terms.day(Slot(each[1], each[1])))
        first = (next((cell for _, start, cell in starts if self._fits(start)), None) for _, starts in by_day)
        return [finder.opening(cell) for cell in islice((each for each in first if each is not None), STARTS_MAX)]

    @property
    def _earliest(self) -> datetime:
        """From when the visit type's own notice counts."""
        longer = max(0, self.entry.notice_minutes - self._type.notice_minutes)
        return self.now + longer * MINUTE + OFFER_TIME_MIN

    @cached_property
    def _layout(self) -> Layout:
        return self.entry.layout(self.terms, self.now)

    @property
    def _type(self) -> VisitType:
        return self._layout.type

    @cached_property
    def _standing(self) -> list[Visit]:
        """Of the phases, in order of time."""
        order = self.terms.template.order
        return [visit for visit in self.course.standing(self.now) if visit.phase_code in order] if self.course else []

    @cached_property
    def _same(self) -> dict[str, UUID]:
        """Resources that the course has at all its visits."""
        if not self.entry.phase_code:
            return {}
        return same_resources(self.terms.template, self._type, self._standing, self.place.calendar.resources)

    def _fits(self, start: datetime) -> bool:
        stay = Slot(start, start + self._type.stay)
        return not any(stay.overlaps(slot) for slot in self.offered) and self._allowed(start)

    def _allowed(self, start: datetime) -> bool:
        """Of a day, and between the same two visits, all starts are."""
        before = bisect([visit.slot.start for visit in self._standing], start)
        key = self.terms.day(Slot(start, start)), before
        if key not in self._known:
            self._known[key] = not any(self._faults(self.entry.layout(self.terms, start)))
        return self._known[key]

    @cached_property
    def _known(self) -> dict[tuple[date, int], bool]:
        return {}

    def _faults(self, layout: Layout) -> Iterator[object]:
        """Of the spacing to both neighbours, and of the gates."""
        if self.entry.phase_code:
            stops = self.terms.stops([layout], self._standing)
            yield from order_faults(self.terms.template, stops)
            yield from spacing_faults(stops)
        try:
            self.terms.check_gates(self.course.route_code if self.course else self.entry.route_code, [layout])
        except DomainError as refused:
            yield refused


def accept_until(now: datetime, start: datetime, notice: timedelta) -> datetime:
    return min(now + OFFER_TIME, start - notice)


def offers_are_made(now: datetime, zone: ZoneInfo) -> bool:
    local = now.astimezone(zone)
    return OFFERED_FROM <= local.hour * 60 + local.minute < OFFERED_UNTIL
