"""What it leaves to do that a patient died, or is forgotten, and what takes a death back: a record that says otherwise,
or a merge undone."""

from collections.abc import Collection
from uuid import UUID

from chassis.aliases import Joined
from chassis.ids import new_id
from services.scheduling.domain.tasks import Task, TaskKind
from services.scheduling.store import SchedulingStore
from services.scheduling.store.patients import PatientTold

NOT_DECEASED = "The patient has not died, as their record says now."


async def keep_patient(store: SchedulingStore, told: PatientTold) -> None:
    """With the person locked: a visit of theirs is booked before it, and to be cancelled, or refused."""
    whole = await store.lock_whole(told.id)
    before = await store.deceased(whole.ids)
    await store.keep_patients([told])
    after = await store.deceased(whole.ids)
    if after and not before:
        await _ask_to_cancel(store, whole.ids)
    elif before and not after:
        await _take_back(store, whole.ids)


async def forget(store: SchedulingStore, id: UUID) -> None:
    """With the person locked, as above: nobody knows any more who would come. Each record of theirs is told of, and
    what is a task already stays that one."""
    whole = await store.lock_whole(id)
    await store.forget_patient(id)
    await _ask_to_cancel(store, whole.ids)


async def settle_merge(store: SchedulingStore, joined: Joined, two: Collection[UUID]) -> None:
    """A person has died if any record of theirs says so. `joined` is of no ids where the merge was taken back."""
    if not joined.ones:
        for ids in {(await store.whole(id)).ids for id in two}:
            if not await store.deceased(ids):
                await _take_back(store, ids)
        return
    dead = await store.deceased(joined.ones | joined.others)
    for ids, others in ((joined.ones, joined.others), (joined.others, joined.ones)):
        if dead & others and not dead & ids:
            await _ask_to_cancel(store, ids)


async def _ask_to_cancel(store: SchedulingStore, ids: frozenset[UUID]) -> None:
    """A task for the front desk of each site where there are visits to come."""
    for site_id, patient_id, visit_ids in await store.visits_to_come(ids):
        task = Task(
            id=new_id(),
            site_id=site_id,
            kind=TaskKind.VISITS_TO_CANCEL,
            patient_id=patient_id,
            merged_patient_id=None,
            merge_version=None,
            visit_ids=visit_ids,
            created_at=store.call.now,
        )
        await store.add_task(task)


async def _take_back(store: SchedulingStore, ids: frozenset[UUID]) -> None:
    """Whoever waits is looked at again. Nothing is taken back of whoever is forgotten."""
    if await store.ended(ids):
        return
    await store.complete_tasks_of_patients(ids, TaskKind.VISITS_TO_CANCEL, NOT_DECEASED)
    await store.look_again_for(ids)
