"""The digest of a day: what waits for it, until when, and what goes out in one letter. Pure.

By email only: a text has no room for several, and an inbox is read when its reader likes.
"""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.notifications.domain.hours import at
from services.notifications.domain.kinds import Channel, MessageKind

LETTER_MAX = 20
"""So many messages stand in one letter; the others in another."""
AHEAD = timedelta(hours=24)
"""What is said before a visit comes so long before it, or does not wait."""
_K = MessageKind
COMBINED = frozenset(
    {
        _K.VISIT_REMINDER,
        _K.VISIT_MISSED,
        _K.VISIT_FOLLOW_UP,
        _K.INVOICE_ISSUED,
        _K.PAYMENT_RECEIVED,
        _K.REFUND_MADE,
        _K.CREDIT_NOTE_ISSUED,
        _K.BALANCE_DUE,
        _K.DEPOSIT_RELEASED,
        _K.DEPOSIT_FORFEITED,
        _K.PACKAGE_SOLD,
        _K.PACKAGE_EXPIRING,
        _K.PACKAGE_EXPIRED,
        _K.PACKAGE_STOPPED,
        _K.PAYMENT_REVERSED,
        _K.DEPOSIT_RETURNED,
        _K.PACKAGE_TRANSFERRED,
    }
)
"""Kinds that lose nothing by some hours. Never what is about safety or preparation, what puts a visit into a calendar
or takes it out, what somebody has to act on (a hold that ran out, a card that failed), or an estimate, which the law
wants within a day."""


def may_stand_in(kind: MessageKind, channel: Channel, hour: time | None) -> bool:
    """`hour`: when digests of the chain go out; None: it has none."""
    return hour is not None and channel is Channel.EMAIL and kind in COMBINED


def goes_out(due: datetime, until: datetime | None, hour: time, zone: ZoneInfo, now: datetime) -> datetime:
    """When what is due goes out where digests do at `hour` of the recipient's zone: `now`, if this hour was waited for,
    or the next one would come too close to the visit."""
    if due.astimezone(zone).time() == hour:
        return now
    today = now.astimezone(zone).date()
    next_one = at(today, hour, zone)
    if next_one <= now:
        next_one = at(today + timedelta(days=1), hour, zone)
    return now if until and next_one > until - AHEAD else next_one
