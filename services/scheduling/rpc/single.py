"""The part of VisitService that books visits beside the phases of a course."""

from functools import partial
from typing import Any
from uuid import UUID

from atoll.scheduling.v1 import visit_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire
from chassis.times import from_date
from services.scheduling.domain.courses import Choice
from services.scheduling.domain.series import Series
from services.scheduling.rpc.conflicts import Conflicts
from services.scheduling.rpc.hours import day_of_visit, minute_of_start, start_of_visit
from services.scheduling.rpc.visits import VisitServicer, resources_from_wire, visit_to_wire
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases.single import BookVisits, book_visits, in_series


class BookingVisitServicer(VisitServicer):
    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self._conflicts = Conflicts(db)

    async def BookVisit(self, request: pb.BookVisitRequest, call: Call) -> pb.BookVisitResponse:
        choice = Choice("", start_of_visit(request.start_time, "start_time"), resources_from_wire(request.resources))
        command = BookVisits(**_asked(request), visits=(choice,))

        async def work(store: SchedulingStore) -> pb.BookVisitResponse:
            [visit] = await book_visits(store, command)
            return pb.BookVisitResponse(visit=visit_to_wire(visit))

        locks = command.contended_ids
        booked = self._db.once(call, request, pb.BookVisitResponse, SchedulingStore, work, locks=locks)
        return await self._conflicts.or_elsewhere(call, request, command, booked)

    async def BookSeries(self, request: pb.BookSeriesRequest, call: Call) -> pb.BookSeriesResponse:
        dateless, resources = BookVisits(**_asked(request), visits=()), resources_from_wire(request.resources)
        command = partial(in_series, command=dateless, series=_series(request), resources=resources)

        async def work(store: SchedulingStore) -> pb.BookSeriesResponse:
            visits = await book_visits(store, await command(store))
            return pb.BookSeriesResponse(visits=map(visit_to_wire, visits))

        locks = {dateless.patient_id, *(id for _, id in resources)}
        booked = self._db.once(call, request, pb.BookSeriesResponse, SchedulingStore, work, locks=locks)
        return await self._conflicts.or_elsewhere(call, request, command, booked)


def _asked(request: pb.BookVisitRequest | pb.BookSeriesRequest) -> dict[str, Any]:
    course_id: UUID | None = from_wire("course", request.course_id) if request.course_id else None
    return {
        "site_id": from_wire("site", request.site_id),
        "patient_id": from_wire("patient", request.patient_id),
        "protocol_version_id": from_wire("protocolversion", request.protocol_version_id),
        "visit_type_code": request.visit_type_code,
        "route_code": request.route_code,
        "course_id": course_id,
    }


def _series(request: pb.BookSeriesRequest) -> Series:
    return Series(
        first=day_of_visit(request.first_date, "first_date"),
        minute_of_day=minute_of_start(request.start_time_of_day, "start_time_of_day"),
        interval_weeks=request.interval_weeks,
        count=request.visit_count if request.HasField("visit_count") else None,
        last=from_date(request.until_date, "until_date") if request.HasField("until_date") else None,
        skip_closed_days=request.skip_closed_days,
    )
