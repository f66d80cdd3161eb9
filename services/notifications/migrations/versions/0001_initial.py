"""initial"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("ids", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "position", name=op.f("audit_pkey")),
    )
    op.create_index("audit_position_idx", "audit", ["position"], unique=False)
    op.create_table(
        "audit_seal",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "sequence", name=op.f("audit_seal_pkey")),
        sa.UniqueConstraint("chain_id", "position", name=op.f("audit_seal_chain_id_position_key")),
    )
    op.create_table(
        "chain",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("chain_pkey")),
    )
    op.create_table(
        "dead_letter",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("waits_for", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("buried_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("replay_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("chain_id", "consumer", "message_id", name=op.f("dead_letter_pkey")),
    )
    op.create_index(
        "dead_letter_replay_idx",
        "dead_letter",
        ["replay_at"],
        unique=False,
        postgresql_where=sa.text("replay_at IS NOT NULL"),
    )
    op.create_index(
        "dead_letter_waiting_idx",
        "dead_letter",
        ["waits_for"],
        unique=False,
        postgresql_where=sa.text("waits_for IS NOT NULL"),
    )
    op.create_table(
        "idempotency",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "actor", "method", "request_id", name=op.f("idempotency_pkey")),
    )
    op.create_table(
        "inbox",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "consumer", "event_id", name=op.f("inbox_pkey")),
    )
    op.create_table(
        "outbox",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("aggregate_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("chain_id", "event_id", name=op.f("outbox_pkey")),
    )
    op.create_index(
        "outbox_unpublished_idx", "outbox", ["position"], unique=False, postgresql_where=sa.text("published_at IS NULL")
    )
    op.create_table(
        "patient",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("patient_pkey")),
    )
    op.create_table(
        "site",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("discreet_name", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("site_pkey")),
    )
    op.create_table(
        "visit",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("telehealth", sa.Boolean(), nullable=True),
        sa.CheckConstraint("status <> 'BOOKED' OR start_at IS NOT NULL", name=op.f("visit_start_check")),
        sa.CheckConstraint("status IN ('BOOKED', 'CANCELLED', 'MISSED')", name=op.f("visit_status_check")),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("visit_pkey")),
    )
    op.create_table(
        "message",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("template", sa.Text(), nullable=True),
        sa.Column("template_version", sa.Text(), nullable=True),
        sa.Column("template_language", sa.Text(), nullable=True),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(status = 'SENT') = (sent_at IS NOT NULL)", name=op.f("message_sent_check")),
        sa.CheckConstraint(
            "(status IN ('SUPPRESSED', 'WITHDRAWN', 'FAILED', 'UNKNOWN')) = (reason IS NOT NULL)",
            name=op.f("message_has_reason_check"),
        ),
        sa.CheckConstraint("channel IN ('EMAIL')", name=op.f("message_channel_check")),
        sa.CheckConstraint("kind IN ('VISIT_CONFIRMATION', 'VISIT_REMINDER')", name=op.f("message_kind_check")),
        sa.CheckConstraint("lease_id IS NULL OR status IN ('SCHEDULED', 'SENDING')", name=op.f("message_lease_check")),
        sa.CheckConstraint(
            "reason IN ('NO_EMAIL_ADDRESS', 'VISIT_STARTED', 'VISIT_CANCELLED', 'VISIT_MISSED', 'REFUSED', 'ATTEMPTS_EXHAUSTED', 'TEMPLATE_BROKEN', 'NO_ANSWER', 'PATIENT_DECEASED')",
            name=op.f("message_reason_check"),
        ),
        sa.CheckConstraint(
            "status IN ('SCHEDULED', 'SENDING', 'SENT', 'SUPPRESSED', 'WITHDRAWN', 'FAILED', 'UNKNOWN')",
            name=op.f("message_status_check"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("message_chain_id_patient_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("message_chain_id_site_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "visit_id"], ["visit.chain_id", "visit.id"], name=op.f("message_chain_id_visit_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("message_pkey")),
        sa.UniqueConstraint("chain_id", "visit_id", "kind", name=op.f("message_chain_id_visit_id_kind_key")),
    )
    op.create_index("message_patient_idx", "message", ["chain_id", "patient_id", "due_at", "id"], unique=False)
    op.create_index("message_site_idx", "message", ["chain_id", "site_id", "due_at", "id"], unique=False)
    op.create_index(
        "message_unsent_idx",
        "message",
        ["chain_id", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("status IN ('SCHEDULED', 'SENDING')"),
    )
    op.execute("ALTER TABLE audit ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON audit USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON audit TO notifications")
    op.execute("CREATE POLICY every_chain ON audit TO notifications_sealer USING (true)")
    op.execute("GRANT SELECT ON audit TO notifications_sealer")
    op.execute("ALTER TABLE audit_seal ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit_seal FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON audit_seal USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("CREATE POLICY every_chain ON audit_seal TO notifications_sealer USING (true)")
    op.execute("GRANT SELECT, INSERT ON audit_seal TO notifications_sealer")
    op.execute("ALTER TABLE chain ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE chain FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON chain USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON chain TO notifications")
    op.execute(
        "CREATE POLICY every_chain ON chain FOR SELECT TO notifications USING (current_setting('app.chain', true) = '00000000-0000-0000-0000-000000000000')"
    )
    op.execute("ALTER TABLE dead_letter ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE dead_letter FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON dead_letter USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letter TO notifications")
    op.execute("CREATE POLICY every_chain ON dead_letter TO notifications_relay USING (true)")
    op.execute("GRANT SELECT, UPDATE (replay_at) ON dead_letter TO notifications_relay")
    op.execute("ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE idempotency FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON idempotency USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency TO notifications")
    op.execute("CREATE POLICY every_chain ON idempotency TO notifications_relay USING (true)")
    op.execute("GRANT SELECT (created_at), DELETE ON idempotency TO notifications_relay")
    op.execute("ALTER TABLE inbox ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE inbox FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON inbox USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON inbox TO notifications")
    op.execute("CREATE POLICY every_chain ON inbox TO notifications_relay USING (true)")
    op.execute("GRANT SELECT (received_at), DELETE ON inbox TO notifications_relay")
    op.execute("ALTER TABLE outbox ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE outbox FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON outbox USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON outbox TO notifications")
    op.execute("CREATE POLICY every_chain ON outbox TO notifications_relay USING (true)")
    op.execute("GRANT SELECT (published_at), DELETE ON outbox TO notifications_relay")
    op.execute("GRANT SELECT, UPDATE (published_at) ON outbox TO notifications_relay")
    op.execute("ALTER TABLE patient ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE patient FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON patient USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON patient TO notifications")
    op.execute("ALTER TABLE site ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE site FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON site USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON site TO notifications")
    op.execute("ALTER TABLE visit ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE visit FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON visit USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON visit AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON visit AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON visit TO notifications")
    op.execute("ALTER TABLE message ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE message FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON message USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON message AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON message AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON message TO notifications")
