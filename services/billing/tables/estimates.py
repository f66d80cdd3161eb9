"""Good Faith Estimates."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, SmallInteger, Text, UniqueConstraint

from chassis.tables import chain_table
from services.billing.tables.columns import (
    belongs_to,
    code_column,
    day_column,
    id_column,
    instant_column,
    kind_of_visit,
    metadata,
    number_column,
    text_column,
)

estimate = chain_table(
    "estimate",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("course_id", needed=False),
    number_column("version"),
    code_column("trigger"),
    day_column("service_date"),
    id_column("price_book_id", needed=False),
    number_column("price_book_version"),
    Column("currency", Text),
    Column("total_minor", BigInteger),
    Column("deposit_minor", BigInteger),
    instant_column("created_at"),
    instant_column("due_at", needed=False),
    UniqueConstraint("chain_id", "course_id", "version"),
    belongs_to("site", "site_id"),
    Index("estimate_of_patient_idx", "chain_id", "patient_id", "id"),
    Index("estimate_of_site_idx", "chain_id", "site_id", "id"),
    append_only=True,
)
Index(
    "estimate_unpriced_idx",
    estimate.c.chain_id,
    estimate.c.site_id,
    estimate.c.id,
    postgresql_where=estimate.c.total_minor.is_(None),
)

estimate_line = chain_table(
    "estimate_line",
    metadata,
    id_column("estimate_id", key=True),
    Column("position", SmallInteger, primary_key=True),
    id_column("site_id"),
    *kind_of_visit(),
    text_column("description"),
    number_column("count"),
    Column("unit_price_minor", BigInteger),
    id_column("price_item_id", needed=False),
    CheckConstraint("count > 0", name="count"),
    CheckConstraint("(unit_price_minor IS NULL) = (price_item_id IS NULL)", name="priced"),
    belongs_to("estimate", "estimate_id"),
    append_only=True,
)
