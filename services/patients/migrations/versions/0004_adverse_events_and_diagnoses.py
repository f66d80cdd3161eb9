"""Adverse events and diagnoses"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "adverse_event",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=True),
        sa.Column("visit_id", sa.Uuid(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("grades", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("allowed_by", sa.Text(), nullable=True),
        sa.Column("allowed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('RECOVERED', 'RECOVERED_WITH_SEQUELAE', 'NOT_RECOVERED', 'FATAL', 'UNKNOWN')",
            name=op.f("adverse_event_outcome_check"),
        ),
        sa.CheckConstraint("(allowed_by IS NULL) = (allowed_at IS NULL)", name=op.f("adverse_event_allowed_check")),
        sa.CheckConstraint(
            "(resolved_by IS NULL) = (resolved_at IS NULL) AND (resolved_by IS NULL) = (outcome IS NULL)",
            name=op.f("adverse_event_resolved_check"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id", "site_id"],
            ["patient_site.chain_id", "patient_site.patient_id", "patient_site.site_id"],
            name=op.f("adverse_event_chain_id_patient_id_site_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("adverse_event_pkey")),
    )
    op.create_index(
        "adverse_event_open_idx",
        "adverse_event",
        ["chain_id", "site_id", "id"],
        unique=False,
        postgresql_where=sa.text("(resolved_at IS NULL OR (allowed_at IS NULL AND outcome <> 'FATAL'))"),
    )
    op.create_index("adverse_event_patient_idx", "adverse_event", ["chain_id", "patient_id", "id"], unique=False)
    op.create_table(
        "diagnosis",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("rank", sa.Text(), nullable=False),
        sa.Column("effective", sa.Date(), nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retracted_by", sa.Text(), nullable=True),
        sa.Column("retracted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("code ~ '^[A-Z][0-9][0-9A-Z]([.][0-9A-Z]{1,4})?$'", name=op.f("diagnosis_code_check")),
        sa.CheckConstraint("rank IN ('PRIMARY', 'SECONDARY')", name=op.f("diagnosis_rank_check")),
        sa.CheckConstraint("(retracted_by IS NULL) = (retracted_at IS NULL)", name=op.f("diagnosis_retracted_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id", "site_id"],
            ["patient_site.chain_id", "patient_site.patient_id", "patient_site.site_id"],
            name=op.f("diagnosis_chain_id_patient_id_site_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("diagnosis_pkey")),
    )
    op.create_index("diagnosis_patient_idx", "diagnosis", ["chain_id", "patient_id", "id"], unique=False)
    op.create_index(
        "diagnosis_standing_key",
        "diagnosis",
        ["chain_id", "patient_id", "course_id", "code"],
        unique=True,
        postgresql_where=sa.text("retracted_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.execute("ALTER TABLE adverse_event ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE adverse_event FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON adverse_event USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON adverse_event AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen WHERE seen.chain_id = adverse_event.chain_id AND seen.patient_id = adverse_event.patient_id LIMIT 1) OR (SELECT true FROM break_glass AS seen WHERE seen.chain_id = adverse_event.chain_id AND seen.patient_id = adverse_event.patient_id AND seen.actor = current_setting('app.actor', true) AND seen.expire_at > clock_timestamp() LIMIT 1)) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON adverse_event AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON adverse_event AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON adverse_event TO patients")
    op.execute("ALTER TABLE diagnosis ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE diagnosis FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON diagnosis USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON diagnosis AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen WHERE seen.chain_id = diagnosis.chain_id AND seen.patient_id = diagnosis.patient_id LIMIT 1) OR (SELECT true FROM break_glass AS seen WHERE seen.chain_id = diagnosis.chain_id AND seen.patient_id = diagnosis.patient_id AND seen.actor = current_setting('app.actor', true) AND seen.expire_at > clock_timestamp() LIMIT 1)) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON diagnosis AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON diagnosis AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON diagnosis TO patients")
