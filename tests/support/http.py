"""How a request is written as HTTP and JSON, by its google.api.http option, and how that goes wrong."""

import json
import random
import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import MessageToDict

IN_PATH = re.compile(r"\{([a-z_.]+)(?:=[^}]*)?\}")
NOT_JSON = (b"", b"{", b"[]", b"null", b'"text"', b"{]", b'{"a":' * 2000, b"\xff\xfe", b'{"a": 1e999}', b"[" * 5000)
STRANGE: tuple[Any, ...] = (None, [], {}, "x", -1, 1.5, True, {"a": {"b": []}}, "9" * 400, [None], 10**30)


@dataclass(frozen=True)
class HttpRequest:
    verb: str
    path: str
    query: dict[str, Any]
    body: bytes | None

    def spoilt(self, rand: random.Random) -> "HttpRequest":
        """Another value, type or name in its body or query; or a body that is no JSON at all."""
        if self.body is None:
            return replace(self, query=self.query | {rand.choice([*self.query, "nope"]): str(rand.choice(STRANGE))})
        if rand.random() < 0.3:
            return replace(self, body=rand.choice(NOT_JSON))
        content = json.loads(self.body)
        if isinstance(content, dict):
            content[rand.choice([*content, "nope"])] = rand.choice(STRANGE)
        return replace(self, body=json.dumps(content).encode())


def http_request(rpc: MethodDescriptor, request: Any) -> HttpRequest:
    """What stands neither in the path nor in the body, stands in the query."""
    rule = rpc.GetOptions().Extensions[annotations_pb2.http]
    verb = str(rule.WhichOneof("pattern"))
    content = MessageToDict(request, preserving_proto_field_name=True)
    path = IN_PATH.sub(lambda found: quote(_taken(content, found[1]) or "-", safe=""), getattr(rule, verb))
    body = content if rule.body == "*" else content.pop(rule.body, {}) if rule.body else None
    query = {} if rule.body == "*" else dict(_flat(content))
    return HttpRequest(verb.upper(), path, query, None if body is None else json.dumps(body).encode())


def _taken(content: dict[str, Any], path: str) -> str:
    *above, name = path.split(".")
    for each in above:
        content = content.get(each, {})
    return str(content.pop(name, ""))


def _flat(content: dict[str, Any], above: str = "") -> Any:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
