"""What events told of consent documents and signatures, and what of it applies to a visit.

Each event tells a fact that never changes again, so they may come in any order, and more than once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Boolean, Date, Integer, Text, Uuid, and_, any_, delete, exists, func, not_, or_, select
from sqlalchemy.dialects.postgresql import insert

from chassis.sql import Statement, param, rows
from chassis.store import Store
from chassis.tables import Instant
from services.scheduling.domain.consents import (
    EVERY_STATE,
    ConsentDocument,
    Consents,
    DocumentVersion,
    Signature,
    consents_at,
)
from services.scheduling.store.patients import PATIENTS
from services.scheduling.store.sites import CHAIN
from services.scheduling.tables import (
    chain_without_consents,
    consent_document,
    consent_document_version,
    consent_signature,
    site,
)


@dataclass(frozen=True, slots=True)
class DocumentTold:
    id: UUID
    code: str
    state: str
    retired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VersionTold:
    document_id: UUID
    number: int
    effective_date: date
    earlier_signatures_stay_good: bool


@dataclass(frozen=True, slots=True)
class SignatureTold:
    id: UUID
    patient_id: UUID
    document_id: UUID
    version_number: int
    signed_at: datetime | None
    """None where a withdrawal tells of it, which says no more of when."""
    withdrawn: bool


_document = rows("told", id=Uuid, code=Text, state=Text, retired_at=Instant)
_documents = insert(consent_document).from_select(
    ["chain_id", *(column.name for column in _document.c)], select(CHAIN, *_document.c)
)
KEEP_DOCUMENTS = Statement(
    _documents.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={"retired_at": func.coalesce(consent_document.c.retired_at, _documents.excluded.retired_at)},
    )
)
_version = rows("told", document_id=Uuid, number=Integer, effective_date=Date, earlier_signatures_stay_good=Boolean)
KEEP_VERSIONS = Statement(
    insert(consent_document_version)
    .from_select(["chain_id", *(column.name for column in _version.c)], select(CHAIN, *_version.c))
    .on_conflict_do_nothing()
)
_signature = rows(
    "told",
    id=Uuid,
    patient_id=Uuid,
    document_id=Uuid,
    version_number=Integer,
    signed_at=Instant,
    withdrawn=Boolean,
)
_signatures = insert(consent_signature).from_select(
    ["chain_id", *(column.name for column in _signature.c)], select(CHAIN, *_signature.c)
)
KEEP_SIGNATURES = Statement(
    _signatures.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={
            "signed_at": _signatures.excluded.signed_at,
            "withdrawn": or_(consent_signature.c.withdrawn, _signatures.excluded.withdrawn),
        },
    )
)
KEEP_WHOLE = Statement(delete(chain_without_consents).where(chain_without_consents.c.chain_id == CHAIN))

_of_document = and_(
    consent_document_version.c.chain_id == CHAIN, consent_document_version.c.document_id == consent_document.c.id
)
_versions = select(func.jsonb_agg(func.to_jsonb(consent_document_version.table_valued()))).where(_of_document)
_last_signature = (
    select(func.to_jsonb(consent_signature.table_valued()))
    .where(
        consent_signature.c.chain_id == CHAIN,
        consent_signature.c.patient_id == any_(PATIENTS.all_ids(param("patient_id", Uuid))),
        consent_signature.c.document_id == consent_document.c.id,
    )
    .order_by(consent_signature.c.id.desc())
    .limit(1)
)
_not_whole = exists().where(chain_without_consents.c.chain_id == CHAIN)
CONSENTS_TOLD = Statement(
    select(
        consent_document,
        site.c.time_zone,
        _versions.scalar_subquery().label("versions"),
        _last_signature.scalar_subquery().label("last_signature"),
    )
    .join(site, and_(site.c.chain_id == CHAIN, site.c.id == param("site_id", Uuid)))
    .where(
        consent_document.c.chain_id == CHAIN,
        or_(consent_document.c.state == EVERY_STATE, consent_document.c.state == site.c.state),
        not_(_not_whole),
    )
)


class ConsentStore(Store):
    async def keep_documents(self, documents: Sequence[DocumentTold], versions: Sequence[VersionTold]) -> None:
        """Each once; with a document's version comes the document."""
        await self.rows(
            KEEP_DOCUMENTS,
            id=[each.id for each in documents],
            code=[each.code for each in documents],
            state=[each.state for each in documents],
            retired_at=[each.retired_at for each in documents],
        )
        await self.rows(
            KEEP_VERSIONS,
            document_id=[each.document_id for each in versions],
            number=[each.number for each in versions],
            effective_date=[each.effective_date for each in versions],
            earlier_signatures_stay_good=[each.earlier_signatures_stay_good for each in versions],
        )

    async def keep_signatures(self, signatures: Sequence[SignatureTold]) -> None:
        """Each once."""
        await self.rows(
            KEEP_SIGNATURES,
            id=[each.id for each in signatures],
            patient_id=[each.patient_id for each in signatures],
            document_id=[each.document_id for each in signatures],
            version_number=[each.version_number for each in signatures],
            signed_at=[each.signed_at for each in signatures],
            withdrawn=[each.withdrawn for each in signatures],
        )

    async def keep_whole(self) -> None:
        """All that the chain ever published and signed has been told: gates follow it from now on."""
        await self.rows(KEEP_WHOLE)

    async def consents(self, site_id: UUID, patient_id: UUID, at: datetime) -> Consents | None:
        """What a visit there and then asks for. None: nothing, or not all was told of what the chain has signed."""
        told = await self.rows(CONSENTS_TOLD, site_id=site_id, patient_id=patient_id)
        if not told:
            return None
        return consents_at([_document_of(row) for row in told], at, told[0]["time_zone"])


def _document_of(row: Record) -> ConsentDocument:
    signature = row["last_signature"]
    return ConsentDocument(
        id=row["id"],
        code=row["code"],
        state=row["state"],
        retired_at=row["retired_at"],
        versions=tuple(_version_of(each) for each in json.loads(row["versions"] or "[]")),
        signature=_signature_of(json.loads(signature)) if signature else None,
    )


def _version_of(data: Mapping[str, Any]) -> DocumentVersion:
    effective = date.fromisoformat(data["effective_date"])
    return DocumentVersion(data["number"], effective, data["earlier_signatures_stay_good"])


def _signature_of(data: Mapping[str, Any]) -> Signature:
    signed_at = data["signed_at"]
    return Signature(data["version_number"], signed_at and datetime.fromisoformat(signed_at), data["withdrawn"])
