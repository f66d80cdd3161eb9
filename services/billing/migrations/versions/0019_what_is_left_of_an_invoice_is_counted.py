"""what is left of an invoice is counted"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.add_column("open_item", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
