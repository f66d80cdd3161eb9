"""SQL of exports: records in the order of their making, many at once, with what belongs to them."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import ARRAY, Select, Table, Uuid, any_, select

from chassis.ids import to_wire
from chassis.sql import Statement, param
from services.patients.domain.exports import PatientExport
from services.patients.domain.patients import PatientNotFound
from services.patients.store.adverse_events import adverse_event_of
from services.patients.store.clearances import clearance_of
from services.patients.store.consents import every_consent, kept_consent_of
from services.patients.store.diagnoses import diagnosis_of
from services.patients.store.measures import measure_of, safety_flag_of
from services.patients.store.permissions import permission_of
from services.patients.store.persons import SURVIVOR
from services.patients.store.records import RECORDS, every_record, patient_of
from services.patients.store.screenings import every_screening, screening_of
from services.patients.store.seen import AT_ITS_SITES_OR_BEHIND_GLASS
from services.patients.store.texts import Texts, TextStore
from services.patients.tables.adverse_events import adverse_event
from services.patients.tables.clearances import clearance, screening
from services.patients.tables.consents import consent
from services.patients.tables.diagnoses import diagnosis
from services.patients.tables.measures import measure, safety_flag
from services.patients.tables.permissions import permission
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


def _of_patients(table: Table, entries: Select[Any] | None = None) -> Statement:
    """The oldest first: ids are in the order of their making."""
    of_them = table.c.patient_id == any_(param("patient_ids", ARRAY(Uuid)))
    found = select(table) if entries is None else entries
    return Statement(found.where(table.c.chain_id == CHAIN, of_them).order_by(table.c.patient_id, table.c.id))


def _without_texts(read: Callable[[Record], Any]) -> Callable[[Record, Texts], Any]:
    return lambda row, _: read(row)


KINDS: Mapping[str, tuple[Statement, Callable[[Record, Texts], Any]]] = {
    "screenings": (_of_patients(screening, every_screening), screening_of),
    "clearances": (_of_patients(clearance), clearance_of),
    "consents": (_of_patients(consent, every_consent()), kept_consent_of),
    "permissions": (_of_patients(permission), _without_texts(permission_of)),
    "measures": (_of_patients(measure), _without_texts(measure_of)),
    "safety_flags": (_of_patients(safety_flag), safety_flag_of),
    "adverse_events": (_of_patients(adverse_event), adverse_event_of),
    "diagnoses": (_of_patients(diagnosis), _without_texts(diagnosis_of)),
}
"""By the field of PatientExport: what finds its entries, and what reads one."""


class ExportStore(TextStore):
    async def export(self, patient_id: UUID) -> PatientExport:
        found = await self.rows(EXPORTED, patient_id=patient_id)
        if not found:
            raise PatientNotFound(patient_id=to_wire("patient", patient_id))
        [record] = found
        [export] = await self._whole(found, whole_person=True)
        self.saw(record["id"], *record["merged_ids"])
        merged = await self.rows(RECORDS, ids=record["merged_ids"]) if record["merged_ids"] else ()
        return replace(export, merged_patients=tuple(map(patient_of, merged)))

    async def exports(self, after: UUID | None, limit: int) -> list[PatientExport]:
        return await self._whole(await self.rows(EXPORTED_AFTER, after=after or FIRST_ID, limit=limit))

    async def _whole(self, records: Sequence[Record], *, whole_person: bool = False) -> list[PatientExport]:
        """Of the chain's records each is a part by itself, the merged ones too; of one person they are one."""
        whose = {row["id"]: row["id"] for row in records}
        if whole_person:
            whose |= {id: row["id"] for row in records for id in row["merged_ids"]}
        entries = {kind: await self._entries(statement, whose, read) for kind, (statement, read) in KINDS.items()}
        return [
            PatientExport(
                patient_id=row["id"],
                patient=patient_of(row),
                **{kind: tuple(of_patients[row["id"]]) for kind, of_patients in entries.items()},
            )
            for row in records
        ]

    async def _entries(
        self, statement: Statement, whose: Mapping[UUID, UUID], read: Callable[[Record, Texts], Any]
    ) -> dict[Any, list[Any]]:
        """By record. One statement for each kind, however many the records are."""
        found = defaultdict[Any, list[Any]](list)
        for row in await self.rows(statement, patient_ids=list(whose)):
            found[whose[row["patient_id"]]].append(read(row, self.texts))
        return found
