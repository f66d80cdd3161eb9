"""Domain objects as the facts that other services read. Ids, zone and language only: who a patient is stays here."""

from atoll.patients.v1.events_pb2 import (
    ClearanceGranted,
    ClearanceRevoked,
    ConsentDocumentRetired,
    ConsentDocumentVersionPublished,
    ConsentSigned,
    ConsentWithdrawn,
    PatientRegistered,
    PatientUpdated,
    PermissionRecorded,
    ScreeningRecorded,
)
from atoll.patients.v1.patient_pb2 import ContactUse
from atoll.patients.v1.permission_pb2 import MessageChannel, MessagePurpose, PermissionGiver
from chassis.ids import to_wire
from chassis.times import to_date, to_timestamp
from services.patients.domain.clearances import Clearance, Screening
from services.patients.domain.consents import KeptConsent
from services.patients.domain.documents import ConsentDocument, DocumentVersion
from services.patients.domain.patients import Patient
from services.patients.domain.permissions import Permission


def patient_registered(patient: Patient) -> PatientRegistered:
    return PatientRegistered(
        patient_id=to_wire("patient", patient.id),
        home_site_id=to_wire("site", patient.home_site_id),
        time_zone=patient.person.time_zone,
        language=patient.person.language,
    )


def patient_updated(patient: Patient) -> PatientUpdated:
    return PatientUpdated(
        patient_id=to_wire("patient", patient.id),
        home_site_id=to_wire("site", patient.home_site_id),
        time_zone=patient.person.time_zone,
        language=patient.person.language,
    )


def screening_recorded(screening: Screening) -> ScreeningRecorded:
    return ScreeningRecorded(
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
    )


def clearance_revoked(clearance: Clearance) -> ClearanceRevoked:
    return ClearanceRevoked(
        clearance_id=to_wire("clearance", clearance.id),
        patient_id=to_wire("patient", clearance.patient_id),
        protocol_id=to_wire("protocol", clearance.protocol_id),
        site_id=to_wire("site", clearance.site_id),
    )


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
