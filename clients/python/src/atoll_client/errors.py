"""What the API refuses, as exceptions: one class for each kind, with all that the answer told."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from google.rpc.status_pb2 import Status

DETAILS_KEY = "grpc-status-details-bin"

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Violation:
    """One part of a request at fault."""

    field: str
    """Its path in the request: "visits[2].start_time"."""
    rule: str
    """Which rule it breaks. Frozen, like a reason."""
    description: str


class AtollError(Exception):
    """Base of all that the API refuses.

    `reason` is a frozen word to decide by (see `Reason`); empty where something between here and the service answered.
    What Python prints names ids, limits and rules only, never what was sent.
    """

    code: grpc.StatusCode
    method: str
    """"atoll.scheduling.v1.CourseService/BookCourse"."""
    reason: str
    message: str
    metadata: Mapping[str, str]
    violations: tuple[Violation, ...]
    retry_after: timedelta | None
    """The same request may pass after it. None: the service did not say so."""
    request_id: str
    """Of the change that was asked for; empty of a read. With it the same request can be sent again safely."""

    def __init__(
        self,
        code: grpc.StatusCode,
        method: str,
        message: str = "",
        *,
        details: tuple[Message, ...] = (),
        request_id: str = "",
    ) -> None:
        self.code, self.method, self.message, self.request_id = code, method, message, request_id
        self.reason, self.metadata, self.retry_after = "", {}, None
        self._details = details
        for detail in details:
            if isinstance(detail, ErrorInfo):
                self.reason, self.metadata = detail.reason, dict(detail.metadata)
            if isinstance(detail, RetryInfo):
                self.retry_after = detail.retry_delay.ToTimedelta()
        self.violations = tuple(violation for detail in details for violation in _violations(detail))
        super().__init__(str(self))

    def __str__(self) -> str:
        head = f"{self.method}: {self.code.name} {self.reason}".rstrip()
        faults = (f"{each.field}: {each.description}" for each in self.violations)
        return "; ".join([f"{head}: {self.message}", *faults])

    def detail(self, kind: type[M]) -> M | None:
        """A detail that some refusals bring along, as VISITS_CONFLICT brings a scheduling.VisitsConflictDetail."""
        return next((each for each in self._details if isinstance(each, kind)), None)


class InvalidArgument(AtollError):
    """This request can never succeed: `violations` names each field at fault."""


class Unauthenticated(AtollError):
    """No token, or one that does not pass."""


class Denied(AtollError):
    """No role of the caller may do this, or not at this site, or not for this patient."""


class NotFound(AtollError):
    """There is no such thing for this caller: absent, or another chain's or another site's, which look the same."""


class Conflict(AtollError):
    """A rule forbids it in the present state: `violations` names what stands against it."""


class NotYet(Conflict):
    """Something that it rests on has not arrived at this service: the same request may pass after `retry_after`."""


class Stale(AtollError):
    """Somebody else wrote first: read again, decide again."""


class OutOfRange(AtollError):
    """Where the caller wants to go on from is not kept any more: read the whole again."""


class Exhausted(AtollError):
    """A bound is reached; `retry_after`, if it is given, says when there is room again."""


class TooLate(AtollError):
    """The deadline passed. Whether a change was made is unknown: ask again with the same `request_id`."""


class TryAgain(AtollError):
    """Not reached, or could not finish, also after retries: ask again with the same `request_id`."""


class ServerFault(AtollError):
    """A fault of the server's own, or of something on the way to it."""


BY_CODE: Mapping[grpc.StatusCode, type[AtollError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: Denied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.ABORTED: Stale,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Exhausted,
    grpc.StatusCode.DEADLINE_EXCEEDED: TooLate,
    grpc.StatusCode.UNAVAILABLE: TryAgain,
}


def error_of(rpc_error: grpc.aio.AioRpcError, method: str, request_id: str = "") -> AtollError:
    code, details = rpc_error.code(), tuple(_unpacked(rpc_error))
    kind = BY_CODE.get(code, ServerFault)
    if kind is Conflict and any(isinstance(each, RetryInfo) for each in details):
        kind = NotYet
    return kind(code, method.removeprefix("/"), rpc_error.details() or "", details=details, request_id=request_id)


def _unpacked(rpc_error: grpc.aio.AioRpcError) -> Iterator[Message]:
    """Details of a kind that is not known here, and bytes that are none, are left out."""
    for key, value in rpc_error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            for packed in _status(value).details:
                if (detail := _detail(packed)) is not None:
                    yield detail


def _status(raw: bytes) -> Status:
    try:
        return Status.FromString(raw)
    except DecodeError:
        return Status()


def _detail(packed: Packed) -> Message | None:
    try:
        found = descriptor_pool.Default().FindMessageTypeByName(packed.TypeName())
        return GetMessageClass(found).FromString(packed.value)
    except (KeyError, DecodeError):
        return None


def _violations(detail: Message) -> Iterator[Violation]:
    if isinstance(detail, BadRequest):
        yield from (Violation(each.field, each.reason, each.description) for each in detail.field_violations)
    if isinstance(detail, PreconditionFailure):
        yield from (Violation(each.subject, each.type, each.description) for each in detail.violations)
