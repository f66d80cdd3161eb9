"""Twelve months from a day that is ahead of UTC's"""

from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.drop_constraint(op.f("clearance_length_check"), "clearance", type_="check")
    op.create_check_constraint(
        op.f("clearance_length_check"),
        "clearance",
        "expire_date <= (granted_at AT TIME ZONE 'UTC')::date + 1 + interval '12 months'",
    )
