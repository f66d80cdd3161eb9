"""charges that are billed again"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.add_column("charge", sa.Column("replaces_id", sa.Uuid(), nullable=True))
    op.add_column("charge", sa.Column("first_id", sa.Uuid(), nullable=True))
    op.create_index(
        "charge_replaces_idx",
        "charge",
        ["chain_id", "replaces_id"],
        unique=True,
        postgresql_where=sa.text("replaces_id IS NOT NULL"),
    )
    op.create_foreign_key(
        op.f("charge_chain_id_first_id_fkey"), "charge", "charge", ["chain_id", "first_id"], ["chain_id", "id"]
    )
    op.create_foreign_key(
        op.f("charge_chain_id_replaces_id_fkey"), "charge", "charge", ["chain_id", "replaces_id"], ["chain_id", "id"]
    )
    op.create_check_constraint(op.f("charge_first_check"), "charge", "(replaces_id IS NULL) = (first_id IS NULL)")
    op.create_check_constraint(op.f("charge_replaces_check"), "charge", "replaces_id IS NULL OR kind NOT IN (5, 6)")
    for name, kinds in (("charge_of_visit_idx", "kind = 1"), ("charge_fee_of_visit_idx", "kind IN (2, 3)")):
        op.drop_index(name, table_name="charge")
        op.create_index(
            name,
            "charge",
            ["chain_id", "visit_id"],
            unique=True,
            postgresql_where=sa.text(f"{kinds} AND replaces_id IS NULL"),
        )
