"""Our AdverseEvent as FHIR's. Grades of the Common Terminology Criteria are an extension: FHIR's severity has three."""

from atoll.patients.v1 import adverse_event_service_pb2 as pb
from cli.exporting.elements import (
    Resource,
    concept,
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

SEVERITIES = {pb.GRADE_MILD: "mild", pb.GRADE_MODERATE: "moderate"}
OUTCOMES = {
    pb.OUTCOME_UNSPECIFIED: "ongoing",
    pb.OUTCOME_RECOVERED: "resolved",
    pb.OUTCOME_RECOVERED_WITH_SEQUELAE: "resolvedWithSequelae",
    pb.OUTCOME_NOT_RECOVERED: "ongoing",
    pb.OUTCOME_FATAL: "fatal",
    pb.OUTCOME_UNKNOWN: "unknown",
}


def adverse_event_resource(event: pb.AdverseEvent) -> Resource:
    return full(
        resourceType="AdverseEvent",
        id=fhir_id(event.id),
        extension=[
            *origin(event),
            *(_grade(each) for each in event.grades),
            *stamped(codes.RESOLVED_URL, event, "resolve_time", "resolved_by"),
            *stamped(codes.TREATMENT_ALLOWED_URL, event, "allow_time", "allowed_by"),
        ],
        actuality="actual",
        event=full(**concept(codes.ADVERSE_EVENT_SYSTEM, event.code), text=event.description),
        subject=reference("Patient", event.patient_id),
        date=instant(event.occur_time),
        recordedDate=instant(event.report_time),
        severity=concept(codes.ADVERSE_EVENT_SEVERITY_SYSTEM, SEVERITIES.get(event.grade, "severe")),
        outcome=concept(codes.ADVERSE_EVENT_OUTCOME_SYSTEM, OUTCOMES[event.outcome]),
        recorder=practitioner(event.reported_by),
    )


def _grade(change: pb.AdverseEvent.GradeChange) -> Resource:
    parts = extension("grade", valueCode=word(pb.Grade, change.grade))
    [stamp] = stamped(codes.GRADE_URL, change, "change_time", "changed_by", *parts)
    return stamp
