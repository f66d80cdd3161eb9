"""How many texts may reach a number. Pure."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.notifications.domain.hours import at

WEEK_DAYS = 7


@dataclass(frozen=True, slots=True)
class Cap:
    """At most so many on one day of the recipient's, and in seven days up to it."""

    a_day: int
    a_week: int


EXEMPT = Cap(1, 3)
"""Texts under the health-care exemption: 47 CFR 64.1200(a)(9)(iv)."""
COURTESY = Cap(2, 7)
"""Texts to whom permitted them, unless the chain sets its own."""


@dataclass(frozen=True, slots=True)
class Since:
    """From when on texts of a day and of a week are counted."""

    day: datetime
    week: datetime


def since(now: datetime, zone: ZoneInfo) -> Since:
    today = now.astimezone(zone).date()
    first = today - timedelta(days=WEEK_DAYS - 1)
    return Since(at(today, time.min, zone), at(first, time.min, zone))


def room(cap: Cap, sent_today: int, sent_in_week: int, before_it: int) -> bool:
    """Whether one more may go. `before_it`: texts that are to go out on the same day and come first by their rank."""
    return sent_today + before_it < cap.a_day and sent_in_week + before_it < cap.a_week
