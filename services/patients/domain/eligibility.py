"""Whether answers fit a questionnaire's questions, and what its rules make of them."""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

from chassis.errors import DomainError, Kind, Violation
from services.patients.domain.questionnaires import (
    AGE,
    TEXT_LENGTH_MAX,
    Behavior,
    Comparison,
    Condition,
    Content,
    Group,
    Outcome,
    Question,
    QuestionType,
)


class ScreeningAnswersInvalid(DomainError):
    kind, reason, message = Kind.INVALID, "SCREENING_ANSWERS_INVALID", "the answers do not fit the questions"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The option of a choice."""

    code: str


Value: TypeAlias = bool | int | str | Chosen | date
Answers: TypeAlias = Sequence[tuple[str, Value]]
"""Question code and value, each code once."""
Facts: TypeAlias = Mapping[str, bool | int | str]
"""Answers as rules see them: an option by its code, a day as how many days ago it was; and the age."""

TYPES: Mapping[QuestionType, type] = {
    QuestionType.BOOLEAN: bool,
    QuestionType.INTEGER: int,
    QuestionType.CHOICE: Chosen,
    QuestionType.TEXT: str,
    QuestionType.DATE: date,
}
COMPARE: Mapping[Comparison, Callable[[Any, Any], bool]] = {
    Comparison.EQUAL: operator.eq,
    Comparison.NOT_EQUAL: operator.ne,
    Comparison.LESS: operator.lt,
    Comparison.LESS_OR_EQUAL: operator.le,
    Comparison.GREATER: operator.gt,
    Comparison.GREATER_OR_EQUAL: operator.ge,
}


def age_on(day: date, birth_date: date) -> int:
    """In whole years. Born on 29 February, one is a year older from 1 March on, in years without that day."""
    return day.year - birth_date.year - ((day.month, day.day) < (birth_date.month, birth_date.day))


def judge(content: Content, answers: Answers, birth_date: date, today: date) -> tuple[Outcome, tuple[str, ...]]:
    """The outcome and the reasons for it, or a refusal that names every answer at fault. `today` is the site's."""
    facts = _facts(content, answers, birth_date, today)
    rules = [rule for rule in content.rules if _holds(rule.when, facts)]
    found = {rule.outcome for rule in rules}
    outcome = next((each for each in (Outcome.EXCLUDED, Outcome.NEEDS_REVIEW) if each in found), Outcome.ELIGIBLE)
    return outcome, tuple(rule.reason_code for rule in rules)


def _facts(content: Content, answers: Answers, birth_date: date, today: date) -> Facts:
    facts: dict[str, bool | int | str] = {AGE: age_on(today, birth_date)}
    places, given = {code: n for n, (code, _) in enumerate(answers)}, dict(answers)
    known = {question.code for question in content.questions}
    faults = [
        Violation(f"answers[{n}].question_code", "UNKNOWN_QUESTION", "is not asked")
        for code, n in places.items()
        if code not in known
    ]
    for question in content.questions:  # From above: whether one is shown follows from those before it.
        shown = question.shown_when is None or _met(question.shown_when, facts)
        if question.code not in given:
            if question.required and shown:
                faults.append(Violation("answers", "MISSING", f"{question.code} is not answered"))
            continue
        path = f"answers[{places[question.code]}]"
        if not shown:
            faults.append(Violation(path, "NOT_SHOWN", "is not asked after these answers"))
            continue
        value = given[question.code]
        if at_fault := list(_answer_faults(path, question, value, today)):
            faults += at_fault
        else:
            facts[question.code] = _fact(value, today)
    if faults:
        raise ScreeningAnswersInvalid(*faults)
    return facts


def _answer_faults(path: str, question: Question, value: Value, today: date) -> Iterator[Violation]:
    if type(value) is not TYPES[question.type]:  # Not isinstance: a bool is an int.
        yield Violation(path, "WRONG_TYPE", "is of another type than the question")
    elif isinstance(value, Chosen):
        if value.code not in question.option_codes:
            yield Violation(f"{path}.option_code", "UNKNOWN_OPTION", "the question has no such option")
    elif isinstance(value, str):
        most = question.max_length or TEXT_LENGTH_MAX
        if not value.strip():
            yield Violation(f"{path}.text_value", "EMPTY", "says nothing")
        if len(value) > most:
            yield Violation(f"{path}.text_value", "TOO_LONG", f"has more than {most} characters")
    elif isinstance(value, date):
        if value > today:
            yield Violation(f"{path}.date_value", "IN_FUTURE", "has not come yet at the site")
    elif question.type is QuestionType.INTEGER and not question.min_value <= value <= question.max_value:
        text = f"is not {question.min_value} to {question.max_value}"
        yield Violation(f"{path}.int_value", "OUT_OF_BOUNDS", text)


def _fact(value: Value, today: date) -> bool | int | str:
    if isinstance(value, Chosen):
        return value.code
    return (today - value).days if isinstance(value, date) else value


def _holds(group: Group, facts: Facts) -> bool:
    parts = (
        *(_met(condition, facts) for condition in group.conditions),
        *(_holds(inner, facts) for inner in group.groups),
    )
    return all(parts) if group.behavior is Behavior.ALL else any(parts)


def _met(condition: Condition, facts: Facts) -> bool:
    answered = condition.question_code in facts
    if condition.comparison is Comparison.MISSING:
        return not answered
    if condition.comparison is Comparison.ANSWERED or not answered:
        return answered
    return COMPARE[condition.comparison](facts[condition.question_code], condition.value)
