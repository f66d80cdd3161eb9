"""The edge's check of JSON bodies: fields.lua, and above it what it must know of the calls, out of the image.

docs/adr/0025 says why it is there, and what it costs.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.api.annotations_pb2 import http
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from google.protobuf.json_format import MessageToDict

from chassis.errors import BadRequest, Violation
from chassis.status import status_of

METHODS = ("post", "put", "patch")
"""Of HTTP, as google.api.HttpRule names them: what has a body."""
OPEN = ("Any", "Duration", "FieldMask", "ListValue", "Struct", "Timestamp", "Value")
"""Of google.protobuf: they are no objects with fields in JSON, or objects with any. So are wrappers."""
RULE, DESCRIPTION = "field.unknown", "the call has no such field"
HERE = "@@"


def fields_lua(image: bytes, services: Sequence[str]) -> str:
    """For the calls of atoll.<service>.v…"""
    files = FileDescriptorSet.FromString(image).file
    messages = Messages(dict(each for file in files for each in _messages(f".{file.package}", file.message_type)))
    calls: dict[str, Any] = {}
    for file in files:
        if file.package.startswith(tuple(f"atoll.{name}.v" for name in services)):
            for service in file.service:
                for method in service.method:
                    for verb, path in _bodies(method):
                        _plant(calls.setdefault(verb, {}), path, messages.number(method.input_type))
    unknown = json.dumps(_refusal(BadRequest(Violation(HERE, RULE, DESCRIPTION))))
    (fault,) = _refusal(BadRequest(Violation(HERE, RULE, DESCRIPTION)))["details"][1]["fieldViolations"]
    told = json.dumps(fault)
    known = {
        "NOT_JSON": json.dumps(_refusal(BadRequest())),
        "FAULT": told.split(HERE),
        "UNKNOWN": unknown.split(told),
        "CALLS": calls,
        "MESSAGES": messages.tables(),
    }
    lines = [f"local {name} = {_lua(value)}" for name, value in known.items()]
    return "\n".join([*lines, Path(__file__).with_name("fields.lua").read_text()])


class Messages:
    """Numbers of messages, given as they are met, and what fields each has."""

    def __init__(self, known: Mapping[str, DescriptorProto]) -> None:
        self._known, self._numbers = known, dict[str, int]()

    def number(self, name: str) -> int:
        """0 for those that are not looked into. `name` has a dot before its package."""
        package, _, last = name.rpartition(".")
        if package == ".google.protobuf" and (last in OPEN or last.endswith("Value")):
            return 0
        if self._known[name].options.map_entry:
            return 0  # Its names are the caller's.
        return self._numbers.setdefault(name, len(self._numbers) + 1)

    def tables(self) -> Sequence[Mapping[str, int]]:
        """By number, of all that are met in those that were. A field has two names in JSON."""
        tables = list[Mapping[str, int]]()
        while len(tables) < len(self._numbers):
            fields = self._known[[*self._numbers][len(tables)]].field
            tables.append({name: self._number_of(field) for field in fields for name in (field.name, field.json_name)})
        return tables

    def _number_of(self, field: FieldDescriptorProto) -> int:
        return self.number(field.type_name) if field.type == FieldDescriptorProto.TYPE_MESSAGE else 0


def _messages(scope: str, messages: Sequence[DescriptorProto]) -> Iterator[tuple[str, DescriptorProto]]:
    for message in messages:
        name = f"{scope}.{message.name}"
        yield name, message
        yield from _messages(name, message.nested_type)


def _bodies(method: MethodDescriptorProto) -> Iterator[tuple[str, str]]:
    """Method and path template of each binding whose body is the request."""
    rule = method.options.Extensions[http]
    for binding in (rule, *rule.additional_bindings):
        verb = binding.WhichOneof("pattern")
        if verb in METHODS and binding.body:
            if binding.body != "*":
                raise ValueError(f"{method.name} has body: {binding.body!r}: fields.lua knows whole requests only")
            yield verb.upper(), getattr(binding, verb)


def _plant(tree: dict[str, Any], path: str, number: int) -> None:
    """`/v1/courses/{course_id}:cancel` → tree.v1.courses["*"][":"].cancel"""
    before, _, verb = path.partition(":")
    for segment in before.strip("/").split("/"):
        tree = tree.setdefault("*" if segment.startswith("{") else segment, {})
    tree.setdefault(":", {})[verb] = number


def _refusal(error: BadRequest) -> dict[str, Any]:
    refusal: dict[str, Any] = MessageToDict(status_of(error))
    return refusal


def _lua(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"[{_lua(key)}]={_lua(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ",".join(_lua(each) for each in value) + "}"
    return json.dumps(value)  # Strings of ASCII and numbers look the same in both.
