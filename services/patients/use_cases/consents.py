"""Consents: signing, withdrawing, and where a patient stands."""

from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

from chassis.ids import new_id
from services.patients import events
from services.patients.domain.consents import (
    Consent,
    DocumentConsent,
    KeptConsent,
    Signing,
    Withdrawal,
    check_not_given,
    check_signing,
    check_standing,
    check_version_current,
    end_of,
    signed_on,
    status_at,
    years_old,
)
from services.patients.domain.documents import day_of
from services.patients.store import PatientsStore


@dataclass(frozen=True, slots=True)
class SignConsent:
    patient_id: UUID
    site_id: UUID
    version_id: UUID
    signer_name: str
    signing: Signing


@dataclass(frozen=True, slots=True)
class WithdrawConsent:
    patient_id: UUID
    consent_id: UUID
    site_id: UUID
    reason: str


async def sign_consent(store: PatientsStore, command: SignConsent) -> KeptConsent:
    """The caller holds the patient's lock. Whether the site may see the patient's record, the database tells."""
    now, signing = store.call.now, command.signing
    site = await store.site_told(command.site_id)
    patient = await store.patient(command.patient_id)
    published = await store.documents_to_sign(command.version_id)
    on, today = signed_on(signing, site, now), day_of(now, site.time_zone)
    ours, version = check_version_current(published, command.version_id, site, on, today)
    last = await store.last_signature(command.patient_id, ours.document.id)
    check_signing(signing, ours.document, version, years_old(patient.birth_date, on), last, now)
    check_not_given(version, signing.relationship, last)
    consent = Consent(
        id=new_id(),
        patient_id=store.survivor(command.patient_id),
        site_id=command.site_id,
        document_id=ours.document.id,
        version_id=version.id,
        sequence=last.sequence + 1 if last else 1,
        language=signing.language,
        signer_name=command.signer_name,
        relationship=signing.relationship,
        method=signing.method,
        witness_name=signing.witness_name,
        signed_at=signing.signed_at or now,
        recorded_by=store.call.actor,
        recorded_at=now,
    )
    kept = KeptConsent(
        consent=consent,
        document_code=ours.document.code,
        state=ours.document.state,
        version_number=version.number,
        effective_date=version.effective_date,
        earlier_signatures_stay_good=version.earlier_signatures_stay_good,
        content_hash=dict(version.content_hashes)[signing.language],
    )
    store.add_consent(consent)
    store.emit(events.consent_signed(kept), about=consent.patient_id, version=1)
    return kept


async def withdraw_consent(store: PatientsStore, command: WithdrawConsent) -> KeptConsent:
    """The caller holds the patient's lock. Whether the site may see the patient's record, the database tells."""
    kept = await store.consent(command.patient_id, command.consent_id)
    last = await store.last_signature(command.patient_id, kept.consent.document_id)
    assert last
    check_standing(kept.consent, last)
    withdrawal = Withdrawal(command.site_id, command.reason, store.call.actor, store.call.now)
    withdrawn = replace(kept, consent=replace(kept.consent, withdrawal=withdrawal))
    store.add_withdrawal(withdrawn.consent)
    store.emit(events.consent_withdrawn(withdrawn), about=command.patient_id, version=2)
    return withdrawn


async def consent_status(
    store: PatientsStore, patient_id: UUID, site_id: UUID, asked: date | None
) -> tuple[date, list[DocumentConsent]]:
    """On the day asked, or today at the site."""
    site = await store.site_told(site_id)
    await store.patient(patient_id)
    day = asked or day_of(store.call.now, site.time_zone)
    published = await store.documents_in_state(site.state)
    last = await store.last_consents(patient_id, end_of(day, site.time_zone))
    return day, status_at(published, site, day, last)
