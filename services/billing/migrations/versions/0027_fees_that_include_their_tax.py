"""fees that include their tax"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.add_column("forfeiture", sa.Column("tax_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.create_check_constraint(
        op.f("forfeiture_tax_check"),
        "forfeiture",
        "tax_minor BETWEEN 0 AND amount_minor OR tax_minor <= 0 AND tax_minor >= amount_minor",
    )
    op.drop_constraint(op.f("invoice_tax_pkey"), "invoice_tax")
    op.create_primary_key(
        op.f("invoice_tax_pkey"), "invoice_tax", ["chain_id", "invoice_id", "tax_rule_id", "included"]
    )
