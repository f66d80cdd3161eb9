"""SQL of merges, and what a claim tells of merged records."""

import json
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

from asyncpg import Record
from google.protobuf.message import Message
from sqlalchemy import (
    ARRAY,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    union_all,
    update,
)

from chassis.ids import ids_of_kind, read_id, to_wire
from chassis.sql import Statement, param, params
from chassis.store import LOCK_IDS, Settling, claiming
from services.patients.domain.merges import Merge, MergeNotFound, PatientNotMerged, ToMerge, Written
from services.patients.domain.patients import PatientNotFound
from services.patients.store.pairs import CARRIED_PAIRS, MERGED_PAIRS, PARTED_PAIRS
from services.patients.store.persons import PERSON, PERSON_IDS, SURVIVOR
from services.patients.store.seen import AT_ITS_SITES
from services.patients.store.texts import TextStore
from services.patients.tables.adverse_events import adverse_event
from services.patients.tables.clearances import clearance, screening
from services.patients.tables.consents import consent
from services.patients.tables.diagnoses import diagnosis
from services.patients.tables.measures import measure
from services.patients.tables.merges import patient_merge
from services.patients.tables.permissions import permission
from services.patients.tables.records import patient

CHAIN = param("chain_id", Uuid)
LAST_ID, FIRST_ID = UUID(int=2**128 - 1), UUID(int=0)

# A claim locks the records that stand for those that were asked to be locked, and tells which stand for those named.
_locked = (
    select(func.coalesce(patient.c.survivor_id, LOCK_IDS.c.lock_id).label("lock_id"))
    .outerjoin_from(LOCK_IDS, patient, and_(patient.c.chain_id == CHAIN, patient.c.id == LOCK_IDS.c.lock_id))
    .distinct()
    .order_by("lock_id")
    .offset(0)
    .subquery("locked")
)
_named = select(func.json_object_agg(cast(patient.c.id, Text), patient.c.survivor_id)).where(
    patient.c.chain_id == CHAIN,
    patient.c.id == any_(param("named_ids", ARRAY(Uuid))),
    patient.c.survivor_id.is_not(None),
)
CLAIM = claiming(_locked, _named.scalar_subquery().label("survivors"))

_other = patient.alias("other")
_before = patient_merge.alias("before")
_counted = (
    select(func.count())
    .select_from(_other)
    .where(_other.c.chain_id == CHAIN, _other.c.survivor_id == patient.c.id)
    .scalar_subquery()
)
_last = (
    select(func.coalesce(func.max(_before.c.version), 0))
    .where(_before.c.chain_id == CHAIN, _before.c.merged_id == patient.c.id)
    .scalar_subquery()
)
TO_MERGE = Statement(
    select(
        patient.c.id,
        patient.c.version,
        patient.c.restricted,
        patient.c.survivor_id,
        _counted.label("merged_count"),
        _last.label("last_version"),
    )
    .where(patient.c.chain_id == CHAIN, patient.c.id == any_(param("ids", ARRAY(Uuid))), AT_ITS_SITES)
    .order_by(patient.c.id)
    .with_for_update(of=patient)
)
MOVE = Statement(
    update(patient)
    .where(patient.c.chain_id == CHAIN, patient.c.id == any_(param("ids", ARRAY(Uuid))))
    .values(survivor_id=case((patient.c.id == param("survivor_id", Uuid), null()), else_=param("survivor_id", Uuid)))
)
SHARE = Statement(select(func.share_sites(param("members", ARRAY(Uuid)))).where(CHAIN.is_not(None)))
ADD_MERGE = Settling(
    insert(patient_merge).inline().values(params(*patient_merge.c.keys())).cte("new_merge"),
    MERGED_PAIRS,
    CARRIED_PAIRS,
)
_unmerging = ("version", "unmerge_id", "unmerge_reason", "unmerged_by", "unmerged_at")
END_MERGE = Settling(
    update(patient_merge)
    .where(patient_merge.c.chain_id == CHAIN, patient_merge.c.id == param("merge_id", Uuid))
    .values(params(*_unmerging))
    .cte("ended_merge"),
    PARTED_PAIRS,
)
IDS = Statement(select(PERSON_IDS.label("ids")).where(CHAIN.is_not(None)))
STANDING = Statement(
    select(patient_merge, SURVIVOR.label("standing_id"))
    .join(patient, and_(patient.c.chain_id == CHAIN, patient.c.id == SURVIVOR))
    .where(
        patient_merge.c.chain_id == CHAIN,
        patient_merge.c.merged_id == PERSON,
        patient_merge.c.unmerged_at.is_(None),
        AT_ITS_SITES,
    )
)
_visible = and_(patient.c.chain_id == CHAIN, patient.c.id == patient_merge.c.survivor_id, AT_ITS_SITES)
_merges = select(patient_merge).join(patient, _visible).where(patient_merge.c.chain_id == CHAIN)
MERGE = Statement(_merges.where(patient_merge.c.id == param("merge_id", Uuid)))
MERGES = Statement(
    _merges.where(
        or_(patient_merge.c.survivor_id == PERSON, patient_merge.c.merged_id == PERSON),
        patient_merge.c.id < param("before", Uuid),
    )
    .order_by(patient_merge.c.id.desc())
    .limit(param("limit"))
)


def _written(kind: str, table: Table) -> Any:
    """Ids are in the order of their making."""
    return select(literal(kind, Text).label("kind"), table.c.id, table.c.patient_id, table.c.site_id).where(
        table.c.chain_id == CHAIN,
        table.c.patient_id == param("patient_id", Uuid),
        table.c.id > param("after", Uuid),
        table.c.id < param("until", Uuid),
    )


KINDS = {
    "SCREENING": screening,
    "CLEARANCE": clearance,
    "CONSENT": consent,
    "PERMISSION": permission,
    "MEASURE": measure,
    "ADVERSE_EVENT": adverse_event,
    "DIAGNOSIS": diagnosis,
}
_all_written = union_all(*(_written(kind, table) for kind, table in KINDS.items())).subquery("written")
WRITTEN = Statement(select(_all_written).order_by(_all_written.c.id).limit(param("limit")))


class MergeStore(TextStore):
    claiming = CLAIM
    _survivors: Mapping[UUID, UUID] = MappingProxyType({})
    """Of the records that the request names, those that were merged."""

    def claim_values(self, request: Message) -> dict[str, Any]:
        return {"named_ids": list(ids_of_kind(request, "patient", own=False))}

    def claimed(self, row: Record) -> None:
        self._survivors = {read_id(id): read_id(of) for id, of in json.loads(row["survivors"] or "{}").items()}

    def survivor(self, patient_id: UUID) -> UUID:
        """The record under which something new is written about a patient whom the request names."""
        return self._survivors.get(patient_id, patient_id)

    async def to_merge(self, survivor_id: UUID, merged_id: UUID) -> tuple[ToMerge, ToMerge]:
        """Nobody else changes them until the transaction ends."""
        found = {row["id"]: ToMerge(**row) for row in await self.rows(TO_MERGE, ids=[survivor_id, merged_id])}
        for id in (survivor_id, merged_id):
            if id not in found:
                raise PatientNotFound(patient_id=to_wire("patient", id))
        return found[survivor_id], found[merged_id]

    async def person_ids(self, patient_id: UUID) -> list[UUID]:
        """The record that stands for the others comes first."""
        row = await self.row(IDS, patient_id=patient_id)
        assert row
        return list(row["ids"])

    async def stand_for(self, survivor_id: UUID, ids: Collection[UUID]) -> None:
        """From now on it does, for `ids`; it itself stands for itself."""
        await self.rows(MOVE, survivor_id=survivor_id, ids=[survivor_id, *ids])

    async def share_sites(self, ids: Collection[UUID]) -> None:
        await self.rows(SHARE, members=list(ids))

    def add_merge(self, new: Merge, theirs: Collection[UUID], person_ids: Collection[UUID]) -> None:
        """`theirs` are the records that became part of the person, whose records are now `person_ids`."""
        values = {name: getattr(new, name) for name in patient_merge.c.keys() if name != "chain_id"}  # noqa: SIM118
        values["reason"] = self.texts.seal(patient_merge.c.reason, new.reason, new.id)
        ids = {"their_ids": list(theirs), "person_ids": list(person_ids), "standing_id": new.survivor_id}
        self.write_last(ADD_MERGE, **values, **ids)

    def end_merge(self, ended: Merge, theirs: Collection[UUID]) -> None:
        """`theirs` are the records that are the person's no longer."""
        values = {name: getattr(ended, name) for name in _unmerging}
        values["unmerge_reason"] = self.texts.seal(patient_merge.c.unmerge_reason, ended.unmerge_reason or "", ended.id)
        self.write_last(END_MERGE, merge_id=ended.id, their_ids=list(theirs), **values)

    async def standing_merges(self, merged_id: UUID) -> tuple[UUID, list[Merge]]:
        """Of the person whose record it is, and the record that stands for them."""
        found = await self.rows(STANDING, patient_id=merged_id)
        if not found:
            raise PatientNotMerged()
        return found[0]["standing_id"], [self._merge(row) for row in found]

    async def merge(self, id: UUID) -> Merge:
        if row := await self.row(MERGE, merge_id=id):
            return self._merge(row)
        raise MergeNotFound(merge_id=to_wire("merge", id))

    async def merges(self, patient_id: UUID, before: UUID | None, limit: int) -> list[Merge]:
        """The latest first: ids are in the order of their making."""
        found = await self.rows(MERGES, patient_id=patient_id, before=before or LAST_ID, limit=limit)
        for row in found:
            self.saw(row["survivor_id"], row["merged_id"])
        return [self._merge(row) for row in found]

    async def written_while(self, merge: Merge, after: UUID | None, limit: int) -> list[Written]:
        asked = {"after": after or merge.id, "until": merge.unmerge_id or LAST_ID, "limit": limit}
        return [Written(**row) for row in await self.rows(WRITTEN, patient_id=merge.survivor_id, **asked)]

    def _merge(self, row: Record) -> Merge:
        values = {name: row[name] for name in patient_merge.c.keys() if name != "chain_id"}  # noqa: SIM118
        for column in (patient_merge.c.reason, patient_merge.c.unmerge_reason):
            if row[column.name] is not None:
                values[column.name] = self.texts.open(column, row[column.name], row["id"])
        return Merge(**values)
