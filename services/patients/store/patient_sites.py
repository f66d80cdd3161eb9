"""SQL of the sites that may see a record."""

from uuid import UUID

import asyncpg
from sqlalchemy import ARRAY, Uuid, delete, exists, func, insert, select, true, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.errors import NotYetKnown
from chassis.ids import to_wire
from chassis.sql import Statement, param, params
from chassis.store import Settling
from services.patients.domain.changes import NewChange
from services.patients.domain.merges import PatientMerged
from services.patients.domain.patient_sites import PatientSite, PatientSiteInUse, PatientSiteNotFound
from services.patients.domain.patients import PatientNotFound
from services.patients.store.changes import NEW_CHANGES, change_columns
from services.patients.store.persons import PERSON
from services.patients.store.texts import TextStore
from services.patients.tables.records import patient, patient_site, site

_merged = patient.alias("merged_record")
CHAIN, PATIENT, SITE = param("chain_id", Uuid), param("patient_id", Uuid), param("site_id", Uuid)

_row = (
    patient_site.c.chain_id == CHAIN,
    patient_site.c.site_id == SITE,
)
_merged_homes = (
    select(_merged.c.home_site_id)
    .where(_merged.c.chain_id == CHAIN, _merged.c.survivor_id == PATIENT)
    .scalar_subquery()
)
# A patient's own row is seen chain-wide. Who waits for its lock sees the others' sites as they were before: the unique
# key and the count of deleted rows tell what came in between.
PATIENT_SITE = Statement(
    select(
        func.array_append(func.array(_merged_homes), patient.c.home_site_id, type_=ARRAY(Uuid)).label("home_site_ids"),
        patient.c.version,
        patient.c.survivor_id,
        exists(select(patient_site.c.site_id).where(*_row, patient_site.c.patient_id == PATIENT)).label("seen"),
        exists(select(site.c.id).where(site.c.chain_id == CHAIN, site.c.id == SITE)).label("known"),
    )
    .where(patient.c.chain_id == CHAIN, patient.c.id == PATIENT)
    .with_for_update(of=patient)
)
_next_version = (
    update(patient)
    .where(patient.c.chain_id == CHAIN, patient.c.id == PATIENT)
    .values(params("version", "updated_at"))
    .cte("changed_patient")
)
# To the records merged into it, too. One that has the site already keeps it as it is.
_shared_sites = (
    pg_insert(patient_site)
    .from_select(
        ["chain_id", "patient_id", "site_id", "shared"],
        select(CHAIN, _merged.c.id, SITE, true()).where(_merged.c.chain_id == CHAIN, _merged.c.survivor_id == PATIENT),
    )
    .on_conflict_do_nothing()
)
ADD_PATIENT_SITE = Settling(
    insert(patient_site).inline().values(params("chain_id", "patient_id", "site_id")).cte("new_patient_site"),
    _shared_sites.cte("shared_sites"),
    _next_version,
    NEW_CHANGES,
)
REMOVE_PATIENT_SITE = Statement(
    delete(patient_site).where(*_row, patient_site.c.patient_id == PERSON).returning(patient_site.c.site_id)
)
NOTE_REMOVAL = Settling(_next_version, NEW_CHANGES)


class PatientSiteStore(TextStore):
    async def patient_site(self, patient_id: UUID, site_id: UUID) -> PatientSite:
        """Nobody else changes the record until the transaction ends. One that was merged meanwhile is refused."""
        row = await self.row(PATIENT_SITE, patient_id=patient_id, site_id=site_id)
        if row is None:
            raise PatientNotFound(patient_id=to_wire("patient", patient_id))
        if row["survivor_id"]:
            raise PatientMerged(row["survivor_id"])
        if not row["known"]:
            raise NotYetKnown("site", site_id)
        return PatientSite(patient_id, site_id, frozenset(row["home_site_ids"]), row["version"], row["seen"])

    def add_patient_site(self, change: NewChange) -> None:
        self.write_last(
            ADD_PATIENT_SITE,
            patient_id=change.patient_id,
            site_id=change.site_id,
            version=change.version,
            updated_at=self.call.now,
            **change_columns([change], self.texts),
        )

    async def remove_patient_site(self, change: NewChange) -> None:
        """Refused by the keys of what the site wrote."""
        try:
            gone = await self.row(REMOVE_PATIENT_SITE, patient_id=change.patient_id, site_id=change.site_id)
        except asyncpg.ForeignKeyViolationError as error:
            raise PatientSiteInUse() from error
        if gone is None:
            raise PatientSiteNotFound()
        self.write_last(
            NOTE_REMOVAL,
            patient_id=change.patient_id,
            version=change.version,
            updated_at=self.call.now,
            **change_columns([change], self.texts),
        )
