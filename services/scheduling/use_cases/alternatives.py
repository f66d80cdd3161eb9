"""Where visits in conflict could be instead: what is read for it, after the refused booking has let go of its locks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.scheduling.domain.courses import Layout, choice_of
from services.scheduling.domain.hours import DAY
from services.scheduling.domain.planning import Between, Place, PlannedVisit, nearest_openings
from services.scheduling.domain.spacing import days_of, same_as_others
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases.courses import BookCourse, BookHeld, with_leaving

REACH_DAYS = 14
VISITS_MAX = 12
"""Of one refusal, for which places are looked for."""
PLACES_MAX = 3


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """One visit in conflict, the calendar around all that are, and between what it has to be: not before `release`, and
    over by `until`, where other visits are that were asked for. What those take is not in the calendar."""

    index: int
    place: Place
    layout: Layout
    days: Between
    release: datetime | None
    until: datetime | None
    same: Mapping[str, UUID]
    """Whom and what it has to have, as other visits of the course have."""

    def places(self, now: datetime) -> list[PlannedVisit]:
        phase, visit_type = self.layout.phase, self.layout.type
        found = nearest_openings(
            self.place,
            visit_type,
            self.layout.stay.start,
            self.days,
            now,
            PLACES_MAX,
            self.layout.resources,
            (self.release, self.until),
            self.same,
        )
        return [PlannedVisit(phase.code, visit_type.code, each.slot, each.resources) for each in found]


async def what_is_held(store: SchedulingStore, course_id: UUID) -> BookHeld:
    course = await store.course(course_id)
    return BookHeld(
        site_id=course.site_id,
        patient_id=course.patient_id,
        protocol_version_id=course.protocol_version_id,
        route_code=course.route_code,
        visits=tuple(map(choice_of, course.held_visits)),
        course_id=course.id,
        held=course.held_visits,
    )


async def elsewhere(store: SchedulingStore, command: BookCourse, indexes: Sequence[int]) -> list[Elsewhere]:
    """The other visits stay as they were asked for."""
    version, now = await store.version(command.protocol_version_id), store.call.now
    terms = await store.terms(
        command.site_id, version, command.patient_id, command.resource_ids, course_id=command.course_id
    )
    standing = (await store.course(command.course_id)).standing(now) if command.course_id else ()
    others = [visit for visit in standing if visit.id not in command.held_ids]
    terms, layouts = await with_leaving(store, terms, others), command.layouts(terms)
    stops = terms.stops(layouts, [visit for visit in others if visit.phase_code in terms.template.order])
    asked, wanted = {stop.index: stop for stop in stops}, dict[int, Between]()
    for index in indexes[:VISITS_MAX]:
        stop = asked[index]
        first, last = days_of(stop, stops if stop.phase.code else [stop], REACH_DAYS)
        days = Between(max(first, terms.today(now)), last)
        if not days.empty:
            wanted[index] = days
    if not wanted:
        return []
    reach = min(each.first for each in wanted.values()) - DAY, max(each.last for each in wanted.values()) + 2 * DAY
    place = await store.place_of_days(
        command.site_id, version, command.patient_id, *reach, course_id=command.course_id, without=command.held_ids
    )
    return [
        Elsewhere(
            index,
            place,
            layouts[index],
            days,
            release=layouts[index - 1].hold.end if index else None,
            until=layouts[index + 1].stay.start if index + 1 < len(layouts) else None,
            same=same_as_others(asked[index], stops) if layouts[index].phase.code else {},
        )
        for index, days in wanted.items()
    ]


def places(found: Sequence[Elsewhere], now: datetime) -> list[tuple[int, list[PlannedVisit]]]:
    """Pure, and some milliseconds of work: for another thread."""
    return [(each.index, each.places(now)) for each in found]
