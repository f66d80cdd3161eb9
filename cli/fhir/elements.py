"""Elements of FHIR's JSON, whatever stands in their place."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.type.date_pb2 import Date

DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})")


def text_of(value: Any) -> str:
    """Text that can be sent: half a surrogate pair, which JSON can spell and UTF-8 cannot, becomes U+FFFD."""
    if not isinstance(value, str):
        return ""
    if value.isascii():
        return value.strip()
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()


def texts_of(value: Any) -> list[str]:
    """The texts of a list that are not empty."""
    return [text for each in value if (text := text_of(each))] if isinstance(value, list) else []


def dict_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def dicts_of(value: Any) -> list[dict[str, Any]]:
    """Elements of a list that are none keep their place."""
    return [each if isinstance(each, dict) else {} for each in value] if isinstance(value, list) else []


def codings_of(concept: Any) -> Iterator[tuple[str, str]]:
    """System and code of each coding of a CodeableConcept."""
    for coding in dicts_of(dict_of(concept).get("coding")):
        if code := text_of(coding.get("code")):
            yield text_of(coding.get("system")), code


def extension_of(element: Mapping[str, Any], url: str) -> dict[str, Any]:
    """The first of its address, or an empty one."""
    if "extension" not in element:
        return {}
    return next((each for each in dicts_of(element.get("extension")) if each.get("url") == url), {})


def day_of(text: str) -> Date | None:
    """Of a whole date. Whether the calendar has it, the API tells."""
    if found := DAY.fullmatch(text):
        year, month, day = map(int, found.groups())
        return Date(year=year, month=month, day=day)
    return None
