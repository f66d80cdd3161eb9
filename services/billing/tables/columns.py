"""Columns that many tables have."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, Date, ForeignKeyConstraint, Integer, SmallInteger, Text, Uuid

from chassis.aliases import OWN, OWN_IDS
from chassis.tables import Instant, service_metadata

metadata = service_metadata(own_ids=OWN)
metadata.info["ddl"] = [OWN_IDS]


def id_column(name: str = "id", *, key: bool = False, needed: bool = True) -> Column[UUID]:
    return Column(name, Uuid, primary_key=key, nullable=not needed)


def text_column(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def code_column(name: str) -> Column[int]:
    """Of an enum, numbered as in the proto."""
    return Column(name, SmallInteger, nullable=False)


def minor_column(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def number_column(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False)


def instant_column(name: str, *, needed: bool = True) -> Column[datetime]:
    return Column(name, Instant, nullable=not needed)


def day_column(name: str) -> Column[date]:
    return Column(name, Date, nullable=False)


def kind_of_visit() -> list[Column[str]]:
    return [text_column("visit_type_code"), text_column("route_code"), text_column("band_code")]


def belongs_to(table: str, column: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["chain_id", column], [f"{table}.chain_id", f"{table}.id"])
