"""Waitlists: joining and leaving, looking for whom a time fits, offering it, and what becomes of the offer."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from chassis.errors import TryAgain
from chassis.ids import new_id
from services.scheduling import events
from services.scheduling.domain.courses import (
    Choice,
    ClearanceMissing,
    Course,
    CourseMismatch,
    CoursePaused,
    GatePending,
    OutsideHours,
    PatientAnonymised,
    PatientDeceased,
    ProtocolNotAdopted,
    Terms,
    VisitInPast,
    VisitsConflict,
    check_course_is,
    refuse,
)
from services.scheduling.domain.gates import GatesNotPassed
from services.scheduling.domain.holds import HoldOver
from services.scheduling.domain.hours import DAY, MINUTE
from services.scheduling.domain.planning import Opening, PlanPreferenceInvalid, taste_faults
from services.scheduling.domain.protocols import ProtocolVersionRetired
from services.scheduling.domain.resources import ResourceNotFound
from services.scheduling.domain.tasks import Task, TaskKind
from services.scheduling.domain.visits import Visit
from services.scheduling.domain.waitlist import (
    ENTRIES_OF_PATIENT_MAX,
    OFFERS_AT_SITE_MAX,
    EndReason,
    Entry,
    EntryStatus,
    Look,
    Offer,
    OfferOver,
    Outcome,
    WaitlistFull,
    accept_until,
)
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases.courses import BookCourse, asked, hold, new_course
from services.scheduling.use_cases.holds import book_hold, release_hold
from services.scheduling.use_cases.single import BookVisits, asked_beside, check_route

NO_MORE = (ProtocolNotAdopted, ProtocolVersionRetired, CourseMismatch, PatientAnonymised)
"""Refusals that last: who waits for it would wait in vain."""
NOT_NOW = (
    OfferOver,
    HoldOver,
    VisitInPast,
    ResourceNotFound,
    OutsideHours,
    VisitsConflict,
    PatientAnonymised,
    PatientDeceased,
    ClearanceMissing,
    GatePending,
    GatesNotPassed,
    CoursePaused,
)
"""What may keep an offer that a patient took by a link from being booked."""


async def join(store: SchedulingStore, told: Entry) -> Entry:
    """`told` has what was asked for. With the patient locked, nobody adds another entry of theirs meanwhile."""
    whole = await store.lock_whole(told.patient_id, locked=told.patient_id)
    terms, course = await _terms(store, told)
    entry = replace(told, patient_id=whole.end)
    entry.check_days(terms.today(store.call.now))
    refuse(PlanPreferenceInvalid, taste_faults(entry.tastes))
    _check_visit(store, entry, terms, course)
    if await store.entries_of(entry.patient_id) >= ENTRIES_OF_PATIENT_MAX:
        raise WaitlistFull(max=ENTRIES_OF_PATIENT_MAX)
    await store.join_waitlist(entry, entry.over_at(terms.site.zone))
    return entry


async def _terms(store: SchedulingStore, entry: Entry) -> tuple[Terms, Course | None]:
    version = await store.version(entry.protocol_version_id)
    terms = await store.terms(entry.site_id, version, entry.patient_id, set(), course_id=entry.course_id)
    if entry.course_id is None:
        return terms, None
    course = await store.course(entry.course_id)
    check_course_is(course, entry.site_id, terms.patient_ids, version.id, entry.route_code or None)
    return terms, course


def _check_visit(store: SchedulingStore, entry: Entry, terms: Terms, course: Course | None) -> None:
    """That it may be asked for at all; whether it fits is for each look."""
    if entry.phase_code:
        terms.check_route(entry.route_code)
        entry.check_phase(terms.template, course.standing(store.call.now) if course else ())
        return
    layout = entry.layout(terms, store.call.now)
    check_route(terms, course or new_course(_command(entry, ()), terms, entry.protocol_version_id), layout)


def _command(entry: Entry, visits: tuple[Choice, ...]) -> BookCourse:
    fields: dict[str, Any] = {
        "site_id": entry.site_id,
        "patient_id": entry.patient_id,
        "protocol_version_id": entry.protocol_version_id,
        "route_code": entry.route_code,
        "visits": visits,
        "course_id": entry.course_id,
    }
    return BookCourse(**fields) if entry.phase_code else BookVisits(**fields, visit_type_code=entry.visit_type_code)


async def leave(store: SchedulingStore, id: UUID) -> Entry:
    """An offer is given up with its hold, whose course is locked before the entry is."""
    seen = await store.entry(id)
    if seen.offer:
        try:
            await release_hold(store, seen.offer.course_id, seen.offer.id, Outcome.WITHDRAWN)
        except OfferOver as over:  # Since it was read.
            raise TryAgain() from over
        return seen.withdrawn()
    found = await store.entry_to_change(id)
    if found.offer:  # Since it was read.
        raise TryAgain()
    left = found.withdrawn()
    await store.end_entry(id, EndReason.WITHDRAWN)
    return left


async def accept(store: SchedulingStore, offer_id: UUID) -> tuple[Entry, Visit]:
    offer = await store.offer(offer_id)
    booked = await book_hold(store, offer.course_id, offer.id)
    return await store.entry(offer.entry_id), next(visit for visit in booked.visits if visit.id == offer.id)


async def decline(store: SchedulingStore, offer_id: UUID) -> Entry:
    offer = await store.offer(offer_id)
    await release_hold(store, offer.course_id, offer.id)
    return await store.entry(offer.entry_id)


async def accept_by_event(store: SchedulingStore, offer_id: UUID) -> None:
    """The patient took it by the link in a message. What cannot be booked is a task for the site's front desk."""
    try:
        await accept(store, offer_id)
    except NOT_NOW:
        offer = await store.offer(offer_id)
        if offer.outcome is Outcome.ACCEPTED:  # By telephone, or when this was heard before.
            return
        entry = await store.entry(offer.entry_id)
        task = Task(
            id=new_id(),
            site_id=entry.site_id,
            kind=TaskKind.OFFER_TO_SETTLE,
            patient_id=entry.patient_id,
            merged_patient_id=None,
            merge_version=None,
            visit_ids=(offer.id,),
            created_at=store.call.now,
        )
        await store.add_task(task)


async def look(store: SchedulingStore, entry_id: UUID) -> Look | None:
    """What is to be looked at for somebody who waits; None where nothing can be offered now. Who waits in vain is told
    so, once."""
    entry = await store.entry(entry_id)
    if entry.status is not EntryStatus.WAITING:
        return None
    try:
        terms, course = await _terms(store, entry)
    except NO_MORE:
        await store.end_entry(entry.id, EndReason.REFUSED)
        return None
    except PatientDeceased:  # Where that was said in error, they wait as before.
        return None
    now = store.call.now
    if entry.is_in_vain(terms.template, course.standing(now) if course else ()):
        await store.end_entry(entry.id, EndReason.REFUSED)
        return None
    reach = max(entry.days.first, terms.today(now)) - DAY, entry.days.last + 2 * DAY
    version = await store.version(entry.protocol_version_id)
    place = await store.place_of_days(entry.site_id, version, entry.patient_id, *reach, course_id=entry.course_id)
    return Look(entry, terms, place, course, await store.offered(entry.id), now)


async def offer(store: SchedulingStore, entry: Entry, opening: Opening) -> Offer | None:
    """Holds it for them; None where they wait no longer, or as much is offered at the site as may be.

    Takes the locks of a hold, and the site's: others count its offers after these. What is in the way since it was
    looked for is refused as a hold of it would be; gates are looked at again by whoever accepts.
    """
    command = _command(entry, (Choice(entry.phase_code, opening.slot.start, opening.resources),))
    await store.lock(command.contended_ids | {entry.site_id})
    found = await (asked_beside(store, command) if isinstance(command, BookVisits) else asked(store, command))
    if (await store.entry_to_change(entry.id)).status is not EntryStatus.WAITING:
        return None
    if await store.offers_open(entry.site_id) >= OFFERS_AT_SITE_MAX:
        return None
    (await store.held(found.terms)).check_patient()
    [layout] = found.layouts
    notice = max(entry.notice_minutes, layout.type.notice_minutes) * MINUTE
    until = accept_until(store.call.now, opening.slot.start, notice)
    course, [visit] = await hold(store, command, found, replace(found.course, hold_until=until, offer_id=new_id()))
    made = Offer(visit.id, entry.id, course.id, visit.slot, until)
    await store.add_offer(made, course.site_id, course.patient_id)
    store.emit(events.offer_made(course, visit, entry.id), about=course.id, version=course.version)
    return made
