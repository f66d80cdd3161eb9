"""What scheduling can do: a command and a function for each change. Each runs in one transaction its caller opened.

Courses and holds have modules of their own.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.auth import AccessDenied
from chassis.errors import Violation
from chassis.etags import StaleEtag
from chassis.ids import new_id, to_wire
from chassis.pages import Page
from chassis.store import Event
from services.scheduling import events
from services.scheduling.domain.capabilities import (
    Named,
    check_known,
    named_beyond,
    named_by_resource,
    named_by_template,
    unknown_faults,
)
from services.scheduling.domain.closures import BROKEN_MAX, Closed, Closure, ClosureKind
from services.scheduling.domain.consents import Consents
from services.scheduling.domain.courses import ProtocolNotAdopted, check_still_cleared
from services.scheduling.domain.gates import (
    GateRecord,
    GateState,
    check_recordable,
    let_through,
    observation_served,
    record_of_signs,
    states_of,
)
from services.scheduling.domain.hours import Off, span_of
from services.scheduling.domain.narrowing import check_narrows
from services.scheduling.domain.offers import Surroundings
from services.scheduling.domain.protocols import (
    Adoption,
    Draft,
    Gate,
    GateEffect,
    GateKind,
    GateStage,
    ProtocolVersion,
    ProtocolVersionRetired,
    Retirement,
    Template,
)
from services.scheduling.domain.resources import LanesAllocated, Resource, ResourceKind, ResourceNotFound, at_home
from services.scheduling.domain.sites import Chain, LegalEntity, Site
from services.scheduling.domain.staff_calendars import ResourceNotStaff
from services.scheduling.domain.tasks import Merge, Task, TaskKind, meanwhile
from services.scheduling.domain.visits import CancellationReason, SegmentMinutes, Status, Visit
from services.scheduling.domain.vitals import Vitals
from services.scheduling.store import SchedulingStore
from services.scheduling.store.gates import KnownGates
from services.scheduling.store.visits import VisitToChange
from services.scheduling.use_cases import deaths


async def register_chain(store: SchedulingStore, chain: Chain) -> None:
    await store.add_chain(chain)
    store.emit(events.chain_registered(chain), about=chain.id, version=1)


async def register_legal_entity(store: SchedulingStore, entity: LegalEntity) -> None:
    await store.add_legal_entity(entity)
    store.emit(events.legal_entity_registered(entity), about=entity.id, version=1)


async def register_site(store: SchedulingStore, site: Site) -> None:
    site.check()
    await store.add_site(site)
    store.emit(events.site_registered(site), about=site.id, version=1)


async def register_resource(store: SchedulingStore, resource: Resource) -> None:
    resource.check()
    await _check_capabilities(store, named_by_resource(resource))
    await store.add_resource(resource)
    store.emit(events.resource_registered(resource), about=resource.id, version=1)


async def _check_capabilities(store: SchedulingStore, named: Iterable[Named]) -> None:
    """Refused where the chain keeps a register and has not registered one."""
    named = list(named)
    check_known(named, await store.unknown_capabilities(code for _, code in named))


async def change_legal_entity(store: SchedulingStore, id: UUID, version: int, display_name: str) -> LegalEntity:
    found = await store.legal_entity(id)
    if found.version != version:
        raise StaleEtag()
    changed = replace(found, display_name=display_name, version=version + 1)
    await store.change_legal_entity(changed)
    store.emit(events.legal_entity_updated(changed), about=changed.id, version=changed.version)
    return changed


async def change_site(store: SchedulingStore, told: Site, fields: Collection[str]) -> Site:
    """`told` has the id, the version that was seen, and the fields."""
    found = await store.site(told.id)
    if found.version != told.version:
        raise StaleEtag()
    changed = replace(found, version=found.version + 1, **{name: getattr(told, name) for name in fields})
    changed.check("site.")
    await store.change_site(changed)
    store.emit(events.site_updated(changed), about=changed.id, version=changed.version)
    return changed


async def change_resource(store: SchedulingStore, told: Resource, fields: Collection[str]) -> Resource:
    """`told` has the id, the version that was seen, and the fields. With the resource's id locked nobody books it
    meanwhile, so that lanes which are free stay so."""
    found = await store.resource(told.id)
    if store.call.sites is not None and found.site_id not in store.call.sites:
        raise AccessDenied()
    if found.version != told.version:
        raise StaleEtag()
    changed = replace(found, version=found.version + 1, **{name: getattr(told, name) for name in fields})
    changed = replace(changed, shifts=at_home(changed.shifts, found.site_id))
    changed.check("resource.")
    if "capabilities" in fields:
        await _check_capabilities(store, named_by_resource(changed, "resource."))
    if changed.lane_count < found.lane_count and await store.has_taken_lanes(found.id, changed.lane_count):
        raise LanesAllocated(Violation("resource.lane_count", "LANES_ALLOCATED", LanesAllocated.message))
    await store.change_resource(changed)
    store.emit(events.resource_updated(changed), about=changed.id, version=changed.version)
    return changed


async def save_draft(store: SchedulingStore, protocol_id: UUID, template: Template, version: int) -> Draft:
    """`version` is the draft's as it was seen, 0 for the first."""
    draft = Draft(protocol_id, template, version + 1, store.call.now, store.call.actor)
    if not await store.save_draft(draft):
        await store.protocol(protocol_id)
        raise StaleEtag()
    return draft


async def discard_draft(store: SchedulingStore, protocol_id: UUID, version: int) -> None:
    if (await store.draft(protocol_id)).version != version or not await store.remove_draft(protocol_id, version):
        raise StaleEtag()


async def faults_of(store: SchedulingStore, template: Template) -> list[Violation]:
    """What keeps it from being published, all at once."""
    named = list(named_by_template(template))
    unknown = await store.unknown_capabilities(code for _, code in named)
    return [*template.faults(), *unknown_faults(named, unknown)]


async def check_publishable(store: SchedulingStore, template: Template) -> None:
    template.check()
    await _check_capabilities(store, named_by_template(template))


async def publish(
    store: SchedulingStore, protocol_id: UUID, template: Template | None, draft_version: int | None
) -> ProtocolVersion:
    """The draft where no template is given, which is gone then; only the one seen, where its version is given.

    With the protocol's id locked, two versions never get the same number; else the unique key refuses the second.
    """
    protocol = await store.protocol(protocol_id)
    if template is None:
        draft = await store.draft(protocol_id)
        if draft_version not in (None, draft.version) or not await store.remove_draft(protocol_id, draft.version):
            raise StaleEtag()
        template = draft.template
    await check_publishable(store, template)
    version = ProtocolVersion(new_id(), protocol.id, protocol.latest_version + 1, template, store.call.now)
    await store.add_version(version)
    store.emit(events.protocol_version_published(protocol, version), about=protocol.id, version=version.version)
    return version


async def retire(store: SchedulingStore, version_id: UUID, reason: str) -> tuple[ProtocolVersion, Retirement]:
    version, retirement = await store.version(version_id), Retirement(store.call.now, reason)
    if not await store.retire(version_id, retirement):
        raise ProtocolVersionRetired(protocol_version_id=to_wire("protocolversion", version_id))
    store.emit(events.protocol_version_retired(version), about=version.id)
    return version, retirement


async def adopt(store: SchedulingStore, site_id: UUID, version_id: UUID, narrowed: Template | None) -> Adoption:
    """As it is from now on. Adopted in the same form before: nothing changes."""
    version = await store.version(version_id)
    if await store.retirement(version_id):
        raise ProtocolVersionRetired(protocol_version_id=to_wire("protocolversion", version_id))
    if narrowed:
        check_narrows(version.template, narrowed)
        await _check_capabilities(store, named_beyond(version.template, narrowed))
    adoption, changed = await store.adopt(Adoption(site_id, version_id, store.call.now, narrowed))
    if changed:
        store.emit(events.protocol_version_adopted(adoption), about=version_id)
    return adoption


async def end_adoption(store: SchedulingStore, site_id: UUID, version_id: UUID) -> None:
    if not await store.end_adoption(site_id, version_id):
        ids = {"site_id": to_wire("site", site_id), "protocol_version_id": to_wire("protocolversion", version_id)}
        raise ProtocolNotAdopted(**ids)
    store.emit(events.protocol_version_adoption_ended(site_id, version_id), about=version_id)


async def confirm_visit(store: SchedulingStore, visit_id: UUID) -> Visit:
    found = await store.visit_to_change(visit_id)
    _check_own(store, found.visit)
    changed = found.visit.moved_to(Status.CONFIRMED)
    return _told(store, found, changed, events.visit_confirmed(changed))


def _check_own(store: SchedulingStore, visit: Visit) -> None:
    """A patient changes their own visit until it starts."""
    if store.call.patient_id:
        visit.check_not_started(store.call.now)


async def confirm_by_event(store: SchedulingStore, visit_id: UUID) -> None:
    """The patient answered that they will come. A visit that is confirmed, over, off or begun stays as it is."""
    found = await store.visit_to_change(visit_id)
    if found.visit.status is not Status.BOOKED or found.visit.slot.start <= store.call.now:
        return
    changed, version = found.visit.moved_to(Status.CONFIRMED), found.course_version + 1
    store.change_visit(changed, version)
    store.emit(events.visit_confirmed(changed), about=changed.course_id, version=version)


async def ask_to_move(store: SchedulingStore, visit_id: UUID) -> None:
    """A task for the site's front desk, unless one is open or the visit is over, off or begun."""
    visit = await store.visit(visit_id)
    if visit.status not in (Status.BOOKED, Status.CONFIRMED) or visit.slot.start <= store.call.now:
        return
    task = Task(
        id=new_id(),
        site_id=visit.site_id,
        kind=TaskKind.VISIT_TO_MOVE,
        patient_id=visit.patient_id,
        merged_patient_id=None,
        merge_version=None,
        visit_ids=(visit.id,),
        created_at=store.call.now,
    )
    await store.add_task(task)


async def settle_deposit(store: SchedulingStore, course_id: UUID, site_id: UUID, patient_id: UUID) -> None:
    """A task for the site's front desk, unless one is open: the patient has money there for a course that will not take
    place."""
    task = Task(
        id=new_id(),
        site_id=site_id,
        kind=TaskKind.DEPOSIT_TO_SETTLE,
        patient_id=patient_id,
        merged_patient_id=None,
        merge_version=None,
        visit_ids=(),
        created_at=store.call.now,
        course_id=course_id,
    )
    await store.add_task(task)


async def check_in_visit(store: SchedulingStore, visit_id: UUID, reason: str) -> tuple[Visit, list[GateState]]:
    """With the gates that are not passed and let the visit go on, for the reason given where they ask for one."""
    found = await store.visit_to_change(visit_id)
    changed = found.visit.checked_in(store.call.now)
    known = await store.known_gates(visit_id)
    await _check_may_begin(store, found, known)
    unpassed = await _through_gates(store, found, known, GateStage.CHECK_IN, reason)
    return _told(store, found, changed, events.visit_checked_in(changed)), unpassed


async def advance_visit(store: SchedulingStore, visit_id: UUID, status: Status) -> Visit:
    """Into treatment or observation, of which nobody else needs to know."""
    found = await store.visit_to_change(visit_id)
    changed = found.visit.moved_to(status)
    if status is Status.IN_TREATMENT:
        await _check_may_begin(store, found, await store.known_gates(visit_id))
    store.change_visit(changed, found.course_version)
    return changed


async def _check_may_begin(store: SchedulingStore, found: VisitToChange, known: KnownGates) -> None:
    """What it was booked with may be gone since: treatment may be paused, and a clearance revoked."""
    known.check_not_paused(found.visit)
    visit, template = found.visit, await _template(store, found, known)
    if not template.needs_clearance(visit.phase_code, visit.visit_type_code):
        return
    protocol_id = (await store.version(found.protocol_version_id)).protocol_id
    clearances, zone = await store.clearances(visit, protocol_id)
    day = visit.slot.start.astimezone(zone).date()
    check_still_cleared(clearances, template.visit_type(visit.visit_type_code), found.course_route_code, day)


async def complete_visit(
    store: SchedulingStore, visit_id: UUID, given: SegmentMinutes, reason: str
) -> tuple[Visit, list[GateState]]:
    """With the minutes given or, without any, those between the recorded instants; gates as at check-in."""
    found, now = await store.visit_to_change(visit_id), store.call.now
    known = await store.known_gates(visit_id)
    visit_type = (await _template(store, found, known)).visit_type(found.visit.visit_type_code)
    changes = await store.status_changes(visit_id)
    changed = found.visit.completed(visit_type, changes, given, now)
    served = GateRecord(observation_served(visit_type, changed.segment_minutes), now, store.call.actor)
    known = replace(known, records={**known.records, GateKind.OBSERVATION_SERVED: served})
    unpassed = await _through_gates(store, found, known, GateStage.DISCHARGE, reason)
    began = next(change.at for change in changes if change.status is Status.CHECKED_IN)
    event = events.visit_completed(changed, visit_type, found.protocol_version_id, began, now)
    return _told(store, found, changed, event), unpassed


async def _template(store: SchedulingStore, found: VisitToChange, known: KnownGates) -> Template:
    return known.narrowed or (await store.version(found.protocol_version_id)).template


async def _through_gates(
    store: SchedulingStore, found: VisitToChange, known: KnownGates, stage: GateStage, reason: str
) -> list[GateState]:
    gates = (await _template(store, found, known)).gates_of(found.visit.visit_type_code, known.day)
    looked_at = [gate for gate in gates if gate.stage is stage]
    consents, vitals = await _followed(store, found.visit, looked_at)
    unpassed = let_through(states_of(looked_at, known.records, known.overrides, consents, vitals), stage, reason)
    if signs := vitals and vitals.found(stage):
        await store.record_gate(found.visit, GateKind.VITALS, record_of_signs(signs))
    if asking := [each for each in unpassed if each.gate.effect is GateEffect.ALLOW_WITH_REASON]:
        await store.override_gates(found.visit, asking, reason)
    return unpassed


async def _followed(
    store: SchedulingStore, visit: Visit, gates: Sequence[Gate]
) -> tuple[Consents | None, Vitals | None]:
    """What patients told that the gates follow."""
    consents = await store.consents_of(gates, visit.site_id, visit.patient_id, visit.slot.start)
    return consents, await store.vitals_of(gates, visit.id)


async def record_gate(store: SchedulingStore, visit_id: UUID, kind: GateKind, *, passed: bool) -> list[GateState]:
    """The visit's gates of this kind, as they stand then."""
    found = await store.visit_to_change(visit_id)
    known = await store.known_gates(visit_id)
    gates = (await _template(store, found, known)).gates_of(found.visit.visit_type_code, known.day)
    same = [gate for gate in gates if gate.kind is kind]
    consents, vitals = await _followed(store, found.visit, same)
    check_recordable(gates, kind, consents, vitals)
    found.visit.check_not_over()
    record = GateRecord(passed, store.call.now, store.call.actor)
    await store.record_gate(found.visit, kind, record)
    return states_of(same, {kind: record}, known.overrides, vitals=vitals)


async def cancel_visit(store: SchedulingStore, visit_id: UUID, reason: CancellationReason) -> Visit:
    found = await store.visit_to_change(visit_id)
    _check_own(store, found.visit)
    if store.call.patient_id and reason is not CancellationReason.PATIENT:
        raise AccessDenied()
    changed = found.visit.cancelled(reason)
    return _told(store, found, changed, events.visit_cancelled(changed))


async def miss_visit(store: SchedulingStore, visit_id: UUID) -> Visit:
    found = await store.visit_to_change(visit_id)
    changed = found.visit.missed(store.call.now)
    return _told(store, found, changed, events.visit_missed(changed))


def _told(store: SchedulingStore, found: VisitToChange, changed: Visit, event: Event) -> Visit:
    """Keeps the change and tells of it, in the order of the course's other changes."""
    version = found.course_version + 1
    store.change_visit(changed, version)
    store.emit(event, about=changed.course_id, version=version)
    return changed


@dataclass(frozen=True, slots=True)
class KeepMerge:
    patient_id: UUID
    merged_patient_id: UUID
    merged: bool
    """Or taken back."""
    version: int
    at: datetime


async def keep_merge(store: SchedulingStore, command: KeepMerge) -> None:
    """Visits stand as they are. Those of the two that overlap are a task for a front desk, and so are those booked for
    the survivor while the merge lasted, once it is taken back."""
    survivor_id = command.patient_id if command.merged else None
    joined = await store.keep_alias(command.merged_patient_id, survivor_id, command.version)
    if joined:
        await deaths.settle_merge(store, joined, (command.patient_id, command.merged_patient_id))
    if joined and joined.ones:
        for site_ids, visit_ids in await store.overlaps(joined.ones, joined.others):
            for site_id in sorted(site_ids):
                visits = tuple(sorted(visit_ids))
                await store.add_task(_task(store, command, TaskKind.OVERLAPPING_VISITS, site_id, visits))
    if not await store.note_merge(command.merged_patient_id, command.version, Merge(survivor_id, command.at)):
        return
    stretch = meanwhile(await store.merges(command.merged_patient_id), command.version)
    if stretch:
        undone = replace(command, version=stretch.version, patient_id=stretch.survivor_id)
        survivors = await store.survivors(stretch.survivor_id)
        for site_id, visits in await store.booked_meanwhile(survivors, stretch):
            await store.add_task(_task(store, undone, TaskKind.VISITS_TO_ASSIGN, site_id, visits))


async def complete_task(store: SchedulingStore, id: UUID, version: int, note: str) -> Task:
    task = await store.task_to_change(id)
    done = task.completed(version, note, store.call.actor, store.call.now)
    store.complete_task(done)
    return done


def _task(
    store: SchedulingStore, left_by: KeepMerge, kind: TaskKind, site_id: UUID, visit_ids: tuple[UUID, ...]
) -> Task:
    return Task(
        id=new_id(),
        site_id=site_id,
        kind=kind,
        patient_id=left_by.patient_id,
        merged_patient_id=left_by.merged_patient_id,
        merge_version=left_by.version,
        visit_ids=visit_ids,
        created_at=store.call.now,
    )


async def zone_of_staff(store: SchedulingStore, resource_id: UUID) -> ZoneInfo:
    """Of their home site, which must be the caller's."""
    resource = await store.resource(resource_id)
    if store.call.sites is not None and resource.site_id not in store.call.sites:
        raise AccessDenied()
    if resource.kind is not ResourceKind.STAFF:
        raise ResourceNotStaff(Violation("resource_id", "RESOURCE_NOT_STAFF", ResourceNotStaff.message))
    return (await store.site(resource.site_id)).hours.zone


@dataclass(frozen=True, slots=True)
class Close:
    site_id: UUID
    resource_id: UUID | None
    time: Off


async def closed_by(store: SchedulingStore, command: Close) -> Closed:
    """What it closes; refused unless it is of the site and to come."""
    site = await store.site(command.site_id)
    if command.resource_id:
        resource = await store.resource(command.resource_id)
        if resource.site_id != site.id:
            raise ResourceNotFound(resource_id=to_wire("resource", resource.id))
    closed = Closed(site.id, command.resource_id, span_of(command.time, site.hours.zone))
    closed.check(store.call.now)
    return closed


async def close(store: SchedulingStore, command: Close, kind: ClosureKind) -> tuple[Closure, list[Visit]]:
    """And what it breaks. With whatever is closed locked, nobody books it meanwhile who did not see the closure."""
    closed = await closed_by(store, command)
    if not closed.resource_id:
        await store.lock(await store.ids_at_site(closed.site_id))
    closure = Closure(new_id(), closed, kind, store.call.now, store.call.actor)
    await store.add_closure(closure)
    store.emit(events.closure_created(closure), about=closure.id, version=closure.version)
    return closure, await store.broken(closed, BROKEN_MAX + 1)


async def cancel_closure(store: SchedulingStore, id: UUID, version: int) -> Closure:
    closure = await store.closure(id)
    if store.call.sites is not None and closure.closed.site_id not in store.call.sites:
        raise AccessDenied()
    cancelled = closure.cancelled(version, store.call.now)
    await store.cancel_closure(cancelled)
    store.emit(events.closure_cancelled(cancelled), about=cancelled.id, version=cancelled.version)
    return cancelled


async def open_tasks(store: SchedulingStore, closure_id: UUID) -> None:
    """One for each patient at each site, of the visits that the closure breaks there; none once it is cancelled."""
    closure = await store.closure(closure_id)
    if closure.cancelled_at:
        return
    broken, after = dict[tuple[UUID, UUID], list[UUID]](), None
    while visits := await store.broken(closure.closed, BROKEN_MAX, after):
        for visit in visits:
            broken.setdefault((visit.site_id, visit.patient_id), []).append(visit.id)
        after = [visits[-1].slot.start.isoformat(), str(visits[-1].id)]
    for (site_id, patient_id), visit_ids in broken.items():
        task = Task(
            id=new_id(),
            site_id=site_id,
            kind=TaskKind.BROKEN_VISITS,
            patient_id=patient_id,
            merged_patient_id=None,
            merge_version=None,
            visit_ids=tuple(visit_ids),
            created_at=store.call.now,
            closure_id=closure.id,
        )
        await store.add_task(task)


@dataclass(frozen=True, slots=True)
class BrokenVisit:
    """With what its offers are made from."""

    visit: Visit
    course: tuple[Visit, ...]
    template: Template
    around: Surroundings


async def broken_visits(store: SchedulingStore, closure_id: UUID, page: Page) -> list[BrokenVisit]:
    """One more than the page has, which has no surroundings of its own."""
    closure = await store.closure(closure_id)
    closure.check_stands()
    found = []
    for visit in await store.broken(closure.closed, page.limit, page.after):
        course, version_id = await store.course_of(visit)
        around, template = await store.surroundings(visit, await store.version(version_id))
        found.append(BrokenVisit(visit, tuple(course), template, around))
    store.saw(*(each.visit.patient_id for each in found[: page.size]))
    return found
