"""How a hold ends: booked, given up, or by itself."""

from dataclasses import replace
from uuid import UUID

from chassis.ids import to_wire
from services.scheduling import events
from services.scheduling.domain.courses import Course, VisitInPast, choice_of, refuse, starts_before
from services.scheduling.domain.holds import HoldOver, check_hold
from services.scheduling.domain.visits import Status
from services.scheduling.domain.waitlist import OfferOver, Outcome
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases.booking_gates import pass_booking_gates


async def book_hold(store: SchedulingStore, course_id: UUID, offer_id: UUID | None = None, reason: str = "") -> Course:
    """Under the ids that it was held with, unless it was closed there or somebody got busy since. With `offer_id` only
    if that is what it holds; for the `reason`, where a gate of booking asks for one.

    Locks what the visits take and whose they are by now, as whoever books the same time would: either the hold is
    booked before, and they find that it does not end, or its time was theirs when it had ended.
    """
    seen = await store.course(course_id)
    resource_ids = {id for visit in seen.held_visits for _, id in visit.resources}
    await store.lock(resource_ids | {seen.patient_id})
    version = await store.version(seen.protocol_version_id)
    terms = await store.locked_terms(seen.site_id, version, seen.patient_id, resource_ids, held=True)
    course = await store.course_to_change(course_id)
    _check_holds(course, offer_id)
    held, now = course.held_visits, store.call.now
    present, busy = await store.still_held(held)
    check_hold(course, now, present)
    choices = [choice_of(visit) for visit in held]
    refuse(VisitInPast, starts_before(choices, now))
    layouts = terms.layouts_of(held)
    terms.check_open(choices, layouts)
    terms.check_not_busy(choices, layouts, busy)
    terms.check_gates(course.route_code, layouts)
    await pass_booking_gates(store, terms, course, layouts, reason)
    ids = {visit.id for visit in held}
    booked = replace(
        course,
        visits=tuple(visit.moved_to(Status.BOOKED) if visit.id in ids else visit for visit in course.visits),
        booked_at=course.booked_at or now,
        version=course.version + 1,
        hold_until=None,
        offer_id=None,
    )
    store.book_hold(booked, sorted(ids))
    new = [visit for visit in booked.visits if visit.id in ids]
    store.emit(events.course_booked(booked, new, version.protocol_id), about=course.id, version=booked.version)
    await _end_offer(store, course, Outcome.ACCEPTED)
    return booked


async def release_hold(
    store: SchedulingStore,
    course_id: UUID,
    offer_id: UUID | None = None,
    outcome: Outcome = Outcome.DECLINED,
) -> Course:
    """With `offer_id` only if that is what it holds. `outcome` is that of the offer, if it is one."""
    course = await store.course_to_change(course_id)
    _check_holds(course, offer_id)
    if course.hold_until is None:
        raise HoldOver(course_id=to_wire("course", course.id))
    ended = await _end(store, course)
    store.emit(events.course_hold_released(ended, course.held_visits), about=course.id, version=ended.version)
    await _end_offer(store, course, outcome)
    return ended


async def end_if_over(store: SchedulingStore, course: Course) -> Course:
    """Ends a hold that has run out; nothing otherwise."""
    if course.hold_until is None or store.call.now < course.hold_until:
        return course
    ended = await _end(store, course)
    store.emit(events.course_hold_expired(ended, course.held_visits), about=course.id, version=ended.version)
    await _end_offer(store, course, Outcome.EXPIRED)
    return ended


async def end_holds(store: SchedulingStore, limit: int) -> int:
    """Those of the chain that have run out, at most so many; how many it found."""
    ids = await store.ended_holds(limit)
    for id in ids:
        await end_if_over(store, await store.course_to_change(id))
    return len(ids)


async def _end(store: SchedulingStore, course: Course) -> Course:
    ids = {visit.id for visit in course.held_visits}
    ended = replace(
        course,
        visits=tuple(visit.moved_to(Status.EXPIRED) if visit.id in ids else visit for visit in course.visits),
        version=course.version + 1,
        hold_until=None,
        offer_id=None,
    )
    await store.end_hold(ended, sorted(ids))
    return ended


def _check_holds(course: Course, offer_id: UUID | None) -> None:
    """An offer may have ended, and the course hold something else, until its row was locked."""
    if offer_id and course.offer_id != offer_id:
        raise OfferOver(offer_id=to_wire("offer", offer_id))


async def _end_offer(store: SchedulingStore, course: Course, outcome: Outcome) -> None:
    """However its hold came to its end, by whichever RPC: who waited waits on, or is booked, or has left."""
    if course.offer_id:
        entry_id = await store.end_offer(course.offer_id, outcome)
        ended = events.offer_ended(course, course.offer_id, entry_id, outcome)
        store.emit(ended, about=course.id, version=course.version + 1)
