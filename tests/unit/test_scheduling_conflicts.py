"""How much of where else visits could be fits into a refusal."""

from datetime import UTC, datetime, timedelta

import pytest

from chassis.ids import new_id
from chassis.status import DETAIL_MAX
from services.scheduling.domain.hours import Slot
from services.scheduling.domain.planning.plans import PlannedVisit
from services.scheduling.rpc.conflicts import fitting
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
