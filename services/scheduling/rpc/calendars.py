"""ResourceCalendarService."""

from collections.abc import Iterable, Iterator

from google.type.interval_pb2 import Interval

from atoll.scheduling.v1 import resource_calendar_service_pb2 as pb
from atoll.scheduling.v1 import visit_pb2
from atoll.scheduling.v1.protocol_pb2 import ResourceKind as WireKind
from atoll.scheduling.v1.protocol_pb2 import SegmentKind
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_timestamp
from services.scheduling.domain.calendars import (
    ALL_DAYS_MAX,
    ONE_DAYS_MAX,
    Allocation,
    Calendar,
    Window,
    off,
    working,
)
from services.scheduling.domain.hours import Hours, Slot
from services.scheduling.domain.resources import Resource, ResourceKind
from services.scheduling.store import SchedulingStore


class ResourceCalendarServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetResourceCalendar(
        self, request: pb.GetResourceCalendarRequest, call: Call
    ) -> pb.GetResourceCalendarResponse:
        site_id, id = from_wire("site", request.site_id), from_wire("resource", request.resource_id)
        window = _window(request, ONE_DAYS_MAX)

        async def read(store: SchedulingStore) -> pb.GetResourceCalendarResponse:
            site = (await store.site(site_id)).hours
            [calendar] = await _calendars(store, site, [await store.resource(id)], window)
            return pb.GetResourceCalendarResponse(resource_calendar=_calendar(calendar, request.site_id))

        return await self._db.read(call, request, SchedulingStore, read)

    async def ListResourceCalendars(
        self, request: pb.ListResourceCalendarsRequest, call: Call
    ) -> pb.ListResourceCalendarsResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        kind = ResourceKind(WireKind.Name(request.kind)) if request.kind else None
        window = _window(request, ALL_DAYS_MAX)

        async def read(store: SchedulingStore) -> pb.ListResourceCalendarsResponse:
            site = (await store.site(site_id)).hours
            found = await store.calendar_resources(site_id, kind, page)
            resources, token = page.cut(found, key=lambda resource: [str(resource.id)])
            calendars = await _calendars(store, site, resources, window)
            wire = [_calendar(each, request.site_id) for each in calendars]
            return pb.ListResourceCalendarsResponse(resource_calendars=wire, next_page_token=token)

        return await self._db.read(call, request, SchedulingStore, read)


async def _calendars(
    store: SchedulingStore, site: Hours, resources: Iterable[Resource], window: Window
) -> list[Calendar]:
    slot = window.slot(site.zone)
    site, had = await store.as_had(site, list(resources), slot)
    taken = await store.allocations([each.id for each in had], slot)
    return [Calendar(each, working(each, site, slot), off(each, site.zone, slot), taken[each.id]) for each in had]


def _window(request: pb.GetResourceCalendarRequest | pb.ListResourceCalendarsRequest, days_max: int) -> Window:
    window = Window(from_date(request.first_date, "first_date"), from_date(request.last_date, "last_date"))
    window.check(days_max)
    return window


def _calendar(calendar: Calendar, site_id: str) -> pb.ResourceCalendar:
    resource = calendar.resource
    return pb.ResourceCalendar(
        resource_id=to_wire("resource", resource.id),
        site_id=site_id,
        kind=WireKind.Value(resource.kind),
        display_name=resource.display_name,
        lane_count=resource.lane_count,
        working_intervals=_intervals(calendar.working),
        time_off_intervals=_intervals(calendar.off),
        allocations=map(_allocation, calendar.allocations),
    )


def _intervals(slots: Iterable[Slot]) -> Iterator[Interval]:
    for slot in slots:
        yield Interval(start_time=to_timestamp(slot.start), end_time=to_timestamp(slot.end))


def _allocation(allocation: Allocation) -> pb.ResourceAllocation:
    return pb.ResourceAllocation(
        visit_id=to_wire("visit", allocation.visit_id),
        patient_id=to_wire("patient", allocation.patient_id),
        site_id=to_wire("site", allocation.site_id),
        status=visit_pb2.VisitStatus.Value(allocation.status),
        lane=allocation.lane,
        start_time=to_timestamp(allocation.slot.start),
        end_time=to_timestamp(allocation.slot.end),
        segment_kinds=[SegmentKind.Value(kind) for kind in allocation.segment_kinds],
    )
