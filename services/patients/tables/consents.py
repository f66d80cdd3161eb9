"""Consent documents, signatures and withdrawals."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    UniqueConstraint,
)

from chassis.tables import Instant, chain_table
from services.patients.domain.consents import Method, Relationship
from services.patients.domain.documents import TextFormat
from services.patients.tables.base import belongs_to, id_, metadata, one_of, record_table, sealed, seen_at_its_site

consent_document = chain_table(
    "consent_document",
    metadata,
    id_(key=True),
    Column("code", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("guarantor_may_sign", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("retired_at", Instant),
    Column("retired_by", Text),
    UniqueConstraint("chain_id", "code", "state"),
    CheckConstraint("state ~ '^([A-Z]{2})?$'", name="state"),
    CheckConstraint("(retired_by IS NULL) = (retired_at IS NULL)", name="retired"),
)

consent_document_version = chain_table(
    "consent_document_version",
    metadata,
    id_(key=True),
    id_("document_id"),
    Column("number", Integer, nullable=False),
    Column("effective_date", Date, nullable=False),
    Column("earlier_signatures_stay_good", Boolean, nullable=False),
    Column("published_at", Instant, nullable=False),
    Column("published_by", Text, nullable=False),
    belongs_to("consent_document", "document_id"),
    UniqueConstraint("chain_id", "document_id", "number"),
    UniqueConstraint("chain_id", "document_id", "id"),
    CheckConstraint("number > 0", name="number"),
    append_only=True,
)

consent_text = chain_table(
    "consent_text",
    metadata,
    id_("version_id", key=True),
    Column("language", Text, primary_key=True),
    Column("format", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    belongs_to("consent_document_version", "version_id"),
    one_of("format", TextFormat),
    CheckConstraint("content_hash = encode(sha256(convert_to(content, 'UTF8')), 'hex')", name="content_hash"),
    append_only=True,
)

# A signature. `sequence` numbers those of one patient under one document: of two at once, one is refused.
consent = record_table(
    "consent",
    id_(key=True),
    id_("patient_id"),
    id_("site_id"),
    id_("document_id"),
    id_("version_id"),
    Column("sequence", Integer, nullable=False),
    Column("language", Text, nullable=False),
    *sealed("signer_name"),
    Column("relationship", Text, nullable=False),
    Column("method", Text, nullable=False),
    *sealed("witness_name"),
    Column("signed_at", Instant, nullable=False),
    Column("recorded_by", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    seen_at_its_site(),
    ForeignKeyConstraint(
        ["chain_id", "document_id", "version_id"],
        ["consent_document_version.chain_id", "consent_document_version.document_id", "consent_document_version.id"],
    ),
    ForeignKeyConstraint(
        ["chain_id", "version_id", "language"],
        ["consent_text.chain_id", "consent_text.version_id", "consent_text.language"],
    ),
    UniqueConstraint("chain_id", "patient_id", "document_id", "sequence"),
    UniqueConstraint("chain_id", "patient_id", "id"),
    one_of("relationship", Relationship),
    one_of("method", Method),
    CheckConstraint("method <> 'VERBAL' OR witness_name <> ''", name="witness"),
    CheckConstraint("signed_at <= recorded_at", name="signed"),
    CheckConstraint("sequence > 0", name="sequence"),
    append_only=True,
)

consent_withdrawal = record_table(
    "consent_withdrawal",
    id_("consent_id", key=True),
    id_("patient_id"),
    id_("site_id"),
    *sealed("reason", by=("consent_id",)),
    Column("withdrawn_by", Text, nullable=False),
    Column("withdrawn_at", Instant, nullable=False),
    seen_at_its_site(),
    ForeignKeyConstraint(
        ["chain_id", "patient_id", "consent_id"], ["consent.chain_id", "consent.patient_id", "consent.id"]
    ),
    Index("consent_withdrawal_patient_idx", "chain_id", "patient_id"),
    append_only=True,
)
