"""Visits that a patient missed or called off late: what a fee rule may forgive once."""

from sqlalchemy import Index

from chassis.tables import chain_table
from services.billing.tables.columns import belongs_to, code_column, id_column, instant_column, metadata

offence = chain_table(
    "offence",
    metadata,
    id_column("visit_id", key=True),
    id_column("site_id"),
    id_column("patient_id"),
    code_column("kind"),  # Of the charge that it may cost.
    id_column("event_id"),
    instant_column("offended_at"),
    belongs_to("visit", "visit_id"),
    Index("offence_of_patient_idx", "chain_id", "patient_id", "offended_at"),
    append_only=True,
)
