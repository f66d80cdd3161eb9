"""RPCs as operations: a path and a verb for each binding, as the edge takes them."""

import re
from collections import defaultdict
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from atoll.common.v1.access_pb2 import (
    AUDIT_CHANGE,
    AUDIT_PHI_READ,
    SCOPE_CHAIN,
    SCOPE_SELF,
    SCOPE_SITE,
    Audit,
    Role,
    Scope,
)
from tools.openapi.examples import Examples
from tools.openapi.image import Field, Image, Inexpressible, Message, Method
from tools.openapi.reasons import Reason, Reasons
from tools.openapi.rules import Schema, camel
from tools.openapi.schemas import TEXTS, Schemas

IN_PATH = re.compile(r"\{([^}]+)\}")
JSON = "application/json"
STATUS = {"$ref": "#/components/schemas/google.rpc.Status"}
REACH = {
    SCOPE_CHAIN: "at every site of the chain",
    SCOPE_SITE: "at the sites that the token names for the role",
    SCOPE_SELF: "of the patient whose id the token carries",
}
KEPT = {AUDIT_CHANGE: "The audit trail keeps the change.", AUDIT_PHI_READ: "The audit trail keeps that it was read."}


class Operations:
    def __init__(self, image: Image, schemas: Schemas) -> None:
        self._image, self._schemas = image, schemas
        self._reasons, self._examples = Reasons(image), Examples(image)

    def paths(self) -> dict[str, dict[str, Schema]]:
        found: dict[str, dict[str, Schema]] = defaultdict(dict)
        for service in self._image.services:
            for method in service.methods:
                for number, (verb, path, body) in enumerate(method.bindings, start=1):
                    operation = self._operation(method, verb, path, body)
                    if number > 1:
                        operation["operationId"] += str(number)
                    found[IN_PATH.sub(lambda match: f"{{{_joined(match[1])}}}", path)][verb] = operation
        return dict(found)

    def _operation(self, method: Method, verb: str, path: str, body: str) -> Schema:
        if body not in ("", "*"):
            raise Inexpressible(f"{method.full_name} takes a part of its request as the body")
        request = self._image.messages[method.proto.input_type.removeprefix(".")]
        bound = IN_PATH.findall(path)
        example = self._examples.request(request, bound)
        parameters = [self._in_path(request, name, example) for name in bound]
        operation: dict[str, Any] = {
            "operationId": f"{method.tag}.{method.name}",
            "tags": [method.tag],
            "summary": _summary(method.name),
            "description": f"{method.comment}\n\n{_in_words(method)}",
            "x-atoll-access": {
                "roles": [Role.Name(role).removeprefix("ROLE_") for role in method.access.roles],
                "scope": Scope.Name(method.access.scope).removeprefix("SCOPE_"),
                "audit": Audit.Name(method.access.audit).removeprefix("AUDIT_"),
            },
        }
        if not body:
            parameters += self._in_query(request, set(bound), example)
        if parameters:
            operation["parameters"] = parameters
        if body:
            schema = self._schemas.request(request.name, frozenset(bound))
            left = _without(example, [camel(name) for name in bound])
            operation["requestBody"] = {"required": True, "content": {JSON: {"schema": schema, "example": left}}}
        operation["responses"] = {"200": self._answer(method), **self._refusals(method, bool(body), bool(bound))}
        return operation

    def _in_path(self, request: Message, name: str, example: Schema) -> Schema:
        field = self._find(request, name)
        schema = self._schemas.field(field, asked=True)
        return _parameter(_joined(name), "path", True, schema, _at(example, camel(name)))

    def _find(self, message: Message, path: str) -> Field:
        head, _, rest = path.partition(".")
        field = next(each for each in message.fields if each.name == head)
        return self._find(self._image.messages[field.type_name], rest) if rest else field

    def _in_query(self, request: Message, bound: set[str], example: Schema) -> Iterator[Schema]:
        for name, schema, needed in self._leaves(request, "", True):
            if name not in bound:
                yield _parameter(camel(name), "query", needed, schema, _at(example, camel(name)))

    def _leaves(self, message: Message, above: str, is_given: bool) -> Iterator[tuple[str, Schema, bool]]:
        """Fields of a query, those of a message by their dotted path, and whether they are needed."""
        needed = self._schemas.needed(message)
        for field in message.fields:
            name, is_needed = f"{above}{field.name}", is_given and field.name in needed
            if field.proto.type != FieldDescriptorProto.TYPE_MESSAGE or field.type_name in TEXTS:
                yield name, self._schemas.field(field, asked=True) | self._schemas.limits(message, field), is_needed
            elif field.is_list:
                raise Inexpressible(f"{message.name}.{field.name} is a list of messages in a query")
            else:
                yield from self._leaves(self._image.messages[field.type_name], f"{name}.", is_needed)

    def _answer(self, method: Method) -> Schema:
        answer = self._image.messages[method.proto.output_type.removeprefix(".")]
        content = {"schema": self._schemas.answer(answer.name), "example": self._examples.answer(answer)}
        if not method.proto.server_streaming:
            return {"description": "Done.", "content": {JSON: content}}
        said = "Done: a message on each line, as soon as it is there. The schema is that of one line."
        return {"description": said, "content": {JSON: content}, "x-atoll-stream": "newline-delimited"}

    def _refusals(self, method: Method, has_body: bool, has_path: bool) -> dict[str, Schema]:
        by_status: dict[int, list[Reason]] = defaultdict(list)
        for reason in self._reasons.of(method):
            by_status[reason.status].append(reason)
        if has_path:
            by_status.setdefault(404, [])
        if has_body:
            by_status[413] = []
        return {str(status): _refusal(status, reasons) for status, reasons in sorted(by_status.items())}


def _refusal(status: int, reasons: list[Reason]) -> Schema:
    lines = [f"- `{each.name}` ({each.code}): {each.comment}" for each in reasons]
    refusal: dict[str, Any] = {
        "description": "\n".join([f"{HTTPStatus(status).phrase}.", *([""] if lines else []), *lines]),
        "content": {JSON: {"schema": STATUS}},
    }
    if reasons:
        refusal["x-atoll-reasons"] = [each.name for each in reasons]
    return refusal


def _parameter(name: str, place: str, needed: bool, schema: Schema, example: Any) -> Schema:
    said = schema.pop("description", "")
    parameter: Schema = {"name": name, "in": place, "required": needed, "schema": schema}
    if said:
        parameter["description"] = said
    if example is not None:
        parameter["example"] = example
    return parameter


def _joined(path: str) -> str:
    """patient.id → patientId: generators of clients take no dots in the names of a path."""
    return camel(path.replace(".", "_"))


def _summary(name: str) -> str:
    """GetPatient → Get patient"""
    first, *rest = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", name)
    return " ".join([first, *(each if each.isupper() else each.lower() for each in rest)])


def _in_words(method: Method) -> str:
    roles = ", ".join(Role.Name(role).removeprefix("ROLE_") for role in method.access.roles)
    return f"**Who may**: {roles}, {REACH[method.access.scope]}. {KEPT.get(method.access.audit, '')}".rstrip()


def _at(example: Any, path: str) -> Any:
    for name in path.split("."):
        example = example.get(name) if isinstance(example, dict) else None
    return example


def _without(example: Schema, paths: list[str]) -> Schema:
    heads = {path.partition(".")[0] for path in paths}
    kept = {}
    for name, value in example.items():
        inner = [path.partition(".")[2] for path in paths if path.startswith(f"{name}.")]
        if name not in heads or inner:
            kept[name] = _without(value, inner) if inner else value
    return kept
