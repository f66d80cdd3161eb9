"""patients whose identity is forgotten"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("patient", sa.Column("anonymised", sa.Boolean(), server_default=sa.text("false"), nullable=False))
