"""Estimate delivered"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("course", sa.Column("estimate_delivered_at", sa.DateTime(timezone=True), nullable=True))
