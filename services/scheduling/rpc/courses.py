"""CourseService."""

from functools import partial
from typing import Any
from uuid import UUID, uuid5

from atoll.scheduling.v1 import course_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.scheduling.domain.courses import Choice, Course
from services.scheduling.domain.holds import HOLD_MINUTES
from services.scheduling.domain.progress import Progress, progress_of
from services.scheduling.rpc.conflicts import Conflicts
from services.scheduling.rpc.hours import start_of_visit
from services.scheduling.rpc.planners import Planners
from services.scheduling.rpc.planning import plan_course
from services.scheduling.rpc.visits import resources_from_wire, visit_to_wire
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases.alternatives import what_is_held
from services.scheduling.use_cases.courses import BookCourse, HoldCourse, book_course, hold_course
from services.scheduling.use_cases.holds import book_hold, release_hold


class CourseServicer:
    def __init__(self, db: Database, planners: Planners) -> None:
        self._db, self._planners = db, planners
        self._conflicts = Conflicts(db)

    async def PlanCourse(self, request: pb.PlanCourseRequest, call: Call) -> pb.PlanCourseResponse:
        return await plan_course(self._db, self._planners, request, call)

    async def BookCourse(self, request: pb.BookCourseRequest, call: Call) -> pb.BookCourseResponse:
        command = book_course_command(request)

        async def work(store: SchedulingStore) -> pb.BookCourseResponse:
            return pb.BookCourseResponse(course=_course(await book_course(store, command)))

        locks = command.contended_ids
        booked = self._db.once(call, request, pb.BookCourseResponse, SchedulingStore, work, locks=locks)
        return await self._conflicts.or_elsewhere(call, request, command, booked)

    async def HoldCourse(self, request: pb.HoldCourseRequest, call: Call) -> pb.HoldCourseResponse:
        command = hold_course_command(request)
        locks = command.contended_ids | {_holds_of(call)}

        async def work(store: SchedulingStore) -> pb.HoldCourseResponse:
            return pb.HoldCourseResponse(course=_course(await hold_course(store, command)))

        held = self._db.once(call, request, pb.HoldCourseResponse, SchedulingStore, work, locks=locks)
        return await self._conflicts.or_elsewhere(call, request, command, held)

    async def BookHold(self, request: pb.BookHoldRequest, call: Call) -> pb.BookHoldResponse:
        id = from_wire("course", request.course_id)

        async def work(store: SchedulingStore) -> pb.BookHoldResponse:
            return pb.BookHoldResponse(course=_course(await book_hold(store, id, reason=request.gate_reason)))

        booked = self._db.once(call, request, pb.BookHoldResponse, SchedulingStore, work)
        return await self._conflicts.or_elsewhere(call, request, partial(what_is_held, course_id=id), booked)

    async def ReleaseHold(self, request: pb.ReleaseHoldRequest, call: Call) -> pb.ReleaseHoldResponse:
        id = from_wire("course", request.course_id)

        async def work(store: SchedulingStore) -> pb.ReleaseHoldResponse:
            return pb.ReleaseHoldResponse(course=_course(await release_hold(store, id)))

        return await self._db.once(call, request, pb.ReleaseHoldResponse, SchedulingStore, work)

    async def GetCourse(self, request: pb.GetCourseRequest, call: Call) -> pb.GetCourseResponse:
        id = from_wire("course", request.course_id)
        course = await self._db.read(call, request, SchedulingStore, lambda store: store.course(id))
        return pb.GetCourseResponse(course=_course(course))

    async def ListCourses(self, request: pb.ListCoursesRequest, call: Call) -> pb.ListCoursesResponse:
        site_id = _id("site", request.site_id)
        patient_id = _id("patient", request.patient_id) or call.patient_id
        page = Page.of(request, call)
        found = await self._db.read(
            call, request, SchedulingStore, lambda store: store.courses(site_id, patient_id, page)
        )
        courses, token = page.cut(found, key=lambda course: [str(course.id)])
        return pb.ListCoursesResponse(courses=map(_course, courses), next_page_token=token)


def book_course_command(request: pb.BookCourseRequest) -> BookCourse:
    return BookCourse(**_asked(request))


def hold_course_command(request: pb.HoldCourseRequest) -> HoldCourse:
    return HoldCourse(**_asked(request), minutes=request.hold_minutes or HOLD_MINUTES)


def _asked(request: pb.BookCourseRequest | pb.HoldCourseRequest) -> dict[str, Any]:
    return {
        "site_id": from_wire("site", request.site_id),
        "patient_id": from_wire("patient", request.patient_id),
        "protocol_version_id": from_wire("protocolversion", request.protocol_version_id),
        "route_code": request.route_code,
        "course_id": _id("course", request.course_id),
        "spacing_reason": request.spacing_reason,
        "visits": tuple(
            Choice(
                visit.phase_code,
                start_of_visit(visit.start_time, f"visits[{n}].start_time"),
                resources_from_wire(visit.resources),
            )
            for n, visit in enumerate(request.visits)
        ),
    }


def _holds_of(call: Call) -> UUID:
    """What two holds of one caller reach for at once: how many they have."""
    return uuid5(call.chain_id, call.actor)


def _id(kind: str, wire: str) -> UUID | None:
    return from_wire(kind, wire) if wire else None


def _course(course: Course) -> pb.Course:
    wire = pb.Course(
        id=to_wire("course", course.id),
        site_id=to_wire("site", course.site_id),
        patient_id=to_wire("patient", course.patient_id),
        protocol_version_id=to_wire("protocolversion", course.protocol_version_id),
        route_code=course.route_code,
        visits=map(visit_to_wire, course.visits),
        paused=course.paused,
        progress=_progress(progress_of(course.visits)),
    )
    if course.booked_at:
        wire.book_time.CopyFrom(to_timestamp(course.booked_at))
    if course.hold_until:
        wire.hold_expire_time.CopyFrom(to_timestamp(course.hold_until))
    return wire


def _progress(progress: Progress) -> pb.CourseProgress:
    return pb.CourseProgress(
        completed_visit_count=progress.completed,
        remaining_visit_count=progress.remaining,
        cancelled_visit_count=progress.cancelled,
        missed_visit_count=progress.missed,
        next_visit_id=to_wire("visit", progress.next.id) if progress.next else "",
        next_visit_time=to_timestamp(progress.next.slot.start) if progress.next else None,
    )
