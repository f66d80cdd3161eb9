"""why a visit was booked though the spacing does not allow it"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.add_column("visit_status_change", sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False))
