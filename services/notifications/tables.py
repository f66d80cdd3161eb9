"""Notifications' tables: messages, and copies of what they speak of. The chassis adds its own, and security."""

from collections.abc import Iterable
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from chassis.aliases import alias_table
from chassis.tables import Instant, chain_table, service_metadata
from services.notifications.domain import Channel, MessageKind, Reason, Status, VisitStatus

metadata = service_metadata()


def _id(name: str = "id", *, key: bool = False) -> Column[UUID]:
    return Column(name, Uuid, primary_key=key, nullable=False)


def _one_of(name: str, words: Iterable[StrEnum]) -> CheckConstraint:
    return CheckConstraint(f"{name} IN ({', '.join(repr(str(word)) for word in words)})", name=name)


def _belongs_to(table: str, column: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["chain_id", column], [f"{table}.chain_id", f"{table}.id"])


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
    _id(key=True),
    Column("discreet_name", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),  # Of the event that it is known from.
)

patient = chain_table(
    "patient",
    metadata,
    _id(key=True),
    Column("time_zone", Text, nullable=False),
    Column("version", Integer, nullable=False),  # Of the event that it is known from.
)

# Which id of a patient is another's now; messages stay under the id that they were written with.
patient_alias = alias_table("patient_alias", metadata)

# A visit that is known to be off before it is known to be booked has no start yet.
visit = chain_table(
    "visit",
    metadata,
    _id(key=True),
    _id("site_id"),
    _id("patient_id"),
    Column("status", Text, nullable=False),
    Column("start_at", Instant),
    Column("telehealth", Boolean),
    _one_of("status", VisitStatus),
    CheckConstraint("status <> 'BOOKED' OR start_at IS NOT NULL", name="start"),
)

message = chain_table(
    "message",
    metadata,
    _id(key=True),
    _id("site_id"),
    _id("patient_id"),
    _id("visit_id"),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    Column("template", Text),
    Column("template_version", Text),
    Column("template_language", Text),
    Column("event_id", Uuid, nullable=False),
    Column("last_error", Text),
    Column("sent_at", Instant),
    Column("lease_id", Uuid),
    Column("held_until", Instant),  # Real time: no sender takes it before, be it for a lease or to back off.
    _belongs_to("site", "site_id"),
    _belongs_to("patient", "patient_id"),
    _belongs_to("visit", "visit_id"),
    UniqueConstraint("chain_id", "visit_id", "kind"),
    _one_of("kind", MessageKind),
    _one_of("channel", Channel),
    _one_of("status", Status),
    _one_of("reason", Reason),
    CheckConstraint("lease_id IS NULL OR status IN ('SCHEDULED', 'SENDING')", name="lease"),
    CheckConstraint("(status = 'SENT') = (sent_at IS NOT NULL)", name="sent"),
    CheckConstraint(
        "(status IN ('SUPPRESSED', 'WITHDRAWN', 'FAILED', 'UNKNOWN')) = (reason IS NOT NULL)", name="has_reason"
    ),
)
UNSENT = text("status IN ('SCHEDULED', 'SENDING')")
"""Written out, not bound: PostgreSQL must see that it is the condition of the index."""
Index("message_unsent_idx", *(message.c[name] for name in ("chain_id", "due_at", "id")), postgresql_where=UNSENT)
Index("message_patient_idx", *(message.c[name] for name in ("chain_id", "patient_id", "due_at", "id")))
Index("message_site_idx", *(message.c[name] for name in ("chain_id", "site_id", "due_at", "id")))
