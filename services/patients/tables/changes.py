"""The history of records."""

from sqlalchemy import ARRAY, Column, Integer, Text, text

from chassis.tables import OWN_SITES, Instant, chain_table
from services.patients.tables.base import OF_ONE_SHOWN, RECORD_SEEN, belongs_to, id_, metadata, sealed

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
    *sealed("reason", by=("patient_id", "version")),
    # JSON: of each field the value before and after. Empty, of a patient who is forgotten: only the fields are left.
    *sealed("changes", by=("patient_id", "version")),
    Column("fields", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    belongs_to("patient", "patient_id"),
    belongs_to("site", "site_id"),
    append_only=True,
    own_sites=" ".join(f"{RECORD_SEEN.format(table='patient_change')} OR {OWN_SITES}".split()),
    shown_if=" ".join(OF_ONE_SHOWN.format(table="patient_change").split()),
)
