"""taxes of estimates"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.add_column("estimate_line", sa.Column("tax_minor", sa.BigInteger()))
    op.create_check_constraint(
        op.f("estimate_line_tax_check"),
        "estimate_line",
        "tax_minor IS NULL OR tax_minor > 0 AND unit_price_minor IS NOT NULL",
    )
