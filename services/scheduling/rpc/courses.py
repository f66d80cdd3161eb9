"""CourseService."""

from uuid import UUID

from atoll.scheduling.v1 import course_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import to_instant, to_timestamp
from services.scheduling import use_cases
from services.scheduling.domain.courses import Choice, Course
from services.scheduling.domain.progress import Progress, progress_of
from services.scheduling.rpc.planners import Planners
from services.scheduling.rpc.planning import plan_course
from services.scheduling.rpc.visits import visit_to_wire
from services.scheduling.store import SchedulingStore


class CourseServicer:
    def __init__(self, db: Database, planners: Planners) -> None:
        self._db, self._planners = db, planners

    async def PlanCourse(self, request: pb.PlanCourseRequest, call: Call) -> pb.PlanCourseResponse:
        return await plan_course(self._db, self._planners, request, call)

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


def _id(kind: str, wire: str) -> UUID | None:
    return from_wire(kind, wire) if wire else None


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
        progress=_progress(progress_of(course.visits)),
    )


def _progress(progress: Progress) -> pb.CourseProgress:
    return pb.CourseProgress(
        completed_visit_count=progress.completed,
        remaining_visit_count=progress.remaining,
        cancelled_visit_count=progress.cancelled,
        missed_visit_count=progress.missed,
        next_visit_id=to_wire("visit", progress.next.id) if progress.next else "",
        next_visit_time=to_timestamp(progress.next.slot.start) if progress.next else None,
    )
