"""Messages inside the chain's own front ends, and a log of what came, for those who watch."""

from datetime import timedelta

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Index, Text, func, text

from chassis.aliases import OWN, OWN_IDS
from chassis.tables import Instant, chain_table
from services.notifications.tables.columns import id_column, metadata

ARRIVALS_KEPT = timedelta(days=7)
SUBJECT_MAX, TEXT_MAX = 200, 4_000

metadata.info["ddl"] = [*metadata.info.get("ddl", ()), OWN_IDS]

# One row for each message in somebody's inbox. Its text says no more than a message of that kind may say anywhere.
inbox_item = chain_table(
    "inbox_item",
    metadata,
    id_column("message_id", key=True),
    id_column("patient_id"),  # The id that it was written under.
    id_column("site_id"),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("read_at", Instant),
    CheckConstraint(f"length(subject) <= {SUBJECT_MAX} AND length(text) <= {TEXT_MAX}", name="length"),
    own_ids=OWN,
)
Index("inbox_item_patient_idx", *(inbox_item.c[name] for name in ("chain_id", "patient_id", "at", "message_id")))
Index(
    "inbox_item_unread_idx", *(inbox_item.c[name] for name in ("chain_id", "patient_id")),
    postgresql_where=inbox_item.c.read_at.is_(None),
)  # fmt: skip

# What came into inboxes, for those who watch one. Of two rows the later may have the lower transaction and be committed
# first: `chassis.feed` says how they are read. No foreign key: it is a log of what was.
inbox_arrival = chain_table(
    "inbox_arrival",
    metadata,
    Column("transaction", BigInteger, primary_key=True, server_default=text("pg_current_xact_id()::text::bigint")),
    Column("place", BigInteger, Identity(always=True), primary_key=True),
    id_column("message_id"),
    id_column("patient_id"),
    Column("recorded_at", Instant, nullable=False, server_default=func.now()),
    append_only=True,
    kept=ARRIVALS_KEPT,
    aged_by="recorded_at",
    own_ids=OWN,
)
Index(
    "inbox_arrival_patient_idx",
    *(inbox_arrival.c[name] for name in ("chain_id", "patient_id", "transaction", "place")),
)
Index("inbox_arrival_recorded_at_idx", inbox_arrival.c.recorded_at)
