"""What schemathesis makes of the OpenAPI document, sent through the edge, and a second opinion on each request.

The second opinion is protobuf's own reading of the request and protovalidate's of its rules, in this process: what they
refuse must be refused, and what they take, the edge must pass on.
"""

import copy
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
import schemathesis
from google.api import annotations_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from protovalidate import Validator
from schemathesis import APIOperation, GenerationMode, Response
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Err
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from chassis.ids import TYPE_ID
from tests.contract.found import rpc_services, rpcs

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
REFUSED = (400, 404, 413, 429, 503, 504)
"""What a request may be answered with that breaks a rule: 404 where its path names no call, 413 and 429 where it is too
long, 503 and 504 whatever is asked."""
RULES_OF_FIELDS = ("required", "string", "int32", "enum", "repeated", "field_mask")
"""What the ids of rules begin with that JSON Schema can say, unlike those that messages and fields have in CEL, and
those of int64: in JSON these are strings, which have no least and no greatest."""
TIMEOUT_S = 40
KNOWN_MAX = 20
SHOWN_MAX = 1500
LAST_SECOND = int(datetime(2099, 12, 31, tzinfo=UTC).timestamp())
_validator = Validator()


def methods() -> dict[str, MethodDescriptor]:
    """By the names of operations."""
    services = Counter(each.name for each in rpc_services())
    return {f"{_tag(each.containing_service, services)}.{each.name}": each for each in rpcs()}


def tags() -> set[str]:
    services = Counter(each.name for each in rpc_services())
    return {_tag(each, services) for each in rpc_services()}


def _tag(service: ServiceDescriptor, services: Counter[str]) -> str:
    package = service.file.package.split(".")[1]
    return service.name if services[service.name] == 1 else f"{package}.{service.name}"


def instant(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")


# Protobuf knows no leap second, and no year 0.
schemathesis.openapi.format("date-time", st.integers(0, LAST_SECOND).map(instant))


class Unreadable(Exception):
    """No message can be made of the request."""


class EscapedSlash(Unreadable):
    """The edge takes none in a path, which no schema says."""


def request_of(operation: Mapping[str, Any], method: MethodDescriptor) -> Message:
    """The example of the document, as protobuf reads it."""
    request: dict[str, Any] = {}
    if "requestBody" in operation:
        request = copy.deepcopy(operation["requestBody"]["content"]["application/json"]["example"])
    in_path = iter(re.findall(r"\{([^}]+)\}", _path(method)))
    for each in operation.get("parameters", []):
        name = next(in_path) if each["in"] == "path" else each["name"]
        for value in _texts(each.get("example")):
            _put(request, method.input_type, name, value)
    message: Message = GetMessageClass(method.input_type)()
    return json_format.ParseDict(request, message)


def _texts(example: Any) -> list[str]:
    """As they stand in a query."""
    if example is None:
        return []
    if isinstance(example, list):
        return [text for each in example for text in _texts(each)]
    return [str(example).lower() if isinstance(example, bool) else str(example)]


@dataclass(frozen=True)
class Call:
    """An operation of the document, and the RPC that it stands for."""

    operation: APIOperation  # type: ignore[type-arg]
    method: MethodDescriptor
    template: str
    """Of its path, with fields as the descriptor names them."""

    @property
    def roles(self) -> list[str]:
        found: list[str] = self.operation.definition.raw["x-atoll-access"]["roles"]
        return found

    def read(self, sent: requests.PreparedRequest) -> Message:
        """The message that the request is to become at the service."""
        url = urlsplit(str(sent.url))
        request: dict[str, Any] = {}
        if sent.body:
            request = _object(sent.body)
        for path, value in parse_qsl(url.query, keep_blank_values=True):
            if path:  # What has no name the edge passes over.
                _put(request, self.method.input_type, path, value)
        for path, value in self._in_path(url.path):
            _put(request, self.method.input_type, path, value)
        message: Message = GetMessageClass(self.method.input_type)()
        try:
            return json_format.ParseDict(request, message)
        except (json_format.ParseError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise Unreadable(str(error)[:500]) from None

    def could_say(self, broken: tuple[str, str]) -> bool:
        """Whether JSON Schema has a keyword for the rule: none for those in CEL, nor for what parts of a query have in
        common."""
        place, rule = broken
        in_query = not self.operation.body and place in self.method.input_type.oneofs_by_name
        return rule.partition(".")[0] in RULES_OF_FIELDS and not in_query

    def with_one_of_each(self, query: Any) -> Any:
        """Of several of which at most one is given, the first: no schema says so of a query."""
        if not isinstance(query, Mapping):
            return query
        oneof = {field.json_name: each.name for each in self.method.input_type.oneofs for field in each.fields}
        first = {oneof.get(name, name): name for name in reversed(query)}
        return {name: value for name, value in query.items() if first[oneof.get(name, name)] == name}

    def unsaid(self, response: Response) -> Iterator[str]:
        """The reason of a refusal must stand in the document, under its status."""
        said = self.operation.definition.raw["responses"].get(str(response.status_code), {}).get("x-atoll-reasons", [])
        details = response.json().get("details", []) if response.status_code >= 400 else []
        for reason in (each["reason"] for each in details if each["@type"].endswith("google.rpc.ErrorInfo")):
            if reason not in said:
                yield f"{reason} is not documented"

    def _in_path(self, path: str) -> Iterator[tuple[str, str]]:
        names = re.findall(r"\{([^}]+)\}", self.template)
        pattern = re.sub(r"\\\{[^}]+\\\}", "([^/]+)", re.escape(self.template))
        found = re.fullmatch(pattern, path)
        if not found:
            raise Unreadable(f"{path} is not {self.template}")
        values = [unquote(each) for each in found.groups()]
        if any(slash in each for each in values for slash in "/\\"):
            raise EscapedSlash(path)
        yield from zip(names, values, strict=True)


def broken_rules(message: Message) -> list[tuple[str, str]]:
    """Each with the field that it is of, or the oneof."""
    found = (violation.proto for violation in _validator.collect_violations(message))
    return [(_place(each), each.rule_id) for each in found]


def _place(violation: Any) -> str:
    return ".".join(part.field_name for part in violation.field.elements) if violation.field else ""


def _object(body: str | bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError as error:
        raise Unreadable(str(error)) from None
    if not isinstance(found, dict):
        raise Unreadable("the body is no object")
    return found


def _put(request: dict[str, Any], message: Descriptor, path: str, value: str) -> None:
    """As the transcoder binds a value of a path or a query."""
    head, _, rest = path.partition(".")
    found = next((each for each in message.fields if head in (each.name, each.json_name)), None)
    if found is None:
        raise Unreadable(f"there is no {path}")
    if rest:
        if found.message_type is None:
            raise Unreadable(f"{head} has no parts")
        inner = request.setdefault(found.json_name, {})
        if not isinstance(inner, dict):
            raise Unreadable(f"{head} has no parts")
        _put(inner, found.message_type, rest, value)
    elif found.is_repeated:
        request.setdefault(found.json_name, []).append(_text(found, value))
    else:
        request[found.json_name] = _text(found, value)


def _text(field: FieldDescriptor, value: str) -> Any:
    if field.type == FieldDescriptor.TYPE_BOOL:
        if value not in ("true", "false"):
            raise Unreadable(f"{value!r} is neither true nor false")
        return value == "true"
    return value


@dataclass
class Prober:
    """Sends, and says of each answer what is wrong with it."""

    edge_url: str
    token: Callable[[list[str]], Mapping[str, str]]
    """Headers of somebody who has one of the roles."""
    known: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Ids of things that are there, by kind: those of answers are asked about later."""
    asked: int = 0
    answered: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self._session = requests.Session()

    def calls(self, document: dict[str, Any]) -> list[Call]:
        by_name = methods()
        found = []
        for each in schemathesis.openapi.from_dict(_closed(document)).get_all_operations():
            if isinstance(each, Err):
                raise each.err()
            operation = each.ok()
            method = by_name[operation.definition.raw["operationId"]]
            found.append(Call(operation, method, _path(method)))
        return found

    def try_out(self, call: Call, mode: GenerationMode, examples: int) -> list[str]:
        """What is wrong with the answers; a request and an answer each."""
        wrong: list[str] = []

        @settings(
            max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(call.operation.as_strategy(generation_mode=mode))
        def send(case: Any) -> None:
            wrong.extend(self._send(call, case, mode))

        send()
        return wrong

    def _send(self, call: Call, case: Any, mode: GenerationMode) -> Iterator[str]:
        if mode is GenerationMode.POSITIVE:
            for part in ("path_parameters", "query", "body"):
                setattr(case, part, self._with_known(getattr(case, part)))
            case.query = call.with_one_of_each(case.query)
        arguments = case.as_transport_kwargs(self.edge_url)
        content_type = {"content-type": "application/json"} if arguments.get("json") is not None else {}
        arguments["headers"] = {**content_type, **self.token(call.roles)}  # test_openapi_edge.py sends odd ones.
        sent = requests.Request(**arguments).prepare()
        response = self._answer(call, sent)
        self.asked += 1
        self.answered[response.status_code] += 1
        self._learn(response.text)
        faults = [*_conformance(case, response), *call.unsaid(response), *_judge(call, sent, response, mode)]
        yield from (f"{fault}\n{_shown(sent, response)}" for fault in faults)

    def _answer(self, call: Call, sent: requests.PreparedRequest) -> Response:
        """Of a stream, its first message."""
        streams = call.method.server_streaming
        with self._session.send(sent, timeout=TIMEOUT_S, stream=streams) as answer:
            content = next(answer.iter_lines(), b"") if streams else answer.content
            headers = {name: [value] for name, value in answer.headers.items()}
            return Response(answer.status_code, headers, content, sent, 0, verify=False, encoding="utf-8")

    def _learn(self, text: str) -> None:
        for id in TYPE_ID.findall(text):
            kind = id.partition("_")[0]
            if id not in self.known[kind] and len(self.known[kind]) < KNOWN_MAX:
                self.known[kind].append(id)

    def _with_known(self, value: Any) -> Any:
        """With ids of what is there in place of made up ones."""
        if isinstance(value, Mapping):
            return {name: self._with_known(each) for name, each in value.items()}
        if isinstance(value, list):
            found = [self._with_known(each) for each in value]
            return found if len({str(each) for each in found}) == len(found) else value  # Some lists hold one of each.
        if isinstance(value, str) and TYPE_ID.fullmatch(value):
            known = self.known.get(value.partition("_")[0])
            return known[sum(value.encode()) % len(known)] if known else value
        return value


def _closed(document: Any) -> Any:
    """Without fields that nobody knows: what is valid has none."""
    if isinstance(document, Mapping):
        inner = {name: _closed(each) for name, each in document.items()}
        is_known = inner.get("type") == "object" and "@type" not in inner.get("properties", {})
        return {"additionalProperties": False, **inner} if is_known else inner
    return [_closed(each) for each in document] if isinstance(document, list) else document


def _conformance(case: Any, response: Response) -> Iterator[str]:
    for check in CHECKS:
        try:
            case.validate_response(response, checks=[check])
        except FailureGroup as group:
            yield from (f"{check.__name__}: {failure}" for failure in group.exceptions)


def _judge(call: Call, sent: requests.PreparedRequest, response: Response, mode: GenerationMode) -> Iterator[str]:
    """The answer beside what protobuf and protovalidate say of the request."""
    allowed, refused = mode is GenerationMode.POSITIVE, response.status_code in REFUSED
    try:
        broken = broken_rules(call.read(sent))
    except Unreadable as error:
        if allowed and not isinstance(error, EscapedSlash):
            yield f"the document allows what cannot be read: {error}"
        if not refused:
            yield f"what cannot be read was taken: {error}"
        return
    if allowed and (of_fields := [each for each in broken if call.could_say(each)]):
        yield f"the document allows what breaks {of_fields}"
    if broken and not refused:
        yield f"what breaks {broken} was taken"
    if not broken and response.status_code == 400 and not response.json()["details"]:
        yield "the edge refused what can be read"


def _shown(sent: requests.PreparedRequest, response: Response) -> str:
    asked = f"{sent.method} {str(sent.url)[:SHOWN_MAX]} {str(sent.body or '')[:SHOWN_MAX]}"
    return f"{response.status_code} {response.text[:SHOWN_MAX]}\nto {asked}"


def _path(method: MethodDescriptor) -> str:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    found: str = getattr(rule, rule.WhichOneof("pattern"))
    return found
