"""Announcements."""

from atoll.notifications.v1 import announcement_service_pb2 as pb
from chassis.auth import AccessDenied
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire
from chassis.money import Money
from chassis.money import to_wire as money_to_wire
from chassis.times import to_instant
from services.notifications.domain.announcements import Announcement
from services.notifications.rpc.common import channel_of
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import resending

MICROS_PER_CENT = 10_000
SEGMENT_CHARS = 160
AROUND_CHARS = 70
"""What stands around the text: the site's name, whom to call."""


class AnnouncementServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def PreviewAnnouncement(
        self, request: pb.PreviewAnnouncementRequest, call: Call
    ) -> pb.PreviewAnnouncementResponse:
        told = _announcement(request.announcement, call)

        async def work(store: NotificationsStore) -> tuple[int, int]:
            count = await resending.count_recipients(store, told)
            _, policy = await store.planning()
            return count, policy.text_price_micros

        count, price = await self._db.read(call, request, NotificationsStore, work)
        segments = -(-(AROUND_CHARS + max(map(len, told.texts.values()))) // SEGMENT_CHARS)
        cents = -(-count * segments * price // MICROS_PER_CENT)
        return pb.PreviewAnnouncementResponse(
            recipient_count=count, segment_count=segments, cost_max=money_to_wire(Money(cents))
        )

    async def CreateAnnouncement(
        self, request: pb.CreateAnnouncementRequest, call: Call
    ) -> pb.CreateAnnouncementResponse:
        told = _announcement(request.announcement, call)

        async def work(store: NotificationsStore) -> pb.CreateAnnouncementResponse:
            rule = await resending.announce(store, told, request.recipient_count)
            return pb.CreateAnnouncementResponse(rule_code=rule, recipient_count=request.recipient_count)

        return await self._db.once(call, request, pb.CreateAnnouncementResponse, NotificationsStore, work)


def _announcement(told: pb.Announcement, call: Call) -> Announcement:
    site_id = from_wire("site", told.site_id)
    if call.sites is not None and site_id not in call.sites:
        raise AccessDenied()
    return Announcement(
        site_id,
        to_instant(told.start_time),
        to_instant(told.end_time),
        {each.language: each.text for each in told.texts},
        tuple(map(channel_of, told.channels)),
    )
