"""A document with a new version is asked for once, of whoever has a visit to come where it is to be signed.

Events come in any order. What each says is kept, and what is asked follows from all that is kept: an older version, or
one that is heard of after its signature, asks for nothing."""

from collections.abc import Sequence
from uuid import UUID

from services.notifications.domain.kinds import MessageKind
from services.notifications.domain.renewals import Ending, Renewal, still_asked, to_tell, told_in_vain
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import messages

KINDS = (MessageKind.CONSENT_OUTDATED,)


async def keep_renewal(store: NotificationsStore, renewal: Renewal, event_id: UUID) -> None:
    """Told now, if a visit is booked; else when one is."""
    await store.patient(renewal.patient_id)
    await store.lock_whole(renewal.patient_id)
    await store.keep_renewal(renewal)
    await settle(store, renewal.patient_id, event_id)


async def end_renewal(store: NotificationsStore, ending: Ending, event_id: UUID) -> None:
    await store.lock_whole(ending.patient_id)
    await store.end_renewal(ending)
    await settle(store, ending.patient_id, event_id)


async def settle(store: NotificationsStore, patient_id: UUID, event_id: UUID) -> None:
    """Tells what is asked and was not told, and withdraws what was told and is not asked. The caller holds the lock of
    the patient: neither a booking nor a document may miss the other. Nor may what is told and the end of its document,
    which is locked before anything is written: whoever ends it waits for this, or this sees that it is ended."""
    found = await store.renewals(patient_id)
    if untold := to_tell(still_asked(found)):
        await store.lock([each.renewal.document_id for each in untold])
        found = await store.renewals(patient_id)
    asked = still_asked(found)
    await _withdraw(store, told_in_vain(found, asked))
    untold = to_tell(asked)
    await _tell_again(store, [each.renewal.matter_id for each in untold if each.told_before])
    new = [(each.renewal, each.next_site_id) for each in untold if each.next_site_id and not each.told_before]
    for renewal, site_id in new:
        await messages.tell_matter(store, messages.TellMatter(renewal.matter(site_id), KINDS, event_id))
    await store.note_told([renewal for renewal, _ in new])


async def end_document(store: NotificationsStore, document_id: UUID) -> None:
    """Nobody is asked for it any more."""
    await store.lock([document_id])
    await store.retire_document(document_id)
    await _withdraw(store, await store.told_of(document_id))


async def _tell_again(store: NotificationsStore, matter_ids: Sequence[UUID]) -> None:
    """What went out already does not go out again."""
    if matter_ids:
        await store.reopen_matters(matter_ids)
        await store.schedule_again(matter_ids, KINDS)


async def _withdraw(store: NotificationsStore, matter_ids: Sequence[UUID]) -> None:
    if not matter_ids:
        return
    await store.close_matters(matter_ids)
    for settled in await store.withdraw_matters(matter_ids, KINDS):
        messages.emit_settled(store, settled)
