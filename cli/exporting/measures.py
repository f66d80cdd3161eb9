"""Our Measure as FHIR's Observation, by LOINC's codes for totals and vital signs.

Single answers of questionnaires are components by their number: the wording of items is not ours to give.
"""

from collections.abc import Iterator, Mapping

from atoll.patients.v1 import measure_service_pb2 as pb
from cli.exporting.elements import Resource, actor, concept, fhir_id, full, instant, origin, reference, stamped, word
from cli.fhir import codes

TOTALS: Mapping[int, str] = {
    pb.INSTRUMENT_PHQ_9: "44261-6",
    pb.INSTRUMENT_GAD_7: "70274-6",
    pb.INSTRUMENT_PCL_5: "101698-9",
}
VITAL_SIGNS_PANEL = "85353-1"
VITAL_SIGNS = (
    ("systolic_mm_hg", "8480-6", "mm[Hg]", 1),
    ("diastolic_mm_hg", "8462-4", "mm[Hg]", 1),
    ("heart_rate_per_minute", "8867-4", "/min", 1),
    ("oxygen_saturation_percent", "59408-5", "%", 1),
    ("temperature_tenths_celsius", "8310-5", "Cel", 10),
    ("weight_grams", "29463-7", "kg", 1000),
)
"""Field, LOINC's code, unit of UCUM, and how many of ours make one of it."""


def measure_resource(measure: pb.Measure) -> Resource:
    return full(
        resourceType="Observation",
        id=fhir_id(measure.id),
        extension=[
            *origin(measure),
            *stamped(codes.RETRACTED_URL, measure, "retract_time", "retracted_by"),
        ],
        status="entered-in-error" if measure.HasField("retract_time") else "final",
        category=[concept(codes.OBSERVATION_CATEGORY_SYSTEM, _category(measure))],
        code=_code(measure),
        subject=reference("Patient", measure.patient_id),
        effectiveDateTime=instant(measure.measure_time),
        issued=instant(measure.create_time),
        performer=[actor(measure.recorded_by)],
        component=list(_components(measure)),
    ) | _total(measure)


def _category(measure: pb.Measure) -> str:
    return "vital-signs" if measure.WhichOneof("content") == "vital_signs" else "survey"


def _code(measure: pb.Measure) -> Resource:
    if total := TOTALS.get(measure.instrument):
        return concept(codes.LOINC, total)
    if measure.instrument == pb.INSTRUMENT_VITAL_SIGNS:
        return concept(codes.LOINC, VITAL_SIGNS_PANEL)
    return concept(codes.INSTRUMENT_SYSTEM, word(pb.Instrument, measure.instrument))


def _total(measure: pb.Measure) -> Resource:
    if measure.instrument not in TOTALS:
        return {}
    return {"valueInteger": measure.total, "interpretation": [concept(codes.BAND_SYSTEM, word(pb.Band, measure.band))]}


def _components(measure: pb.Measure) -> Iterator[Resource]:
    for number, score in enumerate(measure.questionnaire.item_scores, start=1):
        yield {"code": concept(codes.ITEM_SYSTEM, str(number)), "valueInteger": score}
    for name, code, unit, of_ours in VITAL_SIGNS:
        if value := getattr(measure.vital_signs, name):
            quantity = {"value": value / of_ours if of_ours > 1 else value, "system": codes.UNITS, "code": unit}
            yield {"code": concept(codes.LOINC, code), "valueQuantity": quantity}
    for effect in measure.side_effects.side_effects:
        yield {
            "code": concept(codes.SIDE_EFFECT_SYSTEM, effect.code),
            "valueCodeableConcept": concept(codes.SEVERITY_SYSTEM, word(pb.Severity, effect.severity)),
        }
