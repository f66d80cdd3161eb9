"""Diagnoses through the gRPC door."""

import json
from datetime import date
from typing import Any

import pytest
from grpc import StatusCode

from atoll.patients.v1 import diagnosis_service_pb2 as pb
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_date
from services.patients.domain.diagnoses import DiagnosisRetracted
from services.patients.store.diagnoses import COURSE_DIAGNOSES, DIAGNOSES, LAST_ID
from services.patients.use_cases import diagnoses
from tests.integration.test_patients_races import second_waits_for_first
from tests.integration.test_patients_speed import ROWS_LOOKED_AT_MAX, explained, most_rows
from tests.support.patients import Desk, desk
from tests.support.patients_merges import Merges
from tests.support.patients_parts import (
    add_patients,
    call_diagnoses,
    diagnose,
    let_in,
    of_patient,
    service_token,
    several_many,
)
from tests.support.service import refusal

__all__ = ["desk"]

COURSE = to_wire("course", new_id())
TODAY = to_date(date(2027, 3, 1))


async def test_a_diagnosis_is_kept_with_its_dot_from_today_at_the_site_on(desk: Desk) -> None:
    patient = await desk.create()
    recorded = await diagnose(desk, patient.id, code="F332", course_id=COURSE)
    assert (recorded.code, recorded.rank, recorded.effective_date, recorded.recorded_by) == (
        "F33.2", pb.DIAGNOSIS_RANK_PRIMARY, TODAY, "dr"
    )  # fmt: skip
    listed = await call_diagnoses(desk, "ListDiagnoses", of_patient(desk, patient.id), patient_id=patient.id)
    assert list(listed.diagnoses) == [recorded]


async def test_what_is_published_names_no_code(desk: Desk) -> None:
    patient = await desk.create()
    recorded = await diagnose(desk, patient.id)
    await call_diagnoses(desk, "RetractDiagnosis", diagnosis_id=recorded.id)
    told = (await desk.service.published())[-2:]
    assert [subject for subject, _ in told] == ["patients.v1.diagnosis.recorded", "patients.v1.diagnosis.retracted"]
    assert all(event.diagnosis_id == recorded.id and "F33" not in str(event) for _, event in told)


async def test_a_document_names_what_holds_for_its_course_on_its_day_primary_first(desk: Desk) -> None:
    patient = await desk.create()
    early, late = to_date(date(2027, 1, 1)), to_date(date(2027, 2, 15))
    second = await diagnose(
        desk, patient.id, code="F41.1", rank="DIAGNOSIS_RANK_SECONDARY", effective_date=early
    )  # fmt: skip
    first = await diagnose(desk, patient.id, course_id=COURSE, effective_date=early)
    await diagnose(desk, patient.id, code="F43.10", course_id=COURSE, effective_date=late)
    await diagnose(desk, patient.id, code="G89.4", course_id=to_wire("course", new_id()), effective_date=early)
    wrong = await diagnose(desk, patient.id, code="F32.9", course_id=COURSE, effective_date=early)
    await call_diagnoses(desk, "RetractDiagnosis", diagnosis_id=wrong.id)
    asked = {"patient_id": patient.id, "course_id": COURSE}
    for token in (desk.service.token("ROLE_BILLING"), service_token(desk)):
        named = await call_diagnoses(desk, "GetCourseDiagnoses", token, **asked, date=to_date(date(2027, 2, 14)))
        assert list(named.diagnoses) == [first, second]
    later = await call_diagnoses(desk, "GetCourseDiagnoses", **asked, date=late)
    assert [each.code for each in later.diagnoses] == ["F33.2", "F43.10", "F41.1"]


async def test_a_document_names_a_code_once_however_often_it_stands(desk: Desk) -> None:
    patient, merged = await desk.create(), await desk.create()
    secondary = {"rank": "DIAGNOSIS_RANK_SECONDARY"}
    early = to_date(date(2027, 1, 1))
    await diagnose(desk, patient.id, effective_date=early, **secondary)
    await diagnose(desk, patient.id, course_id=COURSE, **secondary)
    primary = await diagnose(desk, merged.id)
    await diagnose(desk, patient.id, code="F41.1", effective_date=early)
    of_course = await diagnose(desk, merged.id, code="F41.1", course_id=COURSE)
    await Merges(desk).merge(patient, merged)
    for patient_id in (patient.id, merged.id):
        named = await call_diagnoses(desk, "GetCourseDiagnoses", patient_id=patient_id, course_id=COURSE, date=TODAY)
        assert list(named.diagnoses) == [primary, of_course]


async def test_the_same_code_stands_once_for_a_course_and_again_once_it_was_retracted(desk: Desk) -> None:
    patient = await desk.create()
    first = await diagnose(desk, patient.id)
    await diagnose(desk, patient.id, course_id=COURSE)
    for course_id in ("", COURSE):
        refused = await refusal(diagnose(desk, patient.id, code="F332", course_id=course_id))
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "DIAGNOSIS_RECORDED")
    await call_diagnoses(desk, "RetractDiagnosis", diagnosis_id=first.id)
    await diagnose(desk, patient.id)
    refused = await refusal(call_diagnoses(desk, "RetractDiagnosis", diagnosis_id=first.id))
    assert refused.reason == "DIAGNOSIS_RETRACTED"


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"code": "33.2"}, "BAD_REQUEST", "code"),
        ({"code": "F33.23456"}, "BAD_REQUEST", "code"),
        ({"code": "f33.2"}, "BAD_REQUEST", "code"),
        ({"code": "F33."}, "BAD_REQUEST", "code"),
        ({"rank": 0}, "BAD_REQUEST", "rank"),
        ({"effective_date": {"year": 2027, "month": 2, "day": 29}}, "BAD_REQUEST", "effective_date"),
        ({"effective_date": {"year": 2027, "month": 3, "day": 2}}, "DIAGNOSIS_IN_FUTURE", "effective_date"),
    ],
)
async def test_what_is_no_diagnosis_is_refused_by_field(
    desk: Desk, changes: dict[str, Any], reason: str, field: str
) -> None:
    refused = await refusal(diagnose(desk, (await desk.create()).id, **changes))
    assert (refused.reason, [each for each, _ in refused.faults]) == (reason, [field])
    assert await desk.service.count("diagnosis") == 0


@pytest.mark.parametrize(
    ("method", "roles"),
    [
        ("RecordDiagnosis", {"CLINICIAN"}),
        ("RetractDiagnosis", {"CLINICIAN"}),
        ("ListDiagnoses", {"CLINICIAN", "NURSE", "AUDITOR", "PATIENT"}),
        ("GetCourseDiagnoses", {"CLINICIAN", "BILLING", "SERVICE"}),
    ],
)
async def test_each_call_is_open_to_its_roles_only(desk: Desk, method: str, roles: set[str]) -> None:
    assert await let_in(desk, call_diagnoses, method) == roles


async def test_no_site_writes_or_reads_where_it_may_not_see_the_record(desk: Desk) -> None:
    patient = await desk.create()
    recorded, there = await diagnose(desk, patient.id), desk.at_other_site("ROLE_CLINICIAN")
    refused = await refusal(diagnose(desk, patient.id, there, site_id=to_wire("site", desk.other_site_id), code="F41"))
    assert refused.reason == "PATIENT_NOT_FOUND"
    for token in (there, desk.of_other_chain("ROLE_CLINICIAN")):
        refused = await refusal(call_diagnoses(desk, "RetractDiagnosis", token, diagnosis_id=recorded.id))
        assert refused.reason == "DIAGNOSIS_NOT_FOUND"
        assert not (await call_diagnoses(desk, "ListDiagnoses", token, patient_id=patient.id)).diagnoses
    assert await desk.service.count("diagnosis") == 1


async def test_a_list_comes_in_pages_the_latest_first(desk: Desk) -> None:
    patient, seen, token = await desk.create(), list[str](), ""
    for code in ("F33.2", "F41.1", "F43.10"):
        await diagnose(desk, patient.id, code=code)
    while True:
        page = await call_diagnoses(desk, "ListDiagnoses", patient_id=patient.id, page_size=2, page_token=token)
        seen += [each.code for each in page.diagnoses]
        if not (token := page.next_page_token):
            break
    assert seen == ["F43.10", "F41.1", "F33.2"]


async def test_of_two_that_retract_the_second_waits_and_is_late(desk: Desk) -> None:
    id = from_wire("diagnosis", (await diagnose(desk, (await desk.create()).id)).id)
    await second_waits_for_first(desk, lambda store: diagnoses.retract_diagnosis(store, id), DiagnosisRetracted)


@several_many
async def test_diagnoses_are_found_by_index_among_many_patients(desk: Desk, many: int) -> None:
    patient_id = from_wire("patient", (await desk.create()).id)
    await add_patients(desk, many)
    await desk.service.admin.execute(
        """
        INSERT INTO diagnosis SELECT $1, gen_random_uuid(), id, $2, NULL, 'F33.2', 'PRIMARY', '2027-01-01', 'dr', now()
        FROM patient
        """,
        desk.service.chain_id, desk.site_id,
    )  # fmt: skip
    await desk.service.admin.execute("ANALYZE")
    for statement, values in (
        (DIAGNOSES, {"patient_id": patient_id, "before": LAST_ID, "limit": 51}),
        (COURSE_DIAGNOSES, {"patient_id": patient_id, "course_id": new_id(), "day": date(2027, 3, 1), "limit": 50}),
    ):
        plan = await explained(desk, statement, values)
        assert "diagnosis_" in json.dumps(plan)
        assert "Seq Scan on diagnosis" not in json.dumps(plan)
        assert most_rows(plan) <= ROWS_LOOKED_AT_MAX
