"""What a questionnaire must be to be published."""

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from atoll.patients.v1.questionnaire_pb2 import QuestionnaireContent
from services.patients.domain.questionnaires import Comparison, QuestionnaireContentInvalid, QuestionType, content_of
from services.patients.rpc.questionnaires import content_from_wire
from tests.support.patients_questionnaires import (
    KETAMINE,
    choice,
    condition,
    content,
    group,
    number,
    question,
    rule,
    texts,
)

ASKED = [question("asthma"), number("systolic", 40, 300), choice("use", "none", "past"), question("last_use", "DATE"),
         question("note", "TEXT")]  # fmt: skip


def faults(data: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(QuestionnaireContentInvalid) as caught:
        content_of(data).check()
    return [(each.field, each.rule) for each in caught.value.violations]


def of_questions(*questions: dict[str, Any]) -> list[tuple[str, str]]:
    return [(field.removeprefix("content.questions"), rule) for field, rule in faults(content(questions))]


def of_condition(*given: Any) -> list[tuple[str, str]]:
    found = faults(content(ASKED, rule("why", "EXCLUDED", condition(*given))))
    return [(field.removeprefix("content.rules[0].when.conditions[0]."), rule) for field, rule in found]


def test_a_questionnaire_of_every_type_passes_and_comes_back_from_the_wire() -> None:
    content_of(KETAMINE).check()
    assert content_from_wire(ParseDict(KETAMINE, QuestionnaireContent())) == content_of(KETAMINE)


def test_codes_are_unique_among_questions_options_and_rules() -> None:
    twice = content(
        [question("a"), choice("b", "x", "y", "x"), question("a")],
        rule("r", "EXCLUDED", condition("a", "MISSING")),
        rule("r", "NEEDS_REVIEW", condition("b", "MISSING")),
    )
    assert faults(twice) == [
        ("content.questions[2].code", "REPEATED"),
        ("content.rules[1].reason_code", "REPEATED"),
        ("content.questions[1].options[2].code", "REPEATED"),
    ]


def test_nobody_is_asked_for_what_is_reckoned() -> None:
    assert of_questions(number("age", 0, 150)) == [("[0].code", "RESERVED")]


def test_all_that_is_shown_is_in_the_same_languages() -> None:
    both: dict[str, Any] = {"texts": texts("en", "es")}
    half = choice("b", "x", **both)
    found = of_questions(question("a", **both), half, question("c"), question("d", texts=texts("en", "es", "en")))
    assert found == [
        ("[1].options[0].texts", "LANGUAGES_DIFFER"),
        ("[2].texts", "LANGUAGES_DIFFER"),
        ("[3].texts[2].language", "REPEATED"),
    ]


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        (number("a", 5, 5), ("[0].max_value", "OUT_OF_BOUNDS")),
        (question("a", "INTEGER"), ("[0].max_value", "OUT_OF_BOUNDS")),
        (choice("a"), ("[0].options", "OPTIONS_MISSING")),
        (question("a", min_value=1), ("[0].min_value", "NOT_OF_TYPE")),
        (question("a", "DATE", max_value=1), ("[0].max_value", "NOT_OF_TYPE")),
        (question("a", "TEXT", unit="kg"), ("[0].unit", "NOT_OF_TYPE")),
        (choice("a", "x") | {"type": "QUESTION_TYPE_TEXT"}, ("[0].options", "NOT_OF_TYPE")),
        (number("a", 0, 1, max_length=3), ("[0].max_length", "NOT_OF_TYPE")),
    ],
)
def test_a_question_has_what_its_type_needs_and_nothing_else(asked: dict[str, Any], fault: tuple[str, str]) -> None:
    assert of_questions(asked) == [fault]


@pytest.mark.parametrize("code", ["a", "b", "c"])
def test_whether_a_question_is_shown_depends_on_those_above_it(code: str) -> None:
    found = of_questions(question("a", shown_when=condition(code, "EQUAL", True)), question("b"))
    assert found == [("[0].shown_when.question_code", "NOT_ABOVE")]
    content_of(content([question("b"), question("a", shown_when=condition("b", "EQUAL", True))])).check()
    content_of(content([question("a", shown_when=condition("age", "LESS", 50))])).check()


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (("heart", "EQUAL", True), ("question_code", "UNKNOWN_QUESTION")),
        (("asthma", "LESS", True), ("comparison", "COMPARISON_NOT_OF_TYPE")),
        (("use", "GREATER", "past"), ("comparison", "COMPARISON_NOT_OF_TYPE")),
        (("note", "EQUAL", "past"), ("comparison", "COMPARISON_NOT_OF_TYPE")),
        (("age", "MISSING"), ("comparison", "COMPARISON_NOT_OF_TYPE")),
        (("asthma", "EQUAL", 1), ("int_value", "VALUE_NOT_OF_TYPE")),
        (("systolic", "EQUAL", True), ("bool_value", "VALUE_NOT_OF_TYPE")),
        (("systolic", "LESS"), ("int_value", "VALUE_NOT_OF_TYPE")),
        (("use", "EQUAL", 1), ("int_value", "VALUE_NOT_OF_TYPE")),
        (("last_use", "LESS", "past"), ("option_code", "VALUE_NOT_OF_TYPE")),
        (("asthma", "MISSING", True), ("bool_value", "VALUE_NOT_OF_TYPE")),
        (("note", "ANSWERED", 3), ("int_value", "VALUE_NOT_OF_TYPE")),
        (("age", "LESS"), ("int_value", "VALUE_NOT_OF_TYPE")),
        (("use", "EQUAL", "daily"), ("option_code", "UNKNOWN_OPTION")),
        (("use", "NOT_EQUAL", ""), ("option_code", "UNKNOWN_OPTION")),
        (("systolic", "GREATER", 301), ("int_value", "OUT_OF_BOUNDS")),
        (("systolic", "LESS", 39), ("int_value", "OUT_OF_BOUNDS")),
        (("last_use", "LESS", -1), ("int_value", "OUT_OF_BOUNDS")),
        (("age", "LESS", 151), ("int_value", "OUT_OF_BOUNDS")),
    ],
)
def test_a_condition_compares_an_answer_with_what_it_can_be(given: tuple[Any, ...], fault: tuple[str, str]) -> None:
    assert of_condition(*given) == [fault]


@pytest.mark.parametrize("type", QuestionType)
def test_every_answer_can_be_missing_or_there(type: QuestionType) -> None:
    code = next(each["code"] for each in ASKED if each["type"] == type)
    for comparison in (Comparison.MISSING, Comparison.ANSWERED):
        bare = comparison.removeprefix("ANSWER_COMPARISON_")
        content_of(content(ASKED, rule("why", "EXCLUDED", condition(code, bare)))).check()


def test_a_rule_without_a_condition_is_refused_and_so_is_a_group() -> None:
    empty = content(ASKED, rule("why", "EXCLUDED"), rule("so", "EXCLUDED", group("ANY")))
    assert faults(empty) == [("content.rules[0].when", "EMPTY"), ("content.rules[1].when.groups[0]", "EMPTY")]


def test_groups_stand_four_deep() -> None:
    missing = condition("asthma", "MISSING")
    four = group("ALL", group("ALL", group("ANY", missing)))
    content_of(content(ASKED, rule("why", "EXCLUDED", four))).check()
    found = faults(content(ASKED, rule("why", "EXCLUDED", group("ALL", four))))
    assert found == [("content.rules[0].when.groups[0].groups[0].groups[0].groups[0]", "TOO_DEEP")]
