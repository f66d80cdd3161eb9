"""Whoever signed before hears that a version asks for a new signature, some at a time."""

from datetime import timedelta

from services.patients import events
from services.patients.domain.recalls import outdated
from services.patients.store import PatientsStore

UNTIL = timedelta(days=1)
"""From now: what was signed this very instant counts."""


async def tell_outdated(store: PatientsStore, limit: int) -> int:
    """Goes on where it stopped; how many signers it looked at. Once for each person, whichever id they signed under."""
    recall = await store.next_recall()
    if recall is None:
        return 0
    published = await store.documents_to_sign(recall.version_id)
    documents = [each.document.id for each in published]
    signers = await store.signers(documents, recall.after_id, limit)
    for signer in signers:
        id = signer.patient_id
        if signer.merged and await store.first_signed_under(id, documents) != id:
            continue
        sites = await store.sites_to_sign_at(id)
        last = await store.last_consents(id, store.call.now + UNTIL) if sites else {}
        if asked := outdated(published, recall.version_id, sites, last, store.call.now):
            store.emit(events.consent_outdated(signer.person_id, asked), about=signer.person_id)
    if signers:
        await store.advance(recall, signers[-1].patient_id)
    else:
        await store.end_recall(recall)
    return len(signers) or 1
