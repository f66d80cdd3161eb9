"""Permissions: recording what was said, by people and by answers to messages."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from chassis.ids import new_id
from services.patients import events
from services.patients.domain.contacts import ContactUse
from services.patients.domain.permissions import OPTED_OUT_OF, Channel, Giver, Permission, PermissionMethod
from services.patients.store import PatientsStore


@dataclass(frozen=True, slots=True)
class OptOut:
    """An answer to a message that asks for no more of them. `giver` is whose address it came from."""

    patient_id: UUID
    channel: Channel
    giver: Giver
    told_at: datetime
    wording_code: str = ""


async def record_permission(store: PatientsStore, permission: Permission) -> Permission:
    """Whether the site may see the patient's record, the database tells."""
    permission = replace(permission, patient_id=store.survivor(permission.patient_id))
    await _record(store, [permission])
    return permission


async def record_opt_out(store: PatientsStore, opt_out: OptOut) -> list[Permission]:
    """For a consumer: no site was told, so the patient's home site keeps it. Refuses every purpose, for every address.

    Once for each time it is called: the inbox keeps an event from having its effect twice.
    """
    patient = await store.patient(opt_out.patient_id)
    refused = [
        Permission(
            id=new_id(),
            patient_id=patient.id,
            site_id=patient.home_site_id,
            channel=opt_out.channel,
            purpose=purpose,
            use=ContactUse.UNSPECIFIED,
            permitted=False,
            giver=opt_out.giver,
            method=PermissionMethod.REPLY,
            told_at=min(opt_out.told_at, store.call.now),
            wording_code=opt_out.wording_code,
            version_id=None,
            recorded_by=store.call.actor,
            recorded_at=store.call.now,
        )
        for purpose in OPTED_OUT_OF[opt_out.giver]
    ]
    await _record(store, refused)
    return refused


async def _record(store: PatientsStore, permissions: list[Permission]) -> None:
    await store.add_permissions(permissions)
    for each in permissions:
        store.emit(events.permission_recorded(each), about=each.patient_id)
