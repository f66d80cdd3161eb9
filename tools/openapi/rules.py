"""Validation rules of a field as keywords of JSON Schema. A rule that is not known here stops the generator."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.message import Message

from atoll.common.v1.rules_pb2 import typeid
from buf.validate import validate_pb2
from tools.openapi.image import Field

Schema = dict[str, Any]
SUFFIX = "[0-7][0-9a-hjkmnp-tv-z]{25}"
"""Of a TypeID: 128 bits in Crockford's base32, lower case."""
PORTABLE = {r"\p{Cc}": r"\x00-\x1f\x7f-\x9f", r"\s": r" \t\n\f\r"}
"""What RE2 understands in a class of characters, and other engines not or otherwise."""


def keywords(rules: validate_pb2.FieldRules) -> Schema:
    """What is said of a value that is given; of a list also what is said of its items."""
    found: Schema = {}
    for descriptor, value in rules.ListFields():
        if descriptor.name in ("required", "ignore"):
            continue
        if descriptor.name == "cel":
            found["description"] = " ".join(in_words(rule.message) for rule in value)
            continue
        found.update(_of_kind(descriptor.name, value))
    return found


def _of_kind(kind: str, rules: Message) -> Schema:
    found: Schema = {}
    for descriptor, value in rules.ListFields():
        name = f"{kind}.{'typeid' if descriptor.is_extension else descriptor.name}"
        found.update(KNOWN[name](value))
    return found


def in_words(rule: str) -> str:
    return f"Rule: {rule}."


def portable(pattern: str) -> str:
    for ours, theirs in PORTABLE.items():
        pattern = pattern.replace(ours, theirs)
    return pattern


def id_pattern(kind: str) -> str:
    return f"^{kind}_{SUFFIX}$"


def mask_pattern(paths: list[str]) -> str:
    one_of = "|".join(camel(path) for path in paths)
    return f"^({one_of})(,({one_of}))*$"


def camel(name: str) -> str:
    """given_names.part → givenNames.part"""
    head, *rest = name.split("_")
    return head + "".join(each[:1].upper() + each[1:] for each in rest)


KNOWN: dict[str, Callable[[Any], Schema]] = {
    "string.min_len": lambda value: {"minLength": value},
    "string.max_len": lambda value: {"maxLength": value},
    "string.len": lambda value: {"minLength": value, "maxLength": value},
    "string.pattern": lambda value: {"pattern": portable(value)},
    "string.uuid": lambda value: {"format": "uuid"},
    "string.typeid": lambda value: {"pattern": id_pattern(value)},
    "int32.gte": lambda value: {"minimum": value},
    "int32.gt": lambda value: {"minimum": value + 1},
    "int32.lte": lambda value: {"maximum": value},
    "int32.lt": lambda value: {"maximum": value - 1},
    "int32.in": lambda value: {"enum": list(value)},
    # In JSON these are strings, which have no least and no greatest.
    "int64.gte": lambda value: {"description": f"At least {value}."},
    "int64.lte": lambda value: {"description": f"At most {value}."},
    "enum.defined_only": lambda value: {},  # Names of others do not exist.
    "enum.in": lambda value: {"numbers": set(value)},
    "enum.not_in": lambda value: {"not_numbers": set(value)},
    "repeated.min_items": lambda value: {"minItems": value},
    "repeated.max_items": lambda value: {"maxItems": value},
    "repeated.unique": lambda value: {"uniqueItems": value},
    "repeated.items": lambda value: {"items": keywords(value)},
    "field_mask.in": lambda value: {"pattern": mask_pattern(list(value))},
}


def is_needed(field: Field) -> bool:
    """Whether a request that leaves the field out is refused."""
    rules = field.rules
    if rules.required:
        return True
    if field.has_presence or rules.ignore != validate_pb2.IGNORE_UNSPECIFIED:
        return False
    return any(_refuses_zero(rules))


def _refuses_zero(rules: validate_pb2.FieldRules) -> Iterator[bool]:
    text, number, choice, items = rules.string, rules.int32, rules.enum, rules.repeated
    yield bool(text.min_len or text.len or text.uuid or text.Extensions[typeid])
    yield bool(text.pattern) and not re.search(portable(text.pattern), "")
    yield number.HasField("gte") and number.gte > 0
    yield number.HasField("gt") and number.gt >= 0
    yield bool(getattr(number, "in")) and 0 not in getattr(number, "in")
    yield 0 in choice.not_in
    yield bool(getattr(choice, "in")) and 0 not in getattr(choice, "in")
    yield items.min_items > 0
