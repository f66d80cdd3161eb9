"""Screenings and clearances."""

from sqlalchemy import ARRAY, CheckConstraint, Column, Date, ForeignKeyConstraint, Index, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB

from chassis.tables import Instant
from services.patients.tables.base import id_, record_table, seen_at_its_site

screening = record_table(
    "screening",
    id_(key=True),
    id_("patient_id"),
    id_("protocol_id"),
    id_("site_id"),
    Column("answers", JSONB, nullable=False),
    Column("recorded_by", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    seen_at_its_site(),
    UniqueConstraint("chain_id", "patient_id", "id"),
    append_only=True,
)

clearance = record_table(
    "clearance",
    id_(key=True),
    id_("patient_id"),
    id_("protocol_id"),
    id_("site_id"),
    Column("route_codes", ARRAY(Text), nullable=False),
    Column("effective_date", Date, nullable=False),
    Column("expire_date", Date, nullable=False),
    id_("screening_id", nullable=True),
    Column("granted_by", Text, nullable=False),
    Column("granted_at", Instant, nullable=False),
    Column("revoked_by", Text),
    Column("revoked_at", Instant),
    seen_at_its_site(),
    ForeignKeyConstraint(
        ["chain_id", "patient_id", "screening_id"],
        ["screening.chain_id", "screening.patient_id", "screening.id"],
    ),
    CheckConstraint("effective_date <= expire_date", name="dates"),
    CheckConstraint("(revoked_by IS NULL) = (revoked_at IS NULL)", name="revoked"),
    Index("clearance_patient_idx", "chain_id", "patient_id", "id"),
)
