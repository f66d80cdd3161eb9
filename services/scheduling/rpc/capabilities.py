"""CapabilityService."""

from atoll.scheduling.v1 import capability_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.pages import Page
from services.scheduling.domain.capabilities import Capability
from services.scheduling.store import SchedulingStore


class CapabilityServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateCapability(self, request: pb.CreateCapabilityRequest, call: Call) -> pb.CreateCapabilityResponse:
        async def work(store: SchedulingStore) -> pb.CreateCapabilityResponse:
            new = Capability(request.code, request.display_name)
            await store.add_capability(new)
            return pb.CreateCapabilityResponse(capability=_to_wire(new))

        return await self._db.once(call, request, pb.CreateCapabilityResponse, SchedulingStore, work)

    async def ListCapabilities(self, request: pb.ListCapabilitiesRequest, call: Call) -> pb.ListCapabilitiesResponse:
        page = Page.of(request, call)
        found = await self._db.read(call, request, SchedulingStore, lambda store: store.capabilities(page))
        kept, token = page.cut(found, key=lambda each: [each.code])
        return pb.ListCapabilitiesResponse(capabilities=map(_to_wire, kept), next_page_token=token)


def _to_wire(each: Capability) -> pb.Capability:
    return pb.Capability(code=each.code, display_name=each.display_name)
