"""taxes are rules of a site only"""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.drop_column("price_item", "taxable")
