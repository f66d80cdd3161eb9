"""Copies of what other services own, kept by their events; and what is kept of each visit."""

from sqlalchemy import Boolean, Column, Index, Integer, Text, false

from chassis.aliases import OWN, alias_table
from chassis.tables import NO_PATIENT, chain_list, chain_table
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

KIND_OF_VISIT = ("visit_type_code", "route_code", "band_code")

legal_entity = chain_table(
    "legal_entity",
    metadata,
    id_column(key=True),
    text_column("display_name"),
    Column("version", Integer, nullable=False, server_default="1"),  # Of the event that it is known from.
)

site = chain_table(
    "site",
    metadata,
    id_column(key=True),
    id_column("legal_entity_id"),
    text_column("time_zone"),
    Column("display_name", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False, server_default=""),
    Column("address", Text, nullable=False, server_default=""),
    Column("version", Integer, nullable=False, server_default="0"),  # Of the event that it is known from.
)

staff = chain_table(
    "staff",
    metadata,
    id_column(key=True),
    text_column("display_name"),
    text_column("credential"),
    text_column("npi"),
    number_column("version"),  # Of the event that it is known from.
)

# The chains that there is anything to do for.
served_chain = chain_list("served_chain", metadata, "billing")

patient = chain_table(
    "patient",
    metadata,
    id_column(key=True),
    shown_if=f"CASE WHEN {NO_PATIENT} THEN true ELSE id = ANY ({OWN}) END",
)

# Which id of a patient is another's now; documents stay under the id that they were written with.
patient_alias = alias_table("patient_alias", metadata)

visit_type = chain_table(
    "visit_type",
    metadata,
    id_column("protocol_version_id", key=True),
    Column("code", Text, primary_key=True),
    text_column("display_name"),
)

course = chain_table(
    "course",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("protocol_version_id"),
    instant_column("booked_at"),
    belongs_to("site", "site_id"),
    append_only=True,
)

visit = chain_table(
    "visit",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("course_id"),
    code_column("status"),
    instant_column("start_at"),
    *(Column(name, Text, nullable=False, server_default="") for name in KIND_OF_VISIT),
    Column("held", Boolean, nullable=False, server_default=false()),  # Not booked yet.
    belongs_to("course", "course_id"),
    Index("visit_of_course_idx", "chain_id", "course_id"),
)

# A visit that took place, as it was: what its charge is made from, at once or when a price for it is published.
rendered_visit = chain_table(
    "rendered_visit",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("course_id"),
    *kind_of_visit(),
    day_column("service_date"),
    id_column("event_id"),
    belongs_to("course", "course_id"),
    Index("rendered_visit_of_site_idx", "chain_id", "site_id"),
    append_only=True,
)
