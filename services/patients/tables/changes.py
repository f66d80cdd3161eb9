"""The history of records."""

from sqlalchemy import Column, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB

from chassis.tables import OWN_SITES, Instant, chain_table
from services.patients.tables.base import OF_ONE_SHOWN, RECORD_SEEN, belongs_to, id_, metadata

# One row for each version of a record. Seen by whoever sees the record. A site also sees what it wrote itself: the row,
# and the site that a new record opens at, are written by one statement, in which the second does not show yet. No key
# refers to `patient_site`: what a site changed does not keep it among the sites of the record.
patient_change = chain_table(
    "patient_change",
    metadata,
    id_("patient_id", key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    id_("site_id"),
    Column("actor", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changes", JSONB, nullable=False),  # Each its field, and the value before and after.
    belongs_to("patient", "patient_id"),
    belongs_to("site", "site_id"),
    append_only=True,
    own_sites=" ".join(f"{RECORD_SEEN.format(table='patient_change')} OR {OWN_SITES}".split()),
    shown_if=" ".join(OF_ONE_SHOWN.format(table="patient_change").split()),
)
