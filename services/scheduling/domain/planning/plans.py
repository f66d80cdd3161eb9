"""A plan: when each visit is, whom and what it takes, and what speaks against it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from services.scheduling.domain.hours import Slot
from services.scheduling.domain.planning.paths import Field, Spot
from services.scheduling.domain.planning.scores import CHANGE_COST, Cost, CostKind


@dataclass(frozen=True, slots=True)
class PlannedVisit:
    phase_code: str
    visit_type_code: str
    slot: Slot
    resources: tuple[tuple[str, UUID], ...]
    costs: tuple[Cost, ...] = ()
    """What it adds to the plan's cost; nothing that is 0."""


@dataclass(frozen=True, slots=True)
class Plan:
    site_id: UUID
    visits: tuple[PlannedVisit, ...]
    """In order of time."""

    @property
    def cost(self) -> int:
        return sum(each.minutes for visit in self.visits for each in visit.costs)


def plan_of(
    field: Field, spots: Sequence[Spot], fixed: Sequence[Mapping[str, UUID]], mains: Mapping[str, UUID]
) -> Plan:
    """`fixed` has the resources that each visit must have."""
    visits, before = list[PlannedVisit](), {key: id for each in field.outline.standing for key, id in each.resources}
    for spot in sorted(spots, key=lambda spot: spot.cell):
        phase, visit_type = field.outline.phases[spot.visit], field.types[spot.visit]
        start = field.cells.instant(spot.cell)
        resources = field.starts(spot.visit).match(spot.cell, fixed[spot.visit], before)
        before |= resources
        planned = PlannedVisit(
            phase.code, visit_type.code, Slot(start, start + visit_type.stay), tuple(resources.items())
        )
        costs = (each for each in _costs(field, spots, spot, resources, mains) if each.minutes)
        visits.append(replace(planned, costs=tuple(costs)))
    return Plan(field.place.site_id, tuple(visits))


def _costs(
    field: Field, spots: Sequence[Spot], spot: Spot, resources: Mapping[str, UUID], mains: Mapping[str, UUID]
) -> Iterator[Cost]:
    if spot.visit == 0:
        yield Cost(CostKind.LATE_START, field.costs.late * spot.day)
    yield Cost(CostKind.GAP, field.gaps_cost(spots, spot.visit))
    yield Cost(CostKind.WEEKDAY, field.tastes.weekday[spot.day])
    yield Cost(CostKind.TIME_OF_DAY, field.tastes.time(spot.day, spot.cell - field.cells.midnights[spot.day]))
    yield Cost(CostKind.CHANGE, CHANGE_COST * sum(id != mains.get(key, id) for key, id in resources.items()))
