"""Patients' tables, with the last line of each invariant. The chassis adds its own, and row-level security.

A patient's own row has no site, so that a search reaches the whole chain; who may open it stands in `patient_site`,
whose rows the database hides from calls of other sites.
"""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from chassis.tables import Instant, chain_table, service_metadata
from services.patients.domain.contacts import ContactSystem, ContactUse
from services.patients.domain.patients import Gender

metadata = service_metadata()


def _id(name: str = "id", *, key: bool = False, nullable: bool = False) -> Column[UUID]:
    return Column(name, Uuid, primary_key=key, nullable=nullable)


def _belongs_to(table: str, column: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["chain_id", column], [f"{table}.chain_id", f"{table}.id"])


def _seen_at_its_site() -> ForeignKeyConstraint:
    """What a site writes about a patient, it writes about one whose record it may see."""
    return ForeignKeyConstraint(
        ["chain_id", "patient_id", "site_id"],
        ["patient_site.chain_id", "patient_site.patient_id", "patient_site.site_id"],
    )


def _one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    quoted = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({quoted})", name=column)


# What scheduling told of a site.
site = chain_table("site", metadata, _id(key=True), Column("time_zone", Text, nullable=False))

patient = chain_table(
    "patient",
    metadata,
    _id(key=True),
    Column("mrn", Text, nullable=False),
    Column("given_names", ARRAY(Text), nullable=False),
    Column("family_name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("birth_date", Date, nullable=False),
    Column("gender", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    _id("home_site_id"),
    Column("deceased", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("chain_id", "mrn"),
    _belongs_to("site", "home_site_id"),
    _one_of("gender", Gender),
    Index("patient_birth_date_idx", "chain_id", "birth_date"),
)

patient_site = chain_table(
    "patient_site",
    metadata,
    _id("patient_id", key=True),
    _id("site_id", key=True),
    _belongs_to("patient", "patient_id"),
    _belongs_to("site", "site_id"),
)

contact_point = chain_table(
    "contact_point",
    metadata,
    _id("patient_id", key=True),
    Column("place", SmallInteger, primary_key=True, autoincrement=False),
    Column("system", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("use", Text, nullable=False),
    Column("rank", SmallInteger, nullable=False),
    Column("verified", Boolean, nullable=False),
    _belongs_to("patient", "patient_id"),
    _one_of("system", ContactSystem),
    _one_of("use", ContactUse),
    Index("contact_point_value_idx", "chain_id", "system", "value"),
)

# One system gives one value to one patient of the chain: what an import run twice is stopped by.
patient_identifier = chain_table(
    "patient_identifier",
    metadata,
    Column("system", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    _id("patient_id"),
    Column("place", SmallInteger, nullable=False),
    _belongs_to("patient", "patient_id"),
    Index("patient_identifier_patient_idx", "chain_id", "patient_id"),
)

# The words of a patient's names as a search sees them. In the order of code points, whatever the database's language:
# so a prefix is a range, compared by operators that row-level security lets reach the index.
patient_name = chain_table(
    "patient_name",
    metadata,
    Column("word", Text(collation="C"), primary_key=True),
    _id("patient_id", key=True),
    _belongs_to("patient", "patient_id"),
    Index("patient_name_patient_idx", "chain_id", "patient_id", "word"),
)

screening = chain_table(
    "screening",
    metadata,
    _id(key=True),
    _id("patient_id"),
    _id("protocol_id"),
    _id("site_id"),
    Column("answers", JSONB, nullable=False),
    Column("recorded_by", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    _seen_at_its_site(),
    UniqueConstraint("chain_id", "patient_id", "id"),
    append_only=True,
)

clearance = chain_table(
    "clearance",
    metadata,
    _id(key=True),
    _id("patient_id"),
    _id("protocol_id"),
    _id("site_id"),
    Column("route_codes", ARRAY(Text), nullable=False),
    Column("effective_date", Date, nullable=False),
    Column("expire_date", Date, nullable=False),
    _id("screening_id", nullable=True),
    Column("granted_by", Text, nullable=False),
    Column("granted_at", Instant, nullable=False),
    Column("revoked_by", Text),
    Column("revoked_at", Instant),
    _seen_at_its_site(),
    ForeignKeyConstraint(
        ["chain_id", "patient_id", "screening_id"],
        ["screening.chain_id", "screening.patient_id", "screening.id"],
    ),
    CheckConstraint("effective_date <= expire_date", name="dates"),
    CheckConstraint("(revoked_by IS NULL) = (revoked_at IS NULL)", name="revoked"),
    Index("clearance_patient_idx", "chain_id", "patient_id", "id"),
)
