"""Domain objects as the facts that other services read. Of a patient ids, zone, language and whether they live: who a
patient is stays here."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from atoll.patients.v1.events_pb2 import (
    AdverseEventRegraded,
    AdverseEventReported,
    AdverseEventResolved,
    ClearanceGranted,
    ClearanceRevoked,
    ConsentDocumentRetired,
    ConsentDocumentVersionPublished,
    ConsentOutdated,
    ConsentSigned,
    ConsentsRecounted,
    ConsentWithdrawn,
    DiagnosisRecorded,
    DiagnosisRetracted,
    GlassBroken,
    MeasureRecorded,
    MeasureRetracted,
    PatientAnonymised,
    PatientMerged,
    PatientRegistered,
    PatientSiteAdded,
    PatientSiteRemoved,
    PatientUnmerged,
    PatientUpdated,
    PermissionRecorded,
    RecountedDocument,
    RecountedSignature,
    RecountedVersion,
    SafetyFlagAcknowledged,
    SafetyFlagRaised,
    ScreeningRecorded,
    ScreeningReviewed,
    TreatmentAllowed,
    VitalSignsTaken,
)
from atoll.patients.v1.measure_pb2 import VitalSign
from atoll.patients.v1.patient_pb2 import ContactUse
from atoll.patients.v1.permission_pb2 import MessageChannel, MessagePurpose, PermissionGiver
from chassis.ids import to_wire
from chassis.times import to_date, to_timestamp
from services.patients.domain.adverse_events import AdverseEvent
from services.patients.domain.break_glass import GlassBreak
from services.patients.domain.clearances import Clearance
from services.patients.domain.consents import KeptConsent, Signature
from services.patients.domain.diagnoses import Diagnosis
from services.patients.domain.documents import ConsentDocument, DocumentVersion, PublishedDocument
from services.patients.domain.measures import Content, Measure, SafetyFlag, VitalSigns
from services.patients.domain.merges import Merge
from services.patients.domain.patients import Patient
from services.patients.domain.permissions import Permission
from services.patients.domain.recalls import Outdated
from services.patients.domain.screenings import Screening

VITAL_SIGNS = {
    "systolic_mm_hg": VitalSign.VITAL_SIGN_SYSTOLIC_PRESSURE,
    "heart_rate_per_minute": VitalSign.VITAL_SIGN_HEART_RATE,
    "oxygen_saturation_percent": VitalSign.VITAL_SIGN_OXYGEN_SATURATION,
}
"""Those that have limits."""


def patient_registered(patient: Patient) -> PatientRegistered:
    return PatientRegistered(
        patient_id=to_wire("patient", patient.id),
        home_site_id=to_wire("site", patient.home_site_id),
        time_zone=patient.person.time_zone,
        language=patient.person.language,
        deceased=patient.person.deceased,
    )


def patient_updated(patient: Patient) -> PatientUpdated:
    return PatientUpdated(
        patient_id=to_wire("patient", patient.id),
        home_site_id=to_wire("site", patient.home_site_id),
        time_zone=patient.person.time_zone,
        language=patient.person.language,
        deceased=patient.person.deceased,
    )


def screening_recorded(screening: Screening) -> ScreeningRecorded:
    assert screening.questionnaire_version_id, "only answers older than questionnaires have none"
    return ScreeningRecorded(
        screening_id=to_wire("screening", screening.id),
        patient_id=to_wire("patient", screening.patient_id),
        protocol_id=to_wire("protocol", screening.protocol_id),
        site_id=to_wire("site", screening.site_id),
        questionnaire_version_id=to_wire("questionnaireversion", screening.questionnaire_version_id),
    )


def screening_reviewed(screening: Screening) -> ScreeningReviewed:
    return ScreeningReviewed(
        screening_id=to_wire("screening", screening.id),
        patient_id=to_wire("patient", screening.patient_id),
        protocol_id=to_wire("protocol", screening.protocol_id),
        site_id=to_wire("site", screening.site_id),
    )


def clearance_granted(clearance: Clearance) -> ClearanceGranted:
    return ClearanceGranted(
        clearance_id=to_wire("clearance", clearance.id),
        patient_id=to_wire("patient", clearance.patient_id),
        protocol_id=to_wire("protocol", clearance.protocol_id),
        site_id=to_wire("site", clearance.site_id),
        route_codes=clearance.route_codes,
        effective_date=to_date(clearance.effective_date),
        expire_date=to_date(clearance.expire_date),
        band_codes=clearance.limits.band_codes,
        session_minutes_max=clearance.limits.session_minutes_max,
    )


def clearance_revoked(clearance: Clearance) -> ClearanceRevoked:
    return ClearanceRevoked(
        clearance_id=to_wire("clearance", clearance.id),
        patient_id=to_wire("patient", clearance.patient_id),
        protocol_id=to_wire("protocol", clearance.protocol_id),
        site_id=to_wire("site", clearance.site_id),
    )


def measure_recorded(measure: Measure, *, by_patient: bool) -> MeasureRecorded:
    """What patients measure themselves lets nobody in or out: of that no vital signs are told."""
    signs = None if by_patient else _vital_signs_taken(measure.content)
    return MeasureRecorded(measure_time=to_timestamp(measure.taken_at), vital_signs=signs, **_of_measure(measure))


def _vital_signs_taken(content: Content) -> VitalSignsTaken | None:
    if not isinstance(content, VitalSigns):
        return None
    taken = [(VITAL_SIGNS[name], within) for name, within in content.looked_at.items()]
    return VitalSignsTaken(
        within_limits=[sign for sign, within in taken if within],
        beyond_limits=[sign for sign, within in taken if not within],
    )


def measure_retracted(measure: Measure) -> MeasureRetracted:
    return MeasureRetracted(**_of_measure(measure))


def _of_measure(measure: Measure) -> dict[str, Any]:
    return {
        "measure_id": to_wire("measure", measure.id),
        "patient_id": to_wire("patient", measure.patient_id),
        "site_id": to_wire("site", measure.site_id),
        "course_id": to_wire("course", measure.course_id) if measure.course_id else "",
    }


def safety_flag_raised(flag: SafetyFlag, measure: Measure) -> SafetyFlagRaised:
    return SafetyFlagRaised(safety_flag_id=to_wire("safetyflag", flag.id), **_of_measure(measure))


def safety_flag_acknowledged(flag: SafetyFlag) -> SafetyFlagAcknowledged:
    return SafetyFlagAcknowledged(
        safety_flag_id=to_wire("safetyflag", flag.id),
        patient_id=to_wire("patient", flag.patient_id),
        site_id=to_wire("site", flag.site_id),
    )


def adverse_event_reported(event: AdverseEvent) -> AdverseEventReported:
    return AdverseEventReported(**_of_adverse_event(event), grade=event.grade)


def adverse_event_regraded(event: AdverseEvent) -> AdverseEventRegraded:
    return AdverseEventRegraded(**_of_adverse_event(event), grade=event.grade, pausing=event.allowed_at is None)


def adverse_event_resolved(event: AdverseEvent) -> AdverseEventResolved:
    return AdverseEventResolved(**_of_adverse_event(event), treatment_allowed=event.allowed_at is not None)


def treatment_allowed(event: AdverseEvent) -> TreatmentAllowed:
    return TreatmentAllowed(**_of_adverse_event(event))


def _of_adverse_event(event: AdverseEvent) -> dict[str, Any]:
    return {
        "adverse_event_id": to_wire("adverseevent", event.id),
        "patient_id": to_wire("patient", event.patient_id),
        "site_id": to_wire("site", event.site_id),
        "course_id": to_wire("course", event.course_id) if event.course_id else "",
    }


def diagnosis_recorded(diagnosis: Diagnosis) -> DiagnosisRecorded:
    return DiagnosisRecorded(**_of_diagnosis(diagnosis))


def diagnosis_retracted(diagnosis: Diagnosis) -> DiagnosisRetracted:
    return DiagnosisRetracted(**_of_diagnosis(diagnosis))


def _of_diagnosis(diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        "diagnosis_id": to_wire("diagnosis", diagnosis.id),
        "patient_id": to_wire("patient", diagnosis.patient_id),
        "site_id": to_wire("site", diagnosis.site_id),
        "course_id": to_wire("course", diagnosis.course_id) if diagnosis.course_id else "",
    }


def patient_site_added(patient_id: UUID, site_id: UUID) -> PatientSiteAdded:
    return PatientSiteAdded(patient_id=to_wire("patient", patient_id), site_id=to_wire("site", site_id))


def patient_site_removed(patient_id: UUID, site_id: UUID) -> PatientSiteRemoved:
    return PatientSiteRemoved(patient_id=to_wire("patient", patient_id), site_id=to_wire("site", site_id))


def consent_document_version_published(
    document: ConsentDocument, version: DocumentVersion
) -> ConsentDocumentVersionPublished:
    return ConsentDocumentVersionPublished(
        consent_document_version_id=to_wire("consentdocumentversion", version.id),
        consent_document_id=to_wire("consentdocument", document.id),
        document_code=document.code,
        state_code=document.state,
        version_number=version.number,
        effective_date=to_date(version.effective_date),
        earlier_signatures_stay_good=version.earlier_signatures_stay_good,
    )


def consent_outdated(patient_id: UUID, asked: Outdated) -> ConsentOutdated:
    return ConsentOutdated(
        patient_id=to_wire("patient", patient_id),
        consent_document_id=to_wire("consentdocument", asked.document.id),
        document_code=asked.document.code,
        state_code=asked.document.state,
        consent_document_version_id=to_wire("consentdocumentversion", asked.version.id),
        version_number=asked.version.number,
        site_ids=[to_wire("site", site_id) for site_id in asked.site_ids],
    )


def consent_document_retired(document: ConsentDocument) -> ConsentDocumentRetired:
    assert document.retired_at
    return ConsentDocumentRetired(
        consent_document_id=to_wire("consentdocument", document.id),
        document_code=document.code,
        state_code=document.state,
        retire_time=to_timestamp(document.retired_at),
    )


def consent_signed(kept: KeptConsent) -> ConsentSigned:
    consent = kept.consent
    return ConsentSigned(
        consent_id=to_wire("consent", consent.id),
        patient_id=to_wire("patient", consent.patient_id),
        site_id=to_wire("site", consent.site_id),
        consent_document_id=to_wire("consentdocument", consent.document_id),
        document_code=kept.document_code,
        state_code=kept.state,
        consent_document_version_id=to_wire("consentdocumentversion", consent.version_id),
        version_number=kept.version_number,
        effective_date=to_date(kept.effective_date),
        earlier_signatures_stay_good=kept.earlier_signatures_stay_good,
        sign_time=to_timestamp(consent.signed_at),
    )


def consent_withdrawn(kept: KeptConsent) -> ConsentWithdrawn:
    consent, withdrawal = kept.consent, kept.consent.withdrawal
    assert withdrawal
    return ConsentWithdrawn(
        consent_id=to_wire("consent", consent.id),
        patient_id=to_wire("patient", consent.patient_id),
        site_id=to_wire("site", withdrawal.site_id),
        consent_document_id=to_wire("consentdocument", consent.document_id),
        document_code=kept.document_code,
        state_code=kept.state,
        consent_document_version_id=to_wire("consentdocumentversion", consent.version_id),
        version_number=kept.version_number,
        withdraw_time=to_timestamp(withdrawal.withdrawn_at),
    )


def documents_recounted(published: Sequence[PublishedDocument]) -> ConsentsRecounted:
    return ConsentsRecounted(documents=map(_recounted, published))


def _recounted(published: PublishedDocument) -> RecountedDocument:
    document = published.document
    return RecountedDocument(
        consent_document_id=to_wire("consentdocument", document.id),
        document_code=document.code,
        state_code=document.state,
        versions=[
            RecountedVersion(
                consent_document_version_id=to_wire("consentdocumentversion", version.id),
                version_number=version.number,
                effective_date=to_date(version.effective_date),
                earlier_signatures_stay_good=version.earlier_signatures_stay_good,
            )
            for version in published.versions
        ],
        retire_time=to_timestamp(document.retired_at) if document.retired_at else None,
    )


def signatures_recounted(signatures: Sequence[Signature], *, complete: bool) -> ConsentsRecounted:
    recounted = [
        RecountedSignature(
            consent_id=to_wire("consent", each.id),
            patient_id=to_wire("patient", each.patient_id),
            consent_document_id=to_wire("consentdocument", each.document_id),
            consent_document_version_id=to_wire("consentdocumentversion", each.version_id),
            version_number=each.version_number,
            sign_time=to_timestamp(each.signed_at),
            withdraw_time=to_timestamp(each.withdrawn_at) if each.withdrawn_at else None,
        )
        for each in signatures
    ]
    return ConsentsRecounted(signatures=recounted, complete=complete)


def permission_recorded(permission: Permission) -> PermissionRecorded:
    return PermissionRecorded(
        permission_id=to_wire("permission", permission.id),
        patient_id=to_wire("patient", permission.patient_id),
        site_id=to_wire("site", permission.site_id),
        channel=MessageChannel.Value(f"MESSAGE_CHANNEL_{permission.channel}"),
        purpose=MessagePurpose.Value(f"MESSAGE_PURPOSE_{permission.purpose}"),
        use=ContactUse.Value(f"CONTACT_USE_{permission.use}"),
        permitted=permission.permitted,
        giver=PermissionGiver.Value(f"PERMISSION_GIVER_{permission.giver}"),
        tell_time=to_timestamp(permission.told_at),
    )


def glass_broken(glass: GlassBreak) -> GlassBroken:
    return GlassBroken(
        glass_break_id=to_wire("glass", glass.id),
        patient_id=to_wire("patient", glass.patient_id),
        site_id=to_wire("site", glass.site_id),
        expire_time=to_timestamp(glass.expire_at),
    )


def patient_anonymised(patient_id: UUID) -> PatientAnonymised:
    return PatientAnonymised(patient_id=to_wire("patient", patient_id))


def patient_merged(merge: Merge) -> PatientMerged:
    return PatientMerged(**_of_merge(merge))


def patient_unmerged(merge: Merge) -> PatientUnmerged:
    return PatientUnmerged(**_of_merge(merge))


def _of_merge(merge: Merge) -> dict[str, Any]:
    return {
        "patient_id": to_wire("patient", merge.survivor_id),
        "merged_patient_id": to_wire("patient", merge.merged_id),
    }
