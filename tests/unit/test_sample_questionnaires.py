"""The sample's questionnaires: published as they are, and what they make of people at their limits."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from atoll.patients.v1.questionnaire_pb2 import QuestionnaireContent
from chassis.fields import check_fields
from cli.sample.chain import protocol_files, questionnaire_files
from cli.sample.courses import ANSWERS, HIGH_PRESSURE
from services.patients.domain.eligibility import Chosen, Value, judge
from services.patients.domain.questionnaires import Content, Outcome
from services.patients.rpc.questionnaires import content_from_wire

FILES = questionnaire_files()
TODAY, BORN = date(2027, 3, 1), date(1980, 5, 17)
NONE: Mapping[str, Any] = {}


def wire(name: str) -> QuestionnaireContent:
    return ParseDict(FILES[name]["content"], QuestionnaireContent())


def judged(content: Content, changes: Mapping[str, Any] = NONE, born: date = BORN) -> tuple[str, tuple[str, ...]]:
    asked = [question.code for question in content.questions]
    given = {code: _value(value) for code, value in ANSWERS.items()} | dict(changes)
    answers = [(code, given[code]) for code in asked if code in given]
    outcome, reasons = judge(content, answers, born, TODAY)
    return outcome.removeprefix("SCREENING_OUTCOME_"), reasons


def _value(answer: Any) -> Value:
    [(name, value)] = answer.items()
    given: Value = Chosen(value) if name == "option_code" else value
    return given


def test_every_protocol_has_one_questionnaire() -> None:
    assert sorted(code for file in FILES.values() for code in file["protocols"]) == sorted(protocol_files())


@pytest.mark.parametrize("name", FILES)
def test_a_questionnaire_can_be_published_and_takes_the_samples_answers(name: str) -> None:
    check_fields(wire(name))
    content = content_from_wire(wire(name))
    content.check()
    assert judged(content) == ("ELIGIBLE", ())
    high = judged(content, {code: _value(value) for code, value in HIGH_PRESSURE.items()})
    assert high == ("NEEDS_REVIEW", ("blood_pressure_out_of_range",))


@pytest.mark.parametrize("name", FILES)
def test_every_programme_is_for_adults_without_a_psychosis_whose_blood_pressure_is_in_range(name: str) -> None:
    content = content_from_wire(wire(name))
    beyond: list[tuple[dict[str, Any], str, str]] = [
        ({"psychosis_history": True}, "EXCLUDED", "psychosis_history"),
        ({"pregnancy": Chosen("yes")}, "EXCLUDED", "pregnancy"),
        ({"pregnancy": Chosen("possibly")}, "NEEDS_REVIEW", "pregnancy_possible"),
        ({"systolic": 89}, "NEEDS_REVIEW", "blood_pressure_out_of_range"),
        ({"systolic": 161}, "NEEDS_REVIEW", "blood_pressure_out_of_range"),
        ({"diastolic": 101}, "NEEDS_REVIEW", "blood_pressure_out_of_range"),
    ]
    for changes, outcome, reason in beyond:
        assert judged(content, changes) == (outcome, (reason,))
    for changes in ({"systolic": 181}, {"diastolic": 111}):
        assert judged(content, changes)[0] == "EXCLUDED"
    assert judged(content, born=date(2009, 3, 2)) == ("EXCLUDED", ("under_18",))
    assert judged(content, born=date(2009, 3, 1)) == ("ELIGIBLE", ())
    for changes in ({"systolic": 90}, {"systolic": 160}, {"diastolic": 100}):
        assert judged(content, changes) == ("ELIGIBLE", ())


@pytest.mark.parametrize(
    ("name", "changes", "outcome", "reason"),
    [
        ("p1", {"failed_antidepressants": 1}, Outcome.NEEDS_REVIEW, "fewer_than_two_antidepressants"),
        ("p2", {"other_treatments": False, "severe_depression": False}, Outcome.EXCLUDED,
         "neither_tried_others_nor_severe"),
        ("p2", {"psychosis_in_family": True}, Outcome.NEEDS_REVIEW, "psychosis_in_family"),
        ("p4", {"ride_home": False}, Outcome.NEEDS_REVIEW, "no_ride_home"),
        ("p5", {"takes_medication": True, "medication": "lithium"}, Outcome.NEEDS_REVIEW, "medication_to_check"),
        ("p5", {"substance_use": Chosen("past"), "last_use": date(2026, 12, 1)}, Outcome.NEEDS_REVIEW,
         "substance_use"),
    ],
)  # fmt: skip
def test_a_programme_has_conditions_of_its_own(
    name: str, changes: dict[str, Any], outcome: Outcome, reason: str
) -> None:
    found, reasons = judged(content_from_wire(wire(name)), changes)
    assert (f"SCREENING_OUTCOME_{found}", reasons) == (outcome, (reason,))


def test_severe_depression_alone_will_do_where_others_were_not_tried() -> None:
    content = content_from_wire(wire("p2"))
    assert judged(content, {"other_treatments": False}) == ("ELIGIBLE", ())
    assert judged(content, {"severe_depression": False}) == ("ELIGIBLE", ())
