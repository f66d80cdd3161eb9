"""SQL of exports: records in the order of their making, many at once, with what belongs to them."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from asyncpg import Record
from sqlalchemy import ARRAY, Table, Uuid, any_, select

from chassis.ids import to_wire
from chassis.sql import Statement, param
from chassis.store import Store
from services.patients.domain.exports import PatientExport
from services.patients.domain.patients import PatientNotFound
from services.patients.store.clearances import clearance_of
from services.patients.store.persons import SURVIVOR
from services.patients.store.records import every_record, patient_of
from services.patients.store.screenings import screening_of
from services.patients.store.seen import AT_ITS_SITES_OR_BEHIND_GLASS
from services.patients.tables.clearances import clearance, screening
from services.patients.tables.records import patient

CHAIN = param("chain_id", Uuid)
FIRST_ID = UUID(int=0)

EXPORTED = Statement(
    every_record.where(patient.c.chain_id == CHAIN, patient.c.id == SURVIVOR).where(AT_ITS_SITES_OR_BEHIND_GLASS)
)
EXPORTED_AFTER = Statement(
    every_record.where(patient.c.chain_id == CHAIN, patient.c.id > param("after", Uuid))
    .order_by(patient.c.id)
    .limit(param("limit"))
)


def _of_patients(table: Table) -> Statement:
    """The oldest first: ids are in the order of their making."""
    of_them = table.c.patient_id == any_(param("patient_ids", ARRAY(Uuid)))
    return Statement(select(table).where(table.c.chain_id == CHAIN, of_them).order_by(table.c.patient_id, table.c.id))


SCREENINGS_OF, CLEARANCES_OF = _of_patients(screening), _of_patients(clearance)

T = TypeVar("T")


class ExportStore(Store):
    async def export(self, patient_id: UUID) -> PatientExport:
        found = await self.rows(EXPORTED, patient_id=patient_id)
        if not found:
            raise PatientNotFound(patient_id=to_wire("patient", patient_id))
        [export] = await self._whole(found, whole_person=True)
        return export

    async def exports(self, after: UUID | None, limit: int) -> list[PatientExport]:
        return await self._whole(await self.rows(EXPORTED_AFTER, after=after or FIRST_ID, limit=limit))

    async def _whole(self, records: Sequence[Record], *, whole_person: bool = False) -> list[PatientExport]:
        """Of the chain's records each is a part by itself, the merged ones too; of one person they are one."""
        whose = {row["id"]: row["id"] for row in records}
        if whole_person:
            whose |= {id: row["id"] for row in records for id in row["merged_ids"]}
        screenings = await self._entries(SCREENINGS_OF, whose, screening_of)
        clearances = await self._entries(CLEARANCES_OF, whose, clearance_of)
        return [
            PatientExport(
                patient_id=row["id"],
                patient=patient_of(row),
                screenings=tuple(screenings[row["id"]]),
                clearances=tuple(clearances[row["id"]]),
            )
            for row in records
        ]

    async def _entries(
        self, statement: Statement, whose: Mapping[UUID, UUID], read: Callable[[Record], T]
    ) -> dict[Any, list[T]]:
        """By record. One statement for each kind, however many the records are."""
        found = defaultdict[Any, list[T]](list)
        for row in await self.rows(statement, patient_ids=list(whose)):
            found[whose[row["patient_id"]]].append(read(row))
        return found
