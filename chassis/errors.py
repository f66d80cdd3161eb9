"""What went wrong, in domain words. No gRPC here: `chassis.status` gives each kind its code."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import ClassVar
from uuid import UUID

from google.protobuf.message import Message
from typeid import base32


class Kind(Enum):
    INVALID = auto()  # This request can never succeed.
    UNAUTHENTICATED = auto()
    DENIED = auto()
    NOT_FOUND = auto()
    CONFLICT = auto()  # A rule forbids it in the present state.
    STALE = auto()  # Someone else wrote first: read again, decide again.
    NOT_YET = auto()  # A fact it rests on has not arrived: the same request may pass later.
    EXHAUSTED = auto()  # A bound is reached.
    GONE = auto()  # Where the caller wants to go on from is not kept any more: begin anew.
    TOO_LATE = auto()
    UNAVAILABLE = auto()  # Nothing was done: send the same request again.


@dataclass(frozen=True, slots=True)
class Violation:
    """One part of a request at fault. `rule` is frozen, like a reason."""

    field: str  # Path in the request: "visits[2].start_time".
    rule: str
    description: str


class DomainError(Exception):
    """Base of every expected failure. `reason` is API: once released it never changes.

    `message` is constant; what varies goes into violations and metadata, which hold ids, limits and times only: they
    are logged and sent to callers, so never a name, a note or anything else about a patient.
    """

    kind: ClassVar[Kind]
    reason: ClassVar[str]
    message: ClassVar[str]
    retry_after_s: ClassVar[float] = 1.0
    """When to ask again, for the kinds that may be asked again."""

    def __init__(self, *violations: Violation, **metadata: object) -> None:
        super().__init__(self.message)
        self.violations = violations
        self.detail: Message | None = None  # Of the service's own, added at its door: `chassis.status` sends it along.
        self.metadata = {key: str(value) for key, value in metadata.items()}


class BadRequest(DomainError):
    kind, reason, message = Kind.INVALID, "BAD_REQUEST", "the request is malformed or breaks the rules of its fields"


class NulInText(BadRequest):
    """The database keeps no such text. `chassis.endpoint` names the fields."""


class NoInstant(BadRequest):
    """A Timestamp may hold what no calendar has. `chassis.endpoint` names the fields."""


class TooLate(DomainError):
    kind, reason, message = Kind.TOO_LATE, "TOO_LATE", "not enough time was left to answer"


class TryAgain(DomainError):
    kind, reason, message = Kind.UNAVAILABLE, "TRY_AGAIN", "could not finish now; the same request may be sent again"


class Overloaded(DomainError):
    kind, reason, message = Kind.EXHAUSTED, "OVERLOADED", "more is asked for at once than is answered at once"


class RateLimited(DomainError):
    """What the edge answers on behalf of every service: see deploy/envoy/config.py."""

    kind, reason, message = Kind.EXHAUSTED, "RATE_LIMITED", "this caller asks more often than one caller may"


class NotYetKnown(DomainError):
    """Something that another service owns, and of which no event has arrived here. Names what it waits for."""

    kind, reason, message = Kind.NOT_YET, "NOT_YET_KNOWN", "names something that this service has not heard of yet"

    def __init__(self, what: str, id: UUID) -> None:
        self.waits_for = f"{what}_{base32.encode(id.bytes)}"
        super().__init__(waits_for=self.waits_for)
