"""Our Screening as FHIR's QuestionnaireResponse."""

from typing import Any

from atoll.patients.v1.questionnaire_pb2 import ScreeningOutcome
from atoll.patients.v1.screening_service_pb2 import Answer, Screening, ScreeningDecision, ScreeningReview
from cli.exporting.elements import (
    Resource,
    actor,
    canonical,
    day,
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

INTEGER_MAX = 2**31 - 1


def screening_resource(screening: Screening) -> Resource:
    return full(
        resourceType="QuestionnaireResponse",
        id=fhir_id(screening.id),
        extension=_extensions(screening),
        questionnaire=canonical(codes.QUESTIONNAIRE_VERSION_SYSTEM, screening.questionnaire_version_id),
        status="completed",
        subject=reference("Patient", screening.patient_id),
        authored=instant(screening.create_time),
        author=actor(screening.recorded_by),
        item=[full(linkId=each.question_code, answer=_answers(each)) for each in screening.answers],
    )


def _extensions(screening: Screening) -> list[Resource]:
    return [
        *origin(screening),
        *extension(
            codes.PROTOCOL_URL, valueIdentifier={"system": codes.PROTOCOL_SYSTEM, "value": screening.protocol_id}
        ),
        *extension(codes.OUTCOME_URL, valueCode=word(ScreeningOutcome, screening.outcome)),
        *(each for code in screening.reason_codes for each in extension(codes.REASON_URL, valueCode=code)),
        *_decided(screening.review),
    ]


def _decided(review: ScreeningReview) -> list[Resource]:
    return stamped(
        codes.REVIEWED_URL,
        review,
        "decide_time",
        "decided_by",
        *extension("decision", valueCode=word(ScreeningDecision, review.decision)),
        *extension("reason", valueString=review.reason),
        *extension("clearance", valueReference=reference("Basic", review.clearance_id)),
    )


def _answers(answer: Answer) -> list[Resource]:
    """A text that is empty is an item without an answer: FHIR has no empty texts. Its integers have 32 bits."""
    kind = answer.WhichOneof("value")
    value: Any = getattr(answer, kind) if kind else ""
    if kind == "bool_value":
        return [{"valueBoolean": value}]
    if kind == "int_value":
        return [{"valueInteger" if abs(value) <= INTEGER_MAX else "valueDecimal": value}]
    if kind == "date_value":
        return [{"valueDate": day(value)}]
    if kind == "option_code":
        return [{"valueCoding": {"code": value}}]
    return [{"valueString": value}] if value.strip() else []
