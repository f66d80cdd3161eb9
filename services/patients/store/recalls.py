"""SQL of versions whose earlier signers are to be told."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, exists, select, update

from chassis.sql import Statement, param
from chassis.store import Store
from chassis.tables import NO_CHAIN, Instant
from services.patients.domain.consents import SiteTold
from services.patients.domain.recalls import Recall, Signer
from services.patients.store.persons import PERSON, SURVIVOR
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

_signer = (
    select(consent.c.patient_id)
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
_written, _other = patient.alias("written"), patient.alias("other")
_survives = exists().where(_other.c.chain_id == CHAIN, _other.c.survivor_id == _written.c.id)
SIGNERS = Statement(
    select(_signer.c.patient_id, _written.c.survivor_id, _survives.label("survives"))
    .join(_written, (_written.c.chain_id == CHAIN) & (_written.c.id == _signer.c.patient_id))
    .order_by(_signer.c.patient_id)
)
FIRST_SIGNED_UNDER = Statement(
    select(consent.c.patient_id)
    .where(consent.c.chain_id == CHAIN, consent.c.patient_id == PERSON, consent.c.document_id == any_(DOCUMENTS))
    .order_by(consent.c.patient_id)
    .limit(1)
)
_asked = select(_written.c.id).where(
    _written.c.chain_id == CHAIN,
    _written.c.id == SURVIVOR,
    _written.c.deceased.is_(False),
    _written.c.anonymised_at.is_(None),
)
SITES_TO_SIGN_AT = Statement(
    select(site.c.id, site.c.state, site.c.time_zone)
    .join(patient_site, (patient_site.c.chain_id == CHAIN) & (patient_site.c.site_id == site.c.id))
    .where(site.c.chain_id == CHAIN, patient_site.c.patient_id == PERSON, _asked.exists())
    .distinct()
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
        found = await self.rows(SIGNERS, document_ids=list(document_ids), after_id=after_id or NONE_YET, limit=limit)
        return [
            Signer(
                row["patient_id"], row["survivor_id"] or row["patient_id"], bool(row["survivor_id"]) or row["survives"]
            )
            for row in found
        ]

    async def first_signed_under(self, patient_id: UUID, document_ids: Sequence[UUID]) -> UUID | None:
        """The first of the person's ids under which one of the documents was ever signed."""
        row = await self.row(FIRST_SIGNED_UNDER, patient_id=patient_id, document_ids=list(document_ids))
        return row["patient_id"] if row else None

    async def sites_to_sign_at(self, patient_id: UUID) -> list[SiteTold]:
        """That see the record of the person; none of somebody who is dead or forgotten."""
        found = await self.rows(SITES_TO_SIGN_AT, patient_id=patient_id)
        return [SiteTold(row["id"], row["state"], row["time_zone"]) for row in found]

    async def advance(self, recall: Recall, after_id: UUID) -> None:
        await self.rows(ADVANCE, version_id=recall.version_id, after_id=after_id)

    async def end_recall(self, recall: Recall) -> None:
        await self.rows(END_RECALL, version_id=recall.version_id, now=self.call.now)
