"""Messages made by hand: sent again, or told to many at once."""

from datetime import timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record

from chassis.ids import new_id
from services.notifications.domain.announcements import (
    RECIPIENTS_MAX,
    Announcement,
    RecipientsChanged,
    check_announcement,
    too_many_recipients,
)
from services.notifications.domain.cadence import OFF, Planned, Rule, Timing, due
from services.notifications.domain.kinds import Anchor, Channel, MessageKind
from services.notifications.domain.messages import UNSETTLED, MessageNotEnded, MessageOutOfDate, Status
from services.notifications.domain.visits import LIVE
from services.notifications.store import NotificationsStore
from services.notifications.store.messages import passed_over_of, timing_of
from services.notifications.use_cases.messages import AHEAD


async def resend(store: NotificationsStore, message_id: UUID, channel: Channel | None) -> Record:
    """Another of a message that has come to its end."""
    found = await store.message(message_id)
    if Status(found["status"]) in UNSETTLED:
        raise MessageNotEnded()
    timing = await _timing_now(store, found)
    zone = await store.zone_of_patient(found["patient_id"])
    assert zone  # Nothing is planned for a patient of whom nothing is known.
    _, policy = await store.planning()
    tried = [each.channel for each in passed_over_of(found)]
    channels = [channel] if channel else [*tried, *(Channel(each) for each in found["channels"] if each not in tried)]
    due_at = due(timing, zone, store.call.now, policy.hours)
    copied = await store.copy_message(message_id, f"resend:{new_id()}", channels, timing, due_at)
    return await store.message(copied)


async def _timing_now(store: NotificationsStore, found: Record) -> Timing:
    """As its visit is now, if what it says is still true then."""
    timing = timing_of(found)
    if found["visit_id"] and timing.anchor in AHEAD:
        visit = await store.visit(found["visit_id"])
        if visit is None or visit.status in OFF:
            raise MessageOutOfDate()
        if timing.until and visit.status not in LIVE:  # Else it follows the visit.
            raise MessageOutOfDate()
        timing = timing.of(visit)
    if timing.until and store.call.now >= timing.until:
        raise MessageOutOfDate()
    if found["matter_id"] and await store.is_closed(found["matter_id"]):
        raise MessageOutOfDate()
    return timing


async def count_recipients(store: NotificationsStore, announcement: Announcement) -> int:
    check_announcement(announcement, store.call.now)
    return len(await _recipients(store, announcement))


async def announce(store: NotificationsStore, announcement: Announcement, expected: int) -> str:
    """The rule of its messages."""
    check_announcement(announcement, store.call.now)
    recipients = await _recipients(store, announcement)
    if len(recipients) != expected:
        raise RecipientsChanged(recipient_count=len(recipients))
    _, policy = await store.planning()
    announced = new_id()
    timing = Timing(Anchor.TOLD, store.call.now, timedelta(), announcement.end)
    rule = Rule(f"announcement:{announced}", MessageKind.ANNOUNCEMENT, Anchor.TOLD, timedelta(), announcement.channels)
    planned = [
        (id, Planned(rule, timing, due(timing, zone, store.call.now, policy.hours), text=announcement.written))
        for id, zone in recipients.items()
    ]
    await store.add(announcement.site_id, announced, 0, planned)
    return rule.code


async def _recipients(store: NotificationsStore, announcement: Announcement) -> dict[UUID, ZoneInfo]:
    await store.site_zone(announcement.site_id)
    found = await store.recipients(announcement.site_id, announcement.start, announcement.end, RECIPIENTS_MAX + 1)
    if len(found) > RECIPIENTS_MAX:
        raise too_many_recipients()
    return found
