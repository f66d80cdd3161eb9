"""Rules judge any answers to any questionnaire as a slow and obvious model does, which knows plain data only."""

from datetime import date, timedelta
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from services.patients.domain.eligibility import Chosen, ScreeningAnswersInvalid, age_on, judge
from services.patients.domain.questionnaires import content_of
from tests.support.patients_questionnaires import choice, condition, content, group, number, question, rule

TODAY = date(2027, 3, 1)
CODES = ("a", "b", "c", "d", "e")
ORDER = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_OR_EQUAL", "GREATER", "GREATER_OR_EQUAL")
PRESENCE = ("ANSWERED", "MISSING")
BIRTHS = st.dates(date(1920, 1, 1), TODAY) | st.sampled_from([date(y, 2, 29) for y in range(1924, 2025, 4)])


def conditions(questions: list[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    age = st.builds(condition, st.just("age"), st.sampled_from(ORDER), st.integers(15, 21))
    return st.one_of(age, *(of_question(each) for each in questions))


def of_question(asked: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    values: dict[str, tuple[tuple[str, ...], st.SearchStrategy[Any]]] = {
        "QUESTION_TYPE_BOOLEAN": (ORDER[:2], st.booleans()),
        "QUESTION_TYPE_INTEGER": (ORDER, st.integers(0, 5)),
        "QUESTION_TYPE_CHOICE": (ORDER[:2], st.sampled_from(["x", "y"])),
        "QUESTION_TYPE_DATE": (ORDER, st.integers(0, 5)),
        "QUESTION_TYPE_TEXT": ((), st.nothing()),
    }
    comparisons, value = values[asked["type"]]
    presence = st.builds(condition, st.just(asked["code"]), st.sampled_from(PRESENCE))
    if not comparisons:
        return presence
    return presence | st.builds(condition, st.just(asked["code"]), st.sampled_from(comparisons), value)


@st.composite
def questionnaires(draw: st.DrawFn) -> dict[str, Any]:
    questions = list[dict[str, Any]]()
    for code in CODES[: draw(st.integers(1, 5))]:
        asked = draw(
            st.sampled_from([
                question(code), number(code, 0, 5), choice(code, "x", "y"), question(code, "DATE"),
                question(code, "TEXT", max_length=3),
            ])
        )  # fmt: skip
        asked["required"] = draw(st.sampled_from([True, False]))
        if len(questions) > 0 and draw(st.booleans()):
            asked["shown_when"] = draw(conditions(questions))
        questions.append(asked)
    one = conditions(questions)
    behavior = st.sampled_from(["ALL", "ANY"])
    flat = st.builds(lambda how, parts: group(how, *parts), behavior, st.lists(one, min_size=1, max_size=3))
    deep = st.builds(lambda how, parts: group(how, *parts), behavior, st.lists(one | flat, min_size=1, max_size=3))
    rules = [
        rule(f"r{n}", draw(st.sampled_from(["EXCLUDED", "NEEDS_REVIEW"]))) | {"when": draw(deep)}
        for n in range(draw(st.integers(1, 4)))
    ]
    return content(questions, *rules)


FITTING: dict[str, st.SearchStrategy[Any]] = {
    "QUESTION_TYPE_BOOLEAN": st.booleans(),
    "QUESTION_TYPE_INTEGER": st.integers(0, 5),
    "QUESTION_TYPE_CHOICE": st.sampled_from([Chosen("x"), Chosen("y")]),
    "QUESTION_TYPE_DATE": st.integers(-6, 0).map(lambda days: TODAY + timedelta(days=days)),
    "QUESTION_TYPE_TEXT": st.sampled_from(["no", "yes"]),
}
STRANGE = st.sampled_from(
    [-1, 6, Chosen("z"), TODAY + timedelta(days=1), "often", " ", True, 0, "no", Chosen("x"), None]
)


@st.composite
def asked_and_answered(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], date]:
    """Mostly answers that fit; a third of the time one of them is strange, or left out."""
    data, born, answers = draw(questionnaires()), draw(BIRTHS), dict[str, Any]()
    questions = {each["code"]: each for each in data["questions"]}
    for code, asked in questions.items():
        if shown(asked, questions, answers, born) and (asked["required"] or draw(st.booleans())):
            answers[code] = draw(FITTING[asked["type"]])
    if draw(st.integers(0, 2)) == 0:
        answers[draw(st.sampled_from((*CODES, "z")))] = draw(STRANGE)
    return data, {code: value for code, value in answers.items() if value is not None}, born


@settings(max_examples=300, deadline=None)
@given(asked_and_answered())
def test_answers_are_judged_as_the_model_judges_them(given: tuple[dict[str, Any], dict[str, Any], date]) -> None:
    data, answers, born = given
    expected = model(data, answers, born)
    asked_for = content_of(data)
    asked_for.check()
    try:
        outcome, reasons = judge(asked_for, tuple(answers.items()), born, TODAY)
        found = (outcome.removeprefix("SCREENING_OUTCOME_"), list(reasons))
    except ScreeningAnswersInvalid:
        found = ("REFUSED", [])
    event(found[0])
    assert found == expected


@given(BIRTHS, st.dates(TODAY, date(2060, 1, 1)))
def test_the_age_is_the_number_of_birthdays(born: date, day: date) -> None:
    assert age_on(day, born) == birthdays(born, day)


def model(data: dict[str, Any], answers: dict[str, Any], born: date) -> tuple[str, list[str]]:
    questions = {each["code"]: each for each in data["questions"]}
    for code, asked in questions.items():
        visible = shown(asked, questions, answers, born)
        if code in answers and not (visible and fits(asked, answers[code])):
            return "REFUSED", []
        if code not in answers and visible and asked["required"]:
            return "REFUSED", []
    if answers.keys() - questions.keys():
        return "REFUSED", []
    met = [each for each in data["rules"] if true(each["when"], answers, born)]
    for outcome in ("EXCLUDED", "NEEDS_REVIEW"):
        if any(each["outcome"].endswith(outcome) for each in met):
            return outcome, [each["reason_code"] for each in met]
    return "ELIGIBLE", []


def shown(asked: dict[str, Any], questions: dict[str, Any], answers: dict[str, Any], born: date) -> bool:
    when = asked.get("shown_when")
    if when is None:
        return True
    above = questions.get(when["question_code"])
    seen = answers if above is None or shown(above, questions, answers, born) else {}
    return true(when, seen, born)


def fits(asked: dict[str, Any], value: Any) -> bool:
    kind = asked["type"].removeprefix("QUESTION_TYPE_")
    if kind == "BOOLEAN":
        return value is True or value is False
    if kind == "INTEGER":
        return not isinstance(value, bool) and value in (0, 1, 2, 3, 4, 5)
    if kind == "CHOICE":
        return value in (Chosen("x"), Chosen("y"))
    if kind == "DATE":
        return isinstance(value, date) and value <= TODAY
    return value in ("no", "yes")


def true(part: dict[str, Any], answers: dict[str, Any], born: date) -> bool:
    if "behavior" in part:
        count = [true(each, answers, born) for each in part["conditions"] + part["groups"]].count(True)
        return count > 0 if part["behavior"].endswith("ANY") else count == len(part["conditions"] + part["groups"])
    comparison: str = part["comparison"].removeprefix("ANSWER_COMPARISON_")
    code = part["question_code"]
    if code != "age" and code not in answers:
        return comparison == "MISSING"
    if comparison in PRESENCE:
        return comparison == "ANSWERED"
    answer = birthdays(born, TODAY) if code == "age" else answers[code]
    if isinstance(answer, date):
        answer = sum(1 for n in range(TODAY.toordinal() - answer.toordinal()))
    if isinstance(answer, Chosen):
        answer = answer.code
    [value] = [part[name] for name in ("bool_value", "int_value", "option_code") if name in part]
    if comparison in ("EQUAL", "NOT_EQUAL"):
        return bool(answer == value) == (comparison == "EQUAL")
    below, same = bool(answer < value), bool(answer == value)
    return {
        "LESS": below, "LESS_OR_EQUAL": below or same, "GREATER": not (below or same), "GREATER_OR_EQUAL": not below,
    }[comparison]  # fmt: skip


def birthdays(born: date, day: date) -> int:
    """Since birth, until and with the day. Of 29 February, in other years the day after the 28th."""
    return sum(1 for year in range(born.year + 1, day.year + 1) if birthday_in(born, year) <= day)


def birthday_in(born: date, year: int) -> date:
    try:
        return born.replace(year=year)
    except ValueError:
        return date(year, 3, 1)
