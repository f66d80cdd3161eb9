"""Refunds of credit"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0010"


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
