"""Questionnaires as data, in the shape of the protos."""

from collections.abc import Sequence
from typing import Any


def texts(*languages: str) -> list[dict[str, str]]:
    return [{"language": language, "text": f"In {language}"} for language in languages or ("en",)]


def question(code: str, type: str = "BOOLEAN", *, required: bool = False, **fields: Any) -> dict[str, Any]:
    defaults = {"min_value": 0, "max_value": 0, "unit": "", "options": [], "max_length": 0}
    return {
        "code": code, "texts": texts(), "type": f"QUESTION_TYPE_{type}", "required": required,
    } | defaults | fields  # fmt: skip


def number(code: str, least: int, most: int, **fields: Any) -> dict[str, Any]:
    return question(code, "INTEGER", min_value=least, max_value=most, **fields)


def choice(code: str, *options: str, **fields: Any) -> dict[str, Any]:
    return question(code, "CHOICE", options=[{"code": each, "texts": texts()} for each in options], **fields)


def condition(code: str, comparison: str, value: bool | int | str | None = None) -> dict[str, Any]:
    names = {bool: "bool_value", int: "int_value", str: "option_code"}
    given = {} if value is None else {names[type(value)]: value}
    return {"question_code": code, "comparison": f"ANSWER_COMPARISON_{comparison}"} | given


def group(behavior: str, *parts: dict[str, Any]) -> dict[str, Any]:
    """Of conditions and groups."""
    return {
        "behavior": f"GROUP_BEHAVIOR_{behavior}",
        "conditions": [part for part in parts if "comparison" in part],
        "groups": [part for part in parts if "comparison" not in part],
    }


def rule(reason_code: str, outcome: str, *parts: dict[str, Any], behavior: str = "ALL") -> dict[str, Any]:
    return {
        "reason_code": reason_code, "outcome": f"SCREENING_OUTCOME_{outcome}", "when": group(behavior, *parts),
    }  # fmt: skip


def content(questions: Sequence[dict[str, Any]], *rules: dict[str, Any]) -> dict[str, Any]:
    """With a rule that nobody meets, if none is given."""
    return {"questions": list(questions), "rules": list(rules) or [rule("too_old", "EXCLUDED", OLDEST)]}


OLDEST = condition("age", "EQUAL", 150)
PSYCHOSIS = content(
    [question("psychosis", required=True)], rule("psychosis_history", "EXCLUDED", condition("psychosis", "EQUAL", True))
)
KETAMINE = content(
    [
        number("failed_antidepressants", 0, 20, required=True),
        question("psychosis", required=True),
        number("systolic", 40, 300, unit="mm[Hg]", required=True),
        choice("substance_use", "none", "past", "present", required=True),
        question("last_use", "DATE", shown_when=condition("substance_use", "EQUAL", "past"), required=True),
        question("medication", "TEXT", max_length=20),
    ],
    rule("under_18", "EXCLUDED", condition("age", "LESS", 18)),
    rule("psychosis_history", "EXCLUDED", condition("psychosis", "EQUAL", True)),
    rule(
        "blood_pressure", "NEEDS_REVIEW",
        condition("systolic", "GREATER", 180), condition("systolic", "LESS", 90), behavior="ANY",
    ),
    rule("few_treatments", "NEEDS_REVIEW", condition("failed_antidepressants", "LESS", 2)),
    rule(
        "substance_use", "NEEDS_REVIEW",
        condition("substance_use", "EQUAL", "present"),
        group("ALL", condition("substance_use", "EQUAL", "past"), condition("last_use", "LESS_OR_EQUAL", 90)),
        behavior="ANY",
    ),
    rule("medication_not_told", "NEEDS_REVIEW", condition("medication", "MISSING")),
)  # fmt: skip
"""One question of each type, and rules of both outcomes."""
