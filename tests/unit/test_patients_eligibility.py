"""What comes of answers, at the limits of the rules."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from services.patients.domain.eligibility import Answers, Chosen, ScreeningAnswersInvalid, age_on, judge
from services.patients.domain.questionnaires import Outcome, content_of
from services.patients.domain.screenings import Asked, QuestionnaireNotOfProtocol, QuestionnaireOutdated
from tests.support.patients_questionnaires import KETAMINE, choice, condition, content, number, question, rule

TODAY, BORN = date(2027, 3, 1), date(1980, 5, 17)
CONTENT = content_of(KETAMINE)
FINE: dict[str, Any] = {
    "failed_antidepressants": 2,
    "psychosis": False,
    "systolic": 120,
    "substance_use": Chosen("none"),
    "medication": "sertraline",
}
ELIGIBLE = (Outcome.ELIGIBLE, ())


def review(*reasons: str) -> tuple[Outcome, tuple[str, ...]]:
    return Outcome.NEEDS_REVIEW, reasons


def judged(changes: dict[str, Any], born: date = BORN, today: date = TODAY) -> tuple[Outcome, tuple[str, ...]]:
    given = FINE | changes
    return judge(CONTENT, tuple((code, value) for code, value in given.items() if value is not None), born, today)


def faults(answers: Answers, data: Any = KETAMINE) -> list[tuple[str, str]]:
    with pytest.raises(ScreeningAnswersInvalid) as caught:
        judge(content_of(data), answers, BORN, TODAY)
    return [(each.field, each.rule) for each in caught.value.violations]


@pytest.mark.parametrize(
    ("born", "today", "age"),
    [
        (date(2009, 3, 1), date(2027, 3, 1), 18),
        (date(2009, 3, 2), date(2027, 3, 1), 17),
        (date(2009, 2, 28), date(2027, 3, 1), 18),
        (date(2008, 2, 29), date(2026, 2, 28), 17),
        (date(2008, 2, 29), date(2026, 3, 1), 18),
        (date(2008, 2, 29), date(2028, 2, 28), 19),
        (date(2008, 2, 29), date(2028, 2, 29), 20),
        (date(2009, 12, 31), date(2027, 12, 30), 17),
        (date(2009, 12, 31), date(2027, 12, 31), 18),
        (date(2027, 3, 1), date(2027, 3, 1), 0),
        (date(1900, 1, 1), date(2027, 3, 1), 127),
    ],
)
def test_one_is_a_year_older_on_the_birthday(born: date, today: date, age: int) -> None:
    assert age_on(today, born) == age
    assert (judged({}, born, today)[0] is Outcome.EXCLUDED) == (age < 18)


@pytest.mark.parametrize(
    ("systolic", "result"),
    [
        (89, review("blood_pressure")),
        (90, ELIGIBLE),
        (180, ELIGIBLE),
        (181, review("blood_pressure")),
    ],
)
def test_blood_pressure_is_looked_at_beyond_its_limits(systolic: int, result: object) -> None:
    assert judged({"systolic": systolic}) == result


@pytest.mark.parametrize(("failed", "result"), [(0, review("few_treatments")), (1, review("few_treatments")),
                                                (2, ELIGIBLE), (20, ELIGIBLE)])  # fmt: skip
def test_two_antidepressants_have_failed(failed: int, result: object) -> None:
    assert judged({"failed_antidepressants": failed}) == result


@pytest.mark.parametrize(
    ("last_use", "result"),
    [
        (date(2027, 3, 1), review("substance_use")),
        (date(2026, 12, 1), review("substance_use")),  # 90 days ago.
        (date(2026, 11, 30), ELIGIBLE),
    ],
)
def test_a_day_is_compared_by_how_long_ago_it_is(last_use: date, result: object) -> None:
    assert judged({"substance_use": Chosen("past"), "last_use": last_use}) == result


def test_exclusion_outweighs_review_and_every_reason_is_named_in_the_order_of_the_rules() -> None:
    changes = {"psychosis": True, "systolic": 200, "medication": None}
    reasons = ("psychosis_history", "blood_pressure", "medication_not_told")
    assert judged(changes) == (Outcome.EXCLUDED, reasons)
    assert judged(changes | {"psychosis": False}) == review(*reasons[1:])


def test_a_missing_answer_meets_missing_and_nothing_else() -> None:
    comparisons = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_OR_EQUAL", "GREATER", "GREATER_OR_EQUAL")
    rules = [rule(each.lower(), "EXCLUDED", condition("n", each, 5)) for each in comparisons]
    presence = [rule(each.lower(), "EXCLUDED", condition("n", each)) for each in ("ANSWERED", "MISSING")]
    asked = content_of(content([number("n", 0, 9)], *rules, *presence))
    assert judge(asked, (), BORN, TODAY) == (Outcome.EXCLUDED, ("missing",))
    five = ("equal", "less_or_equal", "greater_or_equal", "answered")
    assert judge(asked, (("n", 5),), BORN, TODAY) == (Outcome.EXCLUDED, five)
    assert judge(asked, (("n", 4),), BORN, TODAY)[1] == ("not_equal", "less", "less_or_equal", "answered")


@pytest.mark.parametrize(
    ("asked", "value", "fault"),
    [
        (question("a"), 1, ("answers[0]", "WRONG_TYPE")),
        (number("a", 0, 1), True, ("answers[0]", "WRONG_TYPE")),
        (number("a", 0, 1), "1", ("answers[0]", "WRONG_TYPE")),
        (choice("a", "x"), "x", ("answers[0]", "WRONG_TYPE")),
        (question("a", "TEXT"), Chosen("x"), ("answers[0]", "WRONG_TYPE")),
        (question("a", "DATE"), "2027-03-01", ("answers[0]", "WRONG_TYPE")),
        (number("a", 0, 1), 2, ("answers[0].int_value", "OUT_OF_BOUNDS")),
        (number("a", 0, 1), -1, ("answers[0].int_value", "OUT_OF_BOUNDS")),
        (choice("a", "x"), Chosen("y"), ("answers[0].option_code", "UNKNOWN_OPTION")),
        (question("a", "TEXT", max_length=3), "äöüß", ("answers[0].text_value", "TOO_LONG")),
        (question("a", "TEXT"), " \n\u3000", ("answers[0].text_value", "EMPTY")),
        (question("a", "DATE"), date(2027, 3, 2), ("answers[0].date_value", "IN_FUTURE")),
    ],
)
def test_an_answer_fits_its_question(asked: dict[str, Any], value: Any, fault: tuple[str, str]) -> None:
    assert faults([("a", value)], content([asked])) == [fault]


def test_an_answer_at_the_limits_of_its_question_fits() -> None:
    asked = content([
        number("a", 0, 1), question("b", "TEXT", max_length=3), question("c", "TEXT"), question("d", "DATE"),
    ])  # fmt: skip
    at_limits: Answers = [("a", 0), ("b", "äöü"), ("c", "x" * 2000), ("d", TODAY)]
    assert judge(content_of(asked), at_limits, BORN, TODAY) == ELIGIBLE
    assert faults([("c", "x" * 2001)], asked) == [("answers[0].text_value", "TOO_LONG")]


def test_every_fault_is_named_at_once() -> None:
    given: Answers = [("psychosis", 1), ("heart", True), ("systolic", 301), ("last_use", TODAY)]
    assert faults(given) == [
        ("answers[1].question_code", "UNKNOWN_QUESTION"),
        ("answers", "MISSING"),
        ("answers[0]", "WRONG_TYPE"),
        ("answers[2].int_value", "OUT_OF_BOUNDS"),
        ("answers", "MISSING"),
        ("answers[3]", "NOT_SHOWN"),
    ]


def test_a_question_has_to_be_answered_only_where_it_is_shown() -> None:
    used = {"substance_use": Chosen("past")}
    with pytest.raises(ScreeningAnswersInvalid) as caught:
        judged(used)
    assert [(each.field, each.description) for each in caught.value.violations] == [
        ("answers", "last_use is not answered")
    ]
    assert judged({"substance_use": Chosen("none")}) == ELIGIBLE


def test_what_is_not_shown_hides_what_depends_on_it() -> None:
    asked = content([
        question("a"),
        question("b", shown_when=condition("a", "EQUAL", True)),
        question("c", shown_when=condition("b", "EQUAL", True), required=True),
    ])  # fmt: skip
    assert judge(content_of(asked), [("a", False)], BORN, TODAY) == ELIGIBLE
    assert faults([("a", False), ("c", True)], asked) == [("answers[1]", "NOT_SHOWN")]
    assert faults([("a", True), ("b", True)], asked) == [("answers", "MISSING")]


def asked(**changes: Any) -> Asked:
    ids: dict[str, Any] = {
        "version_id": UUID(int=1),
        "questionnaire_id": UUID(int=2),
        "retired": False,
        "content": CONTENT,
        "assigned_id": UUID(int=2),
        "current_version_id": UUID(int=1),
        "birth_date": date(2009, 3, 2),
        "time_zone": "America/Denver",
        "cleared": False,
    }
    return Asked(**ids | changes)


def test_the_age_is_that_of_the_sites_day() -> None:
    """At six on the second in UTC it is still the first in Denver."""
    answers = tuple(FINE.items())
    assert asked().judge(answers, datetime(2027, 3, 2, 6, tzinfo=UTC))[0] is Outcome.EXCLUDED
    assert asked().judge(answers, datetime(2027, 3, 2, 7, tzinfo=UTC)) == ELIGIBLE


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"current_version_id": UUID(int=3)}, QuestionnaireOutdated),
        ({"retired": True, "assigned_id": None, "current_version_id": None}, QuestionnaireOutdated),
        ({"retired": True, "assigned_id": UUID(int=4), "current_version_id": UUID(int=3)}, QuestionnaireOutdated),
        ({"assigned_id": UUID(int=4), "current_version_id": UUID(int=3)}, QuestionnaireNotOfProtocol),
        ({"assigned_id": UUID(int=4), "current_version_id": None}, QuestionnaireNotOfProtocol),
        ({"assigned_id": None, "current_version_id": None}, QuestionnaireNotOfProtocol),
    ],
)
def test_only_the_latest_version_of_the_protocols_questionnaire_is_answered(
    changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises((QuestionnaireOutdated, QuestionnaireNotOfProtocol)) as caught:
        asked(**changes).judge(tuple(FINE.items()), datetime(2027, 3, 2, 7, tzinfo=UTC))
    assert type(caught.value) is error
    expected = {"current_version_id"} if changes["current_version_id"] else set[str]()
    assert caught.value.metadata.keys() == expected
