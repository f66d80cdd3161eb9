"""Texts, replies and links"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "receipt",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "account", "provider_id", "status", name=op.f("receipt_pkey")),
    )
    op.create_index("receipt_message_idx", "receipt", ["chain_id", "message_id"], unique=False)
    op.create_table(
        "suppression",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("address_key", sa.LargeBinary(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=True),
        sa.Column("site_id", sa.Uuid(), nullable=True),
        sa.Column("giver", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.Text(), nullable=True),
        sa.Column("lift_note", sa.Text(), nullable=False),
        sa.Column("lift_method", sa.Text(), nullable=True),
        sa.CheckConstraint("channel IN ('EMAIL', 'SMS', 'VOICE')", name=op.f("suppression_channel_check")),
        sa.CheckConstraint("giver IN ('PATIENT', 'COMPANION')", name=op.f("suppression_giver_check")),
        sa.CheckConstraint("kind IN ('OPT_OUT', 'HARD_BOUNCE', 'UNREACHABLE')", name=op.f("suppression_kind_check")),
        sa.CheckConstraint(
            "lift_method IN ('REPLY', 'VERBAL', 'PAPER', 'ELECTRONIC', 'RECEIPT')",
            name=op.f("suppression_lift_method_check"),
        ),
        sa.CheckConstraint(
            "lifted_at IS NULL OR kind <> 'OPT_OUT' OR lift_method IS NOT NULL", name=op.f("suppression_asked_check")
        ),
        sa.CheckConstraint(
            "method IN ('REPLY', 'VERBAL', 'PAPER', 'ELECTRONIC', 'RECEIPT')", name=op.f("suppression_method_check")
        ),
        sa.CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name=op.f("suppression_lifted_check")),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("suppression_pkey")),
    )
    op.create_index("suppression_patient_idx", "suppression", ["chain_id", "patient_id", "id"], unique=False)
    op.create_index("suppression_site_idx", "suppression", ["chain_id", "site_id", "id"], unique=False)
    op.create_index(
        "suppression_standing_idx",
        "suppression",
        ["chain_id", "channel", "address_key", "sender", "kind"],
        unique=True,
        postgresql_where=sa.text("lifted_at IS NULL"),
    )
    op.create_table(
        "link",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("about_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("expire_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "purpose IN ('CONFIRM_VISIT', 'ACKNOWLEDGE_ESTIMATE', 'PAY', 'ACCEPT_OFFER')",
            name=op.f("link_purpose_check"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("link_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("link_pkey")),
    )
    op.create_table(
        "reply",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("address_key", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("phone", sa.LargeBinary(), nullable=True),
        sa.Column("said", sa.LargeBinary(), nullable=True),
        sa.Column("meaning", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=True),
        sa.Column("visit_id", sa.Uuid(), nullable=True),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("assigned_to", sa.Text(), nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("close_reason", sa.Text(), nullable=False),
        sa.CheckConstraint("(state = 'CLOSED') = (closed_at IS NOT NULL)", name=op.f("reply_closed_check")),
        sa.CheckConstraint(
            "meaning IN ('OPT_OUT', 'OPT_OUT_LIKELY', 'OPT_IN', 'HELP', 'CONFIRM', 'MOVE', 'OTHER')",
            name=op.f("reply_meaning_check"),
        ),
        sa.CheckConstraint("state IN ('OPEN', 'ASSIGNED', 'CLOSED')", name=op.f("reply_state_check")),
        sa.CheckConstraint(
            "(key_id IS NULL) = (phone IS NULL) AND (key_id IS NULL) = (said IS NULL)", name=op.f("reply_kept_check")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("reply_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("reply_pkey")),
    )
    op.create_index("reply_address_idx", "reply", ["chain_id", "address_key"], unique=False)
    op.create_index(
        "reply_kept_idx",
        "reply",
        ["chain_id", "received_at"],
        unique=False,
        postgresql_where=sa.text("key_id IS NOT NULL"),
    )
    op.create_index("reply_once_idx", "reply", ["chain_id", "account", "provider_id"], unique=True)
    op.create_index("reply_site_idx", "reply", ["chain_id", "site_id", "received_at", "id"], unique=False)
    op.create_table(
        "texted",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("address_key", sa.LargeBinary(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=True),
        sa.Column("to_companion", sa.Boolean(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("texted_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "address_key", "sender", "patient_id", name=op.f("texted_pkey")),
    )
    op.create_table(
        "answer",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reply_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("said", sa.LargeBinary(), nullable=True),
        sa.Column("written_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("provider_id", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'SENT') = (sent_at IS NOT NULL)", name=op.f("answer_sent_check")),
        sa.CheckConstraint(
            "kind IN ('OPT_OUT_CONFIRMED', 'OPT_IN_CONFIRMED', 'HELP', 'CONFIRM_RECEIVED', 'MOVE_RECEIVED', 'REPLY_RECEIVED', 'STAFF')",
            name=op.f("answer_kind_check"),
        ),
        sa.CheckConstraint(
            "state IN ('PENDING', 'SENDING', 'SENT', 'FAILED', 'SUPPRESSED', 'UNKNOWN')",
            name=op.f("answer_state_check"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "reply_id"], ["reply.chain_id", "reply.id"], name=op.f("answer_chain_id_reply_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("answer_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("answer_pkey")),
    )
    op.create_index("answer_reply_idx", "answer", ["chain_id", "reply_id", "id"], unique=False)
    op.create_index(
        "answer_waiting_idx",
        "answer",
        ["chain_id", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('PENDING', 'SENDING')"),
    )
    op.create_index("visit_patient_idx", "visit", ["chain_id", "patient_id", "start_at"], unique=False)
    op.execute("ALTER TABLE receipt ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE receipt FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON receipt USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON receipt TO notifications")
    op.execute("ALTER TABLE suppression ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE suppression FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON suppression USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("CREATE POLICY own_sites ON suppression AS RESTRICTIVE USING (true) WITH CHECK (true)")
    op.execute(
        "CREATE POLICY written_at_own_sites ON suppression AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON suppression AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON suppression TO notifications")
    op.execute("ALTER TABLE link ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE link FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON link USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON link AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON link AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON link TO notifications")
    op.execute("ALTER TABLE reply ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE reply FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON reply USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON reply AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON reply AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON reply TO notifications")
    op.execute("ALTER TABLE texted ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE texted FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON texted USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON texted AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON texted AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON texted TO notifications")
    op.execute("ALTER TABLE answer ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE answer FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON answer USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON answer AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON answer TO notifications")
