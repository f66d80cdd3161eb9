"""Permissions: recording what was said, by people and by answers to messages."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from chassis.ids import new_id
from services.patients import events
from services.patients.domain.contacts import ContactUse
from services.patients.domain.permissions import (
    OPTED_INTO,
    OPTED_OUT_OF,
    Channel,
    Giver,
    Permission,
    PermissionMethod,
    Purpose,
)
from services.patients.store import PatientsStore


@dataclass(frozen=True, slots=True)
class OptOut:
    """Somebody asks for no more messages by a channel. `giver` is whose address it is."""

    patient_id: UUID
    channel: Channel
    giver: Giver
    told_at: datetime
    wording_code: str = ""
    method: PermissionMethod = PermissionMethod.REPLY


@dataclass(frozen=True, slots=True)
class OptIn:
    """Somebody who had opted out asks for messages again."""

    patient_id: UUID
    channel: Channel
    giver: Giver
    told_at: datetime
    method: PermissionMethod


async def record_permission(store: PatientsStore, permission: Permission) -> Permission:
    """Whether the site may see the patient's record, the database tells."""
    permission = replace(permission, patient_id=store.survivor(permission.patient_id))
    await _record(store, [permission])
    return permission


async def record_opt_out(store: PatientsStore, opt_out: OptOut) -> list[Permission]:
    """For a consumer: no site was told, so the patient's home site keeps it. Refuses every purpose, for every address.

    Once for each time it is called: the inbox keeps an event from having its effect twice.
    """
    return await _say(store, opt_out, OPTED_OUT_OF[opt_out.giver], opt_out.wording_code, permitted=False)


async def record_opt_in(store: PatientsStore, opt_in: OptIn) -> list[Permission]:
    """For a consumer, as `record_opt_out`. Permits less than an opt-out refuses: see OPTED_INTO."""
    return await _say(store, opt_in, OPTED_INTO[opt_in.giver], permitted=True)


async def _say(
    store: PatientsStore, said: OptOut | OptIn, purposes: tuple[Purpose, ...], wording: str = "", *, permitted: bool
) -> list[Permission]:
    patient = await store.patient(said.patient_id)
    recorded = [
        Permission(
            id=new_id(),
            patient_id=patient.id,
            site_id=patient.home_site_id,
            channel=said.channel,
            purpose=purpose,
            use=ContactUse.UNSPECIFIED,
            permitted=permitted,
            giver=said.giver,
            method=said.method,
            told_at=min(said.told_at, store.call.now),
            wording_code=wording,
            version_id=None,
            recorded_by=store.call.actor,
            recorded_at=store.call.now,
        )
        for purpose in purposes
    ]
    await _record(store, recorded)
    return recorded


async def _record(store: PatientsStore, permissions: list[Permission]) -> None:
    await store.add_permissions(permissions)
    for each in permissions:
        store.emit(events.permission_recorded(each), about=each.patient_id)
