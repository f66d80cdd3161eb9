"""Taxes of a site, by date of service."""

from sqlalchemy import Boolean, CheckConstraint, Column, Date, Index, SmallInteger, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY

from chassis.tables import chain_table
from services.billing.tables.columns import (
    belongs_to,
    day_column,
    id_column,
    metadata,
    number_column,
    text_column,
)

# No product codes: every product.
tax_rule = chain_table(
    "tax_rule",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    text_column("name"),
    number_column("rate_ppm"),
    Column("charge_kinds", ARRAY(SmallInteger), nullable=False),
    Column("product_codes", ARRAY(Text), nullable=False),
    Column("included", Boolean, nullable=False),
    day_column("effective_date"),
    Column("end_date", Date),  # The last day on which it is charged.
    number_column("version"),
    UniqueConstraint("chain_id", "site_id", "name", "effective_date"),
    CheckConstraint("rate_ppm > 0", name="rate"),
    CheckConstraint("end_date >= effective_date", name="dates"),
    belongs_to("site", "site_id"),
    Index("tax_rule_of_site_idx", "chain_id", "site_id", "effective_date", "id"),
)
