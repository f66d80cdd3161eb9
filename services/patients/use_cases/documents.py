"""Consent documents: publishing and retiring."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from chassis.ids import new_id
from services.patients import events
from services.patients.domain.documents import ConsentDocument, ConsentText, DocumentVersion, check_version
from services.patients.domain.recalls import begun_everywhere, recalls
from services.patients.store import PatientsStore


async def publish_version(
    store: PatientsStore,
    document_id: UUID,
    texts: Sequence[ConsentText],
    effective_date: date,
    *,
    earlier_signatures_stay_good: bool,
) -> DocumentVersion:
    """Waits for those who sign just now, and lets nobody sign what it outdates."""
    published = await store.document_to_change(document_id)
    published.document.check_in_use()
    last = published.versions[-1] if published.versions else None
    check_version(texts, effective_date, last, store.call.now)
    version = DocumentVersion(
        id=new_id(),
        document_id=document_id,
        number=last.number + 1 if last else 1,
        effective_date=effective_date,
        earlier_signatures_stay_good=earlier_signatures_stay_good,
        content_hashes=tuple((each.language, each.content_hash) for each in texts),
        published_at=store.call.now,
        published_by=store.call.actor,
    )
    due = begun_everywhere(effective_date) if recalls(published.document, version) else None
    store.add_version(version, texts, due)
    event = events.consent_document_version_published(published.document, version)
    store.emit(event, about=document_id, version=version.number)
    return version


async def retire_document(store: PatientsStore, document_id: UUID) -> ConsentDocument:
    """Waits for those who sign just now, as a publication does."""
    published = await store.document_to_change(document_id)
    retired = published.document.retired(by=store.call.actor, at=store.call.now)
    store.retire_document(retired)
    event = events.consent_document_retired(retired)
    store.emit(event, about=document_id, version=len(published.versions) + 1)
    return retired
