"""Estimates: on request, of a booked course, and again when a missing price was published."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from chassis.ids import new_id
from services.billing import events
from services.billing.domain.estimates import (
    Estimate,
    Trigger,
    due,
    lines_of,
    refuse_past,
    refuse_unpriced,
    trigger_of_booking,
    with_more,
)
from services.billing.domain.prices import PriceBook, VisitKind, since
from services.billing.domain.sites import Course, Site
from services.billing.store import BillingStore


@dataclass(frozen=True, slots=True)
class PlannedVisit:
    kind: VisitKind
    start: datetime


@dataclass(frozen=True, slots=True)
class CreateEstimate:
    site_id: UUID
    patient_id: UUID
    visits: tuple[PlannedVisit, ...]


@dataclass(frozen=True, slots=True)
class BookedVisit:
    id: UUID
    kind: VisitKind
    start: datetime


async def create_estimate(store: BillingStore, command: CreateEstimate) -> Estimate:
    now = store.call.now
    kinds, starts = [visit.kind for visit in command.visits], [visit.start for visit in command.visits]
    refuse_past(starts, now)
    site = await store.site(command.site_id)
    patient_id = (await store.patient(command.patient_id)).end
    asked = Estimate(
        id=new_id(),
        site_id=site.id,
        patient_id=patient_id,
        course_id=None,
        version=1,
        trigger=Trigger.REQUEST,
        service_date=site.day(min(starts)),
        lines=lines_of(kinds, {}),
        created_at=now,
        due_at=due(Trigger.REQUEST, site.day(now), site.zone, site.calendar),
    )
    estimate = asked.priced_by(since(await store.published(site.id), site.day(now), now))
    refuse_unpriced(kinds, estimate)
    await _add(store, estimate)
    return estimate


async def open_course(store: BillingStore, course: Course, visits: Sequence[BookedVisit]) -> None:
    """Pins the price book in force when the course was booked, and estimates the course by it; a course that is known
    already, and has visits that are not, with these added to what it had."""
    await store.lock([course.site_id])
    site = await store.site(course.site_id)
    names = await store.visit_types(course.protocol_version_id)
    if not await store.keep_course(course, {visit.id: visit.start for visit in visits}):
        new_ids = await store.keep_visits(course, {visit.id: visit.start for visit in visits})
        visits = [visit for visit in visits if visit.id in new_ids]
    if not visits:
        return
    before = await store.latest_estimate(course.id)
    booked_day, service_date = site.day(course.booked_at), site.day(min(visit.start for visit in visits))
    trigger = trigger_of_booking(booked_day, service_date, site.calendar)
    booked = Estimate(
        id=new_id(),
        site_id=site.id,
        patient_id=(await store.whole(course.patient_id)).end,
        course_id=course.id,
        version=before.version + 1 if before else 1,
        trigger=trigger,
        service_date=service_date,
        lines=with_more(before.lines if before else (), lines_of([visit.kind for visit in visits], names)),
        created_at=store.call.now,
        due_at=due(trigger, booked_day, site.zone, site.calendar),
    )
    pinned = await store.course(course.id)  # As it was first booked.
    await _add(store, booked.priced_by(await books_of(store, site, pinned)))


async def price_again(store: BillingStore, site: Site, estimate: Estimate) -> None:
    """The next version of a course's estimate, if there are prices now that were missing."""
    assert estimate.course_id
    course = await store.course(estimate.course_id)
    better = estimate.priced_by(await books_of(store, site, course))
    if better != estimate:
        patient_id, now = (await store.whole(course.patient_id)).end, store.call.now
        new = replace(better, id=new_id(), patient_id=patient_id, version=estimate.version + 1, created_at=now)
        await _add(store, new)


async def books_of(store: BillingStore, site: Site, course: Course) -> Sequence[PriceBook]:
    """What prices a course: the price book that it is pinned to (it is now, if it was not), and later ones."""
    if books := await store.pinned(site.id, course.id):
        return books
    books_since = since(await store.published(site.id), site.day(course.booked_at), course.booked_at)
    if books_since:
        await store.pin(course.id, books_since[0])
    return books_since


async def _add(store: BillingStore, estimate: Estimate) -> None:
    """One that lacks a price is kept and shown, and not issued."""
    await store.add_estimate(estimate)
    if estimate.total is not None:
        store.emit(events.estimate_issued(estimate), about=estimate.course_id or estimate.id)
