"""SQL of the audit trail, as far as it is about one patient."""

import json
from uuid import UUID

from asyncpg import Record
from sqlalchemy import BigInteger, Uuid, exists, select, true

from chassis.ids import from_wire, to_wire
from chassis.sql import Statement, param
from chassis.store import Store
from chassis.tables import audit, audit_subject
from services.patients.domain.accesses import Access
from services.patients.domain.patients import PatientNotFound
from services.patients.store.persons import EACH_ID, PERSON_IDS, SURVIVOR
from services.patients.tables.records import patient, patient_site

CHAIN, PATIENT = param("chain_id", Uuid), param("patient_id", Uuid)
LAST_POSITION = 2**63 - 1

IS_SEEN = Statement(
    select(patient.c.id).where(
        patient.c.chain_id == CHAIN,
        patient.c.id == SURVIVOR,
        exists(
            select(patient_site.c.site_id).where(
                patient_site.c.chain_id == CHAIN, patient_site.c.patient_id == patient.c.id
            )
        ),
    )
)
IDS = Statement(select(PERSON_IDS.label("ids")))
# The places first: with the rows joined to them at once, PostgreSQL might read all of a patient's, to sort them.
_of_one = (
    select(audit_subject.c.position)
    .where(
        audit_subject.c.chain_id == CHAIN,
        audit_subject.c.subject_id == EACH_ID.c.id,
        audit_subject.c.position < param("before", BigInteger),
    )
    .order_by(audit_subject.c.position.desc())
    .limit(param("limit"))
    .lateral()
)
_latest = select(_of_one.c.position).select_from(EACH_ID).join(_of_one, true()).distinct().subquery()
ACCESSES = Statement(
    select(audit, PERSON_IDS.label("person_ids"))
    .join(_latest, _latest.c.position == audit.c.position)
    .where(audit.c.chain_id == CHAIN)
    .order_by(audit.c.position.desc())
    .limit(param("limit"))
)


class AccessStore(Store):
    async def ids_of_subject(self, id: UUID) -> list[UUID]:
        row = await self.row(IDS, patient_id=id)
        return list(row["ids"]) if row else []

    async def accesses(self, patient_id: UUID, before: int | None, limit: int) -> list[Access]:
        """The latest first, of a patient whose record the caller's sites may see."""
        if await self.row(IS_SEEN, patient_id=patient_id) is None:
            raise PatientNotFound(patient_id=to_wire("patient", patient_id))
        found = await self.rows(ACCESSES, patient_id=patient_id, before=before or LAST_POSITION, limit=limit)
        return [_access(row) for row in found]


def _access(row: Record) -> Access:
    ids = json.loads(row["ids"])
    about = ids.get("patient.id", "")  # Of CreatePatient and UpdatePatient.
    return Access(
        position=row["position"],
        at=row["at"],
        actor=row["actor"],
        method=row["method"],
        audit=row["kind"],
        cause=row["cause"],
        roles=tuple(ids.get("roles", ())),
        site_ids=(ids["site_id"],) if "site_id" in ids else tuple(ids.get("sites", ())),
        beside_another=bool(about) and from_wire("patient", about) not in row["person_ids"],
    )
