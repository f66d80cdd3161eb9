"""taxes of packages that end"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    for name in ("tax_minor", "included_tax_minor"):
        op.add_column("package_end", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.drop_constraint(op.f("package_end_whole_check"), "package_end")
    op.create_check_constraint(
        op.f("package_end_whole_check"),
        "package_end",
        "left_minor + tax_minor = forgiven_minor + refundable_minor + rerated_minor + fee_minor + breakage_minor",
    )
    op.drop_constraint(op.f("package_end_parts_check"), "package_end")
    op.create_check_constraint(
        op.f("package_end_parts_check"),
        "package_end",
        "least(forgiven_minor, refundable_minor, rerated_minor, fee_minor, breakage_minor, tax_minor, "
        "included_tax_minor) >= 0",
    )
