"""FHIR's periods: what of a patient was true once. Pure."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from cli.fhir.elements import dict_of, dicts_of, text_of

BECOME_OLD = ("name", "telecom", "address")
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")


def as_of(resource: Mapping[str, Any], today: date) -> Mapping[str, Any]:
    """A Patient with those names, numbers and addresses as old whose period is over, and nobody in the place of
    contacts who are none any more: a number that was the patient's once may be a stranger's now."""
    changed: dict[str, Any] = {}
    for name in (*BECOME_OLD, "contact"):
        elements = dicts_of(resource.get(name))
        if any(map(_has_end, elements)):
            changed[name] = [_as_of(name, each, today) for each in elements]
    return {**resource, **changed} if changed else resource


def _as_of(name: str, element: Mapping[str, Any], today: date) -> Mapping[str, Any]:
    if not is_over(element, today):
        return element
    return {**element, "use": "old"} if name in BECOME_OLD else {}


def is_over(element: Mapping[str, Any], today: date) -> bool:
    """The end is part of the period, be it a year, a month or a day."""
    end = text_of(dict_of(element.get("period")).get("end"))[:10]
    return _DATE.fullmatch(end) is not None and end < today.isoformat()[: len(end)]


def _has_end(element: Mapping[str, Any]) -> bool:
    return "end" in dict_of(element.get("period"))
