"""Questionnaires, and the limits of clearances"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "questionnaire",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("questionnaire_pkey")),
        sa.UniqueConstraint("chain_id", "code", name=op.f("questionnaire_chain_id_code_key")),
    )
    op.create_table(
        "protocol_questionnaire",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("protocol_id", sa.Uuid(), nullable=False),
        sa.Column("questionnaire_id", sa.Uuid(), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("assigned_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "questionnaire_id"],
            ["questionnaire.chain_id", "questionnaire.id"],
            name=op.f("protocol_questionnaire_chain_id_questionnaire_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "protocol_id", name=op.f("protocol_questionnaire_pkey")),
    )
    op.create_table(
        "questionnaire_version",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("questionnaire_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_by", sa.Text(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("questionnaire_version_version_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "questionnaire_id"],
            ["questionnaire.chain_id", "questionnaire.id"],
            name=op.f("questionnaire_version_chain_id_questionnaire_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("questionnaire_version_pkey")),
        sa.UniqueConstraint(
            "chain_id",
            "questionnaire_id",
            "version",
            name=op.f("questionnaire_version_chain_id_questionnaire_id_version_key"),
        ),
    )
    op.add_column(
        "clearance", sa.Column("band_codes", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    )
    op.add_column("clearance", sa.Column("session_minutes_max", sa.Integer(), server_default="0", nullable=False))
    op.add_column(
        "clearance",
        sa.Column(
            "conditions", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False
        ),
    )
    op.add_column("clearance", sa.Column("override_reason", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("clearance", sa.Column("revoke_reason", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("screening", sa.Column("questionnaire_version_id", sa.Uuid(), nullable=True))
    op.add_column(
        "screening", sa.Column("outcome", sa.Text(), server_default="SCREENING_OUTCOME_NEEDS_REVIEW", nullable=False)
    )
    op.add_column(
        "screening", sa.Column("reason_codes", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    )
    op.create_foreign_key(
        op.f("screening_chain_id_questionnaire_version_id_fkey"),
        "screening",
        "questionnaire_version",
        ["chain_id", "questionnaire_version_id"],
        ["chain_id", "id"],
    )
    op.create_check_constraint(
        op.f("screening_outcome_check"),
        "screening",
        "outcome IN ('SCREENING_OUTCOME_ELIGIBLE', 'SCREENING_OUTCOME_NEEDS_REVIEW', 'SCREENING_OUTCOME_EXCLUDED')",
    )
    op.create_check_constraint(
        op.f("screening_reasons_check"),
        "screening",
        "questionnaire_version_id IS NULL OR (outcome = 'SCREENING_OUTCOME_ELIGIBLE') = (reason_codes = '{}')",
    )
    op.create_check_constraint(
        op.f("screening_judged_by_rules_check"),
        "screening",
        "questionnaire_version_id IS NOT NULL OR outcome = 'SCREENING_OUTCOME_NEEDS_REVIEW'",
    )
    op.create_check_constraint(
        op.f("clearance_revoke_reason_check"), "clearance", "revoked_at IS NOT NULL OR revoke_reason = ''"
    )
    op.create_check_constraint(
        op.f("clearance_session_minutes_max_check"), "clearance", "session_minutes_max BETWEEN 0 AND 720"
    )
    op.create_check_constraint(
        op.f("clearance_length_check"),
        "clearance",
        "expire_date <= (granted_at AT TIME ZONE 'UTC')::date + interval '12 months 1 day'",
    )
    op.execute("ALTER TABLE questionnaire ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE questionnaire FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON questionnaire USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON questionnaire TO patients")
    op.execute("ALTER TABLE protocol_questionnaire ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE protocol_questionnaire FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON protocol_questionnaire USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON protocol_questionnaire TO patients")
    op.execute("ALTER TABLE questionnaire_version ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE questionnaire_version FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON questionnaire_version USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON questionnaire_version TO patients")
