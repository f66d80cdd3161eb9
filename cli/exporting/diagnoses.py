"""Our Diagnosis as FHIR's Condition, by the codes of ICD-10-CM."""

from atoll.patients.v1 import diagnosis_service_pb2 as pb
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
    word,
)
from cli.fhir import codes


def diagnosis_resource(diagnosis: pb.Diagnosis) -> Resource:
    """A retracted one has no clinical status: FHIR forbids it (con-5)."""
    retracted = diagnosis.HasField("retract_time")
    verification = "entered-in-error" if retracted else "confirmed"
    return full(
        resourceType="Condition",
        id=fhir_id(diagnosis.id),
        extension=[
            *origin(diagnosis),
            *extension(codes.RANK_OF_DIAGNOSIS_URL, valueCode=word(pb.DiagnosisRank, diagnosis.rank)),
            *extension(codes.CONDITION_ASSERTED_URL, valueDateTime=day(diagnosis.effective_date)),
            *stamped(codes.RETRACTED_URL, diagnosis, "retract_time", "retracted_by"),
        ],
        clinicalStatus={} if retracted else concept(codes.CONDITION_STATUS_SYSTEM, "active"),
        verificationStatus=concept(codes.CONDITION_VERIFICATION_SYSTEM, verification),
        category=[concept(codes.CONDITION_CATEGORY_SYSTEM, "encounter-diagnosis")],
        code=concept(codes.ICD_10_CM, diagnosis.code),
        subject=reference("Patient", diagnosis.patient_id),
        recordedDate=instant(diagnosis.create_time),
        recorder=practitioner(diagnosis.recorded_by),
    )
