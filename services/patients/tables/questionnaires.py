"""Questionnaires of the chain, their versions, and which protocol uses which."""

from sqlalchemy import CheckConstraint, Column, Integer, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB

from chassis.tables import Instant, chain_table
from services.patients.tables.base import belongs_to, id_, metadata

questionnaire = chain_table(
    "questionnaire",
    metadata,
    id_(key=True),
    Column("code", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("retired_at", Instant),
    UniqueConstraint("chain_id", "code"),
)

questionnaire_version = chain_table(
    "questionnaire_version",
    metadata,
    id_(key=True),
    id_("questionnaire_id"),
    Column("version", Integer, nullable=False),
    Column("content", JSONB, nullable=False),
    Column("published_at", Instant, nullable=False),
    Column("published_by", Text, nullable=False),
    belongs_to("questionnaire", "questionnaire_id"),
    UniqueConstraint("chain_id", "questionnaire_id", "version"),
    CheckConstraint("version >= 1", name="version"),
    append_only=True,
)

# The protocol is scheduling's. The last assignment holds.
protocol_questionnaire = chain_table(
    "protocol_questionnaire",
    metadata,
    id_("protocol_id", key=True),
    id_("questionnaire_id"),
    Column("assigned_at", Instant, nullable=False),
    Column("assigned_by", Text, nullable=False),
    belongs_to("questionnaire", "questionnaire_id"),
)
