"""Adverse events."""

from sqlalchemy import CheckConstraint, Column, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from chassis.tables import Instant
from services.patients.domain.adverse_events import Outcome
from services.patients.tables.base import id_, one_of, record_table, sealed, seen_at_its_site

OPEN = "(resolved_at IS NULL OR (allowed_at IS NULL AND outcome <> 'FATAL'))"

adverse_event = record_table(
    "adverse_event",
    id_(key=True),
    id_("patient_id"),
    id_("site_id"),
    id_("course_id", nullable=True),
    id_("visit_id", nullable=True),
    Column("code", Text, nullable=False),
    Column("occurred_at", Instant, nullable=False),
    *sealed("description"),
    Column("grades", JSONB, nullable=False),
    Column("version", Integer, nullable=False),
    Column("resolved_by", Text),
    Column("resolved_at", Instant),
    Column("outcome", Text),
    Column("allowed_by", Text),
    Column("allowed_at", Instant),
    seen_at_its_site(),
    one_of("outcome", Outcome),
    CheckConstraint(
        "(resolved_by IS NULL) = (resolved_at IS NULL) AND (resolved_by IS NULL) = (outcome IS NULL)", name="resolved"
    ),
    CheckConstraint("(allowed_by IS NULL) = (allowed_at IS NULL)", name="allowed"),
    Index("adverse_event_patient_idx", "chain_id", "patient_id", "id"),
    Index("adverse_event_open_idx", "chain_id", "site_id", "id", postgresql_where=text(OPEN)),
)
