"""Drafts, retirement and narrowing of versions; gates of visits"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "protocol_draft",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("protocol_id", sa.Uuid(), nullable=False),
        sa.Column("template", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "protocol_id"],
            ["protocol.chain_id", "protocol.id"],
            name=op.f("protocol_draft_chain_id_protocol_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "protocol_id", name=op.f("protocol_draft_pkey")),
    )
    op.create_table(
        "protocol_version_retirement",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("protocol_version_id", sa.Uuid(), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("retired_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "protocol_version_id"],
            ["protocol_version.chain_id", "protocol_version.id"],
            name=op.f("protocol_version_retirement_chain_id_protocol_version_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "protocol_version_id", name=op.f("protocol_version_retirement_pkey")),
    )
    op.create_table(
        "gate_override",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "visit_id"], ["visit.chain_id", "visit.id"], name=op.f("gate_override_chain_id_visit_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "visit_id", "kind", "stage", name=op.f("gate_override_pkey")),
    )
    op.create_table(
        "gate_record",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "visit_id"], ["visit.chain_id", "visit.id"], name=op.f("gate_record_chain_id_visit_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "visit_id", "kind", name=op.f("gate_record_pkey")),
    )
    op.add_column("adoption", sa.Column("narrowed_template", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("course", sa.Column("deposit_paid_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("ALTER TABLE protocol_draft ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE protocol_draft FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON protocol_draft USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON protocol_draft TO scheduling")
    op.execute("ALTER TABLE protocol_version_retirement ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE protocol_version_retirement FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON protocol_version_retirement USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON protocol_version_retirement TO scheduling")
    op.execute("ALTER TABLE gate_override ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE gate_override FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON gate_override USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON gate_override AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON gate_override TO scheduling")
    op.execute("ALTER TABLE gate_record ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE gate_record FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON gate_record USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON gate_record AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON gate_record TO scheduling")
