"""What stands in patients' database sealed, as it was before."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Column

from chassis.keyring import KeyRing
from services.patients.settings import RECORD_KEYS
from services.patients.store.texts import Texts
from services.patients.tables import metadata


def sealed_columns() -> Iterator[Column[Any]]:
    for table in metadata.sorted_tables:
        yield from (column for column in table.c if "sealed_by" in column.info)


def texts_of(chain_id: UUID) -> Texts:
    return Texts(KeyRing.of_environment(RECORD_KEYS), chain_id)


def opened(table: str, row: Record) -> dict[str, Any]:
    """The row with the texts that it holds sealed."""
    texts, found = texts_of(row["chain_id"]), dict(row)
    for column in metadata.tables[table].c:
        if (by := column.info.get("sealed_by")) and (kept := found[column.name]):
            kept = kept.decode() if isinstance(kept, bytes) else kept
            found[column.name] = texts.open_bytes(column, kept, *(row[name] for name in by)).decode("utf-8", "replace")
    return found
