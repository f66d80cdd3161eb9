"""Merged patients"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "patient_alias",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("alias_id", sa.Uuid(), nullable=False),
        sa.Column("survivor_id", sa.Uuid(), nullable=True),
        sa.Column("end_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("survivor_id <> alias_id", name=op.f("patient_alias_of_another_check")),
        sa.PrimaryKeyConstraint("chain_id", "alias_id", name=op.f("patient_alias_pkey")),
    )
    op.create_index("patient_alias_end_idx", "patient_alias", ["chain_id", "end_id"], unique=False)
    op.execute("ALTER TABLE patient_alias ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE patient_alias FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON patient_alias USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON patient_alias TO billing")
