"""Measures and safety flags through the gRPC door."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from grpc import StatusCode

from atoll.patients.v1 import measure_service_pb2 as pb
from atoll.patients.v1.events_pb2 import MeasureRecorded, VitalSignsTaken
from atoll.patients.v1.measure_pb2 import VitalSign
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_timestamp
from services.patients.domain.measures import MeasureRetracted, SafetyFlagAcknowledged
from services.patients.store.measures import AFTER_ALL, FIRST_ID, MEASURES, OPEN_FLAGS, TREND
from services.patients.use_cases import measures
from tests.integration.test_patients_races import second_waits_for_first
from tests.integration.test_patients_speed import ROWS_LOOKED_AT_MAX, explained, most_rows
from tests.support.patients import Desk, desk
from tests.support.patients_parts import (
    CALM,
    GAD_7,
    PHQ_9,
    call_measures,
    let_in,
    of_patient,
    phq_9,
    record_measure,
    scores,
    several_many,
)
from tests.support.service import refusal

__all__ = ["desk"]

PRESSURE, HEART = VitalSign.VITAL_SIGN_SYSTOLIC_PRESSURE, VitalSign.VITAL_SIGN_HEART_RATE
OXYGENATION = VitalSign.VITAL_SIGN_OXYGEN_SATURATION
COURSE = to_wire("course", new_id())
ITEMS, OXYGEN = "questionnaire.item_scores", "vital_signs.oxygen_saturation_percent"


def effects(*each: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Nausea, as often as it is told."""
    told = [{"code": "nausea", "severity": "SEVERITY_MILD"} | one for one in each or [changes]]
    return {"side_effects": {"side_effects": told}}


async def test_a_questionnaire_is_scored_here(desk: Desk) -> None:
    patient = await desk.create()
    recorded = await record_measure(desk, patient.id, course_id=COURSE, **scores(PHQ_9, 3, 2, 1, 3, 2, 1, 3, 0, 0))
    assert (recorded.total, recorded.band) == (15, pb.BAND_MODERATELY_SEVERE)
    assert (recorded.patient_id, recorded.course_id, recorded.recorded_by) == (patient.id, COURSE, "dr")
    assert recorded.measure_time == recorded.create_time == to_timestamp(desk.service.now)
    assert (await call_measures(desk, "GetMeasure", measure_id=recorded.id)).measure == recorded


async def test_vital_signs_and_side_effects_are_kept_as_they_were_told(desk: Desk) -> None:
    patient, earlier = await desk.create(), desk.service.now - timedelta(hours=1)
    signs = CALM | {"temperature_tenths_celsius": 368, "weight_grams": 70_500}
    recorded = await record_measure(desk, patient.id, measure_time=earlier, vital_signs=signs)
    assert recorded.vital_signs == pb.VitalSigns(**signs)
    assert (recorded.instrument, recorded.total, recorded.band) == (pb.INSTRUMENT_VITAL_SIGNS, 0, 0)
    assert recorded.measure_time == to_timestamp(earlier)
    felt = await record_measure(desk, patient.id, **effects())
    none = await record_measure(desk, patient.id, side_effects={})
    assert (felt.side_effects, none.side_effects) == (pb.SideEffects(**effects()["side_effects"]), pb.SideEffects())
    listed = await call_measures(desk, "ListMeasures", patient_id=patient.id)
    assert list(listed.measures) == [none, felt, recorded]


async def test_what_is_published_tells_of_a_measure_but_not_what_was_measured(desk: Desk) -> None:
    patient = await desk.create()
    recorded = await record_measure(desk, patient.id, course_id=COURSE, **phq_9(20, self_harm=2))
    [(_, told), (subject, raised)] = (await desk.service.published())[-2:]
    assert (told.measure_id, told.course_id) == (recorded.id, COURSE)
    assert (subject, raised.measure_id, raised.patient_id) == (
        "patients.v1.safety_flag.raised", recorded.id, patient.id
    )  # fmt: skip
    assert {field.name for field in told.DESCRIPTOR.fields} == {
        "meta", "measure_id", "patient_id", "site_id", "course_id", "measure_time", "vital_signs"
    }  # fmt: skip
    assert not told.HasField("vital_signs")


async def told_of(desk: Desk, patient_id: str, token: str | None = None, **content: Any) -> Any:
    """The event that tells of what is recorded so."""
    recorded = await record_measure(desk, patient_id, token, **content)
    [event] = [each for _, each in await desk.service.published() if isinstance(each, MeasureRecorded)][-1:]
    assert event.measure_id == recorded.id
    return event


async def test_of_vital_signs_is_told_when_which_were_taken_and_whether_each_was_within_limits(desk: Desk) -> None:
    patient, earlier = await desk.create(), desk.service.now - timedelta(hours=1)
    told = await told_of(desk, patient.id, measure_time=earlier, vital_signs=CALM)
    assert told.measure_time == to_timestamp(earlier)
    assert told.vital_signs == VitalSignsTaken(within_limits=[PRESSURE, HEART, OXYGENATION])
    high = await told_of(desk, patient.id, vital_signs={**CALM, "systolic_mm_hg": 181})
    assert high.vital_signs == VitalSignsTaken(within_limits=[HEART, OXYGENATION], beyond_limits=[PRESSURE])
    slow = await told_of(desk, patient.id, vital_signs={"heart_rate_per_minute": 49})
    assert slow.vital_signs == VitalSignsTaken(beyond_limits=[HEART])
    assert (await told_of(desk, patient.id, vital_signs={"weight_grams": 70_500})).vital_signs == VitalSignsTaken()


async def test_of_vital_signs_that_patients_take_themselves_nothing_is_told(desk: Desk) -> None:
    """They raise a flag, and let nobody in or out."""
    patient = await desk.create()
    told = await told_of(desk, patient.id, of_patient(desk, patient.id), vital_signs={**CALM, "systolic_mm_hg": 181})
    assert not told.HasField("vital_signs")
    assert await desk.service.count("safety_flag") == 1


@pytest.mark.parametrize(
    ("content", "reason", "faults"),
    [
        (scores(PHQ_9, *[0] * 8), "MEASURE_INCOMPLETE", [(ITEMS, "ITEM_COUNT")]),
        (scores(GAD_7, *[4] * 7), "MEASURE_INCOMPLETE", [(f"{ITEMS}[{n}]", "ITEM_RANGE") for n in range(7)]),
        (scores("INSTRUMENT_VITAL_SIGNS", *[0] * 7), "BAD_REQUEST", [("questionnaire.instrument", "enum.in")]),
        ({}, "BAD_REQUEST", [("content", "required")]),
        ({"vital_signs": {}}, "BAD_REQUEST", [("vital_signs", "vital_signs.some")]),
        ({"vital_signs": {"systolic_mm_hg": 120}}, "BAD_REQUEST", [("vital_signs", "vital_signs.pressure")]),
        ({"vital_signs": CALM | {"oxygen_saturation_percent": 101}}, "BAD_REQUEST", [(OXYGEN, "int32.gte_lte")]),
        (effects(code="Übel"), "BAD_REQUEST", [("side_effects.side_effects[0].code", "string.pattern")]),
        (effects({}, {}), "BAD_REQUEST", [("side_effects.side_effects", "side_effects.one_of_each_kind")]),
    ],
)  # fmt: skip
async def test_what_cannot_have_been_measured_is_refused_by_field(
    desk: Desk, content: dict[str, Any], reason: str, faults: list[tuple[str, str]]
) -> None:
    refused = await refusal(record_measure(desk, (await desk.create()).id, **content))
    assert (refused.code, refused.reason, refused.faults) == (StatusCode.INVALID_ARGUMENT, reason, faults)
    assert await desk.service.count("measure") == 0


async def test_a_measure_that_is_still_to_be_taken_is_refused(desk: Desk) -> None:
    patient = await desk.create()
    refused = await refusal(
        record_measure(desk, patient.id, measure_time=desk.service.now + timedelta(seconds=1), **phq_9(3))
    )
    assert (refused.reason, refused.faults) == ("MEASURE_IN_FUTURE", [("measure_time", "MEASURE_IN_FUTURE")])
    assert await desk.service.count("measure") == 0


async def test_a_patient_answers_for_themselves_and_for_nobody_else(desk: Desk) -> None:
    patient, other = await desk.create(), await desk.create()
    own = of_patient(desk, patient.id)
    recorded = await record_measure(desk, patient.id, own, **phq_9(12))
    theirs = await record_measure(desk, other.id, **phq_9(12))
    assert recorded.recorded_by == "patient"
    assert [each.id for each in (await call_measures(desk, "ListMeasures", own, patient_id=patient.id)).measures] == [
        recorded.id
    ]
    assert (await refusal(record_measure(desk, other.id, own, **phq_9(3)))).reason == "ACCESS_DENIED"
    assert (await refusal(call_measures(desk, "GetMeasure", own, measure_id=theirs.id))).reason == "MEASURE_NOT_FOUND"
    assert (await refusal(call_measures(desk, "RetractMeasure", own, measure_id=recorded.id))).reason == "ACCESS_DENIED"


@pytest.mark.parametrize(
    ("method", "roles"),
    [
        ("RecordMeasure", {"FRONT_DESK", "CLINICIAN", "NURSE", "PATIENT"}),
        ("RetractMeasure", {"CLINICIAN", "NURSE"}),
        ("GetMeasure", {"CLINICIAN", "NURSE", "AUDITOR", "PATIENT"}),
        ("ListMeasures", {"CLINICIAN", "NURSE", "AUDITOR", "PATIENT"}),
        ("GetMeasureTrend", {"CLINICIAN", "NURSE", "AUDITOR", "PATIENT"}),
        ("ListSafetyFlags", {"SITE_MANAGER", "CLINICIAN", "NURSE", "AUDITOR"}),
        ("AcknowledgeSafetyFlag", {"CLINICIAN"}),
    ],
)
async def test_each_call_is_open_to_its_roles_only(desk: Desk, method: str, roles: set[str]) -> None:
    assert await let_in(desk, call_measures, method) == roles


async def test_no_site_writes_or_reads_where_it_may_not_see_the_record(desk: Desk) -> None:
    patient = await desk.create()
    recorded = await record_measure(desk, patient.id, course_id=COURSE, **phq_9(20, self_harm=1))
    there = desk.at_other_site("ROLE_CLINICIAN")
    refused = await refusal(
        record_measure(desk, patient.id, there, site_id=to_wire("site", desk.other_site_id), **phq_9(1))
    )
    assert refused.reason == "PATIENT_NOT_FOUND"
    for token in (there, desk.of_other_chain("ROLE_CLINICIAN")):
        assert (
            await refusal(call_measures(desk, "GetMeasure", token, measure_id=recorded.id))
        ).reason == "MEASURE_NOT_FOUND"
        assert (
            await refusal(call_measures(desk, "RetractMeasure", token, measure_id=recorded.id))
        ).reason == "MEASURE_NOT_FOUND"
        assert not (await call_measures(desk, "ListMeasures", token, patient_id=patient.id)).measures
        trend = call_measures(desk, "GetMeasureTrend", token, patient_id=patient.id, course_id=COURSE, instrument=PHQ_9)
        assert (await refusal(trend)).reason == "MEASURE_NOT_FOUND"
    [flag] = (await call_measures(desk, "ListSafetyFlags", site_id=to_wire("site", desk.site_id))).safety_flags
    refused = await refusal(call_measures(desk, "AcknowledgeSafetyFlag", there, safety_flag_id=flag.id, note="seen"))
    assert refused.reason == "SAFETY_FLAG_NOT_FOUND"
    assert await desk.service.count("measure") == 1


async def test_a_list_comes_in_pages_by_kind_and_by_when_it_was_taken(desk: Desk) -> None:
    patient, now = await desk.create(), desk.service.now
    for days in (3, 1, 2, 2):
        await record_measure(desk, patient.id, measure_time=now - timedelta(days=days), **phq_9(days))
    await record_measure(desk, patient.id, **scores(GAD_7, *[1] * 7))
    totals, token = list[int](), ""
    while True:
        page = await call_measures(
            desk, "ListMeasures", patient_id=patient.id, instrument=PHQ_9, page_size=1, page_token=token
        )
        totals += [each.total for each in page.measures]
        if not (token := page.next_page_token):
            break
    assert totals == [1, 2, 2, 3]
    assert len((await call_measures(desk, "ListMeasures", patient_id=patient.id)).measures) == 5


async def test_a_trend_begins_with_the_courses_first_measure_that_counts(desk: Desk) -> None:
    patient, now = await desk.create(), desk.service.now
    taken = [
        await record_measure(
            desk, patient.id, course_id=COURSE, measure_time=now - timedelta(days=days), **phq_9(total)
        )
        for days, total in ((40, 27), (1, 4), (30, 20), (15, 10))
    ]
    await record_measure(desk, patient.id, measure_time=now - timedelta(days=50), **phq_9(1))
    await record_measure(desk, patient.id, course_id=COURSE, **scores(GAD_7, *[1] * 7))
    await call_measures(desk, "RetractMeasure", measure_id=taken[0].id)
    asked = {"patient_id": patient.id, "course_id": COURSE, "instrument": PHQ_9}
    trend = (await call_measures(desk, "GetMeasureTrend", **asked)).trend
    assert trend.baseline.id == taken[2].id
    assert [(each.total, each.change, each.response, each.remission) for each in trend.points] == [
        (20, 0, False, False), (10, -10, True, False), (4, -16, True, True)
    ]  # fmt: skip
    refused = await refusal(call_measures(desk, "GetMeasureTrend", **asked | {"instrument": "INSTRUMENT_PCL_5"}))
    assert refused.reason == "MEASURE_NOT_FOUND"


async def test_a_retracted_measure_stays_readable_and_is_retracted_once(desk: Desk) -> None:
    patient = await desk.create()
    recorded = await record_measure(desk, patient.id, **phq_9(3))
    retracted = (await call_measures(desk, "RetractMeasure", measure_id=recorded.id)).measure
    assert (retracted.retracted_by, retracted.total) == ("dr", 3)
    assert (await call_measures(desk, "GetMeasure", measure_id=recorded.id)).measure == retracted
    refused = await refusal(call_measures(desk, "RetractMeasure", measure_id=recorded.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "MEASURE_RETRACTED")
    assert (await desk.facts())[-1] == "patients.v1.measure.retracted"


async def test_a_flag_is_raised_once_and_open_until_a_clinician_acknowledges_it(desk: Desk) -> None:
    patient, request_id, site = await desk.create(), str(uuid4()), to_wire("site", desk.site_id)
    answers = [await record_measure(desk, patient.id, request_id=request_id, **phq_9(9, self_harm=1)) for _ in range(2)]
    signs = await record_measure(desk, patient.id, vital_signs=CALM | {"heart_rate_per_minute": 121})
    await record_measure(desk, patient.id, vital_signs=CALM)
    first, second = (await call_measures(desk, "ListSafetyFlags", site_id=site)).safety_flags
    assert [(first.kind, first.measure_id), (second.kind, second.measure_id)] == [
        (pb.SAFETY_FLAG_KIND_SELF_HARM, answers[0].id), (pb.SAFETY_FLAG_KIND_VITAL_SIGNS, signs.id)
    ]  # fmt: skip
    page = await call_measures(desk, "ListSafetyFlags", site_id=site, page_size=1)
    rest = await call_measures(desk, "ListSafetyFlags", site_id=site, page_size=1, page_token=page.next_page_token)
    assert (list(page.safety_flags), list(rest.safety_flags), rest.next_page_token) == ([first], [second], "")
    done = await call_measures(desk, "AcknowledgeSafetyFlag", safety_flag_id=first.id, note=" called at home ")
    assert (done.safety_flag.note, done.safety_flag.acknowledged_by) == ("called at home", "dr")
    assert list((await call_measures(desk, "ListSafetyFlags", site_id=site)).safety_flags) == [second]
    refused = await refusal(call_measures(desk, "AcknowledgeSafetyFlag", safety_flag_id=first.id, note="again"))
    assert refused.reason == "SAFETY_FLAG_ACKNOWLEDGED"
    refused = await refusal(call_measures(desk, "AcknowledgeSafetyFlag", safety_flag_id=second.id, note=" \n "))
    assert (refused.reason, refused.faults) == ("BAD_REQUEST", [("note", "string.pattern")])


async def test_of_two_that_retract_or_acknowledge_the_second_waits_and_is_late(desk: Desk) -> None:
    recorded = await record_measure(desk, (await desk.create()).id, **phq_9(9, self_harm=1))
    measure_id = from_wire("measure", recorded.id)
    await second_waits_for_first(desk, lambda store: measures.retract_measure(store, measure_id), MeasureRetracted)
    [flag] = (await call_measures(desk, "ListSafetyFlags", site_id=recorded.site_id)).safety_flags
    flag_id = from_wire("safetyflag", flag.id)
    await second_waits_for_first(
        desk, lambda store: measures.acknowledge_safety_flag(store, flag_id, "called"), SafetyFlagAcknowledged
    )


@several_many
async def test_measures_are_found_by_index_among_many(desk: Desk, many: int) -> None:
    patient = await desk.create()
    id, course_id = from_wire("patient", patient.id), new_id()
    await desk.service.admin.execute(
        """
        WITH taken AS (INSERT INTO measure SELECT $1, gen_random_uuid(), $2, $3,
                CASE WHEN n % 1000 = 0 THEN $4::uuid END, NULL, 'PHQ_9', now() - n * interval '1 minute',
                '{"item_scores": [0, 0, 0, 0, 0, 0, 0, 0, 1]}', 1, 'dr', now()
            FROM generate_series(1, $5::integer) AS n RETURNING id, course_id)
        INSERT INTO safety_flag SELECT $1, gen_random_uuid(), $2, $3, id, 'SELF_HARM', now(), closed.by, closed.at,
            closed.note
        FROM taken, LATERAL (SELECT CASE WHEN course_id IS NULL THEN 'dr' END AS by,
            CASE WHEN course_id IS NULL THEN now() END AS at, CASE WHEN course_id IS NULL THEN '-' ELSE '' END AS note)
            AS closed
        """,
        desk.service.chain_id, id, desk.site_id, course_id, many,
    )  # fmt: skip
    await desk.service.admin.execute("ANALYZE")
    before, before_id = AFTER_ALL
    asked = {"patient_id": id, "instruments": ["PHQ_9"], "before": before, "before_id": before_id, "limit": 51}
    for statement, values, index in (
        (MEASURES, asked, "measure_patient_idx"),
        (TREND, {"patient_id": id, "course_id": course_id, "instrument": "PHQ_9", "limit": 500}, "measure_course_idx"),
        (OPEN_FLAGS, {"site_id": desk.site_id, "after": FIRST_ID, "limit": 51}, "safety_flag_open_idx"),
    ):
        plan = await explained(desk, statement, values)
        assert index in json.dumps(plan)
        assert most_rows(plan) <= ROWS_LOOKED_AT_MAX, index


async def test_a_replay_of_two_at_once_raises_one_flag(desk: Desk) -> None:
    patient, request_id = await desk.create(), str(uuid4())
    calls = (record_measure(desk, patient.id, request_id=request_id, **phq_9(9, self_harm=1)) for _ in range(5))
    assert len({each.id for each in await asyncio.gather(*calls)}) == 1
    assert [await desk.service.count("measure"), await desk.service.count("safety_flag")] == [1, 1]
