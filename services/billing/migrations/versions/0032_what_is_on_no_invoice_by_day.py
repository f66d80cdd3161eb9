"""charges of a site by their days"""

from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    op.create_index("charge_of_day_idx", "charge", ["chain_id", "site_id", "service_date", "id"], unique=False)
