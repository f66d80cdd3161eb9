"""Whoever signed before hears that a version asks for a new signature, some at a time."""

from services.patients import events
from services.patients.domain.recalls import outdated
from services.patients.store import PatientsStore


async def tell_outdated(store: PatientsStore, limit: int) -> int:
    """Goes on where it stopped; how many signers it looked at. Once for each person, whichever id they signed under."""
    recall = await store.next_recall()
    if recall is None:
        return 0
    published = await store.documents_to_sign(recall.version_id)
    signers = await store.signers([each.document.id for each in published], recall.after_id, limit)
    for signer in signers:
        if signer.comes_first and (asked := outdated(published, recall.version_id, signer, store.call.now)):
            store.emit(events.consent_outdated(signer.person_id, asked), about=signer.person_id)
    if signers:
        await store.advance(recall, signers[-1].patient_id)
    else:
        await store.end_recall(recall)
    return len(signers) or 1
