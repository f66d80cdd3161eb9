"""Plans and openings on the wire, and the way to them: read calendars, then reckon beside the event loop."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from typing import Any
from uuid import UUID

from google.type.dayofweek_pb2 import DayOfWeek

from atoll.scheduling.v1 import course_service_pb2, plan_pb2
from atoll.scheduling.v1 import opening_service_pb2 as pb
from chassis.auth import AccessDenied
from chassis.call import Call
from chassis.db import Database
from chassis.errors import DomainError, Violation
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.scheduling.domain.courses import PhasesOutsideProtocol, RouteUnknown, check_course_is
from services.scheduling.domain.hours import DAY_MINUTES
from services.scheduling.domain.planning import (
    Answer,
    Between,
    Cost,
    Emphasis,
    Obstacle,
    Opening,
    OpeningCourseMismatch,
    OpeningsWish,
    Place,
    Plan,
    PlannedVisit,
    PlanPreferenceInvalid,
    PlanTooLong,
    Relaxed,
    Tastes,
    Wish,
    answer,
    find_openings,
    last_day,
    last_day_relaxed,
    outline,
)
from services.scheduling.domain.planning.openings import After
from services.scheduling.domain.protocols import Template
from services.scheduling.domain.visits import Visit
from services.scheduling.rpc.hours import bound_of_day, day_of_visit, minute_of_day, time_of_day, weekday_of
from services.scheduling.rpc.planners import Planners
from services.scheduling.rpc.visits import resources_to_wire
from services.scheduling.store import SchedulingStore

DATES_MAX = 31
OF_A_PLACE = (RouteUnknown, PhasesOutsideProtocol, PlanPreferenceInvalid, PlanTooLong)
"""What a site's own form of a version may refuse where another's does not."""


async def plan_course(
    db: Database, planners: Planners, request: course_service_pb2.PlanCourseRequest, call: Call
) -> course_service_pb2.PlanCourseResponse:
    """The calendars' transaction is over before planning begins."""
    asked, site_ids = _wish(request), _sites(request, call)
    patient_id = from_wire("patient", request.patient_id)

    def last(template: Template, wish: Wish) -> date:
        return last_day_relaxed(template, wish) if request.explain else last_day(outline(template, wish), wish)

    async def read(store: SchedulingStore) -> tuple[list[Place], Wish]:
        version = await store.version(from_wire("protocolversion", request.protocol_version_id))
        wish, course_id = replace(asked, visits=await _standing(store, request, site_ids)), _course_id(request)
        refused, places, until = list[DomainError](), list[Place](), partial(last, wish=wish)
        for site_id in site_ids:
            try:
                place = await store.place(site_id, version, patient_id, wish.earliest, until, course_id=course_id)
                places.append(place)
            except OF_A_PLACE as error:
                refused.append(error)
        if not places:
            raise refused[0]
        return places, wish

    with planners.turn(call.patient_id):
        places, wish = await db.read(call, request, SchedulingStore, read)
        found = await planners.run(partial(answer, places, wish, call.now, explain=request.explain))
    return _answer(found)


async def _standing(
    store: SchedulingStore, request: course_service_pb2.PlanCourseRequest, site_ids: Sequence[UUID]
) -> tuple[Visit, ...]:
    """Of the course that goes on, if one does. The patient's other ids are asked for only if it is of another."""
    if not request.course_id:
        return ()
    course = await store.course(from_wire("course", request.course_id))
    patient_id = from_wire("patient", request.patient_id)
    ids = {patient_id} if course.patient_id == patient_id else (await store.whole(patient_id)).ids
    version_id = from_wire("protocolversion", request.protocol_version_id)
    for site_id in site_ids:
        check_course_is(course, site_id, ids, version_id, request.route_code)
    return course.standing(store.call.now)


class OpeningServicer:
    def __init__(self, db: Database, planners: Planners) -> None:
        self._db, self._planners = db, planners

    async def open(self) -> None:
        await self._planners.open()

    async def close(self) -> None:
        await self._planners.close()

    async def FindOpenings(self, request: pb.FindOpeningsRequest, call: Call) -> pb.FindOpeningsResponse:
        site_ids, page = _sites(request, call), Page.of(request, call)
        asked, patient_id = _openings_wish(request, page), from_wire("patient", request.patient_id)
        asked.check()
        first, last = asked.days.first, asked.days.last

        async def read(store: SchedulingStore) -> tuple[list[Place], OpeningsWish]:
            version = await store.version(from_wire("protocolversion", request.protocol_version_id))
            wish, course_id = replace(asked, visits=await _of_course(store, request, site_ids)), _course_id(request)
            places = [
                await store.place(id, version, patient_id, first, lambda template: last, course_id=course_id)
                for id in site_ids
            ]
            return places, wish

        with self._planners.turn(call.patient_id):
            places, wish = await self._db.read(call, request, SchedulingStore, read)
            found = await self._planners.run(partial(find_openings, places, wish, call.now))
        rows, token = page.cut(found.openings, key=partial(_key, by_preference=asked.by_preference))
        response = pb.FindOpeningsResponse(next_page_token=token)
        response.openings.extend(_opening(each, found.visit_type_code) for each in rows)
        if found.days:
            response.first_date.CopyFrom(to_date(found.days.first))
            response.last_date.CopyFrom(to_date(found.days.last))
        return response


async def _of_course(
    store: SchedulingStore, request: pb.FindOpeningsRequest, site_ids: Sequence[UUID]
) -> tuple[Visit, ...]:
    """Those that stand, if it is the next of a course."""
    if not request.course_id:
        return ()
    course = await store.course(from_wire("course", request.course_id))
    ids, version_id = (
        (await store.whole(from_wire("patient", request.patient_id))).ids,
        from_wire("protocolversion", request.protocol_version_id),
    )
    text = OpeningCourseMismatch.message
    if course.patient_id not in ids or course.protocol_version_id != version_id:
        raise OpeningCourseMismatch(Violation("course_id", "OPENING_COURSE_MISMATCH", text))
    if any(id != course.site_id for id in site_ids):
        raise OpeningCourseMismatch(Violation("site_id", "OPENING_COURSE_MISMATCH", text))
    return course.standing(store.call.now)


def _course_id(request: Any) -> UUID | None:
    return from_wire("course", request.course_id) if request.course_id else None


def _openings_wish(request: pb.FindOpeningsRequest, page: Page) -> OpeningsWish:
    first = day_of_visit(request.earliest_date, "earliest_date")
    return OpeningsWish(
        phase_code=request.phase_code,
        visit_type_code=request.visit_type_code,
        days=Between(first, from_date(request.latest_date, "latest_date")),
        visits=(),
        tastes=_tastes(request),
        fixed=tuple((each.requirement_key, from_wire("resource", each.resource_id)) for each in request.resources),
        count=page.limit,
        after=_after(page.after) if page.after else None,
        by_preference=request.order == pb.OPENING_ORDER_PREFERENCE,
    )


def _key(opening: Opening, *, by_preference: bool) -> list[str]:
    cost = opening.cost if by_preference else 0
    return [str(cost), opening.slot.start.isoformat(), str(opening.site_id)]


def _after(key: Sequence[str]) -> After:
    cost, start, site_id = key
    return int(cost), datetime.fromisoformat(start), UUID(site_id)


def _sites(request: Any, call: Call) -> list[UUID]:
    """Each once. The endpoint has looked at the first; what a token does not name is refused here too."""
    site_ids = list(dict.fromkeys(from_wire("site", id) for id in (request.site_id, *request.site_ids)))
    if call.sites is not None and not call.sites.issuperset(site_ids):
        raise AccessDenied()
    return site_ids


def _wish(request: course_service_pb2.PlanCourseRequest) -> Wish:
    own = [minute_of_day(request.preferred_time, "preferred_time")] if request.HasField("preferred_time") else []
    return Wish(
        route_code=request.route_code,
        phases=tuple((phase.phase_code, phase.visit_count) for phase in request.phases),
        earliest=day_of_visit(request.earliest_date, "earliest_date"),
        latest=from_date(request.latest_date, "latest_date"),
        tastes=_tastes(request, own),
        same=tuple(request.same_requirement_keys),
        emphasis=Emphasis(plan_pb2.PlanEmphasis.Name(request.emphasis)),
    )


def _tastes(request: Any, minutes_of_day: Iterable[int] = ()) -> Tastes:
    """With the preferred times, behind some that are said otherwise."""
    times = (minute_of_day(each, f"preferred_times[{n}]") for n, each in enumerate(request.preferred_times))
    return Tastes(
        minutes_of_day=(*minutes_of_day, *times),
        weekdays=frozenset(weekday_of(day) for day in request.preferred_weekdays),
        weekdays_only=request.only_preferred_weekdays,
        start_from=bound_of_day(request, "start_from", 0),
        start_until=bound_of_day(request, "start_until", DAY_MINUTES),
    )


def _answer(found: Answer) -> course_service_pb2.PlanCourseResponse:
    return course_service_pb2.PlanCourseResponse(
        plans=map(_plan, found.found.plans),
        unproven=not found.found.proven,
        obstacles=(_obstacle(site_id, each) for site_id, impasse in found.impasses for each in impasse.obstacles),
        relaxations=map(_relaxation, found.relaxed),
    )


def _plan(found: Plan) -> course_service_pb2.CoursePlan:
    totals: Counter[str] = Counter()
    for visit in found.visits:
        totals.update({each.kind: each.minutes for each in visit.costs})
    return course_service_pb2.CoursePlan(
        visits=map(planned_visit_to_wire, found.visits),
        site_id=to_wire("site", found.site_id),
        cost_minutes=found.cost,
        costs=(_cost(kind, minutes) for kind, minutes in sorted(totals.items())),
    )


def planned_visit_to_wire(visit: PlannedVisit) -> course_service_pb2.PlannedVisit:
    return course_service_pb2.PlannedVisit(
        phase_code=visit.phase_code,
        start_time=to_timestamp(visit.slot.start),
        resources=resources_to_wire(visit.resources),
        visit_type_code=visit.visit_type_code,
        end_time=to_timestamp(visit.slot.end),
        costs=_costs(visit.costs),
    )


def _costs(costs: Iterable[Cost]) -> list[plan_pb2.PlanCost]:
    return [_cost(each.kind, each.minutes) for each in costs]


def _cost(kind: str, minutes: int) -> plan_pb2.PlanCost:
    return plan_pb2.PlanCost(kind=plan_pb2.PlanCostKind.Value(kind), minutes=minutes)


def _obstacle(site_id: UUID, each: Obstacle) -> plan_pb2.PlanObstacle:
    return plan_pb2.PlanObstacle(
        site_id=to_wire("site", site_id),
        phase_code=each.phase_code,
        need=each.need,
        kind=plan_pb2.PlanObstacleKind.Value(f"PLAN_OBSTACLE_KIND_{each.rule}"),
        dates=map(to_date, each.days[:DATES_MAX]),
        date_count=len(each.days),
        weekdays=[DayOfWeek.ValueType(day + 1) for day in each.weekdays],
        start_from=time_of_day(each.first_minute),
        start_until=time_of_day(each.last_minute),
    )


def _relaxation(each: Relaxed) -> course_service_pb2.PlanRelaxation:
    return course_service_pb2.PlanRelaxation(
        kind=plan_pb2.RelaxationKind.Value(each.relaxation.kind),
        days=each.relaxation.days,
        phase_code=each.relaxation.phase_code,
        visit_count=each.relaxation.visit_count,
        plan=_plan(each.plan),
    )


def _opening(each: Opening, visit_type_code: str) -> pb.Opening:
    return pb.Opening(
        site_id=to_wire("site", each.site_id),
        start_time=to_timestamp(each.slot.start),
        end_time=to_timestamp(each.slot.end),
        resources=resources_to_wire(each.resources),
        visit_type_code=visit_type_code,
        costs=_costs(each.costs),
    )
