"""What a clearance limits"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column(
        "clearance", sa.Column("band_codes", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    )
    op.add_column("clearance", sa.Column("session_minutes_max", sa.Integer(), server_default="0", nullable=False))
