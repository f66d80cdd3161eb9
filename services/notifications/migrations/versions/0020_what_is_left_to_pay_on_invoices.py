"""what is left to pay on invoices"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_table(
        "balance",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("matter_id", sa.Uuid(), nullable=True),
        sa.Column("void", sa.Boolean(), nullable=False),
        sa.CheckConstraint("NOT void OR matter_id IS NULL", name=op.f("balance_void_check")),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("balance_pkey")),
    )
    op.execute("ALTER TABLE balance ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE balance FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON balance USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON balance TO notifications")
