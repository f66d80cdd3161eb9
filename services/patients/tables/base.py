"""What the tables of patients are made of."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Uuid

from chassis.tables import service_metadata

metadata = service_metadata()


def id_(name: str = "id", *, key: bool = False, nullable: bool = False) -> Column[UUID]:
    return Column(name, Uuid, primary_key=key, nullable=nullable)


def belongs_to(table: str, column: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["chain_id", column], [f"{table}.chain_id", f"{table}.id"])


def seen_at_its_site() -> ForeignKeyConstraint:
    """What a site writes about a patient, it writes about one whose record it may see."""
    return ForeignKeyConstraint(
        ["chain_id", "patient_id", "site_id"],
        ["patient_site.chain_id", "patient_site.patient_id", "patient_site.site_id"],
    )


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    quoted = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({quoted})", name=column)
