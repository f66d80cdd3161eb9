"""Versions of consent documents whose earlier signers are still to be told that they sign anew."""

from uuid import UUID

from sqlalchemy import Column, Index, text

from chassis.tables import Instant, chain_table
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

# The chains that ever recalled anything. The job that tells works for all of them: it looks here as the call of no
# chain, and then into each as a call of that one.
NO_CHAIN = UUID(int=0)
recalling_chain = chain_table("recalling_chain", metadata)
recalling_chain.info["ddl"] = [
    "CREATE POLICY every_chain ON recalling_chain FOR SELECT TO patients "
    f"USING (current_setting('app.chain', true) = '{NO_CHAIN}')"
]
