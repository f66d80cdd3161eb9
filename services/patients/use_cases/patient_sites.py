"""Sites that may see a record."""

from dataclasses import dataclass
from uuid import UUID

from services.patients import events
from services.patients.domain.changes import NewChange
from services.patients.store import PatientsStore


@dataclass(frozen=True, slots=True)
class ChangePatientSite:
    patient_id: UUID
    site_id: UUID
    reason: str


async def add_patient_site(store: PatientsStore, command: ChangePatientSite) -> NewChange:
    """The caller need not see the record yet: a search of the chain found the patient."""
    change = (await store.patient_site(store.survivor(command.patient_id), command.site_id)).added(command.reason)
    store.add_patient_site(change)
    event = events.patient_site_added(change.patient_id, change.site_id)
    store.emit(event, about=change.patient_id, version=change.version)
    return change


async def remove_patient_site(store: PatientsStore, command: ChangePatientSite) -> NewChange:
    change = (await store.patient_site(store.survivor(command.patient_id), command.site_id)).removed(command.reason)
    await store.remove_patient_site(change)
    event = events.patient_site_removed(change.patient_id, change.site_id)
    store.emit(event, about=change.patient_id, version=change.version)
    return change
