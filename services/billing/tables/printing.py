"""Documents as they are given to patients: what each has to show, the work left, the documents."""

from sqlalchemy import CheckConstraint, Column, Index, Integer, LargeBinary, Text, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB

from chassis.tables import Instant, chain_table
from services.billing.tables.columns import (
    belongs_to,
    code_column,
    day_column,
    id_column,
    instant_column,
    metadata,
    number_column,
    text_column,
)

# What a document shows, committed with what it is about: all but who the patient is, which is asked for when it is
# written.
document_order = chain_table(
    "document_order",
    metadata,
    id_column(key=True),
    code_column("kind"),
    id_column("shown_id"),
    number_column("version"),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("course_id", needed=False),
    day_column("day"),
    Column("content", JSONB, nullable=False),
    instant_column("ordered_at"),
    UniqueConstraint("chain_id", "kind", "shown_id"),
    append_only=True,
)

# A document that is not written yet. Leases and back-off run on real time.
document_work = chain_table(
    "document_work",
    metadata,
    id_column("document_id", key=True),
    id_column("site_id"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("not_before", Instant, nullable=False, server_default=func.now()),
    Column("last_error", Text, nullable=False, server_default=""),
    belongs_to("document_order", "document_id"),
    Index("document_work_next_idx", "chain_id", "not_before"),
)

# Encrypted: `chassis.keyring`. Never changed, and not destroyed before `keep_until`.
document = chain_table(
    "document",
    metadata,
    id_column(key=True),  # Of its order: none is written twice.
    id_column("site_id"),
    id_column("patient_id"),
    text_column("key_id"),
    Column("pdf", LargeBinary, nullable=False),
    Column("snapshot", LargeBinary, nullable=False),
    instant_column("written_at"),
    day_column("keep_until"),
    CheckConstraint("octet_length(pdf) > 28 AND octet_length(snapshot) > 28", name="encrypted"),
    belongs_to("document_order", "id"),
    append_only=True,
)
