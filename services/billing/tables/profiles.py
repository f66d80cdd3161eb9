"""Who bills: what legal entities and sites say of themselves on documents."""

from datetime import date
from typing import Any

from sqlalchemy import CheckConstraint, Column, Date, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from chassis.tables import chain_table
from services.billing.tables.columns import belongs_to, id_column, metadata, number_column, text_column


def _days(name: str) -> Column[Any]:
    return Column[list[date]](name, ARRAY(Date), nullable=False)


legal_entity_billing = chain_table(
    "legal_entity_billing",
    metadata,
    id_column("legal_entity_id", key=True),
    text_column("legal_name"),
    text_column("tax_id"),
    text_column("npi"),
    Column("address", JSONB, nullable=False),
    text_column("invoice_prefix"),
    number_column("payment_terms_days"),
    text_column("statement_text"),
    number_column("version"),
    CheckConstraint("tax_id ~ '^([0-9]{2}-[0-9]{7})?$'", name="tax_id"),
    CheckConstraint("npi ~ '^([12][0-9]{9})?$'", name="npi"),
    CheckConstraint("payment_terms_days BETWEEN 0 AND 365", name="payment_terms"),
    belongs_to("legal_entity", "legal_entity_id"),
)
Index(
    "invoice_prefix_is_one_entitys",
    legal_entity_billing.c.chain_id,
    legal_entity_billing.c.invoice_prefix,
    unique=True,
    postgresql_where=text("invoice_prefix <> ''"),
)

site_billing = chain_table(
    "site_billing",
    metadata,
    id_column("site_id", key=True),
    text_column("npi"),
    _days("closed_dates"),  # In order, each once.
    _days("open_dates"),  # In order, each once.
    number_column("version"),
    CheckConstraint("npi ~ '^([12][0-9]{9})?$'", name="npi"),
    CheckConstraint("NOT closed_dates && open_dates", name="dates"),
    belongs_to("site", "site_id"),
)
