"""What the tables of patients are made of."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Table, Uuid
from sqlalchemy.schema import SchemaItem

from chassis.tables import chain_table, service_metadata

metadata = service_metadata()

RECORD_OWN = """'*' = current_setting('app.sites', true)
OR (SELECT true FROM patient_site AS seen
    WHERE seen.chain_id = {table}.chain_id AND seen.patient_id = {table}.patient_id LIMIT 1)"""
"""The record is changed by staff of its sites: the table shows own sites only.

Subselects with a LIMIT: PostgreSQL would read all of what stands behind an EXISTS into a hash."""
BROKE_GLASS = """OR (SELECT true FROM break_glass AS seen
    WHERE seen.chain_id = {table}.chain_id AND seen.patient_id = {table}.patient_id
    AND seen.actor = current_setting('app.actor', true) AND seen.expire_at > clock_timestamp() LIMIT 1)"""
RECORD_SEEN = f"{RECORD_OWN} {BROKE_GLASS}"
"""It is seen by them, and by whoever broke the glass for it at one of the caller's sites."""


def id_(name: str = "id", *, key: bool = False, nullable: bool = False) -> Column[UUID]:
    return Column(name, Uuid, primary_key=key, nullable=nullable)


def record_table(name: str, *items: SchemaItem, append_only: bool = False) -> Table:
    """A part of a patient's record: `patient_id`, and `site_id` of whoever wrote it. Who sees the record, sees it."""
    seen, own = (" ".join(sql.format(table=name).split()) for sql in (RECORD_SEEN, RECORD_OWN))
    changed_by = None if append_only else own
    return chain_table(name, metadata, *items, append_only=append_only, own_sites=seen, changed_by=changed_by)


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
