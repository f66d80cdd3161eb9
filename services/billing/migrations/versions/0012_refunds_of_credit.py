"""Refunds of credit, lines of payouts that an adjustment settles"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("refund_part", sa.Column("credit_id", sa.Uuid(), nullable=True))
    op.alter_column("refund_part", "payment_id", existing_type=sa.UUID(), nullable=True)
    op.create_foreign_key(
        op.f("refund_part_chain_id_credit_id_fkey"),
        "refund_part",
        "open_item",
        ["chain_id", "credit_id"],
        ["chain_id", "id"],
    )
    op.create_check_constraint(
        op.f("refund_part_source_check"),
        "refund_part",
        "CASE WHEN credit_id IS NULL THEN payment_id IS NOT NULL"
        " ELSE credit_minor = amount_minor AND (tender = 4) = (payment_id IS NOT NULL) END",
    )
    op.create_index("forfeiture_of_course_idx", "forfeiture", ["chain_id", "course_id"], unique=False)
    op.create_table(
        "payout_line_settlement",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("line_id", sa.Uuid(), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("settled_by", sa.Text(), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "entry_id"],
            ["entry.chain_id", "entry.id"],
            name=op.f("payout_line_settlement_chain_id_entry_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "line_id"],
            ["payout_line.chain_id", "payout_line.id"],
            name=op.f("payout_line_settlement_chain_id_line_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "line_id", name=op.f("payout_line_settlement_pkey")),
    )
    op.execute("ALTER TABLE payout_line_settlement ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE payout_line_settlement FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON payout_line_settlement USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON payout_line_settlement TO billing")
