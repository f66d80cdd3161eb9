"""Messages: planned, withdrawn, and each step of sending."""

from dataclasses import dataclass, replace
from uuid import UUID

from services.notifications import events
from services.notifications.domain import messages as domain
from services.notifications.domain.messages import Postpone, Retry, Settle, Settled, Status, Taken
from services.notifications.domain.visits import Visit, VisitStatus
from services.notifications.store import NotificationsStore


@dataclass(frozen=True, slots=True)
class PlanMessages:
    site_id: UUID
    patient_id: UUID
    event_id: UUID
    visits: tuple[Visit, ...]


@dataclass(frozen=True, slots=True)
class CallOff:
    visit_id: UUID
    site_id: UUID
    patient_id: UUID
    status: VisitStatus


async def plan_messages(store: NotificationsStore, command: PlanMessages) -> None:
    """The messages of each visit, to the survivor where the patient was merged. Those of a visit that was called off
    before its booking was heard of are kept too: withdrawn, with the reason."""
    await store.require_site(command.site_id)
    patient_id, zone = await store.patient(command.patient_id)
    known = await store.keep_visits(command.site_id, command.patient_id, command.visits)
    visits = [replace(visit, status=known[visit.id]) for visit in command.visits]
    planned = [message for visit in visits for message in domain.plan(visit, zone, store.call.now)]
    for settled in await store.add(command.site_id, patient_id, command.event_id, planned):
        _emit(store, settled)


async def call_off(store: NotificationsStore, command: CallOff) -> None:
    """The visit is remembered as off even where its booking is not known yet; messages being sent go out."""
    await store.call_off(command.visit_id, command.site_id, command.patient_id, command.status)
    for settled in await store.withdraw(command.visit_id, domain.WITHDRAWN_BECAUSE[command.status]):
        _emit(store, settled)


async def end_step(store: NotificationsStore, taken: Taken, step: Settle | Postpone | Retry) -> None:
    """What a sender found out about a message that it holds."""
    match step:
        case Settle():
            settled = await store.settle_message(taken, step)
            if settled:
                _emit(store, settled)
        case Postpone(due):
            await store.release(taken, Status.SCHEDULED, domain.NO_HOLD, due=due)
        case Retry(status, hold, error):
            await store.release(taken, status, hold, error=error)


def _emit(store: NotificationsStore, settled: Settled) -> None:
    store.emit(events.message_settled(settled), about=settled.id)
