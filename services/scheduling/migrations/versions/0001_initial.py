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
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("chain_pkey")),
    )
    op.create_table(
        "clearance",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("protocol_id", sa.Uuid(), nullable=False),
        sa.Column("route_codes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("effective_date", sa.Date(), nullable=True),
        sa.Column("expire_date", sa.Date(), nullable=True),
        sa.Column("revoked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("clearance_pkey")),
    )
    op.create_index("clearance_by_patient", "clearance", ["chain_id", "patient_id", "protocol_id"], unique=False)
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
        "legal_entity",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("legal_entity_pkey")),
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
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "patient_id", name=op.f("patient_pkey")),
    )
    op.create_table(
        "protocol",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("protocol_pkey")),
        sa.UniqueConstraint("chain_id", "code", name="protocol_code_key"),
    )
    op.create_table(
        "protocol_version",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("protocol_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("template", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "protocol_id"],
            ["protocol.chain_id", "protocol.id"],
            name=op.f("protocol_version_chain_id_protocol_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("protocol_version_pkey")),
        sa.UniqueConstraint("chain_id", "protocol_id", "version", name="protocol_version_version_key"),
    )
    op.create_table(
        "site",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("legal_entity_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("discreet_name", sa.Text(), nullable=False),
        sa.Column("address", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("opening_hours", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("closed_dates", sa.ARRAY(sa.Date()), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "legal_entity_id"],
            ["legal_entity.chain_id", "legal_entity.id"],
            name=op.f("site_chain_id_legal_entity_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("site_pkey")),
        sa.UniqueConstraint("chain_id", "code", name="site_code_key"),
    )
    op.create_table(
        "adoption",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("protocol_version_id", sa.Uuid(), nullable=False),
        sa.Column("adopted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "protocol_version_id"],
            ["protocol_version.chain_id", "protocol_version.id"],
            name=op.f("adoption_chain_id_protocol_version_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("adoption_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "site_id", "protocol_version_id", name=op.f("adoption_pkey")),
    )
    op.create_table(
        "course",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("protocol_version_id", sa.Uuid(), nullable=False),
        sa.Column("route_code", sa.Text(), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "protocol_version_id"],
            ["protocol_version.chain_id", "protocol_version.id"],
            name=op.f("course_chain_id_protocol_version_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("course_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("course_pkey")),
    )
    op.create_index("course_by_patient", "course", ["chain_id", "patient_id", "id"], unique=False)
    op.create_index("course_by_site", "course", ["chain_id", "site_id", "id"], unique=False)
    op.create_table(
        "resource",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("capabilities", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("lane_count", sa.SmallInteger(), nullable=False),
        sa.Column("working_hours", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("time_off", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("npi", sa.Text(), nullable=False),
        sa.CheckConstraint("lane_count > 0", name=op.f("resource_lanes_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("resource_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("resource_pkey")),
    )
    op.create_index("resource_by_site", "resource", ["chain_id", "site_id", "id"], unique=False)
    op.create_table(
        "visit",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("phase_code", sa.Text(), nullable=False),
        sa.Column("visit_type_code", sa.Text(), nullable=False),
        sa.Column("route_code", sa.Text(), nullable=False),
        sa.Column("band_code", sa.Text(), nullable=False),
        sa.Column("telehealth", sa.Boolean(), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resources", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("segment_minutes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("cancellation_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "start_at < end_at AND end_at <= start_at + interval '24 hours'", name=op.f("visit_a_day_at_most_check")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "course_id"], ["course.chain_id", "course.id"], name=op.f("visit_chain_id_course_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("visit_pkey")),
    )
    op.create_index("visit_by_course", "visit", ["chain_id", "course_id"], unique=False)
    op.create_index("visit_by_site", "visit", ["chain_id", "site_id", "start_at"], unique=False)
    op.create_table(
        "allocation",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "start_at < end_at AND end_at <= start_at + interval '24 hours'",
            name=op.f("allocation_a_day_at_most_check"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "resource_id"],
            ["resource.chain_id", "resource.id"],
            name=op.f("allocation_chain_id_resource_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "visit_id"], ["visit.chain_id", "visit.id"], name=op.f("allocation_chain_id_visit_id_fkey")
        ),
        sa.PrimaryKeyConstraint(
            "chain_id", "visit_id", "resource_id", "lane", "start_at", name=op.f("allocation_pkey")
        ),
    )
    op.create_index("allocation_by_time", "allocation", ["chain_id", "resource_id", "end_at"], unique=False)
    op.create_table(
        "presence",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "start_at < end_at AND end_at <= start_at + interval '24 hours'", name=op.f("presence_a_day_at_most_check")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "visit_id"], ["visit.chain_id", "visit.id"], name=op.f("presence_chain_id_visit_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "visit_id", name=op.f("presence_pkey")),
    )
    op.create_table(
        "visit_status_change",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "visit_id"],
            ["visit.chain_id", "visit.id"],
            name=op.f("visit_status_change_chain_id_visit_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "visit_id", "status", name=op.f("visit_status_change_pkey")),
    )
    op.execute("ALTER TABLE audit ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON audit USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON audit TO scheduling")
    op.execute("CREATE POLICY every_chain ON audit TO scheduling_sealer USING (true)")
    op.execute("GRANT SELECT ON audit TO scheduling_sealer")
    op.execute("ALTER TABLE audit_seal ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit_seal FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON audit_seal USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("CREATE POLICY every_chain ON audit_seal TO scheduling_sealer USING (true)")
    op.execute("GRANT SELECT, INSERT ON audit_seal TO scheduling_sealer")
    op.execute("ALTER TABLE chain ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE chain FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON chain USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON chain TO scheduling")
    op.execute("ALTER TABLE clearance ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE clearance FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON clearance USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON clearance AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON clearance TO scheduling")
    op.execute("ALTER TABLE dead_letter ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE dead_letter FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON dead_letter USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letter TO scheduling")
    op.execute("CREATE POLICY every_chain ON dead_letter TO scheduling_relay USING (true)")
    op.execute("GRANT SELECT, UPDATE (replay_at) ON dead_letter TO scheduling_relay")
    op.execute("ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE idempotency FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON idempotency USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency TO scheduling")
    op.execute("CREATE POLICY every_chain ON idempotency TO scheduling_relay USING (true)")
    op.execute("GRANT SELECT (created_at), DELETE ON idempotency TO scheduling_relay")
    op.execute("ALTER TABLE inbox ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE inbox FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON inbox USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON inbox TO scheduling")
    op.execute("CREATE POLICY every_chain ON inbox TO scheduling_relay USING (true)")
    op.execute("GRANT SELECT (received_at), DELETE ON inbox TO scheduling_relay")
    op.execute("ALTER TABLE legal_entity ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE legal_entity FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON legal_entity USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON legal_entity TO scheduling")
    op.execute("ALTER TABLE outbox ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE outbox FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON outbox USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON outbox TO scheduling")
    op.execute("CREATE POLICY every_chain ON outbox TO scheduling_relay USING (true)")
    op.execute("GRANT SELECT (published_at), DELETE ON outbox TO scheduling_relay")
    op.execute("GRANT SELECT, UPDATE (published_at) ON outbox TO scheduling_relay")
    op.execute("ALTER TABLE patient ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE patient FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON patient USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON patient AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON patient TO scheduling")
    op.execute("ALTER TABLE protocol ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE protocol FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON protocol USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON protocol TO scheduling")
    op.execute("ALTER TABLE protocol_version ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE protocol_version FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON protocol_version USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON protocol_version TO scheduling")
    op.execute("ALTER TABLE site ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE site FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON site USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON site TO scheduling")
    op.execute("ALTER TABLE adoption ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE adoption FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON adoption USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON adoption AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON adoption TO scheduling")
    op.execute("ALTER TABLE course ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE course FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON course USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON course AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON course AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON course TO scheduling")
    op.execute("ALTER TABLE resource ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE resource FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON resource USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON resource AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON resource TO scheduling")
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
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON visit TO scheduling")
    op.execute(
        "ALTER TABLE allocation ADD CONSTRAINT allocation_never_twice EXCLUDE USING gist (chain_id WITH =, resource_id WITH =, lane WITH =, tstzrange(start_at, end_at) WITH &&)"
    )
    op.execute("ALTER TABLE allocation ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE allocation FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON allocation USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON allocation AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON allocation TO scheduling")
    op.execute(
        "ALTER TABLE presence ADD CONSTRAINT presence_never_twice EXCLUDE USING gist (chain_id WITH =, patient_id WITH =, tstzrange(start_at, end_at) WITH &&)"
    )
    op.execute("ALTER TABLE presence ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE presence FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON presence USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON presence AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON presence TO scheduling")
    op.execute("ALTER TABLE visit_status_change ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE visit_status_change FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON visit_status_change USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON visit_status_change AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON visit_status_change TO scheduling")
