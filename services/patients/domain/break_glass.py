"""Breaking the glass: reading a record in need, for a while, with a reason that somebody else looks after."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation

MINUTES_DEFAULT = 60
WORDS_MIN = 3


class GlassReasonTooShort(DomainError):
    kind, reason, message = Kind.INVALID, "GLASS_REASON_TOO_SHORT", "a reason has three words at least"


class GlassNotNeeded(DomainError):
    kind, reason, message = Kind.CONFLICT, "GLASS_NOT_NEEDED", "the site may see the record"


class GlassBreakNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "GLASS_BREAK_NOT_FOUND", "nobody broke this glass at the caller's sites"


class GlassReviewOfOwn(DomainError):
    kind, reason, message = Kind.DENIED, "GLASS_REVIEW_OF_OWN", "whoever broke the glass does not review it"


class GlassBreakReviewed(DomainError):
    kind, reason, message = Kind.CONFLICT, "GLASS_BREAK_REVIEWED", "somebody reviewed it before"


class Finding(StrEnum):
    JUSTIFIED = "JUSTIFIED"
    NOT_JUSTIFIED = "NOT_JUSTIFIED"


@dataclass(frozen=True, slots=True)
class Review:
    finding: Finding
    note: str
    reviewed_by: str
    reviewed_at: datetime


@dataclass(frozen=True, slots=True)
class GlassBreak:
    """`actor`, at the site, may read the patient's record until `expire_at`. Both instants are real time."""

    id: UUID
    patient_id: UUID
    site_id: UUID
    actor: str
    reason: str
    started_at: datetime
    expire_at: datetime
    review: Review | None = None

    def reviewed(self, review: Review) -> Self:
        if review.reviewed_by == self.actor:
            raise GlassReviewOfOwn()
        if self.review is not None:
            raise GlassBreakReviewed()
        return replace(self, review=review)


def check_reason(reason: str) -> None:
    """Whether it has enough words: each with a letter or a digit in it."""
    words = [word for word in reason.split() if any(map(str.isalnum, word))]
    if len(words) < WORDS_MIN:
        raise GlassReasonTooShort(Violation("reason", "WORDS_MISSING", "has fewer than three words"))
