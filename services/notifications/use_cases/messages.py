"""Messages: planned, withdrawn, and each step of sending."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from uuid import UUID

from services.notifications import events
from services.notifications.domain.cadence import Planned, plan_matter, plan_visit
from services.notifications.domain.hours import at
from services.notifications.domain.kinds import Anchor, MessageKind
from services.notifications.domain.matters import Matter
from services.notifications.domain.messages import WITHDRAWN_BECAUSE, Reason, Settled, Status
from services.notifications.domain.sending import NO_HOLD, NextChannel, Postpone, Retry, Settle, Step, Taken
from services.notifications.domain.visits import Visit, VisitStatus, instructions_of
from services.notifications.store import NotificationsStore

AHEAD = (Anchor.BOOKED, Anchor.MOVED, Anchor.START, Anchor.END)
"""What is said before a visit, and is not worth saying once it is off."""
HEARD = {
    VisitStatus.CANCELLED: Anchor.CANCELLED,
    VisitStatus.MISSED: Anchor.MISSED,
    VisitStatus.COMPLETED: Anchor.COMPLETED,
}
DUE_AT = time(10)
"""When, on the last day of a bill, its day counts as come: in the recipient's zone."""
OF_ESTIMATE = (MessageKind.ESTIMATE_READY, MessageKind.ESTIMATE_DUE)


@dataclass(frozen=True, slots=True)
class PlanVisits:
    site_id: UUID
    patient_id: UUID
    event_id: UUID
    protocol_version_id: UUID | None
    visits: tuple[Visit, ...]
    version: int
    """Of the course, in the event that tells of them."""


@dataclass(frozen=True, slots=True)
class EndVisit:
    """It is off, or over."""

    visit_id: UUID
    site_id: UUID
    patient_id: UUID
    status: VisitStatus
    event_id: UUID


@dataclass(frozen=True, slots=True)
class TellMatter:
    matter: Matter
    kinds: tuple[MessageKind, ...]
    event_id: UUID
    last_day: date | None = None
    """By which something is wanted that no message names: in the site's zone."""
    grace: timedelta = timedelta()
    """Before it has passed nobody is reminded."""


async def plan_visits(store: NotificationsStore, command: PlanVisits) -> None:
    """The messages of each visit, to the survivor where the patient was merged. Those of a visit that was called off
    before its booking was heard of are kept too: withdrawn, with the reason. A visit that was known at another time has
    moved: what was still to be said of that time is withdrawn."""
    await store.site_zone(command.site_id)
    patient_id, zone = await store.patient(command.patient_id)
    cadence, policy = await store.planning()
    told = await _with_instructions(store, command)
    known = await store.keep_visits(
        command.site_id, command.patient_id, told, command.protocol_version_id, command.version
    )
    planned = list[Planned]()
    for visit in told:
        if visit.id in known:
            status, before = known[visit.id]
            moved = before is not None and before != visit.start
            if moved:
                await _withdraw(store, visit.id, Reason.VISIT_MOVED)
            happened = Anchor.MOVED if moved else Anchor.BOOKED
            now = replace(visit, status=status)
            planned += plan_visit(now, command.site_id, happened, cadence.rules, zone, store.call.now, policy.hours)
    await _add(store, command.site_id, patient_id, command.event_id, cadence.version, planned)


async def _with_instructions(store: NotificationsStore, command: PlanVisits) -> list[Visit]:
    of_version = await store.instructions(command.protocol_version_id) if command.protocol_version_id else []
    return [replace(visit, instructions=instructions_of(of_version, visit)) for visit in command.visits]


async def end_visit(store: NotificationsStore, command: EndVisit) -> None:
    """The visit is remembered as off, or over, even where its booking is not known yet; messages being sent go out."""
    known = await store.visit(command.visit_id)
    news = await store.keep_status(command.visit_id, command.site_id, command.patient_id, command.status)
    if reason := WITHDRAWN_BECAUSE.get(command.status):
        await _withdraw(store, command.visit_id, reason)
    if known and news:
        patient_id, zone = await store.patient(command.patient_id)
        cadence, policy = await store.planning()
        happened = HEARD[command.status]
        ended = replace(known, status=command.status)
        planned = plan_visit(ended, command.site_id, happened, cadence.rules, zone, store.call.now, policy.hours)
        await _add(store, command.site_id, patient_id, command.event_id, cadence.version, planned)


async def tell_matter(store: NotificationsStore, command: TellMatter) -> None:
    """The messages about a hold or a bill, to the survivor where the patient was merged."""
    matter = command.matter
    await store.site_zone(matter.site_id)
    patient_id, zone = await store.patient(matter.patient_id)
    if not await _keep(store, matter):
        return
    cadence, policy = await store.planning()
    last_day = command.last_day or matter.due_date
    due_at = at(last_day, DUE_AT, zone) if last_day else None
    planned = [
        message
        for kind in command.kinds
        for message in plan_matter(
            matter, kind, cadence.rules, zone, store.call.now, due_at, policy.hours, command.grace
        )
    ]
    await _add(store, matter.site_id, patient_id, command.event_id, cadence.version, planned)


async def withdraw_estimate(store: NotificationsStore, matter: Matter) -> None:
    """Nothing is left that it, or a version before it, could be of."""
    await _keep(store, matter)
    await close_matter(store, matter, OF_ESTIMATE)


async def _keep(store: NotificationsStore, matter: Matter) -> bool:
    """Whether there is anything to be said of it: of the estimates of a course only of the latest, in whatever order
    they are heard of."""
    if matter.course_id is None:
        return await store.keep_matter(matter)
    await store.lock([matter.course_id])
    is_open = await store.keep_matter(matter)
    replaced = await store.close_replaced(matter.course_id)
    for settled in await store.withdraw_matters(replaced, OF_ESTIMATE):
        emit_settled(store, settled)
    return is_open and matter.id not in replaced


async def close_matter(store: NotificationsStore, matter: Matter, kinds: Sequence[MessageKind]) -> None:
    """Nothing is to be asked for it any more; messages of these kinds that were not sent are withdrawn."""
    await store.close_matter(matter)
    for settled in await store.withdraw_matters([matter.id], kinds):
        emit_settled(store, settled)


async def end_step(store: NotificationsStore, taken: Taken, step: Step, provider_id: str | None = None) -> bool:
    """What a sender found out about a message that it holds. Whether it was settled, and still its to settle."""
    match step:
        case Settle():
            if settled := await store.settle_message(taken, step, provider_id):
                emit_settled(store, settled)
            return settled is not None
        case Postpone(due):
            status = Status.SENDING if taken.in_doubt else Status.SCHEDULED
            await store.release(taken, status, NO_HOLD, due=due)
        case Retry(status, hold, error):
            await store.release(taken, status, hold, error=error)
        case NextChannel(passed_over):
            await store.next_channel(taken, passed_over)
    return False


async def _withdraw(store: NotificationsStore, visit_id: UUID, reason: Reason) -> None:
    for settled in await store.withdraw(visit_id, reason, AHEAD):
        emit_settled(store, settled)


async def _add(
    store: NotificationsStore,
    site_id: UUID,
    patient_id: UUID,
    event_id: UUID,
    cadence_version: int,
    planned: Sequence[Planned],
) -> None:
    of_patient = [(patient_id, each) for each in planned]
    for settled in await store.add(site_id, event_id, cadence_version, of_patient):
        emit_settled(store, settled)


def emit_settled(store: NotificationsStore, settled: Settled) -> None:
    store.emit(events.message_settled(settled), about=settled.id)
