"""Messages and what became of each; attempts to send them; what a chain says of its messages."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Time,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from chassis.tables import OWN_SITES, Instant, chain_table
from services.notifications.domain.kinds import Anchor, Channel, MessageKind
from services.notifications.domain.messages import Reason, Status
from services.notifications.domain.pauses import PauseScope
from services.notifications.tables.columns import belongs_to, id_column, metadata, one_of

message = chain_table(
    "message",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    Column("visit_id", Uuid),
    Column("for_start", Instant),  # The start that it names; the visit may have moved since.
    Column("matter_id", Uuid),
    Column("kind", Text, nullable=False),
    Column("rule", Text, nullable=False),  # Of the cadence; or what else made it: "resend:…", "announcement:…".
    Column("cadence_version", Integer, nullable=False),
    Column("anchor", Text, nullable=False),
    Column("anchor_at", Instant, nullable=False),
    Column("offset_minutes", Integer, nullable=False),
    Column("until_at", Instant),
    Column("unless_confirmed", Boolean, nullable=False, server_default=text("false")),
    Column("text", Text),  # Of an announcement: what staff wrote.
    Column("channel", Text, nullable=False),  # That carried it, or is tried next.
    Column("channels", ARRAY(Text), nullable=False),  # Still to be tried, `channel` first.
    Column("passed_over", JSONB, nullable=False, server_default=text("'[]'")),
    Column("due_at", Instant, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    Column("channel_attempts", SmallInteger, nullable=False, server_default=text("0")),
    Column("template", Text),
    Column("template_version", Text),
    Column("template_language", Text),
    Column("event_id", Uuid, nullable=False),
    Column("last_error", Text),
    Column("sent_at", Instant),
    Column("provider_id", Text),  # What the carrier calls it.
    Column("delivered_at", Instant),  # A receipt said so.
    Column("digest_id", Uuid),  # The message whose letter it stands in, be it itself.
    Column("lease_id", Uuid),
    Column("held_until", Instant),  # Real time: no sender takes it before, be it for a lease or to back off.
    belongs_to("site", "site_id"),
    belongs_to("patient", "patient_id"),
    belongs_to("visit", "visit_id"),
    belongs_to("matter", "matter_id"),
    UniqueConstraint(
        "chain_id",
        "visit_id",
        "matter_id",
        "rule",
        "kind",
        "for_start",
        "patient_id",
        name="message_once_key",
        postgresql_nulls_not_distinct=True,
    ),
    one_of("kind", MessageKind),
    one_of("channel", Channel),
    one_of("status", Status),
    one_of("reason", Reason),
    one_of("anchor", Anchor),
    CheckConstraint("visit_id IS NULL OR matter_id IS NULL", name="about_one"),
    CheckConstraint("channels[1] = channel", name="channels"),
    CheckConstraint("lease_id IS NULL OR status IN ('SCHEDULED', 'SENDING')", name="lease"),
    CheckConstraint("(status = 'SENT') = (sent_at IS NOT NULL)", name="sent"),
    CheckConstraint("delivered_at IS NULL OR status = 'SENT'", name="delivered"),
    CheckConstraint(
        "(status IN ('SUPPRESSED', 'WITHDRAWN', 'FAILED', 'UNKNOWN')) = (reason IS NOT NULL)", name="has_reason"
    ),
)
UNSENT = text("status IN ('SCHEDULED', 'SENDING')")
"""Written out, not bound: PostgreSQL must see that it is the condition of the index."""
Index("message_unsent_idx", *(message.c[name] for name in ("chain_id", "due_at", "id")), postgresql_where=UNSENT)
Index(
    "message_digest_idx",
    message.c.chain_id,
    message.c.digest_id,
    postgresql_where=text("digest_id IS NOT NULL"),
)
Index("message_patient_idx", *(message.c[name] for name in ("chain_id", "patient_id", "due_at", "id")))
Index("message_site_idx", *(message.c[name] for name in ("chain_id", "site_id", "due_at", "id")))
Index(
    "message_provider_idx",
    message.c.chain_id,
    message.c.provider_id,
    unique=True,
    postgresql_where=text("provider_id IS NOT NULL"),
)

# Each time a message was begun to be handed over. Where a text or a call went is kept as a keyed digest only.
attempt = chain_table(
    "attempt",
    metadata,
    id_column("message_id", key=True),
    Column("number", SmallInteger, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("begun_at", Instant, nullable=False),
    Column("address_key", LargeBinary),
    Column("counts", Boolean, nullable=False),  # Against a cap.
    belongs_to("message", "message_id"),
    one_of("channel", Channel),
    append_only=True,
)
Index(
    "attempt_texts_idx",
    *(attempt.c[name] for name in ("chain_id", "address_key", "begun_at")),
    postgresql_where=text("counts"),
)

# Attempts that the provider did not take, so that nothing of them went out: they count against no cap.
not_taken = chain_table(
    "not_taken",
    metadata,
    id_column("message_id", key=True),
    Column("number", SmallInteger, primary_key=True),
    ForeignKeyConstraint(
        ["chain_id", "message_id", "number"], ["attempt.chain_id", "attempt.message_id", "attempt.number"]
    ),
    append_only=True,
)

# The rules of a chain; the last version holds.
cadence = chain_table(
    "cadence",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("rules", JSONB, nullable=False),
    Column("create_at", Instant, nullable=False),
    CheckConstraint("version >= 1", name="version"),
    append_only=True,
)

policy = chain_table(
    "policy",
    metadata,
    Column("begin_at", Time, nullable=False),
    Column("end_at", Time, nullable=False),
    Column("texts_a_day", SmallInteger, nullable=False),
    Column("texts_a_week", SmallInteger, nullable=False),
    Column("text_price_micros", BigInteger, nullable=False),  # Of one segment, in millionths of a dollar.
    Column("link_base_url", Text, nullable=False, server_default=""),
    Column("digest_at", Time),
    Column("version", Integer, nullable=False),
    CheckConstraint("begin_at >= '08:00' AND end_at <= '21:00' AND begin_at < end_at", name="hours"),
    CheckConstraint("texts_a_day BETWEEN 1 AND 10 AND texts_a_week BETWEEN texts_a_day AND 50", name="texts"),
    CheckConstraint("digest_at >= begin_at AND digest_at < end_at", name="digest"),
    CheckConstraint("text_price_micros BETWEEN 0 AND 10000000", name="price"),
)

# What is not sent until somebody says so.
pause = chain_table(
    "pause",
    metadata,
    id_column(key=True),
    Column("scope", Text, nullable=False),
    Column("site_id", Uuid),
    Column("channel", Text),
    Column("kind", Text),
    Column("reason", Text, nullable=False),
    Column("begin_at", Instant, nullable=False),
    Column("end_at", Instant),
    one_of("scope", PauseScope),
    one_of("channel", Channel),
    one_of("kind", MessageKind),
    CheckConstraint(
        "CASE scope WHEN 'CHANNEL' THEN channel IS NOT NULL AND kind IS NULL "
        "WHEN 'KIND' THEN kind IS NOT NULL AND channel IS NULL "
        "ELSE site_id IS NOT NULL AND channel IS NULL AND kind IS NULL END",
        name="of",
    ),
    own_sites=f"{OWN_SITES} OR site_id IS NULL",
    changed_by=OWN_SITES,
)
Index(
    "pause_once_idx",
    pause.c.chain_id,
    pause.c.scope,
    pause.c.site_id,
    pause.c.channel,
    pause.c.kind,
    unique=True,
    postgresql_where=text("end_at IS NULL"),
    postgresql_nulls_not_distinct=True,
)
