"""What patients are not told: fields marked `(atoll.common.v1.staff_only)` in the protos.

The mark stands beside the field, so that whoever adds a field sees it, and it is applied here, to every answer to a
patient, so that no handler can forget it.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from atoll.common.v1.access_pb2 import staff_only

M = TypeVar("M", bound=Message)


def for_patient(message: M) -> M:
    """The message itself, without what only staff may see."""
    if _holds_any(message.DESCRIPTOR):
        for field, value in message.ListFields():
            if _is_hidden(field):
                message.ClearField(field.name)
            elif field.message_type:
                for inner in _messages(field, value):
                    for_patient(inner)
    return message


@cache
def _is_hidden(field: FieldDescriptor) -> bool:
    hidden: bool = field.GetOptions().Extensions[staff_only]
    return hidden


@cache
def _holds_any(descriptor: Descriptor) -> bool:
    """Whether a message of this type, or one inside it, may have a field that is hidden."""
    seen, waiting = {descriptor}, [descriptor]
    while waiting:
        for field in waiting.pop().fields:
            if _is_hidden(field):
                return True
            if field.message_type and field.message_type not in seen:
                seen.add(field.message_type)
                waiting.append(field.message_type)
    return False


def _messages(field: FieldDescriptor, value: Any) -> Iterator[Message]:
    if not field.is_repeated:
        yield value
    elif field.message_type and field.message_type.GetOptions().map_entry:
        yield from (each for each in value.values() if isinstance(each, Message))
    else:
        yield from value
