"""LinkService."""

from atoll.notifications.v1 import link_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import to_wire
from services.notifications.domain.links import ABOUT, LinkPurpose
from services.notifications.rpc.common import by_keys
from services.notifications.store import NotificationsStore
from services.notifications.texting.keys import message_keys
from services.notifications.use_cases import links


class LinkServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def UseLink(self, request: pb.UseLinkRequest, call: Call) -> pb.UseLinkResponse:
        purpose, sign = LinkPurpose(pb.LinkPurpose.Name(request.purpose).removeprefix("LINK_PURPOSE_")), message_keys()

        async def work(store: NotificationsStore) -> pb.UseLinkResponse:
            link = await links.use_link(store, request.token, purpose, sign.digest)
            return pb.UseLinkResponse(
                patient_id=to_wire("patient", link.patient_id),
                site_id=to_wire("site", link.site_id),
                about_id=to_wire(ABOUT[purpose], link.about_id),
            )

        with by_keys():
            return await self._db.once(call, request, pb.UseLinkResponse, NotificationsStore, work)
