"""ResourceService."""

from typing import Any

from atoll.scheduling.v1 import resource_service_pb2 as pb
from atoll.scheduling.v1.protocol_pb2 import ResourceKind as WireKind
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date
from services.scheduling import use_cases
from services.scheduling.domain.resources import NO_SITE, Credential, Resource, ResourceKind, at_home
from services.scheduling.rpc.hours import (
    bound_to_wire,
    days_given,
    offs_from_wire,
    offs_to_wire,
    shifts_from_wire,
    shifts_to_wire,
    working_shifts_from_wire,
    working_shifts_to_wire,
)
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

    async def UpdateResource(self, request: pb.UpdateResourceRequest, call: Call) -> pb.UpdateResourceResponse:
        told, fields = _told(request.resource), frozenset(request.update_mask.paths)

        async def work(store: SchedulingStore) -> pb.UpdateResourceResponse:
            return pb.UpdateResourceResponse(resource=_to_wire(await use_cases.change_resource(store, told, fields)))

        return await self._db.once(call, request, pb.UpdateResourceResponse, SchedulingStore, work, locks=[told.id])

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
    site_id, changeable = from_wire("site", request.site_id), _changeable(request, "")
    changeable["shifts"] = at_home(changeable["shifts"], site_id)
    return Resource(id=new_id(), site_id=site_id, kind=ResourceKind(WireKind.Name(request.kind)), **changeable)


def _told(resource: pb.Resource) -> Resource:
    """The id, the version that was seen, and what may change."""
    retire_date = from_date(resource.retire_date, "resource.retire_date") if resource.HasField("retire_date") else None
    return Resource(
        id=from_wire("resource", resource.id),
        site_id=NO_SITE,
        kind=ResourceKind.STAFF,
        retire_date=retire_date,
        version=from_etag(resource.etag),
        **_changeable(resource, "resource."),
    )


def _changeable(told: pb.CreateResourceRequest | pb.Resource, path: str) -> dict[str, Any]:
    return {
        "display_name": told.display_name,
        "capabilities": frozenset(told.capabilities),
        "lane_count": told.lane_count,
        "working_hours": shifts_from_wire(told.working_hours, f"{path}working_hours"),
        "time_off": offs_from_wire(told.time_off, f"{path}time_off"),
        "credential": told.credential,
        "npi": told.npi,
        "credentials": tuple(_credential(each, f"{path}credentials[{n}]") for n, each in enumerate(told.credentials)),
        "roles": frozenset(told.roles),
        "shifts": working_shifts_from_wire(told.shifts, f"{path}shifts"),
    }


def _credential(wire: pb.Credential, field: str) -> Credential:
    days = days_given(wire, field, "effective", "expire")
    return Credential(wire.code, wire.licence_number, frozenset(wire.states), **days)


def _credential_to_wire(each: Credential) -> pb.Credential:
    return pb.Credential(
        code=each.code,
        licence_number=each.licence_number,
        states=sorted(each.states),
        effective_date=bound_to_wire(each.effective),
        expire_date=bound_to_wire(each.expire),
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
        credentials=map(_credential_to_wire, resource.credentials),
        roles=sorted(resource.roles),
        shifts=working_shifts_to_wire(resource.shifts),
        retire_date=to_date(resource.retire_date) if resource.retire_date else None,
        etag=to_etag(resource.version),
    )
