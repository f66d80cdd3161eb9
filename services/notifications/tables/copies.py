"""Copies of what messages speak of, known by event, and which chains there are."""

from uuid import UUID

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    Text,
)

from chassis.aliases import alias_table
from chassis.tables import Instant, chain_table
from services.notifications.domain.visits import VisitStatus
from services.notifications.tables.columns import id_column, metadata, one_of

# The chains that there are anything to send for. A sender works for all of them: it looks here as the call of no chain,
# and then into each as a call of that one.
NO_CHAIN = UUID(int=0)


chain = chain_table("chain", metadata)


chain.info["ddl"] = [
    "CREATE POLICY every_chain ON chain FOR SELECT TO notifications "
    f"USING (current_setting('app.chain', true) = '{NO_CHAIN}')"
]


site = chain_table(
    "site",
    metadata,
    id_column(key=True),
    Column("discreet_name", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),  # Of the event that it is known from.
)


patient = chain_table(
    "patient",
    metadata,
    id_column(key=True),
    Column("time_zone", Text, nullable=False),
    Column("version", Integer, nullable=False),  # Of the event that it is known from.
)


# Which id of a patient is another's now; messages stay under the id that they were written with.
patient_alias = alias_table("patient_alias", metadata)


# A visit that is known to be off before it is known to be booked has no start yet.
visit = chain_table(
    "visit",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    Column("status", Text, nullable=False),
    Column("start_at", Instant),
    Column("telehealth", Boolean),
    one_of("status", VisitStatus),
    CheckConstraint("status <> 'BOOKED' OR start_at IS NOT NULL", name="start"),
)


Index("visit_patient_idx", *(visit.c[name] for name in ("chain_id", "patient_id", "start_at")))
