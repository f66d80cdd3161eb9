"""Receipts, who was texted where, to whom nothing goes any more, and what people text back."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    text,
)

from chassis.tables import Instant, chain_table
from services.notifications.domain.replies import AnswerKind, AnswerState, Meaning, ReplyState
from services.notifications.domain.texting import Addressed, Method, SuppressionKind
from services.notifications.tables.columns import belongs_to, id_column, metadata, one_of

# What the provider told of a text or a call, each status once however often it is told. `account` is the name in the
# settings.
receipt = chain_table(
    "receipt",
    metadata,
    Column("account", Text, primary_key=True),
    Column("provider_id", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("message_id", Uuid),  # Ours, as it was handed over; of an answer to a reply the answer's.
    Column("error_code", Text, nullable=False),
    Column("at", Instant, nullable=False),
    append_only=True,
)
Index("receipt_message_idx", receipt.c.chain_id, receipt.c.message_id)


# Who was texted at a number from one of ours, and about which visit last. Numbers are kept as digests.
texted = chain_table(
    "texted",
    metadata,
    Column("address_key", LargeBinary, primary_key=True),
    Column("sender", Text, primary_key=True),
    id_column("patient_id", key=True),
    id_column("site_id"),
    Column("visit_id", Uuid),
    Column("to_companion", Boolean, nullable=False),
    Column("language", Text, nullable=False),
    Column("last_at", Instant, nullable=False),
    belongs_to("site", "site_id"),
)


STANDING = text("lifted_at IS NULL")


# Seen from every site, since it holds for the chain. It names nobody but the patient who was known by the address.
suppression = chain_table(
    "suppression",
    metadata,
    id_column(key=True),
    Column("channel", Text, nullable=False),
    Column("address_key", LargeBinary, nullable=False),
    Column("sender", Text, nullable=False),  # Empty: of every one of ours.
    Column("kind", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("patient_id", Uuid),
    Column("site_id", Uuid),
    Column("giver", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("lifted_at", Instant),
    Column("lifted_by", Text),
    Column("lift_note", Text, nullable=False),
    Column("lift_method", Text),
    one_of("channel", Addressed),
    one_of("kind", SuppressionKind),
    one_of("method", Method),
    one_of("lift_method", Method),
    CheckConstraint("giver IN ('PATIENT', 'COMPANION')", name="giver"),
    CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name="lifted"),
    CheckConstraint("lifted_at IS NULL OR kind <> 'OPT_OUT' OR lift_method IS NOT NULL", name="asked"),
    own_sites="true",
)
Index(
    "suppression_standing_idx",
    *(suppression.c[name] for name in ("chain_id", "channel", "address_key", "sender", "kind")),
    unique=True,
    postgresql_where=STANDING,
)
Index("suppression_patient_idx", *(suppression.c[name] for name in ("chain_id", "patient_id", "id")))
Index("suppression_site_idx", *(suppression.c[name] for name in ("chain_id", "site_id", "id")))


# A text that came in. What it says and from which number is encrypted, and gone after a while.
reply = chain_table(
    "reply",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    Column("account", Text, nullable=False),
    Column("provider_id", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("address_key", LargeBinary, nullable=False),
    Column("key_id", Text),
    Column("phone", LargeBinary),
    Column("said", LargeBinary),
    Column("meaning", Text, nullable=False),
    Column("patient_id", Uuid),
    Column("visit_id", Uuid),
    Column("language", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("version", Integer, nullable=False),
    Column("assigned_to", Text),
    Column("closed_by", Text),
    Column("closed_at", Instant),
    Column("close_reason", Text, nullable=False),
    belongs_to("site", "site_id"),
    one_of("meaning", Meaning),
    one_of("state", ReplyState),
    CheckConstraint("(state = 'CLOSED') = (closed_at IS NOT NULL)", name="closed"),
    CheckConstraint("(key_id IS NULL) = (phone IS NULL) AND (key_id IS NULL) = (said IS NULL)", name="kept"),
)
Index("reply_once_idx", *(reply.c[name] for name in ("chain_id", "account", "provider_id")), unique=True)
Index("reply_site_idx", *(reply.c[name] for name in ("chain_id", "site_id", "received_at", "id")))
Index("reply_address_idx", reply.c.chain_id, reply.c.address_key)
Index("reply_kept_idx", reply.c.chain_id, reply.c.received_at, postgresql_where=text("key_id IS NOT NULL"))


WAITING = text("state IN ('PENDING', 'SENDING')")


# A text to whoever sent a reply: by itself, or staff's own words.
answer = chain_table(
    "answer",
    metadata,
    id_column(key=True),
    id_column("reply_id"),
    id_column("site_id"),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("key_id", Text),
    Column("said", LargeBinary),  # Staff's own words; encrypted, and gone with the reply's.
    Column("written_by", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expire_at", Instant, nullable=False),
    Column("held_until", Instant),  # Real time.
    Column("provider_id", Text),
    Column("code", Text, nullable=False),
    Column("sent_at", Instant),
    ForeignKeyConstraint(["chain_id", "reply_id"], ["reply.chain_id", "reply.id"]),
    belongs_to("site", "site_id"),
    one_of("kind", AnswerKind),
    one_of("state", AnswerState),
    CheckConstraint("(state = 'SENT') = (sent_at IS NOT NULL)", name="sent"),
)
Index("answer_reply_idx", *(answer.c[name] for name in ("chain_id", "reply_id", "id")))
Index(
    "answer_waiting_idx",
    *(answer.c[name] for name in ("chain_id", "id")),
    postgresql_where=WAITING,
)
