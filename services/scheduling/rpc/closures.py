"""ClosureService."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from atoll.scheduling.v1 import closure_service_pb2 as pb
from atoll.scheduling.v1.events_pb2 import ClosureKind as WireKind
from atoll.scheduling.v1.hours_pb2 import TimeOff
from chassis.call import Call
from chassis.db import Database
from chassis.errors import Overloaded
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_instant, to_timestamp
from services.scheduling import use_cases
from services.scheduling.domain.closures import BROKEN_MAX, Closure, ClosureKind
from services.scheduling.domain.hours import Days, Off, Slot
from services.scheduling.domain.offers import Offer, offers
from services.scheduling.domain.visits import Visit
from services.scheduling.rpc.visits import resources_to_wire
from services.scheduling.store import SchedulingStore

PAGE_SIZE = 20
SEARCHES_MAX = 16
"""Pages of offers being looked for or waiting for it, in one worker."""


class ClosureServicer:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._searcher, self._searching = ThreadPoolExecutor(1, "offers"), 0

    async def PreviewClosure(self, request: pb.PreviewClosureRequest, call: Call) -> pb.PreviewClosureResponse:
        command = _close(request.site_id, request.resource_id, request.time)

        async def work(store: SchedulingStore) -> list[Visit]:
            visits = await store.broken(await use_cases.closed_by(store, command), BROKEN_MAX + 1)
            store.saw(*(visit.patient_id for visit in visits[:BROKEN_MAX]))
            return visits

        visits = await self._db.read(call, request, SchedulingStore, work)
        return pb.PreviewClosureResponse(**_broken(visits))

    async def CreateClosure(self, request: pb.CreateClosureRequest, call: Call) -> pb.CreateClosureResponse:
        command = _close(request.site_id, request.resource_id, request.time)
        kind = ClosureKind(WireKind.Name(request.kind))

        async def work(store: SchedulingStore) -> pb.CreateClosureResponse:
            closure, visits = await use_cases.close(store, command, kind)
            return pb.CreateClosureResponse(closure=_closure(closure), **_broken(visits))

        locks = [command.resource_id or command.site_id]
        return await self._db.once(call, request, pb.CreateClosureResponse, SchedulingStore, work, locks=locks)

    async def ListClosures(self, request: pb.ListClosuresRequest, call: Call) -> pb.ListClosuresResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        after = to_instant(request.end_after_time) if request.HasField("end_after_time") else None
        found = await self._db.read(call, request, SchedulingStore, lambda store: store.closures(site_id, after, page))
        closures, token = page.cut(found, key=lambda each: [each.closed.slot.end.isoformat(), str(each.id)])
        return pb.ListClosuresResponse(closures=map(_closure, closures), next_page_token=token)

    async def CancelClosure(self, request: pb.CancelClosureRequest, call: Call) -> pb.CancelClosureResponse:
        id, version = from_wire("closure", request.closure_id), from_etag(request.etag)

        async def work(store: SchedulingStore) -> pb.CancelClosureResponse:
            return pb.CancelClosureResponse(closure=_closure(await use_cases.cancel_closure(store, id, version)))

        return await self._db.once(call, request, pb.CancelClosureResponse, SchedulingStore, work)

    async def ListBrokenVisits(self, request: pb.ListBrokenVisitsRequest, call: Call) -> pb.ListBrokenVisitsResponse:
        """The transaction is over before offers are looked for, which happens beside the event loop."""
        id = from_wire("closure", request.closure_id)
        request.page_size = min(request.page_size or PAGE_SIZE, PAGE_SIZE)
        page = Page.of(request, call)
        if self._searching >= SEARCHES_MAX:
            raise Overloaded()
        self._searching += 1
        try:
            found = await self._db.read(
                call, request, SchedulingStore, lambda store: use_cases.broken_visits(store, id, page)
            )
            kept, token = page.cut(found, key=lambda each: [each.visit.slot.start.isoformat(), str(each.visit.id)])
            search = asyncio.get_running_loop().run_in_executor
            visits = [await search(self._searcher, _with_offers, each, call) for each in kept]
        finally:
            self._searching -= 1
        return pb.ListBrokenVisitsResponse(broken_visits=visits, next_page_token=token)


def _close(site_id: str, resource_id: str, time: TimeOff) -> use_cases.Close:
    return use_cases.Close(
        from_wire("site", site_id), from_wire("resource", resource_id) if resource_id else None, _time(time)
    )


def _time(wire: TimeOff) -> Off:
    """As it is given, whatever its order: the domain says what is wrong with it."""
    if wire.HasField("dates"):
        first = from_date(wire.dates.first_date, "time.dates.first_date")
        return Days(first, from_date(wire.dates.last_date, "time.dates.last_date"))
    return Slot(to_instant(wire.interval.start_time), to_instant(wire.interval.end_time))


def _broken(visits: Sequence[Visit]) -> dict[str, Any]:
    shown = [_broken_visit(visit, ()) for visit in visits[:BROKEN_MAX]]
    return {"broken_visits": shown, "has_more": len(visits) > BROKEN_MAX}


def _with_offers(broken: use_cases.BrokenVisit, call: Call) -> pb.BrokenVisit:
    found = offers(broken.template, broken.visit, broken.course, broken.around, call.now)
    return _broken_visit(broken.visit, found)


def _broken_visit(visit: Visit, found: Sequence[Offer]) -> pb.BrokenVisit:
    return pb.BrokenVisit(
        visit_id=to_wire("visit", visit.id),
        course_id=to_wire("course", visit.course_id),
        site_id=to_wire("site", visit.site_id),
        patient_id=to_wire("patient", visit.patient_id),
        visit_type_code=visit.visit_type_code,
        start_time=to_timestamp(visit.slot.start),
        end_time=to_timestamp(visit.slot.end),
        resources=resources_to_wire(visit.resources),
        offers=[
            pb.VisitOffer(start_time=to_timestamp(each.start), resources=resources_to_wire(each.resources))
            for each in found
        ],
    )


def _closure(closure: Closure) -> pb.Closure:
    closed = closure.closed
    return pb.Closure(
        id=to_wire("closure", closure.id),
        site_id=to_wire("site", closed.site_id),
        resource_id=_resource(closed.resource_id),
        kind=WireKind.Value(closure.kind),
        start_time=to_timestamp(closed.slot.start),
        end_time=to_timestamp(closed.slot.end),
        create_time=to_timestamp(closure.created_at),
        created_by=closure.created_by,
        cancel_time=to_timestamp(closure.cancelled_at) if closure.cancelled_at else None,
        etag=to_etag(closure.version),
    )


def _resource(id: UUID | None) -> str:
    return to_wire("resource", id) if id else ""
