"""Booking and holding visits of a course: the order of steps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from chassis.auth import AccessDenied
from chassis.ids import new_id
from services.scheduling import events
from services.scheduling.domain.courses import (
    Choice,
    Course,
    Layout,
    Taken,
    Terms,
    check_course_is,
    laid_out,
)
from services.scheduling.domain.holds import check_share
from services.scheduling.domain.protocols import ProtocolVersion
from services.scheduling.domain.visits import Status, Visit
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases.booking_gates import check_booking_gates
from services.scheduling.use_cases.holds import end_if_over

CLINICIAN = "CLINICIAN"
"""The role of those who may say that other gaps do no harm."""


@dataclass(frozen=True, slots=True)
class BookCourse:
    site_id: UUID
    patient_id: UUID
    protocol_version_id: UUID
    route_code: str
    visits: tuple[Choice, ...]
    course_id: UUID | None = None
    """None: a new one."""
    spacing_reason: str = ""
    """Why a clinician books where the spacing does not allow it."""

    @property
    def resource_ids(self) -> set[UUID]:
        return {id for visit in self.visits for _, id in visit.resources}

    @property
    def contended_ids(self) -> set[UUID]:
        """What two bookings may not reach for at once."""
        return self.resource_ids | {self.patient_id}

    @property
    def held_ids(self) -> frozenset[UUID]:
        """Of visits that are these already, and so are in their way no more than nothing."""
        return frozenset()

    def layouts(self, terms: Terms) -> list[Layout]:
        return terms.layouts(self.visits)


@dataclass(frozen=True, slots=True)
class HoldCourse(BookCourse):
    minutes: int = 0


@dataclass(frozen=True, slots=True)
class BookHeld(BookCourse):
    """What a course holds, as it would be asked for anew."""

    held: tuple[Visit, ...] = ()

    @property
    def held_ids(self) -> frozenset[UUID]:
        return frozenset(visit.id for visit in self.held)

    def layouts(self, terms: Terms) -> list[Layout]:
        return terms.layouts_of(self.held)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, read under its locks and laid out: it keeps every rule but the gates, and may be taken yet."""

    version: ProtocolVersion
    terms: Terms
    course: Course
    layouts: list[Layout]
    out_of_spacing: frozenset[int] = frozenset()
    """Which of the visits a clinician books though it does not allow them."""

    def reasons(self, command: BookCourse) -> list[str]:
        return [command.spacing_reason if i in self.out_of_spacing else "" for i in range(len(self.layouts))]


async def asked(store: SchedulingStore, command: BookCourse) -> Asked:
    overrides = bool(command.spacing_reason)
    if overrides and CLINICIAN not in store.call.roles:
        raise AccessDenied()
    version, terms, course = await _wanted(store, command)
    standing = course.standing(store.call.now)
    terms = await with_leaving(store, terms, standing)
    layouts = terms.lay_out(command.route_code, command.visits, store.call.now, standing, spaced=not overrides)
    return Asked(version, terms, course, layouts, terms.out_of_spacing(layouts, standing) if overrides else frozenset())


async def with_leaving(store: SchedulingStore, terms: Terms, standing: Sequence[Visit]) -> Terms:
    """Who of those that visits which stand have is to leave is read only where all visits must have the same."""
    keys = terms.template.same_keys
    ids = {id for visit in standing for key, id in visit.resources if key in keys}
    return replace(terms, leaving=await store.leaving(ids)) if ids else terms


async def book_course(store: SchedulingStore, command: BookCourse) -> Course:
    """Books every visit or none. For a merged patient it books for the survivor.

    With `contended_ids` locked, what is read as free stays free until the commit. Should a caller forget the locks,
    the exclusion constraints still refuse a second booking; but then without naming the visits.
    """
    found = await asked(store, command)
    await _check_own(store, command, found)
    found.terms.check_gates(command.route_code, found.layouts)
    await check_booking_gates(store, found.terms, found.course, found.layouts)
    return with_visits(*await book(store, command, found))


async def book(store: SchedulingStore, command: BookCourse, found: Asked) -> tuple[Course, tuple[Visit, ...]]:
    """The course and its new visits, unless something is taken."""
    course = replace(found.course, booked_at=found.course.booked_at or store.call.now)
    placed = await placed_among(store, found.terms, command.visits, found.layouts)
    new = laid_out(course, found.layouts, [new_id() for _ in found.layouts], Status.BOOKED)
    store.add_visits(course, new, placed, None, found.reasons(command))
    store.emit(events.course_booked(course, new, found.version.protocol_id), about=course.id, version=course.version)
    return course, new


async def hold_course(store: SchedulingStore, command: HoldCourse) -> Course:
    """Keeps every visit free or none, as `book_course` books them; what a visit must have it may have later.

    Not so for patients who call for themselves: they pay next, and learn now what booking would refuse.
    """
    found = await asked(store, command)
    await _check_own(store, command, found)
    if store.call.patient_id is not None:
        found.terms.check_gates(command.route_code, found.layouts)
    (await store.held(found.terms)).check_one_more()
    until = store.call.now + timedelta(minutes=command.minutes)
    return with_visits(*await hold(store, command, found, replace(found.course, hold_until=until)))


async def hold(
    store: SchedulingStore, command: BookCourse, found: Asked, course: Course
) -> tuple[Course, tuple[Visit, ...]]:
    """The course as it holds them and its new visits, unless something is taken or too much is held. What is offered is
    one visit, whose id the course names already."""
    placed = await placed_among(store, found.terms, command.visits, found.layouts)
    check_share(found.terms, placed, await store.held_on_days(found.terms, placed))
    ids = [course.offer_id] if course.offer_id else [new_id() for _ in found.layouts]
    new = laid_out(course, found.layouts, ids, Status.HELD)
    store.add_visits(course, new, placed, course.hold_until, found.reasons(command))
    store.emit(events.course_held(course, new, found.version.protocol_id), about=course.id, version=course.version)
    return course, new


async def _check_own(store: SchedulingStore, command: BookCourse, found: Asked) -> None:
    """Patients who call for themselves may not keep as much as somebody at a desk may keep for them. A course of which
    nothing stands is one more, whether it is there or not."""
    if store.call.patient_id is None:
        return
    own = await store.own_bookings(found.terms)
    if not found.course.standing(store.call.now):
        own.check_one_more_course()
    if isinstance(command, HoldCourse):
        own.check_one_more_hold(command.minutes)


async def _wanted(store: SchedulingStore, command: BookCourse) -> tuple[ProtocolVersion, Terms, Course]:
    """What the visits are booked by, and the course that they go into, in the version that it will have then."""
    version = await store.version(command.protocol_version_id)
    terms = await store.locked_terms(
        command.site_id, version, command.patient_id, command.resource_ids, course_id=command.course_id
    )
    if command.course_id is None:
        return version, terms, new_course(command, terms, version.id)
    course = await end_if_over(store, await store.course_to_change(command.course_id))
    check_course_is(course, command.site_id, terms.patient_ids, version.id, command.route_code)
    return version, terms, replace(course, version=course.version + 1)


def new_course(command: BookCourse, terms: Terms, version_id: UUID) -> Course:
    return Course(
        id=new_id(),
        site_id=command.site_id,
        patient_id=terms.patient_id,
        protocol_version_id=version_id,
        route_code=command.route_code,
        booked_at=None,
        visits=(),
    )


async def placed_among(
    store: SchedulingStore, terms: Terms, choices: Sequence[Choice], layouts: Sequence[Layout]
) -> list[list[Taken]]:
    """What each visit takes. Whatever is in the way of holds that have ended is cleared away first."""
    taken = await store.taken(terms, layouts)
    if ended := {each.ended_hold_of for each in taken if each.ended_hold_of}:
        await store.clear_away(ended)
        taken = [each for each in taken if not each.ended_hold_of]
    return terms.place(terms.patient_id, choices, layouts, taken)


def with_visits(course: Course, new: Sequence[Visit]) -> Course:
    return replace(course, visits=tuple(sorted([*course.visits, *new], key=lambda visit: (visit.slot.start, visit.id))))
