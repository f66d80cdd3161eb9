"""Names of legal entities as they are now"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("legal_entity", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
