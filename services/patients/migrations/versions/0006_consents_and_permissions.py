"""Consents and permissions"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "consent_document",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("guarantor_may_sign", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_by", sa.Text(), nullable=True),
        sa.CheckConstraint("state ~ '^([A-Z]{2})?$'", name=op.f("consent_document_state_check")),
        sa.CheckConstraint("(retired_by IS NULL) = (retired_at IS NULL)", name=op.f("consent_document_retired_check")),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("consent_document_pkey")),
        sa.UniqueConstraint("chain_id", "code", "state", name=op.f("consent_document_chain_id_code_state_key")),
    )
    op.create_table(
        "consent_document_version",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("effective_date", sa.Date(), nullable=False),
        sa.Column("earlier_signatures_stay_good", sa.Boolean(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_by", sa.Text(), nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("consent_document_version_number_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "document_id"],
            ["consent_document.chain_id", "consent_document.id"],
            name=op.f("consent_document_version_chain_id_document_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("consent_document_version_pkey")),
        sa.UniqueConstraint(
            "chain_id", "document_id", "id", name=op.f("consent_document_version_chain_id_document_id_id_key")
        ),
        sa.UniqueConstraint(
            "chain_id", "document_id", "number", name=op.f("consent_document_version_chain_id_document_id_number_key")
        ),
    )
    op.create_table(
        "consent_text",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "content_hash = encode(sha256(convert_to(content, 'UTF8')), 'hex')",
            name=op.f("consent_text_content_hash_check"),
        ),
        sa.CheckConstraint("format IN ('PLAIN', 'MARKDOWN')", name=op.f("consent_text_format_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "version_id"],
            ["consent_document_version.chain_id", "consent_document_version.id"],
            name=op.f("consent_text_chain_id_version_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "version_id", "language", name=op.f("consent_text_pkey")),
    )
    op.create_table(
        "consent",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("signer_name", sa.Text(), nullable=False),
        sa.Column("relationship", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("witness_name", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("method <> 'VERBAL' OR witness_name <> ''", name=op.f("consent_witness_check")),
        sa.CheckConstraint("method IN ('ELECTRONIC', 'PAPER', 'VERBAL')", name=op.f("consent_method_check")),
        sa.CheckConstraint(
            "relationship IN ('SELF', 'PARENT', 'GUARDIAN', 'REPRESENTATIVE', 'GUARANTOR')",
            name=op.f("consent_relationship_check"),
        ),
        sa.CheckConstraint("sequence > 0", name=op.f("consent_sequence_check")),
        sa.CheckConstraint("signed_at <= recorded_at", name=op.f("consent_signed_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "document_id", "version_id"],
            [
                "consent_document_version.chain_id",
                "consent_document_version.document_id",
                "consent_document_version.id",
            ],
            name=op.f("consent_chain_id_document_id_version_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id", "site_id"],
            ["patient_site.chain_id", "patient_site.patient_id", "patient_site.site_id"],
            name=op.f("consent_chain_id_patient_id_site_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "version_id", "language"],
            ["consent_text.chain_id", "consent_text.version_id", "consent_text.language"],
            name=op.f("consent_chain_id_version_id_language_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("consent_pkey")),
        sa.UniqueConstraint(
            "chain_id",
            "patient_id",
            "document_id",
            "sequence",
            name=op.f("consent_chain_id_patient_id_document_id_sequence_key"),
        ),
        sa.UniqueConstraint("chain_id", "patient_id", "id", name=op.f("consent_chain_id_patient_id_id_key")),
    )
    op.create_table(
        "permission",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("permitted", sa.Boolean(), nullable=False),
        sa.Column("giver", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("wording_code", sa.Text(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=True),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("channel <> 'PORTAL' OR use = 'UNSPECIFIED'", name=op.f("permission_portal_check")),
        sa.CheckConstraint(
            "channel IN ('EMAIL', 'SMS', 'VOICE', 'POSTAL', 'PORTAL')", name=op.f("permission_channel_check")
        ),
        sa.CheckConstraint("giver <> 'COMPANION' OR purpose = 'COMPANION'", name=op.f("permission_companion_check")),
        sa.CheckConstraint("giver IN ('PATIENT', 'REPRESENTATIVE', 'COMPANION')", name=op.f("permission_giver_check")),
        sa.CheckConstraint(
            "method IN ('ELECTRONIC', 'PAPER', 'VERBAL', 'REPLY')", name=op.f("permission_method_check")
        ),
        sa.CheckConstraint(
            "purpose IN ('APPOINTMENT', 'TREATMENT_DETAIL', 'BILLING', 'MARKETING', 'COMPANION')",
            name=op.f("permission_purpose_check"),
        ),
        sa.CheckConstraint(
            "use IN ('UNSPECIFIED', 'HOME', 'WORK', 'MOBILE', 'TEMPORARY', 'OLD')", name=op.f("permission_use_check")
        ),
        sa.CheckConstraint("told_at <= recorded_at", name=op.f("permission_told_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id", "site_id"],
            ["patient_site.chain_id", "patient_site.patient_id", "patient_site.site_id"],
            name=op.f("permission_chain_id_patient_id_site_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "version_id"],
            ["consent_document_version.chain_id", "consent_document_version.id"],
            name=op.f("permission_chain_id_version_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("permission_pkey")),
    )
    op.create_index("permission_patient_idx", "permission", ["chain_id", "patient_id", "id"], unique=False)
    op.create_table(
        "consent_withdrawal",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("consent_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("withdrawn_by", sa.Text(), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id", "consent_id"],
            ["consent.chain_id", "consent.patient_id", "consent.id"],
            name=op.f("consent_withdrawal_chain_id_patient_id_consent_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id", "site_id"],
            ["patient_site.chain_id", "patient_site.patient_id", "patient_site.site_id"],
            name=op.f("consent_withdrawal_chain_id_patient_id_site_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "consent_id", name=op.f("consent_withdrawal_pkey")),
    )
    op.create_index("consent_withdrawal_patient_idx", "consent_withdrawal", ["chain_id", "patient_id"], unique=False)
    op.add_column("site", sa.Column("state", sa.Text(), server_default="", nullable=False))
    op.execute("ALTER TABLE consent_document ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE consent_document FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON consent_document USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON consent_document TO patients")
    op.execute("ALTER TABLE consent_document_version ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE consent_document_version FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON consent_document_version USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON consent_document_version TO patients")
    op.execute("ALTER TABLE consent_text ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE consent_text FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON consent_text USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON consent_text TO patients")
    op.execute("ALTER TABLE consent ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE consent FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON consent USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON consent AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen WHERE seen.chain_id = consent.chain_id AND seen.patient_id = consent.patient_id LIMIT 1) OR (SELECT true FROM break_glass AS seen WHERE seen.chain_id = consent.chain_id AND seen.patient_id = consent.patient_id AND seen.actor = current_setting('app.actor', true) AND seen.expire_at > clock_timestamp() LIMIT 1)) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON consent AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON consent AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON consent TO patients")
    op.execute("ALTER TABLE permission ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE permission FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON permission USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON permission AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen WHERE seen.chain_id = permission.chain_id AND seen.patient_id = permission.patient_id LIMIT 1) OR (SELECT true FROM break_glass AS seen WHERE seen.chain_id = permission.chain_id AND seen.patient_id = permission.patient_id AND seen.actor = current_setting('app.actor', true) AND seen.expire_at > clock_timestamp() LIMIT 1)) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON permission AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON permission AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON permission TO patients")
    op.execute("ALTER TABLE consent_withdrawal ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE consent_withdrawal FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON consent_withdrawal USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON consent_withdrawal AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen WHERE seen.chain_id = consent_withdrawal.chain_id AND seen.patient_id = consent_withdrawal.patient_id LIMIT 1) OR (SELECT true FROM break_glass AS seen WHERE seen.chain_id = consent_withdrawal.chain_id AND seen.patient_id = consent_withdrawal.patient_id AND seen.actor = current_setting('app.actor', true) AND seen.expire_at > clock_timestamp() LIMIT 1)) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON consent_withdrawal AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON consent_withdrawal AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON consent_withdrawal TO patients")
