"""Pauses."""

from atoll.notifications.v1 import pause_service_pb2 as pb
from chassis.auth import AccessDenied
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.notifications.domain.pauses import Pause, scope_of
from services.notifications.rpc.common import (
    after_id,
    channel_of,
    channel_to_wire,
    kind_of,
    kind_to_wire,
    site_to_wire,
    some_site,
)
from services.notifications.store import NotificationsStore


class PauseServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreatePause(self, request: pb.CreatePauseRequest, call: Call) -> pb.CreatePauseResponse:
        """A pause of every site is for who acts for every site."""
        site_id = some_site(request.site_id)
        if site_id is None and call.sites is not None:
            raise AccessDenied()
        channel = channel_of(request.channel) if request.channel else None
        kind = kind_of(request.kind) if request.kind else None
        new = Pause(new_id(), scope_of(channel, kind), site_id, channel, kind, request.reason, call.now)

        async def work(store: NotificationsStore) -> pb.CreatePauseResponse:
            await store.add_pause(new)
            return pb.CreatePauseResponse(pause=_pause(new))

        return await self._db.once(call, request, pb.CreatePauseResponse, NotificationsStore, work)

    async def EndPause(self, request: pb.EndPauseRequest, call: Call) -> pb.EndPauseResponse:
        pause_id = from_wire("pause", request.pause_id)

        async def work(store: NotificationsStore) -> pb.EndPauseResponse:
            return pb.EndPauseResponse(pause=_pause(await store.end_pause(pause_id)))

        return await self._db.once(call, request, pb.EndPauseResponse, NotificationsStore, work)

    async def ListPauses(self, request: pb.ListPausesRequest, call: Call) -> pb.ListPausesResponse:
        site_id, page = some_site(request.site_id), Page.of(request, call)
        found = await self._db.read(
            call, request, NotificationsStore, lambda store: store.pauses(site_id, after_id(page), page.limit)
        )
        shown, token = page.cut(found, key=lambda pause: [str(pause.id)])
        return pb.ListPausesResponse(pauses=map(_pause, shown), next_page_token=token)


def _pause(pause: Pause) -> pb.Pause:
    return pb.Pause(
        id=to_wire("pause", pause.id),
        site_id=site_to_wire(pause.site_id),
        channel=channel_to_wire(pause.channel or "UNSPECIFIED"),
        kind=kind_to_wire(pause.kind or "UNSPECIFIED"),
        reason=pause.reason,
        begin_time=to_timestamp(pause.begin),
        end_time=to_timestamp(pause.end) if pause.end else None,
    )
