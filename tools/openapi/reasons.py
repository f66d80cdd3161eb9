"""The reasons of errors: what each means, by error_reason.proto, and which an RPC can answer, by its comment."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tools.openapi.image import Enumeration, Image, Method

COMMON = "atoll.common.v1"
PREFIX = "ERROR_REASON_"
HTTP = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""As Envoy's transcoder translates the codes that services answer with."""
EVERYWHERE = (
    "TOKEN_REFUSED",
    "ACCESS_DENIED",
    "BAD_REQUEST",
    "BAD_ID",
    "OVERLOADED",
    "RATE_LIMITED",
    "TRY_AGAIN",
    "TOO_LATE",
)
BY_PACKAGE = {"atoll.patients.v1": ("RECORD_KEYS_MISSING", "RECORD_TEXT_REFUSED")}
"""Whatever is written there is remembered sealed, and most of what is read is."""
BY_FIELD = {"request_id": "REQUEST_ID_REUSED", "page_token": "BAD_PAGE_TOKEN"}
WORD = re.compile(r"\b[A-Z][A-Z0-9_]+\b:?")
LIKE = re.compile(r"\breasons\s+of\s+(\w+)")
"""Another RPC of the service, whose reasons an RPC has too."""
STATED = re.compile(rf"({'|'.join(HTTP)})[:.]\s*")


@dataclass(frozen=True)
class Reason:
    name: str
    package: str
    code: str
    """Of gRPC."""
    comment: str
    """What it means, without the code."""

    @property
    def status(self) -> int:
        """Of HTTP."""
        return HTTP[self.code]


class Reasons:
    def __init__(self, image: Image) -> None:
        enums = {name.rpartition(".")[0]: enum for name, enum in image.enums.items() if name.endswith(".ErrorReason")}
        methods = [method for service in image.services for method in service.methods]
        self._named = {method.full_name: list(_named(method, enums)) for method in methods}
        for method in methods:
            for name in LIKE.findall(method.comment):
                self._named[method.full_name] += self._named[f"{method.package}.{method.service}.{name}"]
        under = {(package, name): code for found in self._named.values() for package, name, code in found}
        self.all = {
            (package, value.proto.name.removeprefix(PREFIX)): _reason(package, value.proto.name, value.comment, under)
            for package, enum in enums.items()
            for value in enum.values
            if value.proto.number
        }
        self._messages = image.messages

    def of(self, method: Method) -> list[Reason]:
        """What its comment names, after what its shape brings."""
        fields = self._messages[method.proto.input_type.removeprefix(".")].fields
        names = [*EVERYWHERE, *(BY_FIELD[each.name] for each in fields if each.name in BY_FIELD)]
        keys = [(COMMON, name) for name in names] + [each[:2] for each in self._named[method.full_name]]
        keys += [(method.package, name) for name in BY_PACKAGE.get(method.package, ())]
        return [self.all[key] for key in dict.fromkeys(keys)]


def _named(method: Method, enums: dict[str, Enumeration]) -> Iterator[tuple[str, str, str]]:
    """Package, name, and the code that it is named under: `NOT_FOUND: PATIENT_NOT_FOUND, …`."""
    known = {
        value.proto.name.removeprefix(PREFIX): package
        for package in (COMMON, method.package)
        for value in enums[package].values
    }
    code = ""
    for word in WORD.findall(method.comment):
        name = word.rstrip(":")
        if name in HTTP and word.endswith(":"):
            code = name
        elif name in known:
            yield known[name], name, code


def _reason(package: str, full_name: str, comment: str, under: dict[tuple[str, str], str]) -> Reason:
    name = full_name.removeprefix(PREFIX)
    stated = STATED.match(f"{comment} ")
    code = stated[1] if stated else under.get((package, name), "")
    meaning = comment[stated.end() :] if stated else comment
    return Reason(name, package, code, " ".join(meaning.split()))
