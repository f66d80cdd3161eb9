"""SQL of sealing texts anew, as the owner of the tables: the service's own role changes no history.

A row's sealed texts are all that changes: neither its version nor any instant of it. What somebody else wrote meanwhile
is not touched: a text is replaced only where it still stands as it was read.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asyncpg import Record
from sqlalchemy import Boolean, Column, LargeBinary, Text, Uuid, func, or_, select, tuple_, update

from chassis.sql import Statement, param, rows
from services.patients.domain.texts import RecordKeyUnknown, RecordTextRefused
from services.patients.store.texts import TextStore, text_in
from services.patients.tables.base import SEALED, metadata

CHAIN, CURRENT, FIRST = param("chain_id", Uuid), param("current", Text), param("first", Boolean)
_KEY_ID = f"^{SEALED}[.](.+)[.][A-Za-z0-9_-]+$"


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of some of the texts of one column."""

    resealed: int
    refused: int  # Of those that do not open: they stay as they are.
    last: Record | None  # The row to go on after. None: there are no more.


class SealedColumn:
    """The statements that find and replace the texts of one column."""

    def __init__(self, column: Column[Any]) -> None:
        table = column.table
        binary = isinstance(column.type, LargeBinary)
        self.column, self.binary = column, binary
        self.by: tuple[str, ...] = column.info["sealed_by"]
        key = [each for each in table.primary_key if each.name != "chain_id"]
        self.key = [each.name for each in key]
        key_id = func.substring(func.convert_from(column, "UTF8") if binary else column, _KEY_ID, type_=Text)
        after = tuple_(*(param(f"after_{each.name}", each.type) for each in key))
        more = [table.c[name] for name in self.by if name not in self.key]
        self.older = Statement(
            select(*key, *more, column.label("text"))
            .where(table.c.chain_id == CHAIN, key_id != CURRENT, or_(FIRST, tuple_(*key) > after))
            .order_by(*key)
            .limit(param("limit"))
        )
        self.count = Statement(
            select(key_id.label("key_id"), func.count().label("count"))
            .where(table.c.chain_id == CHAIN, key_id.is_not(None))
            .group_by(key_id)
        )
        types = {f"new_{each.name}": each.type for each in key} | {"old_text": column.type, "new_text": column.type}
        new = rows("new", **types)
        self.replace = Statement(
            update(table)
            .where(table.c.chain_id == CHAIN, *(each == new.c[f"new_{each.name}"] for each in key))
            .where(column == new.c.old_text)
            .values({column.name: new.c.new_text})
            .returning(table.c.chain_id)
        )


COLUMNS = [SealedColumn(each) for table in metadata.sorted_tables for each in table.c if "sealed_by" in each.info]


class ResealStore(TextStore):
    async def reseal_some(self, of: SealedColumn, current: str, after: Record | None, limit: int) -> Batch:
        """The next of the chain's that are not under the key `current`, which is under which they are sealed then."""
        place = {f"after_{name}": after[name] if after else None for name in of.key}
        found = await self.rows(of.older, current=current, first=after is None, limit=limit, **place)
        replaced, refused = list[tuple[Record, Any]](), 0
        for row in found:
            try:
                replaced.append((row, self._resealed(of, row)))
            except (RecordTextRefused, RecordKeyUnknown):  # It is in the log.
                refused += 1
        values: dict[str, list[Any]] = {f"new_{name}": [row[name] for row, _ in replaced] for name in of.key}
        values |= {"old_text": [row["text"] for row, _ in replaced], "new_text": [text for _, text in replaced]}
        done = await self.rows(of.replace, **values) if replaced else []
        return Batch(len(done), refused, found[-1] if len(found) == limit else None)

    async def count_by_key(self) -> Mapping[str, int]:
        """How many texts of the chain stand under which key."""
        counted = Counter[str]()
        for each in COLUMNS:
            counted.update({row["key_id"]: row["count"] for row in await self.rows(each.count)})
        return counted

    def _resealed(self, of: SealedColumn, row: Record) -> Any:
        of_row = [row[name] for name in of.by]
        text = text_in(row["text"]) if of.binary else row["text"]
        sealed = self.texts.seal_bytes(of.column, self.texts.open_bytes(of.column, text, *of_row), *of_row)
        return sealed.encode() if of.binary else sealed
