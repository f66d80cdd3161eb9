"""What a month of messages must be, told by a slow and obvious model: it knows every rule and no part of the service.

Time is looked at minute by minute, days are counted on a wall calendar, and what was texted is a plain list.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

End = tuple[str, str, str | None, datetime | None]
MINUTE = timedelta(minutes=1)
QUIET_BEFORE, QUIET_FROM, EVENING = 8, 20, 19
DIGEST = 17
"""The hour at which what can wait goes out by email."""


@dataclass(frozen=True)
class Saying:
    """One rule of the month's cadence, in plain words."""

    code: str
    kind: str
    after_booking: bool
    minutes: int  # From the booking, or before the start.
    by_text_first: bool
    late_is_skipped: bool = False
    comes_first: bool = False  # Where a cap binds.
    unless_confirmed: bool = False

    @property
    def can_wait(self) -> bool:
        return self.kind == "VISIT_REMINDER" and not self.by_text_first


@dataclass
class Reach:
    """How one person is reached, and when they were texted."""

    has_phone: bool
    has_email: bool
    opted_out_at: datetime | None = None
    texted: list[datetime] = field(default_factory=list)


@dataclass
class Patient:
    id: UUID
    zone: ZoneInfo
    own: Reach
    permits_texts: bool
    guarantor: Reach | None = None
    of_age_at: datetime | None = None
    """Until then the guarantor is told; None: of age for years."""

    def reach(self, at: datetime) -> Reach | None:
        return self.guarantor if self.of_age_at and at < self.of_age_at else self.own


@dataclass
class Visit:
    id: UUID
    patient: Patient
    booked_at: datetime
    start: datetime
    site: UUID
    cancelled_at: datetime | None = None
    confirmed_at: datetime | None = None


@dataclass
class Expected:
    """One message. `end` is what it is by the end of the month: channel, status, reason, and when it was sent."""

    visit: Visit
    saying: Saying
    number: int  # In the order in which they are made.
    due: datetime
    end: End = ("", "SCHEDULED", None, None)
    waited: bool = False  # For the digest.


def is_quiet(at: datetime, zone: ZoneInfo) -> bool:
    return not QUIET_BEFORE <= at.astimezone(zone).hour < QUIET_FROM


def wall(day: date, hour: int, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=zone).astimezone(UTC)


def evening_before(at: datetime, zone: ZoneInfo) -> datetime:
    """Of a quiet minute: back to the last loud one, and to 19:00 of its day."""
    while is_quiet(at, zone):
        at -= MINUTE
    return wall(at.astimezone(zone).date(), EVENING, zone)


def first_loud(at: datetime, zone: ZoneInfo) -> datetime:
    """`at` itself, or the first full minute at which people may be reached again."""
    while is_quiet(at, zone):
        at = (at + MINUTE).replace(second=0, microsecond=0)
    return at


def digest_after(at: datetime, visit: Visit) -> datetime | None:
    """When the digest goes out that a message waits for; None: it would come less than a day before the visit."""
    local = at.astimezone(visit.patient.zone)
    if (local.hour, local.minute, local.second, local.microsecond) == (DIGEST, 0, 0, 0):
        return at
    day = local.date() if local.hour < DIGEST else local.date() + timedelta(days=1)
    hour = wall(day, DIGEST, visit.patient.zone)
    return hour if hour <= visit.start - timedelta(hours=24) else None


def due_of(saying: Saying, visit: Visit) -> datetime:
    zone, booked = visit.patient.zone, visit.booked_at
    if saying.after_booking:
        soonest = booked + saying.minutes * MINUTE
        decent = first_loud(soonest, zone)
        return decent if decent < visit.start else soonest
    wanted = visit.start - saying.minutes * MINUTE
    moved = evening_before(wanted, zone) if is_quiet(wanted, zone) else wanted
    return max(moved, booked)


class Month:
    def __init__(self, sayings: list[Saying], visits: list[Visit]) -> None:
        self.messages = list[Expected]()
        for visit in sorted(visits, key=lambda each: each.booked_at):
            for saying in sayings:
                made = Expected(visit, saying, len(self.messages), due_of(saying, visit))
                late = not saying.after_booking and visit.start - saying.minutes * MINUTE < visit.booked_at
                if saying.late_is_skipped and late:
                    made.end = ("", "SUPPRESSED", "TOO_LATE", None)
                self.messages.append(made)
        while still := [each for each in self.messages if each.end[1] == "SCHEDULED"]:
            message = min(still, key=lambda each: (each.due, each.number))
            message.end = self._end(message)

    @property
    def letters(self) -> int:
        """Emails that went out: of what waited, one to a patient about a site at an hour."""
        mailed = [each for each in self.messages if each.end[0] == "EMAIL"]
        alone = sum(not each.waited for each in mailed)
        return alone + len({(each.visit.patient.id, each.visit.site, each.due) for each in mailed if each.waited})

    def _end(self, message: Expected) -> End:
        visit, saying, at = message.visit, message.saying, message.due
        if visit.cancelled_at and visit.cancelled_at <= at:
            return "", "WITHDRAWN", "VISIT_CANCELLED", None
        if at >= visit.start:
            return "", "SUPPRESSED", "VISIT_STARTED", None
        if saying.unless_confirmed and visit.confirmed_at and visit.confirmed_at <= at:
            return "", "SUPPRESSED", "VISIT_CONFIRMED", None
        if saying.can_wait and not message.waited and (hour := digest_after(at, visit)):
            message.due, message.waited = hour, True
            return "", "SCHEDULED", None, None
        reach = visit.patient.reach(at)
        if reach is None:
            return "", "SUPPRESSED", "NO_GUARANTOR", None
        if saying.by_text_first:
            reason = self._why_no_text(message, reach)
            if reason is None:
                reach.texted.append(at)
                return "SMS", "SENT", None, at
            if reach.has_email:
                return "EMAIL", "SENT", None, at
            morning = first_loud(at, visit.patient.zone)
            if reason == "QUIET_HOURS" and morning < visit.start:
                message.due = morning
                return "", "SCHEDULED", None, None
            return "", "SUPPRESSED", reason, None
        if reach.has_email:
            return "EMAIL", "SENT", None, at
        return "", "SUPPRESSED", "NO_EMAIL_ADDRESS", None

    def _why_no_text(self, message: Expected, reach: Reach) -> str | None:
        patient, at = message.visit.patient, message.due
        if not reach.has_phone:
            return "NO_PHONE_NUMBER"
        if is_quiet(at, patient.zone):
            return "QUIET_HOURS"
        if reach.opted_out_at and reach.opted_out_at <= at:
            return "ADDRESS_SUPPRESSED"
        a_day, a_week = (2, 7) if patient.permits_texts else (1, 3)
        today = at.astimezone(patient.zone).date()
        days = [each.astimezone(patient.zone).date() for each in reach.texted]
        before = sum(self._goes_first(other, message, today) for other in self.messages)
        if days.count(today) + before >= a_day:
            return "CAP_REACHED"
        if sum(today - timedelta(days=6) <= day <= today for day in days) + before >= a_week:
            return "CAP_REACHED"
        return None

    def _goes_first(self, other: Expected, message: Expected, today: date) -> bool:
        """A text of the same patient that is still to go out until midnight and comes first by what it says."""
        return (
            other.visit.patient is message.visit.patient
            and other.saying.comes_first
            and not message.saying.comes_first
            and other.saying.by_text_first
            and other.end[1] == "SCHEDULED"
            and other.visit.booked_at <= message.due
            and not (other.visit.cancelled_at and other.visit.cancelled_at <= message.due)
            and other.due.astimezone(message.visit.patient.zone).date() <= today
        )
