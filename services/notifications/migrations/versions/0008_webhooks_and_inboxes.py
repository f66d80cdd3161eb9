"""Webhooks and inboxes"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


OWN_IDS = """\
CREATE FUNCTION own_ids() RETURNS uuid[] LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
    chain constant uuid := nullif(current_setting('app.chain', true), '')::uuid;
    own constant uuid := nullif(current_setting('app.patient', true), '')::uuid;
    last uuid;
BEGIN
    SELECT end_id INTO last FROM patient_alias WHERE chain_id = chain AND alias_id = own;
    last := coalesce(last, own);
    RETURN ARRAY(SELECT alias_id FROM patient_alias WHERE chain_id = chain AND end_id = last) || ARRAY[own, last];
END $$"""


def upgrade() -> None:
    op.execute(OWN_IDS)
    op.create_table(
        "inbox_arrival",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column(
            "transaction", sa.BigInteger(), server_default=sa.text("pg_current_xact_id()::text::bigint"), nullable=False
        ),
        sa.Column("place", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "transaction", "place", name=op.f("inbox_arrival_pkey")),
    )
    op.create_index(
        "inbox_arrival_patient_idx", "inbox_arrival", ["chain_id", "patient_id", "transaction", "place"], unique=False
    )
    op.create_index("inbox_arrival_recorded_at_idx", "inbox_arrival", ["recorded_at"], unique=False)
    op.create_table(
        "inbox_item",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("length(subject) <= 200 AND length(text) <= 4000", name=op.f("inbox_item_length_check")),
        sa.PrimaryKeyConstraint("chain_id", "message_id", name=op.f("inbox_item_pkey")),
    )
    op.create_index(
        "inbox_item_patient_idx", "inbox_item", ["chain_id", "patient_id", "at", "message_id"], unique=False
    )
    op.create_index(
        "inbox_item_unread_idx",
        "inbox_item",
        ["chain_id", "patient_id"],
        unique=False,
        postgresql_where=sa.text("read_at IS NULL"),
    )
    op.create_table(
        "webhook_chain",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("webhook_chain_pkey")),
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_code", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'DELIVERED') = (delivered_at IS NOT NULL)", name=op.f("webhook_delivery_delivered_check")
        ),
        sa.CheckConstraint("lease_id IS NULL OR status = 'PENDING'", name=op.f("webhook_delivery_lease_check")),
        sa.CheckConstraint("status IN ('PENDING', 'DELIVERED', 'FAILED')", name=op.f("webhook_delivery_status_check")),
        sa.CheckConstraint("attempts BETWEEN 0 AND 10", name=op.f("webhook_delivery_attempts_check")),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("webhook_delivery_pkey")),
    )
    op.create_index("webhook_delivery_age_idx", "webhook_delivery", ["created_at"], unique=False)
    op.create_index(
        "webhook_delivery_listed_idx", "webhook_delivery", ["chain_id", "endpoint_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "webhook_delivery_pending_idx",
        "webhook_delivery",
        ["chain_id", "endpoint_id", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'PENDING'"),
    )
    op.create_table(
        "webhook_endpoint",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("event_types", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("site_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("disable_reason", sa.Text(), nullable=True),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("old_secret", sa.Text(), nullable=True),
        sa.Column("old_secret_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "(status = 'DISABLED') = (disable_reason IS NOT NULL)", name=op.f("webhook_endpoint_disabled_check")
        ),
        sa.CheckConstraint("disable_reason IN ('GONE', 'FAILING')", name=op.f("webhook_endpoint_disable_reason_check")),
        sa.CheckConstraint("status IN ('ACTIVE', 'PAUSED', 'DISABLED')", name=op.f("webhook_endpoint_status_check")),
        sa.CheckConstraint(
            "(old_secret IS NULL) = (old_secret_until IS NULL)", name=op.f("webhook_endpoint_old_secret_check")
        ),
        sa.CheckConstraint("cardinality(event_types) > 0", name=op.f("webhook_endpoint_event_types_check")),
        sa.CheckConstraint("length(url) <= 2000", name=op.f("webhook_endpoint_url_check")),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("webhook_endpoint_pkey")),
    )
    op.execute("ALTER TABLE inbox_arrival ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE inbox_arrival FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON inbox_arrival USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON inbox_arrival AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id = ANY ((SELECT own_ids())::uuid[]))"
    )
    op.execute("GRANT SELECT, INSERT ON inbox_arrival TO notifications")
    op.execute("CREATE POLICY every_chain ON inbox_arrival TO notifications_relay USING (true)")
    op.execute("GRANT SELECT (recorded_at), DELETE ON inbox_arrival TO notifications_relay")
    op.execute("ALTER TABLE inbox_item ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE inbox_item FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON inbox_item USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON inbox_item AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON inbox_item AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id = ANY ((SELECT own_ids())::uuid[]))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON inbox_item TO notifications")
    op.execute("ALTER TABLE webhook_chain ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE webhook_chain FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON webhook_chain USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_chain TO notifications")
    op.execute(
        "CREATE POLICY every_chain ON webhook_chain FOR SELECT TO notifications USING (current_setting('app.chain', true) = '00000000-0000-0000-0000-000000000000')"
    )
    op.execute("ALTER TABLE webhook_delivery ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE webhook_delivery FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON webhook_delivery USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON webhook_delivery AS RESTRICTIVE TO notifications USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_delivery TO notifications")
    op.execute("CREATE POLICY every_chain ON webhook_delivery TO notifications_relay USING (true)")
    op.execute("GRANT SELECT (created_at), DELETE ON webhook_delivery TO notifications_relay")
    op.execute("ALTER TABLE webhook_endpoint ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE webhook_endpoint FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON webhook_endpoint USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY changed_by ON webhook_endpoint AS RESTRICTIVE FOR UPDATE USING (CASE WHEN '*' = current_setting('app.sites', true) THEN true WHEN cardinality(site_ids) = 0 THEN false ELSE site_ids <@ string_to_array(current_setting('app.sites', true), ',')::uuid[] END) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY deleted_by ON webhook_endpoint AS RESTRICTIVE FOR DELETE USING (CASE WHEN '*' = current_setting('app.sites', true) THEN true WHEN cardinality(site_ids) = 0 THEN false ELSE site_ids <@ string_to_array(current_setting('app.sites', true), ',')::uuid[] END)"
    )
    op.execute(
        "CREATE POLICY shown_if ON webhook_endpoint AS RESTRICTIVE FOR SELECT USING (CASE WHEN '*' = current_setting('app.sites', true) OR cardinality(site_ids) = 0 THEN true ELSE site_ids && string_to_array(current_setting('app.sites', true), ',')::uuid[] END)"
    )
    op.execute(
        "CREATE POLICY written_if ON webhook_endpoint AS RESTRICTIVE FOR INSERT WITH CHECK (CASE WHEN '*' = current_setting('app.sites', true) THEN true WHEN cardinality(site_ids) = 0 THEN false ELSE site_ids <@ string_to_array(current_setting('app.sites', true), ',')::uuid[] END)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_endpoint TO notifications")
