"""counts below zero"""

from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    op.drop_constraint(op.f("cash_count_counted_check"), "cash_count", type_="check")
