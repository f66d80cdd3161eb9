"""Each event as it was first released: its bytes, and what they say.

`python -m tests.contract.golden` adds what is missing and changes nothing that is there: bytes that were published once
are read for ever. While an event is not released, delete its two files to write them anew.
"""

import json
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from tests.contract.found import events, message_type

FOLDER = Path(__file__).parent
INTEGERS = frozenset({FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64})


def write_missing() -> None:
    for descriptor in events():
        path = FOLDER / f"{descriptor.full_name}.binpb"
        if not path.exists():
            event = filled(message_type(descriptor)())
            path.write_bytes(event.SerializeToString(deterministic=True))
            path.with_suffix(".json").write_text(json.dumps(said_by(event), indent=2) + "\n")


def said_by(event: Any) -> Any:
    """With enums as numbers, so that a value that was renamed is not taken for another."""
    return json_format.MessageToDict(event, preserving_proto_field_name=True, use_integers_for_enums=True)


def filled(message: Any) -> Any:
    """Every field with a value of its own, which follows from its number."""
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated:
            values = [_value(message, field), _value(message, field)]
            getattr(message, field.name).extend(values)
        elif field.message_type:
            getattr(message, field.name).CopyFrom(_value(message, field))
        else:
            setattr(message, field.name, _value(message, field))
    return message


def _value(message: Any, field: FieldDescriptor) -> Any:
    if field.message_type:
        return filled(message_type(field.message_type)())
    if field.enum_type:
        return field.enum_type.values[-1].number
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return True
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return f"{field.name} {field.number}" if field.type == FieldDescriptor.TYPE_STRING else bytes([field.number])
    if field.cpp_type in INTEGERS:
        return field.number
    raise TypeError(f"{field.full_name}: events hold no {field.type}")
