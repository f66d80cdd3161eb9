"""Tasks of a site's front desk: what a merge, its undoing, a closure, a patient or their death left for somebody to
settle."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from chassis.errors import DomainError, Kind
from chassis.etags import StaleEtag


class TaskNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "TASK_NOT_FOUND", "no such task"


class TaskDone(DomainError):
    kind, reason, message = Kind.CONFLICT, "TASK_DONE", "the task was completed before"


class TaskKind(StrEnum):
    OVERLAPPING_VISITS = "TASK_KIND_OVERLAPPING_VISITS"
    VISITS_TO_ASSIGN = "TASK_KIND_VISITS_TO_ASSIGN"
    BROKEN_VISITS = "TASK_KIND_BROKEN_VISITS"
    VISIT_TO_MOVE = "TASK_KIND_VISIT_TO_MOVE"
    DEPOSIT_TO_SETTLE = "TASK_KIND_DEPOSIT_TO_SETTLE"
    OFFER_TO_SETTLE = "TASK_KIND_OFFER_TO_SETTLE"
    VISITS_TO_CANCEL = "TASK_KIND_VISITS_TO_CANCEL"


class TaskState(StrEnum):
    OPEN = "TASK_STATE_OPEN"
    DONE = "TASK_STATE_DONE"


@dataclass(frozen=True, slots=True)
class Task:
    id: UUID
    site_id: UUID
    kind: TaskKind
    patient_id: UUID
    """The survivor that the merge named, or whose visits they are."""
    merged_patient_id: UUID | None
    merge_version: int | None
    """Of the merge, or the unmerge, that left the task."""
    visit_ids: tuple[UUID, ...]
    created_at: datetime
    version: int = 1
    note: str = ""
    completed_by: str | None = None
    completed_at: datetime | None = None
    closure_id: UUID | None = None
    """Of the closure that left the task."""
    course_id: UUID | None = None
    """Of which a deposit was released."""

    @property
    def state(self) -> TaskState:
        return TaskState.DONE if self.completed_at else TaskState.OPEN

    def completed(self, version: int, note: str, by: str, at: datetime) -> "Task":
        """What was done before is told before what is stale: whoever sees it done need not read it again."""
        if self.state is TaskState.DONE:
            raise TaskDone(completed_by=str(self.completed_by))
        if version != self.version:
            raise StaleEtag()
        return replace(self, version=version + 1, note=note, completed_by=by, completed_at=at)


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge of an alias, or its undoing, by its version."""

    survivor_id: UUID | None
    """None: it was taken back."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """A patient was an alias of `survivor_id` since a merge, until its undoing, whose version it is."""

    version: int
    survivor_id: UUID
    since: datetime
    until: datetime | None
    """None: what is written now was written meanwhile, since the undoing is heard of only now."""


def meanwhile(merges: Mapping[int, Merge], heard: int) -> Meanwhile | None:
    """The stretch that is known since `heard`, a version, was heard of; either of its ends may be heard first.

    Nothing was written for the alias under the survivor once the undoing was heard of, even if its merge was heard of
    later. Where both were heard in their order, all that was written until now is in doubt, or until the next merge.
    """
    undone = heard if merges[heard].survivor_id is None else heard + 1
    merge, undoing = merges.get(undone - 1), merges.get(undone)
    if merge is None or undoing is None or merge.survivor_id is None or undoing.survivor_id is not None:
        return None
    after = merges.get(undone + 1)
    until = after.at if after else None
    return Meanwhile(undone, merge.survivor_id, merge.at, undoing.at if undone != heard else until)
