"""SiteService."""

from google.protobuf.json_format import MessageToDict, ParseDict
from google.type.postal_address_pb2 import PostalAddress

from atoll.scheduling.v1 import site_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date
from services.scheduling import use_cases
from services.scheduling.domain.sites import Site
from services.scheduling.rpc.hours import shifts_from_wire, shifts_to_wire
from services.scheduling.store import SchedulingStore


class SiteServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateSite(self, request: pb.CreateSiteRequest, call: Call) -> pb.CreateSiteResponse:
        async def work(store: SchedulingStore) -> pb.CreateSiteResponse:
            site = _site(request)
            await use_cases.register_site(store, site)
            return pb.CreateSiteResponse(site=_to_wire(site))

        return await self._db.once(call, request, pb.CreateSiteResponse, SchedulingStore, work)

    async def GetSite(self, request: pb.GetSiteRequest, call: Call) -> pb.GetSiteResponse:
        id = from_wire("site", request.site_id)
        site = await self._db.read(call, request, SchedulingStore, lambda store: store.site(id))
        return pb.GetSiteResponse(site=_to_wire(site))

    async def ListSites(self, request: pb.ListSitesRequest, call: Call) -> pb.ListSitesResponse:
        page = Page.of(request, call)
        found = await self._db.read(call, request, SchedulingStore, lambda store: store.sites(page))
        sites, token = page.cut(found, key=lambda site: [site.code])
        return pb.ListSitesResponse(sites=map(_to_wire, sites), next_page_token=token)


def _site(request: pb.CreateSiteRequest) -> Site:
    return Site(
        id=new_id(),
        legal_entity_id=from_wire("legalentity", request.legal_entity_id),
        code=request.code,
        display_name=request.display_name,
        discreet_name=request.discreet_name,
        address=MessageToDict(request.address, preserving_proto_field_name=True),
        state=request.state,
        time_zone=request.time_zone,
        phone=request.phone,
        opening_hours=shifts_from_wire(request.opening_hours, "opening_hours"),
        closed_dates=tuple(from_date(day, f"closed_dates[{n}]") for n, day in enumerate(request.closed_dates)),
    )


def _to_wire(site: Site) -> pb.Site:
    return pb.Site(
        id=to_wire("site", site.id),
        legal_entity_id=to_wire("legalentity", site.legal_entity_id),
        code=site.code,
        display_name=site.display_name,
        discreet_name=site.discreet_name,
        address=ParseDict(dict(site.address), PostalAddress()),
        state=site.state,
        time_zone=site.time_zone,
        phone=site.phone,
        opening_hours=shifts_to_wire(site.opening_hours),
        closed_dates=[to_date(day) for day in site.closed_dates],
    )
