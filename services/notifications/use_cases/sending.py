"""The intent to send: what may not go is passed over here, under lock, so that two at once make no third."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from services.notifications.carriers import Parcel
from services.notifications.domain import caps
from services.notifications.domain.hours import at
from services.notifications.domain.kinds import BY_PHONE, Purpose
from services.notifications.domain.messages import PassedOver, Reason
from services.notifications.domain.sending import Taken, Way
from services.notifications.store import NotificationsStore


async def begin(
    store: NotificationsStore,
    taken: Taken,
    way: Way,
    parcel: Parcel,
    passed_over: Sequence[PassedOver],
    hold: timedelta,
) -> int | PassedOver | None:
    """Its attempts by this channel; None: it is not ours any more."""
    counts = way.channel in BY_PHONE and taken.purpose is not Purpose.REPLY
    if counts and parcel.address_key and not taken.in_doubt:
        await store.lock([_lock_of(parcel.address_key)])
        if not await _has_room(store, taken, way, parcel.address_key):
            return PassedOver(way.channel, Reason.CAP_REACHED)
    return await store.begin(taken, way.channel, passed_over, parcel.template, hold, parcel.address_key, counts=counts)


async def _has_room(store: NotificationsStore, taken: Taken, way: Way, address_key: bytes) -> bool:
    today, in_week = await store.texts_to(address_key, caps.since(store.call.now, taken.zone))
    before = await store.texts_before(taken, _midnight_after(store.call.now, taken.zone))
    return caps.room(way.cap(taken.policy), today, in_week, before)


def _midnight_after(now: datetime, zone: ZoneInfo) -> datetime:
    return at(now.astimezone(zone).date() + timedelta(days=1), time.min, zone)


def _lock_of(address_key: bytes) -> UUID:
    return UUID(bytes=address_key[:16])
