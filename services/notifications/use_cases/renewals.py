"""A document with a new version is asked for once, of whoever has a visit to come where it is to be signed."""

from uuid import UUID

from services.notifications.domain.kinds import MessageKind
from services.notifications.domain.renewals import Renewal
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import messages

KINDS = (MessageKind.CONSENT_OUTDATED,)


async def keep_renewal(store: NotificationsStore, renewal: Renewal, event_id: UUID) -> None:
    """Told now, if a visit is booked; else when one is. What was to be said of an earlier version is withdrawn."""
    await store.patient(renewal.patient_id)
    for earlier in await store.renewals(renewal.patient_id):
        if earlier.document_id == renewal.document_id and earlier.number < renewal.number:
            await messages.close_matter(store, earlier.matter(earlier.site_ids[0]), KINDS)
    await store.keep_renewal(renewal)
    if site_id := await store.next_visit_at(renewal.patient_id, renewal.site_ids):
        await _tell(store, renewal, site_id, event_id)


async def ask_at_booking(store: NotificationsStore, patient_id: UUID, site_id: UUID, event_id: UUID) -> None:
    for renewal in await store.renewals(patient_id):
        if site_id in renewal.site_ids and await store.next_visit_at(patient_id, (site_id,)):
            await _tell(store, renewal, site_id, event_id)


async def end_renewal(store: NotificationsStore, patient_id: UUID, document_id: UUID) -> None:
    """It is signed, or taken back."""
    for ended in await store.end_renewal(patient_id, document_id):
        await messages.close_matter(store, ended.matter(ended.site_ids[0]), KINDS)


async def end_renewals(store: NotificationsStore, document_id: UUID) -> None:
    """Nobody is asked for the document any more."""
    ended = await store.end_renewals(document_id)
    for settled in await store.withdraw_matters([each.matter_id for each in ended], KINDS):
        messages.emit_settled(store, settled)


async def _tell(store: NotificationsStore, renewal: Renewal, site_id: UUID, event_id: UUID) -> None:
    await messages.tell_matter(store, messages.TellMatter(renewal.matter(site_id), KINDS, event_id))
