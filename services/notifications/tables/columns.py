"""How columns of notifications are written."""

from collections.abc import Iterable
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Uuid,
)

from chassis.tables import service_metadata

metadata = service_metadata()


def id_column(name: str = "id", *, key: bool = False) -> Column[UUID]:
    return Column(name, Uuid, primary_key=key, nullable=False)


def one_of(name: str, words: Iterable[StrEnum]) -> CheckConstraint:
    return CheckConstraint(f"{name} IN ({', '.join(repr(str(word)) for word in words)})", name=name)


def belongs_to(table: str, column: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["chain_id", column], [f"{table}.chain_id", f"{table}.id"])
