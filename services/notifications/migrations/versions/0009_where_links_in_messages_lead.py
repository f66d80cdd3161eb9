"""where links in messages lead"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("policy", sa.Column("link_base_url", sa.Text(), server_default="", nullable=False))
