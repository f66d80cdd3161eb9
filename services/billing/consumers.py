"""One function per event that billing reads. No ack, no dedup, no retry: the chassis does that."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from atoll.patients.v1.events_pb2 import PatientMerged, PatientRegistered, PatientUnmerged
from atoll.scheduling.v1.events_pb2 import (
    CANCELLATION_REASON_PATIENT,
    CourseBooked,
    CourseHeld,
    CourseHoldExpired,
    CourseHoldReleased,
    LegalEntityRegistered,
    LegalEntityUpdated,
    ProtocolVersionPublished,
    SiteRegistered,
    VisitCancelled,
    VisitCompleted,
    VisitMissed,
)
from chassis.consumer import Reads, Together
from chassis.ids import from_wire
from chassis.times import to_instant
from services.billing.domain.fees import FeeKind
from services.billing.domain.prices import VisitKind
from services.billing.domain.sites import Course, RenderedVisit, Site, VisitStatus
from services.billing.store import BillingStore
from services.billing.use_cases.charges import render
from services.billing.use_cases.charging import charge_fee
from services.billing.use_cases.estimates import BookedVisit, open_course
from services.billing.use_cases.payments import release_deposits


async def keep_legal_entity(store: BillingStore, event: LegalEntityRegistered | LegalEntityUpdated) -> None:
    id, version = from_wire("legalentity", event.legal_entity_id), event.meta.aggregate_version
    await store.keep_legal_entity(id, event.display_name, version)


async def keep_site(store: BillingStore, event: SiteRegistered) -> None:
    legal_entity_id = from_wire("legalentity", event.legal_entity_id)
    await store.keep_site(Site(from_wire("site", event.site_id), legal_entity_id, ZoneInfo(event.time_zone)))


async def keep_visit_types(store: BillingStore, event: ProtocolVersionPublished) -> None:
    names = {each.code: each.display_name for each in event.template.visit_types}
    await store.keep_visit_types(from_wire("protocolversion", event.protocol_version_id), names)


async def keep_patients(store: BillingStore, events: Sequence[PatientRegistered]) -> None:
    await store.keep_patients([from_wire("patient", event.patient_id) for event in events])


async def merge(store: BillingStore, event: PatientMerged) -> None:
    survivor_id = from_wire("patient", event.patient_id)
    await store.keep_alias(from_wire("patient", event.merged_patient_id), survivor_id, event.meta.aggregate_version)


async def unmerge(store: BillingStore, event: PatientUnmerged) -> None:
    await store.keep_alias(from_wire("patient", event.merged_patient_id), None, event.meta.aggregate_version)


async def estimate_course(store: BillingStore, event: CourseBooked | CourseHeld) -> None:
    """A hold is answered as a booking is: with an estimate, and the deposit due. Booked, its visits are known."""
    course = Course(
        id=from_wire("course", event.course_id),
        site_id=from_wire("site", event.site_id),
        patient_id=from_wire("patient", event.patient_id),
        protocol_version_id=from_wire("protocolversion", event.protocol_version_id),
        booked_at=to_instant(event.meta.occur_time),
    )
    visits = [
        BookedVisit(
            from_wire("visit", visit.visit_id),
            VisitKind(visit.visit_type_code, visit.route_code, visit.band_code),
            to_instant(visit.start_time),
        )
        for visit in event.visits
    ]
    await open_course(store, course, visits)
    await store.keep_kinds({visit.id: visit.kind for visit in visits})


async def charge_visit(store: BillingStore, event: VisitCompleted) -> None:
    site_id, course_id = from_wire("site", event.site_id), from_wire("course", event.course_id)
    await store.lock([site_id])
    site, course = await store.site(site_id), await store.course(course_id)
    visit = RenderedVisit(
        id=from_wire("visit", event.visit_id),
        site_id=course.site_id,
        patient_id=course.patient_id,
        course_id=course_id,
        kind=VisitKind(event.visit_type_code, event.route_code, event.band_code),
        service_date=site.day(to_instant(event.start_time)),
        event_id=UUID(event.meta.event_id),
    )
    await render(store, visit)


async def mark_cancelled(store: BillingStore, event: VisitCancelled) -> None:
    """Late by the patient, it may cost a fee."""
    await _mark(store, event.course_id, event.visit_id, VisitStatus.CANCELLED)
    if event.reason == CANCELLATION_REASON_PATIENT:
        await _charge_fee(store, event, FeeKind.LATE_CANCELLATION, to_instant(event.meta.occur_time))


async def mark_missed(store: BillingStore, event: VisitMissed) -> None:
    await _mark(store, event.course_id, event.visit_id, VisitStatus.MISSED)
    await _charge_fee(store, event, FeeKind.NO_SHOW, None)


async def _charge_fee(
    store: BillingStore, event: VisitCancelled | VisitMissed, kind: FeeKind, cancelled_at: datetime | None
) -> None:
    """With the site locked: its price books are read, and the course may be pinned to one."""
    site_id, visit_id = from_wire("site", event.site_id), from_wire("visit", event.visit_id)
    await store.lock([site_id])
    site = await store.site(site_id)
    await charge_fee(store, site, visit_id, kind, cancelled_at, UUID(event.meta.event_id))


async def mark_ended(store: BillingStore, event: CourseHoldExpired | CourseHoldReleased) -> None:
    """What was paid for it is the patient's, if nothing else of the course is to come."""
    for visit_id in event.visit_ids:
        await _mark(store, event.course_id, visit_id, VisitStatus.CANCELLED)
    await release_deposits(store, from_wire("course", event.course_id))


async def _mark(store: BillingStore, course_id: str, visit_id: str, status: VisitStatus) -> None:
    await store.course(from_wire("course", course_id))
    await store.mark_visit(from_wire("visit", visit_id), status)


READS: dict[str, Reads] = {
    "SCHEDULING": {
        LegalEntityRegistered: keep_legal_entity,
        LegalEntityUpdated: keep_legal_entity,
        SiteRegistered: keep_site,
        ProtocolVersionPublished: keep_visit_types,
        CourseBooked: estimate_course,
        CourseHeld: estimate_course,
        CourseHoldExpired: mark_ended,
        CourseHoldReleased: mark_ended,
        VisitCompleted: charge_visit,
        VisitCancelled: mark_cancelled,
        VisitMissed: mark_missed,
    },
    "PATIENTS": {PatientRegistered: Together(keep_patients), PatientMerged: merge, PatientUnmerged: unmerge},
}
