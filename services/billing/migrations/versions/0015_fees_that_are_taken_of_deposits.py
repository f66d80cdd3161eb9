"""Fees that are taken of deposits"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("forfeiture", sa.Column("charge_id", sa.Uuid(), nullable=True))
    op.create_index("forfeiture_of_charge_idx", "forfeiture", ["chain_id", "charge_id"], unique=False)
    op.create_foreign_key(
        op.f("forfeiture_chain_id_charge_id_fkey"),
        "forfeiture",
        "charge",
        ["chain_id", "charge_id"],
        ["chain_id", "id"],
    )
    op.drop_constraint(op.f("forfeiture_amount_check"), "forfeiture", type_="check")
    op.create_check_constraint(
        op.f("forfeiture_amount_check"), "forfeiture", "amount_minor > 0 OR amount_minor < 0 AND charge_id IS NOT NULL"
    )
