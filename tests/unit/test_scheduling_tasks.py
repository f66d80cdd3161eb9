"""Which stretch between a merge and its undoing an event completes, and how a task is completed."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from chassis.etags import StaleEtag
from services.scheduling.domain.tasks import Meanwhile, Merge, Task, TaskDone, TaskKind, TaskState, meanwhile

S, T = UUID(int=1), UUID(int=2)
START = datetime(2027, 3, 1, 16, tzinfo=UTC)


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


STORY = {1: Merge(S, at(1)), 2: Merge(None, at(2)), 3: Merge(T, at(3)), 4: Merge(None, at(4))}


def heard(*versions: int) -> dict[int, Merge]:
    return {version: STORY[version] for version in versions}


@pytest.mark.parametrize(
    ("known", "last", "stretch"),
    [
        (heard(1), 1, None),
        (heard(2), 2, None),
        (heard(1, 2), 2, Meanwhile(2, S, at(1), None)),  # What is written now still counts.
        (heard(1, 2), 1, Meanwhile(2, S, at(1), at(2))),  # Nothing was, since the undoing was heard of.
        (heard(1, 3), 3, None),
        (heard(1, 2, 3), 2, Meanwhile(2, S, at(1), at(3))),
        (heard(1, 2, 3), 3, None),
        (heard(1, 2, 3, 4), 4, Meanwhile(4, T, at(3), None)),
        (heard(1, 2, 3, 4), 2, Meanwhile(2, S, at(1), at(3))),
        (heard(1, 4), 4, None),
    ],
)
def test_a_stretch_is_known_once_both_its_ends_are(
    known: dict[int, Merge], last: int, stretch: Meanwhile | None
) -> None:
    assert meanwhile(known, last) == stretch


def test_two_merges_or_two_undoings_one_after_another_are_no_stretch() -> None:
    assert meanwhile({1: Merge(S, at(1)), 2: Merge(T, at(2))}, 1) is None
    assert meanwhile({1: Merge(None, at(1)), 2: Merge(None, at(2))}, 2) is None


TASK = Task(UUID(int=3), UUID(int=4), TaskKind.OVERLAPPING_VISITS, S, T, 1, (UUID(int=5),), START)


def test_a_task_is_completed_once_by_who_read_it_as_it_is() -> None:
    done = TASK.completed(1, "settled", "ann", at(1))
    assert (done.state, done.version, done.note, done.completed_by, done.completed_at) == (
        TaskState.DONE, 2, "settled", "ann", at(1)
    )  # fmt: skip
    with pytest.raises(StaleEtag):
        TASK.completed(2, "settled", "ann", at(1))
    for version in (1, 2):
        with pytest.raises(TaskDone):
            done.completed(version, "again", "ben", at(2))
