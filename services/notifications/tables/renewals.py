"""Documents that patients are to sign anew, and what came of each, in whatever order events tell it."""

from sqlalchemy import Column, Integer, Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY

from chassis.tables import Instant, chain_table
from services.notifications.tables.columns import id_column, metadata

# Of each patient and document the latest version that was asked for.
renewal = chain_table(
    "renewal",
    metadata,
    id_column("patient_id", key=True),
    id_column("document_id", key=True),
    id_column("version_id"),
    Column("number", Integer, nullable=False),  # Of the version.
    Column("site_ids", ARRAY(Uuid), nullable=False),  # Where it is to be signed.
    Column("asked_at", Instant, nullable=False, server_default=func.now()),
    Column("matter_id", Uuid),  # That was told of it, or of a version before it. NULL: none was.
)

# Of each patient and document the latest version that was signed, and when one was signed or taken back last.
renewal_end = chain_table(
    "renewal_end",
    metadata,
    id_column("patient_id", key=True),
    id_column("document_id", key=True),
    Column("number", Integer, nullable=False),
    Column("ended_at", Instant, nullable=False),
)

# Nobody is asked for them any more.
retired_document = chain_table("retired_document", metadata, id_column("document_id", key=True))
