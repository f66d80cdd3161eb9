"""the tables of patients"""

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
        "site",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("site_pkey")),
    )
    op.create_table(
        "patient",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("mrn", sa.Text(), nullable=False),
        sa.Column("given_names", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("family_name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("birth_date", sa.Date(), nullable=False),
        sa.Column("gender", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("home_site_id", sa.Uuid(), nullable=False),
        sa.Column("deceased", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "gender IN ('UNSPECIFIED', 'MALE', 'FEMALE', 'OTHER', 'UNKNOWN')", name=op.f("patient_gender_check")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "home_site_id"], ["site.chain_id", "site.id"], name=op.f("patient_chain_id_home_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("patient_pkey")),
        sa.UniqueConstraint("chain_id", "mrn", name=op.f("patient_chain_id_mrn_key")),
    )
    op.create_index("patient_birth_date_idx", "patient", ["chain_id", "birth_date"], unique=False)
    op.create_table(
        "contact_point",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.CheckConstraint("system IN ('PHONE', 'EMAIL', 'POSTAL')", name=op.f("contact_point_system_check")),
        sa.CheckConstraint(
            "use IN ('UNSPECIFIED', 'HOME', 'WORK', 'MOBILE', 'TEMPORARY', 'OLD')", name=op.f("contact_point_use_check")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("contact_point_chain_id_patient_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "patient_id", "place", name=op.f("contact_point_pkey")),
    )
    op.create_index("contact_point_value_idx", "contact_point", ["chain_id", "system", "value"], unique=False)
    op.create_table(
        "patient_identifier",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("patient_identifier_chain_id_patient_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "system", "value", name=op.f("patient_identifier_pkey")),
    )
    op.create_index("patient_identifier_patient_idx", "patient_identifier", ["chain_id", "patient_id"], unique=False)
    op.create_table(
        "patient_name",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("word", sa.Text(collation="C"), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("patient_name_chain_id_patient_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "word", "patient_id", name=op.f("patient_name_pkey")),
    )
    op.create_index("patient_name_patient_idx", "patient_name", ["chain_id", "patient_id", "word"], unique=False)
    op.create_table(
        "patient_site",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("patient_site_chain_id_patient_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("patient_site_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "patient_id", "site_id", name=op.f("patient_site_pkey")),
    )
    op.create_table(
        "screening",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("protocol_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("answers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id", "site_id"],
            ["patient_site.chain_id", "patient_site.patient_id", "patient_site.site_id"],
            name=op.f("screening_chain_id_patient_id_site_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("screening_pkey")),
        sa.UniqueConstraint("chain_id", "patient_id", "id", name=op.f("screening_chain_id_patient_id_id_key")),
    )
    op.create_table(
        "clearance",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("protocol_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("route_codes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("effective_date", sa.Date(), nullable=False),
        sa.Column("expire_date", sa.Date(), nullable=False),
        sa.Column("screening_id", sa.Uuid(), nullable=True),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(revoked_by IS NULL) = (revoked_at IS NULL)", name=op.f("clearance_revoked_check")),
        sa.CheckConstraint("effective_date <= expire_date", name=op.f("clearance_dates_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id", "screening_id"],
            ["screening.chain_id", "screening.patient_id", "screening.id"],
            name=op.f("clearance_chain_id_patient_id_screening_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id", "site_id"],
            ["patient_site.chain_id", "patient_site.patient_id", "patient_site.site_id"],
            name=op.f("clearance_chain_id_patient_id_site_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("clearance_pkey")),
    )
    op.create_index("clearance_patient_idx", "clearance", ["chain_id", "patient_id", "id"], unique=False)
    op.execute("ALTER TABLE audit ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON audit USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON audit TO patients")
    op.execute("CREATE POLICY every_chain ON audit TO patients_sealer USING (true)")
    op.execute("GRANT SELECT ON audit TO patients_sealer")
    op.execute("ALTER TABLE audit_seal ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit_seal FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON audit_seal USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("CREATE POLICY every_chain ON audit_seal TO patients_sealer USING (true)")
    op.execute("GRANT SELECT, INSERT ON audit_seal TO patients_sealer")
    op.execute("ALTER TABLE dead_letter ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE dead_letter FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON dead_letter USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letter TO patients")
    op.execute("CREATE POLICY every_chain ON dead_letter TO patients_relay USING (true)")
    op.execute("GRANT SELECT, UPDATE (replay_at) ON dead_letter TO patients_relay")
    op.execute("ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE idempotency FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON idempotency USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency TO patients")
    op.execute("CREATE POLICY every_chain ON idempotency TO patients_relay USING (true)")
    op.execute("GRANT SELECT (created_at), DELETE ON idempotency TO patients_relay")
    op.execute("ALTER TABLE inbox ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE inbox FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON inbox USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON inbox TO patients")
    op.execute("CREATE POLICY every_chain ON inbox TO patients_relay USING (true)")
    op.execute("GRANT SELECT (received_at), DELETE ON inbox TO patients_relay")
    op.execute("ALTER TABLE outbox ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE outbox FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON outbox USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON outbox TO patients")
    op.execute("CREATE POLICY every_chain ON outbox TO patients_relay USING (true)")
    op.execute("GRANT SELECT (published_at), DELETE ON outbox TO patients_relay")
    op.execute("GRANT SELECT, UPDATE (published_at) ON outbox TO patients_relay")
    op.execute("ALTER TABLE site ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE site FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON site USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON site TO patients")
    op.execute("ALTER TABLE patient ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE patient FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON patient USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON patient TO patients")
    op.execute("ALTER TABLE contact_point ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE contact_point FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON contact_point USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON contact_point AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON contact_point TO patients")
    op.execute("ALTER TABLE patient_identifier ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE patient_identifier FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON patient_identifier USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON patient_identifier AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON patient_identifier TO patients")
    op.execute("ALTER TABLE patient_name ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE patient_name FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON patient_name USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON patient_name AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON patient_name TO patients")
    op.execute("ALTER TABLE patient_site ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE patient_site FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON patient_site USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON patient_site AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON patient_site AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON patient_site TO patients")
    op.execute("ALTER TABLE screening ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE screening FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON screening USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON screening AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON screening AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON screening TO patients")
    op.execute("ALTER TABLE clearance ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE clearance FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON clearance USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON clearance AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON clearance AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON clearance TO patients")
