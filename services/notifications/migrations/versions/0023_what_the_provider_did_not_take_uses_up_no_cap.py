"""what the provider did not take uses up no cap"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.create_table(
        "not_taken",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "message_id", "number"],
            ["attempt.chain_id", "attempt.message_id", "attempt.number"],
            name=op.f("not_taken_chain_id_message_id_number_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "message_id", "number", name=op.f("not_taken_pkey")),
    )
    op.execute("ALTER TABLE not_taken ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE not_taken FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON not_taken USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON not_taken TO notifications")
