"""How far a course has come."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.scheduling.domain.visits import OVER, Status, Visit


@dataclass(frozen=True, slots=True)
class Progress:
    completed: int
    remaining: int
    """Under way or still to come."""
    cancelled: int
    missed: int
    next: Visit | None
    """The first of those that remain."""


def progress_of(visits: Sequence[Visit]) -> Progress:
    """`visits` in order of time."""
    statuses = [visit.status for visit in visits]
    remaining = [visit for visit in visits if visit.status not in OVER]
    return Progress(
        completed=statuses.count(Status.COMPLETED),
        remaining=len(remaining),
        cancelled=statuses.count(Status.CANCELLED),
        missed=statuses.count(Status.NO_SHOW),
        next=remaining[0] if remaining else None,
    )
