"""Questionnaires: what is asked, and the rules that say what the answers mean. Field names are those of the protos."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation

AGE = "age"
"""Stands in a condition for a question that nobody is asked: the patient's age in whole years."""
AGE_MAX = 150
DAYS_AGO_MAX = 50_000
GROUPS_DEEP_MAX = 4
TEXT_LENGTH_MAX = 2000


class QuestionnaireNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "QUESTIONNAIRE_NOT_FOUND", "no such questionnaire"


class QuestionnaireVersionNotFound(DomainError):
    kind, reason = Kind.NOT_FOUND, "QUESTIONNAIRE_VERSION_NOT_FOUND"
    message = "no such version of a questionnaire, or none to answer for the protocol"


class QuestionnaireCodeTaken(DomainError):
    kind, reason = Kind.CONFLICT, "QUESTIONNAIRE_CODE_TAKEN"
    message = "another questionnaire of the chain has this code"


class QuestionnaireContentInvalid(DomainError):
    kind, reason = Kind.INVALID, "QUESTIONNAIRE_CONTENT_INVALID"
    message = "questions or rules name what is not there, or do not fit together"


class QuestionnaireRetired(DomainError):
    kind, reason, message = Kind.CONFLICT, "QUESTIONNAIRE_RETIRED", "the questionnaire was retired before"


class QuestionType(StrEnum):
    BOOLEAN = "QUESTION_TYPE_BOOLEAN"
    INTEGER = "QUESTION_TYPE_INTEGER"
    CHOICE = "QUESTION_TYPE_CHOICE"
    TEXT = "QUESTION_TYPE_TEXT"
    DATE = "QUESTION_TYPE_DATE"


class Behavior(StrEnum):
    ALL = "GROUP_BEHAVIOR_ALL"
    ANY = "GROUP_BEHAVIOR_ANY"


class Comparison(StrEnum):
    EQUAL = "ANSWER_COMPARISON_EQUAL"
    NOT_EQUAL = "ANSWER_COMPARISON_NOT_EQUAL"
    LESS = "ANSWER_COMPARISON_LESS"
    LESS_OR_EQUAL = "ANSWER_COMPARISON_LESS_OR_EQUAL"
    GREATER = "ANSWER_COMPARISON_GREATER"
    GREATER_OR_EQUAL = "ANSWER_COMPARISON_GREATER_OR_EQUAL"
    ANSWERED = "ANSWER_COMPARISON_ANSWERED"
    MISSING = "ANSWER_COMPARISON_MISSING"


class Outcome(StrEnum):
    ELIGIBLE = "SCREENING_OUTCOME_ELIGIBLE"
    NEEDS_REVIEW = "SCREENING_OUTCOME_NEEDS_REVIEW"
    EXCLUDED = "SCREENING_OUTCOME_EXCLUDED"


PRESENCE = frozenset({Comparison.ANSWERED, Comparison.MISSING})
SAMENESS = frozenset({Comparison.EQUAL, Comparison.NOT_EQUAL})
ORDER = SAMENESS | {Comparison.LESS, Comparison.LESS_OR_EQUAL, Comparison.GREATER, Comparison.GREATER_OR_EQUAL}
COMPARISONS: Mapping[QuestionType, frozenset[Comparison]] = {
    QuestionType.BOOLEAN: SAMENESS | PRESENCE,
    QuestionType.INTEGER: ORDER | PRESENCE,
    QuestionType.CHOICE: SAMENESS | PRESENCE,
    QuestionType.TEXT: PRESENCE,
    QuestionType.DATE: ORDER | PRESENCE,
}
VALUES: Mapping[QuestionType, str] = {
    QuestionType.BOOLEAN: "bool_value",
    QuestionType.INTEGER: "int_value",
    QuestionType.CHOICE: "option_code",
    QuestionType.DATE: "int_value",
}
"""Which value of a condition an answer of the type is compared with."""


@dataclass(frozen=True, slots=True)
class QuestionText:
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Option:
    code: str
    texts: tuple[QuestionText, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    question_code: str
    comparison: Comparison
    bool_value: bool | None = None
    int_value: int | None = None
    option_code: str | None = None

    @property
    def value(self) -> bool | int | str | None:
        """The one that is given; None for a comparison without."""
        return next((each for each in self._values.values() if each is not None), None)

    @property
    def value_name(self) -> str | None:
        return next((name for name, each in self._values.items() if each is not None), None)

    @property
    def _values(self) -> Mapping[str, bool | int | str | None]:
        return {"bool_value": self.bool_value, "int_value": self.int_value, "option_code": self.option_code}


@dataclass(frozen=True, slots=True)
class Group:
    behavior: Behavior
    conditions: tuple[Condition, ...] = ()
    groups: "tuple[Group, ...]" = ()


@dataclass(frozen=True, slots=True)
class Question:
    code: str
    texts: tuple[QuestionText, ...]
    type: QuestionType
    required: bool = False
    shown_when: Condition | None = None
    min_value: int = 0
    max_value: int = 0
    unit: str = ""
    options: tuple[Option, ...] = ()
    max_length: int = 0

    @property
    def option_codes(self) -> frozenset[str]:
        return frozenset(option.code for option in self.options)


@dataclass(frozen=True, slots=True)
class Rule:
    reason_code: str
    outcome: Outcome
    when: Group


@dataclass(frozen=True, slots=True)
class Content:
    questions: tuple[Question, ...]
    rules: tuple[Rule, ...]

    def check(self) -> None:
        if faults := list(_faults(self)):
            raise QuestionnaireContentInvalid(*faults)


@dataclass(frozen=True, slots=True)
class Questionnaire:
    id: UUID
    code: str
    display_name: str
    created_at: datetime
    retired_at: datetime | None = None
    latest_version_id: UUID | None = None
    latest_version: int = 0

    def check_in_use(self) -> None:
        if self.retired_at is not None:
            raise QuestionnaireRetired()


@dataclass(frozen=True, slots=True)
class QuestionnaireVersion:
    id: UUID
    questionnaire_id: UUID
    version: int
    content: Content | None  # None in lists, which leave it out.
    published_at: datetime
    published_by: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """A protocol's patients are screened by a questionnaire."""

    protocol_id: UUID
    questionnaire_id: UUID
    assigned_at: datetime
    assigned_by: str


def content_of(data: Mapping[str, Any]) -> Content:
    """From plain data, as `dataclasses.asdict` makes it and as the proto's JSON is."""
    return Content(
        questions=tuple(_question(each) for each in data["questions"]),
        rules=tuple(
            Rule(each["reason_code"], Outcome(each["outcome"]), _group(each["when"])) for each in data["rules"]
        ),
    )


def _question(data: Mapping[str, Any]) -> Question:
    shown_when = data.get("shown_when")
    return Question(
        **dict(data)
        | {
            "texts": _texts(data["texts"]),
            "type": QuestionType(data["type"]),
            "shown_when": _condition(shown_when) if shown_when else None,
            "options": tuple(Option(each["code"], _texts(each["texts"])) for each in data["options"]),
        }
    )


def _texts(data: Iterable[Mapping[str, str]]) -> tuple[QuestionText, ...]:
    return tuple(QuestionText(**each) for each in data)


def _group(data: Mapping[str, Any]) -> Group:
    conditions = tuple(_condition(each) for each in data["conditions"])
    return Group(Behavior(data["behavior"]), conditions, tuple(_group(each) for each in data["groups"]))


def _condition(data: Mapping[str, Any]) -> Condition:
    return Condition(**dict(data) | {"comparison": Comparison(data["comparison"])})


def _faults(content: Content) -> Iterator[Violation]:
    """A question that has a code twice stands for the first of them."""
    yield from _repeated("content.questions", "code", [each.code for each in content.questions])
    yield from _repeated("content.rules", "reason_code", [each.reason_code for each in content.rules])
    languages = {each.language for each in content.questions[0].texts}
    above = dict[str, Question]()
    for n, question in enumerate(content.questions):
        path = f"content.questions[{n}]"
        yield from _question_faults(path, question, languages)
        if question.shown_when:
            yield from _condition_faults(f"{path}.shown_when", question.shown_when, above, "NOT_ABOVE")
        above.setdefault(question.code, question)
    for n, rule in enumerate(content.rules):
        yield from _group_faults(f"content.rules[{n}].when", rule.when, above, 1)


def _question_faults(path: str, question: Question, languages: set[str]) -> Iterator[Violation]:
    if question.code == AGE:
        yield Violation(f"{path}.code", "RESERVED", "the age is reckoned, not asked for")
    yield from _text_faults(path, question.texts, languages)
    yield from _repeated(f"{path}.options", "code", [each.code for each in question.options])
    for n, option in enumerate(question.options):
        yield from _text_faults(f"{path}.options[{n}]", option.texts, languages)
    yield from _strange_fields(path, question)
    if question.type is QuestionType.INTEGER and question.min_value >= question.max_value:
        yield Violation(f"{path}.max_value", "OUT_OF_BOUNDS", "min_value < max_value")
    if question.type is QuestionType.CHOICE and not question.options:
        yield Violation(f"{path}.options", "OPTIONS_MISSING", "there is nothing to choose from")


def _text_faults(path: str, texts: Sequence[QuestionText], languages: set[str]) -> Iterator[Violation]:
    """All that is shown is there in every language, so that nobody meets a foreign one half-way."""
    yield from _repeated(f"{path}.texts", "language", [each.language for each in texts])
    if {each.language for each in texts} != languages:
        yield Violation(f"{path}.texts", "LANGUAGES_DIFFER", "other languages than those of the first question")


def _strange_fields(path: str, question: Question) -> Iterator[Violation]:
    """What says something of another type only."""
    given = {
        "min_value": (QuestionType.INTEGER, question.min_value),
        "max_value": (QuestionType.INTEGER, question.max_value),
        "unit": (QuestionType.INTEGER, question.unit),
        "options": (QuestionType.CHOICE, question.options),
        "max_length": (QuestionType.TEXT, question.max_length),
    }
    for name, (type, value) in given.items():
        if value and question.type is not type:
            yield Violation(f"{path}.{name}", "NOT_OF_TYPE", "is for another type of question")


def _group_faults(path: str, group: Group, questions: Mapping[str, Question], depth: int) -> Iterator[Violation]:
    if depth > GROUPS_DEEP_MAX:
        yield Violation(path, "TOO_DEEP", f"groups stand at most {GROUPS_DEEP_MAX} deep")
        return
    if not group.conditions and not group.groups:
        yield Violation(path, "EMPTY", "has no condition and no group")
    for n, condition in enumerate(group.conditions):
        yield from _condition_faults(f"{path}.conditions[{n}]", condition, questions, "UNKNOWN_QUESTION")
    for n, inner in enumerate(group.groups):
        yield from _group_faults(f"{path}.groups[{n}]", inner, questions, depth + 1)


def _condition_faults(
    path: str, condition: Condition, questions: Mapping[str, Question], unknown: str
) -> Iterator[Violation]:
    if condition.question_code == AGE:
        yield from _comparison_faults(path, condition, ORDER, "int_value")
        yield from _bound_faults(path, condition, 0, AGE_MAX)
        return
    question = questions.get(condition.question_code)
    if question is None:
        yield Violation(f"{path}.question_code", unknown, "no such question, or not above")
        return
    yield from _comparison_faults(path, condition, COMPARISONS[question.type], VALUES.get(question.type))
    if question.type is QuestionType.INTEGER:
        yield from _bound_faults(path, condition, question.min_value, question.max_value)
    if question.type is QuestionType.DATE:
        yield from _bound_faults(path, condition, 0, DAYS_AGO_MAX)
    code = condition.option_code
    if question.type is QuestionType.CHOICE and code is not None and code not in question.option_codes:
        yield Violation(f"{path}.option_code", "UNKNOWN_OPTION", "the question has no such option")


def _comparison_faults(
    path: str, condition: Condition, allowed: frozenset[Comparison], value_name: str | None
) -> Iterator[Violation]:
    if condition.comparison not in allowed:
        yield Violation(f"{path}.comparison", "COMPARISON_NOT_OF_TYPE", "answers of this type cannot be compared so")
        return
    wanted = None if condition.comparison in PRESENCE else value_name
    if condition.value_name != wanted:
        yield Violation(f"{path}.{condition.value_name or wanted}", "VALUE_NOT_OF_TYPE", "is not what is compared with")


def _bound_faults(path: str, condition: Condition, least: int, most: int) -> Iterator[Violation]:
    """A limit that no answer reaches is a slip of the pen."""
    if condition.int_value is not None and not least <= condition.int_value <= most:
        yield Violation(f"{path}.int_value", "OUT_OF_BOUNDS", f"answers are {least} to {most}")


def _repeated(path: str, field: str, values: Sequence[str]) -> Iterator[Violation]:
    for n, value in enumerate(values):
        if value in values[:n]:
            yield Violation(f"{path}[{n}].{field}", "REPEATED", "stands above already")
