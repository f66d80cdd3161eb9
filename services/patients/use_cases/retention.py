"""Restricting what is done with a record, and forgetting a patient."""

from dataclasses import dataclass, replace
from uuid import UUID

from chassis.ids import new_id
from services.patients import events
from services.patients.domain.retention import (
    PatientAnonymised,
    PatientNotRestricted,
    PatientRestricted,
    Restriction,
    Retention,
)
from services.patients.store import PatientsStore


@dataclass(frozen=True, slots=True)
class Decide:
    """To restrict, or to lift a restriction."""

    patient_id: UUID
    restricted: bool
    reason: str


async def decide_restriction(store: PatientsStore, command: Decide) -> Restriction:
    """With the chain's `merge_lock` held: of two who decide at once, the second sees what the first did. It is about
    all records of the person."""
    found = await store.retention(command.patient_id)
    if found.anonymised_at is not None:
        raise PatientAnonymised()
    if found.restricted == command.restricted:
        raise PatientRestricted() if found.restricted else PatientNotRestricted()
    decided = _decision(store, replace(command, patient_id=found.patient_id))
    if decided.restricted:
        store.restrict(decided)
    else:
        store.lift(decided, replace(await store.patient_to_change(found.patient_id), restricted=False))
    return decided


async def anonymise_patient(store: PatientsStore, patient_id: UUID, law: str) -> Retention:
    """With the chain's `merge_lock` held: all records of the person are forgotten together. `law` is the
    one that requires it before the chain's period is over."""
    found = await store.retention(patient_id)
    found.check_anonymised(await store.retention_policy(), law, store.call.now)
    words = (await store.patient_to_change(found.patient_id)).search_words
    for id in (found.patient_id, *found.merged_ids):
        await store.anonymise(id)
        store.emit(events.patient_anonymised(id), about=id)
    await store.forget_words(words)
    # Last: what was written before is erased.
    store.restrict(_decision(store, Decide(found.patient_id, restricted=True, reason=law)))
    return replace(found, restricted=True, anonymised_at=store.call.now)


def _decision(store: PatientsStore, command: Decide) -> Restriction:
    call = store.call
    return Restriction(
        new_id(), command.patient_id, command.restricted, command.reason, decided_by=call.actor, decided_at=call.now
    )
