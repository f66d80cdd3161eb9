"""Versions of consent documents whose earlier signers are still to be told that they sign anew."""

from sqlalchemy import Column, Index, text

from chassis.tables import Instant, chain_list, chain_table
from services.patients.tables.base import belongs_to, id_, metadata

consent_recall = chain_table(
    "consent_recall",
    metadata,
    id_("version_id", key=True),
    Column("due_at", Instant, nullable=False),
    id_("after_id", nullable=True),  # Of the last signer that was looked at; NULL: none yet.
    Column("ended_at", Instant),
    belongs_to("consent_document_version", "version_id"),
)
Index(
    "consent_recall_due_idx",
    consent_recall.c.chain_id,
    consent_recall.c.due_at,
    postgresql_where=text("ended_at IS NULL"),
)

# The chains that ever recalled anything.
recalling_chain = chain_list("recalling_chain", metadata, "patients")
