"""SQL of signatures and withdrawals."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import ColumnElement, Select, Uuid, and_, func, insert, select
from sqlalchemy.dialects.postgresql import distinct_on

from chassis.ids import to_wire
from chassis.sql import Statement, param, params
from chassis.store import Settling
from chassis.tables import Instant
from services.patients.domain.consents import (
    Consent,
    ConsentNotFound,
    KeptConsent,
    Method,
    Relationship,
    Signature,
    Withdrawal,
)
from services.patients.store.persons import PERSON
from services.patients.store.texts import Texts, TextStore
from services.patients.tables.consents import (
    consent,
    consent_document,
    consent_document_version,
    consent_text,
    consent_withdrawal,
)

CHAIN, PATIENT = param("chain_id", Uuid), param("patient_id", Uuid)
LAST_ID = UUID(int=2**128 - 1)

_told = [column.name for column in consent.c if column.name != "method"]
# The audit row has a `method`, too.
ADD_CONSENT = Settling(
    insert(consent).inline().values(params(*_told) | {"method": param("consent_method")}).cte("new_consent")
)
ADD_WITHDRAWAL = Settling(
    insert(consent_withdrawal).inline().values(params(*consent_withdrawal.c.keys())).cte("new_withdrawal")
)


_version_signed = and_(
    consent_document_version.c.chain_id == CHAIN, consent_document_version.c.id == consent.c.version_id
)
_taken_back = and_(consent_withdrawal.c.chain_id == CHAIN, consent_withdrawal.c.consent_id == consent.c.id)


def every_consent(*withdrawn: ColumnElement[bool]) -> Select[Any]:
    """Consents with what they were given to, and with their withdrawals, if they are `withdrawn`."""
    document = and_(consent_document.c.chain_id == CHAIN, consent_document.c.id == consent.c.document_id)
    text = and_(
        consent_text.c.chain_id == CHAIN,
        consent_text.c.version_id == consent.c.version_id,
        consent_text.c.language == consent.c.language,
    )
    return (
        select(
            consent,
            consent_document.c.code,
            consent_document.c.state,
            consent_document_version.c.number,
            consent_document_version.c.effective_date,
            consent_document_version.c.earlier_signatures_stay_good,
            consent_text.c.content_hash,
            consent_withdrawal.c.site_id.label("withdrawal_site_id"),
            consent_withdrawal.c.reason,
            consent_withdrawal.c.withdrawn_by,
            consent_withdrawal.c.withdrawn_at,
        )
        .join(consent_document, document)
        .join(consent_document_version, _version_signed)
        .join(consent_text, text)
        .outerjoin(consent_withdrawal, and_(_taken_back, *withdrawn))
    )


EVERY_SIGNATURE = (
    select(
        consent.c.id,
        consent.c.patient_id,
        consent.c.document_id,
        consent.c.version_id,
        consent_document_version.c.number.label("version_number"),
        consent.c.sequence,
        consent.c.relationship,
        consent.c.signed_at,
        consent_withdrawal.c.withdrawn_at,
    )
    .join(consent_document_version, _version_signed)
    .outerjoin(consent_withdrawal, _taken_back)
    .where(consent.c.chain_id == CHAIN)
)
"""Consents without what stands in them sealed."""


def _of_patient(*withdrawn: ColumnElement[bool]) -> Select[Any]:
    return every_consent(*withdrawn).where(consent.c.chain_id == CHAIN, consent.c.patient_id == PERSON)


CONSENTS = Statement(
    _of_patient().where(consent.c.id < param("before", Uuid)).order_by(consent.c.id.desc()).limit(param("limit"))
)
CONSENT = Statement(_of_patient().where(consent.c.id == param("consent_id", Uuid)))
_sequence_max = func.max(consent.c.sequence).over().label("sequence_max")
LAST_SIGNATURE = Statement(
    EVERY_SIGNATURE.add_columns(_sequence_max)
    .where(consent.c.patient_id == PERSON, consent.c.document_id == param("document_id", Uuid))
    .order_by(consent.c.id.desc())
    .limit(1)
)
UNTIL = param("until", Instant)
LAST_CONSENTS = Statement(
    _of_patient(consent_withdrawal.c.withdrawn_at < UNTIL)
    .ext(distinct_on(consent.c.document_id))
    .where(consent.c.signed_at < UNTIL)
    .order_by(consent.c.document_id, consent.c.id.desc())
)


class ConsentStore(TextStore):
    def add_consent(self, new: Consent) -> None:
        """The caller holds the patient's lock: `sequence` is the next."""
        self.write_last(
            ADD_CONSENT,
            id=new.id,
            patient_id=new.patient_id,
            site_id=new.site_id,
            document_id=new.document_id,
            version_id=new.version_id,
            sequence=new.sequence,
            language=new.language,
            signer_name=self.texts.seal(consent.c.signer_name, new.signer_name, new.id),
            relationship=new.relationship,
            consent_method=new.method,
            witness_name=self.texts.seal(consent.c.witness_name, new.witness_name, new.id),
            signed_at=new.signed_at,
            recorded_by=new.recorded_by,
            recorded_at=new.recorded_at,
        )

    def add_withdrawal(self, withdrawn: Consent) -> None:
        withdrawal = withdrawn.withdrawal
        assert withdrawal
        self.write_last(
            ADD_WITHDRAWAL,
            consent_id=withdrawn.id,
            patient_id=withdrawn.patient_id,
            site_id=withdrawal.site_id,
            reason=self.texts.seal(consent_withdrawal.c.reason, withdrawal.reason, withdrawn.id),
            withdrawn_by=withdrawal.withdrawn_by,
            withdrawn_at=withdrawal.withdrawn_at,
        )

    async def consent(self, patient_id: UUID, consent_id: UUID) -> KeptConsent:
        if row := await self.row(CONSENT, patient_id=patient_id, consent_id=consent_id):
            return kept_consent_of(row, self.texts)
        raise ConsentNotFound(consent_id=to_wire("consent", consent_id))

    async def last_signature(self, patient_id: UUID, document_id: UUID) -> Signature | None:
        """Under any id of the person; numbered as the last of them all, so that the next is one that is free."""
        row = await self.row(LAST_SIGNATURE, patient_id=patient_id, document_id=document_id)
        return replace(signature_of(row), sequence=row["sequence_max"]) if row else None

    async def last_consents(self, patient_id: UUID, until: datetime) -> dict[UUID, KeptConsent]:
        """By document, as it was just before `until`."""
        found = await self.rows(LAST_CONSENTS, patient_id=patient_id, until=until)
        return {row["document_id"]: kept_consent_of(row, self.texts) for row in found}

    async def consents(self, patient_id: UUID, before: UUID | None, limit: int) -> list[KeptConsent]:
        """The latest first: ids are in the order of their making."""
        found = await self.rows(CONSENTS, patient_id=patient_id, before=before or LAST_ID, limit=limit)
        return [kept_consent_of(row, self.texts) for row in found]


def signature_of(row: Record) -> Signature:
    return Signature(
        id=row["id"],
        patient_id=row["patient_id"],
        document_id=row["document_id"],
        version_id=row["version_id"],
        version_number=row["version_number"],
        sequence=row["sequence"],
        relationship=Relationship(row["relationship"]),
        signed_at=row["signed_at"],
        withdrawn_at=row["withdrawn_at"],
    )


def kept_consent_of(row: Record, texts: Texts) -> KeptConsent:
    return KeptConsent(
        consent=_consent(row, texts),
        document_code=row["code"],
        state=row["state"],
        version_number=row["number"],
        effective_date=row["effective_date"],
        earlier_signatures_stay_good=row["earlier_signatures_stay_good"],
        content_hash=row["content_hash"],
    )


def _consent(row: Record, texts: Texts) -> Consent:
    withdrawal = None
    if row["withdrawn_at"] is not None:
        reason = texts.open(consent_withdrawal.c.reason, row["reason"], row["id"])
        withdrawal = Withdrawal(row["withdrawal_site_id"], reason, row["withdrawn_by"], row["withdrawn_at"])
    return Consent(
        id=row["id"],
        patient_id=row["patient_id"],
        site_id=row["site_id"],
        document_id=row["document_id"],
        version_id=row["version_id"],
        sequence=row["sequence"],
        language=row["language"],
        signer_name=texts.open(consent.c.signer_name, row["signer_name"], row["id"]),
        relationship=Relationship(row["relationship"]),
        method=Method(row["method"]),
        witness_name=texts.open(consent.c.witness_name, row["witness_name"], row["id"]),
        signed_at=row["signed_at"],
        recorded_by=row["recorded_by"],
        recorded_at=row["recorded_at"],
        withdrawal=withdrawal,
    )
