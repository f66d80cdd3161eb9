"""A DomainError as google.rpc.Status: the only place that knows which kind has which gRPC code."""

from collections.abc import Sequence
from itertools import accumulate

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from google.rpc.status_pb2 import Status

from chassis.errors import DomainError, Kind, Violation

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
STATUS_MAX = 6_000
"""Bytes. It stands in trailers, in base64: of more than 8 KiB together clients may hear nothing."""
VIOLATIONS_MAX = STATUS_MAX // 2 - 500
DETAIL_MAX = STATUS_MAX // 2
MAY_BE_ASKED_AGAIN = frozenset({Kind.NOT_YET, Kind.EXHAUSTED, Kind.UNAVAILABLE})


def status_of(error: DomainError) -> Status:
    named, left_out = _fitting(error.violations)
    counted = {"violations_left_out": str(left_out)} if left_out else {}
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata | counted)]
    if named:
        of_the_request = error.kind is Kind.INVALID
        details.append(_bad_request(named) if of_the_request else _precondition_failure(named))
    if error.kind in MAY_BE_ASKED_AGAIN:
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after_s * 1e3))
        details.append(RetryInfo(retry_delay=delay))
    status = Status(code=CODES[error.kind].value[0], message=str(error), details=map(_packed, details))
    if error.detail is not None and status.ByteSize() + error.detail.ByteSize() <= STATUS_MAX:
        status.details.append(_packed(error.detail))
    return status


def _fitting(violations: Sequence[Violation]) -> tuple[Sequence[Violation], int]:
    """The first of them, as many as fit, and how many do not."""
    sizes = accumulate(len(f"{each.field}{each.rule}{each.description}".encode()) for each in violations)
    fit = sum(size <= VIOLATIONS_MAX for size in sizes)
    return violations[:fit], len(violations) - fit


def _precondition_failure(violations: Sequence[Violation]) -> PreconditionFailure:
    failures = [{"type": v.rule, "subject": v.field, "description": v.description} for v in violations]
    return PreconditionFailure(violations=failures)


def _bad_request(violations: Sequence[Violation]) -> BadRequest:
    faults = [{"field": v.field, "reason": v.rule, "description": v.description} for v in violations]
    return BadRequest(field_violations=faults)


def _packed(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed
