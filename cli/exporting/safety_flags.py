"""Our SafetyFlag as FHIR's Flag: active until a clinician acknowledges it."""

from atoll.patients.v1 import measure_service_pb2 as pb
from cli.exporting.elements import (
    Resource,
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


def safety_flag_resource(flag: pb.SafetyFlag) -> Resource:
    acknowledged, note = flag.HasField("acknowledge_time"), extension("note", valueString=flag.note)
    return full(
        resourceType="Flag",
        id=fhir_id(flag.id),
        extension=[
            *origin(flag),
            *extension(codes.MEASURE_URL, valueReference=reference("Observation", flag.measure_id)),
            *stamped(codes.ACKNOWLEDGED_URL, flag, "acknowledge_time", "acknowledged_by", *note),
        ],
        status="inactive" if acknowledged else "active",
        category=[concept(codes.FLAG_CATEGORY_SYSTEM, "safety")],
        code=concept(codes.SAFETY_FLAG_SYSTEM, word(pb.SafetyFlagKind, flag.kind)),
        subject=reference("Patient", flag.patient_id),
        period=full(start=instant(flag.create_time), end=instant(flag.acknowledge_time) if acknowledged else ""),
    )
