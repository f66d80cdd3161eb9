"""Messages, and what became of each."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from chassis.tables import Instant, chain_table
from services.notifications.domain.messages import Channel, MessageKind, Reason, Status
from services.notifications.tables.columns import belongs_to, id_column, metadata, one_of

message = chain_table(
    "message",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("visit_id"),
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
    belongs_to("site", "site_id"),
    belongs_to("patient", "patient_id"),
    belongs_to("visit", "visit_id"),
    UniqueConstraint("chain_id", "visit_id", "kind"),
    one_of("kind", MessageKind),
    one_of("channel", Channel),
    one_of("status", Status),
    one_of("reason", Reason),
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
