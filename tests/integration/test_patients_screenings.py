"""Screenings through the gRPC door."""

from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from grpc import StatusCode

from atoll.common.v1.access_pb2 import Role
from atoll.patients.v1 import questionnaire_service_pb2 as questionnaire_pb
from atoll.patients.v1 import screening_service_pb2 as pb
from atoll.patients.v1.questionnaire_pb2 import (
    SCREENING_OUTCOME_ELIGIBLE,
    SCREENING_OUTCOME_EXCLUDED,
    SCREENING_OUTCOME_NEEDS_REVIEW,
)
from chassis.ids import from_wire, new_id, to_wire
from services.patients.tables.clearances import screening
from tests.support.patients import Desk, desk
from tests.support.patients_questionnaires import KETAMINE, content, question
from tests.support.sealed import texts_of
from tests.support.service import refusal

__all__ = ["desk"]

ANSWERS: list[dict[str, Any]] = [
    {"question_code": "failed_antidepressants", "int_value": 2},
    {"question_code": "psychosis", "bool_value": False},
    {"question_code": "systolic", "int_value": 120},
    {"question_code": "substance_use", "option_code": "past"},
    {"question_code": "last_use", "date_value": {"year": 2020, "month": 2, "day": 29}},
    {"question_code": "medication", "text_value": "sertraline\n50 mg 💊"},
]


def told(**changes: dict[str, Any] | None) -> list[dict[str, Any]]:
    """ANSWERS with other values; None leaves one out."""
    answers = {each["question_code"]: each for each in ANSWERS}
    for code, value in changes.items():
        answers[code] = value and {"question_code": code, **value}  # type: ignore[assignment]
    return [each for each in answers.values() if each]


async def asked_for(desk: Desk) -> dict[str, Any]:
    """What a screening for a protocol with the sample questionnaire names."""
    protocol_id = to_wire("protocol", new_id())
    version = await desk.asks(protocol_id, KETAMINE)
    return {"protocol_id": protocol_id, "questionnaire_version_id": version.id, "answers": ANSWERS}


async def get_screening(desk: Desk, screening_id: str, token: str) -> pb.Screening:
    request = pb.GetScreeningRequest(screening_id=screening_id)
    got: pb.Screening = (await desk.service.call(desk.screenings.GetScreening, request, token)).screening
    return got


async def list_screenings(desk: Desk, patient_id: str, token: str, **page: Any) -> Any:
    request = pb.ListScreeningsRequest(patient_id=patient_id, **page)
    return await desk.service.call(desk.screenings.ListScreenings, request, token)


def self_token(desk: Desk, patient_id: str) -> str:
    return desk.service.token("ROLE_PATIENT", patient=patient_id, subject="ana")


async def questionnaire_of(desk: Desk, version_id: str) -> str:
    request = questionnaire_pb.GetQuestionnaireVersionRequest(questionnaire_version_id=version_id)
    answer = await desk.service.call(desk.questionnaires.GetQuestionnaireVersion, request)
    return str(answer.questionnaire_version.questionnaire_id)


async def test_a_screening_keeps_its_answers_and_the_version_that_was_asked(desk: Desk) -> None:
    patient, asked = await desk.create(), await asked_for(desk)
    recorded = await desk.screen(patient.id, **asked)
    assert list(recorded.answers) == [pb.Answer(**answer) for answer in ANSWERS]
    assert (recorded.patient_id, recorded.recorded_by) == (patient.id, "dr")
    assert recorded.questionnaire_version_id == asked["questionnaire_version_id"]
    assert (recorded.outcome, list(recorded.reason_codes)) == (SCREENING_OUTCOME_ELIGIBLE, [])
    assert recorded.create_time.ToDatetime(tzinfo=desk.service.now.tzinfo) == desk.service.now
    assert await get_screening(desk, recorded.id, desk.clinician()) == recorded


@pytest.mark.parametrize(
    ("changes", "outcome", "reasons"),
    [
        ({"systolic": {"int_value": 180}}, SCREENING_OUTCOME_ELIGIBLE, []),
        ({"systolic": {"int_value": 181}}, SCREENING_OUTCOME_NEEDS_REVIEW, ["blood_pressure"]),
        ({"medication": None}, SCREENING_OUTCOME_NEEDS_REVIEW, ["medication_not_told"]),
        ({"psychosis": {"bool_value": True}, "systolic": {"int_value": 89}}, SCREENING_OUTCOME_EXCLUDED,
         ["psychosis_history", "blood_pressure"]),
    ],
)  # fmt: skip
async def test_the_rules_say_what_comes_of_the_answers(
    desk: Desk, changes: dict[str, Any], outcome: int, reasons: list[str]
) -> None:
    asked = await asked_for(desk)
    recorded = await desk.screen((await desk.create()).id, **asked | {"answers": told(**changes)})
    assert (recorded.outcome, list(recorded.reason_codes)) == (outcome, reasons)
    assert await get_screening(desk, recorded.id, desk.clinician()) == recorded


async def test_the_age_is_reckoned_from_the_birth_date_on_the_sites_day(desk: Desk) -> None:
    """At six on the second in UTC it is still the first in Denver, the eve of the birthday."""
    asked = await asked_for(desk)
    patient = await desk.create(birth_date={"year": 2009, "month": 3, "day": 2})
    desk.service.clock.now = desk.service.now.replace(day=2, hour=6)
    recorded = await desk.screen(patient.id, **asked)
    assert (recorded.outcome, list(recorded.reason_codes)) == (SCREENING_OUTCOME_EXCLUDED, ["under_18"])
    desk.service.clock.now = desk.service.now.replace(hour=7)
    assert (await desk.screen(patient.id, **asked)).outcome == SCREENING_OUTCOME_ELIGIBLE


async def test_a_screening_is_published_with_ids_only(desk: Desk) -> None:
    patient, asked = await desk.create(), await asked_for(desk)
    answers = told(psychosis={"bool_value": True}, medication={"text_value": "lithium"})
    recorded = await desk.screen(patient.id, **asked | {"answers": answers})
    subject, event = (await desk.service.published())[-1]
    assert (subject, event.screening_id, event.patient_id) == (
        "patients.v1.screening.recorded", recorded.id, patient.id,
    )  # fmt: skip
    assert (event.protocol_id, event.site_id) == (recorded.protocol_id, recorded.site_id)
    assert event.questionnaire_version_id == asked["questionnaire_version_id"]
    for word in (b"lithium", b"medication", b"EXCLUDED", b"psychosis"):
        assert word not in event.SerializeToString()


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ([*ANSWERS, {"question_code": "asthma", "bool_value": True}],
         ("answers[6].question_code", "UNKNOWN_QUESTION")),
        (told(psychosis={"int_value": 0}), ("answers[1]", "WRONG_TYPE")),
        (told(systolic={"int_value": 2**63 - 1}), ("answers[2].int_value", "OUT_OF_BOUNDS")),
        (told(substance_use={"option_code": "daily"}, last_use=None), ("answers[3].option_code", "UNKNOWN_OPTION")),
        (told(substance_use={"option_code": "none"}), ("answers[4]", "NOT_SHOWN")),
        (told(last_use={"date_value": {"year": 2027, "month": 3, "day": 2}}), ("answers[4].date_value", "IN_FUTURE")),
        (told(medication={"text_value": "x" * 21}), ("answers[5].text_value", "TOO_LONG")),
        (told(medication={"text_value": ""}), ("answers[5].text_value", "EMPTY")),
        (told(psychosis=None), ("answers", "MISSING")),
    ],
)  # fmt: skip
async def test_answers_that_do_not_fit_the_questions_are_named_and_not_kept(
    desk: Desk, answers: list[Any], fault: tuple[str, str]
) -> None:
    asked = await asked_for(desk)
    refused = await refusal(desk.screen((await desk.create()).id, **asked | {"answers": answers}))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "SCREENING_ANSWERS_INVALID")
    assert refused.faults == [fault]
    assert await desk.service.count("screening") == 0
    assert "patients.v1.screening.recorded" not in await desk.facts()


@pytest.mark.parametrize(
    ("answers", "rule"),
    [
        ([ANSWERS[0], ANSWERS[0]], "answers.one_for_each_question"),
        ([{"question_code": "Age!", "int_value": 1}], "string.pattern"),
        ([{"question_code": "age"}], "required"),
        ([{"question_code": "note", "text_value": "a\x00b"}], "string.pattern"),
        ([{"question_code": "note", "text_value": "a\x1bb"}], "string.pattern"),
        ([{"question_code": "use", "option_code": "x y"}], "string.pattern"),
        ([{"question_code": "day", "date_value": {"year": 2027, "month": 2, "day": 29}}], "date.exists"),
        ([{"question_code": f"q{n}", "bool_value": True} for n in range(101)], "repeated.max_items"),
    ],
)
async def test_answers_are_one_value_for_each_question(desk: Desk, answers: list[Any], rule: str) -> None:
    refused = await refusal(desk.screen((await desk.create()).id, answers=answers))
    assert (refused.code, [fault for _, fault in refused.faults]) == (StatusCode.INVALID_ARGUMENT, [rule])
    assert await desk.service.count("screening") == 0


async def test_answers_to_an_outdated_version_are_refused_with_the_current_one(desk: Desk) -> None:
    patient, asked = await desk.create(), await asked_for(desk)
    latest = await desk.publish(await questionnaire_of(desk, asked["questionnaire_version_id"]), KETAMINE)
    refused = await refusal(desk.screen(patient.id, **asked))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "QUESTIONNAIRE_OUTDATED")
    assert refused.faults == [("questionnaire_version_id", "QUESTIONNAIRE_OUTDATED")]
    assert refused.metadata["current_version_id"] == latest.id
    assert await desk.service.count("screening") == 0
    assert (await desk.screen(patient.id, **asked | {"questionnaire_version_id": latest.id})).patient_id == patient.id


async def test_answers_to_a_retired_questionnaire_are_refused(desk: Desk) -> None:
    patient, asked = await desk.create(), await asked_for(desk)
    request = questionnaire_pb.RetireQuestionnaireRequest(
        request_id=str(uuid4()), questionnaire_id=await questionnaire_of(desk, asked["questionnaire_version_id"])
    )
    await desk.service.call(desk.questionnaires.RetireQuestionnaire, request)
    refused = await refusal(desk.screen(patient.id, **asked))
    assert (refused.reason, "current_version_id" in refused.metadata) == ("QUESTIONNAIRE_OUTDATED", False)
    other = await desk.asks(asked["protocol_id"])
    refused = await refusal(desk.screen(patient.id, **asked))
    assert (refused.reason, refused.metadata["current_version_id"]) == ("QUESTIONNAIRE_OUTDATED", other.id)
    assert await desk.service.count("screening") == 0


async def test_nobody_is_screened_by_another_questionnaire_than_the_protocols(desk: Desk) -> None:
    """Else one with fewer questions would do for any protocol."""
    patient, asked = await desk.create(), await asked_for(desk)
    easy = await desk.asks(to_wire("protocol", new_id()), content([question("fine")]))
    changes = {"questionnaire_version_id": easy.id, "answers": []}
    refused = await refusal(desk.screen(patient.id, **asked | changes))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "QUESTIONNAIRE_NOT_OF_PROTOCOL")
    assert refused.metadata["current_version_id"] == asked["questionnaire_version_id"]
    unassigned = asked | {"protocol_id": to_wire("protocol", new_id())}
    refused = await refusal(desk.screen(patient.id, **unassigned))
    assert (refused.reason, "current_version_id" in refused.metadata) == ("QUESTIONNAIRE_NOT_OF_PROTOCOL", False)
    absent = asked | {"questionnaire_version_id": to_wire("questionnaireversion", new_id())}
    refused = await refusal(desk.screen(patient.id, **absent))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "QUESTIONNAIRE_VERSION_NOT_FOUND")
    assert await desk.service.count("screening") == 0


async def test_the_same_request_is_screened_once(desk: Desk) -> None:
    patient, same = await desk.create(), await asked_for(desk) | {"request_id": str(uuid4())}
    assert await desk.screen(patient.id, **same) == await desk.screen(patient.id, **same)
    assert await desk.service.count("screening") == 1
    assert (await desk.facts()).count("patients.v1.screening.recorded") == 1


async def test_patients_answer_for_themselves_and_read_it_and_nobody_elses(desk: Desk) -> None:
    patient, other, asked = await desk.create(), await desk.create(), await asked_for(desk)
    of_other = await desk.screen(other.id, **asked)
    token = self_token(desk, patient.id)
    recorded = await desk.screen(patient.id, token, **asked)
    assert recorded.recorded_by == "ana"
    assert await get_screening(desk, recorded.id, token) == recorded
    assert [each.id for each in (await list_screenings(desk, patient.id, token)).screenings] == [recorded.id]
    assert (await refusal(desk.screen(other.id, token, **asked))).reason == "ACCESS_DENIED"
    assert (await refusal(get_screening(desk, of_other.id, token))).reason == "SCREENING_NOT_FOUND"
    assert (await refusal(list_screenings(desk, other.id, token))).reason == "ACCESS_DENIED"
    elsewhere = asked | {"site_id": to_wire("site", desk.other_site_id)}
    assert (await refusal(desk.screen(patient.id, token, **elsewhere))).reason == "PATIENT_NOT_FOUND"
    assert await desk.service.count("screening") == 2


async def test_the_desk_nurses_clinicians_and_patients_record_and_nobody_else(desk: Desk) -> None:
    patient, asked = await desk.create(), await asked_for(desk)
    may_record = {"ROLE_FRONT_DESK", "ROLE_NURSE", "ROLE_CLINICIAN", "ROLE_PATIENT"}
    for role in Role.keys()[1:]:
        answer = desk.screen(patient.id, desk.service.token(role, patient=patient.id), **asked)
        if role in may_record:
            await answer
        else:
            refused = await refusal(answer)
            assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED"), role
    assert await desk.service.count("screening") == len(may_record)


async def test_a_screening_is_read_at_its_own_site_and_by_those_who_treat(desk: Desk) -> None:
    recorded = await desk.screen((await desk.create()).id)
    for token in (desk.at_other_site("ROLE_CLINICIAN"), desk.of_other_chain("ROLE_CLINICIAN")):
        refused = await refusal(get_screening(desk, recorded.id, token))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "SCREENING_NOT_FOUND")
    may_read = {"ROLE_NURSE", "ROLE_CLINICIAN", "ROLE_AUDITOR", "ROLE_PATIENT"}
    for role in Role.keys()[1:]:
        token = desk.service.token(role, patient=recorded.patient_id)
        if role in may_read:
            assert await get_screening(desk, recorded.id, token) == recorded
        else:
            assert (await refusal(get_screening(desk, recorded.id, token))).reason == "ACCESS_DENIED", role
            assert (await refusal(list_screenings(desk, recorded.patient_id, token))).reason == "ACCESS_DENIED", role


async def test_screenings_come_the_latest_first_in_pages(desk: Desk) -> None:
    patient = await desk.create()
    made = [(await desk.screen(patient.id)).id for _ in range(3)]
    await desk.screen((await desk.create()).id)
    first = await list_screenings(desk, patient.id, desk.clinician(), page_size=2)
    second = await list_screenings(
        desk, patient.id, desk.clinician(), page_size=2, page_token=first.next_page_token
    )  # fmt: skip
    assert [each.id for page in (first, second) for each in page.screenings] == made[::-1]
    assert second.next_page_token == ""


async def test_nobody_is_screened_where_their_record_does_not_open(desk: Desk) -> None:
    patient = await desk.create()
    elsewhere = {"site_id": to_wire("site", desk.other_site_id)}
    attempts: list[tuple[str, dict[str, Any], str]] = [
        (patient.id, elsewhere, desk.clinician()),
        (patient.id, elsewhere, desk.at_other_site("ROLE_CLINICIAN")),
        (to_wire("patient", new_id()), {}, desk.clinician()),
        (patient.id, {}, desk.of_other_chain("ROLE_CLINICIAN")),
    ]
    for patient_id, changes, token in attempts:
        refused = await refusal(desk.screen(patient_id, token, **changes))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
    assert await desk.service.count("screening") == 0


async def test_who_may_not_see_a_record_learns_nothing_of_it_by_answers_that_do_not_fit(desk: Desk) -> None:
    """Else whoever asks would be told of the patient's age, and that there is such a patient."""
    patient, asked = await desk.create(), await asked_for(desk)
    there = asked | {"site_id": to_wire("site", desk.other_site_id), "answers": []}
    for patient_id in (patient.id, to_wire("patient", new_id())):
        refused = await refusal(desk.screen(patient_id, desk.at_other_site("ROLE_NURSE"), **there))
        assert (refused.code, refused.reason, refused.faults) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND", [])


async def test_a_screening_at_a_site_not_heard_of_is_to_be_asked_for_again(desk: Desk) -> None:
    refused = await refusal(desk.screen((await desk.create()).id, site_id=to_wire("site", new_id())))
    assert (refused.code, refused.reason, refused.retry) == (StatusCode.FAILED_PRECONDITION, "NOT_YET_KNOWN", True)


async def test_the_database_never_changes_a_screening(desk: Desk) -> None:
    await desk.screen((await desk.create()).id)
    for change in ("UPDATE screening SET outcome = 'SCREENING_OUTCOME_ELIGIBLE'", "DELETE FROM screening"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with desk.service.db.transaction(desk.service.inside("test")) as conn:
                await conn.execute(change)


async def test_the_database_keeps_no_outcome_without_its_reasons_or_its_version(desk: Desk) -> None:
    recorded = await desk.screen((await desk.create()).id)
    for change in (
        "outcome = 'SCREENING_OUTCOME_EXCLUDED'",
        "reason_codes = '{why}'",
        "questionnaire_version_id = NULL",
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await desk.service.admin.execute(f"UPDATE screening SET {change}")
    assert await get_screening(desk, recorded.id, desk.clinician()) == recorded


async def test_answers_older_than_questionnaires_need_review(desk: Desk) -> None:
    patient, id, texts = await desk.create(), new_id(), texts_of(desk.service.chain_id)
    told = texts.seal_json(screening.c.answers, [["psychosis", False], ["note", ""], ["age", 40]], id)
    written = texts.seal_json(screening.c.answer_texts, ["none"], id)
    columns = "chain_id, id, patient_id, protocol_id, site_id, answers, answer_texts, recorded_by, recorded_at"
    await desk.service.admin.execute(
        f"INSERT INTO screening ({columns}) VALUES ($1, $2, $3, $2, $4, $5, $6, 'dr', now())",
        desk.service.chain_id, id, from_wire("patient", patient.id), desk.site_id, told, written,
    )  # fmt: skip
    [old] = (await list_screenings(desk, patient.id, desk.clinician())).screenings
    assert (old.questionnaire_version_id, old.outcome) == ("", SCREENING_OUTCOME_NEEDS_REVIEW)
    assert [each.WhichOneof("value") for each in old.answers] == ["bool_value", "text_value", "int_value"]
