"""Measures, and those that ask for a look."""

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB

from chassis.tables import Instant
from services.patients.domain.measures import Instrument, SafetyFlagKind
from services.patients.tables.base import id_, one_of, record_table, sealed, seen_at_its_site

measure = record_table(
    "measure",
    id_(key=True),
    id_("patient_id"),
    id_("site_id"),
    id_("course_id", nullable=True),
    id_("visit_id", nullable=True),
    Column("instrument", Text, nullable=False),
    Column("taken_at", Instant, nullable=False),
    Column("content", JSONB, nullable=False),
    Column("total", Integer),
    Column("recorded_by", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("retracted_by", Text),
    Column("retracted_at", Instant),
    seen_at_its_site(),
    one_of("instrument", Instrument),
    UniqueConstraint("chain_id", "patient_id", "id"),
    CheckConstraint("taken_at <= recorded_at", name="taken"),
    CheckConstraint("(retracted_by IS NULL) = (retracted_at IS NULL)", name="retracted"),
    CheckConstraint("(total IS NULL) = (instrument IN ('VITAL_SIGNS', 'SIDE_EFFECTS'))", name="total"),
    Index("measure_patient_idx", "chain_id", "patient_id", "taken_at", "id"),
    Index("measure_course_idx", "chain_id", "patient_id", "course_id", "instrument", "taken_at", "id"),
)

safety_flag = record_table(
    "safety_flag",
    id_(key=True),
    id_("patient_id"),
    id_("site_id"),
    id_("measure_id"),
    Column("kind", Text, nullable=False),
    Column("raised_at", Instant, nullable=False),
    Column("acknowledged_by", Text),
    Column("acknowledged_at", Instant),
    *sealed("note"),
    seen_at_its_site(),
    ForeignKeyConstraint(
        ["chain_id", "patient_id", "measure_id"], ["measure.chain_id", "measure.patient_id", "measure.id"]
    ),
    one_of("kind", SafetyFlagKind),
    UniqueConstraint("chain_id", "measure_id", "kind"),
    CheckConstraint("(acknowledged_by IS NULL) = (acknowledged_at IS NULL)", name="acknowledged"),
    CheckConstraint("(acknowledged_by IS NULL) = (note = '')", name="note"),
    Index("safety_flag_patient_idx", "chain_id", "patient_id", "id"),
    Index("safety_flag_open_idx", "chain_id", "site_id", "id", postgresql_where=text("acknowledged_at IS NULL")),
)
