"""VisitService."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar
from uuid import UUID

from atoll.scheduling.v1 import events_pb2, visit_pb2
from atoll.scheduling.v1 import visit_service_pb2 as pb
from atoll.scheduling.v1.protocol_pb2 import SegmentKind as WireSegmentKind
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import to_instant, to_timestamp
from services.scheduling import use_cases
from services.scheduling.domain.hours import Slot
from services.scheduling.domain.protocols import SegmentKind
from services.scheduling.domain.visits import CancellationReason, Status, StatusChange, Visit
from services.scheduling.events import segment_to_wire
from services.scheduling.rpc.gates import gate_to_wire
from services.scheduling.store import SchedulingStore

Changed: TypeAlias = (
    pb.ConfirmVisitResponse
    | pb.StartTreatmentResponse
    | pb.StartObservationResponse
    | pb.CancelVisitResponse
    | pb.MissVisitResponse
)
Request: TypeAlias = (
    pb.ConfirmVisitRequest
    | pb.StartTreatmentRequest
    | pb.StartObservationRequest
    | pb.CancelVisitRequest
    | pb.MissVisitRequest
)
R = TypeVar("R", bound=Changed)


class VisitServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetVisit(self, request: pb.GetVisitRequest, call: Call) -> pb.GetVisitResponse:
        id = from_wire("visit", request.visit_id)

        async def read(store: SchedulingStore) -> pb.GetVisitResponse:
            visit, changes = await store.visit(id), await store.status_changes(id)
            return pb.GetVisitResponse(visit=visit_to_wire(visit), status_changes=map(_change, changes))

        return await self._db.read(call, request, SchedulingStore, read)

    async def ListVisits(self, request: pb.ListVisitsRequest, call: Call) -> pb.ListVisitsResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        slot = Slot(to_instant(request.start_time), to_instant(request.end_time))
        found = await self._db.read(call, request, SchedulingStore, lambda store: store.visits(site_id, slot, page))
        visits, token = page.cut(found, key=lambda visit: [visit.slot.start.isoformat(), str(visit.id)])
        return pb.ListVisitsResponse(visits=map(visit_to_wire, visits), next_page_token=token)

    async def ConfirmVisit(self, request: pb.ConfirmVisitRequest, call: Call) -> pb.ConfirmVisitResponse:
        return await self._change(call, request, pb.ConfirmVisitResponse, use_cases.confirm_visit)

    async def CheckInVisit(self, request: pb.CheckInVisitRequest, call: Call) -> pb.CheckInVisitResponse:
        id = from_wire("visit", request.visit_id)

        async def work(store: SchedulingStore) -> pb.CheckInVisitResponse:
            visit, unpassed = await use_cases.check_in_visit(store, id, request.gate_reason)
            return pb.CheckInVisitResponse(visit=visit_to_wire(visit), unpassed_gates=map(gate_to_wire, unpassed))

        return await self._db.once(call, request, pb.CheckInVisitResponse, SchedulingStore, work)

    async def StartTreatment(self, request: pb.StartTreatmentRequest, call: Call) -> pb.StartTreatmentResponse:
        async def advance(store: SchedulingStore, id: UUID) -> Visit:
            return await use_cases.advance_visit(store, id, Status.IN_TREATMENT)

        return await self._change(call, request, pb.StartTreatmentResponse, advance)

    async def StartObservation(self, request: pb.StartObservationRequest, call: Call) -> pb.StartObservationResponse:
        async def advance(store: SchedulingStore, id: UUID) -> Visit:
            return await use_cases.advance_visit(store, id, Status.IN_OBSERVATION)

        return await self._change(call, request, pb.StartObservationResponse, advance)

    async def CompleteVisit(self, request: pb.CompleteVisitRequest, call: Call) -> pb.CompleteVisitResponse:
        id = from_wire("visit", request.visit_id)
        given = tuple((SegmentKind(WireSegmentKind.Name(each.kind)), each.minutes) for each in request.segments)

        async def work(store: SchedulingStore) -> pb.CompleteVisitResponse:
            visit, unpassed = await use_cases.complete_visit(store, id, given, request.gate_reason)
            return pb.CompleteVisitResponse(visit=visit_to_wire(visit), unpassed_gates=map(gate_to_wire, unpassed))

        return await self._db.once(call, request, pb.CompleteVisitResponse, SchedulingStore, work)

    async def CancelVisit(self, request: pb.CancelVisitRequest, call: Call) -> pb.CancelVisitResponse:
        reason = CancellationReason(events_pb2.CancellationReason.Name(request.reason))

        async def cancel(store: SchedulingStore, id: UUID) -> Visit:
            return await use_cases.cancel_visit(store, id, reason)

        return await self._change(call, request, pb.CancelVisitResponse, cancel)

    async def MissVisit(self, request: pb.MissVisitRequest, call: Call) -> pb.MissVisitResponse:
        return await self._change(call, request, pb.MissVisitResponse, use_cases.miss_visit)

    async def _change(
        self,
        call: Call,
        request: Request,
        response_type: type[R],
        change: Callable[[SchedulingStore, UUID], Awaitable[Visit]],
    ) -> R:
        id = from_wire("visit", request.visit_id)

        async def work(store: SchedulingStore) -> R:
            return response_type(visit=visit_to_wire(await change(store, id)))

        return await self._db.once(call, request, response_type, SchedulingStore, work)


def visit_to_wire(visit: Visit) -> visit_pb2.Visit:
    wire = visit_pb2.Visit(
        id=to_wire("visit", visit.id),
        course_id=to_wire("course", visit.course_id),
        site_id=to_wire("site", visit.site_id),
        patient_id=to_wire("patient", visit.patient_id),
        phase_code=visit.phase_code,
        visit_type_code=visit.visit_type_code,
        route_code=visit.route_code,
        band_code=visit.band_code,
        telehealth=visit.telehealth,
        status=visit_pb2.VisitStatus.Value(visit.status),
        start_time=to_timestamp(visit.slot.start),
        end_time=to_timestamp(visit.slot.end),
        resources=resources_to_wire(visit.resources),
        segments=[segment_to_wire(kind, minutes) for kind, minutes in visit.segment_minutes],
    )
    if visit.cancellation_reason:
        wire.cancellation_reason = events_pb2.CancellationReason.Value(visit.cancellation_reason)
    return wire


def resources_from_wire(resources: Iterable[visit_pb2.ResourceChoice]) -> tuple[tuple[str, UUID], ...]:
    return tuple((each.requirement_key, from_wire("resource", each.resource_id)) for each in resources)


def resources_to_wire(resources: Iterable[tuple[str, UUID]]) -> Iterator[visit_pb2.ResourceChoice]:
    for key, id in resources:
        yield visit_pb2.ResourceChoice(requirement_key=key, resource_id=to_wire("resource", id))


def _change(change: StatusChange) -> visit_pb2.VisitStatusChange:
    return visit_pb2.VisitStatusChange(
        status=visit_pb2.VisitStatus.Value(change.status),
        change_time=to_timestamp(change.at),
        actor=change.actor,
        reason=change.reason,
    )
