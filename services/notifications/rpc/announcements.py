"""Announcements."""

from atoll.notifications.v1 import announcement_service_pb2 as pb
from chassis.auth import AccessDenied
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire
from chassis.money import Money
from chassis.money import to_wire as money_to_wire
from chassis.times import to_instant
from services.notifications.domain.announcements import Announcement, too_long_for_sms
from services.notifications.domain.kinds import Channel, MessageKind
from services.notifications.domain.segments import length_of
from services.notifications.domain.visits import Site
from services.notifications.rpc.common import channel_of
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import resending
from services.notifications.wording import BrokenTemplate, Templates, Words

MICROS_PER_CENT = 10_000


class AnnouncementServicer:
    def __init__(self, db: Database, templates: Templates) -> None:
        self._db, self._templates = db, templates

    async def PreviewAnnouncement(
        self, request: pb.PreviewAnnouncementRequest, call: Call
    ) -> pb.PreviewAnnouncementResponse:
        told = _announcement(request.announcement, call)

        async def work(store: NotificationsStore) -> tuple[int, int, Site]:
            count = await resending.count_recipients(store, told)
            _, policy = await store.planning()
            site = await store.site_shown(told.site_id)
            assert site  # It is known, and the caller's own.
            return count, policy.text_price_micros, site

        count, price, site = await self._db.read(call, request, NotificationsStore, work)
        segments = self._segments(told, site)
        cents = -(-count * segments * price // MICROS_PER_CENT)
        return pb.PreviewAnnouncementResponse(
            recipient_count=count, segment_count=segments, cost_max=money_to_wire(Money(cents))
        )

    def _segments(self, told: Announcement, site: Site) -> int:
        """Of the longest that fits into a text. AnnouncementRefused where another is to go by SMS."""
        found = {language: self._segments_of(site, language, text) for language, text in told.texts.items()}
        too_long = [language for language, segments in found.items() if segments is None]
        if too_long and Channel.SMS in told.channels:
            raise too_long_for_sms(too_long)
        return max(segments or 0 for segments in found.values())

    def _segments_of(self, site: Site, language: str, text: str) -> int | None:
        words = Words("", site.discreet_name, site.phone, site.address, text=text)
        try:
            written = self._templates.write(MessageKind.ANNOUNCEMENT, Channel.SMS, language, words, None)
        except BrokenTemplate:
            return None
        return length_of(written.text).segments

    async def CreateAnnouncement(
        self, request: pb.CreateAnnouncementRequest, call: Call
    ) -> pb.CreateAnnouncementResponse:
        told = _announcement(request.announcement, call)

        async def work(store: NotificationsStore) -> pb.CreateAnnouncementResponse:
            rule = await resending.announce(store, told, request.recipient_count)
            site = await store.site_shown(told.site_id)
            assert site  # As above.
            self._segments(told, site)
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
