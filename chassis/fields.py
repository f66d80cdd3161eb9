"""What the fields of a request may hold: the rules in the protos, and what no rule can say."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from protovalidate import EvaluationError, Validator
from protovalidate import Violation as BrokenRule

from chassis.errors import BadRequest, Violation
from chassis.times import YEARS, is_instant

_validator = Validator()
NO_MASK = FieldMask()


def check_fields(message: Message) -> None:
    """A rule that says which fields a mask may name lets parts of them pass; no update reads such a path."""
    try:
        broken = _validator.collect_violations(message)
    except EvaluationError:  # A rule reckons with an instant that is none.
        raise BadRequest(*no_instants(message)) from None
    if broken:
        raise BadRequest(*(Violation(_path(rule), rule.proto.rule_id, _text(rule)) for rule in broken))
    if parts := [path for path in getattr(message, "update_mask", NO_MASK).paths if "." in path]:
        text = f"names a part of {parts[0].partition('.')[0]}: fields are updated whole"
        raise BadRequest(Violation("update_mask", "field_mask.whole_fields", text))


def with_nul(message: Message) -> Iterator[Violation]:
    """The texts that PostgreSQL does not keep."""
    for path, value in _values(message):
        if isinstance(value, str) and "\0" in value:
            yield Violation(path, "string.no_nul", "holds a NUL")


def no_instants(message: Message) -> Iterator[Violation]:
    for path, value in _values(message):
        if isinstance(value, Timestamp) and not is_instant(value):
            yield Violation(path, "timestamp.range", f"is no instant of the years {YEARS[0]} to {YEARS[-1]}")


def _values(message: Message, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in it, however deep, with its path; a message comes before what is in it."""
    for each, value in message.ListFields():
        for place, found in enumerate(value if each.is_repeated else [value]):
            path = f"{above}{each.name}" + (f"[{place}]" if each.is_repeated else "")
            yield path, found
            if isinstance(found, Message):
                yield from _values(found, f"{path}.")


def _path(rule: BrokenRule) -> str:
    """`visits[2].start_time`"""
    elements = rule.proto.field.elements if rule.proto.field else []
    return ".".join(e.field_name + (f"[{e.subscript.value}]" if e.subscript else "") for e in elements)


def _text(rule: BrokenRule) -> str:
    """For a person; the library tells of an enum by its numbers, which nobody sees."""
    if rule.proto.rule_id != "enum.not_in":
        return rule.proto.message
    return "may not be this one here" if rule.field_value else "is not set, and is needed"
