"""One function per event that scheduling reads. No ack, no dedup, no retry: the chassis does that."""

from collections.abc import Iterator, Mapping, Sequence
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
    ConsentDocumentRetired,
    ConsentDocumentVersionPublished,
    ConsentSigned,
    ConsentsRecounted,
    ConsentWithdrawn,
    MeasureRecorded,
    MeasureRetracted,
    PatientAnonymised,
    PatientMerged,
    PatientRegistered,
    PatientUnmerged,
    PatientUpdated,
    RecountedDocument,
    RecountedSignature,
    TreatmentAllowed,
    VitalSignsTaken,
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
from services.scheduling.store.consents import DocumentTold, SignatureTold, VersionTold
from services.scheduling.store.patients import PatientTold
from services.scheduling.store.vitals import VitalSignsTold
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


async def keep_consent_version(store: SchedulingStore, event: ConsentDocumentVersionPublished) -> None:
    id = from_wire("consentdocument", event.consent_document_id)
    version = VersionTold(
        id,
        event.version_number,
        from_date(event.effective_date, "effective_date"),
        event.earlier_signatures_stay_good,
    )
    await store.keep_documents([DocumentTold(id, event.document_code, event.state_code)], [version])


async def retire_consent_document(store: SchedulingStore, event: ConsentDocumentRetired) -> None:
    id = from_wire("consentdocument", event.consent_document_id)
    retired = DocumentTold(id, event.document_code, event.state_code, to_instant(event.retire_time))
    await store.keep_documents([retired], [])


async def keep_signatures(store: SchedulingStore, events: Sequence[ConsentSigned | ConsentWithdrawn]) -> None:
    await store.keep_signatures([_signature_told(event) for event in events])


def _signature_told(event: ConsentSigned | ConsentWithdrawn) -> SignatureTold:
    return SignatureTold(
        id=from_wire("consent", event.consent_id),
        patient_id=from_wire("patient", event.patient_id),
        document_id=from_wire("consentdocument", event.consent_document_id),
        version_number=event.version_number,
        signed_at=to_instant(event.sign_time) if isinstance(event, ConsentSigned) else None,
        withdrawn=isinstance(event, ConsentWithdrawn),
    )


async def keep_recounted(store: SchedulingStore, event: ConsentsRecounted) -> None:
    versions = [version for document in event.documents for version in _recounted_versions(document)]
    await store.keep_documents([_recounted_document(each) for each in event.documents], versions)
    await store.keep_signatures([_recounted_signature(each) for each in event.signatures])
    if event.complete:
        await store.keep_whole()


def _recounted_document(told: RecountedDocument) -> DocumentTold:
    retired_at = to_instant(told.retire_time) if told.HasField("retire_time") else None
    id = from_wire("consentdocument", told.consent_document_id)
    return DocumentTold(id, told.document_code, told.state_code, retired_at)


def _recounted_versions(told: RecountedDocument) -> Iterator[VersionTold]:
    id = from_wire("consentdocument", told.consent_document_id)
    for each in told.versions:
        effective = from_date(each.effective_date, "effective_date")
        yield VersionTold(id, each.version_number, effective, each.earlier_signatures_stay_good)


def _recounted_signature(told: RecountedSignature) -> SignatureTold:
    return SignatureTold(
        id=from_wire("consent", told.consent_id),
        patient_id=from_wire("patient", told.patient_id),
        document_id=from_wire("consentdocument", told.consent_document_id),
        version_number=told.version_number,
        signed_at=to_instant(told.sign_time),
        withdrawn=told.HasField("withdraw_time"),
    )


async def keep_vital_signs(store: SchedulingStore, events: Sequence[MeasureRecorded]) -> None:
    """Of other measures, and of events of earlier releases, there is nothing to keep."""
    told = [(event, _within(event.vital_signs)) for event in events]
    await store.keep_vital_signs(
        [
            VitalSignsTold(
                measure_id=from_wire("measure", event.measure_id),
                patient_id=from_wire("patient", event.patient_id),
                taken_at=to_instant(event.measure_time),
                within=within,
                retracted=False,
            )
            for event, within in told
            if within
        ]
    )


def _within(told: VitalSignsTaken) -> dict[int, bool]:
    """By numbers, so that a sign counts that a newer release of patients knows."""
    return {int(sign): True for sign in told.within_limits} | {int(sign): False for sign in told.beyond_limits}


async def retract_vital_signs(store: SchedulingStore, events: Sequence[MeasureRetracted]) -> None:
    """Whether the measure was one of vital signs may not be known yet."""
    await store.keep_vital_signs(
        [
            VitalSignsTold(
                measure_id=from_wire("measure", event.measure_id),
                patient_id=from_wire("patient", event.patient_id),
                taken_at=None,
                within={},
                retracted=True,
            )
            for event in events
        ]
    )


async def forget_patient(store: SchedulingStore, event: PatientAnonymised) -> None:
    patient_id = from_wire("patient", event.patient_id)
    await deaths.forget(store, patient_id)
    await store.forget_vital_signs(patient_id)


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
        ConsentDocumentVersionPublished: keep_consent_version,
        ConsentDocumentRetired: retire_consent_document,
        ConsentSigned: Together(keep_signatures),
        ConsentWithdrawn: Together(keep_signatures),
        ConsentsRecounted: keep_recounted,
        MeasureRecorded: Together(keep_vital_signs),
        MeasureRetracted: Together(retract_vital_signs),
        PatientAnonymised: forget_patient,
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
