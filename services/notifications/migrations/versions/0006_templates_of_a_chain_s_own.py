"""templates of a chain's own"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "link_hosts",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("hosts", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("link_hosts_pkey")),
    )
    op.create_table(
        "template",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_by", sa.Text(), nullable=True),
        sa.CheckConstraint("channel IN ('EMAIL', 'SMS', 'VOICE', 'IN_APP')", name=op.f("template_channel_check")),
        sa.CheckConstraint(
            "kind IN ('VISIT_CONFIRMATION', 'VISIT_REMINDER', 'VISIT_PREPARATION', 'VISIT_MOVED', 'VISIT_CANCELLED', 'VISIT_MISSED', 'VISIT_FOLLOW_UP', 'COMPANION_PICK_UP', 'HOLD_EXPIRED', 'ESTIMATE_READY', 'INVOICE_ISSUED', 'PAYMENT_RECEIVED', 'REFUND_MADE', 'CREDIT_NOTE_ISSUED', 'CARD_CHARGE_FAILED', 'BALANCE_DUE', 'DEPOSIT_RELEASED', 'DEPOSIT_FORFEITED', 'PACKAGE_SOLD', 'PACKAGE_EXPIRING', 'PACKAGE_EXPIRED', 'PACKAGE_STOPPED', 'OPT_OUT_CONFIRMED', 'OPT_IN_CONFIRMED', 'HELP', 'CONFIRM_RECEIVED', 'MOVE_RECEIVED', 'REPLY_RECEIVED', 'ANNOUNCEMENT')",
            name=op.f("template_kind_check"),
        ),
        sa.CheckConstraint("(retired_by IS NULL) = (retired_at IS NULL)", name=op.f("template_retired_check")),
        sa.CheckConstraint("number > 0", name=op.f("template_number_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("template_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("template_pkey")),
        sa.UniqueConstraint(
            "chain_id",
            "kind",
            "channel",
            "language",
            "site_id",
            name=op.f("template_chain_id_kind_channel_language_site_id_key"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_table(
        "template_version",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("template_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("template_version_number_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "template_id"],
            ["template.chain_id", "template.id"],
            name=op.f("template_version_chain_id_template_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "template_id", "number", name=op.f("template_version_pkey")),
    )
    op.execute("ALTER TABLE link_hosts ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE link_hosts FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON link_hosts USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON link_hosts TO notifications")
    op.execute("ALTER TABLE template ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE template FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON template USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON template AS RESTRICTIVE USING (site_id IS NULL OR '*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON template AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY changed_by ON template AS RESTRICTIVE FOR UPDATE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY deleted_by ON template AS RESTRICTIVE FOR DELETE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON template TO notifications")
    op.execute("ALTER TABLE template_version ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE template_version FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON template_version USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON template_version AS RESTRICTIVE USING (site_id IS NULL OR '*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON template_version AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON template_version TO notifications")
