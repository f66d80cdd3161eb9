"""Merging records of one person, and taking that back."""

from dataclasses import dataclass
from uuid import UUID, uuid5

from chassis.ids import new_id, to_wire
from services.patients import events
from services.patients.domain.merges import Merge, PatientNotMerged, branch, check_count, check_two
from services.patients.store import PatientsStore


@dataclass(frozen=True, slots=True)
class MergePatients:
    survivor_id: UUID
    survivor_version: int
    merged_id: UUID
    merged_version: int
    reason: str


def merge_lock(chain_id: UUID) -> UUID:
    """Held by whatever decides about a person as a whole: such calls are few, and go one after another."""
    return uuid5(chain_id, "merges")


async def merge_patients(store: PatientsStore, command: MergePatients) -> Merge:
    """With the chain's `merge_lock` held."""
    check_two(command.survivor_id, command.merged_id)
    survivor, merged = await store.to_merge(command.survivor_id, command.merged_id)
    survivor.check(command.survivor_version)
    merged.check(command.merged_version, named="merged_")
    check_count(survivor, merged)
    theirs = await store.person_ids(merged.id)
    await store.stand_for(survivor.id, theirs)
    person_ids = await store.person_ids(survivor.id)
    await store.share_sites(person_ids)
    await store.name_anew([await store.patient_to_change(survivor.id)])
    merge = Merge(
        id=new_id(),
        survivor_id=survivor.id,
        merged_id=merged.id,
        version=merged.last_version + 1,
        reason=command.reason,
        merged_by=store.call.actor,
        merged_at=store.call.now,
    )
    store.add_merge(merge, theirs, person_ids)
    store.emit(events.patient_merged(merge), about=merged.id, version=merge.version)
    return merge


async def unmerge_patients(store: PatientsStore, merged_id: UUID, reason: str) -> Merge:
    """With the chain's `merge_lock` held. What was merged into it before goes with it."""
    survivor_id, standing = await store.standing_merges(merged_id)
    merge = next((each for each in standing if each.merged_id == merged_id), None)
    if merge is None:
        raise PatientNotMerged(patient_id=to_wire("patient", merged_id))
    theirs = branch(merged_id, standing)
    await store.stand_for(merged_id, theirs)
    await store.name_anew([await store.patient_to_change(id) for id in (survivor_id, merged_id)])
    await store.share_sites([merged_id, *theirs])
    await store.share_sites(await store.person_ids(survivor_id))
    ended = merge.unmerged(new_id(), reason, store.call.actor, store.call.now)
    store.end_merge(ended, [merged_id, *theirs])
    store.emit(events.patient_unmerged(ended), about=merged_id, version=ended.version)
    return ended
