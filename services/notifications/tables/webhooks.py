"""Endpoints of the chain's own systems, and what is sent to each."""

from datetime import timedelta

from sqlalchemy import ARRAY, CheckConstraint, Column, Index, Integer, SmallInteger, Text, Uuid, func, text

from chassis.tables import Instant, chain_list, chain_table
from services.notifications.domain.webhooks import (
    ATTEMPTS_MAX,
    URL_MAX,
    DeliveryStatus,
    DisableReason,
    EndpointStatus,
)
from services.notifications.tables.columns import id_column, metadata, one_of

DELIVERIES_KEPT = timedelta(days=30)

# The chains that ever had an endpoint.
webhook_chain = chain_list("webhook_chain", metadata, "notifications")

_EVERYWHERE = "'*' = current_setting('app.sites', true)"
_SITES = "string_to_array(current_setting('app.sites', true), ',')::uuid[]"
# A CASE, since '*' is no list of sites, and an OR may look at both sides.
SEEN = f"CASE WHEN {_EVERYWHERE} OR cardinality(site_ids) = 0 THEN true ELSE site_ids && {_SITES} END"
"""An endpoint is seen by callers of all sites, and of one of its own; one of all sites by every caller."""
CHANGED = f"CASE WHEN {_EVERYWHERE} THEN true WHEN cardinality(site_ids) = 0 THEN false ELSE site_ids <@ {_SITES} END"
"""It is made and changed by callers of all its sites."""

webhook_endpoint = chain_table(
    "webhook_endpoint",
    metadata,
    id_column(key=True),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("event_types", ARRAY(Text), nullable=False),
    Column("site_ids", ARRAY(Uuid), nullable=False),  # Empty: all, and events of no site.
    Column("status", Text, nullable=False),
    Column("disable_reason", Text),
    Column("failing_since", Instant),  # Real time, as every instant here but created_at.
    Column("secret", Text, nullable=False),  # Sealed: services.notifications.webhooks.secrets.
    Column("old_secret", Text),
    Column("old_secret_until", Instant),
    Column("created_at", Instant, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("1")),
    one_of("status", EndpointStatus),
    one_of("disable_reason", DisableReason),
    CheckConstraint("(status = 'DISABLED') = (disable_reason IS NOT NULL)", name="disabled"),
    CheckConstraint("(old_secret IS NULL) = (old_secret_until IS NULL)", name="old_secret"),
    CheckConstraint(f"length(url) <= {URL_MAX}", name="url"),
    CheckConstraint("cardinality(event_types) > 0", name="event_types"),
    shown_if=SEEN,
    written_if=CHANGED,
    changed_by=CHANGED,
)

# No foreign key: an endpoint is deleted at once, and its deliveries, which nobody is shown any more, when they are old.
webhook_delivery = chain_table(
    "webhook_delivery",
    metadata,
    id_column(key=True),
    id_column("endpoint_id"),
    id_column("event_id"),
    Column("site_id", Uuid),
    Column("type", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    Column("last_code", Text),
    Column("created_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    # No sender takes it before, be it for a lease or until the next attempt.
    Column("due_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("lease_id", Uuid),
    Column("delivered_at", Instant),
    one_of("status", DeliveryStatus),
    CheckConstraint("lease_id IS NULL OR status = 'PENDING'", name="lease"),
    CheckConstraint("(status = 'DELIVERED') = (delivered_at IS NOT NULL)", name="delivered"),
    CheckConstraint(f"attempts BETWEEN 0 AND {ATTEMPTS_MAX}", name="attempts"),
    kept=DELIVERIES_KEPT,
    aged_by="created_at",
)

PENDING = text("status = 'PENDING'")
"""Written out, not bound: PostgreSQL must see that it is the condition of the index."""

_of_endpoint = [webhook_delivery.c[name] for name in ("chain_id", "endpoint_id")]
Index(
    "webhook_delivery_pending_idx", *_of_endpoint, webhook_delivery.c.due_at, webhook_delivery.c.id,
    postgresql_where=PENDING,
)  # fmt: skip
Index("webhook_delivery_listed_idx", *_of_endpoint, webhook_delivery.c.created_at, webhook_delivery.c.id)
Index("webhook_delivery_age_idx", webhook_delivery.c.created_at)
