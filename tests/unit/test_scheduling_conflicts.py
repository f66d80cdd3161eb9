"""How much of where else visits could be fits into a refusal, and whom it is looked for."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from atoll.scheduling.v1 import course_service_pb2 as pb
from chassis.errors import Violation
from chassis.ids import new_id
from chassis.status import DETAIL_MAX
from services.scheduling.domain.courses import VisitsConflict
from services.scheduling.domain.hours import Slot
from services.scheduling.domain.planning.plans import PlannedVisit
from services.scheduling.rpc import conflicts
from services.scheduling.rpc.conflicts import Conflicts, fitting
from services.scheduling.use_cases.alternatives import PLACES_MAX, VISITS_MAX

NINE = datetime(2027, 3, 1, 9, tzinfo=UTC)


def places() -> list[PlannedVisit]:
    slot = Slot(NINE, NINE + timedelta(hours=2))
    resources = tuple((key, new_id()) for key in ("nurse", "prescriber", "room"))
    return [PlannedVisit("induction", "treatment", slot, resources)] * PLACES_MAX


@pytest.mark.parametrize("count", range(1, VISITS_MAX + 1))
def test_each_visit_in_conflict_keeps_at_least_one_place_as_far_as_a_status_holds_them(count: int) -> None:
    indexes = list(range(count))
    detail = fitting(indexes, {index: places() for index in indexes})
    assert [each.visit_index for each in detail.visits] == indexes
    given = {len(each.visits) for each in detail.visits}
    assert len(given) == 1
    assert min(given) >= 1
    assert detail.ByteSize() <= DETAIL_MAX
    if count <= 4:
        assert given == {PLACES_MAX}


class Booking:
    """One that is refused when it is told to be."""

    def __init__(self, door: Conflicts) -> None:
        self._told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        nothing: Any = None
        self._call = asyncio.create_task(door.or_elsewhere(nothing, nothing, nothing, self._answer()))

    async def _answer(self) -> None:
        await self._told
        raise VisitsConflict(Violation("visits[0]", "RESOURCE_TAKEN", ""))

    async def refused(self) -> bool:
        """Whether the refusal says where else."""
        self._told.set_result(None)
        with pytest.raises(VisitsConflict) as caught:
            await self._call
        return caught.value.detail is not None


async def test_who_comes_or_is_told_in_a_rush_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def elsewhere(*_: object) -> pb.VisitsConflictDetail:
        return pb.VisitsConflictDetail()

    nothing: Any = None
    door = Conflicts(nothing)
    monkeypatch.setattr(door, "_elsewhere", elsewhere)
    monkeypatch.setattr(conflicts, "IN_HAND_MAX", 1)
    told_in_rush, came_in_rush = Booking(door), Booking(door)
    await asyncio.sleep(0)
    assert not await told_in_rush.refused()
    assert not await came_in_rush.refused()
    assert await Booking(door).refused()
