"""messages by cadence and by many channels"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "cadence",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rules", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("create_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("cadence_version_check")),
        sa.PrimaryKeyConstraint("chain_id", "version", name=op.f("cadence_pkey")),
    )
    op.create_table(
        "matter",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("due_date", sa.Date(), nullable=True),
        sa.Column("number", sa.Text(), server_default="", nullable=False),
        sa.Column("about", sa.Text(), server_default="", nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('COURSE', 'ESTIMATE', 'INVOICE', 'PAYMENT', 'REFUND', 'CREDIT_NOTE', 'CARD_CHARGE', 'PACKAGE_SALE')",
            name=op.f("matter_kind_check"),
        ),
        sa.CheckConstraint("(amount_minor IS NULL) = (currency IS NULL)", name=op.f("matter_amount_check")),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("matter_pkey")),
    )
    op.create_table(
        "pause",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("begin_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "CASE scope WHEN 'CHANNEL' THEN channel IS NOT NULL AND kind IS NULL WHEN 'KIND' THEN kind IS NOT NULL AND channel IS NULL ELSE site_id IS NOT NULL AND channel IS NULL AND kind IS NULL END",
            name=op.f("pause_of_check"),
        ),
        sa.CheckConstraint("channel IN ('EMAIL', 'SMS', 'VOICE', 'IN_APP')", name=op.f("pause_channel_check")),
        sa.CheckConstraint(
            "kind IN ('VISIT_CONFIRMATION', 'VISIT_REMINDER', 'VISIT_PREPARATION', 'VISIT_MOVED', 'VISIT_CANCELLED', 'VISIT_MISSED', 'VISIT_FOLLOW_UP', 'COMPANION_PICK_UP', 'HOLD_EXPIRED', 'ESTIMATE_READY', 'INVOICE_ISSUED', 'PAYMENT_RECEIVED', 'REFUND_MADE', 'CREDIT_NOTE_ISSUED', 'CARD_CHARGE_FAILED', 'BALANCE_DUE', 'DEPOSIT_RELEASED', 'DEPOSIT_FORFEITED', 'PACKAGE_SOLD', 'PACKAGE_EXPIRING', 'PACKAGE_EXPIRED', 'PACKAGE_STOPPED', 'OPT_OUT_CONFIRMED', 'OPT_IN_CONFIRMED', 'HELP', 'CONFIRM_RECEIVED', 'MOVE_RECEIVED', 'REPLY_RECEIVED', 'ANNOUNCEMENT')",
            name=op.f("pause_kind_check"),
        ),
        sa.CheckConstraint("scope IN ('SITE', 'CHANNEL', 'KIND')", name=op.f("pause_scope_check")),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("pause_pkey")),
    )
    op.create_index(
        "pause_once_idx",
        "pause",
        ["chain_id", "scope", "site_id", "channel", "kind"],
        unique=True,
        postgresql_where=sa.text("end_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "policy",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("begin_at", sa.Time(), nullable=False),
        sa.Column("end_at", sa.Time(), nullable=False),
        sa.Column("texts_a_day", sa.SmallInteger(), nullable=False),
        sa.Column("texts_a_week", sa.SmallInteger(), nullable=False),
        sa.Column("text_price_micros", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "begin_at >= '08:00' AND end_at <= '21:00' AND begin_at < end_at", name=op.f("policy_hours_check")
        ),
        sa.CheckConstraint("text_price_micros BETWEEN 0 AND 10000000", name=op.f("policy_price_check")),
        sa.CheckConstraint(
            "texts_a_day BETWEEN 1 AND 10 AND texts_a_week BETWEEN texts_a_day AND 50", name=op.f("policy_texts_check")
        ),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("policy_pkey")),
    )
    op.create_table(
        "protocol_version",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("protocol_id", sa.Uuid(), nullable=False),
        sa.Column("instructions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("protocol_version_pkey")),
    )
    op.create_table(
        "attempt",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("address_key", sa.LargeBinary(), nullable=True),
        sa.Column("counts", sa.Boolean(), nullable=False),
        sa.CheckConstraint("channel IN ('EMAIL', 'SMS', 'VOICE', 'IN_APP')", name=op.f("attempt_channel_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "message_id"],
            ["message.chain_id", "message.id"],
            name=op.f("attempt_chain_id_message_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "message_id", "number", name=op.f("attempt_pkey")),
    )
    op.create_index(
        "attempt_texts_idx",
        "attempt",
        ["chain_id", "address_key", "begun_at"],
        unique=False,
        postgresql_where=sa.text("counts"),
    )
    op.add_column("message", sa.Column("for_start", sa.DateTime(timezone=True), nullable=True))
    op.add_column("message", sa.Column("matter_id", sa.Uuid(), nullable=True))
    op.add_column("message", sa.Column("rule", sa.Text(), nullable=True))
    op.add_column("message", sa.Column("cadence_version", sa.Integer(), nullable=True))
    op.add_column("message", sa.Column("anchor", sa.Text(), nullable=True))
    op.add_column("message", sa.Column("anchor_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("message", sa.Column("offset_minutes", sa.Integer(), nullable=True))
    op.add_column("message", sa.Column("until_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "message", sa.Column("unless_confirmed", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("message", sa.Column("text", sa.Text(), nullable=True))
    op.add_column("message", sa.Column("channels", postgresql.ARRAY(sa.Text()), nullable=True))
    op.add_column(
        "message",
        sa.Column(
            "passed_over", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False
        ),
    )
    op.add_column(
        "message", sa.Column("channel_attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column("message", sa.Column("provider_id", sa.Text(), nullable=True))
    op.add_column("message", sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True))
    op.alter_column("message", "visit_id", existing_type=sa.UUID(), nullable=True)
    op.create_index(
        "message_provider_idx",
        "message",
        ["chain_id", "provider_id"],
        unique=True,
        postgresql_where=sa.text("provider_id IS NOT NULL"),
    )
    op.create_foreign_key(
        op.f("message_chain_id_matter_id_fkey"), "message", "matter", ["chain_id", "matter_id"], ["chain_id", "id"]
    )
    op.add_column("visit", sa.Column("end_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("visit", sa.Column("visit_type_code", sa.Text(), server_default="", nullable=False))
    op.add_column("visit", sa.Column("protocol_id", sa.Uuid(), nullable=True))
    op.add_column("visit", sa.Column("protocol_version_id", sa.Uuid(), nullable=True))
    op.add_column("visit", sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.create_index("visit_site_idx", "visit", ["chain_id", "site_id", "start_at"])
    op.execute("ALTER TABLE message NO FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE visit NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE visit SET end_at = start_at")
    # All that there were: about visits, by email, of two kinds.
    op.execute(
        "UPDATE message SET rule = lower(kind), cadence_version = 0, channels = ARRAY[channel], for_start = visit.start_at, "
        "until_at = visit.start_at, anchor = CASE kind WHEN 'VISIT_REMINDER' THEN 'START' ELSE 'BOOKED' END, "
        "anchor_at = CASE kind WHEN 'VISIT_REMINDER' THEN coalesce(visit.start_at, due_at) ELSE due_at END, "
        "channel_attempts = attempts, offset_minutes = CASE kind WHEN 'VISIT_REMINDER' THEN -2880 ELSE 0 END "
        "FROM visit WHERE visit.chain_id = message.chain_id AND visit.id = message.visit_id"
    )
    op.execute("ALTER TABLE message FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE visit FORCE ROW LEVEL SECURITY")
    for name in ("rule", "cadence_version", "anchor", "anchor_at", "offset_minutes", "channels"):
        op.alter_column("message", name, nullable=False)
    op.drop_constraint(op.f("message_kind_check"), "message")
    op.create_check_constraint(
        op.f("message_kind_check"),
        "message",
        "kind IN ('VISIT_CONFIRMATION', 'VISIT_REMINDER', 'VISIT_PREPARATION', 'VISIT_MOVED', 'VISIT_CANCELLED', 'VISIT_MISSED', 'VISIT_FOLLOW_UP', 'COMPANION_PICK_UP', 'HOLD_EXPIRED', 'ESTIMATE_READY', 'INVOICE_ISSUED', 'PAYMENT_RECEIVED', 'REFUND_MADE', 'CREDIT_NOTE_ISSUED', 'CARD_CHARGE_FAILED', 'BALANCE_DUE', 'DEPOSIT_RELEASED', 'DEPOSIT_FORFEITED', 'PACKAGE_SOLD', 'PACKAGE_EXPIRING', 'PACKAGE_EXPIRED', 'PACKAGE_STOPPED', 'OPT_OUT_CONFIRMED', 'OPT_IN_CONFIRMED', 'HELP', 'CONFIRM_RECEIVED', 'MOVE_RECEIVED', 'REPLY_RECEIVED', 'ANNOUNCEMENT')",
    )
    op.drop_constraint(op.f("message_channel_check"), "message")
    op.create_check_constraint(
        op.f("message_channel_check"), "message", "channel IN ('EMAIL', 'SMS', 'VOICE', 'IN_APP')"
    )
    op.drop_constraint(op.f("message_status_check"), "message")
    op.create_check_constraint(
        op.f("message_status_check"),
        "message",
        "status IN ('SCHEDULED', 'SENDING', 'SENT', 'SUPPRESSED', 'WITHDRAWN', 'FAILED', 'UNKNOWN')",
    )
    op.drop_constraint(op.f("message_reason_check"), "message")
    op.create_check_constraint(
        op.f("message_reason_check"),
        "message",
        "reason IN ('NO_EMAIL_ADDRESS', 'NO_PHONE_NUMBER', 'NO_COMPANION', 'NO_SENDING_NUMBER', 'NOT_PERMITTED', 'ADDRESS_SUPPRESSED', 'QUIET_HOURS', 'CAP_REACHED', 'TOO_LATE', 'VISIT_STARTED', 'VISIT_CONFIRMED', 'VISIT_CANCELLED', 'VISIT_MISSED', 'VISIT_MOVED', 'MATTER_CLOSED', 'REFUSED', 'ATTEMPTS_EXHAUSTED', 'UNDELIVERED', 'TEMPLATE_BROKEN', 'NO_ANSWER', 'PATIENT_DECEASED')",
    )
    op.create_check_constraint(
        op.f("message_anchor_check"),
        "message",
        "anchor IN ('BOOKED', 'MOVED', 'CANCELLED', 'MISSED', 'COMPLETED', 'START', 'END', 'TOLD', 'DUE')",
    )
    op.create_check_constraint(op.f("message_about_one_check"), "message", "visit_id IS NULL OR matter_id IS NULL")
    op.create_check_constraint(op.f("message_channels_check"), "message", "channels[1] = channel")
    op.create_check_constraint(op.f("message_delivered_check"), "message", "delivered_at IS NULL OR status = 'SENT'")
    op.drop_constraint(op.f("visit_status_check"), "visit")
    op.create_check_constraint(
        op.f("visit_status_check"), "visit", "status IN ('BOOKED', 'CONFIRMED', 'COMPLETED', 'CANCELLED', 'MISSED')"
    )
    op.drop_constraint(op.f("visit_start_check"), "visit")
    op.create_check_constraint(
        op.f("visit_start_check"), "visit", "status NOT IN ('BOOKED', 'CONFIRMED') OR start_at IS NOT NULL"
    )
    op.drop_constraint(op.f("message_chain_id_visit_id_kind_key"), "message", type_="unique")
    op.create_unique_constraint(
        "message_once_key",
        "message",
        ["chain_id", "visit_id", "matter_id", "rule", "kind", "for_start", "patient_id"],
        postgresql_nulls_not_distinct=True,
    )
    op.execute("ALTER TABLE cadence ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE cadence FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON cadence USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON cadence TO notifications")
    op.execute("ALTER TABLE matter ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE matter FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON matter USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON matter AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON matter AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON matter TO notifications")
    op.execute("ALTER TABLE pause ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE pause FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON pause USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON pause AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')) OR site_id IS NULL) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON pause AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY changed_by ON pause AS RESTRICTIVE FOR UPDATE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY deleted_by ON pause AS RESTRICTIVE FOR DELETE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON pause TO notifications")
    op.execute("ALTER TABLE policy ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE policy FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON policy USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON policy TO notifications")
    op.execute("ALTER TABLE protocol_version ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE protocol_version FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON protocol_version USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON protocol_version TO notifications")
    op.execute("ALTER TABLE attempt ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE attempt FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON attempt USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON attempt TO notifications")
