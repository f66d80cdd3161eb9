"""Ids that became another's: two records turned out to be of one, and may turn out not to be.

Whoever keeps rows under an id hears by event that it is an alias of another, its survivor, or stands for itself again.
No row is rewritten: reads ask for the rows of `all_ids`, new rows are written under `end`. A survivor may become an
alias itself. Each alias's row therefore holds its end, too, the last survivor: reads find all ids by index alone, in
statements that must be fast and for each row of a list, where walking from survivor to survivor would cost most; and
it is reckoned anew from the direct survivors, which the row keeps, whenever one of them changes, which is seldom.

What came last counts, by version, whichever is heard first. Between two events that come in the wrong order ids may go
round in a ring for a while: the least of them is the end then, so that all agree on one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    ColumnElement,
    FromClause,
    Index,
    Integer,
    MetaData,
    Table,
    Uuid,
    any_,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import array, insert

from chassis.sql import Statement, param, rows
from chassis.store import Store
from chassis.tables import chain_table

CHAIN = param("chain_id", Uuid)
# A function, called in a subselect, so that PostgreSQL asks once for each statement, and compares with its answer. It
# runs as the owner, since what the service's role sees of aliases is confined by its answer.
OWN_IDS = """
CREATE FUNCTION own_ids() RETURNS uuid[] LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    chain constant uuid := nullif(current_setting('app.chain', true), '')::uuid;
    own constant uuid := nullif(current_setting('app.patient', true), '')::uuid;
    last uuid;
BEGIN
    SELECT end_id INTO last FROM patient_alias WHERE chain_id = chain AND alias_id = own;
    last := coalesce(last, own);
    RETURN ARRAY(SELECT alias_id FROM patient_alias WHERE chain_id = chain AND end_id = last) || ARRAY[own, last];
END $$
""".strip()
"""All ids of a patient who calls for themselves, by a table of aliases named patient_alias: DDL of its service."""
OWN = "(SELECT own_ids())::uuid[]"
"""The same, for policies: `own_ids` of a table, or of the metadata."""
Survivors = Mapping[UUID, UUID | None]
"""Of each alias its direct survivor; None: it stands for itself again."""


def alias_table(name: str, metadata: MetaData) -> Table:
    return chain_table(
        name,
        metadata,
        Column("alias_id", Uuid, primary_key=True),
        Column("survivor_id", Uuid),  # The direct one. None: it stands for itself again.
        Column("end_id", Uuid, nullable=False),  # The last survivor; the alias itself if it stands for itself.
        Column("version", Integer, nullable=False),
        CheckConstraint("survivor_id <> alias_id", name="of_another"),
        Index(f"{name}_end_idx", "chain_id", "end_id"),
        own_by="alias_id",
        own_ids=OWN,
    )


def path(id: UUID, survivors: Survivors) -> list[UUID]:
    """From an id to its end, from survivor to survivor; out of a ring, to the least of it."""
    passed = [id]
    while (survivor := survivors.get(passed[-1])) is not None:
        if survivor in passed:
            ring = passed[passed.index(survivor) :]
            return [*passed, min(ring)]
        passed.append(survivor)
    return passed


@dataclass(frozen=True, slots=True)
class Whole:
    """All ids of one, and the end, under which rows are written."""

    end: UUID
    ids: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class Joined:
    """Ids that were two and are one since a change; both empty when it joined none."""

    ones: frozenset[UUID]
    others: frozenset[UUID]


class Aliases:
    """What a statement asks of one alias table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        alias_id, survivor_id = param("alias_id", Uuid), param("survivor_id", Uuid)
        of_alias = select(table.c.version).where(table.c.chain_id == CHAIN, table.c.alias_id == alias_id)
        self.BEFORE = Statement(
            select(
                of_alias.scalar_subquery().label("version"),
                self.end(alias_id).label("alias_end"),
                self.end(survivor_id).label("survivor_end"),
            )
        )
        id = param("id", Uuid)
        self.WHOLE = Statement(select(self.end(id).label("end_id"), self.all_ids(id).label("ids")))
        self.OF_ENDS = Statement(
            select(table).where(table.c.chain_id == CHAIN, table.c.end_id == any_(param("end_ids", ARRAY(Uuid))))
        )
        kept = rows("kept", alias_id=Uuid, survivor_id=Uuid, end_id=Uuid, version=Integer)
        new = insert(table).from_select(["chain_id", *(column.name for column in kept.c)], select(CHAIN, *kept.c))
        told = {name: new.excluded[name] for name in ("survivor_id", "end_id", "version")}
        self.KEEP = Statement(new.on_conflict_do_update(index_elements=["chain_id", "alias_id"], set_=told))

    def end(self, id: ColumnElement[UUID]) -> ColumnElement[UUID]:
        """Under which id rows about `id` are written.

        In a subquery of its own: PostgreSQL takes COALESCE in a condition for one that leaks, which row-level security
        keeps from any index.
        """
        own = self._table.alias()
        found = select(own.c.end_id).where(own.c.chain_id == CHAIN, own.c.alias_id == id).correlate_except(own)
        return select(func.coalesce(found.scalar_subquery(), id)).correlate_except(own).scalar_subquery()

    def all_ids(self, id: ColumnElement[UUID]) -> ColumnElement[list[UUID]]:
        """An array of all ids that have the same end, the end among them, each once: for `column == any_(…)`."""
        same, end = self._table.alias(), self.end(id)
        of_end = [same.c.chain_id == CHAIN, same.c.end_id == end, same.c.alias_id != end]
        others = func.array(select(same.c.alias_id).where(*of_end).correlate_except(same).scalar_subquery())
        return func.array_append(others, end, type_=ARRAY(Uuid))

    def each_end(self, id: ColumnElement[UUID], name: str) -> FromClause:
        """`end` as a table, to join to rows that each have another."""
        return func.unnest(array([self.end(id)])).table_valued("id").render_derived(name=name)

    def each_id(self, id: ColumnElement[UUID], name: str) -> FromClause:
        """`all_ids` as a table, to join where an index takes no array, as one of an exclusion constraint does not."""
        return func.unnest(self.all_ids(id)).table_valued("id").render_derived(name=name)


class AliasStore(Store):
    aliases: ClassVar[Aliases]

    async def whole(self, id: UUID) -> Whole:
        row = await self.row(self.aliases.WHOLE, id=id)
        assert row
        return Whole(row["end_id"], frozenset(row["ids"]))

    async def ids_of_subject(self, id: UUID) -> list[UUID]:
        return list((await self.whole(id)).ids)

    async def lock_whole(self, id: UUID, *, locked: UUID | None = None) -> Whole:
        """With its end locked: whoever works for any of its ids waits, and none joins or leaves it meanwhile.

        `locked` is what the caller locked before. The end may have become another's while its lock was awaited: what
        counts is what is read under the lock.
        """
        while (whole := await self.whole(id)).end != locked:
            locked = whole.end
            await self.lock([locked])
        return whole

    async def keep_alias(self, alias_id: UUID, survivor_id: UUID | None, version: int) -> Joined | None:
        """`survivor_id` None: the alias stands for itself again. None is answered where something later is known.

        One change of a chain's aliases follows another; each waits for whoever works under an end that it touches.
        """
        await self.lock([self.call.chain_id])
        before = await self.row(self.aliases.BEFORE, alias_id=alias_id, survivor_id=survivor_id or alias_id)
        assert before
        if before["version"] is not None and before["version"] >= version:
            return None
        ends = {before["alias_end"], before["survivor_end"]}
        await self.lock(ends)
        known = {row["alias_id"]: row for row in await self.rows(self.aliases.OF_ENDS, end_ids=list(ends))}
        survivors = {id: row["survivor_id"] for id, row in known.items()} | {alias_id: survivor_id}
        versions = {id: row["version"] for id, row in known.items()} | {alias_id: version}
        now = {id: path(id, survivors)[-1] for id in survivors}
        await self.rows(
            self.aliases.KEEP,
            alias_id=list(survivors),
            survivor_id=list(survivors.values()),
            end_id=[now[id] for id in survivors],
            version=[versions[id] for id in survivors],
        )
        return _joined(before["survivor_end"], {id: row["end_id"] for id, row in known.items()}, now, survivor_id)

    async def survivors(self, id: UUID) -> list[UUID]:
        """From an id to its end."""
        found = await self.rows(self.aliases.OF_ENDS, end_ids=[(await self.whole(id)).end])
        return path(id, {row["alias_id"]: row["survivor_id"] for row in found})


def _joined(
    survivor_end: UUID, before: Mapping[UUID, UUID], now: Mapping[UUID, UUID], survivor_id: UUID | None
) -> Joined:
    if survivor_id is None:
        return Joined(frozenset(), frozenset())
    others = _of_end(survivor_end, before)
    return Joined(_of_end(now.get(survivor_id, survivor_id), now) - others, others)


def _of_end(end: UUID, ends: Mapping[UUID, Any]) -> frozenset[UUID]:
    return frozenset({end, *(id for id, its_end in ends.items() if its_end == end)})
