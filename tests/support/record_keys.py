"""Keys that texts of records are sealed with in tests, and the clear text of what stands in a database."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Column

from chassis.keyring import KeyRing
from services.patients.settings import RECORD_KEYS
from services.patients.store.texts import Texts
from services.patients.tables import metadata

__all__ = ["RECORD_KEYS", "opened", "sealed_columns", "texts_of", "write_keys"]


def write_keys(path: Path, *names: str) -> None:
    """The last is the current one. A key of one name is the same everywhere."""
    keys = {name: base64.b64encode(hashlib.sha256(name.encode()).digest()).decode() for name in names}
    path.write_text(json.dumps({"current": names[-1], "keys": keys}))


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
