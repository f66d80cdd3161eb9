"""who signs anew is told"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "consent_recall",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("after_id", sa.Uuid(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["chain_id", "version_id"],
            ["consent_document_version.chain_id", "consent_document_version.id"],
            name=op.f("consent_recall_chain_id_version_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "version_id", name=op.f("consent_recall_pkey")),
    )
    op.create_index(
        "consent_recall_due_idx",
        "consent_recall",
        ["chain_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.execute("ALTER TABLE consent_recall ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE consent_recall FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON consent_recall USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON consent_recall TO patients")
    op.create_table(
        "recalling_chain",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("recalling_chain_pkey")),
    )
    op.execute("ALTER TABLE recalling_chain ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE recalling_chain FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON recalling_chain USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON recalling_chain TO patients")
    op.execute(
        "CREATE POLICY every_chain ON recalling_chain FOR SELECT TO patients USING (current_setting('app.chain', true) = '00000000-0000-0000-0000-000000000000')"
    )
