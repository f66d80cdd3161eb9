"""Copies of what messages speak of, known by event, and which chains there are."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Date, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from chassis.aliases import alias_table
from chassis.tables import Instant, chain_list, chain_table
from services.notifications.domain.matters import MatterKind
from services.notifications.domain.visits import VisitStatus
from services.notifications.tables.columns import id_column, metadata, one_of

# The chains that there is anything to send for.
chain = chain_list("chain", metadata, "notifications")

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


# What patients have to do before visits, by the version of the protocol: instructions as the event has them.
protocol_version = chain_table(
    "protocol_version",
    metadata,
    id_column(key=True),
    id_column("protocol_id"),
    Column("instructions", JSONB, nullable=False),
)

# A visit that is known to be off before it is known to be booked has no start yet.
visit = chain_table(
    "visit",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    Column("status", Text, nullable=False),
    Column("start_at", Instant),
    Column("end_at", Instant),
    Column("telehealth", Boolean),
    Column("visit_type_code", Text, nullable=False, server_default=""),
    Column("protocol_id", Uuid),
    Column("protocol_version_id", Uuid),
    Column("version", Integer, nullable=False, server_default=text("0")),  # Of the course, as it is known.
    one_of("status", VisitStatus),
    CheckConstraint("status NOT IN ('BOOKED', 'CONFIRMED') OR start_at IS NOT NULL", name="start"),
)
Index("visit_patient_idx", *(visit.c[name] for name in ("chain_id", "patient_id", "start_at")))
Index("visit_site_idx", *(visit.c[name] for name in ("chain_id", "site_id", "start_at")))

# A hold, an offer or a bill, as far as a message speaks of it.
matter = chain_table(
    "matter",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    Column("kind", Text, nullable=False),
    Column("amount_minor", BigInteger),
    Column("currency", Text),
    Column("due_date", Date),
    Column("number", Text, nullable=False, server_default=""),
    Column("about", Text, nullable=False, server_default=""),  # Its id as others know it.
    Column("closed_at", Instant),
    Column("course_id", Uuid),
    Column("version", Integer, nullable=False, server_default=text("0")),  # Among the estimates of a course.
    Column("offer_start_at", Instant),  # Of an offer: its visit, and until when it holds.
    Column("offer_end_at", Instant),
    Column("offer_telehealth", Boolean),
    Column("offer_until_at", Instant),
    one_of("kind", MatterKind),
    CheckConstraint("(amount_minor IS NULL) = (currency IS NULL)", name="amount"),
    CheckConstraint(
        "num_nulls(offer_start_at, offer_end_at, offer_telehealth, offer_until_at) IN (0, 4)", name="offer"
    ),
)
Index(
    "matter_course_idx",
    matter.c.chain_id,
    matter.c.course_id,
    postgresql_where=text("course_id IS NOT NULL"),
)

# What is left to pay on an invoice, by the latest that was heard of it.
balance = chain_table(
    "balance",
    metadata,
    id_column(key=True),  # Of the invoice.
    Column("version", Integer, nullable=False),  # Of what is left, as billing counts its changes.
    Column("matter_id", Uuid),  # That asks for it. NULL: nothing is left.
    Column("void", Boolean, nullable=False),
    CheckConstraint("NOT void OR matter_id IS NULL", name="void"),
)
