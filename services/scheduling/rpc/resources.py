"""ResourceService."""

from atoll.scheduling.v1 import resource_service_pb2 as pb
from atoll.scheduling.v1.protocol_pb2 import ResourceKind as WireKind
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from services.scheduling import use_cases
from services.scheduling.domain.resources import Resource, ResourceKind
from services.scheduling.rpc.hours import offs_from_wire, offs_to_wire, shifts_from_wire, shifts_to_wire
from services.scheduling.store import SchedulingStore


class ResourceServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateResource(self, request: pb.CreateResourceRequest, call: Call) -> pb.CreateResourceResponse:
        async def work(store: SchedulingStore) -> pb.CreateResourceResponse:
            resource = _resource(request)
            await use_cases.register_resource(store, resource)
            return pb.CreateResourceResponse(resource=_to_wire(resource))

        return await self._db.once(call, request, pb.CreateResourceResponse, SchedulingStore, work)

    async def GetResource(self, request: pb.GetResourceRequest, call: Call) -> pb.GetResourceResponse:
        id = from_wire("resource", request.resource_id)
        resource = await self._db.read(call, request, SchedulingStore, lambda store: store.resource(id))
        return pb.GetResourceResponse(resource=_to_wire(resource))

    async def ListResources(self, request: pb.ListResourcesRequest, call: Call) -> pb.ListResourcesResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        found = await self._db.read(call, request, SchedulingStore, lambda store: store.resources(site_id, page))
        resources, token = page.cut(found, key=lambda resource: [str(resource.id)])
        return pb.ListResourcesResponse(resources=map(_to_wire, resources), next_page_token=token)


def _resource(request: pb.CreateResourceRequest) -> Resource:
    return Resource(
        id=new_id(),
        site_id=from_wire("site", request.site_id),
        kind=ResourceKind(WireKind.Name(request.kind)),
        display_name=request.display_name,
        capabilities=frozenset(request.capabilities),
        lane_count=request.lane_count,
        working_hours=shifts_from_wire(request.working_hours, "working_hours"),
        time_off=offs_from_wire(request.time_off, "time_off"),
        credential=request.credential,
        npi=request.npi,
    )


def _to_wire(resource: Resource) -> pb.Resource:
    return pb.Resource(
        id=to_wire("resource", resource.id),
        site_id=to_wire("site", resource.site_id),
        kind=WireKind.Value(resource.kind),
        display_name=resource.display_name,
        capabilities=sorted(resource.capabilities),
        lane_count=resource.lane_count,
        working_hours=shifts_to_wire(resource.working_hours),
        time_off=offs_to_wire(resource.time_off),
        credential=resource.credential,
        npi=resource.npi,
    )
