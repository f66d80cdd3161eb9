"""Our Clearance as FHIR's Basic.

FHIR R4 has no resource for a clinician's decision that somebody may have a treatment: RiskAssessment holds
probabilities of outcomes, ServiceRequest orders, Consent is the patient's. Basic with a code of our own claims nothing
else.
"""

from atoll.patients.v1.clearance_service_pb2 import Clearance, ClearanceCondition
from cli.exporting.elements import (
    Resource,
    concept,
    day,
    extension,
    fhir_id,
    full,
    instant,
    origin,
    practitioner,
    reference,
    stamped,
)
from cli.fhir import codes


def clearance_resource(clearance: Clearance) -> Resource:
    return full(
        resourceType="Basic",
        id=fhir_id(clearance.id),
        extension=_extensions(clearance),
        code=concept(codes.KIND_SYSTEM, "clearance"),
        subject=reference("Patient", clearance.patient_id),
        created=instant(clearance.create_time)[:10],
        author=practitioner(clearance.granted_by),
    )


def _extensions(clearance: Clearance) -> list[Resource]:
    period = {"start": day(clearance.effective_date), "end": day(clearance.expire_date)}
    reason = extension("reason", valueString=clearance.revoke_reason)
    return [
        *origin(clearance),
        *extension(
            codes.PROTOCOL_URL, valueIdentifier={"system": codes.PROTOCOL_SYSTEM, "value": clearance.protocol_id}
        ),
        *(each for code in clearance.route_codes for each in extension(codes.ROUTE_URL, valueCode=code)),
        *(each for code in clearance.band_codes for each in extension(codes.DOSE_BAND_URL, valueCode=code)),
        *extension(codes.SESSION_MINUTES_MAX_URL, valuePositiveInt=clearance.session_minutes_max or None),
        *map(_condition, clearance.conditions),
        *extension(codes.PERIOD_URL, valuePeriod=period),
        *extension(codes.SCREENING_URL, valueReference=reference("QuestionnaireResponse", clearance.screening_id)),
        *extension(codes.OVERRIDE_REASON_URL, valueString=clearance.override_reason),
        *stamped(codes.REVOKED_URL, clearance, "revoke_time", "revoked_by", *reason),
    ]


def _condition(condition: ClearanceCondition) -> Resource:
    parts = [*extension("code", valueCode=condition.code), *extension("text", valueString=condition.text)]
    return {"url": codes.CONDITION_URL, "extension": parts}
