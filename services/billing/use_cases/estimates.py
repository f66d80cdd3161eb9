"""Estimates: on request, of a held or booked course, with each change of it, and when a missing price was published.

The site is locked, so that no change of a course and no price book misses the other.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from chassis.ids import new_id
from services.billing import events
from services.billing.domain.deadlines import (
    HOLD,
    Clock,
    Duty,
    Standing,
    clock_of_booking,
    clock_of_change,
    clock_of_more,
    clock_of_request,
    first_reachable,
    is_too_late,
    sooner,
    standing_of,
)
from services.billing.domain.disclaimers import LATEST
from services.billing.domain.estimates import (
    Content,
    Delivery,
    DeliveryMethod,
    Estimate,
    Line,
    Provider,
    are_of_one,
    check_acknowledgement,
    check_delivery,
    coded,
    first_of,
    last_covered,
    lines_of,
    refuse_past,
    refuse_too_long,
    refuse_unpriced,
)
from services.billing.domain.prices import PriceBook, VisitKind, since
from services.billing.domain.printing import Order, PrintedKind
from services.billing.domain.sites import BookedVisit, Course, Site, Staff, VisitStatus
from services.billing.printing.estimate import content_of
from services.billing.store import BillingStore


@dataclass(frozen=True, slots=True)
class PlannedVisit:
    kind: VisitKind
    start: datetime
    staff_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class CreateEstimate:
    site_id: UUID
    patient_id: UUID
    visits: tuple[PlannedVisit, ...]
    separate_items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordDelivery:
    estimate_id: UUID
    method: DeliveryMethod
    delivered_at: datetime | None
    message_id: UUID | None = None
    """Of the email that brought it."""


async def create_estimate(store: BillingStore, command: CreateEstimate) -> Estimate:
    now, visits = store.call.now, command.visits
    kinds, starts = [visit.kind for visit in visits], [visit.start for visit in visits]
    refuse_past(starts, now)
    site = await store.site(command.site_id)
    days = [site.day(start) for start in starts]
    refuse_too_long(days)
    staff = await store.staff({visit.staff_id for visit in visits if visit.staff_id})
    clock = clock_of_request(site.day(now), site)
    asked = Estimate(
        id=new_id(),
        site_id=site.id,
        patient_id=(await store.patient(command.patient_id)).end,
        course_id=None,
        version=1,
        trigger=clock.trigger,
        service_date=min(days),
        lines=await _coded(store, lines_of(kinds, days, {}, [visit.staff_id for visit in visits])),
        created_at=now,
        due_at=clock.due_at,
        last_date=max(days),
        content=_content(site, staff, command.separate_items),
    )
    priced = asked.priced_by(since(await store.published(site.id), site.day(now), now))
    refuse_unpriced(kinds, priced)
    estimate = priced.taxed_by(await store.all_tax_rules(site.id))
    await _add(store, site, estimate, clock, min(starts))
    return estimate


async def open_course(store: BillingStore, course: Course, visits: Sequence[BookedVisit], *, booked: bool) -> None:
    """Pins the price book in force when the course was first held or booked, and estimates the course by it; with each
    visit that is not known yet, anew. Booking what was held starts the clock of the law."""
    await store.lock([course.site_id])
    site = await store.site(course.site_id)
    await store.visit_types(course.protocol_version_id)  # Known, or the event waits.
    if await store.keep_course(course, visits, held=not booked):
        added = {visit.id for visit in visits}
    else:
        added = await store.keep_visits(course, visits, held=not booked)
    fresh = added | (await store.book_visits([visit.id for visit in visits]) if booked else set())
    if not fresh:
        return
    before = await store.duty(course.id)
    service_day = site.day(min(visit.start for visit in visits if visit.id in fresh))
    clock = await _clock(store, site, course, service_day, fresh) if booked else HOLD
    if added:
        await _revise(store, site, course.id, clock, service_day)
    elif before:
        clock = sooner(clock, before)
        await store.keep_duty(replace(before, clock=clock, act_by=clock.due_at or before.act_by))
        await _tell_clock(store, before, clock)


async def drop_visits(
    store: BillingStore, site_id: UUID, course_id: UUID, visit_ids: Sequence[UUID], status: VisitStatus
) -> None:
    """Visits that will not take place leave the estimate of their course; this waits until they are heard of. Those
    that were held only start no clock, and are never too late: nothing that was scheduled changes."""
    await store.lock([site_id])
    await store.course(course_id)
    await store.need_visits(visit_ids)
    dropped = await store.mark_visits(visit_ids, status)
    if not dropped:
        return
    site, now = await store.site(site_id), store.call.now
    left = await store.expected_visits(course_id)
    ahead = [visit.start for visit in left if visit.start > now]
    if not ahead:  # Nothing is left that an estimate could still come before.
        if not left:
            await store.close_duty(course_id)
            await _tell_withdrawn(store, course_id)
        return
    changed = [visit.start for visit in dropped if not visit.held]
    service_day = first_reachable(site.day(now), [site.day(start) for start in sorted(ahead) + sorted(changed)], site)
    unbooked = not changed or all(visit.held for visit in left)
    clock = HOLD if unbooked else clock_of_change(site.day(now), service_day, site)
    await _revise(store, site, course_id, clock, service_day if changed else None)


async def estimate_next(store: BillingStore, site: Site, course_id: UUID) -> None:
    """What comes after the 12 months of a course's estimate, once nothing that it covers is to come, unless it was
    estimated so before. The caller has locked the site."""
    before, now = await store.leaves_some(course_id), store.call.now
    visits = await store.expected_visits(course_id) if before else []
    if before is None or not visits:  # None where the visit that was completed is the only one, and not known.
        return
    first = _first_day(site, visits, now)
    if are_of_one(before, first):
        return
    clock = clock_of_change(site.day(now), first, site)
    made = await _next_version(store, site, course_id, clock, first)
    known = [each.lines for each in await store.valid_estimates(course_id)]
    if made and made[0].lines not in known:
        await _add(store, site, made[0], clock, made[1])


async def price_again(store: BillingStore, site: Site, estimate: Estimate) -> None:
    """The next version of a course's estimate, if there are prices now that were missing."""
    assert estimate.course_id
    course = await store.course(estimate.course_id)
    visits = await store.expected_visits(course.id)
    earlier = [visit.kind for visit in visits if site.day(visit.start) < estimate.service_date]
    better = estimate.priced_by(await books_of(store, site, course), earlier)
    if better == estimate:
        return
    better = better.taxed_by(await store.all_tax_rules(site.id))
    unpriced = {line.kind for line in estimate.lines if line.unit_price is None}
    first = min((visit.start for visit in visits[len(earlier) :] if visit.kind in unpriced), default=None)
    patient_id, now = (await store.whole(course.patient_id)).end, store.call.now
    new = replace(better, id=new_id(), patient_id=patient_id, version=estimate.version + 1, created_at=now)
    if first and await _has_measure(store, course.id, estimate.service_date):
        new = replace(new, too_late=is_too_late(site.day(now), site.day(first), site))
    await _add(store, site, new, Clock(new.trigger, new.due_at), first or now)


async def record_delivery(store: BillingStore, command: RecordDelivery) -> Estimate:
    """With the site locked: no version comes in between."""
    found = await store.estimate(command.estimate_id)
    await store.lock([found.site_id])
    duty = await store.duty(found.course_id or found.id)
    now = store.call.now
    check_delivery(found, command.delivered_at, now, duty.estimate_id if duty else found.id)
    delivery = Delivery(new_id(), command.method, command.delivered_at or now, store.call.actor, command.message_id)
    await store.add_delivery(found, delivery)
    delivered = await store.estimate(found.id)
    told = events.estimate_delivered(delivered, delivery)
    store.emit(told, about=found.course_id or found.id, version=found.version)
    await _settle(store, delivered, duty, [each for each in delivered.deliveries if each.id == delivery.id])
    return delivered


async def return_delivery(store: BillingStore, estimate_id: UUID, message_id: UUID, returned_at: datetime) -> None:
    """The email that brought it came back. With the site locked, as whoever delivers has."""
    found = await store.estimate(estimate_id)
    await store.lock([found.site_id])
    await store.add_return(found, message_id, returned_at)
    returned = await store.estimate(estimate_id)
    brought = [each for each in returned.deliveries if each.message_id == message_id]
    if brought:
        await _settle(store, returned, await store.duty(found.course_id or found.id), brought)


async def _settle(store: BillingStore, estimate: Estimate, duty: Duty | None, changed: Sequence[Delivery]) -> None:
    """What is still to do for it, by the deliveries that stand, and which of those that changed does not. Where nothing
    is left to estimate, nothing is to do."""
    for delivery in changed:
        if delivery.returned_at:
            told = events.estimate_delivery_returned(estimate, delivery)
            store.emit(told, about=estimate.course_id or estimate.id, version=estimate.version)
    if duty is None or duty.estimate_id != estimate.id:
        return
    if duty.closed_at and estimate.course_id and not await store.expected_visits(estimate.course_id):
        return
    closed_at = (duty.closed_at or store.call.now) if estimate.is_in_writing else None
    await store.keep_duty(replace(duty, standing=standing_of(estimate), closed_at=closed_at))


async def acknowledge(store: BillingStore, estimate_id: UUID) -> Estimate:
    found = await store.estimate(estimate_id)
    check_acknowledgement(found)
    await store.acknowledge(found)
    store.emit(events.estimate_acknowledged(found), about=found.course_id or found.id)
    return replace(found, acknowledged_at=store.call.now)


async def tell_overdue(store: BillingStore, limit: int) -> int:
    """Of those that are not with their patients in writing; how many it told of."""
    overdue = await store.newly_overdue(limit)
    for duty in overdue:
        store.emit(events.estimate_overdue(duty), about=duty.id)
    return len(overdue)


async def _clock(store: BillingStore, site: Site, course: Course, service_day: date, fresh: Collection[UUID]) -> Clock:
    """Visits are further ones where others of the course are booked, or took place; held ones do not count."""
    others = [visit for visit in await store.expected_visits(course.id) if visit.id not in fresh and not visit.held]
    return (clock_of_more if others else clock_of_booking)(site.day(course.booked_at), service_day, site)


async def _revise(store: BillingStore, site: Site, course_id: UUID, clock: Clock, service_day: date | None) -> None:
    if made := await _next_version(store, site, course_id, clock, service_day):
        await _add(store, site, made[0], clock, made[1])


async def _next_version(
    store: BillingStore, site: Site, course_id: UUID, clock: Clock, service_day: date | None
) -> tuple[Estimate, datetime] | None:
    """Of a course's estimate, over all visits that are expected within 12 months; once none of these is to come, over
    those of the 12 months after them. And when the next visit starts. `service_day` is the first that changed; None:
    nothing did that was scheduled."""
    course, now = await store.course(course_id), store.call.now
    names = await store.visit_types(course.protocol_version_id)
    visits = await store.expected_visits(course_id)
    if not all(visit.kind.visit_type_code for visit in visits):
        return None  # Booked before billing kept what each visit is: the estimate stays as it was.
    first = _first_day(site, visits, now)
    earlier = [visit.kind for visit in visits if site.day(visit.start) < first]
    covered = [visit for visit in visits[len(earlier) :] if site.day(visit.start) <= last_covered(first)]
    kinds, days = [visit.kind for visit in covered], [site.day(visit.start) for visit in covered]
    before = await store.latest_estimate(course_id)
    has_measure = before is not None and await _has_measure(store, course_id, first)
    separate = tuple(name for code, name in names.items() if code not in {kind.visit_type_code for kind in kinds})
    draft = Estimate(
        id=new_id(),
        site_id=site.id,
        patient_id=(await store.whole(course.patient_id)).end,
        course_id=course_id,
        version=before.version + 1 if before else 1,
        trigger=clock.trigger,
        service_date=first,
        lines=await _coded(store, lines_of(kinds, days, names)),
        created_at=now,
        due_at=clock.due_at,
        last_date=days[-1],
        beyond_count=len(visits) - len(earlier) - len(covered),
        too_late=bool(has_measure and service_day and is_too_late(site.day(now), service_day, site)),
        content=_content(site, (), separate),
    )
    ahead = [visit.start for visit in visits if visit.start > now]
    priced = draft.priced_by(await books_of(store, site, course), earlier)
    return priced.taxed_by(await store.all_tax_rules(site.id)), min(ahead, default=now)


def _first_day(site: Site, visits: Sequence[BookedVisit], now: datetime) -> date:
    """That the next version covers: the first of those of the next visit to come."""
    days = [site.day(visit.start) for visit in visits]
    ahead = (day for visit, day in zip(visits, days, strict=True) if visit.start > now and not visit.settled)
    return first_of(days, next(ahead, days[-1]))


async def _has_measure(store: BillingStore, course_id: UUID, first: date) -> bool:
    """Whether what a version changes that begins on that day was estimated before."""
    return any(are_of_one(each.service_date, first) for each in await store.valid_estimates(course_id))


async def books_of(store: BillingStore, site: Site, course: Course) -> Sequence[PriceBook]:
    """What prices a course: the price book that it is pinned to (it is now, if it was not), and later ones."""
    if books := await store.pinned(site.id, course.id):
        return books
    books_since = since(await store.published(site.id), site.day(course.booked_at), course.booked_at)
    if books_since:
        await store.pin(course.id, books_since[0])
    return books_since


async def _add(store: BillingStore, site: Site, estimate: Estimate, clock: Clock, act_by: datetime) -> None:
    """One that lacks a price is kept and shown, and not issued."""
    id = estimate.course_id or estimate.id
    now_due = sooner(clock, await store.duty(id))
    estimate = replace(estimate, trigger=now_due.trigger, due_at=now_due.due_at)
    await store.serve_chain()
    await store.add_estimate(estimate)
    await store.keep_duty(
        Duty(
            id=id,
            site_id=estimate.site_id,
            patient_id=estimate.patient_id,
            course_id=estimate.course_id,
            estimate_id=estimate.id,
            clock=now_due,
            standing=standing_of(estimate),
            act_by=now_due.due_at or act_by,
        )
    )
    if estimate.total is not None:
        await store.order_document(_order(estimate, site.day(estimate.created_at)))
        store.emit(events.estimate_issued(estimate), about=id, version=estimate.version)


async def _tell_clock(store: BillingStore, before: Duty, clock: Clock) -> None:
    """Of what was issued without a day, and is not with its patient in writing yet."""
    if before.closed_at or before.clock.due_at or clock.due_at is None or before.standing is Standing.UNPRICED:
        return
    found = await store.estimate(before.estimate_id)
    store.emit(events.estimate_clock_started(found, clock.due_at), about=before.id, version=found.version)


async def _tell_withdrawn(store: BillingStore, course_id: UUID) -> None:
    if latest := await store.latest_estimate(course_id):
        store.emit(events.estimate_withdrawn(latest), about=course_id, version=latest.version)


def _order(estimate: Estimate, day: date) -> Order:
    return Order(
        id=new_id(),
        kind=PrintedKind.ESTIMATE,
        subject_id=estimate.id,
        version=estimate.version,
        site_id=estimate.site_id,
        patient_id=estimate.patient_id,
        course_id=estimate.course_id,
        day=day,
        content=content_of(estimate, day),
        ordered_at=estimate.created_at,
    )


async def _coded(store: BillingStore, lines: Sequence[Line]) -> tuple[Line, ...]:
    return coded(lines, await store.service_codes_of_types({line.kind.visit_type_code for line in lines}))


def _content(site: Site, staff: Sequence[Staff], separate_items: Sequence[str]) -> Content:
    """The site as a facility, and the staff members by name. Each bills by way of the site's legal entity."""
    facility = Provider(site.id, site.display_name, "", site.npi, site.tin, site.state, site.address)
    persons = [
        replace(facility, id=p.id, display_name=p.display_name, credential=p.credential, npi=p.npi) for p in staff
    ]
    persons.sort(key=lambda each: (each.display_name, each.id))
    return Content((facility, *persons), tuple(separate_items), LATEST)
