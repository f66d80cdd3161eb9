"""Booking visits beside the phases of a course: one, or one every so many weeks."""

from dataclasses import dataclass, replace
from uuid import UUID

from chassis.errors import Violation
from services.scheduling.domain.courses import Choice, Course, Layout, RouteUnknown, Terms, check_course_is
from services.scheduling.domain.series import Series
from services.scheduling.domain.visits import Visit
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases.booking_gates import check_booking_gates
from services.scheduling.use_cases.courses import Asked, BookCourse, book, new_course
from services.scheduling.use_cases.holds import end_if_over


@dataclass(frozen=True, slots=True)
class BookVisits(BookCourse):
    """`visits` have no phase."""

    visit_type_code: str = ""

    def layouts(self, terms: Terms) -> list[Layout]:
        return terms.layouts_beside(self.visit_type_code, self.visits)


async def in_series(
    store: SchedulingStore, command: BookVisits, series: Series, resources: tuple[tuple[str, UUID], ...]
) -> BookVisits:
    """With its visits, of which `command` names none: when they are follows from the site's hours."""
    version = await store.version(command.protocol_version_id)
    terms = await store.terms(command.site_id, version, command.patient_id, set(), course_id=command.course_id)
    [like] = terms.layouts_beside(command.visit_type_code, [Choice("", store.call.now, ())])
    starts = series.starts(terms.site, like.type.length)
    return replace(command, visits=tuple(Choice("", each, resources) for each in starts))


async def book_visits(store: SchedulingStore, command: BookVisits) -> tuple[Visit, ...]:
    """All or none, in order of time."""
    found = await asked_beside(store, command)
    found.terms.check_gates(found.course.route_code, found.layouts)
    await check_booking_gates(store, found.terms, found.course, found.layouts)
    _, new = await book(store, command, found)
    return new


async def asked_beside(store: SchedulingStore, command: BookVisits) -> Asked:
    version = await store.version(command.protocol_version_id)
    terms = await store.locked_terms(
        command.site_id, version, command.patient_id, command.resource_ids, course_id=command.course_id
    )
    layouts = command.layouts(terms)
    course = await _course(store, command, terms, version.id)
    check_route(terms, course, layouts[0])
    terms.lay_out_beside(layouts, command.visits, store.call.now)
    return Asked(version, terms, course, layouts)


async def _course(store: SchedulingStore, command: BookVisits, terms: Terms, version_id: UUID) -> Course:
    if command.course_id is None:
        return new_course(command, terms, version_id)
    course = await end_if_over(store, await store.course_to_change(command.course_id))
    check_course_is(course, command.site_id, terms.patient_ids, version_id, command.route_code or None)
    return replace(course, version=course.version + 1)


def check_route(terms: Terms, course: Course, layout: Layout) -> None:
    """A course of its own has a route if its visits administer, and only then."""
    if layout.type.administers:
        terms.check_route(course.route_code)
    elif course.version == 1 and course.route_code:
        text = "visits that administer nothing have no route"
        raise RouteUnknown(Violation("route_code", "ROUTE_NOT_NEEDED", text))
