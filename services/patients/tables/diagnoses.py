"""Diagnoses."""

from sqlalchemy import CheckConstraint, Column, Date, Index, Text, text

from chassis.tables import Instant
from services.patients.domain.diagnoses import DiagnosisRank
from services.patients.tables.base import id_, one_of, record_table, seen_at_its_site

diagnosis = record_table(
    "diagnosis",
    id_(key=True),
    id_("patient_id"),
    id_("site_id"),
    id_("course_id", nullable=True),
    Column("code", Text, nullable=False),
    Column("rank", Text, nullable=False),
    Column("effective", Date, nullable=False),
    Column("recorded_by", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("retracted_by", Text),
    Column("retracted_at", Instant),
    seen_at_its_site(),
    one_of("rank", DiagnosisRank),
    CheckConstraint("code ~ '^[A-Z][0-9][0-9A-Z]([.][0-9A-Z]{1,4})?$'", name="code"),
    CheckConstraint("(retracted_by IS NULL) = (retracted_at IS NULL)", name="retracted"),
    Index("diagnosis_patient_idx", "chain_id", "patient_id", "id"),
    # Of one code one diagnosis stands for a course, and one for all of them.
    Index(
        "diagnosis_standing_key",
        "chain_id",
        "patient_id",
        "course_id",
        "code",
        unique=True,
        postgresql_where=text("retracted_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    ),
)
