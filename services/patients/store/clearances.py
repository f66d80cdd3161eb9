"""SQL of screenings and clearances."""

import json
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Table, Uuid, insert, select, update

from chassis.ids import to_wire
from chassis.sql import Statement, param, params
from chassis.store import Store, settling
from services.patients.domain.clearances import Clearance, ClearanceNotFound, Screening, ScreeningNotFound
from services.patients.tables.clearances import clearance, screening

CHAIN, PATIENT = param("chain_id", Uuid), param("patient_id", Uuid)
LAST_ID = UUID(int=2**128 - 1)

ADD_SCREENING = settling(insert(screening).inline().values(params(*screening.c.keys())).cte("new_screening"))
SCREENING = Statement(select(screening).where(screening.c.chain_id == CHAIN, screening.c.id == param("screening_id")))
ADD_CLEARANCE = settling(insert(clearance).inline().values(params(*clearance.c.keys())).cte("new_clearance"))
_clearance = select(clearance).where(clearance.c.chain_id == CHAIN, clearance.c.id == param("clearance_id"))
CLEARANCE = Statement(_clearance)
CLEARANCE_TO_CHANGE = Statement(_clearance.with_for_update())
REVOKE = settling(
    update(clearance)
    .where(clearance.c.chain_id == CHAIN, clearance.c.id == param("clearance_id"))
    .values(params("revoked_by", "revoked_at"))
    .cte("revoked_clearance")
)


def _of_one_patient(table: Table) -> Statement:
    """The latest first: ids are in the order of their making."""
    found = select(table).where(table.c.chain_id == CHAIN, table.c.patient_id == PATIENT)
    return Statement(found.where(table.c.id < param("before", Uuid)).order_by(table.c.id.desc()).limit(param("limit")))


SCREENINGS, CLEARANCES = _of_one_patient(screening), _of_one_patient(clearance)


class ClearanceStore(Store):
    def add_screening(self, new: Screening) -> None:
        self.write_last(
            ADD_SCREENING,
            id=new.id,
            patient_id=new.patient_id,
            protocol_id=new.protocol_id,
            site_id=new.site_id,
            answers=json.dumps(new.answers),
            recorded_by=new.recorded_by,
            recorded_at=new.recorded_at,
        )

    async def screening(self, screening_id: UUID) -> Screening:
        if row := await self.row(SCREENING, screening_id=screening_id):
            return screening_of(row)
        raise ScreeningNotFound(screening_id=to_wire("screening", screening_id))

    async def screenings(self, patient_id: UUID, before: UUID | None, limit: int) -> list[Screening]:
        found = await self.rows(SCREENINGS, patient_id=patient_id, before=before or LAST_ID, limit=limit)
        return [screening_of(row) for row in found]

    def add_clearance(self, new: Clearance) -> None:
        self.write_last(
            ADD_CLEARANCE,
            id=new.id,
            patient_id=new.patient_id,
            protocol_id=new.protocol_id,
            site_id=new.site_id,
            route_codes=list(new.route_codes),
            effective_date=new.effective_date,
            expire_date=new.expire_date,
            screening_id=new.screening_id,
            granted_by=new.granted_by,
            granted_at=new.granted_at,
            revoked_by=new.revoked_by,
            revoked_at=new.revoked_at,
        )

    def revoke(self, revoked: Clearance) -> None:
        self.write_last(REVOKE, clearance_id=revoked.id, revoked_by=revoked.revoked_by, revoked_at=revoked.revoked_at)

    async def clearance(self, clearance_id: UUID) -> Clearance:
        return _found(await self.row(CLEARANCE, clearance_id=clearance_id), clearance_id)

    async def clearance_to_change(self, clearance_id: UUID) -> Clearance:
        return _found(await self.row(CLEARANCE_TO_CHANGE, clearance_id=clearance_id), clearance_id)

    async def clearances(self, patient_id: UUID, before: UUID | None, limit: int) -> list[Clearance]:
        found = await self.rows(CLEARANCES, patient_id=patient_id, before=before or LAST_ID, limit=limit)
        return [clearance_of(row) for row in found]


def _found(row: Record | None, clearance_id: UUID) -> Clearance:
    if row is None:
        raise ClearanceNotFound(clearance_id=to_wire("clearance", clearance_id))
    return clearance_of(row)


def screening_of(row: Record) -> Screening:
    return Screening(
        id=row["id"],
        patient_id=row["patient_id"],
        protocol_id=row["protocol_id"],
        site_id=row["site_id"],
        answers=tuple((code, value) for code, value in json.loads(row["answers"])),
        recorded_by=row["recorded_by"],
        recorded_at=row["recorded_at"],
    )


def clearance_of(row: Record) -> Clearance:
    return Clearance(
        id=row["id"],
        patient_id=row["patient_id"],
        protocol_id=row["protocol_id"],
        site_id=row["site_id"],
        route_codes=tuple(row["route_codes"]),
        effective_date=row["effective_date"],
        expire_date=row["expire_date"],
        screening_id=row["screening_id"],
        granted_by=row["granted_by"],
        granted_at=row["granted_at"],
        revoked_by=row["revoked_by"],
        revoked_at=row["revoked_at"],
    )
