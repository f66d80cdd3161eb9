"""What changes when a patient is known otherwise than before."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.notifications.domain.cadence import due
from services.notifications.domain.visits import Patient
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import renewals


@dataclass(frozen=True, slots=True)
class KeepMerge:
    merged_patient_id: UUID
    patient_id: UUID
    """Who survives; of what is taken back, who survived."""
    is_merged: bool
    """False: it is taken back."""
    version: int
    event_id: UUID


async def keep_patients(store: NotificationsStore, told: Sequence[Patient]) -> None:
    """What is still to go out moves with the patient's zone."""
    newest = {each.id: each for each in sorted(told, key=lambda each: each.version)}
    await store.keep_patients(list(newest.values()))
    await _reckon_again(store, await store.with_scheduled(list(newest)))


async def keep_merge(store: NotificationsStore, command: KeepMerge) -> None:
    """What is still to go out for the alias moves with the zone of who it goes to now, and what one of them signed the
    other need not sign; once they are two again, each does."""
    survivor_id = command.patient_id if command.is_merged else None
    if await store.keep_alias(command.merged_patient_id, survivor_id, command.version):
        await _reckon_again(store, [command.merged_patient_id])
        await renewals.settle(store, command.merged_patient_id, command.event_id)
        if not command.is_merged:
            await store.lock_whole(command.patient_id)
            await renewals.settle(store, command.patient_id, command.event_id)


async def _reckon_again(store: NotificationsStore, patient_ids: Sequence[UUID]) -> None:
    if not patient_ids:
        return
    _, policy = await store.planning()
    for patient_id in patient_ids:
        if zone := await store.zone_of_patient(patient_id):
            scheduled = await store.scheduled_of(patient_id)
            await store.move({id: due(timing, zone, store.call.now, policy.hours) for id, timing in scheduled})
