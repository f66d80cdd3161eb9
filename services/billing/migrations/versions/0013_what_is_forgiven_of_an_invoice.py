"""What is forgiven of an invoice is found by it"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_index(
        "package_end_forgiven_idx",
        "package_end",
        ["chain_id", "invoice_id"],
        unique=False,
        postgresql_where=sa.text("forgiven_minor > 0"),
    )
