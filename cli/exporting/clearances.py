"""Our Clearance as FHIR's Basic.

FHIR R4 has no resource for a clinician's decision that somebody may have a treatment: RiskAssessment holds
probabilities of outcomes, ServiceRequest orders, Consent is the patient's. Basic with a code of our own claims nothing
else.
"""

from atoll.patients.v1.clearance_service_pb2 import Clearance
from cli.exporting.elements import (
    Resource,
    concept,
    day,
    extension,
    fhir_id,
    full,
    instant,
    named,
    origin,
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
        author=named("Practitioner", codes.ACTOR_SYSTEM, clearance.granted_by),
    )


def _extensions(clearance: Clearance) -> list[Resource]:
    period = {"start": day(clearance.effective_date), "end": day(clearance.expire_date)}
    return [
        *origin(clearance),
        *extension(
            codes.PROTOCOL_URL, valueIdentifier={"system": codes.PROTOCOL_SYSTEM, "value": clearance.protocol_id}
        ),
        *(each for code in clearance.route_codes for each in extension(codes.ROUTE_URL, valueCode=code)),
        *extension(codes.PERIOD_URL, valuePeriod=period),
        *extension(codes.SCREENING_URL, valueReference=reference("QuestionnaireResponse", clearance.screening_id)),
        *stamped(codes.REVOKED_URL, clearance, "revoke_time", "revoked_by"),
    ]
