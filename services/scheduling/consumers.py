"""One function per event that scheduling reads. No ack, no dedup, no retry: the chassis does that."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias
from uuid import UUID

from atoll.billing.v1.events_pb2 import (
    DepositReleased,
    EstimateDelivered,
    EstimateDeliveryReturned,
    EstimateIssued,
    PaymentReceived,
)
from atoll.notifications.v1.events_pb2 import OfferAcceptanceReceived, RescheduleRequested, VisitConfirmationReceived
from atoll.patients.v1.events_pb2 import (
    AdverseEventRegraded,
    AdverseEventReported,
    AdverseEventResolved,
    ClearanceGranted,
    ClearanceRevoked,
    PatientMerged,
    PatientRegistered,
    PatientUnmerged,
    PatientUpdated,
    TreatmentAllowed,
)
from atoll.scheduling.v1.events_pb2 import (
    ClosureCancelled,
    ClosureCreated,
    CourseHoldExpired,
    CourseHoldReleased,
    OfferEnded,
    ResourceRegistered,
    ResourceUpdated,
    SiteUpdated,
    VisitCancelled,
    VisitMissed,
)
from chassis.consumer import Reads, Together
from chassis.ids import from_wire
from chassis.times import from_date, to_instant
from services.scheduling import use_cases
from services.scheduling.domain.courses import Clearance
from services.scheduling.store import SchedulingStore
from services.scheduling.store.patients import PatientTold
from services.scheduling.use_cases import deaths, waitlist

FreeingPatient: TypeAlias = VisitCancelled | VisitMissed | CourseHoldExpired | CourseHoldReleased | OfferEnded
OfAdverseEvent: TypeAlias = AdverseEventReported | AdverseEventRegraded | AdverseEventResolved | TreatmentAllowed
Freeing: TypeAlias = FreeingPatient | SiteUpdated | ResourceRegistered | ResourceUpdated


async def keep_patients(store: SchedulingStore, events: Sequence[PatientRegistered]) -> None:
    """Whoever is registered as deceased has no visits yet."""
    told = {event.patient_id: _patient_told(event) for event in events}
    await store.keep_patients(list(told.values()))


async def keep_patient(store: SchedulingStore, event: PatientUpdated) -> None:
    await deaths.keep_patient(store, _patient_told(event))


def _patient_told(event: PatientRegistered | PatientUpdated) -> PatientTold:
    return PatientTold(from_wire("patient", event.patient_id), event.deceased, event.meta.aggregate_version)


async def merge(store: SchedulingStore, event: PatientMerged) -> None:
    await _keep_merge(store, event, merged=True)


async def unmerge(store: SchedulingStore, event: PatientUnmerged) -> None:
    await _keep_merge(store, event, merged=False)


async def _keep_merge(store: SchedulingStore, event: PatientMerged | PatientUnmerged, *, merged: bool) -> None:
    command = use_cases.KeepMerge(
        patient_id=from_wire("patient", event.patient_id),
        merged_patient_id=from_wire("patient", event.merged_patient_id),
        merged=merged,
        version=event.meta.aggregate_version,
        at=to_instant(event.meta.occur_time),
    )
    await use_cases.keep_merge(store, command)


async def keep_clearance(store: SchedulingStore, event: ClearanceGranted) -> None:
    await store.grant(
        from_wire("clearance", event.clearance_id),
        from_wire("patient", event.patient_id),
        from_wire("protocol", event.protocol_id),
        Clearance(
            frozenset(event.route_codes),
            from_date(event.effective_date, "effective_date"),
            from_date(event.expire_date, "expire_date"),
            frozenset(event.band_codes),
            event.session_minutes_max,
        ),
    )
    await store.look_again_for({from_wire("patient", event.patient_id)})


async def revoke_clearance(store: SchedulingStore, event: ClearanceRevoked) -> None:
    """Also before it was granted, if events come in that order: then it is revoked from the start."""
    await store.revoke(
        from_wire("clearance", event.clearance_id),
        from_wire("patient", event.patient_id),
        from_wire("protocol", event.protocol_id),
    )


async def pause(store: SchedulingStore, event: AdverseEventReported) -> None:
    await _keep_adverse_event(store, event, pausing=True)


async def pause_again(store: SchedulingStore, event: AdverseEventRegraded) -> None:
    """Where a worse grade took back that treatment was allowed. Another grade lets nothing go on."""
    if event.pausing:
        await _keep_adverse_event(store, event, pausing=True)


async def resolve(store: SchedulingStore, event: AdverseEventResolved) -> None:
    await _keep_adverse_event(store, event, pausing=not event.treatment_allowed)


async def resume(store: SchedulingStore, event: TreatmentAllowed) -> None:
    await _keep_adverse_event(store, event, pausing=False)


async def _keep_adverse_event(store: SchedulingStore, event: OfAdverseEvent, *, pausing: bool) -> None:
    patient_id = from_wire("patient", event.patient_id)
    await store.keep_adverse_event(
        from_wire("adverseevent", event.adverse_event_id),
        patient_id,
        from_wire("course", event.course_id) if event.course_id else None,
        pausing=pausing,
        version=event.meta.aggregate_version,
    )
    if not pausing:
        await store.look_again_for({patient_id})


async def keep_deposit(store: SchedulingStore, event: PaymentReceived) -> None:
    """Of a course that is gone since, there is nothing to keep: the money is billing's."""
    if event.course_id and event.deposit_covered:
        await store.keep_deposit(from_wire("course", event.course_id), to_instant(event.meta.occur_time))


async def keep_estimate_delivered(store: SchedulingStore, event: EstimateDelivered) -> None:
    """What was told by word of mouth is followed by a written one."""
    if event.course_id and event.written:
        told, course_id = event.delivery_id, from_wire("course", event.course_id)
        id = from_wire("estimatedelivery", told) if told else UUID(event.meta.event_id)
        at = to_instant(event.deliver_time)
        await store.keep_estimate_delivery(course_id, id, event.meta.aggregate_version, at)


async def return_estimate_delivery(store: SchedulingStore, event: EstimateDeliveryReturned) -> None:
    if event.course_id:
        ids = from_wire("course", event.course_id), from_wire("estimatedelivery", event.delivery_id)
        await store.return_estimate_delivery(*ids, event.meta.aggregate_version)


async def ask_estimate(store: SchedulingStore, event: EstimateIssued) -> None:
    """A course that changed has another estimate, if the law asks for one: that has to be delivered, too."""
    if event.course_id and event.HasField("due_time"):
        await store.ask_estimate(from_wire("course", event.course_id), event.meta.aggregate_version)


async def settle_deposit(store: SchedulingStore, event: DepositReleased) -> None:
    ids = from_wire("course", event.course_id), from_wire("site", event.site_id), from_wire("patient", event.patient_id)
    await use_cases.settle_deposit(store, *ids)


async def open_tasks(store: SchedulingStore, event: ClosureCreated) -> None:
    """Told by itself, since whoever closes may not see what is at other sites."""
    await use_cases.open_tasks(store, from_wire("closure", event.closure_id))


async def complete_tasks(store: SchedulingStore, event: ClosureCancelled) -> None:
    await store.complete_tasks_of(from_wire("closure", event.closure_id), "The closure was cancelled.")
    await store.look_again({from_wire("site", event.site_id)})


async def confirm(store: SchedulingStore, event: VisitConfirmationReceived) -> None:
    await use_cases.confirm_by_event(store, from_wire("visit", event.visit_id))


async def ask_to_move(store: SchedulingStore, event: RescheduleRequested) -> None:
    await use_cases.ask_to_move(store, from_wire("visit", event.visit_id))


async def accept_offer(store: SchedulingStore, event: OfferAcceptanceReceived) -> None:
    await waitlist.accept_by_event(store, from_wire("offer", event.offer_id))


async def look_again(store: SchedulingStore, events: Sequence[Freeing]) -> None:
    """Something may be free since, or more may be offered. The event was committed with what it tells of: whoever frees
    need write nothing more."""
    await store.look_again({from_wire("site", event.site_id) for event in events})


async def look_again_for(store: SchedulingStore, events: Sequence[FreeingPatient]) -> None:
    """The patient, too, has that time again, or holds nothing any more, and may wait at another site."""
    await look_again(store, events)
    await store.look_again_for({from_wire("patient", event.patient_id) for event in events})


FREEING: tuple[type[Freeing], ...] = (SiteUpdated, ResourceRegistered, ResourceUpdated)
FREEING_PATIENTS: tuple[type[FreeingPatient], ...] = (
    VisitCancelled,
    VisitMissed,
    CourseHoldExpired,
    CourseHoldReleased,
    OfferEnded,
)
READS: Mapping[str, Reads] = {
    "BILLING": {
        PaymentReceived: keep_deposit,
        EstimateDelivered: keep_estimate_delivered,
        EstimateDeliveryReturned: return_estimate_delivery,
        EstimateIssued: ask_estimate,
        DepositReleased: settle_deposit,
    },
    "NOTIFICATIONS": {
        VisitConfirmationReceived: confirm,
        RescheduleRequested: ask_to_move,
        OfferAcceptanceReceived: accept_offer,
    },
    "PATIENTS": {
        PatientRegistered: Together(keep_patients),
        PatientUpdated: keep_patient,
        PatientMerged: merge,
        PatientUnmerged: unmerge,
        ClearanceGranted: keep_clearance,
        ClearanceRevoked: revoke_clearance,
        AdverseEventReported: pause,
        AdverseEventRegraded: pause_again,
        AdverseEventResolved: resolve,
        TreatmentAllowed: resume,
    },
    "SCHEDULING": {
        ClosureCreated: open_tasks,
        ClosureCancelled: complete_tasks,
        **dict.fromkeys(FREEING, Together(look_again)),
        **dict.fromkeys(FREEING_PATIENTS, Together(look_again_for)),
    },
}
