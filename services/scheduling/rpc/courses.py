"""CourseService."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from uuid import UUID

from atoll.scheduling.v1 import course_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.errors import Overloaded
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_instant, to_timestamp
from services.scheduling import use_cases
from services.scheduling.domain.courses import Choice, Course
from services.scheduling.domain.planning import Place, Plan, PlannedVisit, Tastes, Wish, last_day, outline, plan
from services.scheduling.domain.protocols import Template
from services.scheduling.rpc.hours import minute_of_day, weekday_of
from services.scheduling.rpc.visits import resources_to_wire, visit_to_wire
from services.scheduling.store import SchedulingStore

PLANNING_MAX = 16
"""Plans being made or waiting for it, in one worker."""


class CourseServicer:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._planner, self._planning = ThreadPoolExecutor(1, "planner"), 0

    async def PlanCourse(self, request: pb.PlanCourseRequest, call: Call) -> pb.PlanCourseResponse:
        """The calendar's transaction is over before planning begins, which happens beside the event loop."""
        version_id, wish = from_wire("protocolversion", request.protocol_version_id), _wish(request)
        site_id, patient_id = from_wire("site", request.site_id), from_wire("patient", request.patient_id)

        def last(template: Template) -> date:
            return last_day(outline(template, wish), wish)

        async def read(store: SchedulingStore) -> Place:
            return await store.place(site_id, await store.version(version_id), patient_id, wish.earliest, last)

        if self._planning >= PLANNING_MAX:
            raise Overloaded()
        self._planning += 1
        try:
            place = await self._db.read(call, request, SchedulingStore, read)
            work = partial(plan, [place], wish, call.now)
            found = await asyncio.get_running_loop().run_in_executor(self._planner, work)
        finally:
            self._planning -= 1
        return pb.PlanCourseResponse(plans=map(_plan, found.plans))

    async def BookCourse(self, request: pb.BookCourseRequest, call: Call) -> pb.BookCourseResponse:
        command = book_course_command(request)

        async def work(store: SchedulingStore) -> pb.BookCourseResponse:
            return pb.BookCourseResponse(course=_course(await use_cases.book_course(store, command)))

        return await self._db.once(
            call, request, pb.BookCourseResponse, SchedulingStore, work, locks=command.contended_ids
        )

    async def GetCourse(self, request: pb.GetCourseRequest, call: Call) -> pb.GetCourseResponse:
        id = from_wire("course", request.course_id)
        course = await self._db.read(call, request, SchedulingStore, lambda store: store.course(id))
        return pb.GetCourseResponse(course=_course(course))

    async def ListCourses(self, request: pb.ListCoursesRequest, call: Call) -> pb.ListCoursesResponse:
        site_id, patient_id = _id("site", request.site_id), _id("patient", request.patient_id)
        page = Page.of(request, call)
        found = await self._db.read(
            call, request, SchedulingStore, lambda store: store.courses(site_id, patient_id, page)
        )
        courses, token = page.cut(found, key=lambda course: [str(course.id)])
        return pb.ListCoursesResponse(courses=map(_course, courses), next_page_token=token)


def book_course_command(request: pb.BookCourseRequest) -> use_cases.BookCourse:
    return use_cases.BookCourse(
        site_id=from_wire("site", request.site_id),
        patient_id=from_wire("patient", request.patient_id),
        protocol_version_id=from_wire("protocolversion", request.protocol_version_id),
        route_code=request.route_code,
        visits=tuple(
            Choice(
                visit.phase_code,
                to_instant(visit.start_time),
                tuple((each.requirement_key, from_wire("resource", each.resource_id)) for each in visit.resources),
            )
            for visit in request.visits
        ),
    )


def _wish(request: pb.PlanCourseRequest) -> Wish:
    preferred = request.preferred_time if request.HasField("preferred_time") else None
    return Wish(
        route_code=request.route_code,
        phases=tuple((phase.phase_code, phase.visit_count) for phase in request.phases),
        earliest=from_date(request.earliest_date, "earliest_date"),
        latest=from_date(request.latest_date, "latest_date"),
        tastes=Tastes(
            minutes_of_day=(minute_of_day(preferred, "preferred_time"),) if preferred else (),
            weekdays=frozenset(weekday_of(day) for day in request.preferred_weekdays),
        ),
    )


def _id(kind: str, wire: str) -> UUID | None:
    return from_wire(kind, wire) if wire else None


def _plan(found: Plan) -> pb.CoursePlan:
    return pb.CoursePlan(visits=map(_planned_visit, found.visits))


def _planned_visit(visit: PlannedVisit) -> pb.PlannedVisit:
    return pb.PlannedVisit(
        phase_code=visit.phase_code,
        start_time=to_timestamp(visit.slot.start),
        resources=resources_to_wire(visit.resources),
        visit_type_code=visit.visit_type_code,
        end_time=to_timestamp(visit.slot.end),
    )


def _course(course: Course) -> pb.Course:
    return pb.Course(
        id=to_wire("course", course.id),
        site_id=to_wire("site", course.site_id),
        patient_id=to_wire("patient", course.patient_id),
        protocol_version_id=to_wire("protocolversion", course.protocol_version_id),
        route_code=course.route_code,
        visits=map(visit_to_wire, course.visits),
        book_time=to_timestamp(course.booked_at),
        paused=course.paused,
    )
