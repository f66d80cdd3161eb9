"""Screenings and clearances."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from chassis.ids import new_id
from services.patients import events
from services.patients.domain.clearances import Clearance, Screening
from services.patients.store import PatientsStore


@dataclass(frozen=True, slots=True)
class GrantClearance:
    patient_id: UUID
    protocol_id: UUID
    site_id: UUID
    route_codes: tuple[str, ...]
    effective_date: date
    expire_date: date
    screening_id: UUID | None


def record_screening(store: PatientsStore, screening: Screening) -> Screening:
    """Whether the site may see the patient's record, the database tells."""
    store.add_screening(screening)
    store.emit(events.screening_recorded(screening), about=screening.patient_id)
    return screening


async def grant_clearance(store: PatientsStore, command: GrantClearance) -> Clearance:
    """Whether the site may see the patient's record, and whether the screening is the patient's, the database tells."""
    call = store.call
    clearance = Clearance(
        id=new_id(),
        patient_id=command.patient_id,
        protocol_id=command.protocol_id,
        site_id=command.site_id,
        route_codes=command.route_codes,
        effective_date=command.effective_date,
        expire_date=command.expire_date,
        screening_id=command.screening_id,
        granted_by=call.actor,
        granted_at=call.now,
    )
    clearance.check(await store.time_zone(command.site_id))
    store.add_clearance(clearance)
    store.emit(events.clearance_granted(clearance), about=clearance.patient_id, version=1)
    return clearance


async def revoke_clearance(store: PatientsStore, clearance_id: UUID) -> Clearance:
    clearance = await store.clearance_to_change(clearance_id)
    revoked = clearance.revoked(by=store.call.actor, at=store.call.now)
    store.revoke(revoked)
    store.emit(events.clearance_revoked(revoked), about=revoked.patient_id, version=2)
    return revoked
