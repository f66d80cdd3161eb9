"""Our Consent and Permission as FHIR's Consent: signatures, and what was said of channels and purposes."""

from atoll.patients.v1 import consent_service_pb2, permission_service_pb2
from atoll.patients.v1.consent_service_pb2 import Consent
from atoll.patients.v1.patient_pb2 import ContactUse
from atoll.patients.v1.permission_pb2 import MessageChannel, MessagePurpose, PermissionGiver
from atoll.patients.v1.permission_service_pb2 import Permission
from cli.exporting.elements import (
    Resource,
    actor,
    canonical,
    concept,
    extension,
    fhir_id,
    full,
    instant,
    origin,
    reference,
    stamped,
    word,
)
from cli.fhir import codes

CONSENT_DOCUMENT = "59284-0"
"""LOINC's category of all consents."""


def consent_resource(consent: Consent) -> Resource:
    reason = extension("reason", valueString=consent.withdraw_reason)
    return full(
        resourceType="Consent",
        id=fhir_id(consent.id),
        extension=[
            *origin(consent),
            _signed(consent),
            *stamped(codes.WITHDRAWN_URL, consent, "withdraw_time", "withdrawn_by", *reason),
        ],
        status="inactive" if consent.HasField("withdraw_time") else "active",
        scope=concept(codes.CONSENT_SCOPE_SYSTEM, "treatment"),
        category=[concept(codes.LOINC, CONSENT_DOCUMENT)],
        patient=reference("Patient", consent.patient_id),
        dateTime=instant(consent.sign_time),
        policy=_policy(consent.consent_document_version_id),
    )


def _signed(consent: Consent) -> Resource:
    recorder = actor(consent.recorded_by)
    parts = [
        *extension("document", valueCode=consent.document_code),
        *extension("version", valuePositiveInt=consent.version_number),
        *extension("language", valueCode=consent.language_code),
        *extension("contentHash", valueString=consent.content_hash),
        *extension("signer", valueString=consent.signer_name),
        *extension("relationship", valueCode=word(consent_service_pb2.SignerRelationship, consent.relationship)),
        *extension("method", valueCode=word(consent_service_pb2.ConsentMethod, consent.method)),
        *extension("witness", valueString=consent.witness_name),
        *extension("recordedBy", valueReference=recorder),
    ]
    return {"url": codes.SIGNED_URL, "extension": parts}


def permission_resource(permission: Permission) -> Resource:
    return full(
        resourceType="Consent",
        id=fhir_id(permission.id),
        extension=[*origin(permission), _permitted(permission)],
        status="active",
        scope=concept(codes.CONSENT_SCOPE_SYSTEM, "patient-privacy"),
        category=[concept(codes.LOINC, CONSENT_DOCUMENT)],
        patient=reference("Patient", permission.patient_id),
        dateTime=instant(permission.tell_time),
        policy=_policy(permission.consent_document_version_id),
        policyRule=concept(codes.KIND_SYSTEM, "permission"),
        provision={"type": "permit" if permission.permitted else "deny"},
    )


def _policy(version_id: str) -> list[Resource]:
    uri = canonical(codes.DOCUMENT_VERSION_SYSTEM, version_id)
    return [{"uri": uri}] if uri else []


def _permitted(permission: Permission) -> Resource:
    recorder = actor(permission.recorded_by)
    parts = [
        *extension("channel", valueCode=word(MessageChannel, permission.channel)),
        *extension("purpose", valueCode=word(MessagePurpose, permission.purpose)),
        *extension("use", valueCode=word(ContactUse, permission.use) if permission.use else None),
        *extension("giver", valueCode=word(PermissionGiver, permission.giver)),
        *extension("method", valueCode=word(permission_service_pb2.PermissionMethod, permission.method)),
        *extension("wording", valueCode=permission.wording_code),
        *extension("recordedBy", valueReference=recorder),
    ]
    return {"url": codes.PERMITTED_URL, "extension": parts}
