"""Events of visits: their messages are planned, and withdrawn."""

from uuid import UUID

from atoll.scheduling.v1.events_pb2 import (
    BookedVisit,
    CourseBooked,
    CourseHoldExpired,
    VisitCancelled,
    VisitCompleted,
    VisitConfirmed,
    VisitMissed,
)
from chassis.consumer import Reads
from chassis.ids import from_wire
from chassis.times import to_instant
from services.notifications.domain.kinds import MessageKind
from services.notifications.domain.matters import Matter, MatterKind
from services.notifications.domain.visits import Visit, VisitStatus
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import messages, renewals


async def plan_visits(store: NotificationsStore, event: CourseBooked) -> None:
    protocol_id = from_wire("protocol", event.protocol_id) if event.protocol_id else None
    command = messages.PlanVisits(
        site_id=from_wire("site", event.site_id),
        patient_id=from_wire("patient", event.patient_id),
        event_id=UUID(event.meta.event_id),
        protocol_version_id=_some(event.protocol_version_id),
        visits=tuple(_visit(visit, protocol_id) for visit in event.visits),
        version=event.meta.aggregate_version,
    )
    await store.lock_whole(command.patient_id)
    await messages.plan_visits(store, command)
    await renewals.settle(store, command.patient_id, command.event_id)


def _some(version_id: str) -> UUID | None:
    return from_wire("protocolversion", version_id) if version_id else None


def _visit(booked: BookedVisit, protocol_id: UUID | None) -> Visit:
    start = to_instant(booked.start_time)
    return Visit(
        id=from_wire("visit", booked.visit_id),
        status=VisitStatus.BOOKED,
        start=start,
        end=to_instant(booked.end_time) if booked.HasField("end_time") else start,
        telehealth=booked.telehealth,
        visit_type_code=booked.visit_type_code,
        protocol_id=protocol_id,
    )


async def confirm_visit(store: NotificationsStore, event: VisitConfirmed) -> None:
    await store.confirm(from_wire("visit", event.visit_id))


async def cancel_visit(store: NotificationsStore, event: VisitCancelled) -> None:
    await messages.end_visit(store, _end(event, VisitStatus.CANCELLED))


async def miss_visit(store: NotificationsStore, event: VisitMissed) -> None:
    await messages.end_visit(store, _end(event, VisitStatus.MISSED))


async def complete_visit(store: NotificationsStore, event: VisitCompleted) -> None:
    await messages.end_visit(store, _end(event, VisitStatus.COMPLETED))


def _end(event: VisitCancelled | VisitMissed | VisitCompleted, status: VisitStatus) -> messages.EndVisit:
    return messages.EndVisit(
        visit_id=from_wire("visit", event.visit_id),
        site_id=from_wire("site", event.site_id),
        patient_id=from_wire("patient", event.patient_id),
        status=status,
        event_id=UUID(event.meta.event_id),
    )


async def tell_hold_expired(store: NotificationsStore, event: CourseHoldExpired) -> None:
    """Whom it was offered to reserved nothing, and was told until when it would hold."""
    if await store.were_offered([from_wire("visit", id) for id in event.visit_ids]):
        return
    event_id = UUID(event.meta.event_id)
    matter = Matter(
        event_id,
        MatterKind.COURSE,
        from_wire("site", event.site_id),
        from_wire("patient", event.patient_id),
        about=event.course_id,
    )
    await messages.tell_matter(store, messages.TellMatter(matter, (MessageKind.HOLD_EXPIRED,), event_id))


READS: Reads = {
    CourseBooked: plan_visits,
    CourseHoldExpired: tell_hold_expired,
    VisitConfirmed: confirm_visit,
    VisitCancelled: cancel_visit,
    VisitMissed: miss_visit,
    VisitCompleted: complete_visit,
}
