"""days of estimated visits"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    op.add_column(
        "estimate_line",
        sa.Column("service_dates", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
    )
    op.create_check_constraint(
        op.f("estimate_line_service_dates_check"), "estimate_line", "jsonb_array_length(service_dates) IN (0, count)"
    )
