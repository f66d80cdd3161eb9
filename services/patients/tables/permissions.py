"""What was said of channels and purposes."""

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Text

from chassis.tables import Instant
from services.patients.domain.contacts import ContactUse
from services.patients.domain.permissions import Channel, Giver, PermissionMethod, Purpose
from services.patients.tables.base import belongs_to, id_, one_of, record_table, seen_at_its_site

permission = record_table(
    "permission",
    id_(key=True),
    id_("patient_id"),
    id_("site_id"),
    Column("channel", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("use", Text, nullable=False),
    Column("permitted", Boolean, nullable=False),
    Column("giver", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("told_at", Instant, nullable=False),
    Column("wording_code", Text, nullable=False),
    id_("version_id", nullable=True),
    Column("recorded_by", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    seen_at_its_site(),
    belongs_to("consent_document_version", "version_id"),
    one_of("channel", Channel),
    one_of("purpose", Purpose),
    one_of("use", ContactUse),
    one_of("giver", Giver),
    one_of("method", PermissionMethod),
    CheckConstraint("giver <> 'COMPANION' OR purpose = 'COMPANION'", name="companion"),
    CheckConstraint("channel <> 'PORTAL' OR use = 'UNSPECIFIED'", name="portal"),
    CheckConstraint("told_at <= recorded_at", name="told"),
    Index("permission_patient_idx", "chain_id", "patient_id", "id"),
    append_only=True,
)
