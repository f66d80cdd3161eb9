"""Clearances."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from chassis.ids import new_id
from services.patients import events
from services.patients.domain.clearances import Clearance, Limits
from services.patients.domain.screenings import ScreeningNotFound
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
    limits: Limits
    override_reason: str


async def grant_clearance(store: PatientsStore, command: GrantClearance) -> Clearance:
    """Whether the record is one of the site's, the database tells.

    Its caller holds the patient's lock, so that no screening is recorded meanwhile.
    """
    call = store.call
    time_zone, screenings = await store.grounds(
        store.survivor(command.patient_id), command.protocol_id, command.site_id, command.screening_id
    )
    clearance = Clearance(
        id=new_id(),
        patient_id=store.survivor(command.patient_id),
        protocol_id=command.protocol_id,
        site_id=command.site_id,
        route_codes=command.route_codes,
        effective_date=command.effective_date,
        expire_date=command.expire_date,
        screening_id=command.screening_id,
        granted_by=call.actor,
        granted_at=call.now,
        limits=command.limits,
        override_reason=command.override_reason,
    )
    if command.screening_id and all(each.id != command.screening_id for each in screenings):
        raise ScreeningNotFound()
    clearance.check(time_zone, screenings)
    store.add_clearance(clearance)
    store.emit(events.clearance_granted(clearance), about=clearance.patient_id, version=1)
    return clearance


async def revoke_clearance(store: PatientsStore, clearance_id: UUID, reason: str) -> Clearance:
    clearance = await store.clearance_to_change(clearance_id)
    revoked = clearance.revoked(by=store.call.actor, at=store.call.now, reason=reason)
    store.revoke(revoked)
    store.emit(events.clearance_revoked(revoked), about=revoked.patient_id, version=2)
    return revoked
