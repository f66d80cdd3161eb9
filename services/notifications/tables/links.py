"""Links in messages."""

from sqlalchemy import Column, Text

from chassis.tables import Instant, chain_table
from services.notifications.domain.links import LinkPurpose
from services.notifications.tables.columns import belongs_to, id_column, metadata, one_of

link = chain_table(
    "link",
    metadata,
    id_column(key=True),
    Column("purpose", Text, nullable=False),
    id_column("about_id"),
    id_column("patient_id"),
    id_column("site_id"),
    Column("expire_at", Instant, nullable=False),
    Column("used_at", Instant),
    belongs_to("site", "site_id"),
    one_of("purpose", LinkPurpose),
)
