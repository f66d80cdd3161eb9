"""One function per event that billing reads. No ack, no dedup, no retry: the chassis does that."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from atoll.notifications.v1.events_pb2 import EstimateEmailed, EstimateEmailReturned
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
    ResourceRegistered,
    ResourceUpdated,
    SiteRegistered,
    SiteUpdated,
    VisitCancelled,
    VisitCompleted,
    VisitMissed,
)
from atoll.scheduling.v1.protocol_pb2 import RESOURCE_KIND_STAFF
from chassis.consumer import Reads, Together
from chassis.ids import from_wire
from chassis.times import to_instant
from services.billing.domain.estimates import DeliveryMethod
from services.billing.domain.fees import FeeKind
from services.billing.domain.prices import VisitKind
from services.billing.domain.sites import BookedVisit, Course, RenderedVisit, Site, Staff, VisitStatus
from services.billing.store import BillingStore
from services.billing.use_cases.charges import render
from services.billing.use_cases.charging import charge_fee
from services.billing.use_cases.estimates import (
    RecordDelivery,
    drop_visits,
    estimate_next,
    open_course,
    record_delivery,
    return_delivery,
)
from services.billing.use_cases.payments import release_deposits


async def keep_legal_entity(store: BillingStore, event: LegalEntityRegistered | LegalEntityUpdated) -> None:
    id, version = from_wire("legalentity", event.legal_entity_id), event.meta.aggregate_version
    await store.keep_legal_entity(id, event.display_name, version)


async def keep_site(store: BillingStore, event: SiteRegistered | SiteUpdated) -> None:
    """Its legal entity and its zone are those that it was registered with."""
    site = Site(
        from_wire("site", event.site_id),
        from_wire("legalentity", event.legal_entity_id),
        ZoneInfo(event.time_zone),
        display_name=event.display_name,
        state=event.state,
        address=event.address,
    )
    await store.keep_site(site, event.meta.aggregate_version)


async def keep_staff(store: BillingStore, event: ResourceRegistered | ResourceUpdated) -> None:
    if event.kind == RESOURCE_KIND_STAFF:
        staff = Staff(from_wire("resource", event.resource_id), event.display_name, event.credential, event.npi)
        await store.keep_staff(staff, event.meta.aggregate_version)


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


async def estimate_held_course(store: BillingStore, event: CourseHeld) -> None:
    """A hold is answered with an estimate, and the deposit due."""
    await open_course(store, _course(event), _visits(event), booked=False)


async def estimate_booked_course(store: BillingStore, event: CourseBooked) -> None:
    await open_course(store, _course(event), _visits(event), booked=True)


def _course(event: CourseBooked | CourseHeld) -> Course:
    return Course(
        id=from_wire("course", event.course_id),
        site_id=from_wire("site", event.site_id),
        patient_id=from_wire("patient", event.patient_id),
        protocol_version_id=from_wire("protocolversion", event.protocol_version_id),
        booked_at=to_instant(event.meta.occur_time),
    )


def _visits(event: CourseBooked | CourseHeld) -> list[BookedVisit]:
    return [
        BookedVisit(
            from_wire("visit", visit.visit_id),
            VisitKind(visit.visit_type_code, visit.route_code, visit.band_code),
            to_instant(visit.start_time),
        )
        for visit in event.visits
    ]


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
    await estimate_next(store, site, course_id)


async def drop_cancelled(store: BillingStore, event: VisitCancelled) -> None:
    """Late by the patient, it may cost a fee."""
    await _drop(store, event, [event.visit_id], VisitStatus.CANCELLED)
    if event.reason == CANCELLATION_REASON_PATIENT:
        await _charge_fee(store, event, FeeKind.LATE_CANCELLATION, to_instant(event.meta.occur_time))
    await release_deposits(store, from_wire("course", event.course_id))


async def drop_missed(store: BillingStore, event: VisitMissed) -> None:
    await _drop(store, event, [event.visit_id], VisitStatus.MISSED)
    await _charge_fee(store, event, FeeKind.NO_SHOW, None)
    await release_deposits(store, from_wire("course", event.course_id))


async def _charge_fee(
    store: BillingStore, event: VisitCancelled | VisitMissed, kind: FeeKind, cancelled_at: datetime | None
) -> None:
    """With the site locked, as `_drop` left it: its price books are read, and the course may be pinned to one."""
    site, visit_id = await store.site(from_wire("site", event.site_id)), from_wire("visit", event.visit_id)
    await charge_fee(store, site, visit_id, kind, cancelled_at, UUID(event.meta.event_id))


async def drop_ended(store: BillingStore, event: CourseHoldExpired | CourseHoldReleased) -> None:
    await _drop(store, event, event.visit_ids, VisitStatus.CANCELLED)
    await release_deposits(store, from_wire("course", event.course_id))


async def _drop(
    store: BillingStore,
    event: VisitCancelled | VisitMissed | CourseHoldExpired | CourseHoldReleased,
    visit_ids: Sequence[str],
    status: VisitStatus,
) -> None:
    site_id, course_id = from_wire("site", event.site_id), from_wire("course", event.course_id)
    await drop_visits(store, site_id, course_id, [from_wire("visit", id) for id in visit_ids], status)


async def deliver_emailed(store: BillingStore, event: EstimateEmailed) -> None:
    """The patient has it in writing, when it was sent, as far as another's clock agrees with ours. So it is with a
    version that has a later one by now, be it without a price yet: that one is still to be delivered."""
    estimate = await store.estimate(from_wire("estimate", event.estimate_id))
    sent_at = min(max(to_instant(event.meta.occur_time), estimate.created_at), store.call.now)
    message_id = from_wire("message", event.message_id) if event.message_id else None
    await record_delivery(store, RecordDelivery(estimate.id, DeliveryMethod.EMAIL, sent_at, message_id))


async def return_emailed(store: BillingStore, event: EstimateEmailReturned) -> None:
    ids = from_wire("estimate", event.estimate_id), from_wire("message", event.message_id)
    await return_delivery(store, *ids, to_instant(event.meta.occur_time))


READS: dict[str, Reads] = {
    "SCHEDULING": {
        LegalEntityRegistered: keep_legal_entity,
        LegalEntityUpdated: keep_legal_entity,
        SiteRegistered: keep_site,
        SiteUpdated: keep_site,
        ResourceRegistered: keep_staff,
        ResourceUpdated: keep_staff,
        ProtocolVersionPublished: keep_visit_types,
        CourseBooked: estimate_booked_course,
        CourseHeld: estimate_held_course,
        CourseHoldExpired: drop_ended,
        CourseHoldReleased: drop_ended,
        VisitCompleted: charge_visit,
        VisitCancelled: drop_cancelled,
        VisitMissed: drop_missed,
    },
    "PATIENTS": {PatientRegistered: Together(keep_patients), PatientMerged: merge, PatientUnmerged: unmerge},
    "NOTIFICATIONS": {EstimateEmailed: deliver_emailed, EstimateEmailReturned: return_emailed},
}
