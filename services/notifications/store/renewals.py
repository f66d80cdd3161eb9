"""SQL of documents that patients are to sign anew."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from asyncpg import Record
from sqlalchemy import ARRAY, Uuid, any_, delete, literal_column, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.sql import Statement, param, params
from chassis.store import Store
from chassis.tables import Instant
from services.notifications.domain.renewals import Renewal
from services.notifications.store.copies import PATIENTS
from services.notifications.tables import renewal, visit

CHAIN, ID, DOCUMENT = param("chain_id", Uuid), param("id", Uuid), param("document_id", Uuid)

_renewal = pg_insert(renewal).values(params(*renewal.c.keys()))
KEEP = Statement(
    _renewal.on_conflict_do_update(
        index_elements=["chain_id", "patient_id", "document_id"],
        set_={name: _renewal.excluded[name] for name in ("version_id", "number", "site_ids")},
        where=renewal.c.number <= _renewal.excluded.number,
    )
)
_of_person = (renewal.c.chain_id == CHAIN, renewal.c.patient_id == any_(PATIENTS.all_ids(ID)))
OF_PATIENT = Statement(select(renewal).where(*_of_person).order_by(renewal.c.document_id))
END = Statement(delete(renewal).where(*_of_person, renewal.c.document_id == DOCUMENT).returning(renewal))
END_ALL = Statement(
    delete(renewal).where(renewal.c.chain_id == CHAIN, renewal.c.document_id == DOCUMENT).returning(renewal)
)
NEXT_VISIT_AT = Statement(
    select(visit.c.site_id)
    .where(
        visit.c.chain_id == CHAIN,
        visit.c.patient_id == any_(PATIENTS.all_ids(ID)),
        visit.c.start_at > param("now", Instant),
        visit.c.status.in_((literal_column("'BOOKED'"), literal_column("'CONFIRMED'"))),
        visit.c.site_id == any_(param("site_ids", ARRAY(Uuid))),
    )
    .order_by(visit.c.start_at)
    .limit(1)
)


class RenewalStore(Store):
    async def keep_renewal(self, told: Renewal) -> None:
        """Unless that of a later version is known."""
        await self.rows(
            KEEP,
            patient_id=told.patient_id,
            document_id=told.document_id,
            version_id=told.version_id,
            number=told.number,
            site_ids=list(told.site_ids),
        )

    async def renewals(self, patient_id: UUID) -> list[Renewal]:
        """Under any id of the patient."""
        return _renewals(await self.rows(OF_PATIENT, id=patient_id))

    async def end_renewal(self, patient_id: UUID, document_id: UUID) -> list[Renewal]:
        return _renewals(await self.rows(END, id=patient_id, document_id=document_id))

    async def end_renewals(self, document_id: UUID) -> list[Renewal]:
        return _renewals(await self.rows(END_ALL, document_id=document_id))

    async def next_visit_at(self, patient_id: UUID, site_ids: Sequence[UUID]) -> UUID | None:
        """At which of the sites the patient's next visit is, if any."""
        row = await self.row(NEXT_VISIT_AT, id=patient_id, now=self.call.now, site_ids=list(site_ids))
        return row["site_id"] if row else None


def _renewals(found: Iterable[Record]) -> list[Renewal]:
    return [
        Renewal(row["patient_id"], row["document_id"], row["version_id"], row["number"], tuple(row["site_ids"]))
        for row in found
    ]
