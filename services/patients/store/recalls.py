"""SQL of versions whose earlier signers are to be told."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, case, exists, func, or_, select, update

from chassis.sql import Statement, param
from chassis.store import Store
from chassis.tables import Instant
from services.patients.domain.consents import SiteTold
from services.patients.domain.recalls import Recall
from services.patients.store.persons import PERSON
from services.patients.tables.consents import consent
from services.patients.tables.recalls import NO_CHAIN, consent_recall, recalling_chain
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
_written, _person = patient.alias("written"), patient.alias("person")
_other, _others = patient.alias("other"), consent.alias("others")
# Of somebody who signed under several ids the first stands for all.
_again = exists().where(
    _other.c.chain_id == CHAIN,
    or_(_other.c.id == _person.c.id, _other.c.survivor_id == _person.c.id),
    _other.c.id < _signer.c.patient_id,
    _others.c.chain_id == CHAIN,
    _others.c.patient_id == _other.c.id,
    _others.c.document_id == any_(DOCUMENTS),
)
_to_be_told = _person.c.deceased.is_(False) & _person.c.anonymised_at.is_(None) & ~_again
SIGNERS = Statement(
    select(_signer.c.patient_id, case((_to_be_told, _person.c.id)).label("person_id"))
    .join(_written, (_written.c.chain_id == CHAIN) & (_written.c.id == _signer.c.patient_id))
    .join(
        _person,
        (_person.c.chain_id == CHAIN) & (_person.c.id == func.coalesce(_written.c.survivor_id, _written.c.id)),
    )
    .order_by(_signer.c.patient_id)
)
SITES_OF_RECORD = Statement(
    select(site.c.id, site.c.state, site.c.time_zone)
    .join(patient_site, (patient_site.c.chain_id == CHAIN) & (patient_site.c.site_id == site.c.id))
    .where(site.c.chain_id == CHAIN, patient_site.c.patient_id == PERSON)
    .distinct()
    .order_by(site.c.id)
)


@dataclass(frozen=True, slots=True)
class Signer:
    patient_id: UUID
    """That the signature was written under."""
    person_id: UUID | None
    """The record that stands for them; None: nobody is to be told under this id."""


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
        return [Signer(row["patient_id"], row["person_id"]) for row in found]

    async def sites_of_record(self, patient_id: UUID) -> list[SiteTold]:
        """That see the record of the person."""
        found = await self.rows(SITES_OF_RECORD, patient_id=patient_id)
        return [SiteTold(row["id"], row["state"], row["time_zone"]) for row in found]

    async def advance(self, recall: Recall, after_id: UUID) -> None:
        await self.rows(ADVANCE, version_id=recall.version_id, after_id=after_id)

    async def end_recall(self, recall: Recall) -> None:
        await self.rows(END_RECALL, version_id=recall.version_id, now=self.call.now)
