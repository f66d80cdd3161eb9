"""Codes by date of service, as a chain loads them."""

from sqlalchemy import CheckConstraint, Column, Date, Index, Text
from sqlalchemy.dialects.postgresql import ARRAY

from chassis.tables import chain_table
from services.billing.tables.columns import (
    day_column,
    id_column,
    kind_of_visit,
    metadata,
    number_column,
    text_column,
)

# An empty route or band stands for any.
service_code = chain_table(
    "service_code",
    metadata,
    id_column(key=True),
    *kind_of_visit(),
    text_column("code"),
    Column("modifiers", ARRAY(Text), nullable=False),
    number_column("units"),
    day_column("effective_date"),
    Column("end_date", Date),  # The last day on which it is valid.
    CheckConstraint("units > 0", name="units"),
    CheckConstraint("end_date >= effective_date", name="dates"),
    Index("service_code_of_visit_type_idx", "chain_id", "visit_type_code", "effective_date"),
)
