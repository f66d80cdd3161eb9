"""A DomainError as google.rpc.Status: the only place that knows which kind has which gRPC code."""

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from google.rpc.status_pb2 import Status

from chassis.errors import DomainError, Kind

DOMAIN = "atoll.health"
CODES = {
    Kind.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Kind.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Kind.DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Kind.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Kind.CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    Kind.STALE: grpc.StatusCode.ABORTED,
    Kind.NOT_YET: grpc.StatusCode.FAILED_PRECONDITION,
    Kind.EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Kind.GONE: grpc.StatusCode.OUT_OF_RANGE,
    Kind.TOO_LATE: grpc.StatusCode.DEADLINE_EXCEEDED,
    Kind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}
MAY_BE_ASKED_AGAIN = frozenset({Kind.NOT_YET, Kind.EXHAUSTED, Kind.UNAVAILABLE})


def status_of(error: DomainError) -> Status:
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    if error.violations:
        of_the_request = error.kind is Kind.INVALID
        details.append(_bad_request(error) if of_the_request else _precondition_failure(error))
    if error.kind in MAY_BE_ASKED_AGAIN:
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after_s * 1e3))
        details.append(RetryInfo(retry_delay=delay))
    return Status(code=CODES[error.kind].value[0], message=str(error), details=[_packed(detail) for detail in details])


def _precondition_failure(error: DomainError) -> PreconditionFailure:
    failures = [{"type": v.rule, "subject": v.field, "description": v.description} for v in error.violations]
    return PreconditionFailure(violations=failures)


def _bad_request(error: DomainError) -> BadRequest:
    faults = [{"field": v.field, "reason": v.rule, "description": v.description} for v in error.violations]
    return BadRequest(field_violations=faults)


def _packed(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed
