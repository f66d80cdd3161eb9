"""SiteService."""

from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.type.postal_address_pb2 import PostalAddress

from atoll.scheduling.v1 import site_service_pb2 as pb
from atoll.scheduling.v1.hours_pb2 import Holiday as WireHoliday
from chassis.auth import AccessDenied
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date
from services.scheduling import use_cases
from services.scheduling.domain.holidays import Holiday
from services.scheduling.domain.resources import NO_SITE
from services.scheduling.domain.sites import Site
from services.scheduling.rpc.hours import dated_from_wire, dated_to_wire, shifts_from_wire, shifts_to_wire
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

    async def UpdateSite(self, request: pb.UpdateSiteRequest, call: Call) -> pb.UpdateSiteResponse:
        told, fields = _told(request.site), frozenset(request.update_mask.paths)
        if call.sites is not None and told.id not in call.sites:
            raise AccessDenied()

        async def work(store: SchedulingStore) -> pb.UpdateSiteResponse:
            return pb.UpdateSiteResponse(site=_to_wire(await use_cases.change_site(store, told, fields)))

        return await self._db.once(call, request, pb.UpdateSiteResponse, SchedulingStore, work)

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
        state=request.state,
        time_zone=request.time_zone,
        **_changeable(request, ""),
    )


def _told(site: pb.Site) -> Site:
    """The id, the version that was seen, and what may change."""
    fixed: dict[str, Any] = {"legal_entity_id": NO_SITE, "code": "", "state": "", "time_zone": ""}
    return Site(from_wire("site", site.id), version=from_etag(site.etag), **fixed, **_changeable(site, "site."))


def _changeable(told: pb.CreateSiteRequest | pb.Site, path: str) -> dict[str, Any]:
    return {
        "display_name": told.display_name,
        "discreet_name": told.discreet_name,
        "address": MessageToDict(told.address, preserving_proto_field_name=True),
        "phone": told.phone,
        "opening_hours": shifts_from_wire(told.opening_hours, f"{path}opening_hours"),
        "closed_dates": tuple(from_date(day, f"{path}closed_dates[{n}]") for n, day in enumerate(told.closed_dates)),
        "exceptions": dated_from_wire(told.exceptions, f"{path}exceptions"),
        "observed_holidays": frozenset(Holiday(WireHoliday.Name(each)) for each in told.observed_holidays),
    }


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
        exceptions=dated_to_wire(site.exceptions),
        observed_holidays=sorted(WireHoliday.Value(each) for each in site.observed_holidays),
        etag=to_etag(site.version),
    )
