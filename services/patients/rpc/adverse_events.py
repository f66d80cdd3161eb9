"""Adverse events."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from atoll.patients.v1 import adverse_event_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.times import to_instant, to_timestamp
from services.patients.domain.adverse_events import AdverseEvent, Grade, GradeChange, Outcome
from services.patients.store import PatientsStore
from services.patients.use_cases import adverse_events as use_cases

M = TypeVar("M", bound=Message)


class AdverseEventServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def ReportAdverseEvent(
        self, request: pb.ReportAdverseEventRequest, call: Call
    ) -> pb.ReportAdverseEventResponse:
        reported = AdverseEvent(
            id=new_id(),
            patient_id=from_wire("patient", request.patient_id),
            site_id=from_wire("site", request.site_id),
            course_id=from_wire("course", request.course_id) if request.course_id else None,
            visit_id=from_wire("visit", request.visit_id) if request.visit_id else None,
            code=request.code,
            occurred_at=to_instant(request.occur_time) if request.HasField("occur_time") else call.now,
            description=request.description,
            grades=(GradeChange(Grade(request.grade), call.now, call.actor),),
        )

        async def work(store: PatientsStore) -> AdverseEvent:
            return use_cases.report_adverse_event(store, reported)

        return await self._once(call, request, pb.ReportAdverseEventResponse, work, locks=[reported.patient_id])

    async def RegradeAdverseEvent(
        self, request: pb.RegradeAdverseEventRequest, call: Call
    ) -> pb.RegradeAdverseEventResponse:
        id, version, grade = from_wire("adverseevent", request.adverse_event_id), from_etag(request.etag), request.grade
        return await self._once(
            call,
            request,
            pb.RegradeAdverseEventResponse,
            lambda store: use_cases.regrade_adverse_event(store, id, version, Grade(grade)),
        )

    async def ResolveAdverseEvent(
        self, request: pb.ResolveAdverseEventRequest, call: Call
    ) -> pb.ResolveAdverseEventResponse:
        id, version = from_wire("adverseevent", request.adverse_event_id), from_etag(request.etag)
        outcome, allowed = Outcome(pb.Outcome.Name(request.outcome).removeprefix("OUTCOME_")), request.treatment_allowed
        return await self._once(
            call,
            request,
            pb.ResolveAdverseEventResponse,
            lambda store: use_cases.resolve_adverse_event(store, id, version, outcome, allowed),
        )

    async def AllowTreatment(self, request: pb.AllowTreatmentRequest, call: Call) -> pb.AllowTreatmentResponse:
        id, version = from_wire("adverseevent", request.adverse_event_id), from_etag(request.etag)
        return await self._once(
            call, request, pb.AllowTreatmentResponse, lambda store: use_cases.allow_treatment(store, id, version)
        )

    async def GetAdverseEvent(self, request: pb.GetAdverseEventRequest, call: Call) -> pb.GetAdverseEventResponse:
        id = from_wire("adverseevent", request.adverse_event_id)
        found = await self._db.read(call, request, PatientsStore, lambda store: store.adverse_event(id))
        return pb.GetAdverseEventResponse(adverse_event=to_adverse_event(found))

    async def ListAdverseEvents(self, request: pb.ListAdverseEventsRequest, call: Call) -> pb.ListAdverseEventsResponse:
        patient_id, page = from_wire("patient", request.patient_id), Page.of(request, call)
        before = UUID(page.after[0]) if page.after else None
        found = await self._db.read(
            call, request, PatientsStore, lambda store: store.adverse_events(patient_id, before, page.limit)
        )
        kept, token = page.cut(found, key=lambda each: [str(each.id)])
        return pb.ListAdverseEventsResponse(adverse_events=map(to_adverse_event, kept), next_page_token=token)

    async def ListOpenAdverseEvents(
        self, request: pb.ListOpenAdverseEventsRequest, call: Call
    ) -> pb.ListOpenAdverseEventsResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        after = UUID(page.after[0]) if page.after else None

        async def work(store: PatientsStore) -> pb.ListOpenAdverseEventsResponse:
            """Cut to the page inside, since the audit row names who is shown."""
            found = await store.open_adverse_events(site_id, after, page.limit)
            kept, token = page.cut(found, key=lambda each: [str(each.id)])
            return pb.ListOpenAdverseEventsResponse(adverse_events=map(to_adverse_event, kept), next_page_token=token)

        return await self._db.read(call, request, PatientsStore, work)

    async def _once(
        self,
        call: Call,
        request: Message,
        response_type: Callable[..., M],
        change: Callable[[PatientsStore], Awaitable[AdverseEvent]],
        locks: Iterable[UUID] = (),
    ) -> M:
        async def work(store: PatientsStore) -> M:
            return response_type(adverse_event=to_adverse_event(await change(store)))

        kind: Any = response_type
        answer: M = await self._db.once(call, request, kind, PatientsStore, work, locks=locks)
        return answer


def to_adverse_event(event: AdverseEvent) -> pb.AdverseEvent:
    return pb.AdverseEvent(
        id=to_wire("adverseevent", event.id),
        patient_id=to_wire("patient", event.patient_id),
        site_id=to_wire("site", event.site_id),
        course_id=to_wire("course", event.course_id) if event.course_id else "",
        visit_id=to_wire("visit", event.visit_id) if event.visit_id else "",
        code=event.code,
        grade=pb.Grade.ValueType(event.grade),
        occur_time=to_timestamp(event.occurred_at),
        description=event.description,
        report_time=to_timestamp(event.reported_at),
        reported_by=event.grades[0].by,
        resolve_time=to_timestamp(event.resolved_at) if event.resolved_at else None,
        resolved_by=event.resolved_by or "",
        outcome=pb.Outcome.Value(f"OUTCOME_{event.outcome or 'UNSPECIFIED'}"),
        allow_time=to_timestamp(event.allowed_at) if event.allowed_at else None,
        allowed_by=event.allowed_by or "",
        grades=map(_grade_change, event.grades),
        etag=to_etag(event.version),
    )


def _grade_change(change: GradeChange) -> pb.AdverseEvent.GradeChange:
    grade = pb.Grade.ValueType(change.grade)
    return pb.AdverseEvent.GradeChange(grade=grade, change_time=to_timestamp(change.at), changed_by=change.by)
