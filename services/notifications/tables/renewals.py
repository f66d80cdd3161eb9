"""Documents that patients are to sign anew, as patients told of them and until they signed or withdrew."""

from sqlalchemy import Column, Integer, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

from chassis.tables import chain_table
from services.notifications.tables.columns import id_column, metadata

renewal = chain_table(
    "renewal",
    metadata,
    id_column("patient_id", key=True),
    id_column("document_id", key=True),
    id_column("version_id"),
    Column("number", Integer, nullable=False),  # Of the version.
    Column("site_ids", ARRAY(Uuid), nullable=False),  # Where it is to be signed.
)
