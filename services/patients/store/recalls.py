"""SQL of versions whose earlier signers are to be told."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record
from sqlalchemy import ARRAY, Uuid, and_, any_, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on

from chassis.sql import Statement, param
from chassis.store import Store
from chassis.tables import NO_CHAIN, Instant
from services.patients.domain.consents import Signature, SiteTold
from services.patients.domain.recalls import Recall, Signer
from services.patients.store.consents import EVERY_SIGNATURE, signature_of
from services.patients.store.persons import merged_ids
from services.patients.tables.consents import consent
from services.patients.tables.recalls import consent_recall, recalling_chain
from services.patients.tables.records import patient, patient_site, site

CHAIN, DOCUMENTS = param("chain_id", Uuid), param("document_ids", ARRAY(Uuid))
NONE_YET = UUID(int=0)
_due = (consent_recall.c.ended_at.is_(None), consent_recall.c.due_at <= param("now", Instant))

CHAINS = Statement(select(recalling_chain.c.chain_id).where(CHAIN == NO_CHAIN).order_by(recalling_chain.c.chain_id))
NEXT_RECALL = Statement(
    select(consent_recall.c.version_id, consent_recall.c.after_id)
    .where(consent_recall.c.chain_id == CHAIN, *_due)
    .order_by(consent_recall.c.due_at, consent_recall.c.version_id)
    .limit(1)
    .with_for_update()
)
_recall = (consent_recall.c.chain_id == CHAIN, consent_recall.c.version_id == param("version_id", Uuid))
ADVANCE = Statement(update(consent_recall).where(*_recall).values(after_id=param("after_id", Uuid)))
END_RECALL = Statement(update(consent_recall).where(*_recall).values(ended_at=param("now", Instant)))

# Everybody of a batch at once. Nothing of what signers and witnesses are called is read: it need not open.
_written, _person = patient.alias("written"), patient.alias("person")
_stands = (
    select(func.coalesce(_written.c.survivor_id, _written.c.id))
    .where(_written.c.chain_id == CHAIN, _written.c.id == consent.c.patient_id)
    .scalar_subquery()
)
_signer = (
    select(consent.c.patient_id, _stands.label("person_id"))
    .where(
        consent.c.chain_id == CHAIN,
        consent.c.patient_id > param("after_id", Uuid),
        consent.c.document_id == any_(DOCUMENTS),
    )
    .group_by(consent.c.patient_id)
    .order_by(consent.c.patient_id)
    .limit(param("limit"))
    .cte("signer")
)
_asked = and_(_person.c.deceased.is_(False), _person.c.anonymised_at.is_(None))
SIGNERS = Statement(
    select(_signer, merged_ids(_signer.c.person_id).label("merged_ids"), _asked.label("asked"))
    .join(_person, (_person.c.chain_id == CHAIN) & (_person.c.id == _signer.c.person_id))
    .order_by(_signer.c.patient_id)
)
_of_these = any_(param("patient_ids", ARRAY(Uuid)))
SIGNATURES = Statement(
    EVERY_SIGNATURE.ext(distinct_on(consent.c.patient_id, consent.c.document_id))
    .where(consent.c.patient_id == _of_these, consent.c.document_id == any_(DOCUMENTS))
    .order_by(consent.c.patient_id, consent.c.document_id, consent.c.id.desc())
)
SITES_TO_SIGN_AT = Statement(
    select(patient_site.c.patient_id, site.c.id, site.c.state, site.c.time_zone)
    .join(patient_site, (patient_site.c.chain_id == CHAIN) & (patient_site.c.site_id == site.c.id))
    .where(site.c.chain_id == CHAIN, patient_site.c.patient_id == _of_these)
    .order_by(site.c.id)
)


class RecallStore(Store):
    async def recalling_chains(self) -> list[UUID]:
        """Those that ever recalled anything, for a call of NO_CHAIN; none for any other."""
        return [row["chain_id"] for row in await self.rows(CHAINS)]

    async def next_recall(self) -> Recall | None:
        """The first that is due: nobody else tells it until the transaction ends."""
        row = await self.row(NEXT_RECALL, now=self.call.now)
        return Recall(row["version_id"], row["after_id"]) if row else None

    async def signers(self, document_ids: Sequence[UUID], after_id: UUID | None, limit: int) -> list[Signer]:
        """Whoever ever signed one of the documents, by id."""
        documents = list(document_ids)
        found = await self.rows(SIGNERS, document_ids=documents, after_id=after_id or NONE_YET, limit=limit)
        asked = [id for row in found if row["asked"] for id in _ids(row)]
        signatures, sites = defaultdict[UUID, list[Signature]](list), defaultdict[UUID, list[SiteTold]](list)
        for row in await self.rows(SIGNATURES, patient_ids=asked, document_ids=documents):
            signatures[row["patient_id"]].append(signature_of(row))
        for row in await self.rows(SITES_TO_SIGN_AT, patient_ids=asked):
            sites[row["patient_id"]].append(SiteTold(row["id"], row["state"], row["time_zone"]))
        return [
            Signer(
                patient_id=row["patient_id"],
                person_id=row["person_id"],
                sites=tuple(sorted({each for id in _ids(row) for each in sites[id]}, key=lambda site: site.id)),
                signatures=tuple(each for id in _ids(row) for each in signatures[id]),
            )
            for row in found
        ]

    async def advance(self, recall: Recall, after_id: UUID) -> None:
        await self.rows(ADVANCE, version_id=recall.version_id, after_id=after_id)

    async def end_recall(self, recall: Recall) -> None:
        await self.rows(END_RECALL, version_id=recall.version_id, now=self.call.now)


def _ids(signer: Record) -> list[UUID]:
    """All of the person's."""
    return [signer["person_id"], *signer["merged_ids"]]
