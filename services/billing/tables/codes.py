"""Code sets by date of service, as a chain loads them. No descriptors: those of CPT are not ours to ship."""

from typing import Any

from sqlalchemy import CheckConstraint, Column, Date, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, ExcludeConstraint

from chassis.tables import chain_table
from services.billing.tables.columns import (
    day_column,
    id_column,
    kind_of_visit,
    metadata,
    number_column,
    text_column,
)

_valid: Any = text("daterange(effective_date, end_date, '[]')")


def _one_at_a_time(table: str, *names: str) -> ExcludeConstraint:
    """At the end of the transaction: a load may move days from one row to the next."""
    elements = ((name, "=") for name in ("chain_id", *names))
    return ExcludeConstraint(
        *elements, (_valid, "&&"), name=f"{table}_one_at_a_time", deferrable=True, initially="DEFERRED"
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
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("units > 0", name="units"),
    CheckConstraint("end_date >= effective_date", name="dates"),
    _one_at_a_time("service_code", "visit_type_code", "route_code", "band_code", "code"),
    Index("service_code_of_visit_type_idx", "chain_id", "visit_type_code", "effective_date"),
    Index("service_code_by_code_idx", "chain_id", "code", "id"),
)

# ICD-10-CM codes that the chain may use.
diagnosis_code = chain_table(
    "diagnosis_code",
    metadata,
    Column("code", Text, primary_key=True),  # With its dot.
    Column("effective_date", Date, primary_key=True),
    Column("end_date", Date),  # The last day on which it is valid.
    CheckConstraint("end_date >= effective_date", name="dates"),
    _one_at_a_time("diagnosis_code", "code"),
)
