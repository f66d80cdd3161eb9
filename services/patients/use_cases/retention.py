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
    """With a lock on the patient held: of two who decide at once, the second sees what the first did."""
    found = await store.retention(command.patient_id)
    if found.anonymised_at is not None:
        raise PatientAnonymised()
    if found.restricted == command.restricted:
        raise PatientRestricted() if found.restricted else PatientNotRestricted()
    decided = _decision(store, command)
    if decided.restricted:
        store.restrict(decided)
    else:
        store.lift(decided, replace(await store.patient_to_change(command.patient_id), restricted=False))
    return decided


async def anonymise_patient(store: PatientsStore, patient_id: UUID, law: str) -> Retention:
    """With a lock on the patient held. `law` is the one that requires it before the chain's period is over."""
    found = await store.retention(patient_id)
    found.check_anonymised(await store.retention_policy(), law, store.call.now)
    words = (await store.patient_to_change(patient_id)).person.search_words
    await store.anonymise(patient_id)
    await store.forget_words(words)
    # Last: what was written before is erased.
    store.restrict(_decision(store, Decide(patient_id, restricted=True, reason=law)))
    store.emit(events.patient_anonymised(patient_id), about=patient_id)
    return replace(found, restricted=True, anonymised_at=store.call.now)


def _decision(store: PatientsStore, command: Decide) -> Restriction:
    call = store.call
    return Restriction(
        new_id(), command.patient_id, command.restricted, command.reason, decided_by=call.actor, decided_at=call.now
    )
